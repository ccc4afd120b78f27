/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to a disk's file over one io_uring: started in any number, submitted together, finished
 * in any order. What the kernel did only in part is continued here, so a request ends done or
 * failed.
 *
 * The ring's own descriptor polls readable when something has finished, so it goes into the event
 * loop as it is. The file is registered with the ring: no request has to look it up.
 *
 * With an overlay, a write goes to its own file and a range is punched out there; a read goes on
 * from file to file, one step for each piece.
 *
 * Not thread-safe: used under the loop's lock.
 */
#ifndef THAW_DEVICES_VIRTIO_BLK_IO_H
#define THAW_DEVICES_VIRTIO_BLK_IO_H

#include "devices/virtio/overlay.h"
#include "devices/virtio/queue.h"

#include <liburing.h>

#define BLK_RANGES_MAX 32u

enum blk_op {
    BLK_READ,
    BLK_WRITE,
    BLK_FLUSH,
    BLK_DISCARD, /* the ranges' contents are of no use any more */
    BLK_ZERO,    /* the ranges become zeros */
};

/* In bytes, `length` not 0. */
struct blk_range {
    uint64_t offset, length;
    bool unmap; /* BLK_ZERO: the storage may be freed */
};

/* One request. The caller fills the upper part; it and the memory that the iovecs point to must
 * stay until the request comes back. */
struct blk_request {
    enum blk_op op;
    bool sync;       /* on the storage before it counts as done */
    uint64_t offset; /* BLK_READ, BLK_WRITE: where on the disk, in bytes */
    uint64_t length; /* BLK_READ, BLK_WRITE: bytes of all iovecs, not 0 */
    unsigned count;  /* of iov or ranges: 1 or more, but for BLK_FLUSH */
    union {
        struct iovec iov[VIRTQ_SIZE_MAX];
        struct blk_range ranges[BLK_RANGES_MAX];
    };

    uint64_t done;    /* bytes read or written */
    unsigned current; /* the iovec or range that is next */
    unsigned cut;     /* the iovec that was shortened for this step... */
    size_t cut_from;  /* ...and its length before; 0: none was */
    int error;        /* at the end: 0 or a positive errno; ECANCELED after blk_io_cancel() */
};

struct blk_io {
    struct io_uring ring;
    struct overlay *overlay; /* NULL: none */
    unsigned in_flight;      /* started and not yet come back */
    bool cancelled;
};

/* `entries`: how many requests there may be at a time. The ring keeps the file of `fd` for itself;
 * the descriptor stays the caller's. `overlay` (NULL: none) must stay; with one, `fd` is only read,
 * and neither BLK_FLUSH nor `sync` is for this disk. Negative errno: io_uring cannot be used. */
int blk_io_init(struct blk_io *io, int fd, struct overlay *overlay, unsigned entries);

/* Nothing may be in flight. */
void blk_io_destroy(struct blk_io *io);

/* The descriptor to wait on (EPOLLIN). */
static inline int blk_io_descriptor(const struct blk_io *io)
{
    return io->ring.ring_fd;
}

/* Queues a request; blk_io_submit() hands all of them to the kernel at once. */
void blk_io_start(struct blk_io *io, struct blk_request *request);
void blk_io_submit(struct blk_io *io);

/* A request that has finished, `error` being set; NULL when there is none at present. What it
 * continues needs another blk_io_submit(). */
struct blk_request *blk_io_finished(struct blk_io *io);

/* Submits, and waits until something has finished. */
void blk_io_wait(struct blk_io *io);

/* Asks the kernel to give up what it has not begun, and continues nothing any more, until all that
 * is in flight has come back. */
void blk_io_cancel(struct blk_io *io);

/* Makes the descriptor readable, though nothing may have finished. */
void blk_io_wake(struct blk_io *io);

#endif
