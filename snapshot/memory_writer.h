/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes pieces of memory to places of a file. Large pieces go through io_uring, where the kernel
 * copies them on its own thread while the caller goes on; small ones are written at once, since
 * handing one over costs more than writing it. Where io_uring is refused (containers), all are
 * written at once.
 */
#ifndef THAW_SNAPSHOT_MEMORY_WRITER_H
#define THAW_SNAPSHOT_MEMORY_WRITER_H

#include "vmm/base/error.h"

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#define MEMORY_WRITER_DEPTH 32u /* writes in flight */

struct memory_writer {
    int fd;
    bool may_ring; /* not refused so far */
    bool has_ring; /* made for the first large piece */
    struct io_uring ring;
    unsigned in_flight;
    struct memory_write {
        const void *from; /* NULL: free */
        uint64_t size, offset;
    } writes[MEMORY_WRITER_DEPTH];
};

/* `fd` stays the caller's. */
void memory_writer_init(struct memory_writer *writer, int fd, bool may_ring);

/* Starts to write `size` bytes at `from` to `offset`. They must stay as they are until
 * memory_writer_finish(). At most 1 GiB. An earlier piece's failure can be returned here.
 * THAW_FAIL_IO. */
int memory_writer_put(struct memory_writer *writer, const void *from, uint64_t size,
                      uint64_t offset, struct thaw_error *err);

/* Waits until nothing is in flight any more, and frees what the writer has: to be called after a
 * failure, too. `err` may be one that is filled already: the first failure is kept. */
int memory_writer_finish(struct memory_writer *writer, struct thaw_error *err);

#endif
