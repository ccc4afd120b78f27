/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/slot.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static void raise_interrupt(void *ctx)
{
    const struct virtio_slot *slot = ctx;
    eventfd_write(slot->irq_fd, 1);
}

static void handle_kick(void *ctx, uint32_t events)
{
    struct virtio_slot *slot = ctx;
    eventfd_t count = 0;
    (void)events;
    eventfd_read(slot->kick_fd, &count);
    slot->mmio.device->kicks += count;
    virtio_kick_all(slot->mmio.device);
}

static int connect_eventfds(struct virtio_slot *slot, struct vm *vm, struct thaw_error *err)
{
    slot->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    slot->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (slot->kick_fd < 0 || slot->irq_fd < 0)
        return thaw_fail(err, errno, "eventfd");
    int rc = vm_ioeventfd(vm, slot->gpa + VIRTIO_MMIO_QUEUE_NOTIFY, slot->kick_fd, err);
    if (rc == 0)
        rc = vm_irqfd(vm, slot->irq, slot->irq_fd, err);
    if (rc == 0)
        rc = loop_add(slot->mmio.device->context.loop, slot->kick_fd, EPOLLIN, handle_kick, slot,
                      &slot->kicks, err);
    return rc;
}

int virtio_slot_init(struct virtio_slot *slot, struct vm *vm, unsigned index,
                     struct virtio_device *device, struct thaw_error *err)
{
    const char *name = device->ops->name;
    *slot = (struct virtio_slot){.kick_fd = -1, .irq_fd = -1};
    virtio_mmio_init(&slot->mmio, device);
    device->interrupt = raise_interrupt;
    device->interrupt_ctx = slot;
    arch_virtio_place(index, &slot->gpa, &slot->irq);

    int rc = connect_eventfds(slot, vm, err);
    if (rc == 0)
        rc =
            bus_add(&vm->mmio, slot->gpa, VIRTIO_MMIO_SIZE, &virtio_mmio_bus_ops, &slot->mmio, err);
    if (rc < 0)
        virtio_slot_destroy(slot);
    return rc < 0 ? thaw_context(err, "%s", name) : 0;
}

void virtio_slot_destroy(struct virtio_slot *slot)
{
    loop_remove(slot->kicks);
    slot->kicks = NULL;
    if (slot->kick_fd >= 0)
        close(slot->kick_fd);
    if (slot->irq_fd >= 0)
        close(slot->irq_fd);
    slot->kick_fd = slot->irq_fd = -1;
    virtio_destroy(slot->mmio.device);
    slot->mmio.device = NULL;
}

int virtio_slot_describe(const struct virtio_slot *slot, char *cmdline, size_t size,
                         struct thaw_error *err)
{
    size_t used = strlen(cmdline);
    int n = snprintf(cmdline + used, size - used, "virtio_mmio.device=4K@0x%" PRIx64 ":%u ",
                     slot->gpa, slot->irq);
    if (n < 0 || (size_t)n >= size - used)
        return thaw_fail_as(err, THAW_FAIL_USAGE, E2BIG,
                            "kernel command line: no room for the description of %s",
                            slot->mmio.device->ops->name);
    return 0;
}
