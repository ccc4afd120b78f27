/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fake_driver.h"

#include <criterion/criterion.h>
#include <string.h>

#define RINGS_STEP  0x10000ull
#define FIRST_ALLOC 0x100000ull

static void count_interrupt(void *ctx)
{
    ((struct fake_driver *)ctx)->interrupts++;
}

void fake_driver_init(struct fake_driver *driver)
{
    struct thaw_error err = {0};
    const struct guest_region region = {.gpa = 0, .size = FAKE_MEMORY_SIZE};
    *driver = (struct fake_driver){.next_alloc = FIRST_ALLOC};
    cr_assert_eq(guest_memory_create(&driver->memory, &region, 1, &err), 0, "%s", err.message);
    cr_assert_eq(loop_create(&driver->loop, &err), 0, "%s", err.message);
    driver->context = (struct virtio_context){.memory = &driver->memory, .loop = driver->loop};
}

void fake_driver_destroy(struct fake_driver *driver)
{
    virtio_destroy(driver->mmio.device);
    loop_destroy(driver->loop);
    guest_memory_destroy(&driver->memory);
}

void fake_driver_attach(struct fake_driver *driver, struct virtio_device *device)
{
    virtio_mmio_init(&driver->mmio, device);
    device->interrupt = count_interrupt;
    device->interrupt_ctx = driver;
}

/* ---- registers ---------------------------------------------------------------------------- */

uint32_t fake_driver_read(struct fake_driver *driver, uint64_t reg)
{
    uint64_t value;
    virtio_mmio_bus_ops.read(&driver->mmio, reg, 4, &value);
    return (uint32_t)value;
}

void fake_driver_write(struct fake_driver *driver, uint64_t reg, uint32_t value)
{
    virtio_mmio_bus_ops.write(&driver->mmio, reg, 4, value);
}

uint64_t fake_driver_read_config(struct fake_driver *driver, uint64_t offset, unsigned size)
{
    uint64_t value;
    virtio_mmio_bus_ops.read(&driver->mmio, FAKE_REG_CONFIG + offset, size, &value);
    return value;
}

void fake_driver_write_config(struct fake_driver *driver, uint64_t offset, unsigned size,
                              uint64_t value)
{
    virtio_mmio_bus_ops.write(&driver->mmio, FAKE_REG_CONFIG + offset, size, value);
}

static void write_address(struct fake_driver *driver, uint64_t reg, uint64_t address)
{
    fake_driver_write(driver, reg, (uint32_t)address);
    fake_driver_write(driver, reg + 4, (uint32_t)(address >> 32));
}

static uint64_t offered_features(struct fake_driver *driver)
{
    uint64_t features = 0;
    for (uint32_t i = 0; i < 2; i++) {
        fake_driver_write(driver, FAKE_REG_DEVICE_FEATURES_SEL, i);
        features |= (uint64_t)fake_driver_read(driver, FAKE_REG_DEVICE_FEATURES) << (32 * i);
    }
    return features;
}

static void accept_features(struct fake_driver *driver, uint64_t features)
{
    for (uint32_t i = 0; i < 2; i++) {
        fake_driver_write(driver, FAKE_REG_DRIVER_FEATURES_SEL, i);
        fake_driver_write(driver, FAKE_REG_DRIVER_FEATURES, (uint32_t)(features >> (32 * i)));
    }
}

static void lay_out_queue(struct fake_driver *driver, unsigned index)
{
    struct fake_queue *q = &driver->queues[index];
    uint64_t base = RINGS_STEP * (index + 1);
    *q = (struct fake_queue){
        .desc = base, .avail = base + 0x2000, .used = base + 0x4000, .size = FAKE_QUEUE_SIZE};
    memset(fake_driver_at(driver, base, RINGS_STEP), 0, RINGS_STEP);
    fake_driver_write(driver, FAKE_REG_QUEUE_SEL, index);
    fake_driver_write(driver, FAKE_REG_QUEUE_NUM, q->size);
    write_address(driver, FAKE_REG_QUEUE_DESC, q->desc);
    write_address(driver, FAKE_REG_QUEUE_AVAIL, q->avail);
    write_address(driver, FAKE_REG_QUEUE_USED, q->used);
}

void fake_driver_prepare(struct fake_driver *driver, uint64_t features)
{
    uint32_t status = 0;
    fake_driver_write(driver, FAKE_REG_STATUS, status);
    fake_driver_write(driver, FAKE_REG_STATUS, status |= VIRTIO_STATUS_ACKNOWLEDGE);
    fake_driver_write(driver, FAKE_REG_STATUS, status |= VIRTIO_STATUS_DRIVER);
    accept_features(driver, (features & offered_features(driver)) | VIRTIO_F_VERSION_1);
    fake_driver_write(driver, FAKE_REG_STATUS, status |= VIRTIO_STATUS_FEATURES_OK);
    cr_assert_eq(fake_driver_read(driver, FAKE_REG_STATUS), status, "features were refused");
    for (unsigned i = 0; i < driver->mmio.device->queue_count; i++)
        lay_out_queue(driver, i);
}

void fake_driver_start(struct fake_driver *driver, uint64_t features)
{
    fake_driver_prepare(driver, features);
    for (unsigned i = 0; i < driver->mmio.device->queue_count; i++) {
        fake_driver_write(driver, FAKE_REG_QUEUE_SEL, i);
        fake_driver_write(driver, FAKE_REG_QUEUE_READY, 1);
        cr_assert_eq(fake_driver_read(driver, FAKE_REG_QUEUE_READY), 1, "queue %u stays off", i);
    }
    uint32_t status = fake_driver_read(driver, FAKE_REG_STATUS) | VIRTIO_STATUS_DRIVER_OK;
    fake_driver_write(driver, FAKE_REG_STATUS, status);
    cr_assert_eq(fake_driver_read(driver, FAKE_REG_STATUS), status);
}

void fake_driver_kick(struct fake_driver *driver, unsigned queue)
{
    fake_driver_write(driver, FAKE_REG_QUEUE_NOTIFY, queue);
}

/* ---- memory and rings --------------------------------------------------------------------- */

uint64_t fake_driver_alloc(struct fake_driver *driver, size_t size)
{
    uint64_t gpa = driver->next_alloc;
    driver->next_alloc += (size + 15) / 16 * 16;
    cr_assert_leq(driver->next_alloc, FAKE_MEMORY_SIZE, "the test's guest is out of memory");
    return gpa;
}

void *fake_driver_at(struct fake_driver *driver, uint64_t gpa, size_t size)
{
    void *host = guest_memory_at(&driver->memory, gpa, size);
    cr_assert_not_null(host);
    return host;
}

void fake_driver_set_desc(struct fake_driver *driver, unsigned queue, uint16_t index,
                          uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
    char *desc = fake_driver_at(driver, driver->queues[queue].desc + 16ull * index, 16);
    memcpy(desc, &address, 8);
    memcpy(desc + 8, &length, 4);
    memcpy(desc + 12, &flags, 2);
    memcpy(desc + 14, &next, 2);
}

void fake_driver_offer(struct fake_driver *driver, unsigned queue, uint16_t head)
{
    struct fake_queue *q = &driver->queues[queue];
    uint16_t *avail = fake_driver_at(driver, q->avail, 4 + 2ull * q->size);
    avail[2 + q->avail_index % q->size] = head;
    avail[1] = ++q->avail_index;
}

uint16_t fake_driver_send(struct fake_driver *driver, unsigned queue,
                          const struct fake_buffer *buffers, unsigned count)
{
    struct fake_queue *q = &driver->queues[queue];
    uint16_t head = q->next_desc;
    for (unsigned i = 0; i < count; i++) {
        uint16_t index = q->next_desc;
        q->next_desc = (uint16_t)((index + 1) % q->size);
        unsigned flags = (buffers[i].writable ? FAKE_WRITE : 0) | (i + 1 < count ? FAKE_NEXT : 0);
        fake_driver_set_desc(driver, queue, index, buffers[i].address, buffers[i].length,
                             (uint16_t)flags, q->next_desc);
    }
    fake_driver_offer(driver, queue, head);
    return head;
}

bool fake_driver_used(struct fake_driver *driver, unsigned queue, uint32_t *head, uint32_t *length)
{
    struct fake_queue *q = &driver->queues[queue];
    char *used = fake_driver_at(driver, q->used, 4 + 8ull * q->size);
    uint16_t index;
    memcpy(&index, used + 2, 2);
    if (index == q->used_index)
        return false;
    const char *entry = used + 4 + 8ull * (q->used_index++ % q->size);
    memcpy(head, entry, 4);
    memcpy(length, entry + 4, 4);
    return true;
}

void fake_driver_run_loop(struct fake_driver *driver, unsigned quiet_ms)
{
    while (loop_turn(driver->loop, (int)quiet_ms) > 0)
        ;
}
