/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/blk_io.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define FILE_INDEX 0 /* of the disk's file, the only one that is registered */

int blk_io_init(struct blk_io *io, int fd, unsigned entries)
{
    *io = (struct blk_io){0};
    int rc = io_uring_queue_init(entries, &io->ring, 0);
    if (rc < 0)
        return rc;
    rc = io_uring_register_files(&io->ring, &fd, 1);
    if (rc < 0)
        io_uring_queue_exit(&io->ring);
    return rc;
}

void blk_io_destroy(struct blk_io *io)
{
    io_uring_queue_exit(&io->ring);
}

/* ---- to the kernel ------------------------------------------------------------------------ */

static struct io_uring_sqe *next_entry(struct blk_io *io)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);
    while (!sqe) {
        blk_io_submit(io);
        sqe = io_uring_get_sqe(&io->ring);
    }
    return sqe;
}

static void prepare_transfer(struct io_uring_sqe *sqe, const struct blk_request *r)
{
    const struct iovec *iov = &r->iov[r->current];
    unsigned count = r->count - r->current;
    uint64_t offset = r->offset + r->done;
    if (r->op == BLK_READ && count == 1)
        io_uring_prep_read(sqe, FILE_INDEX, iov->iov_base, (unsigned)iov->iov_len, offset);
    else if (r->op == BLK_READ)
        io_uring_prep_readv(sqe, FILE_INDEX, iov, count, offset);
    else if (count == 1)
        io_uring_prep_write(sqe, FILE_INDEX, iov->iov_base, (unsigned)iov->iov_len, offset);
    else
        io_uring_prep_writev(sqe, FILE_INDEX, iov, count, offset);
    if (r->op == BLK_WRITE && r->sync)
        sqe->rw_flags = RWF_DSYNC;
}

static void prepare_range(struct io_uring_sqe *sqe, const struct blk_request *r)
{
    const struct blk_range *range = &r->ranges[r->current];
    bool zero = r->op == BLK_ZERO && !range->unmap;
    int mode = FALLOC_FL_KEEP_SIZE | (zero ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE);
    io_uring_prep_fallocate(sqe, FILE_INDEX, mode, (off_t)range->offset, (off_t)range->length);
}

static bool is_transfer(const struct blk_request *r)
{
    return r->op == BLK_READ || r->op == BLK_WRITE;
}

static void queue_step(struct blk_io *io, struct blk_request *r)
{
    struct io_uring_sqe *sqe = next_entry(io);
    if (r->op == BLK_FLUSH || r->current == r->count)
        io_uring_prep_fsync(sqe, FILE_INDEX, IORING_FSYNC_DATASYNC);
    else if (is_transfer(r))
        prepare_transfer(sqe, r);
    else
        prepare_range(sqe, r);
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data(sqe, r);
}

void blk_io_start(struct blk_io *io, struct blk_request *r)
{
    r->done = 0;
    r->current = 0;
    r->error = 0;
    io->in_flight++;
    queue_step(io, r);
}

/* The kernel stops at an entry that it refuses, and may be short of memory for a moment; the
 * completion ring has room for all that can be in flight, so nothing else can keep it. */
void blk_io_submit(struct blk_io *io)
{
    while (io_uring_sq_ready(&io->ring) > 0)
        io_uring_submit(&io->ring);
}

void blk_io_wait(struct blk_io *io)
{
    blk_io_submit(io);
    struct io_uring_cqe *cqe;
    (void)io_uring_wait_cqe(&io->ring, &cqe); /* interrupted: the caller asks again */
}

void blk_io_cancel(struct blk_io *io)
{
    if (io->in_flight == 0)
        return;
    io->cancelled = true;
    struct io_uring_sqe *sqe = next_entry(io);
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY);
    io_uring_sqe_set_data(sqe, NULL);
    blk_io_submit(io);
}

void blk_io_wake(struct blk_io *io)
{
    struct io_uring_sqe *sqe = next_entry(io);
    io_uring_prep_nop(sqe);
    io_uring_sqe_set_data(sqe, NULL);
    blk_io_submit(io);
}

/* ---- from the kernel ---------------------------------------------------------------------- */

static void skip_bytes(struct blk_request *r, uint64_t bytes)
{
    r->done += bytes;
    while (bytes > 0 && bytes >= r->iov[r->current].iov_len)
        bytes -= r->iov[r->current++].iov_len;
    if (bytes > 0) {
        struct iovec *iov = &r->iov[r->current];
        iov->iov_base = (char *)iov->iov_base + bytes;
        iov->iov_len -= bytes;
    }
}

/* Interrupted without anything being done. ECANCELED: the thread that submitted it has ended. */
static bool is_worth_repeating(int code)
{
    return code == EINTR || code == EAGAIN || code == ECANCELED;
}

/* A file system that cannot zero a range can often punch a hole, which reads the same. */
static bool can_punch_instead(const struct blk_request *r, int code)
{
    return code == EOPNOTSUPP && r->op == BLK_ZERO && r->current < r->count &&
           !r->ranges[r->current].unmap;
}

/* A step has failed; returns whether that is the request's end. */
static bool take_failure(struct blk_request *r, int code)
{
    if (can_punch_instead(r, code)) {
        r->ranges[r->current].unmap = true;
        return false;
    }
    if (is_worth_repeating(code))
        return false;
    r->error = code;
    return true;
}

/* A step has succeeded; returns whether that was the last one. */
static bool take_success(struct blk_request *r, uint64_t bytes)
{
    switch (r->op) {
    case BLK_READ:
    case BLK_WRITE:
        skip_bytes(r, bytes);
        return r->current == r->count;
    case BLK_FLUSH:
        return true;
    default:
        if (r->current == r->count) /* that was the fsync behind the ranges */
            return true;
        r->current++;
        return r->current == r->count && !r->sync;
    }
}

static bool end_step(const struct blk_io *io, struct blk_request *r, int result)
{
    if (result == 0 && is_transfer(r)) /* the file has become shorter */
        result = -EIO;
    bool over = result < 0 ? take_failure(r, -result) : take_success(r, (uint64_t)result);
    if (!over && io->cancelled)
        r->error = ECANCELED;
    return over || io->cancelled;
}

struct blk_request *blk_io_finished(struct blk_io *io)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&io->ring, &cqe) == 0) {
        struct blk_request *r = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&io->ring, cqe);
        if (!r)
            continue;
        if (end_step(io, r, result)) {
            io->in_flight--;
            io->cancelled &= io->in_flight > 0;
            return r;
        }
        queue_step(io, r);
    }
    return NULL;
}
