/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/kvm.h"

#include "vmm/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int kvm_ioctl_named(int fd, unsigned long request, unsigned long argument, const char *name,
                    struct thaw_error *err)
{
    int rc;
    do {
        rc = ioctl(fd, request, argument);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? thaw_fail(err, errno, "%s", name) : rc;
}

static int open_failed(int code, struct thaw_error *err)
{
    switch (code) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
        return thaw_fail_as(err, THAW_FAIL_KVM, code,
                            "/dev/kvm: not there: this host has no KVM (load kvm_intel or kvm_amd, "
                            "or use scripts/nested)");
    case EACCES:
    case EPERM:
        return thaw_fail_as(err, THAW_FAIL_KVM, code,
                            "/dev/kvm: permission denied (add yourself to the group kvm: "
                            "usermod -aG kvm USER)");
    default:
        thaw_fail(err, code, "/dev/kvm");
        return thaw_reclassify(err, THAW_FAIL_KVM);
    }
}

static const struct {
    long capability;
    const char *name;
} required[] = {
    {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
#ifdef __x86_64__
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_PIT2, "KVM_CAP_PIT2"},
    {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
#endif
};

int kvm_open(struct thaw_error *err)
{
    cleanup_close int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return open_failed(errno, err);

    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        return thaw_fail_as(err, THAW_FAIL_KVM, ENOTSUP,
                            "/dev/kvm: API version %d where %d is needed", version,
                            KVM_API_VERSION);

    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
        if (ioctl(fd, KVM_CHECK_EXTENSION, required[i].capability) <= 0)
            return thaw_fail_as(err, THAW_FAIL_KVM, ENOTSUP, "/dev/kvm: this kernel's KVM lacks %s",
                                required[i].name);
    return take_fd(&fd);
}

/* True when a word of the first "flags" line of /proc/cpuinfo is vmx or svm. */
static bool cpu_has_virtualization(void)
{
    cleanup_fclose FILE *f = fopen("/proc/cpuinfo", "re");
    cleanup_free char *line = NULL;
    size_t capacity = 0;
    while (f && getline(&line, &capacity, f) > 0) {
        if (strncmp(line, "flags", 5) != 0)
            continue;
        return strstr(line, " vmx") || strstr(line, " svm");
    }
    return false;
}

enum kvm_host_kind kvm_host_kind(void)
{
    cleanup_close int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return KVM_HOST_NONE;
    if (access("/sys/module/kvm_pvm", F_OK) == 0 && !cpu_has_virtualization())
        return KVM_HOST_PVM;
    return KVM_HOST_HARDWARE;
}

const char *kvm_host_kind_name(enum kvm_host_kind kind)
{
    static const char *const names[] = {
        [KVM_HOST_NONE] = "none", [KVM_HOST_HARDWARE] = "hardware", [KVM_HOST_PVM] = "pvm"};
    return names[kind];
}
