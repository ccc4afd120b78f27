/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk (virtio 1.2, 5.2): a raw image or block device of the host as a disk of the guest,
 * with flush, discard and write-zeroes. One queue; as many requests in flight as it has entries.
 *
 * Reads and writes go through the host's page cache: an image that many guests read is in memory
 * once, and what a guest has not flushed is lost with the host's power, as it says (F_FLUSH). For a
 * driver that does not accept F_FLUSH every write reaches the storage before it completes.
 *
 * With an overlay the file is only read: what the guest writes goes to a file without a name and is
 * gone at its end. A flush does nothing there: nobody could read that file after a failure. What is
 * discarded reads as zeros. No room left for it is an I/O error to the guest.
 *
 * Left out: several queues, a switchable write cache, secure erase, lifetime, zones.
 */
#ifndef THAW_DEVICES_VIRTIO_BLK_H
#define THAW_DEVICES_VIRTIO_BLK_H

#include "devices/virtio/device.h"
#include "devices/virtio/overlay.h"

#define BLK_SERIAL_MAX 20u

struct blk_config {
    const char *path;   /* a regular file or block device, a multiple of 512 bytes long */
    const char *serial; /* at most BLK_SERIAL_MAX bytes; NULL: none */
    bool read_only;
    bool overlay; /* not together with read_only: the guest can write, the file stays as it is */

    /* For disks from a snapshot, with `overlay`. */
    const struct overlay_layer *layer; /* what the guest has written already; NULL: nothing */
    bool is_copy; /* the file is a snapshot's copy of a disk that was writable */
};

/* Opens and locks the file; the lock is held until the device is destroyed (exclusive for a disk
 * whose file is written to, else shared). `config` need not outlive the call. What is wrong with
 * the file or with io_uring is THAW_FAIL_IO, "--disk PATH: why". */
int blk_create(const struct blk_config *config, const struct virtio_context *context,
               struct virtio_device **out, struct thaw_error *err);

/* The file, for reading; the device keeps it. */
int blk_descriptor(const struct virtio_device *device);

uint64_t blk_sectors(const struct virtio_device *device);

/* NULL: the disk has none. Valid as long as the device; look at it only while that is stopped. */
const struct overlay *blk_overlay(const struct virtio_device *device);

/* The device's part of a snapshot (what the guest has written is none: snapshot/disks.h). A disk of
 * another capacity, or writable where the saved one was not (or the other way round), is refused.
 * The serial is the saved one: the guest knows it. */
struct blk_state {
    uint64_t capacity; /* in sectors of 512 bytes */
    char serial[BLK_SERIAL_MAX];
    uint32_t read_only; /* 0 or 1 */
};

#endif
