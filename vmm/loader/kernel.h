/* SPDX-License-Identifier: Apache-2.0 */
/* Guest kernels: an ELF image (vmlinux, or a freestanding guest) or a Linux bzImage. */
#ifndef THAW_LOADER_KERNEL_H
#define THAW_LOADER_KERNEL_H

#include "vmm/arch/arch.h"

/*
 * Reads the kernel at `path` into guest memory and fills `image`'s entry, end and set-up header.
 * The file is untrusted: every offset and length is checked against the file and against RAM.
 * Failures are THAW_FAIL_KERNEL and name the file; memory may be partly written then.
 */
int kernel_load(const char *path, const struct guest_memory *mem, struct boot_image *image,
                struct thaw_error *err);

#endif
