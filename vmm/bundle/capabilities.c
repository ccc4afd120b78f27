/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/builder.h"

#include "thaw/spec.h"

#include <linux/capability.h>

#define CAPABILITY(name)                                                                           \
    {                                                                                              \
#name, 1ull << (name)                                                                      \
    }

static const struct config_name capabilities[] = {
    CAPABILITY(CAP_CHOWN),
    CAPABILITY(CAP_DAC_OVERRIDE),
    CAPABILITY(CAP_DAC_READ_SEARCH),
    CAPABILITY(CAP_FOWNER),
    CAPABILITY(CAP_FSETID),
    CAPABILITY(CAP_KILL),
    CAPABILITY(CAP_SETGID),
    CAPABILITY(CAP_SETUID),
    CAPABILITY(CAP_SETPCAP),
    CAPABILITY(CAP_LINUX_IMMUTABLE),
    CAPABILITY(CAP_NET_BIND_SERVICE),
    CAPABILITY(CAP_NET_BROADCAST),
    CAPABILITY(CAP_NET_ADMIN),
    CAPABILITY(CAP_NET_RAW),
    CAPABILITY(CAP_IPC_LOCK),
    CAPABILITY(CAP_IPC_OWNER),
    CAPABILITY(CAP_SYS_MODULE),
    CAPABILITY(CAP_SYS_RAWIO),
    CAPABILITY(CAP_SYS_CHROOT),
    CAPABILITY(CAP_SYS_PTRACE),
    CAPABILITY(CAP_SYS_PACCT),
    CAPABILITY(CAP_SYS_ADMIN),
    CAPABILITY(CAP_SYS_BOOT),
    CAPABILITY(CAP_SYS_NICE),
    CAPABILITY(CAP_SYS_RESOURCE),
    CAPABILITY(CAP_SYS_TIME),
    CAPABILITY(CAP_SYS_TTY_CONFIG),
    CAPABILITY(CAP_MKNOD),
    CAPABILITY(CAP_LEASE),
    CAPABILITY(CAP_AUDIT_WRITE),
    CAPABILITY(CAP_AUDIT_CONTROL),
    CAPABILITY(CAP_SETFCAP),
    CAPABILITY(CAP_MAC_OVERRIDE),
    CAPABILITY(CAP_MAC_ADMIN),
    CAPABILITY(CAP_SYSLOG),
    CAPABILITY(CAP_WAKE_ALARM),
    CAPABILITY(CAP_BLOCK_SUSPEND),
    CAPABILITY(CAP_AUDIT_READ),
    CAPABILITY(CAP_PERFMON),
    CAPABILITY(CAP_BPF),
    CAPABILITY(CAP_CHECKPOINT_RESTORE),
};

static int add_capability(void *context, const struct config_value *value, const char *string,
                          struct thaw_error *err)
{
    (void)string;
    uint64_t *set = context;
    uint64_t bit = 0;
    int rc =
        config_as_name(value, "capability", capabilities, CONFIG_COUNT_OF(capabilities), &bit, err);
    *set |= bit;
    return rc;
}

/* capset(2) would refuse these in the guest; here the message can name the set. */
static int check_sets(const struct config_value *object, const struct thaw_spec_capabilities *sets,
                      struct thaw_error *err)
{
    struct config_value effective = config_member(object, "effective");
    struct config_value inheritable = config_member(object, "inheritable");
    if (sets->effective & ~sets->permitted)
        return config_fail(&effective, err, "has a capability that permitted has not");
    if (sets->inheritable & ~sets->bounding)
        return config_fail(&inheritable, err, "has a capability that bounding has not");
    return 0;
}

int build_capabilities(struct bundle_builder *builder, const struct config_value *process,
                       struct thaw_error *err)
{
    struct config_value object;
    int rc = config_object(process, "capabilities", &object, err);
    if (rc < 0 || !config_given(&object))
        return rc;

    struct thaw_spec_capabilities sets = {0};
    rc = config_strings(&object, "bounding", add_capability, &sets.bounding, err);
    if (rc == 0)
        rc = config_strings(&object, "effective", add_capability, &sets.effective, err);
    if (rc == 0)
        rc = config_strings(&object, "inheritable", add_capability, &sets.inheritable, err);
    if (rc == 0)
        rc = config_strings(&object, "permitted", add_capability, &sets.permitted, err);
    if (rc == 0)
        rc = config_strings(&object, "ambient", add_capability, &sets.ambient, err);
    if (rc == 0)
        rc = check_sets(&object, &sets, err);
    if (rc < 0)
        return rc;

    /* `runc spec` itself asks for ambient capabilities that are not inheritable, which the kernel
     * never grants (capabilities(7)). What it would refuse is left out, as runc does. */
    sets.ambient &= sets.permitted & sets.inheritable;
    spec_writer_put(&builder->spec, THAW_SPEC_CAPABILITIES, &sets, sizeof(sets));
    return 0;
}
