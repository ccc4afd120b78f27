/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/i8042.h"

#define STATUS_OUTPUT_FULL 0x01u
#define COMMAND_RESET      0xfeu /* pulse output line 0, the CPU's reset */

static void read_data(void *device, uint64_t offset, unsigned size, uint64_t *value)
{
    (void)device;
    (void)offset;
    (void)size;
    *value = 0;
}

static void write_data(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)offset;
    (void)size;
    (void)value;
}

static void read_status(void *device, uint64_t offset, unsigned size, uint64_t *value)
{
    (void)device;
    (void)offset;
    (void)size;
    *value = STATUS_OUTPUT_FULL;
}

static void write_command(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    const struct i8042 *i8042 = device;
    (void)offset;
    (void)size;
    if ((uint8_t)value == COMMAND_RESET)
        i8042->reset(i8042->ctx);
}

const struct bus_ops i8042_data_bus_ops = {
    .name = "i8042 data",
    .read = read_data,
    .write = write_data,
};

const struct bus_ops i8042_command_bus_ops = {
    .name = "i8042 command",
    .read = read_status,
    .write = write_command,
};
