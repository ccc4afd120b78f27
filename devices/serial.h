/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A UART, as National Semiconductor's PC16550D data sheet describes it and as a PC wires
 * it: eight byte-wide registers, and an interrupt line that OUT2 gates.
 *
 * Where this one differs from the chip, on purpose:
 * - Bytes take no time. A byte written to the transmitter is gone, and the transmitter empty
 *   again, when the write returns; the baud rate, parity and stop bits are kept and ignored.
 * - The character time-out therefore expires at once: received data below the trigger level
 *   interrupts as a time-out (IIR 0xc), at or above it as data available (IIR 0x4).
 * - The sender on the host has perfect flow control. What does not fit into the receive FIFO
 *   waits in a staging ring of fixed size, so the only overrun is the one that a guest makes
 *   itself in loopback mode.
 * - The modem inputs say "connected" for ever: DCD, DSR and CTS on, RI off.
 *
 * The transmitter pushes back. When the sink refuses a byte, up to 16 bytes (one without FIFOs)
 * wait in the transmit FIFO with LSR.THRE and LSR.TEMT clear until serial_tx_room(). A driver
 * that waits for THRE, as Linux's tty layer does, loses nothing; Linux's printk waits for a
 * bounded time and then writes anyway, and what finds the FIFO full is dropped and counted.
 *
 * Receiving is paced by the guest, in three ways. None of them costs time.
 * - RTS is honoured: nothing enters the receive FIFO while MCR.RTS is off. Linux turns it on last
 *   when a tty is opened, and, with CRTSCTS set, off whenever the tty's buffer is nearly full.
 *   That makes input lossless however slowly it is read; without CRTSCTS Linux drops what
 *   overflows its buffers, as with any UART.
 * - The guest must listen: bytes leave the staging ring while the receive interrupt is enabled
 *   (IER bit 0), or when the guest polls LSR with its FIFOs on. Linux clears the FIFOs and reads
 *   stray bytes away each time a tty is opened, with that interrupt off, so staged input survives
 *   it. Clearing the receive FIFO drops what is in the FIFO, never what is staged.
 * - At most SERIAL_STAGING_SIZE bytes are taken until the guest has looked and found nothing
 *   (IIR without an interrupt; LSR without data where interrupts are off). Linux's interrupt
 *   handler reads as long as there is data, gives up after 512 rounds, and, the line being
 *   edge-triggered, never comes back: a sender without pauses would kill the port.
 * For the same reason IIR says "nothing" once after SERIAL_BUSY_ROUNDS interrupts in a row when
 * another transmitter interrupt is due; the line goes low and up again, and the handler comes
 * back.
 *
 * A sender should still wait for the guest's `hello` (guest/include/thaw/wire.h): the line
 * discipline is not raw before.
 *
 * Threads: one lock per UART; every function may be called by any thread between serial_create
 * and serial_destroy. set_irq and transmit are called with the lock held, so that line changes
 * and bytes stay in order: they must not call into the same UART, and any lock they take comes
 * after this one. rx_room is called without the lock.
 */
#ifndef THAW_DEVICES_SERIAL_H
#define THAW_DEVICES_SERIAL_H

#include "vmm/base/cleanup.h"
#include "vmm/core/bus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_PORTS        8u  /* length on the bus */
#define SERIAL_FIFO_SIZE    16u /* each way */
#define SERIAL_STAGING_SIZE 4096u
#define SERIAL_BUSY_ROUNDS  64u

struct serial;

/* Any of the functions may be NULL: no interrupt line, a sink that takes everything, nobody to
 * tell about room. */
struct serial_callbacks {
    /* The interrupt line; called only when the level changes. It is low at first. */
    void (*set_irq)(void *ctx, bool level);
    void *irq_ctx;

    /* Takes one byte from the guest. False: no room now, serial_tx_room() will be called. */
    bool (*transmit)(void *ctx, uint8_t byte);
    void *tx_ctx;

    /* After serial_receive() took less than it was given: all of the staging ring is free. */
    void (*rx_room)(void *ctx);
    void *rx_ctx;
};

/* A UART after its master reset. The caller owns `*out`; contexts are borrowed. */
int serial_create(const struct serial_callbacks *callbacks, struct serial **out,
                  struct thaw_error *err);

/* Calls nothing back. NULL is allowed. */
void serial_destroy(struct serial *serial);

/* For bus_add() with a struct serial and SERIAL_PORTS. An access of several bytes is that many
 * accesses of one, at rising addresses, as the ISA bus splits them. */
extern const struct bus_ops serial_bus_ops;

/* Host to guest: takes as many of the `n` bytes as there is room for and returns how many. After
 * a short count, rx_room is called once, when the guest has read everything. */
size_t serial_receive(struct serial *serial, const void *bytes, size_t n);

/* The same for all of the bytes or none: 0, or -EAGAIN. rx_room is not called for it. */
int serial_receive_all(struct serial *serial, const void *bytes, size_t n);

/* The sink has room again: sends what the transmit FIFO holds, and interrupts when it empties. */
void serial_tx_room(struct serial *serial);

/* Bytes from the guest that reached nobody: written while the transmit FIFO was full, or still
 * in it when the guest cleared it. */
uint64_t serial_tx_dropped(struct serial *serial);

/* Whether nothing is in flight: no byte either way, no transmitter interrupt. */
bool serial_is_quiet(struct serial *serial);

/* Everything a guest can tell a UART by. Plain data without padding; unused bytes are 0. */
struct serial_state {
    struct serial_registers {
        uint8_t ier, lcr, mcr, scr, dll, dlm;
        uint8_t fcr;          /* enable and trigger level */
        uint8_t overrun;      /* 0 or 1: LSR.OE */
        uint8_t msr_delta;    /* bits 0 to 3 of MSR */
        uint8_t thre_pending; /* 0 or 1: the transmitter interrupt is due */
        uint8_t rx_count, tx_count;
        uint8_t rx[SERIAL_FIFO_SIZE]; /* oldest first */
        uint8_t tx[SERIAL_FIFO_SIZE];
    } registers;
    uint32_t staged_count;
    uint8_t staged[SERIAL_STAGING_SIZE]; /* oldest first */
};

/* Copies the state out. Save while no vCPU runs, or it is out of date at once. */
void serial_save(struct serial *serial, struct serial_state *state);

/*
 * Replaces the state. `state` may come from a hostile file: whatever no sequence of guest
 * accesses leads to is refused with -EINVAL, and the UART is unchanged. Bytes held for the sink
 * are offered to it again, and the line is driven as the state says: a transmitter interrupt
 * that was due when the state was saved is due again.
 */
int serial_load(struct serial *serial, const struct serial_state *state, struct thaw_error *err);

static inline void serial_cleanup(struct serial **serial)
{
    serial_destroy(*serial);
}
#define cleanup_serial cleanup(serial_cleanup)

#endif
