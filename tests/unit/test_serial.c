/* SPDX-License-Identifier: Apache-2.0 */
/* The 16550A as a driver sees it: probing, the transmitter, and its backpressure. */
#include "tests/unit/serial_rig.h"

TestSuite(serial, .init = set_up, .fini = tear_down);

/* ---- after reset, and what a driver probes ------------------------------------------------ */

Test(serial, reset_state_is_the_data_sheets)
{
    cr_assert_eq(in(UART_IER), 0);
    cr_assert_eq(in(UART_IIR), UART_IIR_NO_INT);
    cr_assert_eq(in(UART_LCR), 0);
    cr_assert_eq(in(UART_MCR), 0);
    cr_assert_eq(in(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
    cr_assert_eq(in(UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
    cr_assert_eq(in(UART_RX), 0);
    cr_assert(serial_is_quiet(rig.serial));
    cr_assert_eq(rig.edges, 0);
}

Test(serial, ier_and_mcr_keep_only_the_bits_that_a_16550a_has)
{
    out(UART_IER, 0xff);
    cr_assert_eq(in(UART_IER), 0x0f);
    out(UART_MCR, 0xff);
    cr_assert_eq(in(UART_MCR), 0x1f);
}

Test(serial, scratch_and_line_control_keep_every_bit)
{
    for (unsigned v = 0; v < 256; v++) {
        out(UART_SCR, v);
        cr_assert_eq(in(UART_SCR), v);
        out(UART_LCR, v);
        cr_assert_eq(in(UART_LCR), v);
    }
}

Test(serial, dlab_swaps_data_and_ier_for_the_divisor)
{
    out(UART_IER, UART_IER_RDI);
    out(UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
    out(UART_DLL, 0x01);
    out(UART_DLM, 0xc2);
    cr_assert_eq(in(UART_DLL), 0x01);
    cr_assert_eq(in(UART_DLM), 0xc2);
    cr_assert_eq(rig.sent_count, 0, "the divisor must not go out as data");

    out(UART_LCR, UART_LCR_WLEN8);
    cr_assert_eq(in(UART_IER), UART_IER_RDI);
    out(UART_TX, 'x');
    cr_assert_eq(rig.sent_count, 1);
}

Test(serial, dlab_does_not_hide_the_fifo_control)
{
    out(UART_LCR, UART_LCR_DLAB);
    out(UART_FCR, UART_FCR_ENABLE_FIFO);
    cr_assert_eq(in(UART_IIR), IIR_FIFOS | UART_IIR_NO_INT);
}

Test(serial, iir_shows_the_fifos_only_while_they_are_on)
{
    out(UART_FCR, UART_FCR_R_TRIG_11);
    cr_assert_eq(in(UART_IIR), UART_IIR_NO_INT, "without bit 0 the others do not count");
    out(UART_FCR, UART_FCR_ENABLE_FIFO);
    cr_assert_eq(in(UART_IIR), IIR_FIFOS | UART_IIR_NO_INT);
    out(UART_FCR, 0);
    cr_assert_eq(in(UART_IIR), UART_IIR_NO_INT);
}

/* How many bytes fit: Linux's size_fifo() of drivers/tty/serial/8250/8250_port.c. */
static unsigned size_fifo(void)
{
    uint8_t lcr = in(UART_LCR);
    out(UART_LCR, 0);
    uint8_t mcr = in(UART_MCR);
    out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT);
    out(UART_MCR, UART_MCR_LOOP);
    out(UART_LCR, UART_LCR_DLAB);
    out(UART_DLL, 1);
    out(UART_DLM, 0);
    out(UART_LCR, UART_LCR_WLEN8);
    for (unsigned i = 0; i < 256; i++)
        out(UART_TX, i);

    unsigned count = 0;
    for (; lsr_has(UART_LSR_DR) && count < 256; count++)
        cr_assert_eq(in(UART_RX), count);
    out(UART_MCR, mcr);
    out(UART_LCR, lcr);
    return count;
}

/* The accesses of Linux 6.1's autoconfig(), in its order, with what it concludes from each. */
Test(serial, linux_autoconfig_finds_a_16550a_and_no_variant)
{
    uint8_t scratch = in(UART_IER);
    out(UART_IER, 0);
    uint8_t scratch2 = ier_bits(0x0f);
    out(UART_IER, 0x0f);
    uint8_t scratch3 = ier_bits(0x0f);
    out(UART_IER, scratch);
    cr_assert_eq(scratch2, 0, "there would be nothing here");
    cr_assert_eq(scratch3, 0x0f, "there would be nothing here");

    uint8_t save_mcr = in(UART_MCR), save_lcr = in(UART_LCR);
    out(UART_MCR, UART_MCR_LOOP | 0x0a);
    cr_assert_eq(msr_inputs(), 0x90, "the loopback test would fail");
    out(UART_MCR, save_mcr);

    out(UART_LCR, UART_LCR_CONF_MODE_B);
    out(UART_EFR, 0);
    out(UART_LCR, 0);
    out(UART_FCR, UART_FCR_ENABLE_FIFO);
    cr_assert_eq(in(UART_IIR) >> 6, 3, "3 is a working FIFO: 16550A");

    /* autoconfig_16550a(): the variants, each with the test that would find it. */
    out(UART_LCR, UART_LCR_CONF_MODE_A);
    cr_assert_neq(in(UART_EFR), 0, "16650 has its EFR here");
    out(UART_LCR, UART_LCR_CONF_MODE_B);
    cr_assert_neq(in(UART_EFR), 0, "16650V2 has its EFR here");

    out(UART_LCR, 0);
    uint8_t status1 = in(UART_MCR);
    out(UART_LCR, 0xe0);
    uint8_t status2 = in(0x02);
    cr_assert_eq((status2 ^ status1) & UART_MCR_LOOP, 0);
    out(UART_LCR, 0);
    out(UART_MCR, status1 ^ UART_MCR_LOOP);
    out(UART_LCR, 0xe0);
    status2 = in(0x02);
    out(UART_LCR, 0);
    out(UART_MCR, status1);
    cr_assert_eq((status2 ^ status1) & UART_MCR_LOOP, 0, "a SuperIO chip would follow");

    out(UART_LCR, 0);
    out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
    cr_assert_eq(in(UART_IIR) >> 5, 6);
    out(UART_FCR, UART_FCR_ENABLE_FIFO);
    out(UART_LCR, UART_LCR_CONF_MODE_A);
    out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
    cr_assert_eq(in(UART_IIR) >> 5, 6, "7 would be a 16750");
    out(UART_FCR, UART_FCR_ENABLE_FIFO);
    out(UART_LCR, 0);

    uint8_t iersave = in(UART_IER);
    out(UART_IER, iersave | 0x40u);
    cr_assert_eq(ier_bits(0x40), 0, "an XScale would keep UUE");
    out(UART_IER, iersave);
    cr_assert_eq(size_fifo(), 16, "64 would be a U6");

    /* And its reset at the end. */
    out(UART_LCR, save_lcr);
    out(UART_MCR, save_mcr);
    out(UART_FCR, UART_FCR_ENABLE_FIFO);
    out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT);
    out(UART_FCR, 0);
    in(UART_RX);
    out(UART_IER, 0);
    cr_assert_eq(rig.sent_count, 0, "probing sent something");
    cr_assert_eq(rig.edges, 0, "probing interrupted");
}

/* serial8250_do_startup(): with either outcome missed, Linux works around a broken UART with a
 * timer (UART_BUG_THRE) or by polling (UART_BUG_TXEN). */
Test(serial, linux_startup_finds_neither_the_thre_bug_nor_the_txen_bug)
{
    cr_assert(lsr_has(UART_LSR_THRE));
    cr_assert_neq(in(UART_LSR), 0xff);
    out(UART_IER, UART_IER_THRI);
    uint8_t iir1 = in(UART_IIR);
    out(UART_IER, 0);
    out(UART_IER, UART_IER_THRI);
    uint8_t iir = in(UART_IIR);
    out(UART_IER, 0);
    cr_assert_not(iir1 & UART_IIR_NO_INT);
    cr_assert_not(iir & UART_IIR_NO_INT, "THRE must come again when it is enabled again");
    cr_assert_eq(rig.edges, 0, "OUT2 is still off");

    out(UART_LCR, UART_LCR_WLEN8);
    out(UART_MCR, UART_MCR_OUT2);
    out(UART_IER, UART_IER_THRI);
    uint8_t lsr = in(UART_LSR);
    iir = in(UART_IIR);
    out(UART_IER, 0);
    cr_assert(lsr & UART_LSR_TEMT);
    cr_assert_not(iir & UART_IIR_NO_INT);
}

Test(serial, a_wide_access_is_split_as_the_isa_bus_does)
{
    uint64_t value = 0;
    out(UART_LCR, UART_LCR_WLEN8);
    out(UART_SCR, 0x77);
    serial_bus_ops.read(rig.serial, UART_LCR, 4, &value);
    cr_assert_eq(value, 0x03u | 0u << 8 | 0x60u << 16 | (uint64_t)0xb0 << 24);

    serial_bus_ops.write(rig.serial, UART_TX, 2, 'a' | (uint64_t)UART_IER_RDI << 8);
    cr_assert_eq(rig.sent[0], 'a');
    cr_assert_eq(in(UART_IER), UART_IER_RDI);

    serial_bus_ops.read(rig.serial, 0, 8, &value);
    cr_assert_eq(value >> 56, 0x77);
}

Test(serial, line_and_modem_status_ignore_writes)
{
    out(UART_LSR, 0);
    out(UART_MSR, 0);
    cr_assert_eq(in(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
    cr_assert_eq(in(UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
}

/* ---- the transmitter ---------------------------------------------------------------------- */

Test(serial, a_written_byte_goes_out_and_leaves_the_transmitter_empty)
{
    out(UART_TX, 'h');
    out(UART_TX, 'i');
    cr_assert_eq(rig.sent_count, 2);
    cr_assert_arr_eq(rig.sent, "hi", 2);
    cr_assert_eq(in(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
}

Test(serial, thre_interrupt_fires_when_ier_is_set_with_an_empty_transmitter)
{
    open_port(UART_IER_THRI);
    cr_assert(rig.line);
    cr_assert_eq(in(UART_IIR), IIR_FIFOS | UART_IIR_THRI);
}

Test(serial, reading_iir_clears_thre_when_it_is_the_source)
{
    open_port(UART_IER_THRI);
    cr_assert_eq(iir_id(), UART_IIR_THRI);
    cr_assert_not(rig.line);
    cr_assert_eq(iir_id(), UART_IIR_NO_INT);
}

Test(serial, reading_iir_keeps_thre_while_something_more_urgent_is_the_source)
{
    open_port(UART_IER_THRI | UART_IER_RDI);
    receive("x");
    cr_assert_eq(iir_id(), UART_IIR_RX_TIMEOUT);
    cr_assert_eq(in(UART_RX), 'x');
    cr_assert_eq(iir_id(), UART_IIR_THRI);
    cr_assert_eq(iir_id(), UART_IIR_NO_INT);
}

Test(serial, thre_comes_again_after_each_byte_that_went_out)
{
    open_port(UART_IER_THRI);
    in(UART_IIR);
    cr_assert_not(rig.line);
    out(UART_TX, 'a');
    cr_assert(rig.line);
    cr_assert_eq(iir_id(), UART_IIR_THRI);
}

Test(serial, a_burst_of_sixteen_bytes_costs_one_edge_of_the_line)
{
    open_port(UART_IER_THRI);
    in(UART_IIR);
    unsigned before = rig.edges;
    for (unsigned i = 0; i < SERIAL_FIFO_SIZE; i++)
        out(UART_TX, 'a' + i);
    cr_assert_eq(rig.edges, before + 1);
    cr_assert_eq(rig.sent_count, SERIAL_FIFO_SIZE);
}

Test(serial, thre_does_not_come_again_when_ier_is_rewritten_with_the_same_value)
{
    open_port(UART_IER_THRI);
    in(UART_IIR);
    out(UART_IER, UART_IER_THRI | UART_IER_RDI);
    cr_assert_not(rig.line);
}

Test(serial, disabling_thre_lowers_the_line)
{
    open_port(UART_IER_THRI);
    cr_assert(rig.line);
    out(UART_IER, 0);
    cr_assert_not(rig.line);
    cr_assert_eq(iir_id(), UART_IIR_NO_INT);
}

Test(serial, the_line_follows_out2_as_on_a_pc)
{
    out(UART_IER, UART_IER_THRI);
    cr_assert_not(rig.line);
    cr_assert(lsr_has(UART_LSR_THRE));
    out(UART_MCR, UART_MCR_OUT2);
    cr_assert(rig.line, "what was pending shows once the gate opens");
    out(UART_MCR, UART_MCR_DTR);
    cr_assert_not(rig.line);
    cr_assert_eq(iir_id(), UART_IIR_THRI, "it is still pending");
}

/* ---- backpressure ------------------------------------------------------------------------- */

Test(serial, a_full_sink_leaves_the_transmitter_full_until_there_is_room)
{
    open_port(UART_IER_THRI);
    in(UART_IIR);
    rig.room = 0;
    out(UART_TX, 'x');
    uint8_t lsr = in(UART_LSR);
    cr_assert_eq(lsr, 0, "neither THRE nor TEMT");
    cr_assert_not(rig.line);
    cr_assert_not(serial_is_quiet(rig.serial));

    rig.room = 1;
    serial_tx_room(rig.serial);
    cr_assert_eq(rig.sent_count, 1);
    cr_assert_eq(rig.sent[0], 'x');
    cr_assert_eq(in(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
    cr_assert(rig.line);
    cr_assert_eq(iir_id(), UART_IIR_THRI);
}

/* Linux writes tx_loadsz bytes after one look at THRE: all of them must find a place. */
Test(serial, a_burst_that_meets_a_full_sink_half_way_loses_nothing)
{
    open_port(UART_IER_THRI);
    in(UART_IIR);
    rig.room = 5;
    for (unsigned i = 0; i < SERIAL_FIFO_SIZE; i++)
        out(UART_TX, 'a' + i);
    cr_assert_eq(rig.sent_count, 5);
    cr_assert_not(lsr_has(UART_LSR_THRE));

    rig.room = 3;
    serial_tx_room(rig.serial);
    cr_assert_eq(rig.sent_count, 8);
    cr_assert_not(lsr_has(UART_LSR_THRE), "the FIFO is not empty yet");
    rig.room = 100;
    serial_tx_room(rig.serial);
    cr_assert_eq(rig.sent_count, SERIAL_FIFO_SIZE);
    cr_assert_arr_eq(rig.sent, "abcdefghijklmnop", SERIAL_FIFO_SIZE);
    cr_assert(lsr_has(UART_LSR_THRE));
    cr_assert_eq(serial_tx_dropped(rig.serial), 0);
}

Test(serial, a_later_byte_never_overtakes_one_that_waits)
{
    open_port(0);
    rig.room = 0;
    out(UART_TX, '1');
    rig.room = 100;
    out(UART_TX, '2');
    cr_assert_eq(rig.sent_count, 0);
    serial_tx_room(rig.serial);
    cr_assert_eq(rig.sent_count, 2);
    cr_assert_arr_eq(rig.sent, "12", 2);
}

Test(serial, a_byte_written_into_a_full_fifo_is_dropped_and_counted)
{
    open_port(0);
    rig.room = 0;
    for (unsigned i = 0; i < SERIAL_FIFO_SIZE + 3; i++)
        out(UART_TX, 'a' + i);
    cr_assert_eq(serial_tx_dropped(rig.serial), 3);
    rig.room = 100;
    serial_tx_room(rig.serial);
    cr_assert_eq(rig.sent_count, SERIAL_FIFO_SIZE);
    cr_assert_eq(rig.sent[SERIAL_FIFO_SIZE - 1], 'p');
}

Test(serial, without_fifos_one_byte_waits)
{
    out(UART_MCR, UART_MCR_OUT2);
    rig.room = 0;
    out(UART_TX, 'a');
    out(UART_TX, 'b');
    cr_assert_eq(serial_tx_dropped(rig.serial), 1);
    rig.room = 100;
    serial_tx_room(rig.serial);
    cr_assert_eq(rig.sent_count, 1);
    cr_assert_eq(rig.sent[0], 'a');
}

Test(serial, clearing_the_transmit_fifo_empties_it_and_interrupts)
{
    open_port(UART_IER_THRI);
    in(UART_IIR);
    rig.room = 0;
    out(UART_TX, 'a');
    out(UART_TX, 'b');
    cr_assert_not(rig.line);
    out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_XMIT);
    cr_assert(lsr_has(UART_LSR_TEMT));
    cr_assert(rig.line);
    cr_assert_eq(serial_tx_dropped(rig.serial), 2);
    rig.room = 100;
    serial_tx_room(rig.serial);
    cr_assert_eq(rig.sent_count, 0);
}

Test(serial, room_without_a_waiting_byte_changes_nothing)
{
    open_port(UART_IER_THRI);
    in(UART_IIR);
    unsigned before = rig.edges;
    serial_tx_room(rig.serial);
    cr_assert_eq(rig.edges, before);
    cr_assert_eq(rig.sent_count, 0);
}
