/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory_writer.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <unistd.h>

/* Below this, waking the kernel's thread costs more than it takes over (measured). */
#define LARGE (256u << 10)

void memory_writer_init(struct memory_writer *writer, int fd, bool may_ring)
{
    *writer = (struct memory_writer){.fd = fd, .may_ring = may_ring};
}

/* What the ring did not do is done here: the rest of a short write, and a failed one, which then
 * says why by itself. */
static int complete(struct memory_writer *writer, const struct io_uring_cqe *cqe,
                    struct thaw_error *err)
{
    struct memory_write *slot = io_uring_cqe_get_data(cqe);
    struct memory_write rest = *slot;
    uint64_t done = cqe->res > 0 ? (uint64_t)cqe->res : 0;
    rest.from = (const char *)rest.from + done;
    rest.offset += done;
    rest.size -= done;
    slot->from = NULL;
    writer->in_flight--;
    return file_pwrite_full(writer->fd, rest.from, rest.size, rest.offset, err);
}

/* Waits for one write. */
static int reap(struct memory_writer *writer, struct thaw_error *err)
{
    struct io_uring_cqe *cqe;
    int rc = io_uring_wait_cqe(&writer->ring, &cqe);
    if (rc == -EINTR)
        return 0;
    if (rc < 0) {
        writer->in_flight = 0; /* nothing more will be heard of them */
        return thaw_fail(err, -rc, "io_uring");
    }
    rc = complete(writer, cqe, err);
    io_uring_cqe_seen(&writer->ring, cqe);
    return rc;
}

static bool ring_is_ready(struct memory_writer *writer)
{
    if (!writer->has_ring && writer->may_ring)
        writer->has_ring = writer->may_ring =
            io_uring_queue_init(MEMORY_WRITER_DEPTH, &writer->ring, 0) == 0;
    return writer->has_ring;
}

static int submit_one(struct memory_writer *writer, struct thaw_error *err)
{
    for (;;) {
        int rc = io_uring_submit(&writer->ring);
        if (rc > 0)
            return 0;
        if (writer->in_flight == 0)
            return thaw_fail(err, rc < 0 ? -rc : EIO, "io_uring");
        rc = reap(writer, err); /* the kernel is short of something */
        if (rc < 0)
            return rc;
    }
}

static int submit(struct memory_writer *writer, struct memory_write piece, struct thaw_error *err)
{
    while (writer->in_flight == MEMORY_WRITER_DEPTH) {
        int rc = reap(writer, err);
        if (rc < 0)
            return rc;
    }
    struct memory_write *slot = writer->writes;
    while (slot->from)
        slot++;
    /* Never NULL: there are as many entries as slots, and each is submitted at once. */
    struct io_uring_sqe *sqe = io_uring_get_sqe(&writer->ring);
    io_uring_prep_write(sqe, writer->fd, piece.from, (unsigned)piece.size, piece.offset);
    io_uring_sqe_set_data(sqe, slot);
    int rc = submit_one(writer, err);
    if (rc < 0)
        return rc;
    *slot = piece;
    writer->in_flight++;
    return 0;
}

int memory_writer_put(struct memory_writer *writer, const void *from, uint64_t size,
                      uint64_t offset, struct thaw_error *err)
{
    struct memory_write piece = {.from = from, .size = size, .offset = offset};
    if (size < LARGE || !ring_is_ready(writer))
        return file_pwrite_full(writer->fd, from, size, offset, err);
    return submit(writer, piece, err);
}

int memory_writer_finish(struct memory_writer *writer, struct thaw_error *err)
{
    struct thaw_error first = *err;
    while (writer->in_flight > 0) {
        struct thaw_error failed = {0};
        if (reap(writer, &failed) < 0 && first.code == 0)
            first = failed;
    }
    if (writer->has_ring)
        io_uring_queue_exit(&writer->ring);
    writer->has_ring = false;
    *err = first;
    return thaw_error_code(err);
}
