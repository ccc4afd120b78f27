/* SPDX-License-Identifier: Apache-2.0 */
/* The debug-exit port. */
#include "devices/debug_exit.h"

#include <criterion/criterion.h>

static unsigned calls;
static uint8_t status;

static void on_shutdown(void *ctx, uint8_t value)
{
    cr_assert_eq(ctx, &calls);
    calls++;
    status = value;
}

static struct debug_exit debug_exit = {.shutdown = on_shutdown, .ctx = &calls};

Test(debug_exit, every_byte_value_arrives_as_the_status)
{
    for (unsigned v = 0; v < 256; v++) {
        debug_exit_bus_ops.write(&debug_exit, 0, 1, v);
        cr_assert_eq(status, v);
    }
    cr_assert_eq(calls, 256);
}

Test(debug_exit, a_wide_write_counts_by_its_low_byte)
{
    debug_exit_bus_ops.write(&debug_exit, 0, 4, 0x12345642);
    cr_assert_eq(status, 0x42);
    debug_exit_bus_ops.write(&debug_exit, 0, 2, 0xff00);
    cr_assert_eq(status, 0);
    cr_assert_eq(calls, 2);
}

Test(debug_exit, the_bytes_beside_the_port_do_nothing)
{
    for (unsigned offset = 1; offset < DEBUG_EXIT_PORTS; offset++)
        debug_exit_bus_ops.write(&debug_exit, offset, 1, 1);
    cr_assert_eq(calls, 0);
}

Test(debug_exit, reading_is_harmless)
{
    uint64_t value = UINT64_MAX;
    debug_exit_bus_ops.read(&debug_exit, 0, 1, &value);
    cr_assert_eq(value, 0);
    cr_assert_eq(calls, 0);
}
