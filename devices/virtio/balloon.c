/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/balloon.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#define DEVICE_ID  5
#define QUEUE_SIZE 128u

/* PFNs that are read at a time, and those that one request may have (Linux sends up to 256). */
#define PFNS_BLOCK 256u
#define PFNS_MAX   16384u

/* Requests of one queue in one callback: the other devices want their turn. */
#define BUDGET 32u

/* 5.5.4, as far as it is there. */
struct balloon_space {
    uint32_t target, actual; /* num_pages and actual: pages */
};
#define SPACE_ACTUAL 4u

struct balloon {
    struct virtio_device base;
    struct balloon_space space;
    uint32_t ram_pages;
    int again_fd; /* eventfd: there is more in the queues */
    struct loop_source *again;
    uint64_t inflated_bytes, reported_bytes, refused;
    struct virtq_chain chain; /* large; used within one call */
};

static struct balloon *balloon_of(struct virtio_device *device)
{
    return (struct balloon *)device;
}

/* ---- giving memory back ------------------------------------------------------------------- */

/* `host` and `size` lie in guest RAM. */
static void discard(struct balloon *b, void *host, uint64_t size, uint64_t *bytes)
{
    bool is_whole = (uintptr_t)host % GUEST_PAGE_SIZE == 0 && size % GUEST_PAGE_SIZE == 0;
    if (is_whole && madvise(host, size, MADV_DONTNEED) == 0)
        *bytes += size;
    else
        b->refused++;
}

/* Pages that lie one behind the other, up to now. */
struct run {
    char *start;
    uint64_t size;
};

static void end_run(struct balloon *b, struct run *run)
{
    if (run->size > 0)
        discard(b, run->start, run->size, &b->inflated_bytes);
    run->size = 0;
}

/* A guest takes its pages as they come: often in rising order, sometimes in falling. */
static void add_page(struct balloon *b, struct run *run, uint32_t pfn)
{
    char *page = guest_memory_at(b->base.context.memory, (uint64_t)pfn * BALLOON_PAGE_SIZE,
                                 BALLOON_PAGE_SIZE);
    if (!page) {
        b->refused++;
        return;
    }
    if (run->size > 0 && page + BALLOON_PAGE_SIZE == run->start) {
        run->start = page;
    } else if (run->size == 0 || page != run->start + run->size) {
        end_run(b, run);
        run->start = page;
    }
    run->size += BALLOON_PAGE_SIZE;
}

static void inflate(struct balloon *b)
{
    struct run run = {0};
    uint32_t pfns[PFNS_BLOCK];
    uint32_t count = b->chain.readable / (uint32_t)sizeof(pfns[0]), wanted = count;
    if (count > PFNS_MAX)
        count = PFNS_MAX;
    b->refused += wanted - count;
    for (uint32_t done = 0; done < count; done += PFNS_BLOCK) {
        uint32_t block = count - done < PFNS_BLOCK ? count - done : PFNS_BLOCK;
        virtq_chain_read(&b->chain, done * sizeof(pfns[0]), pfns, block * sizeof(pfns[0]));
        for (uint32_t i = 0; i < block; i++)
            add_page(b, &run, pfns[i]);
    }
    end_run(b, &run);
}

/* The pages are the buffers themselves (5.5.6.5). */
static void take_report(struct balloon *b)
{
    const struct iovec *ranges = b->chain.iov + b->chain.readable_count;
    for (unsigned i = 0; i < b->chain.writable_count; i++)
        discard(b, ranges[i].iov_base, ranges[i].iov_len, &b->reported_bytes);
}

/* ---- queues ------------------------------------------------------------------------------- */

static void handle(struct balloon *b, unsigned queue)
{
    if (queue == BALLOON_QUEUE_INFLATE)
        inflate(b);
    else if (queue >= BALLOON_QUEUE_REPORTING)
        take_report(b);
    /* Deflating: the host has nothing to do, pages come back when they are touched. */
}

static void serve(struct balloon *b, unsigned queue)
{
    struct virtq *q = &b->base.queues[queue];
    unsigned done = 0;
    int rc = 0;
    while (done < BUDGET && (rc = virtq_pop(q, &b->chain)) > 0) {
        handle(b, queue);
        virtq_push(q, b->chain.head, 0);
        done++;
    }
    virtq_want_notifications(q, true);
    if (rc < 0)
        virtio_fail(&b->base);
    else if (virtq_has_work(q))
        eventfd_write(b->again_fd, 1);
    virtio_notify_driver(&b->base, queue);
}

static void balloon_notify(struct virtio_device *device, unsigned queue)
{
    if (queue < BALLOON_QUEUE_REPORTING || virtio_has(device, VIRTIO_BALLOON_F_REPORTING))
        serve(balloon_of(device), queue);
}

static void on_again(void *ctx, uint32_t events)
{
    struct balloon *b = ctx;
    eventfd_t ignored;
    (void)events;
    eventfd_read(b->again_fd, &ignored);
    for (unsigned i = 0; i < b->base.queue_count; i++)
        if (virtq_has_work(&b->base.queues[i]))
            virtio_kick(&b->base, i);
}

/* ---- configuration ------------------------------------------------------------------------ */

static void balloon_config_read(struct virtio_device *device, uint32_t offset, void *to,
                                uint32_t size)
{
    memcpy(to, (const char *)&balloon_of(device)->space + offset, size);
}

/* The driver writes `actual` and nothing else (5.5.4). */
static void balloon_config_write(struct virtio_device *device, uint32_t offset, const void *from,
                                 uint32_t size)
{
    struct balloon *b = balloon_of(device);
    uint32_t actual;
    if (offset != SPACE_ACTUAL || size != sizeof(actual))
        return;
    memcpy(&actual, from, sizeof(actual));
    if (actual <= b->ram_pages)
        b->space.actual = actual;
}

void balloon_set_target(struct virtio_device *device, uint32_t pages)
{
    struct balloon *b = balloon_of(device);
    if (pages > b->ram_pages)
        pages = b->ram_pages;
    if (pages == b->space.target)
        return;
    b->space.target = pages;
    virtio_config_changed(device);
}

void balloon_counters(const struct virtio_device *device, struct balloon_counters *out)
{
    const struct balloon *b = (const struct balloon *)device;
    *out = (struct balloon_counters){
        .target_pages = b->space.target,
        .actual_pages = b->space.actual,
        .inflated_bytes = b->inflated_bytes,
        .reported_bytes = b->reported_bytes,
        .refused = b->refused,
    };
}

/* ---- life --------------------------------------------------------------------------------- */

/* A driver that starts anew has given up nothing yet. */
static void balloon_reset(struct virtio_device *device)
{
    balloon_of(device)->space.actual = 0;
}

static void balloon_save(struct virtio_device *device, void *state)
{
    const struct balloon *b = balloon_of(device);
    const struct balloon_state saved = {.target_pages = b->space.target,
                                        .actual_pages = b->space.actual};
    memcpy(state, &saved, sizeof(saved));
}

static int balloon_load(struct virtio_device *device, const void *state, struct thaw_error *err)
{
    struct balloon *b = balloon_of(device);
    struct balloon_state saved;
    memcpy(&saved, state, sizeof(saved));
    if (saved.target_pages > b->ram_pages || saved.actual_pages > b->ram_pages)
        return thaw_fail(err, EINVAL, "virtio-balloon: state: more pages than there are");
    b->space = (struct balloon_space){.target = saved.target_pages, .actual = saved.actual_pages};
    return 0;
}

static void balloon_destroy(struct virtio_device *device)
{
    struct balloon *b = balloon_of(device);
    loop_remove(b->again);
    if (b->again_fd >= 0)
        close(b->again_fd);
    free(b);
}

static const struct virtio_ops balloon_ops = {
    .name = "virtio-balloon",
    .id = DEVICE_ID,
    .reset = balloon_reset,
    .notify = balloon_notify,
    .config_read = balloon_config_read,
    .config_write = balloon_config_write,
    .config_size = sizeof(struct balloon_space),
    .state_size = sizeof(struct balloon_state),
    .save = balloon_save,
    .load = balloon_load,
    .destroy = balloon_destroy,
};

static uint32_t count_pages(const struct guest_memory *memory)
{
    uint64_t pages = guest_memory_size(memory) / BALLOON_PAGE_SIZE;
    return pages < UINT32_MAX ? (uint32_t)pages : UINT32_MAX;
}

static int set_up(struct balloon *b, const struct balloon_config *config, struct thaw_error *err)
{
    b->ram_pages = count_pages(b->base.context.memory);
    if (config->target_pages > b->ram_pages)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--balloon: %u MiB of a guest that has %u MiB",
                            config->target_pages >> 8, b->ram_pages >> 8);
    b->space.target = config->target_pages;
    b->again_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->again_fd < 0)
        return thaw_fail(err, errno, "eventfd");
    return loop_add(b->base.context.loop, b->again_fd, EPOLLIN, on_again, b, &b->again, err);
}

int balloon_create(const struct balloon_config *config, const struct virtio_context *context,
                   struct virtio_device **out, struct thaw_error *err)
{
    struct balloon *b = calloc(1, sizeof(*b));
    if (!b)
        return thaw_fail(err, ENOMEM, "balloon");
    b->again_fd = -1;
    uint64_t features = VIRTIO_BALLOON_F_DEFLATE_ON_OOM;
    unsigned queues = BALLOON_QUEUE_REPORTING;
    if (config->reporting) {
        features |= VIRTIO_BALLOON_F_REPORTING;
        queues = BALLOON_QUEUES;
    }
    virtio_device_init(&b->base, &balloon_ops, context, features, queues, QUEUE_SIZE);
    int rc = set_up(b, config, err);
    if (rc < 0) {
        balloon_destroy(&b->base);
        return rc;
    }
    *out = &b->base;
    return 0;
}
