/* SPDX-License-Identifier: Apache-2.0 */
/* The bus: who answers, and that nobody answers outside its range. */
#include "vmm/core/bus.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* A device that remembers the last access. */
struct probe {
    unsigned accesses;
    uint64_t offset, value;
    unsigned size;
};

static void probe_read(void *device, uint64_t offset, unsigned size, uint64_t *value)
{
    struct probe *probe = device;
    *probe = (struct probe){.accesses = probe->accesses + 1, .offset = offset, .size = size};
    *value = 0x5a;
}

static void probe_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct probe *probe = device;
    *probe = (struct probe){
        .accesses = probe->accesses + 1, .offset = offset, .size = size, .value = value};
}

static const struct bus_ops probe_ops = {"probe", probe_read, probe_write};

/* As a device that knows no access of this size. */
static void mute_read(void *device, uint64_t offset, unsigned size, uint64_t *value)
{
    (void)device, (void)offset, (void)size, (void)value;
}

static const struct bus_ops mute_ops = {"mute", mute_read, probe_write};

static struct bus bus;
static struct probe probe;
static struct thaw_error err;

static int add(uint64_t base, uint64_t length)
{
    err = (struct thaw_error){0};
    int rc = bus_add(&bus, base, length, &probe_ops, &probe, &err);
    cr_assert_eq(rc, thaw_error_code(&err));
    return rc;
}

Test(bus, an_access_reaches_its_device_with_an_offset)
{
    uint64_t value = 0;
    cr_assert_eq(add(0x3f8, 8), 0);
    cr_assert(bus_read(&bus, 0x3fd, 1, &value));
    cr_assert_eq(value, 0x5a);
    cr_assert_eq(probe.offset, 5);
    cr_assert_eq(probe.size, 1);

    cr_assert(bus_write(&bus, 0x3f8, 2, 0xbeef));
    cr_assert_eq(probe.offset, 0);
    cr_assert_eq(probe.size, 2);
    cr_assert_eq(probe.value, 0xbeef);
}

Test(bus, the_ports_around_a_device_read_as_all_ones)
{
    uint64_t value = 0;
    cr_assert_eq(add(0x3f8, 8), 0);
    cr_assert_not(bus_read(&bus, 0x3f7, 1, &value));
    cr_assert_eq(value, UINT64_MAX);
    cr_assert_not(bus_read(&bus, 0x400, 1, &value));
    cr_assert_not(bus_write(&bus, 0x400, 1, 0));
    cr_assert_eq(probe.accesses, 0);
}

Test(bus, an_access_that_straddles_either_end_reaches_nobody)
{
    uint64_t value = 0;
    cr_assert_eq(add(0x3f8, 8), 0);
    cr_assert_not(bus_read(&bus, 0x3ff, 2, &value));
    cr_assert_eq(value, UINT64_MAX);
    cr_assert_not(bus_read(&bus, 0x3f7, 2, &value));
    cr_assert_not(bus_write(&bus, 0x3fd, 4, 0));
    cr_assert_not(bus_write(&bus, 0x3f4, 8, 0));
    cr_assert_eq(probe.accesses, 0);
    cr_assert(bus_write(&bus, 0x3fc, 4, 0));
    cr_assert_eq(probe.accesses, 1);
}

Test(bus, an_access_across_two_neighbours_reaches_neither)
{
    cr_assert_eq(add(0x60, 1), 0);
    cr_assert_eq(add(0x61, 1), 0);
    cr_assert_not(bus_write(&bus, 0x60, 2, 0xffff));
    cr_assert_eq(probe.accesses, 0);
}

Test(bus, a_device_that_ignores_a_read_reads_as_all_ones)
{
    uint64_t value = 0;
    cr_assert_eq(bus_add(&bus, 0x70, 2, &mute_ops, &probe, &err), 0);
    cr_assert(bus_read(&bus, 0x70, 2, &value));
    cr_assert_eq(value, UINT64_MAX);
}

Test(bus, ranges_that_overlap_are_refused_and_neighbours_are_not)
{
    cr_assert_eq(add(0x100, 0x10), 0);
    cr_assert_eq(add(0x100, 0x10), -EEXIST);
    cr_assert_eq(add(0x10f, 1), -EEXIST);
    cr_assert_eq(add(0xff, 2), -EEXIST);
    cr_assert_eq(add(0x80, 0x100), -EEXIST, "a range around the other");
    cr_assert_eq(add(0x104, 4), -EEXIST, "a range inside the other");
    cr_assert_not_null(strstr(err.message, "overlaps probe"), "%s", err.message);
    cr_assert_eq(add(0x110, 0x10), 0);
    cr_assert_eq(add(0xf0, 0x10), 0);
    cr_assert_eq(bus.count, 3);
}

Test(bus, a_range_may_end_at_2_to_the_64_and_not_go_beyond)
{
    uint64_t value = 0;
    cr_assert_eq(add(UINT64_MAX - 0xf, 0x11), -EINVAL);
    cr_assert_eq(add(1, UINT64_MAX), 0, "ends exactly at 2^64");
    cr_assert_eq(add(UINT64_MAX, 1), -EEXIST);
    cr_assert(bus_read(&bus, UINT64_MAX, 1, &value));
    cr_assert_not(bus_read(&bus, UINT64_MAX, 2, &value), "the access itself wraps around");
    cr_assert_not(bus_read(&bus, 0, 1, &value));
}

Test(bus, an_empty_range_is_refused)
{
    cr_assert_eq(add(0x100, 0), -EINVAL);
    cr_assert_eq(bus.count, 0);
}

Test(bus, a_full_table_refuses_the_next_device)
{
    for (unsigned i = 0; i < BUS_DEVICES_MAX; i++)
        cr_assert_eq(add(i * 8ull, 8), 0);
    cr_assert_eq(add(BUS_DEVICES_MAX * 8ull, 8), -ENOSPC);
    cr_assert_eq(bus.count, BUS_DEVICES_MAX);
}
