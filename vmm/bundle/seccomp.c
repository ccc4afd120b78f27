/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.seccomp, compiled by libseccomp on the host to the BPF program that init installs. Names
 * of system calls that libseccomp does not know are left out, as runc does: profiles list more
 * than any one version has.
 */
#include "vmm/bundle/builder.h"
#include "vmm/bundle/seccomp_stub.h"

#include "thaw/spec.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <limits.h>
#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define ARGUMENTS_MAX 6

/* MAX_ERRNO of the kernel; a tracer gets 16 bits. */
#define ERRNO_MAX 4095u
#define TRACE_MAX 65535u

/* libseccomp's optimisation levels. A binary tree pays from a few dozen rules on, and 2.5.4
 * and older get it wrong when there are none. */
#define OPTIMIZE_BINARY_TREE 2
#define OPTIMIZE_FROM        32u

/* From here on libseccomp has every action in the table below. */
#define API_LEVEL 4

static const struct config_name actions[] = {
    {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
    {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
    {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
    {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
    {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0)},
    {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0)},
    {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
    {"SCMP_ACT_LOG", SCMP_ACT_LOG},
    {"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY},
};

static const struct config_name architectures[] = {
    {"SCMP_ARCH_X86", SCMP_ARCH_X86},
    {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
    {"SCMP_ARCH_X32", SCMP_ARCH_X32},
    {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
    {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
    {"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
    {"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64},
    {"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
    {"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL},
    {"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
    {"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32},
    {"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
    {"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64},
    {"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE},
    {"SCMP_ARCH_S390", SCMP_ARCH_S390},
    {"SCMP_ARCH_S390X", SCMP_ARCH_S390X},
    {"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC},
    {"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64},
    {"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64},
};

/* TSYNC concerns threads, and there is only one when init installs the filter. */
static const struct config_name flags[] = {
    {"SECCOMP_FILTER_FLAG_TSYNC", 0},
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
};

static const struct config_name operators[] = {
    {"SCMP_CMP_NE", SCMP_CMP_NE},
    {"SCMP_CMP_LT", SCMP_CMP_LT},
    {"SCMP_CMP_LE", SCMP_CMP_LE},
    {"SCMP_CMP_EQ", SCMP_CMP_EQ},
    {"SCMP_CMP_GE", SCMP_CMP_GE},
    {"SCMP_CMP_GT", SCMP_CMP_GT},
    {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
};

struct profile {
    scmp_filter_ctx context;
    uint32_t default_action;
    uint32_t flags;
    int last_syscall; /* highest number that a rule names; -1: none */
};

static void cleanup_seccomp_fn(scmp_filter_ctx *context)
{
    seccomp_release(*context);
}
#define cleanup_seccomp cleanup(cleanup_seccomp_fn)

/* libseccomp's functions return a negative errno of their own choice. */
static int fail_libseccomp(const struct config_value *value, int rc, struct thaw_error *err)
{
    return config_fail(value, err, "libseccomp refuses it: %s", strerrordesc_np(-rc));
}

/* An action and, with those that have one, its errno: EPERM unless given otherwise. */
static int read_action(const struct config_value *object, const char *key, const char *errno_key,
                       uint32_t *action, struct thaw_error *err)
{
    struct config_value name = config_member(object, key);
    struct config_value errno_value = config_member(object, errno_key);
    uint64_t code = 0, number = EPERM;
    int rc = config_as_name(&name, "seccomp action", actions, CONFIG_COUNT_OF(actions), &code, err);
    if (rc < 0)
        return rc;
    if (code == SCMP_ACT_NOTIFY)
        return config_fail(&name, err, "SCMP_ACT_NOTIFY needs an agent on the host");

    bool has_errno = code == SCMP_ACT_ERRNO(0) || code == SCMP_ACT_TRACE(0);
    uint64_t max = code == SCMP_ACT_ERRNO(0) ? ERRNO_MAX : TRACE_MAX;
    if (config_given(&errno_value) && !has_errno)
        return config_fail(&errno_value, err, "the action does not return an errno");
    rc = config_uint(object, errno_key, max, &number, err);
    *action = (uint32_t)(has_errno ? code | number : code);
    return rc;
}

static int add_architecture(void *context, const struct config_value *value, const char *string,
                            struct thaw_error *err)
{
    (void)string;
    const struct profile *profile = context;
    uint64_t token = 0;
    int rc = config_as_name(value, "architecture", architectures, CONFIG_COUNT_OF(architectures),
                            &token, err);
    if (rc < 0)
        return rc;
    rc = seccomp_arch_add(profile->context, (uint32_t)token);
    return rc < 0 && rc != -EEXIST ? fail_libseccomp(value, rc, err) : 0;
}

static int add_flag(void *context, const struct config_value *value, const char *string,
                    struct thaw_error *err)
{
    struct profile *profile = context;
    uint64_t flag = 0;
    if (strcmp(string, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") == 0)
        return config_fail(value, err, "is for SCMP_ACT_NOTIFY, which needs an agent on the host");
    int rc = config_as_name(value, "seccomp flag", flags, CONFIG_COUNT_OF(flags), &flag, err);
    profile->flags |= (uint32_t)flag;
    return rc;
}

static int read_argument(const struct config_value *value, struct scmp_arg_cmp *argument,
                         struct thaw_error *err)
{
    struct config_value index_value = config_member(value, "index");
    struct config_value value_value = config_member(value, "value");
    struct config_value op_value = config_member(value, "op");
    uint64_t index = 0, first = 0, second = 0, op = 0;
    int rc = config_as_object(value, err);
    if (rc == 0)
        rc = config_as_uint(&index_value, ARGUMENTS_MAX - 1, &index, err);
    if (rc == 0)
        rc = config_as_uint(&value_value, UINT64_MAX, &first, err);
    if (rc == 0)
        rc = config_uint(value, "valueTwo", UINT64_MAX, &second, err);
    if (rc == 0)
        rc = config_as_name(&op_value, "operator", operators, CONFIG_COUNT_OF(operators), &op, err);
    *argument = (struct scmp_arg_cmp){
        .arg = (unsigned)index, .op = (enum scmp_compare)op, .datum_a = first, .datum_b = second};
    return rc;
}

/* One rule of the profile, for all the system calls that it names. */
struct rule {
    struct profile *profile;
    uint32_t action;
    unsigned argument_count;
    bool separate; /* two conditions on one argument */
    struct scmp_arg_cmp *arguments;
};

/* libseccomp takes one condition per argument and rule. Several are a rule each, so that any of
 * them matches: what runc makes of them. */
static int add_rule(const struct rule *rule, int syscall)
{
    scmp_filter_ctx context = rule->profile->context;
    if (!rule->separate)
        return seccomp_rule_add_array(context, rule->action, syscall, rule->argument_count,
                                      rule->arguments);
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < rule->argument_count; i++)
        rc = seccomp_rule_add_array(context, rule->action, syscall, 1, &rule->arguments[i]);
    return rc;
}

static int add_syscall(void *context, const struct config_value *value, const char *string,
                       struct thaw_error *err)
{
    const struct rule *rule = context;
    if (string[0] == '\0')
        return config_fail(value, err, "must not be empty");
    int syscall = seccomp_syscall_resolve_name(string);
    if (syscall == __NR_SCMP_ERROR)
        return 0;
    if (syscall > rule->profile->last_syscall)
        rule->profile->last_syscall = syscall;
    /* libseccomp takes no rule that says what happens anyway. */
    if (rule->action == rule->profile->default_action)
        return 0;
    int rc = add_rule(rule, syscall);
    return rc < 0 ? fail_libseccomp(value, rc, err) : 0;
}

static int read_arguments(const struct config_value *object, struct rule *rule,
                          struct thaw_error *err)
{
    struct config_value list;
    int rc = config_array(object, "args", &list, err);
    if (rc < 0 || config_count(&list) == 0)
        return rc;
    rule->arguments = calloc(config_count(&list), sizeof(*rule->arguments));
    if (!rule->arguments)
        return thaw_fail(err, ENOMEM, "linux.seccomp");

    bool used[ARGUMENTS_MAX] = {false};
    for (size_t i = 0; rc == 0 && i < config_count(&list); i++) {
        struct config_value value = config_element(&list, i);
        struct scmp_arg_cmp *argument = &rule->arguments[rule->argument_count++];
        rc = read_argument(&value, argument, err);
        rule->separate |= used[argument->arg];
        used[argument->arg] = true;
    }
    return rc;
}

static int add_syscalls(struct profile *profile, const struct config_value *value,
                        struct thaw_error *err)
{
    struct rule rule = {.profile = profile};
    struct config_value names = config_member(value, "names");
    int rc = config_as_object(value, err);
    if (rc == 0)
        rc = config_as_array(&names, err);
    if (rc == 0 && config_count(&names) == 0)
        rc = config_fail(&names, err, "must not be empty");
    if (rc == 0)
        rc = read_action(value, "action", "errnoRet", &rule.action, err);
    if (rc == 0)
        rc = read_arguments(value, &rule, err);
    if (rc == 0)
        rc = config_strings(value, "names", add_syscall, &rule, err);
    free(rule.arguments);
    return rc;
}

static int read_profile(struct profile *profile, const struct config_value *seccomp,
                        struct thaw_error *err)
{
    struct config_value list, flags_value = config_member(seccomp, "flags");
    /* runc's default, which OCI leaves open. */
    profile->flags = config_given(&flags_value) ? 0 : SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    int rc = config_strings(seccomp, "flags", add_flag, profile, err);
    if (rc == 0)
        rc = config_strings(seccomp, "architectures", add_architecture, profile, err);
    if (rc == 0)
        rc = config_array(seccomp, "syscalls", &list, err);
    for (size_t i = 0; rc == 0 && i < config_count(&list); i++) {
        struct config_value value = config_element(&list, i);
        rc = add_syscalls(profile, &value, err);
    }
    if (rc == 0 && config_count(&list) > OPTIMIZE_FROM &&
        seccomp_attr_set(profile->context, SCMP_FLTATR_CTL_OPTIMIZE, OPTIMIZE_BINARY_TREE) < 0)
        return thaw_fail(err, EINVAL, "libseccomp: binary tree");
    return rc;
}

/* libseccomp 2.5 exports to a descriptor only. */
static int export_program(const struct profile *profile, const struct config_value *seccomp,
                          struct sock_filter **program, size_t *count, struct thaw_error *err)
{
    cleanup_close int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return thaw_fail(err, errno, "memfd_create");
    int rc = seccomp_export_bpf(profile->context, fd);
    if (rc < 0)
        return fail_libseccomp(seccomp, rc, err);

    struct stat st;
    if (fstat(fd, &st) < 0)
        return thaw_fail(err, errno, "memfd");
    size_t size = (size_t)st.st_size;
    cleanup_free struct sock_filter *buffer = malloc(size);
    if (!buffer)
        return thaw_fail(err, ENOMEM, "linux.seccomp");
    rc = file_pread_full(fd, buffer, size, 0, err);
    if (rc < 0)
        return rc;
    *count = size / sizeof(**program);
    *program = take(buffer);
    return 0;
}

static int put_program(struct bundle_builder *builder, const struct profile *profile,
                       const struct config_value *seccomp, struct thaw_error *err)
{
    cleanup_free struct sock_filter *program = NULL;
    size_t count = 0;
    int rc = export_program(profile, seccomp, &program, &count, err);
    if (rc < 0)
        return rc;

    struct sock_filter stub[SECCOMP_STUB_LENGTH];
    size_t stub_length = seccomp_stub(profile->default_action, profile->last_syscall, stub);
    if (count + stub_length > BPF_MAXINSNS)
        return config_fail(seccomp, err, "needs more than the kernel's %d BPF instructions",
                           BPF_MAXINSNS);

    uint32_t head[2] = {profile->flags, 0};
    spec_writer_begin(&builder->spec, THAW_SPEC_SECCOMP);
    spec_writer_append(&builder->spec, head, sizeof(head));
    spec_writer_append(&builder->spec, stub, stub_length * sizeof(*stub));
    spec_writer_append(&builder->spec, program, count * sizeof(*program));
    spec_writer_end(&builder->spec);
    return 0;
}

static int refuse_listener(const struct config_value *seccomp, struct thaw_error *err)
{
    static const char why[] = "seccomp agents are not supported";
    int rc = config_refuse(seccomp, "listenerPath", why, err);
    if (rc == 0)
        rc = config_refuse(seccomp, "listenerMetadata", why, err);
    return rc;
}

int build_seccomp(struct bundle_builder *builder, const struct config_value *linux_,
                  struct thaw_error *err)
{
    struct config_value seccomp;
    int rc = config_object(linux_, "seccomp", &seccomp, err);
    if (rc < 0 || config_count(&seccomp) == 0)
        return rc;
    rc = refuse_listener(&seccomp, err);
    if (rc < 0)
        return rc;

    struct profile profile = {.last_syscall = -1};
    rc = read_action(&seccomp, "defaultAction", "defaultErrnoRet", &profile.default_action, err);
    if (rc < 0)
        return rc;
    /* The guest's kernel will run it: what this host's can do, which libseccomp would try out, does
     * not matter. */
    seccomp_api_set(API_LEVEL);
    cleanup_seccomp scmp_filter_ctx context = seccomp_init(profile.default_action);
    if (!context)
        return thaw_fail(err, ENOMEM, "seccomp_init");
    profile.context = context;

    rc = read_profile(&profile, &seccomp, err);
    return rc < 0 ? rc : put_program(builder, &profile, &seccomp, err);
}
