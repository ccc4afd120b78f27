/* SPDX-License-Identifier: Apache-2.0 */
/* The keyboard controller that resets, as Linux's reboot and its i8042 driver meet it. */
#include "devices/i8042.h"

#include <criterion/criterion.h>

static unsigned resets;

static void on_reset(void *ctx)
{
    (*(unsigned *)ctx)++;
}

static struct i8042 i8042 = {.reset = on_reset, .ctx = &resets};

static uint64_t read_with(const struct bus_ops *ops)
{
    uint64_t value = UINT64_MAX;
    ops->read(&i8042, 0, 1, &value);
    return value;
}

Test(i8042, command_fe_resets_each_time)
{
    i8042_command_bus_ops.write(&i8042, 0, 1, 0xfe);
    cr_assert_eq(resets, 1);
    i8042_command_bus_ops.write(&i8042, 0, 1, 0xfe);
    cr_assert_eq(resets, 2);
}

Test(i8042, no_other_command_and_no_data_resets)
{
    for (unsigned command = 0; command < 256; command++)
        if (command != 0xfe)
            i8042_command_bus_ops.write(&i8042, 0, 1, command);
    i8042_data_bus_ops.write(&i8042, 0, 1, 0xfe);
    cr_assert_eq(resets, 0);
}

Test(i8042, kb_wait_of_linux_does_not_wait)
{
    cr_assert_eq(read_with(&i8042_command_bus_ops) & 0x02, 0);
}

/* i8042_flush() of drivers/input/serio/i8042.c: more than 16 bytes to flush is no controller. */
Test(i8042, the_i8042_driver_of_linux_gives_up_after_sixteen_reads)
{
    unsigned flushed = 0;
    while ((read_with(&i8042_command_bus_ops) & 0x01) && flushed <= 16) {
        cr_assert_eq(read_with(&i8042_data_bus_ops), 0);
        flushed++;
    }
    cr_assert_eq(flushed, 17);
}
