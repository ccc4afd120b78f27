/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/net.h"
#include "devices/virtio/tap.h"
#include "tests/unit/fake_driver.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER TAP_HEADER_SIZE
#define BUFFER 1600u

static const uint8_t card_mac[6] = {0x02, 1, 2, 3, 4, 5};

/* A card whose TAP is one end of a socket pair; the test holds the other. */
struct rig {
    struct fake_driver driver;
    struct virtio_device *device;
    int wire;
    int card; /* the device's end, borrowed */
};

static struct virtio_device *create(struct fake_driver *driver, int *wire, int *card)
{
    struct thaw_error err = {0};
    struct virtio_device *device = NULL;
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    struct net_config config = {.fd = pair[0]};
    memcpy(config.mac, card_mac, sizeof(card_mac));
    cr_assert_eq(net_create(&config, &driver->context, &device, &err), 0, "%s", err.message);
    *wire = pair[1];
    *card = pair[0];
    return device;
}

static void rig_create(struct rig *rig)
{
    fake_driver_init(&rig->driver);
    rig->device = create(&rig->driver, &rig->wire, &rig->card);
    fake_driver_attach(&rig->driver, rig->device);
}

static void rig_start(struct rig *rig, uint64_t features)
{
    rig_create(rig);
    fake_driver_start(&rig->driver, features);
}

static void rig_destroy(struct rig *rig)
{
    fake_driver_destroy(&rig->driver);
    if (rig->wire >= 0)
        close(rig->wire);
}

static struct net_counters counters(const struct rig *rig)
{
    struct net_counters seen;
    net_counters(rig->device, &seen);
    return seen;
}

/* ---- to the guest ------------------------------------------------------------------------- */

/* A frame of `size` bytes behind an empty header, its payload all `fill`. */
static void host_sends(struct rig *rig, size_t size, char fill)
{
    char packet[HEADER + 70000] = {0};
    memset(packet + HEADER, fill, size);
    cr_assert_eq(send(rig->wire, packet, HEADER + size, 0), (ssize_t)(HEADER + size));
}

static uint64_t offer_buffer(struct rig *rig, uint32_t size)
{
    uint64_t at = fake_driver_alloc(&rig->driver, size);
    memset(fake_driver_at(&rig->driver, at, size), 0xee, size);
    const struct fake_buffer buffer = {.address = at, .length = size, .writable = true};
    fake_driver_send(&rig->driver, NET_QUEUE_RX, &buffer, 1);
    return at;
}

static void run(struct rig *rig)
{
    fake_driver_run_loop(&rig->driver, 5);
}

static void add_buffer(struct rig *rig)
{
    offer_buffer(rig, BUFFER);
    fake_driver_kick(&rig->driver, NET_QUEUE_RX);
}

/* How many frames the driver has got; asserts their length. */
static unsigned frames_received(struct rig *rig, uint32_t size)
{
    uint32_t head, length;
    unsigned count = 0;
    while (fake_driver_used(&rig->driver, NET_QUEUE_RX, &head, &length)) {
        cr_assert_eq(length, HEADER + size);
        count++;
    }
    return count;
}

Test(virtio_net, frame_arrives_with_a_header_that_says_one_buffer)
{
    struct rig rig;
    rig_start(&rig, 0);
    uint64_t at = offer_buffer(&rig, BUFFER);
    host_sends(&rig, 60, 'a');
    run(&rig);

    cr_assert_eq(frames_received(&rig, 60), 1);
    const uint8_t *bytes = fake_driver_at(&rig.driver, at, BUFFER);
    const uint8_t header[HEADER] = {[10] = 1};
    cr_assert_arr_eq(bytes, header, HEADER);
    cr_assert_eq(bytes[HEADER], 'a');
    cr_assert_eq(bytes[HEADER + 59], 'a');
    cr_assert_eq(bytes[HEADER + 60], 0xee, "bytes behind the frame are not touched");
    rig_destroy(&rig);
}

Test(virtio_net, frame_is_scattered_over_a_chain)
{
    struct rig rig;
    rig_start(&rig, 0);
    uint64_t at = fake_driver_alloc(&rig.driver, 256);
    const struct fake_buffer buffers[] = {{at, 5, true}, {at + 5, 40, true}, {at + 45, 100, true}};
    fake_driver_send(&rig.driver, NET_QUEUE_RX, buffers, 3);
    host_sends(&rig, 80, 'b');
    run(&rig);

    cr_assert_eq(frames_received(&rig, 80), 1);
    const uint8_t *bytes = fake_driver_at(&rig.driver, at, 256);
    cr_assert_eq(bytes[10], 1);
    for (unsigned i = 0; i < 80; i++)
        cr_assert_eq(bytes[HEADER + i], 'b');
    rig_destroy(&rig);
}

/* QEMU wrote num_buffers through a mapping that it had given up. Here the header is written
 * before the chain is given back, wherever in the chain it lies. */
Test(virtio_net, cve_2021_3748_header_split_over_descriptors_is_complete_when_the_chain_is_used)
{
    struct rig rig;
    rig_start(&rig, 0);
    uint64_t at = fake_driver_alloc(&rig.driver, 2048);
    struct fake_buffer buffers[14];
    for (unsigned i = 0; i < 13; i++)
        buffers[i] = (struct fake_buffer){at + 64ull * i, 1, true};
    buffers[13] = (struct fake_buffer){at + 1024, 1024, true};
    fake_driver_send(&rig.driver, NET_QUEUE_RX, buffers, 14);
    host_sends(&rig, 60, 'c');
    run(&rig);

    cr_assert_eq(frames_received(&rig, 60), 1);
    for (unsigned i = 0; i < HEADER; i++)
        cr_assert_eq(*(uint8_t *)fake_driver_at(&rig.driver, at + 64ull * i, 1), i == 10);
    cr_assert_eq(*(char *)fake_driver_at(&rig.driver, at + 64ull * 12, 1), 'c');
    rig_destroy(&rig);
}

/* Firecracker's card stopped for good when the guest had no buffers for a while. */
Test(virtio_net, cve_2020_16843_receiving_goes_on_after_the_queue_was_starved)
{
    for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
        struct rig rig;
        rig_start(&rig, event_idx ? VIRTIO_F_EVENT_IDX : 0);
        for (unsigned i = 0; i < 4; i++)
            offer_buffer(&rig, BUFFER);
        for (unsigned i = 0; i < 10; i++)
            host_sends(&rig, 100, 'd');
        run(&rig);
        cr_assert_eq(frames_received(&rig, 100), 4, "as many as there were buffers");
        cr_assert_eq(loop_turn(rig.driver.loop, 0), 0, "no buffer, no work");

        for (unsigned i = 0; i < 6; i++)
            add_buffer(&rig);
        run(&rig);
        cr_assert_eq(frames_received(&rig, 100), 6, "what waited is not lost");
        add_buffer(&rig);
        host_sends(&rig, 100, 'd');
        run(&rig);
        cr_assert_eq(frames_received(&rig, 100), 1);
        cr_assert_eq(counters(&rig).rx_dropped, 0);
        rig_destroy(&rig);
    }
}

Test(virtio_net, buffers_that_come_before_any_frame_need_no_notification)
{
    struct rig rig;
    rig_start(&rig, 0);
    run(&rig); /* nothing is there */
    offer_buffer(&rig, BUFFER);
    host_sends(&rig, 60, 'e');
    run(&rig);
    cr_assert_eq(frames_received(&rig, 60), 1);
    rig_destroy(&rig);
}

Test(virtio_net, frame_larger_than_the_chain_is_dropped_and_the_chain_used_for_the_next)
{
    struct rig rig;
    rig_start(&rig, 0);
    offer_buffer(&rig, HEADER + 100);
    host_sends(&rig, 101, 'f');
    host_sends(&rig, 9000, 'f');
    host_sends(&rig, 100, 'g');
    run(&rig);
    cr_assert_eq(frames_received(&rig, 100), 1);
    cr_assert_eq(counters(&rig).rx_dropped, 2);
    cr_assert_eq(counters(&rig).rx_frames, 1);
    cr_assert_eq(counters(&rig).rx_bytes, 100);
    rig_destroy(&rig);
}

Test(virtio_net, chain_too_small_for_a_header_takes_no_frame_and_breaks_nothing)
{
    const uint32_t sizes[] = {0, 1, HEADER - 1, HEADER, HEADER + 13};
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct rig rig;
        rig_start(&rig, 0);
        offer_buffer(&rig, sizes[i]);
        host_sends(&rig, 14, 'h');
        run(&rig);
        cr_assert_eq(frames_received(&rig, 14), 0);
        cr_assert_eq(counters(&rig).rx_dropped, 1);
        cr_assert(virtio_is_active(rig.device));
        rig_destroy(&rig);
    }
}

Test(virtio_net, runt_from_the_host_is_dropped)
{
    struct rig rig;
    rig_start(&rig, 0);
    offer_buffer(&rig, BUFFER);
    host_sends(&rig, 13, 'i');
    cr_assert_eq(send(rig.wire, "x", 1, 0), 1);
    host_sends(&rig, 14, 'i');
    run(&rig);
    cr_assert_eq(frames_received(&rig, 14), 1);
    cr_assert_eq(counters(&rig).rx_dropped, 2);
    rig_destroy(&rig);
}

Test(virtio_net, frame_that_needs_an_offload_is_dropped)
{
    const char packets[2][HEADER + 60] = {{[0] = 1}, {[1] = 1}}; /* NEEDS_CSUM; GSO_TCPV4 */
    struct rig rig;
    rig_start(&rig, 0);
    offer_buffer(&rig, BUFFER);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(send(rig.wire, packets[i], sizeof(packets[i]), 0), HEADER + 60);
    run(&rig);
    cr_assert_eq(frames_received(&rig, 60), 0);
    cr_assert_eq(counters(&rig).rx_dropped, 2);
    rig_destroy(&rig);
}

Test(virtio_net, one_interrupt_for_a_batch_of_frames)
{
    struct rig rig;
    rig_start(&rig, 0);
    for (unsigned i = 0; i < 10; i++)
        offer_buffer(&rig, BUFFER);
    for (unsigned i = 0; i < 10; i++)
        host_sends(&rig, 60, 'j');
    run(&rig);
    cr_assert_eq(frames_received(&rig, 60), 10);
    cr_assert_eq(rig.driver.interrupts, 1);
    rig_destroy(&rig);
}

Test(virtio_net, readable_buffer_among_those_to_receive_into_is_never_written)
{
    struct rig rig;
    rig_start(&rig, 0);
    uint64_t at = fake_driver_alloc(&rig.driver, 4096);
    const struct fake_buffer buffers[] = {{at, 2048, false}, {at + 2048, 2048, true}};
    fake_driver_send(&rig.driver, NET_QUEUE_RX, buffers, 2);
    host_sends(&rig, 60, 'k');
    run(&rig);
    cr_assert_eq(frames_received(&rig, 60), 1);
    const char *bytes = fake_driver_at(&rig.driver, at, 4096);
    for (unsigned i = 0; i < 2048; i++)
        cr_assert_eq(bytes[i], 0);
    cr_assert_eq(bytes[2048 + HEADER], 'k');
    rig_destroy(&rig);
}

Test(virtio_net, buffer_outside_of_ram_breaks_the_device)
{
    struct rig rig;
    rig_start(&rig, 0);
    const struct fake_buffer buffer = {FAKE_OUTSIDE, 4096, true};
    fake_driver_send(&rig.driver, NET_QUEUE_RX, &buffer, 1);
    host_sends(&rig, 60, 'l');
    run(&rig);
    cr_assert(fake_driver_read(&rig.driver, FAKE_REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET);

    fake_driver_start(&rig.driver, 0);
    offer_buffer(&rig, BUFFER);
    run(&rig);
    cr_assert_eq(frames_received(&rig, 60), 1, "a reset mends it");
    rig_destroy(&rig);
}

/* ---- from the guest ----------------------------------------------------------------------- */

/* Offers a frame of `size` bytes whose payload is `fill`; `flags` and `gso` go into its header. */
static void offer_frame(struct rig *rig, uint32_t size, char fill, uint8_t flags, uint8_t gso)
{
    uint64_t at = fake_driver_alloc(&rig->driver, HEADER + size);
    uint8_t *bytes = fake_driver_at(&rig->driver, at, HEADER + size);
    memset(bytes, 0, HEADER);
    memset(bytes + HEADER, fill, size);
    bytes[0] = flags;
    bytes[1] = gso;
    const struct fake_buffer buffer = {.address = at, .length = HEADER + size};
    fake_driver_send(&rig->driver, NET_QUEUE_TX, &buffer, 1);
}

static void guest_sends(struct rig *rig, uint32_t size, char fill)
{
    offer_frame(rig, size, fill, 0, 0);
    fake_driver_kick(&rig->driver, NET_QUEUE_TX);
}

/* The next frame on the wire: its size without the header, or -1. */
static ssize_t host_receives(struct rig *rig, char *first)
{
    static char packet[HEADER + 70000];
    const char empty[HEADER] = {0};
    ssize_t size = recv(rig->wire, packet, sizeof(packet), 0);
    if (size < 0)
        return -1;
    cr_assert_geq(size, HEADER + 14);
    cr_assert_arr_eq(packet, empty, HEADER, "the header is the device's own");
    *first = packet[HEADER];
    return size - HEADER;
}

static unsigned frames_sent(struct rig *rig)
{
    uint32_t head, length;
    unsigned count = 0;
    while (fake_driver_used(&rig->driver, NET_QUEUE_TX, &head, &length)) {
        cr_assert_eq(length, 0, "nothing is written into what is sent");
        count++;
    }
    return count;
}

Test(virtio_net, frame_goes_out)
{
    struct rig rig;
    char first;
    rig_start(&rig, 0);
    guest_sends(&rig, 60, 'a');
    cr_assert_eq(host_receives(&rig, &first), 60);
    cr_assert_eq(first, 'a');
    cr_assert_eq(frames_sent(&rig), 1);
    cr_assert_eq(counters(&rig).tx_frames, 1);
    cr_assert_eq(counters(&rig).tx_bytes, 60);
    rig_destroy(&rig);
}

Test(virtio_net, frame_is_gathered_from_a_chain_whatever_its_cuts)
{
    struct rig rig;
    char first;
    rig_start(&rig, 0);
    uint64_t at = fake_driver_alloc(&rig.driver, 256);
    memset(fake_driver_at(&rig.driver, at, 256), 'b', 256);
    memset(fake_driver_at(&rig.driver, at, HEADER), 0, HEADER);
    const struct fake_buffer buffers[] = {
        {at, 3, false}, {at + 3, 30, false}, {at + 33, 50, false}};
    fake_driver_send(&rig.driver, NET_QUEUE_TX, buffers, 3);
    fake_driver_kick(&rig.driver, NET_QUEUE_TX);
    cr_assert_eq(host_receives(&rig, &first), 83 - HEADER);
    cr_assert_eq(first, 'b');
    rig_destroy(&rig);
}

Test(virtio_net, frames_of_impossible_lengths_are_dropped_and_given_back)
{
    const struct {
        uint32_t size;
        bool sent;
    } rows[] = {{0, false}, {1, false}, {13, false}, {14, true}, {65535, true}, {65536, false}};
    struct rig rig;
    char first;
    rig_start(&rig, 0);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        guest_sends(&rig, rows[i].size, 'c');
        cr_assert_eq(frames_sent(&rig), 1, "%u bytes", rows[i].size);
        cr_assert_eq(host_receives(&rig, &first), rows[i].sent ? (ssize_t)rows[i].size : -1);
    }
    cr_assert_eq(counters(&rig).tx_dropped, 4);
    cr_assert(virtio_is_active(rig.device));
    rig_destroy(&rig);
}

Test(virtio_net, frame_that_asks_for_an_offload_is_dropped)
{
    struct rig rig;
    char first;
    rig_start(&rig, ~0ull);
    offer_frame(&rig, 60, 'd', 1, 0);    /* NEEDS_CSUM */
    offer_frame(&rig, 60, 'd', 0, 1);    /* GSO_TCPV4 */
    offer_frame(&rig, 60, 'd', 0, 0xff); /* nothing that exists */
    offer_frame(&rig, 60, 'e', 0x80, 0); /* a flag to be ignored (5.1.6.2.2) */
    fake_driver_kick(&rig.driver, NET_QUEUE_TX);
    cr_assert_eq(frames_sent(&rig), 4);
    cr_assert_eq(host_receives(&rig, &first), 60);
    cr_assert_eq(first, 'e');
    cr_assert_eq(host_receives(&rig, &first), -1);
    cr_assert_eq(counters(&rig).tx_dropped, 3);
    rig_destroy(&rig);
}

Test(virtio_net, writable_buffer_in_what_is_sent_is_dropped)
{
    struct rig rig;
    char first;
    rig_start(&rig, 0);
    uint64_t at = fake_driver_alloc(&rig.driver, 256);
    const struct fake_buffer buffers[] = {{at, 100, false}, {at + 100, 100, true}};
    fake_driver_send(&rig.driver, NET_QUEUE_TX, buffers, 2);
    fake_driver_kick(&rig.driver, NET_QUEUE_TX);
    cr_assert_eq(host_receives(&rig, &first), -1);
    cr_assert_eq(frames_sent(&rig), 1);
    rig_destroy(&rig);
}

/* QEMU followed a chain of empty descriptors for ever. */
Test(virtio_net, cve_2016_6490_chain_of_empty_descriptors_comes_to_an_end)
{
    struct rig rig;
    rig_start(&rig, 0);
    struct fake_buffer buffers[FAKE_QUEUE_SIZE] = {{0}};
    fake_driver_send(&rig.driver, NET_QUEUE_TX, buffers, FAKE_QUEUE_SIZE);
    fake_driver_kick(&rig.driver, NET_QUEUE_TX);
    cr_assert_eq(frames_sent(&rig), 1);
    cr_assert_eq(counters(&rig).tx_dropped, 1);
    rig_destroy(&rig);
}

/* QEMU took the number of the queue from the guest as an index. */
Test(virtio_net, cve_2011_2512_notification_of_a_queue_that_does_not_exist_is_nothing)
{
    struct rig rig;
    char first;
    rig_start(&rig, 0);
    offer_frame(&rig, 60, 'f', 0, 0);
    const uint32_t queues[] = {2, 3, 8, 0x7fffffff, 0x80000000, 0xffff0001, UINT32_MAX};
    for (unsigned i = 0; i < sizeof(queues) / sizeof(queues[0]); i++)
        fake_driver_kick(&rig.driver, queues[i]);
    run(&rig);
    cr_assert_eq(host_receives(&rig, &first), -1);
    cr_assert(virtio_is_active(rig.device));
    rig_destroy(&rig);
}

Test(virtio_net, chain_that_loops_breaks_the_device)
{
    struct rig rig;
    rig_start(&rig, 0);
    fake_driver_set_desc(&rig.driver, NET_QUEUE_TX, 0, FAKE_MEMORY_SIZE / 2, 64, FAKE_NEXT, 0);
    fake_driver_offer(&rig.driver, NET_QUEUE_TX, 0);
    fake_driver_kick(&rig.driver, NET_QUEUE_TX);
    cr_assert(fake_driver_read(&rig.driver, FAKE_REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
    host_sends(&rig, 60, 'g');
    run(&rig);
    cr_assert_eq(counters(&rig).rx_frames + counters(&rig).rx_dropped, 0);
    rig_destroy(&rig);
}

/* Sends until a frame has to wait; returns how many went out before it. */
static unsigned fill_the_wire(struct rig *rig)
{
    unsigned sent = 0;
    do {
        cr_assert_lt(sent, 10000, "a wire without end");
        rig->driver.next_alloc = 2ull << 20;
        guest_sends(rig, 8000, 'h');
    } while (frames_sent(rig) == 1 && ++sent);
    return sent;
}

Test(virtio_net, wire_that_is_full_delays_frames_and_loses_none)
{
    struct rig rig;
    char first;
    rig_start(&rig, 0);
    unsigned sent = fill_the_wire(&rig), seen = 0;
    guest_sends(&rig, 100, 'i');
    cr_assert_eq(frames_sent(&rig), 0, "the order is kept");
    cr_assert_eq(loop_turn(rig.driver.loop, 0), 0, "a wire that is full makes no work");

    for (unsigned i = 0; i < sent; i++)
        seen += host_receives(&rig, &first) == 8000;
    run(&rig);
    while (host_receives(&rig, &first) > 0)
        seen++;
    cr_assert_eq(seen, sent + 2);
    cr_assert_eq(first, 'i', "the order is kept");
    cr_assert_eq(frames_sent(&rig), 2);
    cr_assert_eq(counters(&rig).tx_dropped, 0);
    rig_destroy(&rig);
}

Test(virtio_net, frame_that_the_host_refuses_is_dropped_and_the_next_goes_out)
{
    struct rig rig;
    char first;
    rig_start(&rig, 0);
    int small = 8192;
    cr_assert_eq(setsockopt(rig.card, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    guest_sends(&rig, 65535, 'j'); /* EMSGSIZE */
    guest_sends(&rig, 60, 'k');
    cr_assert_eq(frames_sent(&rig), 2);
    cr_assert_eq(counters(&rig).tx_dropped, 1);
    cr_assert_eq(host_receives(&rig, &first), 60);
    rig_destroy(&rig);
}

/* As many as the ring holds, more than a turn's share. */
static void start_with_long_queues(struct rig *rig, uint16_t size)
{
    rig_create(rig);
    fake_driver_prepare(&rig->driver, 0);
    for (unsigned i = 0; i < NET_QUEUES; i++) {
        fake_driver_write(&rig->driver, FAKE_REG_QUEUE_SEL, i);
        fake_driver_write(&rig->driver, FAKE_REG_QUEUE_NUM, size);
        fake_driver_write(&rig->driver, FAKE_REG_QUEUE_READY, 1);
        rig->driver.queues[i].size = size;
    }
    uint32_t status = fake_driver_read(&rig->driver, FAKE_REG_STATUS);
    fake_driver_write(&rig->driver, FAKE_REG_STATUS, status | VIRTIO_STATUS_DRIVER_OK);
}

Test(virtio_net, busy_card_leaves_the_loop_to_others_in_between)
{
    struct rig rig;
    char first;
    start_with_long_queues(&rig, 256);
    for (unsigned i = 0; i < 100; i++)
        offer_frame(&rig, 60, 'l', 0, 0);
    fake_driver_kick(&rig.driver, NET_QUEUE_TX);
    cr_assert_eq(frames_sent(&rig), 64, "one notification is one share");
    run(&rig);
    cr_assert_eq(frames_sent(&rig), 36);
    while (host_receives(&rig, &first) > 0)
        ;

    for (unsigned i = 0; i < 100; i++)
        offer_buffer(&rig, 100);
    for (unsigned i = 0; i < 100; i++)
        host_sends(&rig, 60, 'm');
    loop_turn(rig.driver.loop, 0);
    cr_assert_eq(frames_received(&rig, 60), 64);
    run(&rig);
    cr_assert_eq(frames_received(&rig, 60), 36);
    rig_destroy(&rig);
}

/* ---- the card itself ---------------------------------------------------------------------- */

Test(virtio_net, configuration_has_address_link_and_mtu_and_cannot_be_written)
{
    struct rig rig;
    rig_start(&rig, ~0ull);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < 6; i++)
            cr_assert_eq(fake_driver_read_config(&rig.driver, i, 1), card_mac[i]);
        cr_assert_eq(fake_driver_read_config(&rig.driver, 6, 2), 1, "link up");
        cr_assert_eq(fake_driver_read_config(&rig.driver, 8, 2), 1, "one pair of queues");
        cr_assert_eq(fake_driver_read_config(&rig.driver, 10, 2), 1500);
        for (unsigned i = 0; i < 12; i++)
            fake_driver_write_config(&rig.driver, i, 1, 0xff);
    }
    cr_assert_eq(fake_driver_read_config(&rig.driver, 12, 1), 0, "nothing behind it");
    cr_assert_eq(fake_driver_read_config(&rig.driver, 11, 2), 0);
    rig_destroy(&rig);
}

Test(virtio_net, offers_no_offload_and_no_control_queue)
{
    struct rig rig;
    rig_create(&rig);
    cr_assert_eq(rig.device->offered & 0xffffff,
                 VIRTIO_NET_F_MAC | VIRTIO_NET_F_MTU | VIRTIO_NET_F_STATUS);
    cr_assert_eq(rig.device->queue_count, 2);
    rig_destroy(&rig);
}

Test(virtio_net, interface_that_goes_away_is_a_cable_pulled)
{
    struct rig rig;
    rig_start(&rig, ~0ull);
    offer_buffer(&rig, BUFFER);
    close(rig.wire);
    rig.wire = -1;
    run(&rig);
    cr_assert_eq(fake_driver_read_config(&rig.driver, 6, 2), 0, "link down");
    cr_assert(fake_driver_read(&rig.driver, FAKE_REG_INTERRUPT_STATUS) & VIRTIO_INTERRUPT_CONFIG);
    cr_assert_eq(loop_turn(rig.driver.loop, 0), 0, "the loop does not spin on it");

    guest_sends(&rig, 60, 'a');
    guest_sends(&rig, 60, 'a');
    cr_assert_eq(frames_sent(&rig), 2, "given back at once");
    cr_assert_eq(counters(&rig).tx_dropped, 2);
    rig_destroy(&rig);
}

Test(virtio_net, frames_that_waited_for_a_wire_that_goes_away_are_given_back)
{
    struct rig rig;
    rig_start(&rig, 0);
    fill_the_wire(&rig);
    close(rig.wire);
    rig.wire = -1;
    run(&rig);
    cr_assert_eq(frames_sent(&rig), 1);
    cr_assert_eq(counters(&rig).tx_dropped, 1);
    rig_destroy(&rig);
}

Test(virtio_net, frames_that_waited_are_given_back_too_when_it_is_a_read_that_finds_the_end)
{
    struct rig rig;
    rig_start(&rig, 0);
    fill_the_wire(&rig);
    add_buffer(&rig);
    cr_assert_eq(shutdown(rig.wire, SHUT_WR), 0);
    run(&rig);
    cr_assert_eq(frames_sent(&rig), 1);
    guest_sends(&rig, 100, 'l');
    cr_assert_eq(frames_sent(&rig), 1);
    cr_assert_eq(counters(&rig).tx_dropped, 2);
    rig_destroy(&rig);
}

Test(virtio_net, reset_while_frames_wait_forgets_them_and_a_new_driver_starts_afresh)
{
    struct rig rig;
    char first;
    rig_start(&rig, 0);
    run(&rig);
    unsigned sent = fill_the_wire(&rig);
    fake_driver_write(&rig.driver, FAKE_REG_STATUS, 0);
    host_sends(&rig, 60, 'b');
    run(&rig);
    for (unsigned i = 0; i < sent; i++)
        cr_assert_eq(host_receives(&rig, &first), 8000);
    cr_assert_eq(host_receives(&rig, &first), -1);

    fake_driver_start(&rig.driver, 0);
    add_buffer(&rig);
    run(&rig);
    cr_assert_eq(frames_received(&rig, 60), 1, "what came between waits in the TAP");
    guest_sends(&rig, 60, 'c');
    cr_assert_eq(host_receives(&rig, &first), 60);
    rig_destroy(&rig);
}

Test(virtio_net, nothing_is_taken_before_the_driver_is_ready)
{
    struct rig rig;
    rig_create(&rig);
    host_sends(&rig, 60, 'd');
    cr_assert_eq(loop_turn(rig.driver.loop, 0), 0);
    fake_driver_start(&rig.driver, 0);
    add_buffer(&rig);
    run(&rig);
    cr_assert_eq(frames_received(&rig, 60), 1);
    rig_destroy(&rig);
}

/* ---- stopping, saving, loading ------------------------------------------------------------ */

static void lock_stop(struct rig *rig, bool stop)
{
    loop_lock(rig->driver.loop);
    if (stop)
        virtio_stop(rig->device);
    else
        virtio_resume(rig->device);
    loop_unlock(rig->driver.loop);
}

Test(virtio_net, stopped_card_touches_nothing_and_goes_on_after)
{
    struct rig rig;
    char first;
    rig_start(&rig, 0);
    offer_buffer(&rig, BUFFER);
    lock_stop(&rig, true);
    cr_assert(virtio_is_quiet(rig.device));
    host_sends(&rig, 60, 'a');
    guest_sends(&rig, 60, 'b');
    run(&rig);
    cr_assert_eq(frames_received(&rig, 60), 0);
    cr_assert_eq(host_receives(&rig, &first), -1);

    lock_stop(&rig, false);
    run(&rig);
    cr_assert_eq(frames_received(&rig, 60), 1);
    cr_assert_eq(host_receives(&rig, &first), 60);
    rig_destroy(&rig);
}

/* Saves the card and puts a new one with another wire into its place. */
static void replace_by_copy(struct rig *rig)
{
    struct virtio_state state;
    struct net_state own;
    struct thaw_error err = {0};
    lock_stop(rig, true);
    virtio_mmio_save(&rig->driver.mmio, &state);
    rig->device->ops->save(rig->device, &own);
    virtio_destroy(rig->device);
    close(rig->wire);

    rig->device = create(&rig->driver, &rig->wire, &rig->card);
    virtio_stop(rig->device);
    fake_driver_attach(&rig->driver, rig->device);
    cr_assert_eq(virtio_mmio_load(&rig->driver.mmio, &state, &err), 0, "%s", err.message);
    cr_assert_eq(rig->device->ops->load(rig->device, &own, &err), 0, "%s", err.message);
}

Test(virtio_net, card_saved_in_mid_life_goes_on_with_another_wire)
{
    struct rig rig;
    char first;
    rig_start(&rig, VIRTIO_F_EVENT_IDX);
    offer_buffer(&rig, BUFFER);
    offer_buffer(&rig, BUFFER);
    host_sends(&rig, 60, 'a');
    run(&rig);
    unsigned sent = fill_the_wire(&rig);
    replace_by_copy(&rig);
    cr_assert_gt(sent, 0);
    lock_stop(&rig, false);

    host_sends(&rig, 60, 'b');
    run(&rig);
    cr_assert_eq(frames_received(&rig, 60), 2, "one before, one after");
    cr_assert_eq(host_receives(&rig, &first), 8000, "the frame that had to wait");
    cr_assert_eq(frames_sent(&rig), 1);
    add_buffer(&rig);
    host_sends(&rig, 60, 'c');
    run(&rig);
    cr_assert_eq(frames_received(&rig, 60), 1);
    rig_destroy(&rig);
}

Test(virtio_net, starved_card_saved_and_loaded_receives_again)
{
    struct rig rig;
    rig_start(&rig, VIRTIO_F_EVENT_IDX);
    host_sends(&rig, 60, 'a');
    run(&rig);
    replace_by_copy(&rig);
    lock_stop(&rig, false);
    host_sends(&rig, 60, 'b');
    run(&rig);
    add_buffer(&rig);
    run(&rig);
    cr_assert_eq(frames_received(&rig, 60), 1);
    rig_destroy(&rig);
}

Test(virtio_net, link_lost_while_stopped_is_told_on_resume)
{
    struct rig rig;
    rig_start(&rig, ~0ull);
    lock_stop(&rig, true);
    close(rig.wire);
    rig.wire = -1;
    run(&rig);
    cr_assert_eq(rig.driver.interrupts, 0);
    lock_stop(&rig, false);
    cr_assert_eq(rig.driver.interrupts, 1);
    cr_assert_eq(fake_driver_read_config(&rig.driver, 6, 2), 0);
    rig_destroy(&rig);
}

Test(virtio_net, loaded_card_shows_what_the_driver_has_read)
{
    const struct net_state saved = {.mac = {0x02, 9, 8, 7, 6, 5}, .mtu = 9000, .link_up = 0};
    struct rig rig;
    struct thaw_error err = {0};
    rig_start(&rig, ~0ull);
    lock_stop(&rig, true);
    cr_assert_eq(rig.device->ops->load(rig.device, &saved, &err), 0);
    for (unsigned i = 0; i < 6; i++)
        cr_assert_eq(fake_driver_read_config(&rig.driver, i, 1), saved.mac[i]);
    cr_assert_eq(fake_driver_read_config(&rig.driver, 10, 2), 9000);
    cr_assert_eq(fake_driver_read_config(&rig.driver, 6, 2), 0);
    lock_stop(&rig, false);
    cr_assert_eq(fake_driver_read_config(&rig.driver, 6, 2), 1, "the new wire is there");
    cr_assert_eq(rig.driver.interrupts, 1);
    rig_destroy(&rig);
}

Test(virtio_net, hostile_state_is_refused_and_changes_nothing)
{
    const struct net_state rows[] = {
        {.mac = {0x03, 1, 1, 1, 1, 1}, .mtu = 1500},
        {.mac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, .mtu = 1500},
        {.mac = {0}, .mtu = 1500},
        {.mac = {2, 1}, .mtu = 0},
        {.mac = {2, 1}, .mtu = 67},
        {.mac = {2, 1}, .mtu = 1500, .link_up = 2},
        {.mac = {2, 1}, .mtu = 1500, .link_up = 0xffff},
        {.mac = {2, 1}, .mtu = 1500, .reserved = 1},
    };
    struct rig rig;
    rig_create(&rig);
    virtio_stop(rig.device);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct thaw_error err = {0};
        cr_assert_eq(rig.device->ops->load(rig.device, &rows[i], &err), -EINVAL, "row %u", i);
        cr_assert_eq(fake_driver_read_config(&rig.driver, 1, 1), card_mac[1]);
        cr_assert_eq(fake_driver_read_config(&rig.driver, 6, 2), 1);
        cr_assert_eq(fake_driver_read_config(&rig.driver, 10, 2), 1500);
    }
    rig_destroy(&rig);
}

/* ---- creation ----------------------------------------------------------------------------- */

Test(virtio_net, default_address_is_unicast_local_and_stable_by_name)
{
    uint8_t first[6], again[6], other[6], random[6];
    net_default_mac("tap0", first);
    net_default_mac("tap0", again);
    net_default_mac("tap1", other);
    net_default_mac(NULL, random);
    cr_assert_arr_eq(first, again, 6);
    cr_assert_arr_neq(first, other, 6);
    cr_assert_arr_neq(first, random, 6);
    cr_assert_eq(first[0] & 3, 2);
    cr_assert_eq(random[0] & 3, 2);
}

static int create_error(const struct net_config *config, struct thaw_error *err)
{
    struct fake_driver driver;
    struct virtio_device *device = NULL;
    fake_driver_init(&driver);
    int rc = net_create(config, &driver.context, &device, err);
    cr_assert_null(device);
    fake_driver_destroy(&driver);
    return rc;
}

Test(virtio_net, bad_configuration_is_refused_and_the_descriptor_closed)
{
    const struct net_config rows[] = {
        {.mac = {1}}, {.mac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, {.mtu = 67}, {.mtu = 1}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct thaw_error err = {0};
        struct net_config config = rows[i];
        int pair[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
        config.fd = pair[0];
        cr_assert_eq(create_error(&config, &err), -EINVAL);
        cr_assert_eq(err.failure, THAW_FAIL_USAGE);
        cr_assert_eq(fcntl(pair[0], F_GETFD), -1);
        close(pair[1]);
    }
}

Test(virtio_net, descriptor_that_is_not_open_is_an_error)
{
    struct thaw_error err = {0};
    const struct net_config config = {.fd = -1};
    cr_assert_eq(create_error(&config, &err), -EBADF);
}

Test(virtio_net, names_that_cannot_be_a_tap_are_refused_in_one_line)
{
    const struct {
        const char *name, *message;
    } rows[] = {
        {"", "--net tap=: a name is missing"},
        {"a-name-of-16-char", "--net tap=a-name-of-16-char: longer than the 15 characters"},
        {"thaw-no-such", "--net tap=thaw-no-such: there is no such interface; make it with: "
                         "ip tuntap add dev thaw-no-such mode tap user $USER"},
        {"tap%d", "--net tap=tap%d: there is no such interface"},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct thaw_error err = {0};
        const struct net_config config = {.tap = rows[i].name};
        cr_assert_lt(create_error(&config, &err), 0);
        cr_assert_eq(err.failure, THAW_FAIL_USAGE);
        cr_assert_eq(strncmp(err.message, rows[i].message, strlen(rows[i].message)), 0, "%s",
                     err.message);
    }
}

Test(virtio_net, interface_that_is_no_tap_is_never_opened)
{
    struct thaw_error err = {0};
    const struct net_config config = {.tap = "lo"};
    cr_assert_lt(create_error(&config, &err), 0);
    cr_assert_eq(strncmp(err.message, "--net tap=lo: ", 14), 0, "%s", err.message);
}

Test(virtio_net, descriptor_that_is_no_tap_is_not_adopted)
{
    struct thaw_error err = {0};
    struct tap tap;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    cr_assert_lt(tap_adopt(fd, &tap, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_USAGE);
    cr_assert_not_null(strstr(err.message, ": not a TAP interface"), "%s", err.message);
    close(fd);
    cr_assert_lt(tap_adopt(fd, &tap, &err), 0);
    cr_assert_not_null(strstr(err.message, ": not an open descriptor"), "%s", err.message);
}
