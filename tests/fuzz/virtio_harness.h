/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device under fuzzing: guest memory, the loop served in the same thread, the registers,
 * and an input that is read as a program for the driver and the host at once. Everything is made
 * anew for each input.
 *
 * What is checked for every device, beside what the sanitizers see:
 * - a chain is pushed once, while its queue is on, and no more is written than it has room for;
 * - in_flight is what was popped and not pushed; a device that says it is quiet has nothing in
 *   flight, and so has one that was stopped or reset;
 * - nothing is taken before DRIVER_OK, while stopped, or once the device needs a reset;
 * - no interrupt before DRIVER_OK;
 * - after a reset every queue is off and no bit of status or interrupt is left;
 * - what was saved loads, and saves to the same; a state that is refused changes nothing; one that
 *   is accepted can be saved and loaded again;
 * - no descriptor is left open.
 * The queue's functions are wrapped by the linker (--wrap) for the first of these.
 */
#ifndef THAW_TESTS_VIRTIO_HARNESS_H
#define THAW_TESTS_VIRTIO_HARNESS_H

#include "devices/virtio/mmio.h"
#include "tests/fuzz/fuzz.h"

#define FUZZ_MEMORY_SIZE (1ull << 20)
#define FUZZ_STATE_MAX   1024u

struct fuzz_rig;

/* A device and its host's side. */
struct fuzz_target {
    /* It may leave one of its threads behind, with a descriptor, when the machine is so busy that
     * the thread does not come to its end in time. */
    bool has_threads;

    /* Makes the host's side, or makes it anew, and a device at it. */
    int (*create)(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err);

    /* A request that a driver might send, or almost: with fuzz_send(). NULL: none. */
    void (*request)(struct fuzz_rig *rig, struct fuzz_input *in);

    /* Something happens on the host's side. NULL: nothing ever does. */
    void (*host)(struct fuzz_rig *rig, struct fuzz_input *in);

    /* After every operation: what must hold for this device. NULL: nothing of its own. */
    void (*check)(struct fuzz_rig *rig);

    /* Makes in a saved state of the device the changes that loading makes. NULL: none. */
    void (*loading_changes)(struct fuzz_rig *rig, void *state);

    /* Frees the host's side; the device is gone. NULL: there is none. */
    void (*close)(struct fuzz_rig *rig);
};

struct fuzz_queue {
    uint64_t desc, avail, used; /* guest physical: where fuzz_rig lays it out */
    uint16_t size;
    uint16_t next_desc, avail_index;
    unsigned in_flight;                /* popped and not pushed */
    uint64_t written;                  /* bytes, by the device */
    uint32_t writable[VIRTQ_SIZE_MAX]; /* of a chain in flight, by its head */
};

struct fuzz_rig {
    struct guest_memory memory; /* first: a queue leads from here to the rig */
    struct loop *loop;
    struct virtio_context context;
    struct virtio_mmio mmio;
    const struct fuzz_target *target;
    void *host; /* the target's own */
    struct fuzz_queue queues[VIRTIO_QUEUES_MAX];
    uint64_t next_alloc;
    uint64_t readable; /* bytes of the readable parts of all chains that were taken */
    uint64_t seen;     /* the same with those that were put back */
};

/* Runs one input. */
void fuzz_virtio(const struct fuzz_target *target, void *host, const uint8_t *data, size_t size);

/*
 * Runs one input as a restore of a hostile snapshot: guest memory as the input has it, then a state
 * for a new device, which is a running one's with other bytes in it, or nothing but bytes of the
 * input. One that is accepted wakes up as after a restore, is kicked at every queue, and gets some
 * turns; then it is saved, and a fresh device must accept that and save the same.
 */
void fuzz_virtio_state(const struct fuzz_target *target, void *host, const uint8_t *data,
                       size_t size);

/* ---- for fuzz_target.request -------------------------------------------------------------- */

struct fuzz_buffer {
    uint64_t address;
    uint32_t length;
    bool writable;
};

/* Guest memory for a buffer; what was given out long ago is given out again. At most 64 KiB. */
uint64_t fuzz_alloc(struct fuzz_rig *rig, uint32_t size);

/* A buffer with these bytes, and one for the device to write to. */
struct fuzz_buffer fuzz_readable(struct fuzz_rig *rig, const void *bytes, uint32_t size);
struct fuzz_buffer fuzz_writable(struct fuzz_rig *rig, uint32_t size);

/* Links the buffers into a chain and offers it. */
void fuzz_send(struct fuzz_rig *rig, unsigned queue, const struct fuzz_buffer *buffers,
               unsigned count);

void fuzz_kick(struct fuzz_rig *rig, unsigned queue);

#endif
