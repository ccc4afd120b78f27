/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/mmio.h"

#include <errno.h>
#include <string.h>

#define MAGIC   0x74726976u /* "virt" */
#define VERSION 2u
#define VENDOR  0x57414854u /* "THAW" */

/* 4.2.2. */
enum {
    REG_MAGIC = 0x000,
    REG_VERSION = 0x004,
    REG_DEVICE_ID = 0x008,
    REG_VENDOR_ID = 0x00c,
    REG_DEVICE_FEATURES = 0x010,
    REG_DEVICE_FEATURES_SEL = 0x014,
    REG_DRIVER_FEATURES = 0x020,
    REG_DRIVER_FEATURES_SEL = 0x024,
    REG_QUEUE_SEL = 0x030,
    REG_QUEUE_NUM_MAX = 0x034,
    REG_QUEUE_NUM = 0x038,
    REG_QUEUE_READY = 0x044,
    REG_QUEUE_NOTIFY = VIRTIO_MMIO_QUEUE_NOTIFY,
    REG_INTERRUPT_STATUS = 0x060,
    REG_INTERRUPT_ACK = 0x064,
    REG_STATUS = 0x070,
    REG_QUEUE_DESC_LOW = 0x080,
    REG_QUEUE_DESC_HIGH = 0x084,
    REG_QUEUE_AVAIL_LOW = 0x090,
    REG_QUEUE_AVAIL_HIGH = 0x094,
    REG_QUEUE_USED_LOW = 0x0a0,
    REG_QUEUE_USED_HIGH = 0x0a4,
    REG_SHM_LEN_LOW = 0x0b0,
    REG_SHM_BASE_HIGH = 0x0bc,
    REG_CONFIG_GENERATION = 0x0fc,
    REG_CONFIG = 0x100,
};

#define DRIVER_BITS                                                                                \
    (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK |                  \
     VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_FAILED)

_Static_assert(sizeof(struct virtio_state) == 48 + sizeof(struct virtq_state) * VIRTIO_QUEUES_MAX,
               "no padding");

void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *device)
{
    *mmio = (struct virtio_mmio){.device = device};
}

/* ---- status ------------------------------------------------------------------------------- */

static void reset(struct virtio_mmio *mmio)
{
    virtio_reset(mmio->device);
    virtio_mmio_init(mmio, mmio->device);
}

static bool features_are_good(const struct virtio_device *device, uint64_t features)
{
    return (features & ~device->offered) == 0 && (features & VIRTIO_F_VERSION_1);
}

/* Whether these status bits can stand together: each needs the one before it (3.1.1). */
static bool is_in_order(uint32_t status)
{
    if ((status & VIRTIO_STATUS_DRIVER) && !(status & VIRTIO_STATUS_ACKNOWLEDGE))
        return false;
    if ((status & VIRTIO_STATUS_FEATURES_OK) && !(status & VIRTIO_STATUS_DRIVER))
        return false;
    return !(status & VIRTIO_STATUS_DRIVER_OK) || (status & VIRTIO_STATUS_FEATURES_OK);
}

static void activate(struct virtio_device *device)
{
    if (device->ops->activate)
        device->ops->activate(device);
    /* A driver may have filled a queue before it was ready itself. */
    virtio_kick_all(device);
}

static void write_status(struct virtio_mmio *mmio, uint32_t value)
{
    struct virtio_device *device = mmio->device;
    if (value == 0) {
        reset(mmio);
        return;
    }
    uint32_t kept = device->status & DRIVER_BITS;
    value &= DRIVER_BITS;
    if ((value & kept) != kept || !is_in_order(value))
        return;
    uint32_t added = value & ~kept;
    if (added & VIRTIO_STATUS_FEATURES_OK) {
        /* Not set: the driver reads that its choice was not accepted (2.1). */
        if (!features_are_good(device, mmio->driver_features))
            return;
        device->accepted = mmio->driver_features;
    }
    device->status |= added;
    if ((added & VIRTIO_STATUS_DRIVER_OK) && !(device->status & VIRTIO_STATUS_FAILED))
        activate(device);
}

/* ---- features ----------------------------------------------------------------------------- */

static uint32_t half(uint64_t value, uint32_t select)
{
    return select > 1 ? 0 : (uint32_t)(value >> (32 * select));
}

static void set_half(uint64_t *value, uint32_t select, uint32_t half_value)
{
    if (select > 1)
        return;
    *value &= ~(0xffffffffull << (32 * select));
    *value |= (uint64_t)half_value << (32 * select);
}

static void write_driver_features(struct virtio_mmio *mmio, uint32_t value)
{
    uint32_t status = mmio->device->status;
    if ((status & VIRTIO_STATUS_DRIVER) && !(status & VIRTIO_STATUS_FEATURES_OK))
        set_half(&mmio->driver_features, mmio->driver_features_select, value);
}

/* ---- queues ------------------------------------------------------------------------------- */

static struct virtq *selected_queue(const struct virtio_mmio *mmio)
{
    struct virtio_device *device = mmio->device;
    return mmio->queue_select < device->queue_count ? &device->queues[mmio->queue_select] : NULL;
}

/* Where a write to a queue register goes; NULL once the queue or the driver is ready: a live
 * queue does not move (CVE-2026-5747). */
static struct virtq_layout *writable_layout(struct virtio_mmio *mmio)
{
    const struct virtq *q = selected_queue(mmio);
    uint32_t status = mmio->device->status;
    bool is_time = (status & VIRTIO_STATUS_FEATURES_OK) && !(status & VIRTIO_STATUS_DRIVER_OK);
    return q && is_time && !q->ready ? &mmio->layouts[mmio->queue_select] : NULL;
}

static void write_queue_ready(struct virtio_mmio *mmio, uint32_t value)
{
    struct virtq *q = selected_queue(mmio);
    const struct virtq_layout *layout = writable_layout(mmio);
    if (value == 1 && layout) {
        if (virtq_enable(q, layout, mmio->device->accepted) < 0)
            virtio_fail(mmio->device);
    } else if (value == 0 && q && !(mmio->device->status & VIRTIO_STATUS_DRIVER_OK)) {
        virtq_reset(q);
    }
}

static void write_layout(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
    struct virtq_layout *layout = writable_layout(mmio);
    if (!layout)
        return;
    switch (offset) {
    case REG_QUEUE_NUM:
        layout->size = value <= UINT16_MAX ? (uint16_t)value : 0; /* 0 is refused later */
        break;
    case REG_QUEUE_DESC_LOW:
    case REG_QUEUE_DESC_HIGH:
        set_half(&layout->desc, offset == REG_QUEUE_DESC_HIGH, value);
        break;
    case REG_QUEUE_AVAIL_LOW:
    case REG_QUEUE_AVAIL_HIGH:
        set_half(&layout->avail, offset == REG_QUEUE_AVAIL_HIGH, value);
        break;
    default:
        set_half(&layout->used, offset == REG_QUEUE_USED_HIGH, value);
        break;
    }
}

/* ---- registers ---------------------------------------------------------------------------- */

static uint32_t read_register(const struct virtio_mmio *mmio, uint64_t offset)
{
    const struct virtio_device *device = mmio->device;
    const struct virtq *q = selected_queue(mmio);
    switch (offset) {
    case REG_MAGIC:
        return MAGIC;
    case REG_VERSION:
        return VERSION;
    case REG_DEVICE_ID:
        return device->ops->id;
    case REG_VENDOR_ID:
        return VENDOR;
    case REG_DEVICE_FEATURES:
        return half(device->offered, mmio->device_features_select);
    case REG_QUEUE_NUM_MAX:
        return q ? q->size_max : 0;
    case REG_QUEUE_READY:
        return q && q->ready;
    case REG_STATUS:
        return device->status;
    case REG_CONFIG_GENERATION:
        return device->generation;
    default:
        /* No shared memory regions: a length of -1 says so (4.2.2.1). */
        return offset >= REG_SHM_LEN_LOW && offset <= REG_SHM_BASE_HIGH ? UINT32_MAX : 0;
    }
}

static void write_register(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case REG_DEVICE_FEATURES_SEL:
        mmio->device_features_select = value;
        break;
    case REG_DRIVER_FEATURES:
        write_driver_features(mmio, value);
        break;
    case REG_DRIVER_FEATURES_SEL:
        mmio->driver_features_select = value;
        break;
    case REG_QUEUE_SEL:
        mmio->queue_select = value;
        break;
    case REG_QUEUE_READY:
        write_queue_ready(mmio, value);
        break;
    case REG_QUEUE_NOTIFY: /* usually an ioeventfd takes it before it comes here */
        mmio->device->kicks++;
        virtio_kick(mmio->device, value);
        break;
    case REG_STATUS:
        write_status(mmio, value);
        break;
    case REG_QUEUE_NUM:
    case REG_QUEUE_DESC_LOW:
    case REG_QUEUE_DESC_HIGH:
    case REG_QUEUE_AVAIL_LOW:
    case REG_QUEUE_AVAIL_HIGH:
    case REG_QUEUE_USED_LOW:
    case REG_QUEUE_USED_HIGH:
        write_layout(mmio, offset, value);
        break;
    default:
        break;
    }
}

/* ---- the bus ------------------------------------------------------------------------------ */

static bool is_in_config(const struct virtio_device *device, uint64_t offset, unsigned size)
{
    uint64_t config_size = device->ops->config_size;
    return offset >= REG_CONFIG && size <= config_size && offset - REG_CONFIG <= config_size - size;
}

static void mmio_read(void *ctx, uint64_t offset, unsigned size, uint64_t *value)
{
    struct virtio_mmio *mmio = ctx;
    struct virtio_device *device = mmio->device;
    bool is_register = offset < REG_CONFIG && size == 4 && offset % 4 == 0;
    *value = 0;
    /* Read in every interrupt: not made to wait for the loop. */
    if (is_register && offset == REG_INTERRUPT_STATUS) {
        *value = atomic_load(&device->interrupt_status);
        return;
    }
    loop_lock(device->context.loop);
    if (is_register)
        *value = read_register(mmio, offset);
    else if (is_in_config(device, offset, size))
        device->ops->config_read(device, (uint32_t)(offset - REG_CONFIG), value, size);
    loop_unlock(device->context.loop);
}

static void mmio_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio_mmio *mmio = ctx;
    struct virtio_device *device = mmio->device;
    bool is_register = offset < REG_CONFIG && size == 4 && offset % 4 == 0;
    if (is_register && offset == REG_INTERRUPT_ACK) {
        atomic_fetch_and(&device->interrupt_status, ~(unsigned)value);
        return;
    }
    loop_lock(device->context.loop);
    if (is_register)
        write_register(mmio, offset, (uint32_t)value);
    else if (is_in_config(device, offset, size) && device->ops->config_write)
        device->ops->config_write(device, (uint32_t)(offset - REG_CONFIG), &value, size);
    loop_unlock(device->context.loop);
}

const struct bus_ops virtio_mmio_bus_ops = {
    .name = "virtio-mmio",
    .read = mmio_read,
    .write = mmio_write,
};

/* ---- state -------------------------------------------------------------------------------- */

void virtio_mmio_save(const struct virtio_mmio *mmio, struct virtio_state *state)
{
    const struct virtio_device *device = mmio->device;
    *state = (struct virtio_state){
        .accepted = device->accepted,
        .driver_features = mmio->driver_features,
        .status = device->status,
        .interrupt_status = atomic_load(&device->interrupt_status),
        .generation = device->generation,
        .device_features_select = mmio->device_features_select,
        .driver_features_select = mmio->driver_features_select,
        .queue_select = mmio->queue_select,
        .queue_count = device->queue_count,
    };
    for (unsigned i = 0; i < device->queue_count; i++) {
        virtq_save(&device->queues[i], &state->queues[i]);
        /* What was written for a queue that is not on yet. */
        if (!device->queues[i].ready) {
            state->queues[i].size = mmio->layouts[i].size;
            state->queues[i].desc = mmio->layouts[i].desc;
            state->queues[i].avail = mmio->layouts[i].avail;
            state->queues[i].used = mmio->layouts[i].used;
        }
    }
}

static const char *problem(const struct virtio_device *device, const struct virtio_state *state)
{
    const uint32_t interrupts = VIRTIO_INTERRUPT_QUEUE | VIRTIO_INTERRUPT_CONFIG;
    bool has_features = state->status & VIRTIO_STATUS_FEATURES_OK;
    if (state->queue_count != device->queue_count || state->reserved != 0)
        return "number of queues";
    if ((state->status & ~(DRIVER_BITS | VIRTIO_STATUS_NEEDS_RESET)) || !is_in_order(state->status))
        return "status";
    /* Nothing interrupts a driver that is not ready, and only a reset makes it that again. */
    bool is_ready = state->status & VIRTIO_STATUS_DRIVER_OK;
    if (state->interrupt_status & (is_ready ? ~interrupts : UINT32_MAX))
        return "interrupt status";
    if (has_features ? !features_are_good(device, state->accepted) : state->accepted != 0)
        return "features";
    for (unsigned i = 0; i < state->queue_count; i++)
        if (state->queues[i].ready && !has_features)
            return "queue that is on before the features are";
    return NULL;
}

/* All of them or none. */
static int load_queues(struct virtio_device *device, const struct virtio_state *state)
{
    int rc = 0;
    for (unsigned i = 0; i < device->queue_count && rc == 0; i++)
        rc = virtq_load(&device->queues[i], &state->queues[i], state->accepted);
    for (unsigned i = 0; i < device->queue_count && rc < 0; i++)
        virtq_reset(&device->queues[i]);
    return rc;
}

static int refuse(const struct virtio_mmio *mmio, const char *what, struct thaw_error *err)
{
    return thaw_fail(err, EINVAL, "%s: state: %s", mmio->device->ops->name, what);
}

int virtio_mmio_load(struct virtio_mmio *mmio, const struct virtio_state *state,
                     struct thaw_error *err)
{
    struct virtio_device *device = mmio->device;
    const char *what = problem(device, state);
    if (what)
        return refuse(mmio, what, err);
    if (load_queues(device, state) < 0)
        return refuse(mmio, "queue", err);
    for (unsigned i = 0; i < device->queue_count; i++)
        mmio->layouts[i] = (struct virtq_layout){.size = state->queues[i].size,
                                                 .desc = state->queues[i].desc,
                                                 .avail = state->queues[i].avail,
                                                 .used = state->queues[i].used};
    device->accepted = state->accepted;
    device->status = state->status;
    device->generation = state->generation;
    atomic_store(&device->interrupt_status, state->interrupt_status);
    if (state->status & VIRTIO_STATUS_NEEDS_RESET)
        virtio_break_queues(device);
    mmio->driver_features = state->driver_features;
    mmio->device_features_select = state->device_features_select;
    mmio->driver_features_select = state->driver_features_select;
    mmio->queue_select = state->queue_select;
    return 0;
}
