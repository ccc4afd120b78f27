/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory_writer.h"

#include <errno.h>
#include <unistd.h>

void memory_writer_init(struct memory_writer *writer, int fd)
{
    *writer = (struct memory_writer){.fd = fd};
}

int memory_writer_put(struct memory_writer *writer, const void *from, uint64_t size,
                      uint64_t offset, struct thaw_error *err)
{
    const char *at = from;
    while (size > 0) {
        ssize_t n = pwrite(writer->fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            thaw_fail(err, n < 0 ? errno : EIO, "write");
            return thaw_reclassify(err, THAW_FAIL_IO);
        }
        at += n;
        offset += (uint64_t)n;
        size -= (uint64_t)n;
    }
    return 0;
}

int memory_writer_finish(struct memory_writer *writer, struct thaw_error *err)
{
    (void)writer;
    (void)err;
    return 0;
}
