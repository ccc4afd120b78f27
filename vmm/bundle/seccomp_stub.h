/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENOSYS for system calls newer than the profile. A profile that answers EPERM to what it does
 * not list also answers so to calls that were invented after it was written, and a C library
 * falls back to an older call on ENOSYS only. runc puts such a prefix before the filter; so do we.
 */
#ifndef THAW_BUNDLE_SECCOMP_STUB_H
#define THAW_BUNDLE_SECCOMP_STUB_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#define SECCOMP_STUB_LENGTH 6

/* Writes the prefix to `stub` (SECCOMP_STUB_LENGTH instructions) and returns its length: 0 when
 * there is no use for it, since `default_action` lets calls through or says ENOSYS already, or the
 * profile names no call (`last_syscall` < 0). Concerns the native architecture only. */
size_t seccomp_stub(uint32_t default_action, int last_syscall, struct sock_filter *stub);

#endif
