/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device in its place in a VM: its register window on the bus, its notifications by
 * ioeventfd, its interrupt by irqfd, so that a vCPU's thread does no device work. The eventfds are
 * one per device, not one per queue: a look at a queue in vain costs less than a descriptor.
 */
#ifndef THAW_DEVICES_VIRTIO_SLOT_H
#define THAW_DEVICES_VIRTIO_SLOT_H

#include "devices/virtio/mmio.h"
#include "vmm/core/vm.h"

struct virtio_slot {
    struct virtio_mmio mmio; /* owns the device */
    uint64_t gpa;            /* of the window */
    uint32_t irq;
    int kick_fd, irq_fd; /* eventfds */
    struct loop_source *kicks;
};

/* Puts `device` into place number `index` (below ARCH_VIRTIO_MAX). Takes the device over, also on
 * failure. `slot` must not move until virtio_slot_destroy(). */
int virtio_slot_init(struct virtio_slot *slot, struct vm *vm, unsigned index,
                     struct virtio_device *device, struct thaw_error *err);

/* Frees the device. The vCPUs and the loop must have stopped. */
void virtio_slot_destroy(struct virtio_slot *slot);

/* Appends how Linux is told of the device, "virtio_mmio.device=4K@0x...:irq ", to a command line
 * of at most `size` bytes with its NUL (kernel-parameters.txt). -E2BIG when there is no room. */
int virtio_slot_describe(const struct virtio_slot *slot, char *cmdline, size_t size,
                         struct thaw_error *err);

#endif
