/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of a snapshot's `disk-N`: either a raw image, or what a guest has written over a
 * base, packed: header, table of runs, at the next multiple of 4 KiB the sectors of the runs that
 * have data, one after the other. Little-endian; nothing is behind the last sector.
 */
#ifndef THAW_SNAPSHOT_DISK_FILE_H
#define THAW_SNAPSHOT_DISK_FILE_H

#include "devices/virtio/overlay.h"
#include "snapshot/disks.h"

#define DISK_FILE_MAGIC   "THAWDISK" /* 8 bytes, no NUL */
#define DISK_FILE_VERSION 1u

/* More, and it is not taken: 400 MB of table. */
#define DISK_FILE_RUNS_MAX (1u << 24)

/* Behind it: run_count times struct overlay_run. */
struct disk_file_header {
    char magic[8];
    uint32_t version;
    uint32_t sector_size; /* OVERLAY_SECTOR */
    uint64_t sectors;     /* of the disk */
    uint64_t run_count;
    uint64_t data_offset;
    uint64_t file_size;
    uint64_t checksum; /* XXH3-64 of header (this field 0) and table */
    uint64_t reserved;
};

_Static_assert(sizeof(struct disk_file_header) == 64, "the header of disk-N is 64 bytes");
_Static_assert(sizeof(struct overlay_run) == 24, "a run of disk-N is 24 bytes");

/* Whether the overlay holds anything, its layer counted. */
bool disk_file_is_needed(const struct overlay *overlay);

/* Packs what is in the overlay, its layer counted, into an empty file. THAW_FAIL_IO. */
int disk_file_pack(int fd, const struct overlay *overlay, uint64_t *size, struct thaw_error *err);

/* Reads header and table, checks them against the file and the disk, and fills `layer`, whose runs
 * the caller frees; its `fd` is `fd` itself. THAW_FAIL_SNAPSHOT. */
int disk_file_unpack(int fd, uint64_t file_size, uint64_t disk_size, struct overlay_layer *layer,
                     struct thaw_error *err);

/* Makes an empty file a raw image of `size` bytes: of `from`, and of what the overlay (NULL: none)
 * has over it. Shares the storage where the file system can, else leaves holes for zeros.
 * THAW_FAIL_IO. */
int disk_file_copy(int fd, int from, uint64_t size, const struct overlay *overlay,
                   struct thaw_error *err);

/* XXH3-128 of all that is not zeros, in blocks of 64 KiB, with where it is: the same for copies
 * with and without holes. */
int disk_file_hash(int fd, uint64_t size, struct disk_hash *hash, struct thaw_error *err);

#endif
