/* SPDX-License-Identifier: Apache-2.0 */
/* A growing piece of memory: what a section of a snapshot is put together in. */
#ifndef THAW_BASE_BLOB_H
#define THAW_BASE_BLOB_H

#include "vmm/base/cleanup.h"
#include "vmm/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* All zeros: empty. */
struct blob {
    uint8_t *data;
    size_t size, capacity;
};

/* Appends `size` bytes, which stay where they are until the next append, and returns where; zeros
 * when `bytes` is NULL. NULL: no memory, `err` is filled and the blob is as it was. */
void *blob_append(struct blob *blob, const void *bytes, size_t size, struct thaw_error *err);

void blob_free(struct blob *blob);
#define cleanup_blob cleanup(blob_free)

/* Reading back: a cursor over bytes that nobody has checked. */
struct cursor {
    const uint8_t *at;
    size_t left;
};

/* Takes the next `size` bytes; NULL when fewer are left, and then none is taken. */
static inline const void *cursor_take(struct cursor *cursor, size_t size)
{
    if (size > cursor->left)
        return NULL;
    const uint8_t *at = cursor->at;
    cursor->at += size;
    cursor->left -= size;
    return at;
}

#endif
