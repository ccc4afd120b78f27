/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packed form of a snapshot: `memory.zst` instead of `memory`, for cold storage and transport.
 *
 * It is zstd's seekable format: the memory file in frames of 256 KiB (the last may be shorter),
 * each an independent zstd frame with its content size and checksum, then a seek table in a
 * skippable frame. `zstd -d memory.zst` gives the memory file again. What the other files hold is
 * as in the plain form.
 *
 * Reading treats the file as hostile: nothing is written but the pages that the memory map says
 * have data, and no frame can grow over its 256 KiB.
 */
#ifndef THAW_SNAPSHOT_PACK_H
#define THAW_SNAPSHOT_PACK_H

#include "snapshot/memory_file.h"

#include <stdbool.h>

#define PACK_FRAME_SIZE    (256u << 10)
#define PACK_FRAME_PAGES   (PACK_FRAME_SIZE / GUEST_PAGE_SIZE)
#define PACK_LEVEL_DEFAULT 3
#define PACK_LEVEL_MAX     19 /* from 1 */

/* All zeros: the defaults. */
struct pack_options {
    int level;        /* of zstd, 1 to PACK_LEVEL_MAX; 0: PACK_LEVEL_DEFAULT */
    unsigned threads; /* that compress or decompress; 0: one for each CPU, at most 8 */
    bool sync;        /* what was written is on the disk before this returns */
    bool no_uring;    /* read with pread although io_uring would work */

    /* Called now and then by the calling thread with the pages done so far, of map->pages. */
    void (*progress)(void *ctx, uint64_t pages);
    void *ctx;
};

/*
 * Fills guest memory from `memory_zst` (a regular file, open for reading; its offset does not
 * matter). Only pages of map->data are written: the others, and the frames with none of them, are
 * not touched, so they must be zeros already. The map has been decoded and is of this memory. The
 * frames are read through io_uring, or where that is refused with pread, and decompressed by
 * several threads. `used_uring` (may be NULL) says which it was. `options` may be NULL.
 *
 * THAW_FAIL_SNAPSHOT and _SHORT name the frame; the memory is then in any state.
 */
int packed_load(int memory_zst, const struct memory_map *map, const struct guest_memory *memory,
                const struct pack_options *options, bool *used_uring, struct thaw_error *err);

/* Opens `memory.zst` of a directory and checks its seek table against the map. Returns the
 * descriptor. THAW_FAIL_SNAPSHOT, _SHORT, _LINK, _MISSING. */
int packed_open(int dir_fd, const struct memory_map *map, struct thaw_error *err);

/* Whether the directory holds the packed form: `memory.zst` and no `memory`. */
bool packed_is(int dir_fd);

/*
 * Reads the whole of memory.zst, decompresses it and compares it with memory.idx: what
 * memory_file_verify() does for the plain form, with a temporary file in memory.
 */
int packed_verify(int dir_fd, const struct memory_map *map, const struct pack_options *options,
                  struct thaw_error *err);

/*
 * Packs the snapshot in `dir_fd` to a new directory `to` (see publish.h for what may be there
 * before): state, memory.idx, memory.zst, and the disk files as they are, linked where that is
 * possible. A working set is left behind: it is of use with `memory` alone. The pages are not
 * compared with memory.idx meanwhile: that is `verify`.
 */
int snapshot_pack(int dir_fd, const char *to, const struct pack_options *options,
                  struct thaw_error *err);

/* The reverse. `memory` is sparse again, and compared with memory.idx before anything is
 * published. */
int snapshot_unpack(int dir_fd, const char *to, const struct pack_options *options,
                    struct thaw_error *err);

#endif
