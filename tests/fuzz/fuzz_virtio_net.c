/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net at a socket in place of a TAP: frames of any size either way, a host that reads
 * slowly, and a cable that is pulled. No more leaves the guest than it put into its chains. */
#include "devices/virtio/net.h"
#include "tests/fuzz/virtio_harness.h"

#include <sys/socket.h>
#include <unistd.h>

#define HEADER 12u

struct host {
    int fd; /* -1: the cable is pulled */
    uint64_t received;
};

static void unplug(struct host *host)
{
    if (host->fd >= 0)
        close(host->fd);
    host->fd = -1;
}

static int create(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err)
{
    struct host *host = rig->host;
    int pair[2], room = 4096;
    unplug(host);
    require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    require(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0);
    host->fd = pair[0];
    const struct net_config config = {.fd = pair[1], .mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500};
    return net_create(&config, &rig->context, out, err);
}

static void send_frame(struct fuzz_rig *rig, struct fuzz_input *in)
{
    uint8_t frame[2048] = {0};
    uint32_t size = fuzz_u16(in) % sizeof(frame);
    fuzz_bytes(in, frame, 2); /* flags and gso_type */
    const struct fuzz_buffer whole = fuzz_readable(rig, frame, size);
    const struct fuzz_buffer parts[2] = {
        {.address = whole.address, .length = size / 3},
        {.address = whole.address + size / 3, .length = size - size / 3}};
    fuzz_send(rig, NET_QUEUE_TX, parts, 2);
}

static void request(struct fuzz_rig *rig, struct fuzz_input *in)
{
    uint8_t how = fuzz_u8(in);
    unsigned queue = how & 1 ? NET_QUEUE_TX : NET_QUEUE_RX;
    if (queue == NET_QUEUE_TX) {
        send_frame(rig, in);
    } else {
        struct fuzz_buffer buffer = fuzz_writable(rig, fuzz_u16(in) % 4096);
        fuzz_send(rig, queue, &buffer, 1);
    }
    if (how & 2)
        fuzz_kick(rig, queue);
}

static void give(const struct host *host, struct fuzz_input *in)
{
    uint8_t frame[4096] = {0};
    size_t size = fuzz_u16(in) % sizeof(frame);
    fuzz_bytes(in, frame, 2); /* flags and gso_type */
    (void)!send(host->fd, frame, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void take_all(struct host *host)
{
    uint8_t frame[4096];
    ssize_t n;
    while ((n = recv(host->fd, frame, sizeof(frame), MSG_DONTWAIT)) > 0) {
        require(n >= (ssize_t)HEADER + 14);
        for (unsigned i = 0; i < 10; i++)
            require(frame[i] == 0); /* a header of the device's own */
        host->received += (uint64_t)n;
    }
}

static void host_turn(struct fuzz_rig *rig, struct fuzz_input *in)
{
    struct host *host = rig->host;
    uint8_t what = fuzz_u8(in);
    if (what == 0xff)
        unplug(host);
    if (host->fd < 0)
        return;
    if (what & 1)
        give(host, in);
    else
        take_all(host);
    require(host->received <= rig->readable);
}

static void check(struct fuzz_rig *rig)
{
    struct net_counters counters;
    net_counters(rig->mmio.device, &counters);
    require(counters.tx_bytes <= rig->readable);
}

static void close_host(struct fuzz_rig *rig)
{
    unplug(rig->host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuzz_target target = {.create = create,
                                              .request = request,
                                              .host = host_turn,
                                              .check = check,
                                              .close = close_host};
    struct host host = {.fd = -1};
    fuzz_virtio(&target, &host, data, size);
    return 0;
}
