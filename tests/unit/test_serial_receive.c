/* SPDX-License-Identifier: Apache-2.0 */
/* The 16550A's receiver, interrupt priorities, loopback and modem status. */
#include "tests/unit/serial_rig.h"

#include <errno.h>

TestSuite(serial_receive, .init = set_up, .fini = tear_down);

/* ---- the receiver ------------------------------------------------------------------------- */

Test(serial_receive, received_bytes_come_out_in_order_and_then_zeros)
{
    open_port(UART_IER_RDI);
    receive("abc");
    cr_assert(rig.line);
    cr_assert(lsr_has(UART_LSR_DR));
    cr_assert_eq(in(UART_RX), 'a');
    cr_assert_eq(in(UART_RX), 'b');
    cr_assert(rig.line);
    cr_assert_eq(in(UART_RX), 'c');
    cr_assert_not(rig.line);
    cr_assert_not(lsr_has(UART_LSR_DR));
    cr_assert_eq(in(UART_RX), 0);
    cr_assert(serial_is_quiet(rig.serial));
}

Test(serial_receive, data_below_the_trigger_level_is_a_time_out_and_at_it_is_data_available)
{
    static const struct {
        unsigned trigger_bits, level;
    } rows[] = {{UART_FCR_R_TRIG_00, 1},
                {UART_FCR_R_TRIG_01, 4},
                {UART_FCR_R_TRIG_10, 8},
                {UART_FCR_R_TRIG_11, 14}};

    open_port(UART_IER_RDI);
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        out(UART_FCR, UART_FCR_ENABLE_FIFO | rows[row].trigger_bits);
        for (unsigned n = 1; n <= SERIAL_FIFO_SIZE; n++) {
            receive("x");
            unsigned want = n < rows[row].level ? UART_IIR_RX_TIMEOUT : UART_IIR_RDI;
            cr_assert_eq(in(UART_IIR), IIR_FIFOS | want, "%u bytes, trigger %u", n,
                         rows[row].level);
        }
        for (unsigned n = 0; n < SERIAL_FIFO_SIZE; n++)
            in(UART_RX);
    }
}

Test(serial_receive, without_fifos_one_byte_is_data_available)
{
    out(UART_MCR, UART_MCR_RTS);
    out(UART_IER, UART_IER_RDI);
    receive("ab");
    cr_assert_eq(in(UART_IIR), UART_IIR_RDI);
    cr_assert_eq(in(UART_RX), 'a');
    cr_assert_eq(in(UART_IIR), UART_IIR_RDI, "the next byte is there at once");
    cr_assert_eq(in(UART_RX), 'b');
    cr_assert_eq(in(UART_IIR), UART_IIR_NO_INT);
}

Test(serial_receive, reading_iir_does_not_clear_received_data)
{
    open_port(UART_IER_RDI);
    receive("x");
    in(UART_IIR);
    in(UART_IIR);
    cr_assert(rig.line);
}

/* As Linux's interrupt handler: until IIR says that nothing is left. Returns how many bytes it
 * read; `rounds` is how often it asked. */
static unsigned handle_interrupt(unsigned *rounds)
{
    unsigned count = 0;
    for (*rounds = 1; iir_id() != UART_IIR_NO_INT; ++*rounds) {
        for (unsigned i = 0; i < 256 && lsr_has(UART_LSR_DR); i++, count++)
            in(UART_RX);
        in(UART_MSR);
    }
    return count;
}

Test(serial_receive, cve_2020_27174_the_port_takes_the_rings_size_and_not_a_byte_more)
{
    static uint8_t bytes[2 * SERIAL_STAGING_SIZE];
    open_port(UART_IER_RDI);
    cr_assert_eq(serial_receive(rig.serial, bytes, sizeof(bytes)), SERIAL_STAGING_SIZE);
    cr_assert_eq(serial_receive(rig.serial, bytes, 1), 0);
}

Test(serial_receive, a_sender_without_pauses_gets_one_ring_into_each_interrupt)
{
    static uint8_t bytes[SERIAL_STAGING_SIZE];
    unsigned rounds;
    open_port(UART_IER_RDI);
    serial_receive(rig.serial, bytes, sizeof(bytes));
    for (unsigned i = 0; i < SERIAL_STAGING_SIZE; i++) {
        in(UART_RX);
        cr_assert_eq(serial_receive(rig.serial, bytes, 1), 0, "byte %u", i);
    }
    cr_assert_eq(handle_interrupt(&rounds), 0);
    cr_assert_eq(rig.told_room, 1);
    cr_assert_eq(serial_receive(rig.serial, bytes, sizeof(bytes)), sizeof(bytes));
}

Test(serial_receive, ten_thousand_bytes_pass_in_order_without_overrun)
{
    enum { TOTAL = 10000 };
    unsigned offered = 0, seen = 0;
    open_port(UART_IER_RDI | UART_IER_RLSI);
    while (seen < TOTAL) {
        uint8_t chunk[700];
        size_t n = 0;
        for (; n < sizeof(chunk) && offered + n < TOTAL; n++)
            chunk[n] = (uint8_t)((offered + n) * 7 % 251);
        offered += (unsigned)serial_receive(rig.serial, chunk, n);
        for (unsigned i = 0; i < 500 && lsr_has(UART_LSR_DR); i++, seen++)
            cr_assert_eq(in(UART_RX), seen * 7 % 251);
        in(UART_IIR);
    }
    cr_assert_eq(seen, offered);
    cr_assert_not(lsr_has(UART_LSR_OE));
}

Test(serial_receive, the_feeder_hears_of_room_once_the_guest_has_found_nothing_left)
{
    static uint8_t bytes[SERIAL_STAGING_SIZE + 1];
    unsigned rounds;
    open_port(UART_IER_RDI);
    cr_assert_eq(serial_receive(rig.serial, bytes, sizeof(bytes)), sizeof(bytes) - 1);

    for (unsigned i = 0; i < SERIAL_STAGING_SIZE; i++)
        in(UART_RX);
    cr_assert_eq(rig.told_room, 0, "the handler is still at it");
    cr_assert_eq(iir_id(), UART_IIR_NO_INT);
    cr_assert_eq(rig.told_room, 1);
    handle_interrupt(&rounds);
    cr_assert_eq(rig.told_room, 1, "once for each time that it came up short");
}

Test(serial_receive, a_polling_guest_makes_room_by_finding_lsr_empty)
{
    static uint8_t bytes[SERIAL_STAGING_SIZE + 1];
    open_port(0);
    cr_assert_eq(serial_receive(rig.serial, bytes, sizeof(bytes)), sizeof(bytes) - 1);
    while (lsr_has(UART_LSR_DR))
        in(UART_RX);
    cr_assert_eq(rig.told_room, 1);
}

Test(serial_receive, a_feeder_that_was_never_refused_hears_nothing)
{
    static uint8_t bytes[SERIAL_STAGING_SIZE];
    unsigned rounds;
    open_port(UART_IER_RDI);
    cr_assert_eq(serial_receive(rig.serial, bytes, sizeof(bytes)), sizeof(bytes));
    cr_assert_eq(handle_interrupt(&rounds), SERIAL_STAGING_SIZE);
    cr_assert_eq(rig.told_room, 0);
}

/* PASS_LIMIT of drivers/tty/serial/8250/8250_core.c is 512 rounds, and then the port is dead. */
Test(serial_receive, the_interrupt_handler_gets_away_though_both_directions_are_always_busy)
{
    static uint8_t bytes[SERIAL_STAGING_SIZE];
    unsigned rounds = 0;
    open_port(UART_IER_RDI | UART_IER_THRI);
    for (unsigned interrupt = 0; interrupt < 20; interrupt++) {
        unsigned before = rig.edges;
        cr_assert(rig.line);
        for (rounds = 1; iir_id() != UART_IIR_NO_INT; rounds++) {
            serial_receive(rig.serial, bytes, sizeof(bytes));
            for (unsigned i = 0; i < 256 && lsr_has(UART_LSR_DR); i++)
                in(UART_RX);
            for (unsigned i = 0; i < SERIAL_FIFO_SIZE; i++)
                out(UART_TX, 'x');
        }
        cr_assert_lt(rounds, 128);
        cr_assert(rig.line, "there is more to do");
        cr_assert_geq(rig.edges, before + 2, "and a new edge says so");
    }
}

Test(serial_receive, nothing_enters_the_fifo_while_rts_is_off)
{
    open_port(UART_IER_RDI);
    out(UART_MCR, UART_MCR_DTR | UART_MCR_OUT2);
    receive("held");
    cr_assert_not(lsr_has(UART_LSR_DR));
    cr_assert_not(rig.line);
    out(UART_MCR, UART_MCR_DTR | UART_MCR_OUT2 | UART_MCR_RTS);
    cr_assert(rig.line);
    cr_assert_eq(in(UART_RX), 'h');
}

Test(serial_receive, turning_rts_off_keeps_what_is_in_the_fifo_readable)
{
    open_port(UART_IER_RDI);
    receive("0123456789abcdefMORE");
    out(UART_MCR, UART_MCR_OUT2);
    for (unsigned i = 0; i < SERIAL_FIFO_SIZE; i++)
        cr_assert_eq(in(UART_RX), "0123456789abcdef"[i]);
    cr_assert_not(lsr_has(UART_LSR_DR));
    out(UART_MCR, UART_MCR_OUT2 | UART_MCR_RTS);
    cr_assert_eq(in(UART_RX), 'M');
}

Test(serial_receive, receive_all_takes_everything_or_nothing)
{
    static uint8_t bytes[SERIAL_STAGING_SIZE + 1];
    cr_assert_eq(serial_receive_all(rig.serial, bytes, sizeof(bytes)), -EAGAIN);
    cr_assert(serial_is_quiet(rig.serial));
    cr_assert_eq(serial_receive_all(rig.serial, bytes, sizeof(bytes) - 1), 0);
    cr_assert_eq(serial_receive_all(rig.serial, bytes, 1), -EAGAIN);
    cr_assert_eq(serial_receive_all(rig.serial, bytes, 0), 0);
}

Test(serial_receive, clearing_the_receive_fifo_drops_what_is_in_it_and_keeps_what_is_staged)
{
    open_port(UART_IER_RDI);
    receive("0123456789abcdefSTAGED");
    out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
    cr_assert_eq(in(UART_RX), 'S');
}

/* The accesses of Linux 6.1's open: startup, set_termios, then RTS; or RTS from the start, after
 * a close without HUPCL. */
static void linux_opens(bool rts_left_on)
{
    out(UART_MCR, rts_left_on ? UART_MCR_RTS : 0);
    out(UART_FCR, UART_FCR_ENABLE_FIFO);
    out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT);
    out(UART_FCR, 0);
    for (int round = 0; round < 2; round++) {
        in(UART_LSR);
        in(UART_RX);
        in(UART_IIR);
        in(UART_MSR);
    }
    out(UART_MCR, UART_MCR_OUT2 | (rts_left_on ? UART_MCR_RTS : 0));
    out(UART_IER, UART_IER_RLSI | UART_IER_RDI);
    out(UART_LCR, UART_LCR_WLEN8);
    out(UART_FCR, UART_FCR_ENABLE_FIFO);
    out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_R_TRIG_10);
    out(UART_MCR, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
}

Test(serial_receive, input_staged_before_linux_opens_the_port_survives_the_open)
{
    for (int rts_left_on = 0; rts_left_on < 2; rts_left_on++) {
        char seen[16] = {0};
        receive("typed ahead");
        linux_opens(rts_left_on);
        cr_assert(rig.line);
        for (unsigned i = 0; i < sizeof(seen) - 1 && lsr_has(UART_LSR_DR); i++)
            seen[i] = (char)in(UART_RX);
        cr_assert_str_eq(seen, "typed ahead");
        out(UART_IER, 0);
    }
}

Test(serial_receive, a_guest_that_polls_with_fifos_on_and_interrupts_off_gets_its_input)
{
    out(UART_FCR, UART_FCR_ENABLE_FIFO);
    out(UART_MCR, UART_MCR_RTS);
    receive("hi");
    cr_assert(lsr_has(UART_LSR_DR));
    cr_assert_eq(in(UART_RX), 'h');
    cr_assert(lsr_has(UART_LSR_DR));
    cr_assert_eq(in(UART_RX), 'i');
    cr_assert_eq(rig.edges, 0);
}

/* ---- priorities, loopback, modem status --------------------------------------------------- */

Test(serial_receive, interrupts_are_reported_in_the_data_sheets_order)
{
    /* All four at once: an overrun and data made in loopback, an empty transmitter, a delta. */
    open_port(0);
    out(UART_MCR, UART_MCR_LOOP);
    for (unsigned i = 0; i <= SERIAL_FIFO_SIZE; i++)
        out(UART_TX, i);
    out(UART_IER, 0x0f);

    cr_assert_eq(iir_id(), UART_IIR_RLSI);
    cr_assert(lsr_has(UART_LSR_OE), "reading LSR answers it");
    cr_assert_eq(iir_id(), UART_IIR_RDI);
    for (unsigned i = 0; i < SERIAL_FIFO_SIZE; i++)
        in(UART_RX);
    cr_assert_eq(iir_id(), UART_IIR_THRI, "reading IIR answers it");
    cr_assert_eq(iir_id(), UART_IIR_MSI);
    in(UART_MSR);
    cr_assert_eq(iir_id(), UART_IIR_NO_INT);
}

Test(serial_receive, each_interrupt_needs_its_enable_bit)
{
    open_port(0);
    out(UART_MCR, UART_MCR_LOOP);
    for (unsigned i = 0; i <= SERIAL_FIFO_SIZE; i++)
        out(UART_TX, i);
    cr_assert_eq(iir_id(), UART_IIR_NO_INT);
    out(UART_IER, UART_IER_MSI);
    cr_assert_eq(iir_id(), UART_IIR_MSI);
    out(UART_IER, UART_IER_THRI);
    cr_assert_eq(iir_id(), UART_IIR_THRI);
    out(UART_IER, UART_IER_RDI);
    cr_assert_eq(iir_id(), UART_IIR_RDI);
    out(UART_IER, UART_IER_RLSI);
    cr_assert_eq(iir_id(), UART_IIR_RLSI);
}

Test(serial_receive, loopback_brings_bytes_back_and_cuts_off_both_pins)
{
    open_port(UART_IER_RDI);
    out(UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
    receive("outside");
    out(UART_TX, 'L');
    cr_assert_eq(rig.sent_count, 0);
    cr_assert_eq(in(UART_RX), 'L');
    cr_assert_not(lsr_has(UART_LSR_DR), "the input pin is cut off");
    cr_assert_not(rig.line, "and so is OUT2");
    out(UART_MCR, UART_MCR_OUT2 | UART_MCR_RTS);
    cr_assert(rig.line);
    cr_assert_eq(in(UART_RX), 'o');
}

Test(serial_receive, an_overrun_keeps_the_fifo_and_without_fifos_the_new_byte)
{
    out(UART_MCR, UART_MCR_LOOP);
    out(UART_TX, 'a');
    out(UART_TX, 'b');
    cr_assert(lsr_has(UART_LSR_OE | UART_LSR_DR));
    cr_assert_not(lsr_has(UART_LSR_OE), "one read clears it");
    cr_assert_eq(in(UART_RX), 'b');

    out(UART_FCR, UART_FCR_ENABLE_FIFO);
    for (unsigned i = 0; i < SERIAL_FIFO_SIZE; i++)
        out(UART_TX, i);
    cr_assert_not(lsr_has(UART_LSR_OE));
    out(UART_TX, 0xee);
    cr_assert(lsr_has(UART_LSR_OE));
    for (unsigned i = 0; i < SERIAL_FIFO_SIZE; i++)
        cr_assert_eq(in(UART_RX), i);
    cr_assert_not(lsr_has(UART_LSR_DR));
}

Test(serial_receive, loopback_wires_each_modem_output_to_its_input)
{
    static const struct {
        unsigned out, in;
    } wires[] = {{UART_MCR_RTS, UART_MSR_CTS},
                 {UART_MCR_DTR, UART_MSR_DSR},
                 {UART_MCR_OUT1, UART_MSR_RI},
                 {UART_MCR_OUT2, UART_MSR_DCD}};
    for (size_t i = 0; i < sizeof(wires) / sizeof(wires[0]); i++) {
        out(UART_MCR, UART_MCR_LOOP | wires[i].out);
        cr_assert_eq(msr_inputs(), wires[i].in);
    }
    out(UART_MCR, UART_MCR_LOOP);
    cr_assert_eq(msr_inputs(), 0);
}

Test(serial_receive, modem_deltas_show_changes_once_and_ring_only_its_trailing_edge)
{
    out(UART_MCR, UART_MCR_LOOP);
    in(UART_MSR);
    out(UART_MCR, UART_MCR_LOOP | UART_MCR_RTS | UART_MCR_OUT1);
    cr_assert_eq(msr_deltas(), UART_MSR_DCTS, "ring going on is no delta");
    cr_assert_eq(msr_deltas(), 0);
    out(UART_MCR, UART_MCR_LOOP | UART_MCR_RTS);
    cr_assert_eq(msr_deltas(), UART_MSR_TERI);
    out(UART_MCR, 0);
    cr_assert_eq(in(UART_MSR),
                 UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS | UART_MSR_DDCD | UART_MSR_DDSR);
}
