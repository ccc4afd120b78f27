/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/loader/cpio.h"

#include <errno.h>
#include <string.h>

#define HEADER_SIZE    110u /* "070701" and 13 fields of 8 hexadecimal digits */
#define SIZE_LIMIT     (1ul << 31)
#define GUEST_PATH_MAX 4096u

static size_t padding(size_t n)
{
    return (CPIO_ALIGN - n % CPIO_ALIGN) % CPIO_ALIGN;
}

static int reserve(struct cpio *cpio, size_t more, struct thaw_error *err)
{
    if (more > SIZE_LIMIT - cpio->size)
        return thaw_fail(err, EFBIG, "initramfs");
    if (cpio->size + more <= cpio->capacity)
        return 0;
    size_t capacity = (cpio->size + more) * 2;
    char *data = realloc(cpio->data, capacity);
    if (!data)
        return thaw_fail(err, ENOMEM, "initramfs");
    cpio->data = data;
    cpio->capacity = capacity;
    return 0;
}

/* Appends bytes and the zeros that align what follows. Room is reserved already. */
static void append(struct cpio *cpio, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(cpio->data + cpio->size, bytes, size);
    cpio->size += size;
    size_t zeros = padding(cpio->size);
    memset(cpio->data + cpio->size, 0, zeros);
    cpio->size += zeros;
}

int cpio_add(struct cpio *cpio, const char *name, uint32_t mode, uint32_t major, uint32_t minor,
             const void *data, size_t size, struct thaw_error *err)
{
    size_t name_size = strlen(name) + 1;
    if (name_size > GUEST_PATH_MAX || size > SIZE_LIMIT)
        return thaw_fail(err, EFBIG, "initramfs entry %s", name);
    int rc = reserve(cpio, HEADER_SIZE + name_size + size + (size_t)(3 * CPIO_ALIGN), err);
    if (rc < 0)
        return rc;

    const uint32_t links = 1;
    int written = snprintf(cpio->data + cpio->size, HEADER_SIZE + 1,
                           "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
                           ++cpio->entries, mode, 0u, 0u, links, 0u, (uint32_t)size, 0u, 0u, major,
                           minor, (uint32_t)name_size, 0u);
    /* Name and header are padded together. */
    memcpy(cpio->data + cpio->size + written, name, name_size);
    cpio->size += (size_t)written + name_size;
    append(cpio, NULL, 0);
    append(cpio, data, size);
    return 0;
}

int cpio_finish(struct cpio *cpio, struct thaw_error *err)
{
    return cpio_add(cpio, "TRAILER!!!", 0, 0, 0, NULL, 0, err);
}

void cpio_free(struct cpio *cpio)
{
    free(cpio->data);
    *cpio = (struct cpio){0};
}
