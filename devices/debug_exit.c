/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/debug_exit.h"

static void read_nothing(void *device, uint64_t offset, unsigned size, uint64_t *value)
{
    (void)device;
    (void)offset;
    (void)size;
    *value = 0;
}

static void write_status(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    const struct debug_exit *debug_exit = device;
    (void)size;
    if (offset == 0)
        debug_exit->shutdown(debug_exit->ctx, (uint8_t)value);
}

const struct bus_ops debug_exit_bus_ops = {
    .name = "debug-exit",
    .read = read_nothing,
    .write = write_status,
};
