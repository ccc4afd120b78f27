/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus: which device answers a port or an MMIO address. One table per address space and VM,
 * filled before the vCPUs start and read-only afterwards, so lookups take no lock; a device
 * locks its own state, since any vCPU may call it.
 */
#ifndef THAW_CORE_BUS_H
#define THAW_CORE_BUS_H

#include "vmm/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define BUS_DEVICES_MAX 32

/* `offset` is relative to the device's base; `offset + size` lies inside its length; `size` is
 * 1, 2, 4 or 8. The guest chose all three. */
struct bus_ops {
    const char *name;
    void (*read)(void *device, uint64_t offset, unsigned size, uint64_t *value);
    void (*write)(void *device, uint64_t offset, unsigned size, uint64_t value);
};

struct bus {
    unsigned count;
    struct bus_slot {
        uint64_t base, length;
        const struct bus_ops *ops;
        void *device; /* not owned */
    } slots[BUS_DEVICES_MAX];
};

/* Adds a device at [base, base+length). -EEXIST when the range overlaps another one, -ENOSPC
 * when the table is full. */
int bus_add(struct bus *bus, uint64_t base, uint64_t length, const struct bus_ops *ops,
            void *device, struct thaw_error *err);

/* An access that no device claims reads as all ones (as an empty ISA bus does) and its write is
 * dropped; so is one that straddles the end of a device. Returns whether a device answered. */
bool bus_read(const struct bus *bus, uint64_t address, unsigned size, uint64_t *value);
bool bus_write(const struct bus *bus, uint64_t address, unsigned size, uint64_t value);

#endif
