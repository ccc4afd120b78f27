/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file `memory.idx`: a checksum for each chunk of MEMORY_CHUNK_PAGES pages of `memory`, for
 * verifying and for finding equal chunks (docs/snapshot-format.md). Only pages that are not all
 * zeros are hashed, so making one costs as much as there is data.
 */
#ifndef THAW_SNAPSHOT_MEMORY_INDEX_H
#define THAW_SNAPSHOT_MEMORY_INDEX_H

#include "snapshot/memory_file.h"

#define MEMORY_INDEX_MAGIC   "THAWMIDX" /* 8 bytes, no NUL */
#define MEMORY_INDEX_VERSION 1u

/* Little-endian, without padding. */
struct memory_index_header {
    char magic[8];
    uint32_t version;
    uint32_t chunk_pages; /* MEMORY_CHUNK_PAGES */
    uint64_t pages;       /* of the whole memory; the last chunk may be shorter */
    uint64_t chunk_count;
};

#define MEMORY_CHUNK_PRESENT 1u /* has pages that are not all zeros */
#define MEMORY_CHUNK_ZERO    2u /* has none; its hash is 0 */

struct memory_index_entry {
    uint32_t flags; /* one of the two */
    uint32_t reserved;
    uint64_t hash[2]; /* XXH3-128, low half first */
};

_Static_assert(sizeof(struct memory_index_header) == 32, "the index's header is 32 bytes");
_Static_assert(sizeof(struct memory_index_entry) == 24, "an entry of the index is 24 bytes");

struct memory_index {
    struct blob file;                         /* as it is on disk */
    const struct memory_index_entry *entries; /* in `file` */
    uint64_t chunk_count;
};

uint64_t memory_chunk_count(uint64_t pages);

/* Where the pages from `page` on are; called with the first page of a run. */
typedef const void *page_lookup(const void *ctx, uint64_t page);

/*
 * The entry of a chunk. Its hash is the XXH3-128 of a bitmap of its pages (MEMORY_CHUNK_PAGES bits,
 * page 0 is bit 0 of the first byte; 1: not all zeros) followed by the pages that have a 1, in
 * order. `data`: the runs of such pages of the whole memory, sorted. A run's pages in the chunk
 * are contiguous at `at(ctx, the first of them)`.
 */
struct memory_index_entry memory_chunk_entry(const struct page_runs *data, uint64_t chunk,
                                             page_lookup *at, const void *ctx);

/* Starts an index in `file` (empty before): the header. Then one blob_append() per chunk. */
int memory_index_start(struct blob *file, uint64_t pages, struct thaw_error *err);

/* What struct memory_map has of it. */
uint64_t memory_index_checksum(const struct blob *file);

/* Reads memory.idx and checks it against the map. THAW_FAIL_SNAPSHOT, _SHORT, _LINK, _MISSING. */
int memory_index_read(struct memory_index *index, int dir_fd, const struct memory_map *map,
                      struct thaw_error *err);

void memory_index_free(struct memory_index *index);
#define cleanup_memory_index cleanup(memory_index_free)

#endif
