/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files `memory` (raw pages at their place, sparse: pages of zeros are holes) and `memory.idx`
 * (per chunk of 2 MiB: is it there, and a checksum), and the section that ties both to the state.
 */
#ifndef THAW_SNAPSHOT_MEMORY_FILE_H
#define THAW_SNAPSHOT_MEMORY_FILE_H

#include "snapshot/format.h"
#include "snapshot/runs.h"

#define MEMORY_CHUNK_PAGES 512u

/* The section SNAPSHOT_MEMORY_MAP. */
struct memory_map {
    unsigned region_count;
    struct guest_region regions[GUEST_MEMORY_REGIONS_MAX]; /* gpa and size; host is not saved */
    uint64_t pages;                                        /* of all regions */
    uint64_t index_checksum; /* XXH3-64 of the whole file memory.idx */
    struct page_runs data;   /* the pages that are not all zeros; sorted; each run in one region */
};

/* Everything of a map but its runs and the index. */
void memory_map_describe(struct memory_map *map, const struct guest_memory *memory);

int memory_map_encode(const struct memory_map *map, struct blob *to, struct thaw_error *err);

/* Checks everything: the regions are this architecture's layout of their sum, the runs are sorted
 * and inside. THAW_FAIL_SNAPSHOT. */
int memory_map_decode(struct memory_map *map, const void *bytes, size_t size,
                      struct thaw_error *err);
/* The same for the section of a state. */
int snapshot_map_read(const struct snapshot_state *state, struct memory_map *map,
                      struct thaw_error *err);

void memory_map_free(struct memory_map *map);
#define cleanup_memory_map cleanup(memory_map_free)

/*
 * Writes `memory` into the directory and fills `map`, but for the index's checksum. What is written
 * to the guest's memory meanwhile is there or not: memory_file_rewrite(). Pages that were never
 * touched are found through /proc/self/pagemap and not read. `backed`: pages that may be unlike
 * zero although this process never touched them, because they are mapped from a snapshot's file
 * (sorted; NULL: none). On failure what was created is removed again.
 */
int memory_file_write(int dir_fd, const struct guest_memory *memory, const struct page_runs *backed,
                      struct memory_map *map, struct thaw_error *err);

/* Brings what memory_file_write() has made up to date: `changed` (sorted) is all that may have been
 * written since that began. No vCPU runs and no device writes. */
int memory_file_rewrite(int dir_fd, const struct guest_memory *memory,
                        const struct page_runs *changed, struct memory_map *map,
                        struct thaw_error *err);

/* Then writes `memory.idx`, from what is in the file, and completes `map`. The guest's memory is
 * not looked at any more, so this does not prolong its pause. */
int memory_file_index(int dir_fd, struct memory_map *map, struct thaw_error *err);

/* The same for writing elsewhere (a stream): which pages are not all zeros. No run spans two
 * regions. */
int memory_scan(const struct guest_memory *memory, const struct page_runs *backed,
                struct memory_map *map, struct thaw_error *err);

/* The second: what memory.idx would be, in `index` (empty before), and its checksum in `map`. */
int memory_index_guest(struct blob *index, const struct guest_memory *memory,
                       struct memory_map *map, struct thaw_error *err);

/* Looks at the pages of `changed` (sorted) again, for a map that was right but for them. Those that
 * are not all zeros are appended to `data`. */
int memory_rescan(const struct guest_memory *memory, const struct page_runs *changed,
                  struct memory_map *map, struct page_runs *data, struct thaw_error *err);

/* Opens `memory` for mapping: a regular file of exactly the map's size (THAW_FAIL_SNAPSHOT_SHORT,
 * _LINK, _MISSING). Returns the descriptor. Also checks memory.idx against the map. */
int memory_file_open(int dir_fd, const struct memory_map *map, struct thaw_error *err);

/* Reads `memory_fd` (whose file position changes) and compares with memory.idx: the data with its
 * checksums, the rest with zeros. `progress` (may be NULL) is called now and then
 * with pages done, on the caller's thread. THAW_FAIL_SNAPSHOT names the first chunk that differs.
 */
int memory_file_verify(int dir_fd, int memory_fd, const struct memory_map *map,
                       void (*progress)(void *ctx, uint64_t pages), void *ctx,
                       struct thaw_error *err);

#endif
