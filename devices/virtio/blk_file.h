/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a disk: the file, checked and locked. */
#ifndef THAW_DEVICES_VIRTIO_BLK_FILE_H
#define THAW_DEVICES_VIRTIO_BLK_FILE_H

#include "vmm/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define BLK_SECTOR 512u

/*
 * Opens a regular file or block device. `*sectors` is its size, at least 1. Returns the descriptor,
 * owned by the caller, or a negative errno with THAW_FAIL_IO, "--disk PATH: why".
 */
int blk_file_open(const char *path, bool read_only, uint64_t *sectors, struct thaw_error *err);

/*
 * Locks the file that is open as `fd` (F_OFD_SETLK: shared when `read_only`, else exclusive) by
 * opening it once more. Returns that descriptor, which is the lock: it ends when the descriptor is
 * closed, also when the process dies. A lock on `fd` itself would live on in a ring that `fd` is
 * registered with, which the kernel takes apart some time after its process has gone.
 */
int blk_file_lock(int fd, const char *path, bool read_only, struct thaw_error *err);

#endif
