/* SPDX-License-Identifier: Apache-2.0 */
/* A UART with surroundings that a test controls, and the accesses of a driver. */
#ifndef THAW_TESTS_SERIAL_RIG_H
#define THAW_TESTS_SERIAL_RIG_H

#include "devices/serial.h"

#include <criterion/criterion.h>
#include <linux/serial_reg.h>
#include <string.h>

#define IIR_FIFOS 0xc0u

/* The UART's surroundings: a sink with a given amount of room, an interrupt line, a feeder. */
struct rig {
    struct serial *serial;
    uint8_t sent[64];
    unsigned sent_count;
    unsigned room; /* bytes that the sink still takes */
    bool line;
    unsigned edges; /* calls of set_irq */
    unsigned told_room;
};

static struct rig rig;

static inline void on_irq(void *ctx, bool level)
{
    struct rig *r = ctx;
    cr_assert_neq(r->line, level, "set_irq is for changes only");
    r->line = level;
    r->edges++;
}

static inline bool on_byte(void *ctx, uint8_t byte)
{
    struct rig *r = ctx;
    if (r->room == 0)
        return false;
    r->room--;
    if (r->sent_count < sizeof(r->sent))
        r->sent[r->sent_count] = byte;
    r->sent_count++;
    return true;
}

/* It may call back in: nothing is locked. */
static inline void on_room(void *ctx)
{
    struct rig *r = ctx;
    r->told_room++;
    cr_assert_eq(serial_receive(r->serial, "", 0), 0);
}

static inline void set_up(void)
{
    struct serial_callbacks callbacks = {
        .set_irq = on_irq,
        .irq_ctx = &rig,
        .transmit = on_byte,
        .tx_ctx = &rig,
        .rx_room = on_room,
        .rx_ctx = &rig,
    };
    struct thaw_error err = {0};
    rig = (struct rig){.room = UINT32_MAX};
    cr_assert_eq(serial_create(&callbacks, &rig.serial, &err), 0);
}

static inline void tear_down(void)
{
    serial_destroy(rig.serial);
}

static inline uint8_t in(unsigned reg)
{
    uint64_t value = UINT64_MAX;
    serial_bus_ops.read(rig.serial, reg, 1, &value);
    cr_assert_leq(value, 0xff);
    return (uint8_t)value;
}

static inline void out(unsigned reg, unsigned value)
{
    serial_bus_ops.write(rig.serial, reg, 1, value);
}

static inline uint8_t iir_id(void)
{
    return in(UART_IIR) & (UART_IIR_ID | UART_IIR_NO_INT);
}

/* Whether LSR has all of `bits`; a look at LSR clears its error bits. */
static inline bool lsr_has(uint8_t bits)
{
    return (in(UART_LSR)&bits) == bits;
}

/* Which of `bits` IER has. */
static inline uint8_t ier_bits(uint8_t bits)
{
    return in(UART_IER)&bits;
}

static inline uint8_t msr_inputs(void)
{
    uint8_t msr = in(UART_MSR);
    return msr & 0xf0;
}

static inline uint8_t msr_deltas(void)
{
    uint8_t msr = in(UART_MSR);
    return msr & UART_MSR_ANY_DELTA;
}

/* As Linux leaves an open port: 8n1, FIFOs with trigger 8, DTR RTS OUT2. */
static inline void open_port(unsigned ier)
{
    out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_R_TRIG_10);
    out(UART_LCR, UART_LCR_WLEN8);
    out(UART_MCR, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
    out(UART_IER, ier);
}

static inline void receive(const char *text)
{
    cr_assert_eq(serial_receive(rig.serial, text, strlen(text)), strlen(text));
}

#endif
