/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages of a stopped guest are not all zeros, found a stretch at a time. */
#ifndef THAW_SNAPSHOT_MEMORY_SCAN_H
#define THAW_SNAPSHOT_MEMORY_SCAN_H

#include "snapshot/memory_file.h"

#define MEMORY_SCAN_WINDOW 4096u /* pages whose entries of pagemap are read at once */

struct memory_scanner {
    const struct guest_memory *memory;
    const struct page_runs *backed;
    int pagemap;                   /* /proc/self/pagemap; -1: none here, every page is read */
    uint64_t region;               /* first page of the window's region */
    uint64_t window, window_pages; /* first page of the window, how many */
    uint64_t entries[MEMORY_SCAN_WINDOW];
};

/* `memory` and `backed` (may be NULL) stay the caller's and must outlive the scanner. */
void memory_scanner_init(struct memory_scanner *scanner, const struct guest_memory *memory,
                         const struct page_runs *backed);

/* Appends the pages of [first, first+count), which must be RAM, that are not all zeros to `data`.
 * No run spans two regions. Fastest when called in ascending order. */
int memory_scanner_next(struct memory_scanner *scanner, uint64_t first, uint64_t count,
                        struct page_runs *data, struct thaw_error *err);

void memory_scanner_free(struct memory_scanner *scanner);
#define cleanup_memory_scanner cleanup(memory_scanner_free)

/* Everything of a map but its runs and the index. */
void memory_map_describe(struct memory_map *map, const struct guest_memory *memory);

#endif
