/* SPDX-License-Identifier: Apache-2.0 */
/* A newc cpio archive in memory: the few entries that the monitor adds to every initramfs. Root
 * file systems are packed by thaw-image, with libarchive. */
#ifndef THAW_LOADER_CPIO_H
#define THAW_LOADER_CPIO_H

#include "vmm/base/cleanup.h"
#include "vmm/base/error.h"

#include <stddef.h>
#include <stdint.h>

#define CPIO_ALIGN 4u

struct cpio {
    char *data; /* owned */
    size_t size, capacity;
    uint32_t entries;
};

/* Appends an entry. `name` has no leading slash; `mode` has the file type; `data` may be NULL
 * when `size` is 0. At most 2 GiB. */
int cpio_add(struct cpio *cpio, const char *name, uint32_t mode, uint32_t major, uint32_t minor,
             const void *data, size_t size, struct thaw_error *err);

/* Appends the trailer. Nothing may be added afterwards. */
int cpio_finish(struct cpio *cpio, struct thaw_error *err);

void cpio_free(struct cpio *cpio);
#define cleanup_cpio cleanup(cpio_free)

#endif
