/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/device_state.h"

#include <errno.h>
#include <string.h>

#define UARTS 2u

static struct serial *uart(struct machine *machine, unsigned index)
{
    return index == 0 ? machine->uart : control_serial(machine->control);
}

/* ---- saving ------------------------------------------------------------------------------- */

static int save_uarts(struct machine *machine, struct snapshot_writer *writer,
                      struct thaw_error *err)
{
    int rc = 0;
    for (unsigned i = 0; i < UARTS && rc == 0; i++) {
        struct serial_state state;
        serial_save(uart(machine, i), &state);
        rc = snapshot_writer_add(writer, SNAPSHOT_SERIAL, i, &state, sizeof(state), err);
    }
    return rc;
}

/* The transport's part, then the device's own. */
static int save_virtio(struct virtio_slot *slot, unsigned index, struct snapshot_writer *writer,
                       struct thaw_error *err)
{
    const struct virtio_ops *ops = slot->mmio.device->ops;
    cleanup_blob struct blob content = {0};
    struct virtio_state *state = blob_append(&content, NULL, sizeof(*state) + ops->state_size, err);
    if (!state)
        return thaw_error_code(err);
    virtio_mmio_save(&slot->mmio, state);
    if (ops->state_size > 0)
        ops->save(slot->mmio.device, state + 1);
    return snapshot_writer_add(writer, SNAPSHOT_VIRTIO, index, content.data, content.size, err);
}

int device_state_save(struct machine *machine, struct snapshot_writer *writer,
                      struct thaw_error *err)
{
    int rc = save_uarts(machine, writer, err);
    loop_lock(machine->loop);
    for (unsigned i = 0; i < machine->slot_count && rc == 0; i++)
        rc = save_virtio(&machine->slots[i], i, writer, err);
    loop_unlock(machine->loop);
    return rc;
}

/* ---- loading ------------------------------------------------------------------------------ */

static int load_uart(struct serial *serial, unsigned index, const struct snapshot_state *file,
                     struct thaw_error *err)
{
    size_t size;
    const void *bytes = snapshot_section_get(file, SNAPSHOT_SERIAL, index, &size, err);
    if (!bytes)
        return thaw_error_code(err);
    if (size != sizeof(struct serial_state))
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL,
                            "snapshot: section serial %u: %zu bytes where %zu are needed", index,
                            size, sizeof(struct serial_state));
    struct serial_state state;
    memcpy(&state, bytes, sizeof(state));
    int rc = serial_load(serial, &state, err);
    if (rc == 0)
        return 0;
    thaw_reclassify(err, THAW_FAIL_SNAPSHOT);
    return thaw_context(err, "snapshot: section serial %u", index);
}

static int load_parts(struct virtio_slot *slot, const void *bytes, struct thaw_error *err)
{
    struct virtio_device *device = slot->mmio.device;
    struct virtio_state state;
    memcpy(&state, bytes, sizeof(state));
    int rc = virtio_mmio_load(&slot->mmio, &state, err);
    if (rc < 0 || device->ops->state_size == 0)
        return rc;
    cleanup_blob struct blob own = {0}; /* aligned, whatever the section is */
    if (!blob_append(&own, (const char *)bytes + sizeof(state), device->ops->state_size, err))
        return thaw_error_code(err);
    return device->ops->load(device, own.data, err);
}

static int load_virtio(struct virtio_slot *slot, unsigned index, const struct snapshot_state *file,
                       struct thaw_error *err)
{
    const struct virtio_ops *ops = slot->mmio.device->ops;
    size_t size, wanted = sizeof(struct virtio_state) + ops->state_size;
    const void *bytes = snapshot_section_get(file, SNAPSHOT_VIRTIO, index, &size, err);
    if (!bytes)
        return thaw_error_code(err);
    if (size != wanted)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL,
                            "snapshot: section virtio %u (%s): %zu bytes where %zu are needed",
                            index, ops->name, size, wanted);
    virtio_stop(slot->mmio.device);
    int rc = load_parts(slot, bytes, err);
    if (rc == 0)
        return 0;
    thaw_reclassify(err, THAW_FAIL_SNAPSHOT);
    return thaw_context(err, "snapshot: section virtio %u (%s)", index, ops->name);
}

int device_state_load(struct machine *machine, const struct snapshot_state *file,
                      struct thaw_error *err)
{
    int rc = 0;
    for (unsigned i = 0; i < UARTS && rc == 0; i++)
        rc = load_uart(uart(machine, i), i, file, err);
    loop_lock(machine->loop);
    for (unsigned i = 0; i < machine->slot_count && rc == 0; i++)
        rc = load_virtio(&machine->slots[i], i, file, err);
    loop_unlock(machine->loop);
    return rc;
}

void device_state_wake(struct machine *machine)
{
    loop_lock(machine->loop);
    for (unsigned i = 0; i < machine->slot_count; i++) {
        struct virtio_device *device = machine->slots[i].mmio.device;
        if (atomic_load(&device->interrupt_status) != 0)
            device->interrupt(device->interrupt_ctx);
        virtio_resume(device);
    }
    loop_unlock(machine->loop);
}
