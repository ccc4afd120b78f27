/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio socket between the fake driver and real UNIX sockets: what the tests of it share. One
 * device, in `rig`; RX_BUFFERS buffers are always there for it, given back when a packet is read.
 */
#ifndef THAW_TESTS_VSOCK_RIG_H
#define THAW_TESTS_VSOCK_RIG_H

#include "devices/virtio/vsock.h"
#include "devices/virtio/vsock_host.h"
#include "devices/virtio/vsock_table.h"
#include "tests/unit/fake_driver.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define RX_BUFFERS   8u
#define RX_SIZE      4096u
#define GUEST_CID    42u
#define GUEST_WINDOW 8192u
#define HEADER       ((uint32_t)sizeof(struct vsock_header))

enum { RX, TX, EVENT };

struct packet {
    struct vsock_header h;
    uint32_t used; /* what the used ring says */
    char data[RX_SIZE];
};

static struct {
    struct fake_driver driver;
    struct virtio_device *device;
    char dir[32], path[64];
    uint64_t rx[FAKE_QUEUE_SIZE]; /* the buffer of each head */
    uint64_t tx;                  /* for packets of any size */
} rig;

__attribute__((unused)) static void offer_rx(uint64_t buffer, uint32_t size)
{
    const struct fake_buffer part = {.address = buffer, .length = size, .writable = true};
    rig.rx[fake_driver_send(&rig.driver, RX, &part, 1)] = buffer;
}

__attribute__((unused)) static struct virtio_device *new_vsock(uint64_t cid)
{
    struct thaw_error err = {0};
    struct virtio_device *device = NULL;
    const struct vsock_config config = {.path = rig.path, .guest_cid = cid};
    cr_assert_eq(vsock_create(&config, &rig.driver.context, &device, &err), 0, "%s", err.message);
    return device;
}

__attribute__((unused)) static void fill_rx(void)
{
    for (unsigned i = 0; i < RX_BUFFERS; i++)
        offer_rx(fake_driver_alloc(&rig.driver, RX_SIZE), RX_SIZE);
    fake_driver_kick(&rig.driver, RX);
}

/* Without buffers for packets to the guest. */
__attribute__((unused)) static void set_up_dry(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < 8192 ? files.rlim_max : 8192;
    setrlimit(RLIMIT_NOFILE, &files);
    strcpy(rig.dir, "/tmp/thaw-vsock.XXXXXX");
    cr_assert_not_null(mkdtemp(rig.dir));
    snprintf(rig.path, sizeof(rig.path), "%s/v", rig.dir);
    fake_driver_init(&rig.driver);
    rig.device = new_vsock(GUEST_CID);
    fake_driver_attach(&rig.driver, rig.device);
    fake_driver_start(&rig.driver, VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC);
    rig.tx = fake_driver_alloc(&rig.driver, HEADER + 2 * VSOCK_WINDOW);
}

__attribute__((unused)) static void set_up(void)
{
    set_up_dry();
    fill_rx();
}

__attribute__((unused)) static void tear_down(void)
{
    char command[128];
    fake_driver_destroy(&rig.driver);
    cr_assert_neq(access(rig.path, F_OK), 0, "the socket file must be gone");
    snprintf(command, sizeof(command), "rm -rf %s", rig.dir);
    cr_assert_eq(system(command), 0);
}

__attribute__((unused)) static void run_loop(void)
{
    fake_driver_run_loop(&rig.driver, 0);
}

/* ---- the host ----------------------------------------------------------------------------- */

__attribute__((unused)) static struct sockaddr_un host_address(const char *suffix)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s%s", rig.path, suffix);
    return address;
}

__attribute__((unused)) static int host_open(void)
{
    const struct sockaddr_un address = host_address("");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0, "%s",
                 strerror(errno));
    return fd;
}

__attribute__((unused)) static int host_listen(const char *suffix)
{
    const struct sockaddr_un address = host_address(suffix);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(fd, 16), 0);
    return fd;
}

__attribute__((unused)) static void host_write(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What there is to be read, as a string; "" at the end of the stream, "..." when there is nothing
 * yet. Static storage. */
__attribute__((unused)) static const char *host_read(int fd)
{
    static char text[256];
    run_loop();
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
    if (n < 0)
        return errno == EAGAIN ? "..." : strerror(errno);
    text[n] = '\0';
    return text;
}

#define host_reads(fd, text)                                                                       \
    do {                                                                                           \
        const char *seen_ = host_read(fd);                                                         \
        cr_assert_str_eq(seen_, (text), "the host read: %s", seen_);                               \
    } while (0)

/* Reads everything there is. */
__attribute__((unused)) static size_t host_drain(int fd)
{
    static char sink[65536];
    size_t total = 0;
    ssize_t n;
    run_loop();
    while ((n = recv(fd, sink, sizeof(sink), 0)) > 0) {
        total += (size_t)n;
        run_loop();
    }
    return total;
}

/* ---- the guest ---------------------------------------------------------------------------- */

__attribute__((unused)) static struct vsock_header header(unsigned op, uint32_t guest_port,
                                                          uint32_t host_port)
{
    return (struct vsock_header){.src_cid = GUEST_CID,
                                 .dst_cid = 2,
                                 .src_port = guest_port,
                                 .dst_port = host_port,
                                 .type = VSOCK_TYPE_STREAM,
                                 .op = (uint16_t)op,
                                 .buf_alloc = GUEST_WINDOW};
}

/* Sends a header with `size` bytes of payload, whatever its len says. */
__attribute__((unused)) static void guest_send_raw(const struct vsock_header *h, const void *data,
                                                   uint32_t size)
{
    uint32_t head, len;
    const struct fake_buffer parts[] = {{.address = rig.tx, .length = HEADER},
                                        {.address = rig.tx + HEADER, .length = size}};
    memcpy(fake_driver_at(&rig.driver, rig.tx, HEADER), h, HEADER);
    if (size > 0)
        memcpy(fake_driver_at(&rig.driver, rig.tx + HEADER, size), data, size);
    fake_driver_send(&rig.driver, TX, parts, size > 0 ? 2 : 1);
    fake_driver_kick(&rig.driver, TX);
    cr_assert(fake_driver_used(&rig.driver, TX, &head, &len), "the packet is given back at once");
    cr_assert_eq(len, 0);
}

__attribute__((unused)) static void guest_send(unsigned op, uint32_t guest_port, uint32_t host_port)
{
    const struct vsock_header h = header(op, guest_port, host_port);
    guest_send_raw(&h, NULL, 0);
}

__attribute__((unused)) static void guest_write(uint32_t guest_port, uint32_t host_port,
                                                const void *data, uint32_t size)
{
    struct vsock_header h = header(VSOCK_OP_RW, guest_port, host_port);
    h.len = size;
    guest_send_raw(&h, data, size);
}

__attribute__((unused)) static void guest_shutdown(uint32_t guest_port, uint32_t host_port,
                                                   uint32_t flags)
{
    struct vsock_header h = header(VSOCK_OP_SHUTDOWN, guest_port, host_port);
    h.flags = flags;
    guest_send_raw(&h, NULL, 0);
}

/* The next packet to the guest, its buffer offered again. */
__attribute__((unused)) static bool guest_receive(struct packet *packet)
{
    uint32_t head;
    run_loop();
    if (!fake_driver_used(&rig.driver, RX, &head, &packet->used))
        return false;
    cr_assert(packet->used >= HEADER && packet->used <= RX_SIZE);
    const char *from = fake_driver_at(&rig.driver, rig.rx[head], RX_SIZE);
    memcpy(&packet->h, from, HEADER);
    memcpy(packet->data, from + HEADER, packet->used - HEADER);
    cr_assert_eq(packet->h.len, packet->used - HEADER);
    cr_assert_eq(packet->h.src_cid, 2);
    cr_assert_eq(packet->h.dst_cid, GUEST_CID);
    offer_rx(rig.rx[head], RX_SIZE);
    fake_driver_kick(&rig.driver, RX);
    return true;
}

#define expect(packet, operation)                                                                  \
    do {                                                                                           \
        cr_assert(guest_receive(packet), "no packet");                                             \
        cr_assert_eq((packet)->h.op, (operation), "op %u", (packet)->h.op);                        \
    } while (0)

#define expect_nothing()                                                                           \
    do {                                                                                           \
        struct packet unwanted_;                                                                   \
        cr_assert(!guest_receive(&unwanted_), "a packet with op %u", unwanted_.h.op);              \
    } while (0)

/* A connection from the host to `guest_port`, accepted: the host's end. */
__attribute__((unused)) static int connect_to_guest(uint32_t guest_port, uint32_t *host_port)
{
    char line[64];
    struct packet packet;
    int fd = host_open();
    snprintf(line, sizeof(line), "CONNECT %u\n", guest_port);
    host_write(fd, line);
    expect(&packet, VSOCK_OP_REQUEST);
    *host_port = packet.h.src_port;
    guest_send(VSOCK_OP_RESPONSE, guest_port, *host_port);
    snprintf(line, sizeof(line), "OK %u\n", *host_port);
    host_reads(fd, line);
    return fd;
}

/* A connection from the guest's port to the host's `listener`, accepted: the host's end. */
__attribute__((unused)) static int connect_to_host(int listener, uint32_t guest_port,
                                                   uint32_t host_port)
{
    struct packet packet;
    guest_send(VSOCK_OP_REQUEST, guest_port, host_port);
    expect(&packet, VSOCK_OP_RESPONSE);
    cr_assert_eq(packet.h.dst_port, guest_port);
    cr_assert_eq(packet.h.src_port, host_port);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    cr_assert_geq(fd, 0);
    return fd;
}

#endif
