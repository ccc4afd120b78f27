/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that breaks the rules of virtio sockets, and the limits that hold whatever it does. */
#include "tests/unit/vsock_rig.h"

#include <pthread.h>
#include <stdatomic.h>

TestSuite(vsock_hostile, .init = set_up, .fini = tear_down);
TestSuite(vsock_dry, .init = set_up_dry, .fini = tear_down);

static bool device_needs_reset(void)
{
    return fake_driver_read(&rig.driver, FAKE_REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET;
}

/* ---- descriptors -------------------------------------------------------------------------- */

static void send_parts(const struct fake_buffer *parts, unsigned count)
{
    fake_driver_send(&rig.driver, TX, parts, count);
    fake_driver_kick(&rig.driver, TX);
}

static bool given_back(unsigned queue)
{
    uint32_t head, length;
    return fake_driver_used(&rig.driver, queue, &head, &length);
}

Test(vsock_hostile, cve_2019_18960_a_packet_whose_payload_leaves_memory_is_not_read)
{
    static const uint64_t addresses[] = {FAKE_MEMORY_SIZE - 1, FAKE_MEMORY_SIZE - 4096,
                                         FAKE_OUTSIDE, UINT64_MAX - 4095, UINT64_MAX};
    for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct vsock_header h = header(VSOCK_OP_RW, 5, 80);
        h.len = 4097;
        memcpy(fake_driver_at(&rig.driver, rig.tx, HEADER), &h, HEADER);
        const struct fake_buffer parts[] = {{.address = rig.tx, .length = HEADER},
                                            {.address = addresses[i], .length = 4097}};
        send_parts(parts, 2);
        cr_assert_not(given_back(TX));
        cr_assert(device_needs_reset());
        fake_driver_start(&rig.driver, 0);
    }
}

Test(vsock_dry, cve_2019_18960_a_buffer_that_leaves_memory_is_not_written)
{
    static const uint64_t addresses[] = {FAKE_MEMORY_SIZE - HEADER, FAKE_OUTSIDE, UINT64_MAX};
    for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        const struct fake_buffer part = {
            .address = addresses[i], .length = HEADER + 1, .writable = true};
        fake_driver_send(&rig.driver, RX, &part, 1);
        guest_send(VSOCK_OP_REQUEST, 5, 80);
        cr_assert(device_needs_reset());
        fake_driver_start(&rig.driver, 0);
    }
}

Test(vsock_hostile, a_packet_in_pieces_is_as_good_as_whole)
{
    uint32_t port;
    int fd = connect_to_guest(5, &port);
    struct fake_buffer parts[12];
    struct vsock_header h = header(VSOCK_OP_RW, 5, port);
    char bytes[HEADER + 4];
    h.len = 4;
    memcpy(bytes, &h, HEADER);
    memcpy(bytes + HEADER, "data", 4);
    for (unsigned i = 0; i < 12; i++) { /* 4 bytes each */
        parts[i] = (struct fake_buffer){.address = fake_driver_alloc(&rig.driver, 4), .length = 4};
        memcpy(fake_driver_at(&rig.driver, parts[i].address, 4), bytes + 4 * i, 4);
    }
    send_parts(parts, 12);
    cr_assert(given_back(TX));
    host_reads(fd, "data");
    close(fd);
}

Test(vsock_hostile, cve_2022_26354_a_packet_shorter_than_a_header_is_dropped_and_given_back)
{
    const struct fake_buffer part = {.address = rig.tx, .length = HEADER - 1};
    send_parts(&part, 1);
    cr_assert(given_back(TX));
    const struct fake_buffer writable = {.address = rig.tx, .length = 4096, .writable = true};
    send_parts(&writable, 1);
    cr_assert(given_back(TX), "nothing that the device may read");
    expect_nothing();
    cr_assert_not(device_needs_reset());
}

Test(vsock_hostile, cve_2023_3180_a_length_beyond_the_payload_ends_the_connection)
{
    static const uint32_t lengths[] = {5, 1000, VSOCK_WINDOW + 1, UINT32_MAX - HEADER + 1,
                                       UINT32_MAX};
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint32_t port;
        struct packet packet;
        int fd = connect_to_guest(5, &port);
        struct vsock_header h = header(VSOCK_OP_RW, 5, port);
        h.len = lengths[i];
        guest_send_raw(&h, "data", 4);
        expect(&packet, VSOCK_OP_RST);
        host_reads(fd, "");
        close(fd);
    }
}

Test(vsock_hostile, payload_beyond_the_length_is_not_passed_on)
{
    uint32_t port;
    int fd = connect_to_guest(5, &port);
    struct vsock_header h = header(VSOCK_OP_RW, 5, port);
    h.len = 4;
    guest_send_raw(&h, "data and more", 13);
    host_reads(fd, "data");
    close(fd);
}

Test(vsock_hostile, a_data_packet_without_data_does_nothing)
{
    uint32_t port;
    int fd = connect_to_guest(5, &port);
    guest_write(5, port, NULL, 0);
    expect_nothing();
    host_reads(fd, "...");
    close(fd);
}

Test(vsock_dry, a_buffer_without_room_for_more_than_a_header_is_against_the_rules)
{
    static const uint32_t sizes[] = {1, HEADER - 1, HEADER};
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        offer_rx(fake_driver_alloc(&rig.driver, 64), sizes[i]);
        guest_send(VSOCK_OP_REQUEST, 5, 80);
        cr_assert(device_needs_reset());
        fake_driver_start(&rig.driver, 0);
    }
}

Test(vsock_dry, small_buffers_in_pieces_carry_small_packets)
{
    struct fake_buffer parts[3];
    struct vsock_header h;
    for (unsigned i = 0; i < 3; i++)
        parts[i] = (struct fake_buffer){
            .address = fake_driver_alloc(&rig.driver, 20), .length = 20, .writable = true};
    offer_rx(fake_driver_alloc(&rig.driver, RX_SIZE), RX_SIZE);
    uint32_t port, head, length;
    struct packet packet;
    int fd = host_open();
    host_write(fd, "CONNECT 5\n0123456789abcdefghij");
    run_loop();
    cr_assert(fake_driver_used(&rig.driver, RX, &head, &length));
    memcpy(&packet.h, fake_driver_at(&rig.driver, rig.rx[head], HEADER), HEADER);
    port = packet.h.src_port;
    guest_send(VSOCK_OP_RESPONSE, 5, port);
    fake_driver_send(&rig.driver, RX, parts, 3);
    fake_driver_kick(&rig.driver, RX);
    run_loop();
    cr_assert(fake_driver_used(&rig.driver, RX, &head, &length));
    cr_assert_eq(length, 60);
    char bytes[60];
    for (unsigned i = 0; i < 3; i++)
        memcpy(bytes + 20 * i, fake_driver_at(&rig.driver, parts[i].address, 20), 20);
    memcpy(&h, bytes, HEADER);
    cr_assert_eq(h.len, 16);
    cr_assert_arr_eq(bytes + HEADER, "0123456789abcdef", 16);
    close(fd);
}

/* ---- packets ------------------------------------------------------------------------------ */

Test(vsock_hostile, packets_of_or_for_somebody_else_are_dropped)
{
    static const struct {
        uint64_t src, dst;
    } rows[] = {{GUEST_CID + 1, 2},
                {2, 2},
                {0, 2},
                {GUEST_CID | 1ull << 32, 2},
                {UINT64_MAX, 2},
                {GUEST_CID, 0},
                {GUEST_CID, 1},
                {GUEST_CID, 3},
                {GUEST_CID, GUEST_CID},
                {GUEST_CID, 2 | 1ull << 32},
                {GUEST_CID, UINT64_MAX}};
    int listener = host_listen("_80");
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vsock_header h = header(VSOCK_OP_REQUEST, 5, 80);
        h.src_cid = rows[i].src;
        h.dst_cid = rows[i].dst;
        guest_send_raw(&h, NULL, 0);
    }
    expect_nothing();
    close(connect_to_host(listener, 5, 80));
    close(listener);
}

Test(vsock_hostile, unknown_types_and_operations_are_answered_with_rst)
{
    static const struct {
        uint16_t type, op;
    } rows[] = {{0, VSOCK_OP_REQUEST},
                {2, VSOCK_OP_REQUEST},
                {UINT16_MAX, VSOCK_OP_RW},
                {1, 0},
                {1, 8},
                {1, UINT16_MAX},
                {1, VSOCK_OP_RW},
                {1, VSOCK_OP_RESPONSE},
                {1, VSOCK_OP_SHUTDOWN},
                {1, VSOCK_OP_CREDIT_UPDATE},
                {1, VSOCK_OP_CREDIT_REQUEST}};
    int listener = host_listen("_80");
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct packet packet;
        struct vsock_header h = header(rows[i].op, 5, 80);
        h.type = rows[i].type;
        guest_send_raw(&h, NULL, 0);
        expect(&packet, VSOCK_OP_RST);
        cr_assert_eq(packet.h.type, rows[i].type);
        cr_assert_eq(packet.h.dst_port, 5);
        cr_assert_eq(packet.h.src_port, 80);
    }
    expect_nothing();
    close(listener);
}

Test(vsock_hostile, a_reset_for_no_connection_is_not_answered)
{
    guest_send(VSOCK_OP_RST, 5, 80);
    struct vsock_header h = header(VSOCK_OP_RST, 5, 80);
    h.type = 9;
    guest_send_raw(&h, NULL, 0);
    expect_nothing();
}

/* Whether a RST is among the packets that are there. */
static bool was_reset(struct packet *packet)
{
    while (guest_receive(packet))
        if (packet->h.op == VSOCK_OP_RST)
            return true;
    return false;
}

Test(vsock_hostile, a_guest_that_sends_beyond_its_credit_is_reset)
{
    static const char block[VSOCK_WINDOW];
    uint32_t port;
    struct packet packet;
    int fd = connect_to_guest(5, &port);
    /* Nobody reads: after the socket's own buffer the window fills. */
    unsigned taken = 0;
    do
        guest_write(5, port, block, VSOCK_WINDOW);
    while (!was_reset(&packet) && ++taken < 100);
    cr_assert_lt(taken, 100);
    cr_assert_eq(packet.h.dst_port, 5);
    guest_write(5, port, "x", 1);
    expect(&packet, VSOCK_OP_RST);
    close(fd);
}

Test(vsock_hostile, counters_that_make_no_sense_stall_the_guests_own_connection)
{
    uint32_t port, other;
    struct packet packet;
    int fd = connect_to_guest(5, &port);
    int good = connect_to_guest(6, &other);
    struct vsock_header h = header(VSOCK_OP_CREDIT_UPDATE, 5, port);
    h.fwd_cnt = 1000000; /* of nothing sent */
    guest_send_raw(&h, NULL, 0);
    host_write(fd, "stalled");
    expect(&packet, VSOCK_OP_CREDIT_REQUEST);
    expect_nothing();
    host_write(good, "flows");
    expect(&packet, VSOCK_OP_RW);
    cr_assert_eq(packet.h.dst_port, 6);
    h.fwd_cnt = 0;
    guest_send_raw(&h, NULL, 0);
    expect(&packet, VSOCK_OP_RW);
    cr_assert_eq(packet.h.dst_port, 5);
    close(fd);
    close(good);
}

/* ---- storms ------------------------------------------------------------------------------- */

Test(vsock_dry, resets_that_find_no_buffer_wait_and_beyond_a_number_are_lost)
{
    struct packet packet;
    for (uint32_t i = 0; i < 5000; i++)
        guest_send(VSOCK_OP_RW, i, 80);
    fill_rx();
    uint32_t count = 0;
    while (guest_receive(&packet)) {
        cr_assert_eq(packet.h.op, VSOCK_OP_RST);
        cr_assert_eq(packet.h.dst_port, count, "in their order");
        count++;
    }
    cr_assert_eq(count, 1024);
    int listener = host_listen("_80");
    close(connect_to_host(listener, 5, 80));
    close(listener);
}

static struct {
    atomic_bool stop;
    uint16_t *avail, *used;
} flood;

/* Gives every packet back to the device as soon as it is used. */
static void *flood_main(void *arg)
{
    (void)arg;
    while (!atomic_load(&flood.stop))
        if (__atomic_load_n(&flood.used[1], __ATOMIC_ACQUIRE) == flood.avail[1])
            __atomic_store_n(&flood.avail[1], (uint16_t)(flood.avail[1] + 1), __ATOMIC_RELEASE);
    return NULL;
}

Test(vsock_dry, a_guest_that_never_stops_sending_does_not_hold_the_loop)
{
    pthread_t thread;
    const struct vsock_header h = header(VSOCK_OP_RST, 5, 80);
    memcpy(fake_driver_at(&rig.driver, rig.tx, HEADER), &h, HEADER);
    fake_driver_set_desc(&rig.driver, TX, 0, rig.tx, HEADER, 0, 0);
    flood.avail = fake_driver_at(&rig.driver, rig.driver.queues[TX].avail, 64);
    flood.used = fake_driver_at(&rig.driver, rig.driver.queues[TX].used, 64);
    cr_assert_eq(pthread_create(&thread, NULL, flood_main, NULL), 0);
    for (int i = 0; i < 200; i++) {
        fake_driver_kick(&rig.driver, TX); /* returns */
        loop_turn(rig.driver.loop, 0);
    }
    atomic_store(&flood.stop, true);
    pthread_join(thread, NULL);
    fake_driver_kick(&rig.driver, TX); /* the last may have come after the device asked for this */
    run_loop();
    cr_assert_eq(flood.used[1], flood.avail[1], "and none was forgotten");
    cr_assert_not(device_needs_reset());
}

Test(vsock_hostile, a_thousand_connections_and_no_more_than_there_may_be)
{
    static int host[VSOCK_CONNECTIONS_MAX];
    static uint32_t port[VSOCK_CONNECTIONS_MAX];
    struct packet packet;
    char text[16];
    int listener = host_listen("_80");
    for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++)
        host[i] = connect_to_guest(i % 7, &port[i]);

    int beyond = host_open();
    host_reads(beyond, "");
    close(beyond);
    guest_send(VSOCK_OP_REQUEST, 5, 80);
    expect(&packet, VSOCK_OP_RST);

    for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
        snprintf(text, sizeof(text), "number %u", i);
        guest_write(i % 7, port[i], text, (uint32_t)strlen(text));
        host_write(host[i], text);
    }
    for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
        expect(&packet, VSOCK_OP_RW);
        uint32_t n = packet.h.src_port - port[0];
        cr_assert_lt(n, VSOCK_CONNECTIONS_MAX);
        snprintf(text, sizeof(text), "number %u", n);
        cr_assert_eq(packet.h.len, strlen(text));
        cr_assert_arr_eq(packet.data, text, packet.h.len);
        snprintf(text, sizeof(text), "number %u", i);
        host_reads(host[i], text);
    }
    for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
        guest_shutdown(i % 7, port[i], VSOCK_NO_MORE);
        expect(&packet, VSOCK_OP_RST);
        host_reads(host[i], "");
        close(host[i]);
    }
    close(connect_to_host(listener, 5, 80));
    close(listener);
}

Test(vsock_hostile, without_descriptors_a_connection_is_refused_and_the_loop_stays_idle)
{
    int fd = host_open(); /* not accepted yet */
    int all[8192], count = 0;
    while (count < 8192 && (all[count] = dup(fd)) >= 0)
        count++;
    if (count < 8192) {
        host_reads(fd, "");
        guest_send(VSOCK_OP_REQUEST, 5, 80);
    }
    for (int i = 0; i < count; i++)
        close(all[i]);
    cr_assert_lt(count, 8192, "the limit of set_up() did not work");
    struct packet packet;
    expect(&packet, VSOCK_OP_RST);
    close(fd);
    uint32_t port;
    close(connect_to_guest(5, &port));
}
