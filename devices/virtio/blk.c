/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/blk.h"

#include "devices/virtio/blk_file.h"
#include "devices/virtio/blk_io.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

#define QUEUE_SIZE 256u
#define BIT(n)     (1ull << (n))

/* Segments of one request: the longest chain without the header, the status and the descriptor of
 * an indirect table, which a driver may count. */
#define SEGMENTS_MAX (VIRTQ_SIZE_MAX - 3)

/* Of one discard or write-zeroes range, in sectors: 2 GiB. The kernel works through a range in one
 * go, and a reset has to wait for it. */
#define RANGE_SECTORS_MAX (1u << 22)

/* File systems allocate pages: telling the guest lets it place its own blocks on them. */
#define PAGE_SHIFT_SECTORS 3u

/* How often the queue is looked at before the other devices of the loop have their turn. */
#define ROUNDS_MAX 16u

/* So much is taken at a time. */
#define ROUND_BYTES (256u << 10)

/* prepare() has filled a request for the disk; its other results are statuses. */
#define FOR_THE_DISK (-1)

/* What fields Linux 5.0 knew; those behind belong to features that are not offered. */
#define CONFIG_SIZE (offsetof(struct virtio_blk_config, write_zeroes_may_unmap) + 4)

_Static_assert(sizeof(struct blk_state) == 32, "no padding");

/* A request of the guest. Its head finds it: the queue lets no head be in flight twice. */
struct request {
    struct blk_request disk; /* first: what comes back from blk_io_finished() */
    uint16_t head;
    uint8_t *status;  /* in guest memory, the last writable byte */
    uint32_t data_in; /* writable bytes before the status */
};

struct blk {
    struct virtio_device base;
    struct blk_io io;
    bool has_io, has_overlay;
    struct overlay overlay;
    int lock_fd; /* see blk_file_lock() */
    struct loop_source *source;
    uint64_t capacity; /* sectors */
    bool read_only;
    char serial[BLK_SERIAL_MAX];
    struct virtio_blk_config config;
    struct virtq_chain chain; /* the one being looked at: too large for the stack */
    struct request requests[QUEUE_SIZE];
};

static struct blk *blk_of(struct virtio_device *device)
{
    return (struct blk *)device;
}

static struct virtq *queue_of(struct blk *blk)
{
    return &blk->base.queues[0];
}

/* ---- giving back -------------------------------------------------------------------------- */

/* `filled`: bytes of data_in that hold something new; a driver must not rely on more (2.7.8.2). */
static void finish(struct blk *blk, const struct request *r, int status, uint64_t filled)
{
    bool up_to_the_status = filled >= r->data_in;
    *r->status = (uint8_t)status;
    virtq_push(queue_of(blk), r->head, up_to_the_status ? r->data_in + 1 : (uint32_t)filled);
}

static int status_of(int error)
{
    if (error == 0)
        return VIRTIO_BLK_S_OK;
    return error == EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

static void finish_requests(struct blk *blk)
{
    struct blk_request *disk;
    while ((disk = blk_io_finished(&blk->io)) != NULL)
        finish(blk, (struct request *)disk, status_of(disk->error),
               disk->op == BLK_READ ? disk->done : 0);
}

/* ---- taking ------------------------------------------------------------------------------- */

static bool is_on_disk(const struct blk *blk, uint64_t sector, uint64_t sectors)
{
    return sector <= blk->capacity && sectors <= blk->capacity - sector;
}

static int prepare_transfer(const struct blk *blk, struct request *r, uint64_t sector,
                            uint64_t bytes)
{
    if (bytes % BLK_SECTOR != 0 || !is_on_disk(blk, sector, bytes / BLK_SECTOR))
        return VIRTIO_BLK_S_IOERR;
    r->disk.offset = sector * BLK_SECTOR;
    r->disk.length = bytes;
    return bytes > 0 ? FOR_THE_DISK : VIRTIO_BLK_S_OK;
}

static int prepare_read(struct blk *blk, struct request *r, uint64_t sector)
{
    r->disk.op = BLK_READ;
    r->disk.count = virtq_chain_writable(&blk->chain, 0, r->data_in, r->disk.iov);
    return prepare_transfer(blk, r, sector, r->data_in);
}

static int prepare_write(struct blk *blk, struct request *r, uint64_t sector)
{
    const uint64_t header = sizeof(struct virtio_blk_outhdr);
    uint64_t bytes = blk->chain.readable - header;
    if (blk->read_only)
        return VIRTIO_BLK_S_IOERR;
    r->disk.op = BLK_WRITE;
    r->disk.count = virtq_chain_readable(&blk->chain, header, bytes, r->disk.iov);
    return prepare_transfer(blk, r, sector, bytes);
}

/* A segment of discard or write-zeroes (5.2.6), read once already. */
static int prepare_range(const struct blk *blk, const struct virtio_blk_discard_write_zeroes *from,
                         uint32_t flags_allowed, struct blk_range *to)
{
    if (from->flags & ~flags_allowed)
        return VIRTIO_BLK_S_UNSUPP;
    if (from->num_sectors == 0 || from->num_sectors > RANGE_SECTORS_MAX ||
        !is_on_disk(blk, from->sector, from->num_sectors))
        return VIRTIO_BLK_S_IOERR;
    *to = (struct blk_range){
        .offset = from->sector * BLK_SECTOR,
        .length = (uint64_t)from->num_sectors * BLK_SECTOR,
        .unmap = from->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
    };
    return FOR_THE_DISK;
}

static int prepare_ranges(struct blk *blk, struct request *r, enum blk_op op,
                          uint32_t flags_allowed)
{
    struct virtio_blk_discard_write_zeroes segments[BLK_RANGES_MAX];
    const uint64_t header = sizeof(struct virtio_blk_outhdr);
    uint64_t bytes = blk->chain.readable - header;
    if (blk->read_only || bytes == 0 || bytes > sizeof(segments) || bytes % sizeof(*segments) != 0)
        return VIRTIO_BLK_S_IOERR;
    virtq_chain_read(&blk->chain, header, segments, bytes);
    r->disk.op = op;
    r->disk.count = (unsigned)(bytes / sizeof(*segments));
    for (unsigned i = 0; i < r->disk.count; i++) {
        int status = prepare_range(blk, &segments[i], flags_allowed, &r->disk.ranges[i]);
        if (status != FOR_THE_DISK)
            return status;
    }
    return FOR_THE_DISK;
}

/* Nobody can read an overlay after a failure: there is nothing to make safe. */
static int prepare_flush(const struct blk *blk, struct request *r)
{
    if (blk->has_overlay)
        return VIRTIO_BLK_S_OK;
    r->disk.op = BLK_FLUSH;
    return FOR_THE_DISK;
}

static int prepare(struct blk *blk, struct request *r, const struct virtio_blk_outhdr *header)
{
    switch (header->type) {
    case VIRTIO_BLK_T_IN:
        return prepare_read(blk, r, header->sector);
    case VIRTIO_BLK_T_OUT:
        return prepare_write(blk, r, header->sector);
    case VIRTIO_BLK_T_FLUSH:
        return prepare_flush(blk, r);
    case VIRTIO_BLK_T_DISCARD:
        return prepare_ranges(blk, r, BLK_DISCARD, 0);
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return prepare_ranges(blk, r, BLK_ZERO, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
    default:
        return VIRTIO_BLK_S_UNSUPP;
    }
}

static void answer_id(struct blk *blk, const struct request *r)
{
    uint64_t length = r->data_in < BLK_SERIAL_MAX ? r->data_in : BLK_SERIAL_MAX;
    virtq_chain_write(&blk->chain, 0, blk->serial, length);
    finish(blk, r, VIRTIO_BLK_S_OK, length);
}

static uint8_t *last_byte(const struct virtq_chain *chain)
{
    const struct iovec *last = &chain->iov[chain->readable_count + chain->writable_count - 1];
    return (uint8_t *)last->iov_base + last->iov_len - 1;
}

/* The chain may be cut into descriptors anywhere: only its two parts count (2.7.4.3). */
static void take_request(struct blk *blk)
{
    const struct virtq_chain *chain = &blk->chain;
    struct request *r = &blk->requests[chain->head];
    struct virtio_blk_outhdr header;
    if (virtq_chain_read(chain, 0, &header, sizeof(header)) < 0 || chain->writable == 0) {
        virtq_push(queue_of(blk), chain->head, 0);
        virtio_fail(&blk->base);
        return;
    }
    r->head = chain->head;
    r->status = last_byte(chain);
    r->data_in = chain->writable - 1;
    r->disk.sync = !virtio_has(&blk->base, BIT(VIRTIO_BLK_F_FLUSH)) && !blk->has_overlay;
    if (header.type == VIRTIO_BLK_T_GET_ID) {
        answer_id(blk, r);
        return;
    }
    int status = prepare(blk, r, &header);
    if (status == FOR_THE_DISK)
        blk_io_start(&blk->io, &r->disk);
    else
        finish(blk, r, status, 0);
}

/* Until the queue is empty, or has given enough bytes to be going on with. */
static uint64_t take_requests(struct blk *blk)
{
    uint64_t bytes = 0;
    while (bytes < ROUND_BYTES && virtio_is_active(&blk->base)) {
        int rc = virtq_pop(queue_of(blk), &blk->chain);
        if (rc < 0)
            virtio_fail(&blk->base);
        if (rc <= 0)
            break;
        bytes += (uint64_t)blk->chain.readable + blk->chain.writable;
        take_request(blk);
    }
    return bytes;
}

/* One submission for all that is there, or for so much of it that the driver can go on with one
 * part while the next is copied. What the page cache can answer has finished when the submission
 * returns. Returns the bytes that were taken. */
static uint64_t serve_once(struct blk *blk)
{
    uint64_t bytes = take_requests(blk);
    blk_io_submit(&blk->io);
    finish_requests(blk);
    blk_io_submit(&blk->io); /* the rest of what was done in part */
    return bytes;
}

static bool has_more(struct blk *blk)
{
    return virtio_is_active(&blk->base) && virtq_has_work(queue_of(blk));
}

/*
 * One interrupt for all that comes in a row, while it is small: a driver with many requests to give
 * puts the next into the queue while one is served, and an interrupt would keep it from that. With
 * a single request at a time nothing waits.
 */
static void serve(struct blk *blk)
{
    virtq_want_notifications(queue_of(blk), false);
    unsigned rounds = 0;
    do {
        if (serve_once(blk) >= ROUND_BYTES)
            virtio_notify_driver(&blk->base, 0);
    } while (++rounds < ROUNDS_MAX && has_more(blk));
    virtio_notify_driver(&blk->base, 0);
    virtq_want_notifications(queue_of(blk), true);
    if (has_more(blk)) /* it came between, or is too much for one turn */
        blk_io_wake(&blk->io);
}

/* ---- the device --------------------------------------------------------------------------- */

static void on_finished(void *ctx, uint32_t events)
{
    struct blk *blk = ctx;
    (void)events;
    if (!blk->base.stopped)
        serve(blk);
}

static void blk_notify(struct virtio_device *device, unsigned queue)
{
    (void)queue;
    serve(blk_of(device));
}

static void blk_reset(struct virtio_device *device)
{
    struct blk *blk = blk_of(device);
    blk_io_cancel(&blk->io);
    while (blk->io.in_flight > 0) {
        blk_io_wait(&blk->io);
        while (blk_io_finished(&blk->io))
            ; /* the driver has forgotten them */
    }
}

static void blk_stop(struct virtio_device *device)
{
    struct blk *blk = blk_of(device);
    finish_requests(blk); /* a wake-up too: it would keep the loop busy */
    while (blk->io.in_flight > 0) {
        blk_io_wait(&blk->io);
        finish_requests(blk);
    }
    virtio_notify_driver(device, 0);
}

static void blk_config_read(struct virtio_device *device, uint32_t offset, void *to, uint32_t size)
{
    memcpy(to, (const char *)&blk_of(device)->config + offset, size);
}

static void blk_free(struct blk *blk)
{
    if (!blk)
        return;
    loop_remove(blk->source);
    if (blk->has_io)
        blk_io_destroy(&blk->io);
    if (blk->has_overlay)
        overlay_free(&blk->overlay);
    if (blk->lock_fd >= 0)
        close(blk->lock_fd);
    free(blk);
}

static void blk_destroy(struct virtio_device *device)
{
    blk_free(blk_of(device));
}

/* ---- state -------------------------------------------------------------------------------- */

static void blk_save(struct virtio_device *device, void *state)
{
    const struct blk *blk = blk_of(device);
    struct blk_state saved = {.capacity = blk->capacity, .read_only = blk->read_only};
    memcpy(saved.serial, blk->serial, sizeof(saved.serial));
    memcpy(state, &saved, sizeof(saved));
}

static int blk_load(struct virtio_device *device, const void *state, struct thaw_error *err)
{
    struct blk *blk = blk_of(device);
    struct blk_state saved;
    memcpy(&saved, state, sizeof(saved));
    if (saved.capacity != blk->capacity)
        return thaw_fail(err, EINVAL,
                         "virtio-blk: state: the saved disk has %llu sectors, this one %llu",
                         (unsigned long long)saved.capacity, (unsigned long long)blk->capacity);
    if (saved.read_only != blk->read_only)
        return thaw_fail(err, EINVAL, "virtio-blk: state: the saved disk is %s, this one is %s",
                         saved.read_only ? "read-only" : "writable",
                         blk->read_only ? "read-only" : "writable");
    memcpy(blk->serial, saved.serial, sizeof(blk->serial));
    return 0;
}

static const struct virtio_ops ops = {
    .name = "virtio-blk",
    .id = VIRTIO_ID_BLOCK,
    .reset = blk_reset,
    .notify = blk_notify,
    .config_read = blk_config_read,
    .config_size = CONFIG_SIZE,
    .stop = blk_stop,
    .state_size = sizeof(struct blk_state),
    .save = blk_save,
    .load = blk_load,
    .destroy = blk_destroy,
};

/* ---- creation ----------------------------------------------------------------------------- */

static void fill_config(struct blk *blk)
{
    blk->config = (struct virtio_blk_config){
        .capacity = blk->capacity,
        .seg_max = SEGMENTS_MAX,
        .blk_size = BLK_SECTOR,
        .physical_block_exp = PAGE_SHIFT_SECTORS,
        .min_io_size = 1u << PAGE_SHIFT_SECTORS,
    };
    if (blk->read_only)
        return;
    blk->config.max_discard_sectors = RANGE_SECTORS_MAX;
    blk->config.max_discard_seg = BLK_RANGES_MAX;
    blk->config.discard_sector_alignment = 1u << PAGE_SHIFT_SECTORS;
    blk->config.max_write_zeroes_sectors = RANGE_SECTORS_MAX;
    blk->config.max_write_zeroes_seg = BLK_RANGES_MAX;
    blk->config.write_zeroes_may_unmap = 1;
}

static uint64_t features_of(const struct blk *blk)
{
    uint64_t features = BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
                        BIT(VIRTIO_BLK_F_TOPOLOGY) | BIT(VIRTIO_BLK_F_FLUSH);
    if (blk->read_only)
        return features | BIT(VIRTIO_BLK_F_RO);
    return features | BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES);
}

static int open_overlay(struct blk *blk, const struct blk_config *config, struct thaw_error *err)
{
    int rc = overlay_init(&blk->overlay, blk->capacity, config->layer, err);
    blk->has_overlay = rc == 0;
    return rc < 0 ? thaw_context(err, "--disk %s", config->path) : 0;
}

static int open_ring(struct blk *blk, const struct blk_config *config, int fd,
                     struct thaw_error *err)
{
    struct overlay *overlay = blk->has_overlay ? &blk->overlay : NULL;
    int rc = blk_io_init(&blk->io, fd, overlay, QUEUE_SIZE);
    if (rc < 0)
        return thaw_fail_as(err, THAW_FAIL_IO, -rc,
                            "--disk %s: io_uring is not available: %s (sysctl "
                            "kernel.io_uring_disabled must be 0, and no seccomp filter forbid it)",
                            config->path, strerror(-rc));
    blk->has_io = true;
    return 0;
}

static int open_io(struct blk *blk, const struct blk_config *config, struct thaw_error *err)
{
    bool only_read = config->read_only || config->overlay;
    cleanup_close int fd = blk_file_open(config->path, only_read, &blk->capacity, err);
    if (fd < 0)
        return fd;
    blk->lock_fd = blk_file_lock(fd, config->path, only_read, err);
    if (blk->lock_fd < 0)
        return blk->lock_fd;
    int rc = config->overlay ? open_overlay(blk, config, err) : 0;
    return rc < 0 ? rc : open_ring(blk, config, fd, err);
}

static int set_serial(struct blk *blk, const struct blk_config *config, struct thaw_error *err)
{
    size_t length = config->serial ? strlen(config->serial) : 0;
    if (length > BLK_SERIAL_MAX)
        return thaw_fail_as(err, THAW_FAIL_IO, EINVAL,
                            "--disk %s: the serial is longer than %u bytes", config->path,
                            BLK_SERIAL_MAX);
    if (length > 0)
        memcpy(blk->serial, config->serial, length);
    return 0;
}

static void cleanup_blk_fn(struct blk **blk)
{
    blk_free(*blk);
}

int blk_create(const struct blk_config *config, const struct virtio_context *context,
               struct virtio_device **out, struct thaw_error *err)
{
    /* Large, but only what is used of it is ever touched. */
    cleanup(cleanup_blk_fn) struct blk *blk = calloc(1, sizeof(*blk));
    if (!blk)
        return thaw_fail(err, ENOMEM, "--disk %s", config->path);
    blk->lock_fd = -1;
    blk->read_only = config->read_only;
    int rc = open_io(blk, config, err);
    if (rc == 0)
        rc = set_serial(blk, config, err);
    if (rc < 0)
        return rc;
    fill_config(blk);
    virtio_device_init(&blk->base, &ops, context, features_of(blk), 1, QUEUE_SIZE);
    rc = loop_add(context->loop, blk_io_descriptor(&blk->io), EPOLLIN, on_finished, blk,
                  &blk->source, err);
    if (rc < 0)
        return thaw_context(err, "--disk %s", config->path);
    *out = &take(blk)->base;
    return 0;
}

/* ---- for snapshots ------------------------------------------------------------------------ */

static const struct blk *const_blk_of(const struct virtio_device *device)
{
    return (const struct blk *)device;
}

int blk_descriptor(const struct virtio_device *device)
{
    return const_blk_of(device)->lock_fd;
}

uint64_t blk_sectors(const struct virtio_device *device)
{
    return const_blk_of(device)->capacity;
}

const struct overlay *blk_overlay(const struct virtio_device *device)
{
    const struct blk *blk = const_blk_of(device);
    return blk->has_overlay ? &blk->overlay : NULL;
}
