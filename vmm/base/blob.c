/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/blob.h"

#include <errno.h>
#include <string.h>

#define FIRST_CAPACITY 256u

static int make_room(struct blob *blob, size_t size, struct thaw_error *err)
{
    size_t needed, capacity = blob->capacity ? blob->capacity : FIRST_CAPACITY;
    if (__builtin_add_overflow(blob->size, size, &needed))
        return thaw_fail(err, ENOMEM, "buffer");
    while (capacity < needed)
        if (__builtin_mul_overflow(capacity, (size_t)2, &capacity))
            return thaw_fail(err, ENOMEM, "buffer");
    if (capacity == blob->capacity)
        return 0;
    uint8_t *data = realloc(blob->data, capacity);
    if (!data)
        return thaw_fail(err, ENOMEM, "buffer of %zu bytes", capacity);
    blob->data = data;
    blob->capacity = capacity;
    return 0;
}

void *blob_append(struct blob *blob, const void *bytes, size_t size, struct thaw_error *err)
{
    if (make_room(blob, size, err) < 0)
        return NULL;
    uint8_t *at = blob->data + blob->size;
    if (size > 0 && bytes)
        memcpy(at, bytes, size);
    else if (size > 0)
        memset(at, 0, size);
    blob->size += size;
    return at;
}

void blob_free(struct blob *blob)
{
    free(blob->data);
    *blob = (struct blob){0};
}
