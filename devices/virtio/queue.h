/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The split virtqueue (virtio 1.2, 2.7), the device's side: the one place that checks what the
 * driver wrote into a ring. Every index, length, alignment and link is read once and checked once;
 * what fails a check breaks the queue, and the device asks for a reset. A device sees only iovecs
 * that lie in guest RAM.
 *
 * Not thread-safe: used under the loop's lock.
 */
#ifndef THAW_DEVICES_VIRTIO_QUEUE_H
#define THAW_DEVICES_VIRTIO_QUEUE_H

#include "vmm/base/memory.h"

#include <stdbool.h>
#include <sys/uio.h>

#define VIRTQ_SIZE_MAX 256u

/* Feature bits of the ring (virtio 1.2, 6). */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)

/* What a driver tells about a queue. Sizes in descriptors, addresses guest physical. */
struct virtq_layout {
    uint16_t size;              /* a power of two, 1 to the queue's size_max */
    uint64_t desc, avail, used; /* multiples of 16, 2 and 4 */
};

struct virtq {
    /* Set once by virtq_init(). */
    const struct guest_memory *memory;
    uint16_t size_max;

    /* Set by virtq_enable(). The pointers are valid as long as the memory. */
    bool ready;
    struct virtq_layout layout;
    bool event_idx, indirect;
    const struct virtq_desc *desc;
    uint16_t *avail, *used; /* headers: flags, index */

    uint16_t next_avail; /* the next entry of the available ring to look at */
    uint16_t next_used;  /* the used index as we last wrote it */
    uint16_t signalled;  /* the used index when we last decided about an interrupt */
    bool broken;         /* the driver broke a rule: nothing more is taken from it */
    const char *why;     /* broken: which rule, for people; static storage */
    uint64_t heads[VIRTQ_SIZE_MAX / 64]; /* of the chains popped and not yet pushed */
    uint16_t in_flight; /* how many; behind the array, or UBSan would take it for one without end */
};

/*
 * One request. First the device-readable buffers, then the device-writable ones: the order that
 * 2.7.4.2 requires of drivers. Empty descriptors are left out.
 */
struct virtq_chain {
    uint16_t head;
    uint16_t readable_count, writable_count;
    uint32_t readable, writable; /* bytes in all */
    struct iovec iov[VIRTQ_SIZE_MAX];
};

/* `size_max`: a power of two, at most VIRTQ_SIZE_MAX. */
void virtq_init(struct virtq *q, const struct guest_memory *memory, uint16_t size_max);

/* Checks the layout and maps the rings. `features`: what the driver accepted. -EINVAL for a bad
 * size or alignment, -EFAULT for a ring that is not in RAM; the queue stays off then. */
int virtq_enable(struct virtq *q, const struct virtq_layout *layout, uint64_t features);

/* Off, and all progress forgotten. Chains still in flight must not be pushed any more. */
void virtq_reset(struct virtq *q);

/* Takes the next chain. 1: `chain` is filled; 0: none there, or the queue is off or broken;
 * negative: the driver has just broken the queue (-ELOOP, -EINVAL, -EFAULT, -EBUSY), call
 * virtio_fail(). */
int virtq_pop(struct virtq *q, struct virtq_chain *chain);

/* Puts the chain popped last back, as if it had not been taken. Only right after virtq_pop(). */
void virtq_unpop(struct virtq *q, const struct virtq_chain *chain);

/* Breaks the queue, if it is on, as a wrong entry in it does: the device needs a reset for a reason
 * of its own. */
void virtq_break(struct virtq *q, const char *why);

/* Gives a chain back, `written` bytes of its writable part being filled from the start. Call
 * virtio_notify_driver() when a batch of pushes is done. A head that is not in flight is ignored.
 */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);

/* The index of the available ring: how many chains the driver has added in all, modulo 2^16. 0: the
 * queue is off. */
uint16_t virtq_added(const struct virtq *q);

/* Whether virtq_pop() would find a chain, or break the queue. */
bool virtq_has_work(const struct virtq *q);

/* Asks the driver to notify when it adds a chain (`wanted`), or says that it need not. It may
 * notify anyway. After asking, look at virtq_has_work() once more: a chain may have come between.
 * A queue starts with notifications wanted. */
void virtq_want_notifications(struct virtq *q, bool wanted);

/* Whether the pushes since the last call are to be told by an interrupt (2.7.7). */
bool virtq_interrupt_due(struct virtq *q);

/* What is kept of a queue in a snapshot: plain data without padding. */
struct virtq_state {
    uint64_t desc, avail, used;
    uint16_t size;
    uint16_t ready; /* 0 or 1 */
    uint16_t next_avail, next_used;
    uint16_t signalled;
    uint16_t broken; /* 0 or 1 */
    uint16_t reserved[2];
};

/* Nothing may be in flight. */
void virtq_save(const struct virtq *q, struct virtq_state *state);

/* Through virtq_enable(): the same checks as for a driver's own words. Negative errno: the queue is
 * off. */
int virtq_load(struct virtq *q, const struct virtq_state *state, uint64_t features);

/* Copies `len` bytes from the readable part at `offset`, or to the writable part. -EINVAL when
 * the part is shorter than offset + len; nothing is copied then. */
int virtq_chain_read(const struct virtq_chain *chain, uint64_t offset, void *to, uint64_t len);
int virtq_chain_write(const struct virtq_chain *chain, uint64_t offset, const void *from,
                      uint64_t len);

/* The parts themselves, without the first `offset` bytes and no longer than `len` bytes, for
 * readv and writev: fills `iov` (room for VIRTQ_SIZE_MAX) and returns the number of entries. What
 * lies behind the end of the part is left out. */
unsigned virtq_chain_readable(const struct virtq_chain *chain, uint64_t offset, uint64_t len,
                              struct iovec *iov);
unsigned virtq_chain_writable(const struct virtq_chain *chain, uint64_t offset, uint64_t len,
                              struct iovec *iov);

#endif
