/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initramfs: init-oci and the workload's spec, packed here, and then cpio archives as they
 * are. Linux unpacks concatenated newc archives one after the other and skips zero padding
 * between them (Documentation/driver-api/early-userspace/buffer-format.rst).
 */
#ifndef THAW_LOADER_INITRAMFS_H
#define THAW_LOADER_INITRAMFS_H

#include "vmm/arch/arch.h"

#define INITRAMFS_ARCHIVES_MAX 4

struct initramfs {
    const void *spec; /* the flat spec for /thaw.spec; NULL: neither init nor spec is added */
    size_t spec_size; /* bytes */
    unsigned archive_count;
    const char *archives[INITRAMFS_ARCHIVES_MAX]; /* paths of cpio files, in order */
};

/* Loads it at the top of low RAM, page-aligned, and fills the image's initrd fields.
 * THAW_FAIL_INITRAMFS when a file is missing or when it does not fit above `image->end` with the
 * room that unpacking takes; the message says how much memory would do. Nothing to load: 0. */
int initramfs_load(const struct initramfs *initramfs, const struct guest_memory *mem,
                   struct boot_image *image, struct thaw_error *err);

/* Writes the same bytes to a descriptor, to boot them under another monitor. */
int initramfs_export(const struct initramfs *initramfs, int fd, struct thaw_error *err);

#endif
