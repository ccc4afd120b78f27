/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/vsock.h"

#include "devices/virtio/vsock_table.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define DEVICE_ID   19u
#define HOST_CID    2ull
#define F_STREAM    (1ull << 0)
#define EVENT_RESET 0u   /* VIRTIO_VSOCK_EVENT_TRANSPORT_RESET */
#define BATCH       256u /* packets at a time, so that other devices get their turn */

enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT, QUEUES };

struct vsock {
    struct virtio_device base;
    uint64_t guest_cid;
    struct vsock_table *table;
    int wake_fd; /* eventfd: there is more to do than one turn allowed */
    struct loop_source *wake_source;
    bool event_pending;  /* the guest must be told to reset its connections */
    bool event_unproven; /* it was told; nothing yet shows that it has done so */
};

_Static_assert(sizeof(struct vsock_state) == 16, "no padding");

static bool may_touch_guest(const struct vsock *v)
{
    return !v->base.stopped && virtio_is_active(&v->base);
}

/* ---- packets ------------------------------------------------------------------------------ */

/* Takes a chain; when there is none, asks to be told of the next one. */
static int pop_or_wait(struct vsock *v, unsigned queue, struct virtq_chain *chain)
{
    struct virtq *q = &v->base.queues[queue];
    int rc = virtq_pop(q, chain);
    if (rc == 0) {
        virtq_want_notifications(q, true);
        rc = virtq_pop(q, chain); /* one may have come between */
    }
    if (rc < 0)
        virtio_fail(&v->base);
    return rc;
}

static void receive(struct vsock *v, const struct virtq_chain *chain)
{
    struct vsock_header header;
    if (virtq_chain_read(chain, 0, &header, sizeof(header)) < 0)
        return;
    if (header.src_cid == v->guest_cid && header.dst_cid == HOST_CID)
        vsock_table_receive(v->table, &header, chain);
}

static void receive_packets(struct vsock *v)
{
    struct virtq_chain chain;
    unsigned left = BATCH;
    for (; left > 0 && pop_or_wait(v, QUEUE_TX, &chain) > 0; left--) {
        receive(v, &chain);
        virtq_push(&v->base.queues[QUEUE_TX], chain.head, 0);
    }
    virtio_notify_driver(&v->base, QUEUE_TX);
    if (left == 0)
        eventfd_write(v->wake_fd, 1);
}

/* Returns the bytes used of the buffer; 0: there was no packet. */
static uint32_t fill(struct vsock *v, const struct virtq_chain *chain)
{
    struct vsock_header header;
    if (!vsock_table_send(v->table, chain, &header))
        return 0;
    header.src_cid = HOST_CID;
    header.dst_cid = v->guest_cid;
    (void)virtq_chain_write(chain, 0, &header, sizeof(header)); /* its room was looked at */
    return (uint32_t)sizeof(header) + header.len;
}

static void send_one(struct vsock *v, const struct virtq_chain *chain)
{
    struct virtq *q = &v->base.queues[QUEUE_RX];
    bool has_room = chain->writable > sizeof(struct vsock_header);
    uint32_t used = has_room ? fill(v, chain) : 0;
    if (used > 0)
        virtq_push(q, chain->head, used);
    else
        virtq_unpop(q, chain);
    if (!has_room)
        virtio_fail(&v->base);
}

static void send_packets(struct vsock *v)
{
    struct virtq_chain chain;
    unsigned left = BATCH;
    for (; left > 0 && may_touch_guest(v) && vsock_table_has_packets(v->table); left--) {
        if (pop_or_wait(v, QUEUE_RX, &chain) <= 0)
            break;
        send_one(v, &chain);
    }
    if (!may_touch_guest(v))
        return;
    if (!vsock_table_has_packets(v->table))
        virtq_want_notifications(&v->base.queues[QUEUE_RX], false);
    virtio_notify_driver(&v->base, QUEUE_RX);
    if (left == 0)
        eventfd_write(v->wake_fd, 1);
}

static void on_host_change(void *ctx)
{
    send_packets(ctx);
}

static void on_wake(void *ctx, uint32_t events)
{
    (void)events;
    struct vsock *v = ctx;
    eventfd_t ignored;
    (void)eventfd_read(v->wake_fd, &ignored);
    if (!may_touch_guest(v))
        return;
    receive_packets(v);
    send_packets(v);
    vsock_table_sweep(v->table);
}

/* ---- the event queue ---------------------------------------------------------------------- */

static void send_event(struct vsock *v)
{
    const uint32_t id = EVENT_RESET;
    struct virtq *q = &v->base.queues[QUEUE_EVENT];
    struct virtq_chain chain;
    if (pop_or_wait(v, QUEUE_EVENT, &chain) <= 0)
        return;
    if (virtq_chain_write(&chain, 0, &id, sizeof(id)) < 0) {
        virtq_unpop(q, &chain);
        virtio_fail(&v->base);
        return;
    }
    virtq_want_notifications(q, true);
    virtq_push(q, chain.head, sizeof(id));
    v->event_pending = false;
    v->event_unproven = true;
    virtio_notify_driver(&v->base, QUEUE_EVENT);
}

/* Told of the reset, a driver ends every connection that it finds then: also one that the host asks
 * for in the first millisecond after a restore, which is when a host program does. So requests
 * are held until the driver gives the event's buffer back. */
static void serve_events(struct vsock *v)
{
    if (v->event_pending)
        send_event(v);
    else
        v->event_unproven = false;
    vsock_table_hold_requests(v->table, v->event_pending || v->event_unproven);
}

/* ---- operations --------------------------------------------------------------------------- */

static void vsock_notify(struct virtio_device *device, unsigned queue)
{
    struct vsock *v = (struct vsock *)device;
    if (queue == QUEUE_TX)
        receive_packets(v);
    else if (queue == QUEUE_EVENT)
        serve_events(v);
    send_packets(v);
    vsock_table_sweep(v->table);
}

static void vsock_reset(struct virtio_device *device)
{
    struct vsock *v = (struct vsock *)device;
    v->event_pending = v->event_unproven = false;
    vsock_table_reset(v->table);
}

static void vsock_config_read(struct virtio_device *device, uint32_t offset, void *to,
                              uint32_t size)
{
    const struct vsock *v = (struct vsock *)device;
    memcpy(to, (const char *)&v->guest_cid + offset, size);
}

/* Every request is served where it is found: nothing is ever in flight. */
static void vsock_stop(struct virtio_device *device)
{
    struct vsock *v = (struct vsock *)device;
    v->event_pending |= v->event_unproven;
    v->event_unproven = false;
}

static void vsock_save(struct virtio_device *device, void *state)
{
    const struct vsock *v = (struct vsock *)device;
    *(struct vsock_state *)state =
        (struct vsock_state){.guest_cid = v->guest_cid, .reset_pending = v->event_pending};
}

static bool is_guest_cid(uint64_t cid)
{
    return cid >= VSOCK_GUEST_CID_MIN && cid <= VSOCK_GUEST_CID_MAX;
}

static int vsock_load(struct virtio_device *device, const void *state, struct thaw_error *err)
{
    struct vsock *v = (struct vsock *)device;
    const struct vsock_state *saved = state;
    if (!is_guest_cid(saved->guest_cid) || saved->reset_pending > 1 || saved->reserved != 0)
        return thaw_fail(err, EINVAL, "virtio-vsock: state");
    v->guest_cid = saved->guest_cid;
    v->event_pending = true; /* whatever was: the connections stayed behind */
    vsock_table_hold_requests(v->table, true);
    return 0;
}

static void vsock_destroy(struct virtio_device *device)
{
    struct vsock *v = (struct vsock *)device;
    vsock_table_destroy(v->table);
    loop_remove(v->wake_source);
    if (v->wake_fd >= 0)
        close(v->wake_fd);
    free(v);
}

static const struct virtio_ops ops = {
    .name = "virtio-vsock",
    .id = DEVICE_ID,
    .reset = vsock_reset,
    .notify = vsock_notify,
    .config_read = vsock_config_read,
    .config_size = sizeof(uint64_t),
    .stop = vsock_stop,
    .state_size = sizeof(struct vsock_state),
    .save = vsock_save,
    .load = vsock_load,
    .destroy = vsock_destroy,
};

/* ---- creation ----------------------------------------------------------------------------- */

static int open_host_side(struct vsock *v, const char *path, struct thaw_error *err)
{
    struct loop *loop = v->base.context.loop;
    v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (v->wake_fd < 0)
        return thaw_fail(err, errno, "eventfd");
    int rc = loop_add(loop, v->wake_fd, EPOLLIN, on_wake, v, &v->wake_source, err);
    if (rc < 0)
        return rc;
    return vsock_table_create(path, loop, on_host_change, v, &v->table, err);
}

int vsock_create(const struct vsock_config *config, const struct virtio_context *context,
                 struct virtio_device **out, struct thaw_error *err)
{
    if (!is_guest_cid(config->guest_cid))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--vsock: cid %llu is not %llu to %llu",
                            (unsigned long long)config->guest_cid, VSOCK_GUEST_CID_MIN,
                            VSOCK_GUEST_CID_MAX);
    struct vsock *v = calloc(1, sizeof(*v));
    if (!v)
        return thaw_fail(err, ENOMEM, "virtio-vsock");
    v->guest_cid = config->guest_cid;
    virtio_device_init(&v->base, &ops, context, F_STREAM, QUEUES, VIRTQ_SIZE_MAX);
    int rc = open_host_side(v, config->path, err);
    if (rc < 0) {
        vsock_destroy(&v->base);
        return rc;
    }
    *out = &v->base;
    return 0;
}
