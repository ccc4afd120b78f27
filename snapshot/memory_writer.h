/* SPDX-License-Identifier: Apache-2.0 */
/* Writes pieces of memory to places of a file, several at a time where io_uring allows it. */
#ifndef THAW_SNAPSHOT_MEMORY_WRITER_H
#define THAW_SNAPSHOT_MEMORY_WRITER_H

#include "vmm/base/error.h"

#include <stdint.h>

struct memory_writer {
    int fd;
};

void memory_writer_init(struct memory_writer *writer, int fd);

/* Starts to write `size` bytes at `from` to `offset`. They must stay as they are until
 * memory_writer_finish(). An earlier write's failure can be returned here. THAW_FAIL_IO. */
int memory_writer_put(struct memory_writer *writer, const void *from, uint64_t size,
                      uint64_t offset, struct thaw_error *err);

/* Waits until all is written. */
int memory_writer_finish(struct memory_writer *writer, struct thaw_error *err);

#endif
