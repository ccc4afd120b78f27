/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PC's CMOS clock (MC146818), read-only: host UTC in BCD, 24-hour form, never in the middle
 * of an update.
 *
 * Our own guest kernel does not need it: kvm-clock gives it the time of day, and it has no RTC
 * driver. Another kernel may: without kvm-clock, read_persistent_clock64() comes here, and with
 * rtc-cmos built in (as in distribution kernels) the driver's probe does, kvm-clock or not. On an
 * empty bus both read the update-in-progress bit as set for ever and spin for a full second
 * (mc146818_avoid_UIP in drivers/rtc/rtc-mc146818-lib.c) before they give up.
 *
 * Registers: 0x00 to 0x09 the time and date, alarms as 0; 0x0a divider running, no update in
 * progress; 0x0b 24-hour, BCD, no interrupts; 0x0c no interrupt pending; 0x0d time valid; 0x32
 * century. All others read as 0. Writes are dropped, also the shutdown code that Linux stores at
 * 0x0f before it starts a secondary CPU: that is for a BIOS.
 *
 * Threads: any. The guest serialises its index and data accesses itself.
 */
#ifndef THAW_DEVICES_CMOS_H
#define THAW_DEVICES_CMOS_H

#include "vmm/core/bus.h"

#include <stdatomic.h>

#define CMOS_PORT  0x70u /* index, then data */
#define CMOS_PORTS 2u

/* All of its state; zeroed is after reset. A snapshot keeps `index`. */
struct cmos {
    atomic_uchar index; /* 0 to 0x7f; bit 7 of the port masks NMIs and is not kept */
};

/* What register `index` reads as at `now`, in seconds since 1970. */
uint8_t cmos_register(uint8_t index, uint64_t now);

/* For bus_add() with a struct cmos. */
extern const struct bus_ops cmos_bus_ops;

#endif
