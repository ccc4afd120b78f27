/* SPDX-License-Identifier: Apache-2.0 */
/* Connections through a virtio socket, in order: set up, used, ended. */
#include "tests/unit/vsock_rig.h"

TestSuite(virtio_vsock, .init = set_up, .fini = tear_down);

/* ---- setting up --------------------------------------------------------------------------- */

Test(virtio_vsock, the_configuration_is_the_guests_cid)
{
    cr_assert_eq(fake_driver_read_config(&rig.driver, 0, 8), GUEST_CID);
    cr_assert_eq(fake_driver_read_config(&rig.driver, 0, 4), GUEST_CID);
    cr_assert_eq(fake_driver_read_config(&rig.driver, 4, 4), 0);
    fake_driver_write_config(&rig.driver, 0, 4, 7);
    cr_assert_eq(fake_driver_read_config(&rig.driver, 0, 8), GUEST_CID, "it is read-only");
}

Test(virtio_vsock, a_host_program_connects_and_is_told_its_port)
{
    struct packet packet;
    int fd = host_open();
    host_write(fd, "CONNECT 1234\n");
    expect(&packet, VSOCK_OP_REQUEST);
    cr_assert_eq(packet.h.dst_port, 1234);
    cr_assert_eq(packet.h.type, VSOCK_TYPE_STREAM);
    cr_assert_eq(packet.h.buf_alloc, VSOCK_WINDOW);
    cr_assert_eq(packet.h.fwd_cnt, 0);
    host_reads(fd, "...");

    char line[64];
    guest_send(VSOCK_OP_RESPONSE, 1234, packet.h.src_port);
    snprintf(line, sizeof(line), "OK %u\n", packet.h.src_port);
    host_reads(fd, line);
    expect_nothing();
    close(fd);
}

Test(virtio_vsock, the_line_may_come_in_pieces)
{
    struct packet packet;
    int fd = host_open();
    host_write(fd, "CONN");
    run_loop();
    host_write(fd, "ECT 99");
    expect_nothing();
    host_write(fd, "\n");
    expect(&packet, VSOCK_OP_REQUEST);
    cr_assert_eq(packet.h.dst_port, 99);
    close(fd);
}

Test(virtio_vsock, bytes_behind_the_line_are_for_the_guest)
{
    struct packet packet;
    int fd = host_open();
    host_write(fd, "CONNECT 5\nhello\nCONNECT 6\n");
    expect(&packet, VSOCK_OP_REQUEST);
    expect_nothing();
    guest_send(VSOCK_OP_RESPONSE, 5, packet.h.src_port);
    expect(&packet, VSOCK_OP_RW);
    cr_assert_eq(packet.h.len, 16);
    cr_assert_arr_eq(packet.data, "hello\nCONNECT 6\n", 16);
    close(fd);
}

Test(virtio_vsock, a_program_that_sends_garbage_is_hung_up_on)
{
    static const char *const lines[] = {"GET / HTTP/1.1\r\n",
                                        "x",
                                        "CONNECTED",
                                        "CONNECT\n",
                                        "CONNECT \n",
                                        "connect 5\n",
                                        "CONNECT 5 \n",
                                        "CONNECT -5\n",
                                        "CONNECT 4294967296\n",
                                        "CONNECT 99999999999999999999999\n",
                                        "CONNECT 0000000000000000000000005\n",
                                        "CONNECT 00000000000000000000000000000005",
                                        "\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        int fd = host_open();
        host_write(fd, lines[i]);
        char byte;
        run_loop();
        cr_assert_leq(recv(fd, &byte, 1, 0), 0);
        cr_assert_neq(errno, EAGAIN, "%s", lines[i]);
        errno = 0;
        close(fd);
    }
    expect_nothing();
}

Test(virtio_vsock, a_program_that_leaves_before_its_line_leaves_nothing_behind)
{
    for (unsigned i = 0; i < 2 * VSOCK_CONNECTIONS_MAX; i++) {
        int fd = host_open();
        if (i % 2)
            host_write(fd, "CONNECT 5");
        close(fd);
        run_loop();
    }
    expect_nothing();
    uint32_t port;
    close(connect_to_guest(5, &port));
}

Test(virtio_vsock, a_port_that_the_guest_refuses_closes_the_programs_connection)
{
    struct packet packet;
    int fd = host_open();
    host_write(fd, "CONNECT 5\n");
    expect(&packet, VSOCK_OP_REQUEST);
    guest_send(VSOCK_OP_RST, 5, packet.h.src_port);
    host_reads(fd, "");
    expect_nothing();
    close(fd);
}

Test(virtio_vsock, a_program_that_gives_up_before_the_answer_takes_its_request_back)
{
    struct packet packet;
    int fd = host_open();
    host_write(fd, "CONNECT 5\n");
    expect(&packet, VSOCK_OP_REQUEST);
    uint32_t port = packet.h.src_port;
    close(fd);
    expect(&packet, VSOCK_OP_RST);
    cr_assert_eq(packet.h.src_port, port);
    guest_send(VSOCK_OP_RESPONSE, 5, port);
    expect(&packet, VSOCK_OP_RST);
}

Test(virtio_vsock, a_program_may_send_and_close_without_waiting_for_the_answer)
{
    struct packet packet;
    int fd = host_open();
    host_write(fd, "CONNECT 5\nfire and forget");
    close(fd);
    expect(&packet, VSOCK_OP_REQUEST);
    expect_nothing();
    guest_send(VSOCK_OP_RESPONSE, 5, packet.h.src_port);
    expect(&packet, VSOCK_OP_SHUTDOWN);
    cr_assert_eq(packet.h.flags, VSOCK_NO_RECEIVE);
    expect(&packet, VSOCK_OP_RW);
    cr_assert_arr_eq(packet.data, "fire and forget", 15);
    expect(&packet, VSOCK_OP_SHUTDOWN);
    cr_assert_eq(packet.h.flags, VSOCK_NO_MORE);
}

Test(virtio_vsock, the_guest_connects_to_the_socket_with_its_port_in_the_name)
{
    int listener = host_listen("_4294967295");
    int fd = connect_to_host(listener, 1000, UINT32_MAX);
    guest_write(1000, UINT32_MAX, "ping", 4);
    host_reads(fd, "ping");

    struct packet packet;
    host_write(fd, "pong");
    expect(&packet, VSOCK_OP_RW);
    cr_assert_eq(packet.h.src_port, UINT32_MAX);
    cr_assert_eq(packet.h.dst_port, 1000);
    cr_assert_arr_eq(packet.data, "pong", 4);
    close(fd);
    close(listener);
}

Test(virtio_vsock, the_guest_is_refused_where_nobody_listens)
{
    struct packet packet;
    guest_send(VSOCK_OP_REQUEST, 1000, 80);
    expect(&packet, VSOCK_OP_RST);
    cr_assert_eq(packet.h.src_port, 80);
    cr_assert_eq(packet.h.dst_port, 1000);

    int listener = host_listen("_80");
    close(listener);
    guest_send(VSOCK_OP_REQUEST, 1000, 80);
    expect(&packet, VSOCK_OP_RST);
}

Test(virtio_vsock, a_second_request_with_the_same_ports_ends_the_connection)
{
    struct packet packet;
    int listener = host_listen("_80");
    int fd = connect_to_host(listener, 1000, 80);
    guest_send(VSOCK_OP_REQUEST, 1000, 80);
    expect(&packet, VSOCK_OP_RST);
    host_reads(fd, "");
    close(fd);
    close(connect_to_host(listener, 1000, 80));
    close(listener);
}

/* ---- data --------------------------------------------------------------------------------- */

Test(virtio_vsock, bytes_go_both_ways_and_are_counted)
{
    uint32_t port;
    struct packet packet;
    int fd = connect_to_guest(5, &port);
    guest_write(5, port, "abc", 3);
    host_reads(fd, "abc");
    host_write(fd, "defg");
    expect(&packet, VSOCK_OP_RW);
    cr_assert_arr_eq(packet.data, "defg", 4);
    cr_assert_eq(packet.h.len, 4);
    cr_assert_eq(packet.h.fwd_cnt, 3, "what the host has taken");
    close(fd);
}

Test(virtio_vsock, the_host_sends_no_more_than_the_guest_has_room_for)
{
    static char data[4 * GUEST_WINDOW];
    uint32_t port, total = 0;
    struct packet packet;
    int fd = connect_to_guest(5, &port);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7 + i / 256);
    cr_assert_eq(send(fd, data, sizeof(data), 0), (ssize_t)sizeof(data));
    for (int round = 0; round < 4; round++) {
        uint32_t want = total + GUEST_WINDOW;
        while (total < want) {
            expect(&packet, VSOCK_OP_RW);
            cr_assert_arr_eq(packet.data, data + total, packet.h.len);
            total += packet.h.len;
        }
        cr_assert_eq(total, want);
        expect(&packet, VSOCK_OP_CREDIT_REQUEST);
        expect_nothing();
        struct vsock_header update = header(VSOCK_OP_CREDIT_UPDATE, 5, port);
        update.fwd_cnt = total;
        guest_send_raw(&update, NULL, 0);
    }
    expect_nothing();
    close(fd);
}

Test(virtio_vsock, what_the_host_does_not_read_is_kept_and_credit_comes_when_it_does)
{
    static char block[4096];
    uint32_t port, sent = 0;
    struct packet packet;
    int fd = connect_to_guest(5, &port);
    /* The socket takes some 200 KiB by itself; the device keeps a window more. */
    uint32_t told = 0;
    while (sent - told + sizeof(block) <= VSOCK_WINDOW) {
        memset(block, (int)(sent / sizeof(block)), sizeof(block));
        guest_write(5, port, block, sizeof(block));
        sent += (uint32_t)sizeof(block);
        while (guest_receive(&packet)) {
            cr_assert_eq(packet.h.op, VSOCK_OP_CREDIT_UPDATE);
            told = packet.h.fwd_cnt;
        }
        cr_assert_lt(sent, 64u << 20, "no backpressure");
    }
    expect_nothing();
    for (uint32_t at = 0; at < sent; at += (uint32_t)sizeof(block)) {
        run_loop();
        cr_assert_eq(recv(fd, block, sizeof(block), MSG_WAITALL), (ssize_t)sizeof(block));
        for (size_t i = 0; i < sizeof(block); i++)
            cr_assert_eq(block[i], (char)(at / sizeof(block)));
    }
    while (guest_receive(&packet))
        told = packet.h.fwd_cnt;
    cr_assert_lt(sent - told, VSOCK_WINDOW / 2, "the window is open again");
    close(fd);
}

Test(virtio_vsock, a_guest_that_asks_for_credit_gets_an_update)
{
    uint32_t port;
    struct packet packet;
    int fd = connect_to_guest(5, &port);
    guest_write(5, port, "abc", 3);
    guest_send(VSOCK_OP_CREDIT_REQUEST, 5, port);
    expect(&packet, VSOCK_OP_CREDIT_UPDATE);
    cr_assert_eq(packet.h.fwd_cnt, 3);
    cr_assert_eq(packet.h.buf_alloc, VSOCK_WINDOW);
    close(fd);
}

/* The next buffer only when the last packet was read: each is a decision who is next. */
Test(virtio_vsock, programs_take_turns)
{
    static const char data[3 * RX_SIZE];
    struct packet packet;
    int fd[3];
    uint32_t port[3];
    for (int i = 0; i < 3; i++)
        fd[i] = connect_to_guest(5, &port[i]);
    for (unsigned i = 0; i < RX_BUFFERS; i++) /* held back from now on */
        guest_send(VSOCK_OP_REQUEST, i, i);
    run_loop();
    for (int i = 0; i < 3; i++)
        cr_assert_eq(send(fd[i], data, sizeof(data), 0), (ssize_t)sizeof(data));
    for (unsigned i = 0; i < RX_BUFFERS; i++)
        expect(&packet, VSOCK_OP_RST);
    uint32_t last = 0;
    for (int i = 0; i < 6; i++) {
        expect(&packet, VSOCK_OP_RW);
        cr_assert_neq(packet.h.src_port, last, "twice in a row");
        last = packet.h.src_port;
    }
    for (int i = 0; i < 3; i++)
        close(fd[i]);
}

/* ---- ending ------------------------------------------------------------------------------- */

Test(virtio_vsock, a_program_that_closes_shuts_both_directions_behind_its_last_byte)
{
    uint32_t port;
    struct packet packet;
    int fd = connect_to_guest(5, &port);
    host_write(fd, "last");
    close(fd);
    unsigned flags = 0;
    bool had_data = false;
    while (flags != VSOCK_NO_MORE) {
        cr_assert(guest_receive(&packet));
        if (packet.h.op == VSOCK_OP_RW) {
            cr_assert_arr_eq(packet.data, "last", 4);
            had_data = true;
            continue;
        }
        cr_assert_eq(packet.h.op, VSOCK_OP_SHUTDOWN);
        flags = packet.h.flags;
        cr_assert(had_data || !(flags & VSOCK_NO_SEND), "the end comes behind the data");
    }
    guest_send(VSOCK_OP_RST, 5, port);
    expect_nothing();
    guest_write(5, port, "x", 1);
    expect(&packet, VSOCK_OP_RST);
}

Test(virtio_vsock, a_program_that_stops_sending_can_still_receive)
{
    uint32_t port;
    struct packet packet;
    int fd = connect_to_guest(5, &port);
    host_write(fd, "question");
    shutdown(fd, SHUT_WR);
    expect(&packet, VSOCK_OP_RW);
    expect(&packet, VSOCK_OP_SHUTDOWN);
    cr_assert_eq(packet.h.flags, VSOCK_NO_SEND);
    guest_write(5, port, "answer", 6);
    host_reads(fd, "answer");
    guest_shutdown(5, port, VSOCK_NO_MORE);
    expect(&packet, VSOCK_OP_RST);
    host_reads(fd, "");
    close(fd);
}

Test(virtio_vsock, a_guest_that_stops_sending_can_still_receive)
{
    uint32_t port;
    struct packet packet;
    int fd = connect_to_guest(5, &port);
    guest_write(5, port, "question", 8);
    guest_shutdown(5, port, VSOCK_NO_SEND);
    host_reads(fd, "question");
    host_reads(fd, "");
    host_write(fd, "answer");
    expect(&packet, VSOCK_OP_RW);
    cr_assert_arr_eq(packet.data, "answer", 6);
    close(fd);
    expect(&packet, VSOCK_OP_SHUTDOWN);
    while (packet.h.flags != VSOCK_NO_MORE)
        expect(&packet, VSOCK_OP_SHUTDOWN);
    guest_send(VSOCK_OP_RST, 5, port);
    expect_nothing();
}

Test(virtio_vsock, a_guest_that_stops_receiving_makes_the_programs_writes_fail)
{
    uint32_t port;
    int fd = connect_to_guest(5, &port);
    guest_shutdown(5, port, VSOCK_NO_RECEIVE);
    run_loop();
    cr_assert_eq(send(fd, "x", 1, MSG_NOSIGNAL), -1);
    cr_assert_eq(errno, EPIPE);
    guest_write(5, port, "still", 5);
    host_reads(fd, "still");
    close(fd);
    struct packet packet;
    expect(&packet, VSOCK_OP_SHUTDOWN);
    cr_assert_eq(packet.h.flags, VSOCK_NO_MORE);
}

Test(virtio_vsock, a_program_that_stops_receiving_is_known_to_the_guest)
{
    uint32_t port;
    struct packet packet;
    int fd = connect_to_guest(5, &port);
    shutdown(fd, SHUT_RD);
    guest_write(5, port, "x", 1);
    expect(&packet, VSOCK_OP_SHUTDOWN);
    cr_assert_eq(packet.h.flags, VSOCK_NO_RECEIVE);
    guest_write(5, port, "was on its way", 14);
    host_write(fd, "still");
    expect(&packet, VSOCK_OP_RW);
    cr_assert_eq(packet.h.fwd_cnt, 15, "what nobody wants is credited");
    close(fd);
}

Test(virtio_vsock, what_a_guest_sent_before_it_closed_reaches_a_slow_program)
{
    static const char block[4096];
    uint32_t port, sent = 0, told = 0;
    struct packet packet;
    int fd = connect_to_guest(5, &port);
    while (sent - told + sizeof(block) <= VSOCK_WINDOW) {
        guest_write(5, port, block, sizeof(block));
        sent += (uint32_t)sizeof(block);
        while (guest_receive(&packet))
            told = packet.h.fwd_cnt;
    }
    guest_shutdown(5, port, VSOCK_NO_MORE);
    expect(&packet, VSOCK_OP_RST);

    /* The same ports are free again at once. */
    guest_send(VSOCK_OP_CREDIT_REQUEST, 5, port);
    expect(&packet, VSOCK_OP_RST);
    cr_assert_eq(host_drain(fd), sent);
    host_reads(fd, "");
    close(fd);
}

Test(virtio_vsock, ports_are_free_again_once_a_connection_has_ended)
{
    struct packet packet;
    int listener = host_listen("_80");
    for (int i = 0; i < 100; i++) {
        int fd = connect_to_host(listener, 1000, 80);
        guest_write(1000, 80, "hi", 2);
        host_reads(fd, "hi");
        guest_shutdown(1000, 80, VSOCK_NO_MORE);
        expect(&packet, VSOCK_OP_RST);
        host_reads(fd, "");
        close(fd);
    }
    close(listener);
}

Test(virtio_vsock, a_reset_by_the_guest_closes_the_programs_connection)
{
    uint32_t port;
    int fd = connect_to_guest(5, &port);
    guest_send(VSOCK_OP_RST, 5, port);
    host_reads(fd, "");
    expect_nothing();
    close(fd);
}
