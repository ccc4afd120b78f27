/* SPDX-License-Identifier: Apache-2.0 */
/* The 16550A saved and loaded in mid-life, under random accesses, and from two threads. */
#include "tests/unit/serial_rig.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

TestSuite(serial_state, .init = set_up, .fini = tear_down);

/* ---- saving and loading ------------------------------------------------------------------- */

static struct serial_state state;

/* Takes the UART's place: what runs on is the loaded one, with a line that starts low. */
static void move_house(void)
{
    struct thaw_error err = {0};
    serial_save(rig.serial, &state);
    unsigned room = rig.room;
    tear_down();
    set_up();
    rig.room = room;
    cr_assert_eq(serial_load(rig.serial, &state, &err), 0, "%s", err.message);
}

Test(serial_state, traffic_goes_on_after_a_save_and_a_load_in_mid_life)
{
    open_port(UART_IER_RDI);
    out(UART_SCR, 0x5a);
    out(UART_LCR, UART_LCR_DLAB);
    out(UART_DLL, 0x12);
    out(UART_DLM, 0x34);
    out(UART_LCR, UART_LCR_WLEN8);
    receive("twenty-six letters staged.");
    rig.room = 0;
    out(UART_TX, 'o');
    out(UART_TX, 'k');

    move_house();
    cr_assert(rig.line);
    cr_assert_eq(in(UART_SCR), 0x5a);
    cr_assert_eq(in(UART_IIR), IIR_FIFOS | UART_IIR_RDI);
    cr_assert_not(lsr_has(UART_LSR_THRE));
    char seen[32] = {0};
    for (unsigned i = 0; i < sizeof(seen) - 1 && lsr_has(UART_LSR_DR); i++)
        seen[i] = (char)in(UART_RX);
    cr_assert_str_eq(seen, "twenty-six letters staged.");

    rig.room = 10;
    serial_tx_room(rig.serial);
    cr_assert_eq(rig.sent_count, 2);
    cr_assert_arr_eq(rig.sent, "ok", 2);
    out(UART_LCR, UART_LCR_DLAB);
    cr_assert_eq(in(UART_DLL), 0x12);
    cr_assert_eq(in(UART_DLM), 0x34);
}

Test(serial_state, a_transmitter_interrupt_in_flight_at_the_save_is_raised_again_by_the_load)
{
    open_port(UART_IER_THRI);
    cr_assert(rig.line);
    cr_assert_not(serial_is_quiet(rig.serial));
    move_house();
    cr_assert(rig.line);
    cr_assert_eq(rig.edges, 1);
    cr_assert_eq(iir_id(), UART_IIR_THRI);
    cr_assert_not(rig.line);
    cr_assert(serial_is_quiet(rig.serial));
}

Test(serial_state, bytes_held_for_a_full_sink_go_out_by_themselves_when_the_new_sink_has_room)
{
    open_port(UART_IER_THRI);
    in(UART_IIR);
    rig.room = 0;
    out(UART_TX, 'x');
    serial_save(rig.serial, &state);
    tear_down();
    set_up();

    struct thaw_error err = {0};
    cr_assert_eq(serial_load(rig.serial, &state, &err), 0);
    cr_assert_eq(rig.sent_count, 1);
    cr_assert(rig.line, "it emptied, so it interrupts");
}

Test(serial_state, loading_over_a_raised_line_lowers_it)
{
    struct thaw_error err = {0};
    serial_save(rig.serial, &state);
    open_port(UART_IER_THRI);
    cr_assert(rig.line);
    cr_assert_eq(serial_load(rig.serial, &state, &err), 0);
    cr_assert_not(rig.line);
}

Test(serial_state, a_saved_state_is_the_same_after_a_load)
{
    static struct serial_state again;
    open_port(UART_IER_RDI | UART_IER_THRI);
    receive("some bytes that stay, more than fit into the FIFO");
    move_house();
    serial_save(rig.serial, &again);
    cr_assert_arr_eq((uint8_t *)&again, (uint8_t *)&state, sizeof(state));
}

/* One row: what is set in an otherwise valid state of a port with its FIFOs on or off. */
#define ROW(on, field, value)                                                                      \
    {                                                                                              \
        .name = #field " = " #value, .offset = offsetof(struct serial_state, field),               \
        .fifos = (on), .bad = (value)                                                              \
    }

Test(serial_state, a_state_that_no_guest_can_reach_is_refused)
{
    static const struct {
        const char *name;
        size_t offset;
        bool fifos;
        uint8_t bad;
    } rows[] = {
        ROW(true, registers.ier, 0x10),
        ROW(true, registers.mcr, 0x20),
        ROW(true, registers.fcr, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR),
        ROW(true, registers.fcr, UART_FCR_R_TRIG_11),
        ROW(true, registers.overrun, 2),
        ROW(true, registers.msr_delta, 0x10),
        ROW(true, registers.thre_pending, 2),
        ROW(true, registers.thre_pending, 1), /* its enable bit is off */
        ROW(true, registers.rx_count, SERIAL_FIFO_SIZE + 1),
        ROW(true, registers.tx_count, SERIAL_FIFO_SIZE + 1),
        ROW(false, registers.rx_count, 2),
        ROW(false, registers.tx_count, 2),
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct thaw_error err = {0};
        open_port(UART_IER_RDI);
        out(UART_FCR, rows[i].fifos ? UART_FCR_ENABLE_FIFO : 0);
        serial_save(rig.serial, &state);
        cr_assert_eq(serial_load(rig.serial, &state, &err), 0, "valid before: %s", rows[i].name);

        ((uint8_t *)&state)[rows[i].offset] = rows[i].bad;
        cr_assert_eq(serial_load(rig.serial, &state, &err), -EINVAL, "taken: %s", rows[i].name);
        cr_assert_eq(in(UART_IER), UART_IER_RDI, "a refused state changes nothing");
    }
}

Test(serial_state, a_transmitter_interrupt_due_while_bytes_wait_is_refused)
{
    struct thaw_error err = {0};
    open_port(UART_IER_THRI);
    serial_save(rig.serial, &state);
    state.registers.tx_count = 1;
    cr_assert_eq(serial_load(rig.serial, &state, &err), -EINVAL);
}

Test(serial_state, one_staged_byte_too_many_is_refused)
{
    struct thaw_error err = {0};
    serial_save(rig.serial, &state);
    state.staged_count = SERIAL_STAGING_SIZE;
    cr_assert_eq(serial_load(rig.serial, &state, &err), 0);
    state.staged_count = SERIAL_STAGING_SIZE + 1;
    cr_assert_eq(serial_load(rig.serial, &state, &err), -EINVAL);
}

Test(serial_state, junk_behind_the_fifos_of_a_saved_state_is_not_readable)
{
    struct thaw_error err = {0};
    serial_save(rig.serial, &state);
    memset(state.registers.rx, 0xaa, sizeof(state.registers.rx));
    cr_assert_eq(serial_load(rig.serial, &state, &err), 0);
    cr_assert_eq(in(UART_RX), 0);
}

/* ---- random and concurrent ---------------------------------------------------------------- */

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Whatever a guest and the host do, the state stays one that a load accepts, and the line says
 * what IIR says. */
Test(serial_state, random_accesses_never_leave_the_reachable_states)
{
    uint32_t seed = 20240229;
    struct thaw_error err = {0};
    for (unsigned i = 0; i < 200000; i++) {
        uint32_t r = next_random(&seed);
        unsigned reg = r & 7, action = r >> 3 & 15;
        rig.room = r >> 7 & 31;
        if (action < 8)
            out(reg, r >> 12 & 0xff);
        else if (action < 13)
            in(reg);
        else if (action < 14)
            serial_receive(rig.serial, "abcdefgh", 1 + (r >> 12 & 7));
        else
            serial_tx_room(rig.serial);

        if (i % 64 == 0) {
            serial_save(rig.serial, &state);
            const struct serial_registers *regs = &state.registers;
            cr_assert_eq(serial_load(rig.serial, &state, &err), 0, "after %u steps", i);
            bool gate = (regs->mcr & (UART_MCR_OUT2 | UART_MCR_LOOP)) == UART_MCR_OUT2;
            bool line = rig.line;
            cr_assert(gate || !line);
            cr_assert_eq(line, gate && iir_id() != UART_IIR_NO_INT, "after %u steps", i);
        }
    }
}

static atomic_bool stop_feeding;

static void *feed_and_drain(void *arg)
{
    struct serial *serial = arg;
    while (!atomic_load(&stop_feeding)) {
        serial_receive_all(serial, "0123456789", 10);
        serial_tx_room(serial);
    }
    return NULL;
}

Test(serial_state, two_threads_may_use_the_port_at_once)
{
    struct serial_callbacks callbacks = {0};
    struct thaw_error err = {0};
    struct serial *serial = NULL;
    pthread_t thread;
    cr_assert_eq(serial_create(&callbacks, &serial, &err), 0);
    serial_bus_ops.write(serial, UART_FCR, 1, UART_FCR_ENABLE_FIFO);
    serial_bus_ops.write(serial, UART_MCR, 1, UART_MCR_RTS);
    serial_bus_ops.write(serial, UART_IER, 1, UART_IER_RDI);
    cr_assert_eq(pthread_create(&thread, NULL, feed_and_drain, serial), 0);

    uint64_t value = 0;
    for (unsigned seen = 0; seen < 50000;) {
        serial_bus_ops.read(serial, UART_LSR, 1, &value);
        if (!(value & UART_LSR_DR))
            continue;
        serial_bus_ops.read(serial, UART_RX, 1, &value);
        cr_assert_eq(value, '0' + seen % 10);
        seen++;
    }
    atomic_store(&stop_feeding, true);
    pthread_join(thread, NULL);
    serial_destroy(serial);
}
