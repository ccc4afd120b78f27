/* SPDX-License-Identifier: Apache-2.0 */
/* One vsock connection as a pure state machine: what may come when, and the arithmetic of credit.
 */
#include "devices/virtio/vsock_stream.h"

#include <criterion/criterion.h>

#define BIT(op) (1u << (op))

static struct vsock_header packet(unsigned op)
{
    return (struct vsock_header){.src_port = 5,
                                 .dst_port = 80,
                                 .type = VSOCK_TYPE_STREAM,
                                 .op = (uint16_t)op,
                                 .buf_alloc = 1000};
}

static struct vsock_stream open_stream(void)
{
    struct vsock_stream stream;
    struct vsock_header out;
    const struct vsock_header request = packet(VSOCK_OP_REQUEST);
    vsock_stream_accept(&stream, &request);
    cr_assert_eq(vsock_stream_due(&stream, true), VSOCK_OP_RESPONSE);
    vsock_stream_send(&stream, VSOCK_OP_RESPONSE, 0, &out);
    return stream;
}

static struct vsock_stream requested_stream(void)
{
    struct vsock_stream stream;
    struct vsock_header out;
    vsock_stream_request(&stream, 80, 5);
    vsock_stream_send(&stream, VSOCK_OP_REQUEST, 0, &out);
    return stream;
}

Test(vsock_stream, every_packet_in_every_phase_has_its_meaning)
{
    static const struct {
        unsigned op;
        enum vsock_event requested, open;
    } rows[] = {{0, VSOCK_VIOLATED, VSOCK_VIOLATED},
                {VSOCK_OP_REQUEST, VSOCK_VIOLATED, VSOCK_VIOLATED},
                {VSOCK_OP_RESPONSE, VSOCK_ACCEPTED, VSOCK_VIOLATED},
                {VSOCK_OP_RST, VSOCK_ENDED, VSOCK_ENDED},
                {VSOCK_OP_SHUTDOWN, VSOCK_VIOLATED, VSOCK_SHUT},
                {VSOCK_OP_RW, VSOCK_VIOLATED, VSOCK_NOTHING},
                {VSOCK_OP_CREDIT_UPDATE, VSOCK_VIOLATED, VSOCK_NOTHING},
                {VSOCK_OP_CREDIT_REQUEST, VSOCK_VIOLATED, VSOCK_NOTHING},
                {8, VSOCK_VIOLATED, VSOCK_VIOLATED},
                {UINT16_MAX, VSOCK_VIOLATED, VSOCK_VIOLATED}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct vsock_header in = packet(rows[i].op);
        struct vsock_stream stream = requested_stream();
        cr_assert_eq(vsock_stream_receive(&stream, &in), rows[i].requested, "op %u", rows[i].op);
        stream = open_stream();
        cr_assert_eq(vsock_stream_receive(&stream, &in), rows[i].open, "op %u", rows[i].op);
    }
}

Test(vsock_stream, a_response_to_a_request_that_was_not_sent_is_a_violation)
{
    struct vsock_stream stream;
    const struct vsock_header in = packet(VSOCK_OP_RESPONSE);
    vsock_stream_request(&stream, 80, 5);
    cr_assert_eq(vsock_stream_due(&stream, false), 0, "requests are held back");
    cr_assert_eq(vsock_stream_due(&stream, true), VSOCK_OP_REQUEST);
    cr_assert_eq(vsock_stream_receive(&stream, &in), VSOCK_VIOLATED);
}

Test(vsock_stream, shutdown_flags_add_up_and_both_are_the_end)
{
    static const struct {
        uint32_t first, second;
        enum vsock_event first_event, second_event;
    } rows[] = {{VSOCK_NO_MORE, 0, VSOCK_FINISHED, VSOCK_FINISHED},
                {VSOCK_NO_SEND, VSOCK_NO_RECEIVE, VSOCK_SHUT, VSOCK_FINISHED},
                {VSOCK_NO_RECEIVE, VSOCK_NO_SEND, VSOCK_SHUT, VSOCK_FINISHED},
                {VSOCK_NO_SEND, 0, VSOCK_SHUT, VSOCK_SHUT},
                {VSOCK_NO_RECEIVE, VSOCK_NO_RECEIVE, VSOCK_SHUT, VSOCK_SHUT},
                {0xfffffffc, 0, VSOCK_SHUT, VSOCK_SHUT},
                {0xffffffff, 0, VSOCK_FINISHED, VSOCK_FINISHED}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vsock_stream stream = open_stream();
        struct vsock_header in = packet(VSOCK_OP_SHUTDOWN);
        in.flags = rows[i].first;
        cr_assert_eq(vsock_stream_receive(&stream, &in), rows[i].first_event, "row %u", i);
        in.flags = rows[i].second;
        cr_assert_eq(vsock_stream_receive(&stream, &in), rows[i].second_event, "row %u", i);
    }
}

Test(vsock_stream, data_after_the_guest_said_it_sends_no_more_is_a_violation)
{
    struct vsock_stream stream = open_stream();
    struct vsock_header in = packet(VSOCK_OP_SHUTDOWN);
    in.flags = VSOCK_NO_SEND;
    vsock_stream_receive(&stream, &in);
    in = packet(VSOCK_OP_RW);
    in.len = 1;
    cr_assert_eq(vsock_stream_receive(&stream, &in), VSOCK_VIOLATED);
}

Test(vsock_stream, data_that_the_host_does_not_want_any_more_is_credited_and_dropped)
{
    struct vsock_stream stream = open_stream();
    struct vsock_header in = packet(VSOCK_OP_RW);
    vsock_stream_shut(&stream, VSOCK_NO_RECEIVE);
    in.len = 1000;
    cr_assert_eq(vsock_stream_receive(&stream, &in), VSOCK_NOTHING);
    cr_assert_eq(stream.forwarded, 1000);
}

/* ---- credit ------------------------------------------------------------------------------- */

Test(vsock_stream, credit_is_the_guests_window_less_what_is_on_its_way)
{
    static const struct {
        uint32_t window, sent, fwd, credit;
    } rows[] = {
        {0, 0, 0, 0},
        {1000, 0, 0, 1000},
        {1000, 1000, 0, 0},
        {1000, 1000, 400, 400},
        {1000, 1000, 1000, 1000},
        {500, 1000, 0, 0},                   /* the window has shrunk */
        {1000, 100, 0xffffff00, 644},        /* sent has passed 2^32 */
        {1000, 0, 0xffffffff, 999},          /* sent has just reached it */
        {1000, 0xffffffff, 0xfffffff0, 985}, /* neither has */
        {1000, 5, 6, 0},                     /* more taken than sent: nonsense */
        {0xffffffff, 0x80000000, 0, 0x7fffffff},
        {0xffffffff, 0, 1, 0}, /* nonsense, with the largest window */
        {1000, 0, 0x80000000, 0},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct vsock_stream stream = {
            .guest_window = rows[i].window, .sent = rows[i].sent, .guest_fwd = rows[i].fwd};
        cr_assert_eq(vsock_stream_credit(&stream), rows[i].credit, "row %u: %u", i,
                     vsock_stream_credit(&stream));
    }
}

Test(vsock_stream, the_guest_may_fill_the_window_and_not_one_byte_more)
{
    struct vsock_stream stream = open_stream();
    struct vsock_header in = packet(VSOCK_OP_RW);
    in.len = VSOCK_WINDOW;
    cr_assert_eq(vsock_stream_receive(&stream, &in), VSOCK_DATA);
    in.len = 0;
    cr_assert_eq(vsock_stream_receive(&stream, &in), VSOCK_NOTHING);
    in.len = 1;
    cr_assert_eq(vsock_stream_receive(&stream, &in), VSOCK_VIOLATED);

    static const uint32_t too_long[] = {VSOCK_WINDOW + 1, 0x80000000, UINT32_MAX};
    for (unsigned i = 0; i < 3; i++) {
        stream = open_stream();
        in.len = too_long[i];
        cr_assert_eq(vsock_stream_receive(&stream, &in), VSOCK_VIOLATED);
    }
}

Test(vsock_stream, the_counters_pass_2_to_the_32)
{
    struct vsock_stream stream = open_stream();
    struct vsock_header in = packet(VSOCK_OP_RW), out;
    const uint64_t total = (1ull << 32) + 10 * VSOCK_WINDOW;
    uint64_t sent = 0;
    unsigned updates = 0;
    for (uint64_t done = 0; done < total; done += VSOCK_WINDOW / 2) {
        in.len = VSOCK_WINDOW / 2;
        in.fwd_cnt = (uint32_t)sent;
        cr_assert_eq(vsock_stream_receive(&stream, &in), VSOCK_DATA);
        vsock_stream_forward(&stream, in.len);
        cr_assert_eq(vsock_stream_due(&stream, true), VSOCK_OP_CREDIT_UPDATE);
        cr_assert_eq(vsock_stream_credit(&stream), 1000);
        vsock_stream_send(&stream, VSOCK_OP_RW, 1000, &out);
        cr_assert_eq(out.fwd_cnt, (uint32_t)(done + in.len));
        cr_assert_eq(vsock_stream_due(&stream, true), 0, "the data packet was the update");
        sent += 1000;
        updates++;
    }
    cr_assert_gt(updates, 100000);
}

Test(vsock_stream, an_update_is_due_when_a_quarter_of_the_window_is_free_unknown_to_the_guest)
{
    struct vsock_stream stream = open_stream();
    struct vsock_header in = packet(VSOCK_OP_RW), out;
    in.len = VSOCK_WINDOW;
    vsock_stream_receive(&stream, &in);
    vsock_stream_forward(&stream, VSOCK_WINDOW / 4 - 1);
    cr_assert_eq(vsock_stream_due(&stream, true), 0);
    vsock_stream_forward(&stream, 1);
    cr_assert_eq(vsock_stream_due(&stream, true), VSOCK_OP_CREDIT_UPDATE);
    vsock_stream_send(&stream, VSOCK_OP_CREDIT_UPDATE, 0, &out);
    cr_assert_eq(out.fwd_cnt, VSOCK_WINDOW / 4);
    cr_assert_eq(out.len, 0);
    cr_assert_eq(vsock_stream_due(&stream, true), 0);
}

Test(vsock_stream, credit_is_asked_for_once_a_stall)
{
    struct vsock_stream stream = open_stream();
    struct vsock_header out, in = packet(VSOCK_OP_CREDIT_UPDATE);
    vsock_stream_send(&stream, VSOCK_OP_RW, 1000, &out);
    vsock_stream_starve(&stream);
    vsock_stream_starve(&stream);
    cr_assert_eq(vsock_stream_due(&stream, true), VSOCK_OP_CREDIT_REQUEST);
    vsock_stream_send(&stream, VSOCK_OP_CREDIT_REQUEST, 0, &out);
    vsock_stream_receive(&stream, &in); /* still full */
    vsock_stream_starve(&stream);
    cr_assert_eq(vsock_stream_due(&stream, true), 0);
    in.fwd_cnt = 1000;
    vsock_stream_receive(&stream, &in);
    vsock_stream_send(&stream, VSOCK_OP_RW, 1000, &out);
    vsock_stream_starve(&stream);
    cr_assert_eq(vsock_stream_due(&stream, true), VSOCK_OP_CREDIT_REQUEST);
}

/* ---- what is due -------------------------------------------------------------------------- */

Test(vsock_stream, what_is_due_comes_in_its_order_and_once)
{
    struct vsock_stream stream;
    struct vsock_header out;
    const struct vsock_header request = packet(VSOCK_OP_REQUEST);
    static const unsigned order[] = {VSOCK_OP_RESPONSE, VSOCK_OP_CREDIT_REQUEST, VSOCK_OP_SHUTDOWN,
                                     0};
    vsock_stream_accept(&stream, &request);
    vsock_stream_shut(&stream, VSOCK_NO_SEND);
    vsock_stream_starve(&stream);
    stream.due |= BIT(VSOCK_OP_CREDIT_UPDATE); /* which any packet carries */
    for (unsigned i = 0; i < 4; i++) {
        unsigned op = vsock_stream_due(&stream, true);
        cr_assert_eq(op, order[i]);
        if (op != 0)
            vsock_stream_send(&stream, op, 0, &out);
    }
}

Test(vsock_stream, a_shutdown_is_said_once_with_all_its_flags)
{
    struct vsock_stream stream = open_stream();
    struct vsock_header out;
    vsock_stream_shut(&stream, VSOCK_NO_SEND);
    vsock_stream_shut(&stream, VSOCK_NO_RECEIVE);
    vsock_stream_send(&stream, VSOCK_OP_SHUTDOWN, 0, &out);
    cr_assert_eq(out.flags, VSOCK_NO_MORE);
    vsock_stream_shut(&stream, VSOCK_NO_SEND);
    cr_assert_eq(vsock_stream_due(&stream, true), 0);
}
