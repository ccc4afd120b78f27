/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/bus.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>

/* Lengths are compared as last addresses, since a range may end at 2^64. */
static bool overlaps(const struct bus_slot *slot, uint64_t base, uint64_t length)
{
    return base <= slot->base + (slot->length - 1) && slot->base <= base + (length - 1);
}

static bool wraps(uint64_t base, uint64_t length)
{
    uint64_t last;
    return length == 0 || __builtin_add_overflow(base, length - 1, &last);
}

int bus_add(struct bus *bus, uint64_t base, uint64_t length, const struct bus_ops *ops,
            void *device, struct thaw_error *err)
{
    if (wraps(base, length))
        return thaw_fail(err, EINVAL, "bus: %s at 0x%" PRIx64 ", length 0x%" PRIx64, ops->name,
                         base, length);

    for (unsigned i = 0; i < bus->count; i++)
        if (overlaps(&bus->slots[i], base, length))
            return thaw_fail(err, EEXIST, "bus: %s at 0x%" PRIx64 " overlaps %s", ops->name, base,
                             bus->slots[i].ops->name);

    if (bus->count == BUS_DEVICES_MAX)
        return thaw_fail(err, ENOSPC, "bus: %s at 0x%" PRIx64, ops->name, base);

    bus->slots[bus->count++] = (struct bus_slot){
        .base = base,
        .length = length,
        .ops = ops,
        .device = device,
    };
    return 0;
}

/* The device that holds all of [address, address+size), or NULL. */
static const struct bus_slot *find(const struct bus *bus, uint64_t address, unsigned size)
{
    for (unsigned i = 0; i < bus->count; i++) {
        const struct bus_slot *slot = &bus->slots[i];
        if (address < slot->base || address - slot->base >= slot->length)
            continue;
        return size <= slot->length - (address - slot->base) ? slot : NULL;
    }
    return NULL;
}

bool bus_read(const struct bus *bus, uint64_t address, unsigned size, uint64_t *value)
{
    /* Set first, so that a device which ignores a size still answers like an empty bus. */
    *value = UINT64_MAX;

    const struct bus_slot *slot = find(bus, address, size);
    if (!slot)
        return false;
    slot->ops->read(slot->device, address - slot->base, size, value);
    return true;
}

bool bus_write(const struct bus *bus, uint64_t address, unsigned size, uint64_t value)
{
    const struct bus_slot *slot = find(bus, address, size);
    if (!slot)
        return false;
    slot->ops->write(slot->device, address - slot->base, size, value);
    return true;
}
