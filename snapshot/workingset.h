/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file `workingset`: the pages a guest touches first after a restore, in that order and
 * without gaps, so that one sequential read brings them all. Recorded by recorder.h.
 *
 *   header | runs (page, count), in access order | zeros up to a multiple of 4096 | the pages
 *
 * Header and runs are checked when the file is opened, the pages when (and only when) they are
 * read at a restore: a plan that maps `memory` does not use them.
 */
#ifndef THAW_SNAPSHOT_WORKINGSET_H
#define THAW_SNAPSHOT_WORKINGSET_H

#include "snapshot/memory_file.h"

#define WORKING_SET_MAGIC    "THAWWSET" /* 8 bytes, no NUL */
#define WORKING_SET_VERSION  1u
#define WORKING_SET_RUNS_MAX 512u /* each becomes a mapping of its own */

#define WORKING_SET_APPROXIMATE 1u /* flag: from the page tables, so neither exact nor in order */

/* Little-endian, without padding. */
struct working_set_header {
    char magic[8];
    uint32_t version;
    uint32_t flags;
    uint64_t snapshot; /* working_set_id() of the snapshot that it belongs to */
    uint32_t run_count;
    uint32_t pages_offset;   /* bytes: a multiple of 4096 */
    uint64_t pages;          /* of all runs */
    uint64_t pages_checksum; /* XXH3-64 of the pages */
    uint64_t checksum;       /* XXH3-64 of all before the pages (this field 0) */
    uint64_t reserved;
};
_Static_assert(sizeof(struct working_set_header) == 64, "the working set's header is 64 bytes");

/* The longest that header, runs and zeros can be. */
#define WORKING_SET_HEAD_MAX 12288u

/* An opened working set, checked. */
struct working_set {
    int fd;                /* owned */
    struct page_runs runs; /* in access order; each in one region, none overlapping */
    uint64_t pages;
    uint64_t pages_offset, pages_checksum;
    bool approximate;
};

/* What ties a working set to its snapshot: XXH3-64 of the header of `state`, which covers all of
 * the snapshot through its own checksum and the table's. */
uint64_t working_set_id(const struct snapshot_header *state);

/* Opens and checks it. Fails with -ENOENT and THAW_FAIL_SNAPSHOT_MISSING when there is none, which
 * is no reason not to restore; THAW_FAIL_SNAPSHOT, _SHORT, _VERSION, _LINK: damaged, or of another
 * snapshot. `set` need not be initialised. */
int working_set_open(int dir_fd, const struct snapshot_header *state, const struct memory_map *map,
                     struct working_set *set, struct thaw_error *err);
void working_set_close(struct working_set *set);
#define cleanup_working_set cleanup(working_set_close)

/* The checks alone: `bytes` is the start of a file of `file_size` bytes (min(file_size,
 * WORKING_SET_HEAD_MAX) of them are there). Fills everything but `fd`, which becomes -1. */
int working_set_parse(const void *bytes, uint64_t file_size, uint64_t id,
                      const struct memory_map *map, struct working_set *set,
                      struct thaw_error *err);

/* Puts pages together to at most WORKING_SET_RUNS_MAX runs: neighbours in memory, with gaps as
 * small as will do, each run where its first page was in `order` (any runs, also repeated ones). */
int working_set_coalesce(const struct page_runs *order, const struct memory_map *map,
                         struct page_runs *runs, struct thaw_error *err);

/* Writes the file for `order` (as recorder_stop() gives it) with the pages from `memory_fd`, by
 * rename: a reader sees the old one, or none, or all of it. */
int working_set_write(int dir_fd, int memory_fd, const struct snapshot_header *state,
                      const struct memory_map *map, const struct page_runs *order, bool approximate,
                      struct thaw_error *err);

/* Reads the pages and compares their checksum (for `thaw snapshot verify`). */
int working_set_verify(const struct working_set *set, struct thaw_error *err);

#endif
