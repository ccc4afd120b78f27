/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over MMIO, version 2 (virtio 1.2, 4.2): the registers. The device status state machine is
 * enforced here: bits are only ever added, in their order; features freeze with FEATURES_OK,
 * queue registers once their queue is ready or the driver is; anything else that a driver should
 * not do is without effect. Writing 0 resets, whatever is in flight.
 */
#ifndef THAW_DEVICES_VIRTIO_MMIO_H
#define THAW_DEVICES_VIRTIO_MMIO_H

#include "devices/virtio/device.h"
#include "vmm/core/bus.h"

#define VIRTIO_MMIO_SIZE         0x1000ull
#define VIRTIO_MMIO_QUEUE_NOTIFY 0x50ull /* offset of the one register that may be an ioeventfd */

/* One window of registers. Owns its device. */
struct virtio_mmio {
    struct virtio_device *device;
    uint32_t device_features_select, driver_features_select, queue_select;
    uint64_t driver_features;                       /* as written so far */
    struct virtq_layout layouts[VIRTIO_QUEUES_MAX]; /* as written so far */
};

/* For bus_add() with a struct virtio_mmio and VIRTIO_MMIO_SIZE. Takes the loop's lock. */
extern const struct bus_ops virtio_mmio_bus_ops;

void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *device);

/* A device as the driver left it: plain data without padding. */
struct virtio_state {
    uint64_t accepted, driver_features;
    uint32_t status, interrupt_status, generation;
    uint32_t device_features_select, driver_features_select, queue_select;
    uint32_t queue_count, reserved;
    struct virtq_state queues[VIRTIO_QUEUES_MAX];
};

/* The device must be stopped. Its own part (ops->save) is apart. */
void virtio_mmio_save(const struct virtio_mmio *mmio, struct virtio_state *state);

/* On a new, stopped device that offers what the saved one did. `state` may come from a hostile
 * file: whatever a driver could not have brought about is refused with -EINVAL, and the device
 * is as it was. Load this part first, then the device's own. */
int virtio_mmio_load(struct virtio_mmio *mmio, const struct virtio_state *state,
                     struct thaw_error *err);

#endif
