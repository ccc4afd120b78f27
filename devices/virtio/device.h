/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every virtio device has: status, features, queues, interrupt (virtio 1.2, 2 and 3). The
 * transport (mmio.h) drives it on the guest's behalf, a device fills in struct virtio_ops.
 *
 * A device embeds a struct virtio_device as its first member and hands out a pointer to it:
 *
 *     struct rng { struct virtio_device base; ... };
 *     int rng_create(const struct rng_config *, const struct virtio_context *,
 *                    struct virtio_device **out, struct thaw_error *err);
 *
 * Threads: every function and every operation is called with the loop's lock held (or before the
 * loop runs): registers on a vCPU's thread, everything else on the loop's. Nothing may block,
 * but reset and stop, which wait for requests in flight.
 */
#ifndef THAW_DEVICES_VIRTIO_DEVICE_H
#define THAW_DEVICES_VIRTIO_DEVICE_H

#include "devices/virtio/queue.h"
#include "vmm/core/loop.h"

#include <stdatomic.h>

#define VIRTIO_QUEUES_MAX  8u
#define VIRTIO_F_VERSION_1 (1ull << 32)

/* Device status bits (2.1). */
#define VIRTIO_STATUS_ACKNOWLEDGE 1u
#define VIRTIO_STATUS_DRIVER      2u
#define VIRTIO_STATUS_DRIVER_OK   4u
#define VIRTIO_STATUS_FEATURES_OK 8u
#define VIRTIO_STATUS_NEEDS_RESET 64u
#define VIRTIO_STATUS_FAILED      128u

/* Interrupt status bits (4.2.2). */
#define VIRTIO_INTERRUPT_QUEUE  1u
#define VIRTIO_INTERRUPT_CONFIG 2u

struct virtio_device;

struct virtio_ops {
    const char *name; /* "virtio-blk" */
    uint32_t id;      /* 5: device types */

    /* The driver is ready (DRIVER_OK); the queues it wants are enabled. NULL: nothing to do. */
    void (*activate)(struct virtio_device *device);

    /* Back to the state after creation. Returns once nothing of the device touches guest memory
     * any more; the queues are reset by the caller afterwards. */
    void (*reset)(struct virtio_device *device);

    /* The driver has put something into a queue. Never called before DRIVER_OK, nor for a queue
     * that is off or broken, nor while stopped. */
    void (*notify)(struct virtio_device *device, unsigned queue);

    /* The device's configuration space: `offset + size` is within config_size, `size` is 1, 2 or
     * 4 (or 8). NULL for a write: it is dropped. */
    void (*config_read)(struct virtio_device *device, uint32_t offset, void *to, uint32_t size);
    void (*config_write)(struct virtio_device *device, uint32_t offset, const void *from,
                         uint32_t size);
    uint32_t config_size; /* bytes; 0: none, and config_read may be NULL */

    /* stop: takes nothing new and waits for what is in flight, so that virtio_is_quiet() holds
     * after it. resume: goes on with its host descriptors, as if each were ready; the queues are
     * looked at by the caller afterwards. Both are idempotent. NULL: nothing to do. */
    void (*stop)(struct virtio_device *device);
    void (*resume)(struct virtio_device *device);

    /* The device's own part of a snapshot: plain data of `state_size` bytes without padding.
     * save: only while stopped. load: on a new, stopped device of the same configuration; `state`
     * may come from a hostile file and passes the checks that guest writes pass. -EINVAL and the
     * device as it was, when it does not. state_size 0: none, both may be NULL. */
    uint32_t state_size;
    void (*save)(struct virtio_device *device, void *state);
    int (*load)(struct virtio_device *device, const void *state, struct thaw_error *err);

    /* Frees the device, its backend and its loop sources. The transport has called reset. */
    void (*destroy)(struct virtio_device *device);
};

/* What a device is created in. Both outlive it. */
struct virtio_context {
    const struct guest_memory *memory;
    struct loop *loop;
};

struct virtio_device {
    const struct virtio_ops *ops;
    struct virtio_context context;
    uint64_t offered; /* features; VERSION_1, INDIRECT_DESC and EVENT_IDX are added by init */
    unsigned queue_count;
    struct virtq queues[VIRTIO_QUEUES_MAX];

    /* What the driver did, kept by the transport. */
    uint64_t accepted;
    uint32_t status;
    atomic_uint interrupt_status; /* the one register that is used without the lock */
    uint32_t generation;          /* of the configuration space */
    bool stopped;                 /* by virtio_stop(): see ops->stop */

    /* How an interrupt reaches the guest; set by whoever wires the device up. */
    void (*interrupt)(void *ctx);
    void *interrupt_ctx;

    uint64_t kicks, interrupts; /* notifications from the driver, interrupts to it */
};

/* Fills the base of a zeroed device. `queue_size`: of every queue, a power of two. */
void virtio_device_init(struct virtio_device *device, const struct virtio_ops *ops,
                        const struct virtio_context *context, uint64_t features,
                        unsigned queue_count, uint16_t queue_size);

/* After one or several pushes to queue number `queue`: interrupts the driver if it wants to know.
 */
void virtio_notify_driver(struct virtio_device *device, unsigned queue);

/* The configuration space has changed by the host's doing. */
void virtio_config_changed(struct virtio_device *device);

/* The driver broke a rule: the device takes nothing more from any queue and asks for a reset
 * (2.1.2). */
void virtio_fail(struct virtio_device *device);

/* Whether the driver is there and has broken nothing. */
bool virtio_is_active(const struct virtio_device *device);

/* The driver accepted this feature. */
static inline bool virtio_has(const struct virtio_device *device, uint64_t feature)
{
    return device->accepted & feature;
}

/* Which rule the driver broke, for people, when the device needs a reset; else NULL. Static. */
const char *virtio_complaint(const struct virtio_device *device);

/* ---- for the machine ---------------------------------------------------------------------- */

/* A notification, from the transport: of one queue, or of some queue that is not known. */
void virtio_kick(struct virtio_device *device, unsigned queue);
void virtio_kick_all(struct virtio_device *device);

/* ops->stop and ops->resume, with the state kept here. resume looks at every queue again. */
void virtio_stop(struct virtio_device *device);
void virtio_resume(struct virtio_device *device);

/* A number that is another one when the driver has done anything to the device but reading: its
 * status, its queues, what is in them. */
uint64_t virtio_asked(const struct virtio_device *device);

/* Whether nothing is in flight: every chain popped was pushed. No request to the host is pending
 * then, for such a request has a chain. */
bool virtio_is_quiet(const struct virtio_device *device);

/* Nothing more is taken from any queue: the device needs a reset. */
void virtio_break_queues(struct virtio_device *device);

/* ops->reset, then everything back to the beginning. */
void virtio_reset(struct virtio_device *device);

/* Resets and frees. NULL is allowed. */
void virtio_destroy(struct virtio_device *device);

#endif
