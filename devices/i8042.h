/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of a PC's keyboard controller as a machine without a keyboard needs: the command that
 * pulses the CPU's reset line. Linux without ACPI reboots with it (arch/x86/kernel/reboot.c).
 *
 * Status always reads as 0x01. The input buffer (bit 1) is empty, so that Linux's kb_wait(),
 * which looks before each reset, does not wait. The output buffer (bit 0) stays full however
 * often it is read: a kernel with the i8042 driver reads 16 bytes, finds that it cannot be
 * emptied, and reports "No controller found" within a millisecond. With 0x00 it would go on to
 * ask for the controller's configuration and wait half a second for the answer. Data reads as 0.
 */
#ifndef THAW_DEVICES_I8042_H
#define THAW_DEVICES_I8042_H

#include "vmm/core/bus.h"

#define I8042_DATA_PORT    0x60u
#define I8042_COMMAND_PORT 0x64u

/* Filled by the owner before the device goes on the bus; not changed afterwards. */
struct i8042 {
    /* The guest asks for a reset. Runs on the vCPU's thread, at every request: Linux repeats it
     * up to ten times. */
    void (*reset)(void *ctx);
    void *ctx;
};

/* Two ports that do not touch (0x61 is not the controller's), each for bus_add() with the same
 * struct i8042 and length 1. */
extern const struct bus_ops i8042_data_bus_ops;
extern const struct bus_ops i8042_command_bus_ops;

#endif
