/* SPDX-License-Identifier: Apache-2.0 */
/* Checked KVM system calls: an error carries the ioctl's name. See Documentation/virt/kvm/api.rst.
 */
#ifndef THAW_BASE_KVM_H
#define THAW_BASE_KVM_H

#include "vmm/base/error.h"

#include <linux/kvm.h>
#include <stdbool.h>
#include <sys/ioctl.h>

/* Opens /dev/kvm and checks the API version and the capabilities that thaw cannot do without.
 * Returns the descriptor, owned by the caller. Failure THAW_FAIL_KVM says what to mend. */
int kvm_open(struct thaw_error *err);

/* ioctl(2) that goes on after EINTR. Returns its result, or a negative errno. `name` is the
 * request's name, for the message. */
#define kvm_ioctl(fd, request, argument, err)                                                      \
    kvm_ioctl_named(fd, request, (unsigned long)(argument), #request, err)
int kvm_ioctl_named(int fd, unsigned long request, unsigned long argument, const char *name,
                    struct thaw_error *err);

/* What kind of host this is, as a guest will feel it. */
enum kvm_host_kind {
    KVM_HOST_NONE,     /* no /dev/kvm that opens */
    KVM_HOST_HARDWARE, /* VT-x or AMD-V: runs any guest */
    KVM_HOST_PVM,      /* page-table based: runs only what its emulator knows, not stock Linux */
};
enum kvm_host_kind kvm_host_kind(void);

/* "none", "hardware" or "pvm". */
const char *kvm_host_kind_name(enum kvm_host_kind kind);

#endif
