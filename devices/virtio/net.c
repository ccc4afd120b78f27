/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/net.h"

#include "devices/virtio/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <xxhash.h>

#define DEVICE_ID    1
#define ETHER_HEADER 14u
#define FRAME_MAX    65535u
#define MTU_MIN      68u /* 5.1.4.1 */
#define MTU_DEFAULT  1500u
#define LINK_UP      1u

/* Frames in one callback: the other devices want their turn. */
#define BUDGET 64

/* struct virtio_net_hdr of 5.1.6. */
struct net_header {
    uint8_t flags, gso_type;
    uint16_t header_length, gso_size, checksum_start, checksum_offset;
    uint16_t buffers;
};
_Static_assert(sizeof(struct net_header) == TAP_HEADER_SIZE, "layout of virtio 1.2, 5.1.6");

#define FLAG_NEEDS_CSUM 1u
#define FLAGS_KNOWN     7u /* with DATA_VALID and RSC_INFO: each needs a feature not offered */

/* 5.1.4, as far as it is there. */
struct net_space {
    uint8_t mac[6];
    uint16_t status;
    uint16_t queue_pairs;
    uint16_t mtu;
};
_Static_assert(sizeof(struct net_space) == 12, "layout of virtio 1.2, 5.1.4");

struct net {
    struct virtio_device base;
    int fd;
    struct loop_source *source; /* NULL: the interface is gone */
    struct net_space space;     /* as the driver was told */
    bool starved;               /* no buffer to receive into: the driver's turn */
    bool tx_waits;              /* for room in the TAP, or for this device's next turn */
    struct net_counters counters;
    struct virtq_chain chain; /* large; used within one call */
};

static bool is_set(const uint8_t mac[6])
{
    static const uint8_t none[6];
    return memcmp(mac, none, sizeof(none)) != 0;
}

static struct net *net_of(struct virtio_device *device)
{
    return (struct net *)device;
}

/* ---- the descriptor ----------------------------------------------------------------------- */

static bool is_running(const struct net *net)
{
    return virtio_is_active(&net->base) && !net->base.stopped;
}

static void update_events(struct net *net)
{
    if (!net->source)
        return;
    uint32_t events = 0;
    if (is_running(net))
        events = (net->starved ? 0u : (uint32_t)EPOLLIN) | (net->tx_waits ? (uint32_t)EPOLLOUT : 0);
    loop_set_events(net->source, events);
}

static void announce_link(struct net *net)
{
    uint16_t status = net->source ? LINK_UP : 0;
    if (status == net->space.status)
        return;
    net->space.status = status;
    virtio_config_changed(&net->base);
}

/* Somebody deleted the interface: the cable is pulled, the card stays. */
static void lose_link(struct net *net)
{
    loop_remove(net->source);
    net->source = NULL;
    if (!net->base.stopped)
        announce_link(net);
}

/* ---- to the guest ------------------------------------------------------------------------- */

/* One byte more than fits is enough to know that a frame does not: a TAP cuts it off silently. A
 * TAP also wants room for its header, however small the chain is. */
#define BEYOND 16

/* Reads a frame into the chain behind where its header goes. Returns its size with the header, 0
 * if it is to be dropped, or a negative errno; -EPIPE at the end of all frames. */
static ssize_t read_frame(struct net *net)
{
    struct net_header header = {0};
    uint8_t beyond[BEYOND];
    struct iovec iov[VIRTQ_SIZE_MAX + 2] = {{.iov_base = &header, .iov_len = sizeof(header)}};
    unsigned count = 1 + virtq_chain_writable(&net->chain, sizeof(header), UINT32_MAX, iov + 1);
    iov[count++] = (struct iovec){.iov_base = beyond, .iov_len = sizeof(beyond)};

    ssize_t size = TEMP_FAILURE_RETRY(readv(net->fd, iov, (int)count));
    if (size <= 0)
        return size < 0 ? -errno : -EPIPE;
    bool is_frame = (size_t)size >= sizeof(header) + ETHER_HEADER;
    bool is_plain = header.gso_type == 0 && !(header.flags & FLAG_NEEDS_CSUM);
    return is_frame && is_plain && (size_t)size <= net->chain.writable ? size : 0;
}

/* Returns whether to go on. */
static bool receive_one(struct net *net)
{
    struct virtq *q = &net->base.queues[NET_QUEUE_RX];
    ssize_t size = read_frame(net);
    if (size <= 0) {
        virtq_unpop(q, &net->chain); /* for the next frame */
        net->counters.rx_dropped += size == 0;
        if (size < 0 && size != -EAGAIN && size != -ENOMEM && size != -ENOBUFS)
            lose_link(net);
        return size == 0;
    }
    const struct net_header header = {.buffers = 1};
    virtq_chain_write(&net->chain, 0, &header, sizeof(header));
    virtq_push(q, net->chain.head, (uint32_t)size);
    net->counters.rx_frames++;
    net->counters.rx_bytes += (uint64_t)size - sizeof(header);
    return true;
}

/* Takes a buffer, or asks the driver to say when there is one. */
static int next_buffer(struct net *net)
{
    struct virtq *q = &net->base.queues[NET_QUEUE_RX];
    int rc = virtq_pop(q, &net->chain);
    if (rc != 0)
        return rc;
    virtq_want_notifications(q, true);
    if (!virtq_has_work(q)) {
        net->starved = true;
        return 0;
    }
    virtq_want_notifications(q, false); /* one came between */
    return virtq_pop(q, &net->chain);
}

static void receive(struct net *net)
{
    int rc = 1;
    for (unsigned i = 0; i < BUDGET; i++) {
        rc = next_buffer(net);
        if (rc <= 0 || !receive_one(net))
            break;
    }
    if (rc < 0)
        virtio_fail(&net->base);
    virtio_notify_driver(&net->base, NET_QUEUE_RX);
}

/* ---- from the guest ----------------------------------------------------------------------- */

/* The length of the frame, or 0 if this is none that can be sent. */
static uint32_t frame_length(const struct virtq_chain *chain)
{
    struct net_header header;
    if (chain->readable < sizeof(header) + ETHER_HEADER ||
        chain->readable > sizeof(header) + FRAME_MAX || chain->writable > 0)
        return 0;
    virtq_chain_read(chain, 0, &header, sizeof(header));
    bool is_plain = header.gso_type == 0 && !(header.flags & FLAGS_KNOWN);
    return is_plain ? chain->readable - (uint32_t)sizeof(header) : 0;
}

/* Returns -EAGAIN when it has to wait; anything else is final. */
static int write_frame(struct net *net, uint32_t length)
{
    /* A header of our own: the guest's could have changed since it was looked at. */
    struct net_header header = {0};
    struct iovec iov[VIRTQ_SIZE_MAX + 1] = {{.iov_base = &header, .iov_len = sizeof(header)}};
    unsigned count = 1 + virtq_chain_readable(&net->chain, sizeof(header), length, iov + 1);
    if (length == 0 || !net->source)
        return -EINVAL;
    ssize_t size = TEMP_FAILURE_RETRY(writev(net->fd, iov, (int)count));
    return size < 0 ? -errno : 0;
}

/* Returns whether to go on. */
static bool send_one(struct net *net)
{
    struct virtq *q = &net->base.queues[NET_QUEUE_TX];
    uint32_t length = frame_length(&net->chain);
    int rc = write_frame(net, length);
    if (rc == -EAGAIN) {
        virtq_unpop(q, &net->chain);
        return false;
    }
    virtq_push(q, net->chain.head, 0);
    net->counters.tx_dropped += rc < 0;
    net->counters.tx_frames += rc == 0;
    net->counters.tx_bytes += rc == 0 ? length : 0;
    return true;
}

/* Returns 1 when the queue is empty, 0 when there is more to do later, -1 when it is broken. */
static int send_some(struct net *net)
{
    /* With the interface gone all is dropped at once: no event will give another turn. */
    unsigned budget = net->source ? BUDGET : VIRTQ_SIZE_MAX;
    for (unsigned i = 0; i < budget; i++) {
        int rc = virtq_pop(&net->base.queues[NET_QUEUE_TX], &net->chain);
        if (rc <= 0)
            return rc < 0 ? -1 : 1;
        if (!send_one(net))
            return 0;
    }
    return 0;
}

static void transmit(struct net *net)
{
    struct virtq *q = &net->base.queues[NET_QUEUE_TX];
    virtq_want_notifications(q, false);
    int rc = send_some(net);
    if (rc > 0 || !net->source) {
        virtq_want_notifications(q, true);
        if (rc > 0)
            rc = !virtq_has_work(q); /* one came between: the next turn is for it */
    }
    net->tx_waits = rc == 0 && net->source;
    if (rc < 0)
        virtio_fail(&net->base);
    virtio_notify_driver(&net->base, NET_QUEUE_TX);
}

/* ---- operations --------------------------------------------------------------------------- */

static void on_descriptor(void *ctx, uint32_t events)
{
    struct net *net = ctx;
    bool gone = events & (EPOLLERR | EPOLLHUP);
    if (gone)
        lose_link(net);
    /* The device may have been stopped or reset since the event was fetched. */
    if (events & EPOLLIN && !gone && is_running(net))
        receive(net);
    /* No event comes any more, whoever found out that it is gone. */
    if (net->tx_waits && (events & EPOLLOUT || !net->source) && is_running(net))
        transmit(net);
    update_events(net);
}

static void net_notify(struct virtio_device *device, unsigned queue)
{
    struct net *net = net_of(device);
    if (queue == NET_QUEUE_RX) {
        net->starved = false;
        virtq_want_notifications(&device->queues[NET_QUEUE_RX], false);
    } else if (!net->tx_waits) {
        transmit(net);
    }
    update_events(net);
}

static void net_activate(struct virtio_device *device)
{
    update_events(net_of(device));
}

static void net_reset(struct virtio_device *device)
{
    struct net *net = net_of(device);
    net->starved = net->tx_waits = false;
    if (net->source)
        loop_set_events(net->source, 0);
}

static void net_config_read(struct virtio_device *device, uint32_t offset, void *to, uint32_t size)
{
    memcpy(to, (const char *)&net_of(device)->space + offset, size);
}

/* A frame is in flight only within a call: there is nothing to wait for. */
static void net_stop(struct virtio_device *device)
{
    struct net *net = net_of(device);
    if (net->source)
        loop_set_events(net->source, 0);
}

static void net_resume(struct virtio_device *device)
{
    struct net *net = net_of(device);
    net->starved = net->tx_waits = false;
    announce_link(net);
    update_events(net);
}

static void net_save(struct virtio_device *device, void *state)
{
    const struct net *net = net_of(device);
    struct net_state saved = {.mtu = net->space.mtu, .link_up = net->space.status};
    memcpy(saved.mac, net->space.mac, sizeof(saved.mac));
    memcpy(state, &saved, sizeof(saved));
}

static int net_load(struct virtio_device *device, const void *state, struct thaw_error *err)
{
    struct net *net = net_of(device);
    struct net_state saved;
    memcpy(&saved, state, sizeof(saved));
    if (saved.mac[0] & 1 || !is_set(saved.mac))
        return thaw_fail(err, EINVAL, "virtio-net: state: MAC address");
    if (saved.mtu < MTU_MIN || saved.link_up > 1 || saved.reserved != 0)
        return thaw_fail(err, EINVAL, "virtio-net: state: MTU or link");
    memcpy(net->space.mac, saved.mac, sizeof(saved.mac));
    net->space.mtu = saved.mtu;
    net->space.status = saved.link_up;
    return 0;
}

static void net_destroy(struct virtio_device *device)
{
    struct net *net = net_of(device);
    loop_remove(net->source);
    if (net->fd >= 0)
        close(net->fd);
    free(net);
}

static const struct virtio_ops net_ops = {
    .name = "virtio-net",
    .id = DEVICE_ID,
    .activate = net_activate,
    .reset = net_reset,
    .notify = net_notify,
    .config_read = net_config_read,
    .config_size = sizeof(struct net_space),
    .stop = net_stop,
    .resume = net_resume,
    .state_size = sizeof(struct net_state),
    .save = net_save,
    .load = net_load,
    .destroy = net_destroy,
};

/* ---- creation ----------------------------------------------------------------------------- */

void net_default_mac(const char *tap, uint8_t mac[6])
{
    uint64_t bits = 0;
    if (tap)
        bits = XXH3_64bits(tap, strlen(tap));
    else
        while (getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
            ;
    memcpy(mac, &bits, 6);
    mac[0] = (uint8_t)((mac[0] & ~1u) | 2u);
}

static int open_backend(const struct net_config *config, struct tap *tap, struct thaw_error *err)
{
    if (config->tap)
        return tap_open(config->tap, tap, err);
    int flags = fcntl(tap->fd, F_GETFL);
    if (flags < 0 || fcntl(tap->fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return thaw_fail(err, errno, "network: descriptor %d", tap->fd);
    return 0;
}

static int check_config(const struct net_config *config, struct thaw_error *err)
{
    const uint8_t *m = config->mac;
    if (m[0] & 1)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--net mac=%02x:%02x:%02x:%02x:%02x:%02x: a group's address", m[0],
                            m[1], m[2], m[3], m[4], m[5]);
    if (config->mtu != 0 && config->mtu < MTU_MIN)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--net: an MTU of %u bytes", config->mtu);
    return 0;
}

/* The caller's wish, or the interface's own. */
static uint16_t choose_mtu(const struct net_config *config, const struct tap *tap)
{
    uint16_t mtu = config->mtu ? config->mtu : tap->mtu;
    return mtu >= MTU_MIN ? mtu : MTU_DEFAULT;
}

static int set_up(struct net *net, const struct net_config *config, struct thaw_error *err)
{
    struct tap tap = {.fd = config->tap ? -1 : config->fd};
    int rc = check_config(config, err);
    if (rc == 0)
        rc = open_backend(config, &tap, err);
    net->fd = tap.fd;
    if (rc < 0)
        return rc;
    net->space =
        (struct net_space){.status = LINK_UP, .queue_pairs = 1, .mtu = choose_mtu(config, &tap)};
    if (is_set(config->mac))
        memcpy(net->space.mac, config->mac, sizeof(net->space.mac));
    else
        net_default_mac(config->tap, net->space.mac);
    return loop_add(net->base.context.loop, net->fd, 0, on_descriptor, net, &net->source, err);
}

int net_create(const struct net_config *config, const struct virtio_context *context,
               struct virtio_device **out, struct thaw_error *err)
{
    struct net *net = calloc(1, sizeof(*net));
    if (!net) {
        if (!config->tap)
            close(config->fd);
        return thaw_fail(err, ENOMEM, "network");
    }
    const uint64_t features = VIRTIO_NET_F_MAC | VIRTIO_NET_F_MTU | VIRTIO_NET_F_STATUS;
    virtio_device_init(&net->base, &net_ops, context, features, NET_QUEUES, VIRTQ_SIZE_MAX);
    int rc = set_up(net, config, err);
    if (rc < 0) {
        net_destroy(&net->base);
        return rc;
    }
    *out = &net->base;
    return 0;
}

void net_counters(const struct virtio_device *device, struct net_counters *out)
{
    *out = ((const struct net *)device)->counters;
}
