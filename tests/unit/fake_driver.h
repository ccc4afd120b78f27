/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio driver for tests: guest memory, rings and registers as a Linux guest would lay them
 * out, but able to break every rule. It drives a device through the mmio registers alone.
 *
 * Guest memory, 4 MiB: queue n has its rings at 64 KiB * (n + 1); buffers come from
 * fake_driver_alloc(), above 1 MiB.
 */
#ifndef THAW_TESTS_FAKE_DRIVER_H
#define THAW_TESTS_FAKE_DRIVER_H

#include "devices/virtio/mmio.h"

#define FAKE_MEMORY_SIZE (4ull << 20)
#define FAKE_QUEUE_SIZE  16u
#define FAKE_OUTSIDE     0xf0000000ull /* never RAM */

enum { FAKE_NEXT = 1, FAKE_WRITE = 2, FAKE_INDIRECT = 4 };

/* Register offsets that tests use by name. */
enum {
    FAKE_REG_DEVICE_FEATURES = 0x010,
    FAKE_REG_DEVICE_FEATURES_SEL = 0x014,
    FAKE_REG_DRIVER_FEATURES = 0x020,
    FAKE_REG_DRIVER_FEATURES_SEL = 0x024,
    FAKE_REG_QUEUE_SEL = 0x030,
    FAKE_REG_QUEUE_NUM_MAX = 0x034,
    FAKE_REG_QUEUE_NUM = 0x038,
    FAKE_REG_QUEUE_READY = 0x044,
    FAKE_REG_QUEUE_NOTIFY = 0x050,
    FAKE_REG_INTERRUPT_STATUS = 0x060,
    FAKE_REG_INTERRUPT_ACK = 0x064,
    FAKE_REG_STATUS = 0x070,
    FAKE_REG_QUEUE_DESC = 0x080,
    FAKE_REG_QUEUE_AVAIL = 0x090,
    FAKE_REG_QUEUE_USED = 0x0a0,
    FAKE_REG_CONFIG = 0x100,
};

struct fake_queue {
    uint64_t desc, avail, used; /* guest physical */
    uint16_t size;
    uint16_t next_desc; /* the next free descriptor, wrapping */
    uint16_t avail_index, used_index;
};

struct fake_driver {
    struct guest_memory memory;
    struct loop *loop;
    struct virtio_context context; /* for creating the device */
    struct virtio_mmio mmio;
    struct fake_queue queues[VIRTIO_QUEUES_MAX];
    uint64_t next_alloc;
    unsigned interrupts; /* how many times the line was raised */
};

/* Memory and loop. The loop's thread is not started: fake_driver_run_loop() serves it. */
void fake_driver_init(struct fake_driver *driver);

/* Destroys the device too, if one was attached. */
void fake_driver_destroy(struct fake_driver *driver);

/* Takes over the device (it belongs to the driver from now on). Nothing is negotiated. */
void fake_driver_attach(struct fake_driver *driver, struct virtio_device *device);

/* The whole initialisation sequence of 3.1.1, accepting `features` (of those offered) and
 * VERSION_1, with every queue on at FAKE_QUEUE_SIZE. Asserts that the device agrees. */
void fake_driver_start(struct fake_driver *driver, uint64_t features);

/* Up to and with FEATURES_OK; the layout of every queue is written, none is on. */
void fake_driver_prepare(struct fake_driver *driver, uint64_t features);

uint32_t fake_driver_read(struct fake_driver *driver, uint64_t reg);
void fake_driver_write(struct fake_driver *driver, uint64_t reg, uint32_t value);
uint64_t fake_driver_read_config(struct fake_driver *driver, uint64_t offset, unsigned size);
void fake_driver_write_config(struct fake_driver *driver, uint64_t offset, unsigned size,
                              uint64_t value);

/* Fresh guest memory, 16-byte aligned; its host address by fake_driver_at(). */
uint64_t fake_driver_alloc(struct fake_driver *driver, size_t size);
void *fake_driver_at(struct fake_driver *driver, uint64_t gpa, size_t size);

/* Writes one descriptor as it is. */
void fake_driver_set_desc(struct fake_driver *driver, unsigned queue, uint16_t index,
                          uint64_t address, uint32_t length, uint16_t flags, uint16_t next);

/* Puts a head into the available ring and raises its index. No notification. */
void fake_driver_offer(struct fake_driver *driver, unsigned queue, uint16_t head);

/* A part of a request. */
struct fake_buffer {
    uint64_t address;
    uint32_t length;
    bool writable;
};

/* Links the buffers into a chain and offers it; returns its head. */
uint16_t fake_driver_send(struct fake_driver *driver, unsigned queue,
                          const struct fake_buffer *buffers, unsigned count);

/* Writes QueueNotify. */
void fake_driver_kick(struct fake_driver *driver, unsigned queue);

/* The next used element, if there is one. */
bool fake_driver_used(struct fake_driver *driver, unsigned queue, uint32_t *head, uint32_t *length);

/* Serves the loop in the caller's thread until nothing has been due for `quiet_ms`. */
void fake_driver_run_loop(struct fake_driver *driver, unsigned quiet_ms);

#endif
