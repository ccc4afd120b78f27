/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks across a snapshot: memory and disk always belong together.
 *
 *   ro        the image stays where it is; it is checked at restore
 *   overlay   the same for the base; `disk-N` holds what the guest had written, packed
 *   writable  `disk-N` is a whole raw image: a clone (FICLONE) or copy of the file as it was
 *
 * A restored guest never writes to a file of a snapshot: `overlay` and `writable` come back with an
 * overlay of their own, over the base and `disk-N`, or over `disk-N`. A snapshot of such a guest is
 * of the same kind again: what was written before and after is put together into one new `disk-N`.
 * So a directory never needs another one, and there are never more than two files below an overlay.
 *
 * An image is told by its fingerprint, which is cheap: XXH3-128 over its size, its first and last
 * 64 KiB, and for `verify` over 16 samples of 4 KiB in between. That finds another image, another
 * version, a file system that was mounted since. It is no proof against malice. Times are not
 * used: copies of one image have different ones.
 */
#ifndef THAW_SNAPSHOT_DISKS_H
#define THAW_SNAPSHOT_DISKS_H

#include "devices/virtio/blk.h"

#include <jansson.h>
#include <limits.h>

enum disk_kind { DISK_READ_ONLY, DISK_OVERLAY, DISK_WRITABLE };

struct disk_hash {
    uint64_t high, low; /* XXH3-128 */
};

struct disk_fingerprint {
    struct disk_hash ends;    /* size, head and tail: what a restore looks at */
    struct disk_hash samples; /* in between */
};

/* What the meta section keeps of a disk. */
struct disk_record {
    enum disk_kind kind;
    char path[PATH_MAX];                 /* absolute; of the file that the guest had */
    char serial[BLK_SERIAL_MAX + 1];     /* "": none */
    uint64_t size;                       /* of the disk, bytes */
    struct disk_fingerprint fingerprint; /* of the image: writable: of `disk-N` */
    uint64_t stored_size; /* of `disk-N` in bytes; 0: there is none (ro; nothing was written) */
    struct disk_hash stored_checksum;
};

/* How a disk is called on the command line (`restore --disk NAME=PATH`): its serial, else vda,
 * vdb... by its number, which is below 26. Returns a string in `record` or `buffer`. */
#define DISK_NAME_MAX (BLK_SERIAL_MAX + 1)
const char *disk_record_name(const struct disk_record *record, unsigned number,
                             char buffer[DISK_NAME_MAX]);

/* An object of its own, or NULL (a path that is not UTF-8). */
json_t *disk_record_to_json(const struct disk_record *record, struct thaw_error *err);

/* Checks everything; `json` may be anything, or NULL. THAW_FAIL_SNAPSHOT. */
int disk_record_from_json(struct disk_record *record, const json_t *json, struct thaw_error *err);

/*
 * Captures disk `number` of a stopped device (nothing in flight) into the directory `dir_fd`, where
 * `disk-N` must not exist, and fills `record`. `config` is what the device was made with. A
 * base must still be where it was opened. Reads all that
 * it stores, for its checksum. On failure what was created is removed again. THAW_FAIL_IO.
 */
int disk_capture(const struct virtio_device *blk, const struct blk_config *config, int dir_fd,
                 unsigned number, struct disk_record *record, struct thaw_error *err);

/*
 * Checks that all is there and fills the config of the restored disk. `relocated` (NULL: none): the
 * image is there and not at the recorded path; for a writable disk it is the user's own copy of
 * `disk-N`, which is read as a whole, to be sure that no guest had it yet, and then written to. All
 * that the config points to is its own until disk_config_free(), which may come once the device is
 * created.
 *
 * THAW_FAIL_SNAPSHOT_DISK: an image that is missing or another one. THAW_FAIL_SNAPSHOT, _MISSING,
 * _SHORT, _LINK: `disk-N`. Of that only what is needed is read here, not all its content.
 */
int disk_restore(const struct disk_record *record, int dir_fd, unsigned number,
                 const char *relocated, struct blk_config *config, struct thaw_error *err);

/* Frees what disk_restore() has put in. All zeros are allowed. */
void disk_config_free(struct blk_config *config);
#define cleanup_disk_config cleanup(disk_config_free)

/* Reads all of `disk-N`, if there is one, and compares its checksum. The failures of
 * disk_restore(). */
int disk_verify(const struct disk_record *record, int dir_fd, unsigned number,
                struct thaw_error *err);

/* Compares the image of a disk that is not writable with its whole fingerprint.
 * THAW_FAIL_SNAPSHOT_DISK. */
int disk_verify_image(const struct disk_record *record, unsigned number, const char *relocated,
                      struct thaw_error *err);

#endif
