/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The debug-exit port: a guest writes a byte, and that is its status. Same place as QEMU's
 * isa-debug-exit (docs/specs of QEMU: iobase 0x501), so that a test guest runs under both; QEMU
 * exits with (status << 1) | 1, this one with the status as it is.
 *
 * The range takes 16- and 32-bit writes too; only the byte at DEBUG_EXIT_PORT counts. Reads
 * return 0. Stateless, hence safe from any thread as far as `shutdown` is.
 */
#ifndef THAW_DEVICES_DEBUG_EXIT_H
#define THAW_DEVICES_DEBUG_EXIT_H

#include "vmm/core/bus.h"

#define DEBUG_EXIT_PORT  0x501u
#define DEBUG_EXIT_PORTS 4u

/* Filled by the owner before the device goes on the bus; not changed afterwards. */
struct debug_exit {
    /* Runs on the vCPU's thread, at every write. */
    void (*shutdown)(void *ctx, uint8_t status);
    void *ctx;
};

/* For bus_add() with a struct debug_exit. */
extern const struct bus_ops debug_exit_bus_ops;

#endif
