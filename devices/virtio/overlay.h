/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk put together from files, of which only one is ever written to. For each sector the first
 * of these that has it counts:
 *
 *   own    what this guest has written: a file without a name, every sector at its own place, gone
 *          with the process; a bitmap says which sectors
 *   layer  what it had written before it was restored: a packed file of its snapshot, shared by
 *          all that were restored from there; runs say which sectors, and where in the file
 *   base   the image
 *
 * The unit is the sector, the smallest that a guest can write: so nothing has ever to be copied up
 * from below to complete a larger unit, and no two requests have to wait for each other. That costs
 * a bit per sector: 256 KiB of bitmap per GiB of disk, in memory once it is written to.
 *
 * A sector is marked as the overlay's own when its data is there, so whoever reads it at the same
 * time finds what was there before or what is there now. Not thread-safe.
 */
#ifndef THAW_DEVICES_VIRTIO_OVERLAY_H
#define THAW_DEVICES_VIRTIO_OVERLAY_H

#include "vmm/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OVERLAY_SECTOR 512u

enum overlay_file { OVERLAY_BASE, OVERLAY_OWN, OVERLAY_LAYER };

/* Bytes of a disk that lie in one file, one after the other. */
struct overlay_extent {
    enum overlay_file file;
    uint64_t offset; /* in the file, bytes */
    uint64_t length; /* bytes, not 0 */
};

#define OVERLAY_ZEROS UINT64_MAX

/* Sectors of a layer. */
struct overlay_run {
    uint64_t sector, count; /* on the disk; count is not 0 */
    uint64_t offset; /* of their data in the file, bytes; OVERLAY_ZEROS: all zeros, no data */
};

struct overlay_layer {
    int fd; /* for reading */
    size_t run_count;
    struct overlay_run *runs; /* ascending, apart, on the disk, their data in the file */
};

struct overlay {
    uint64_t sectors;           /* of the disk */
    uint64_t *bitmap;           /* the own sectors: sector n is bit n % 64 of word n / 64 */
    int fd;                     /* the own file, as long as the disk */
    struct overlay_layer layer; /* fd -1: none */
};

/*
 * Creates the own file in $TMPDIR, else /var/tmp, and takes `layer` (NULL: none) as what the guest
 * has written already: it is copied, its descriptor duplicated. There is no limit but the room in
 * that directory. `sectors` is not 0. THAW_FAIL_IO; then `overlay` needs no overlay_free().
 */
int overlay_init(struct overlay *overlay, uint64_t sectors, const struct overlay_layer *layer,
                 struct thaw_error *err);
void overlay_free(struct overlay *overlay);

/* Where the bytes from `offset` on are: the longest piece of [offset, offset+length) that lies in
 * one file in a row. The range is on the disk and not empty; it may begin and end anywhere. */
struct overlay_extent overlay_find(const struct overlay *overlay, uint64_t offset, uint64_t length);

/* [offset, offset+length), of whole sectors on the disk, is now in the own file. */
void overlay_mark(struct overlay *overlay, uint64_t offset, uint64_t length);

/* The same without the files: where the run of own (or other) sectors that begins at `sector`
 * ends, at most `end`. `*own`: which of both. sector < end <= sectors. */
uint64_t overlay_run_end(const struct overlay *overlay, uint64_t sector, uint64_t end, bool *own);

#endif
