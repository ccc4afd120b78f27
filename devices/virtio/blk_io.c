/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/blk_io.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* At the index that is their enum overlay_file. */
static int register_files(struct blk_io *io, int fd)
{
    const struct overlay *overlay = io->overlay;
    if (!overlay)
        return io_uring_register_files(&io->ring, &fd, 1);
    const int files[] = {
        [OVERLAY_BASE] = fd, [OVERLAY_OWN] = overlay->fd, [OVERLAY_LAYER] = overlay->layer.fd};
    return io_uring_register_files(&io->ring, files, overlay->layer.fd < 0 ? 2 : 3);
}

int blk_io_init(struct blk_io *io, int fd, struct overlay *overlay, unsigned entries)
{
    *io = (struct blk_io){.overlay = overlay};
    int rc = io_uring_queue_init(entries, &io->ring, 0);
    if (rc < 0)
        return rc;
    rc = register_files(io, fd);
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

/* Where the next step of a transfer goes: without an overlay, all that is left. */
static struct overlay_extent find_extent(const struct blk_io *io, const struct blk_request *r)
{
    uint64_t offset = r->offset + r->done, left = r->length - r->done;
    if (io->overlay && r->op == BLK_READ)
        return overlay_find(io->overlay, offset, left);
    return (struct overlay_extent){
        .file = io->overlay ? OVERLAY_OWN : OVERLAY_BASE, .offset = offset, .length = left};
}

/* Lets the iovecs end after `length` bytes, until uncut(); returns how many of them that are. */
static unsigned cut(struct blk_request *r, uint64_t length)
{
    unsigned last = r->current;
    while (length > r->iov[last].iov_len)
        length -= r->iov[last++].iov_len;
    r->cut = last;
    r->cut_from = r->iov[last].iov_len;
    r->iov[last].iov_len = length;
    return last + 1 - r->current;
}

static void uncut(struct blk_request *r)
{
    if (r->cut_from > 0)
        r->iov[r->cut].iov_len = r->cut_from;
    r->cut_from = 0;
}

static void prepare_transfer(struct blk_io *io, struct io_uring_sqe *sqe, struct blk_request *r)
{
    const struct overlay_extent to = find_extent(io, r);
    bool is_rest = to.length == r->length - r->done;
    unsigned count = is_rest ? r->count - r->current : cut(r, to.length);
    const struct iovec *iov = &r->iov[r->current];
    int file = (int)to.file;
    if (r->op == BLK_READ && count == 1)
        io_uring_prep_read(sqe, file, iov->iov_base, (unsigned)iov->iov_len, to.offset);
    else if (r->op == BLK_READ)
        io_uring_prep_readv(sqe, file, iov, count, to.offset);
    else if (count == 1)
        io_uring_prep_write(sqe, file, iov->iov_base, (unsigned)iov->iov_len, to.offset);
    else
        io_uring_prep_writev(sqe, file, iov, count, to.offset);
    if (r->op == BLK_WRITE && r->sync)
        sqe->rw_flags = RWF_DSYNC;
}

/* An overlay keeps no room for zeros: a hole in it is as good. */
static void prepare_range(const struct blk_io *io, struct io_uring_sqe *sqe,
                          const struct blk_request *r)
{
    const struct blk_range *range = &r->ranges[r->current];
    bool zero = r->op == BLK_ZERO && !range->unmap && !io->overlay;
    int file = io->overlay ? OVERLAY_OWN : OVERLAY_BASE;
    int mode = FALLOC_FL_KEEP_SIZE | (zero ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE);
    io_uring_prep_fallocate(sqe, file, mode, (off_t)range->offset, (off_t)range->length);
}

static bool is_transfer(const struct blk_request *r)
{
    return r->op == BLK_READ || r->op == BLK_WRITE;
}

static void queue_step(struct blk_io *io, struct blk_request *r)
{
    struct io_uring_sqe *sqe = next_entry(io);
    if (r->op == BLK_FLUSH || r->current == r->count)
        io_uring_prep_fsync(sqe, OVERLAY_BASE, IORING_FSYNC_DATASYNC);
    else if (is_transfer(r))
        prepare_transfer(io, sqe, r);
    else
        prepare_range(io, sqe, r);
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data(sqe, r);
}

void blk_io_start(struct blk_io *io, struct blk_request *r)
{
    r->done = 0;
    r->current = 0;
    r->error = 0;
    r->cut_from = 0;
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

/* Before the guest hears of it, so that what it asks next finds it. */
static void mark(const struct blk_io *io, uint64_t offset, uint64_t length)
{
    if (io->overlay)
        overlay_mark(io->overlay, offset, length);
}

static bool end_transfer(const struct blk_io *io, struct blk_request *r, uint64_t bytes)
{
    skip_bytes(r, bytes);
    if (r->current < r->count)
        return false;
    if (r->op == BLK_WRITE)
        mark(io, r->offset, r->length);
    return true;
}

static bool end_range(const struct blk_io *io, struct blk_request *r)
{
    if (r->current == r->count) /* that was the fsync behind the ranges */
        return true;
    mark(io, r->ranges[r->current].offset, r->ranges[r->current].length);
    r->current++;
    return r->current == r->count && !r->sync;
}

/* A step has succeeded; returns whether that was the last one. */
static bool take_success(const struct blk_io *io, struct blk_request *r, uint64_t bytes)
{
    if (is_transfer(r))
        return end_transfer(io, r, bytes);
    return r->op == BLK_FLUSH || end_range(io, r);
}

static bool end_step(const struct blk_io *io, struct blk_request *r, int result)
{
    if (is_transfer(r))
        uncut(r);
    if (result == 0 && is_transfer(r)) /* the file has become shorter */
        result = -EIO;
    bool over = result < 0 ? take_failure(r, -result) : take_success(io, r, (uint64_t)result);
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
