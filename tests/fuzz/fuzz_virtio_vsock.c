/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-vsock at real UNIX sockets: a few programs of the host that connect, listen, write, read,
 * and hang up at any time, and a guest that answers rightly or not. No program reads more than the
 * guest has sent. */
#include "devices/virtio/vsock.h"
#include "devices/virtio/vsock_stream.h"
#include "tests/fuzz/virtio_harness.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define GUEST_CID 42u
#define PROGRAMS  4u
#define OK_MAX    14u /* "OK 4294967295\n" */

enum { RX, TX, EVENT };

struct host {
    char dir[32], path[40];
    int programs[PROGRAMS]; /* -1: none */
    int listener;           /* at path_1; -1: none */
    uint64_t received, allowed;
};

static int create(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err)
{
    const struct host *host = rig->host;
    const struct vsock_config config = {.path = host->path, .guest_cid = GUEST_CID};
    return vsock_create(&config, &rig->context, out, err);
}

/* ---- the guest ---------------------------------------------------------------------------- */

/* The packet that the guest got last, to be answered. */
static bool last_packet(const struct fuzz_rig *rig, struct vsock_header *header)
{
    const struct fuzz_queue *q = &rig->queues[RX];
    uint16_t index = 0;
    uint32_t entry[2];
    uint64_t address;
    require(guest_memory_read(&rig->memory, q->used + 2, &index, 2) == 0);
    uint64_t at = q->used + 4 + 8ull * ((uint16_t)(index - 1) % q->size);
    return guest_memory_read(&rig->memory, at, entry, sizeof(entry)) == 0 &&
           guest_memory_read(&rig->memory, q->desc + 16ull * entry[0], &address, 8) == 0 &&
           guest_memory_read(&rig->memory, address, header, sizeof(*header)) == 0;
}

static void send_packet(struct fuzz_rig *rig, struct fuzz_input *in, struct vsock_header *header)
{
    uint8_t bytes[sizeof(*header) + 2048] = {0};
    header->type = VSOCK_TYPE_STREAM;
    header->op = fuzz_u8(in);
    header->flags = fuzz_u8(in);
    header->len = header->op == VSOCK_OP_RW ? fuzz_u16(in) % 2048u : 0;
    header->buf_alloc = fuzz_u16(in);
    header->fwd_cnt = fuzz_u16(in);
    memcpy(bytes, header, sizeof(*header));
    const struct fuzz_buffer buffer =
        fuzz_readable(rig, bytes, (uint32_t)sizeof(*header) + header->len);
    fuzz_send(rig, TX, &buffer, 1);
    fuzz_kick(rig, TX);
}

static void request(struct fuzz_rig *rig, struct fuzz_input *in)
{
    struct vsock_header last = {0}, header = {.src_cid = GUEST_CID, .dst_cid = 2};
    uint8_t how = fuzz_u8(in);
    if (how & 4) {
        unsigned queue = how & 8 ? EVENT : RX;
        const struct fuzz_buffer buffer = fuzz_writable(rig, fuzz_u16(in) % 4096);
        fuzz_send(rig, queue, &buffer, 1);
        fuzz_kick(rig, queue);
        return;
    }
    if (how & 1 && last_packet(rig, &last)) {
        header.src_port = last.dst_port;
        header.dst_port = last.src_port;
    } else {
        header.src_port = fuzz_u8(in);
        header.dst_port = fuzz_u8(in);
    }
    send_packet(rig, in, &header);
}

/* ---- programs of the host ----------------------------------------------------------------- */

static struct sockaddr_un address_of(const struct host *host, const char *suffix)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s%s", host->path, suffix);
    return address;
}

static void hang_up(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void connect_program(struct host *host, int *fd, unsigned port)
{
    char line[32];
    const struct sockaddr_un address = address_of(host, "");
    hang_up(fd);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    require(*fd >= 0);
    if (connect(*fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        hang_up(fd);
    int n = snprintf(line, sizeof(line), "CONNECT %u\n", port);
    host->allowed += OK_MAX;
    if (port != 0 && *fd >= 0)
        (void)!send(*fd, line, (size_t)n, MSG_NOSIGNAL);
}

static void listen_or_not(struct host *host, bool on)
{
    const struct sockaddr_un address = address_of(host, "_1");
    hang_up(&host->listener);
    (void)unlink(address.sun_path);
    if (!on)
        return;
    host->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    require(bind(host->listener, (const struct sockaddr *)&address, sizeof(address)) == 0);
    require(listen(host->listener, 2) == 0);
}

static void accept_program(struct host *host, int *fd)
{
    if (host->listener < 0)
        return;
    hang_up(fd);
    *fd = accept4(host->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void write_program(int fd, struct fuzz_input *in)
{
    uint8_t bytes[16384] = {0};
    size_t n = fuzz_u8(in);
    if (n >= 0xf0)
        n = (n - 0xef) * sizeof(bytes) / 16;
    fuzz_bytes(in, bytes, 4);
    (void)!send(fd, bytes, n, MSG_NOSIGNAL);
}

static void read_program(struct host *host, int fd)
{
    uint8_t bytes[4096];
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
    if (n > 0)
        host->received += (uint64_t)n;
}

static void host_turn(struct fuzz_rig *rig, struct fuzz_input *in)
{
    struct host *host = rig->host;
    uint8_t what = fuzz_u8(in);
    int *fd = &host->programs[what >> 6];
    switch (what % 8) {
    case 0:
        connect_program(host, fd, fuzz_u8(in));
        break;
    case 1:
        write_program(*fd, in);
        break;
    case 2:
        read_program(host, *fd);
        break;
    case 3:
        (void)shutdown(*fd, fuzz_u8(in) % 3);
        break;
    case 4:
        hang_up(fd);
        break;
    case 5:
        accept_program(host, fd);
        break;
    default:
        listen_or_not(host, what % 8 == 6);
        break;
    }
}

static void check(struct fuzz_rig *rig)
{
    const struct host *host = rig->host;
    require(host->received <= rig->readable + host->allowed);
}

/* Whoever was connected is told so by a reset, so one is due after every load. */
static void loading_changes(struct fuzz_rig *rig, void *state)
{
    (void)rig;
    ((struct vsock_state *)state)->reset_pending = 1;
}

static void close_host(struct fuzz_rig *rig)
{
    struct host *host = rig->host;
    for (unsigned i = 0; i < PROGRAMS; i++)
        hang_up(&host->programs[i]);
    listen_or_not(host, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuzz_target target = {.create = create,
                                              .request = request,
                                              .host = host_turn,
                                              .check = check,
                                              .loading_changes = loading_changes,
                                              .close = close_host};
    struct host host = {
        .dir = "/tmp/thaw-fuzz.XXXXXX", .programs = {-1, -1, -1, -1}, .listener = -1};
    require(mkdtemp(host.dir));
    (void)snprintf(host.path, sizeof(host.path), "%s/v", host.dir);
    fuzz_virtio(&target, &host, data, size);
    require(rmdir(host.dir) == 0);
    return 0;
}
