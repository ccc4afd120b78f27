/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a disk: the file, checked and locked. */
#ifndef THAW_DEVICES_VIRTIO_BLK_FILE_H
#define THAW_DEVICES_VIRTIO_BLK_FILE_H

#include "vmm/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define BLK_SECTOR 512u

/*
 * Opens a regular file or block device and locks it (F_OFD_SETLK: shared when `read_only`, else
 * exclusive). `*sectors` is its size, at least 1. Returns the descriptor, owned by the caller, or a
 * negative errno with THAW_FAIL_IO, "--disk PATH: why". The lock goes when the last descriptor of
 * this opening is closed, also when the process dies.
 */
int blk_file_open(const char *path, bool read_only, uint64_t *sectors, struct thaw_error *err);

#endif
