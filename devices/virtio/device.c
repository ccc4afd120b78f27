/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/device.h"

void virtio_device_init(struct virtio_device *device, const struct virtio_ops *ops,
                        const struct virtio_context *context, uint64_t features,
                        unsigned queue_count, uint16_t queue_size)
{
    device->ops = ops;
    device->context = *context;
    device->offered = features | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
    device->queue_count = queue_count;
    for (unsigned i = 0; i < queue_count; i++)
        virtq_init(&device->queues[i], context->memory, queue_size);
}

/* Of the queues of a device whose driver broke a rule in another place. */
static const char broken_elsewhere[] = "the device needs a reset";

static void interrupt(struct virtio_device *device, unsigned why)
{
    atomic_fetch_or(&device->interrupt_status, why);
    device->interrupts++;
    if (device->interrupt)
        device->interrupt(device->interrupt_ctx);
}

void virtio_notify_driver(struct virtio_device *device, unsigned queue)
{
    if (virtq_interrupt_due(&device->queues[queue]))
        interrupt(device, VIRTIO_INTERRUPT_QUEUE);
}

void virtio_config_changed(struct virtio_device *device)
{
    device->generation++;
    if (device->status & VIRTIO_STATUS_DRIVER_OK)
        interrupt(device, VIRTIO_INTERRUPT_CONFIG);
}

void virtio_break_queues(struct virtio_device *device)
{
    for (unsigned i = 0; i < device->queue_count; i++)
        virtq_break(&device->queues[i], broken_elsewhere);
}

const char *virtio_complaint(const struct virtio_device *device)
{
    if (!(device->status & VIRTIO_STATUS_NEEDS_RESET))
        return NULL;
    for (unsigned i = 0; i < device->queue_count; i++) {
        const struct virtq *q = &device->queues[i];
        if (q->broken && q->why != broken_elsewhere)
            return q->why;
    }
    return "request that the device does not know how to read";
}

void virtio_fail(struct virtio_device *device)
{
    if (device->status & VIRTIO_STATUS_NEEDS_RESET)
        return;
    device->status |= VIRTIO_STATUS_NEEDS_RESET;
    virtio_break_queues(device);
    if (device->status & VIRTIO_STATUS_DRIVER_OK)
        interrupt(device, VIRTIO_INTERRUPT_CONFIG);
}

bool virtio_is_active(const struct virtio_device *device)
{
    const uint32_t bad = VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED;
    return (device->status & VIRTIO_STATUS_DRIVER_OK) && !(device->status & bad);
}

void virtio_kick(struct virtio_device *device, unsigned queue)
{
    if (device->stopped || !virtio_is_active(device) || queue >= device->queue_count)
        return;
    if (!device->queues[queue].ready || device->queues[queue].broken)
        return;
    device->ops->notify(device, queue);
}

void virtio_kick_all(struct virtio_device *device)
{
    for (unsigned i = 0; i < device->queue_count; i++)
        virtio_kick(device, i);
}

void virtio_stop(struct virtio_device *device)
{
    if (device->stopped)
        return;
    if (device->ops->stop)
        device->ops->stop(device);
    device->stopped = true;
}

void virtio_resume(struct virtio_device *device)
{
    if (!device->stopped)
        return;
    device->stopped = false;
    if (device->ops->resume)
        device->ops->resume(device);
    virtio_kick_all(device);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x100000001b3ull; /* FNV-1a, by words */
}

uint64_t virtio_asked(const struct virtio_device *device)
{
    uint64_t hash = mix(0, device->status);
    for (unsigned i = 0; i < device->queue_count; i++) {
        const struct virtq *q = &device->queues[i];
        hash = mix(mix(mix(hash, q->ready), q->layout.avail), virtq_added(q));
    }
    return hash;
}

bool virtio_is_quiet(const struct virtio_device *device)
{
    for (unsigned i = 0; i < device->queue_count; i++)
        if (device->queues[i].in_flight > 0)
            return false;
    return true;
}

void virtio_reset(struct virtio_device *device)
{
    device->ops->reset(device);
    for (unsigned i = 0; i < device->queue_count; i++)
        virtq_reset(&device->queues[i]);
    device->accepted = 0;
    device->status = 0;
    atomic_store(&device->interrupt_status, 0);
}

void virtio_destroy(struct virtio_device *device)
{
    if (!device)
        return;
    virtio_reset(device);
    device->ops->destroy(device);
}
