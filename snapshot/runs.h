/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of pages. A page number here counts pages of the guest's RAM in the order of the `memory`
 * file: the regions one after the other, without the MMIO gap between them.
 */
#ifndef THAW_SNAPSHOT_RUNS_H
#define THAW_SNAPSHOT_RUNS_H

#include "vmm/base/cleanup.h"
#include "vmm/base/error.h"
#include "vmm/base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct page_run {
    uint64_t first, count; /* pages; count is not 0 */
};

/* All zeros: none. */
struct page_runs {
    struct page_run *items;
    size_t count, capacity;
};

/* Appends [first, first+count); one that continues the last run makes that longer. */
int page_runs_add(struct page_runs *runs, uint64_t first, uint64_t count, struct thaw_error *err);

/* The same, never making the last one longer. */
int page_runs_add_apart(struct page_runs *runs, uint64_t first, uint64_t count,
                        struct thaw_error *err);

/* Appends all of `from`, in its order. */
int page_runs_append(struct page_runs *runs, const struct page_runs *from, struct thaw_error *err);

/* Of sorted runs: appends the pages of `from` that are not in `without`; runs that lie beside each
 * other in `from` stay apart. */
int page_runs_subtract(struct page_runs *runs, const struct page_runs *from,
                       const struct page_runs *without, struct thaw_error *err);

/* Whether the runs are ascending, apart (neither overlapping nor empty) and below `pages`. */
bool page_runs_are_sorted(const struct page_runs *runs, uint64_t pages);

/* Pages in all. */
uint64_t page_runs_pages(const struct page_runs *runs);

/* Of sorted runs: the number of the first that ends behind `page`; `runs->count` when none does. */
size_t page_runs_find(const struct page_runs *runs, uint64_t page);

/* The part of `run` in [first, end). They must have a page in common. */
struct page_run page_run_clip(struct page_run run, uint64_t first, uint64_t end);

/* Of sorted runs: whether [first, first+count) has a page in common with one of them. */
bool page_runs_touch(const struct page_runs *runs, uint64_t first, uint64_t count);

void page_runs_free(struct page_runs *runs);
#define cleanup_page_runs cleanup(page_runs_free)

/* The pages of the region that `page` is in, of `count` regions; all zeros when it is in none. */
struct page_run page_region(const struct guest_region *regions, unsigned count, uint64_t page);

/* The end of that region; 0: in none. */
static inline uint64_t page_region_end(const struct guest_region *regions, unsigned count,
                                       uint64_t page)
{
    struct page_run region = page_region(regions, count, page);
    return region.first + region.count;
}

/* The reverse of page_address(): which page an address of this process is in. False: it is not
 * RAM. Safe in a signal handler. */
bool page_of_address(const struct guest_memory *memory, uintptr_t address, uint64_t *page);

/* Where pages [page, page+count) are in this process; NULL when they are not RAM of one region. */
void *page_address(const struct guest_memory *memory, uint64_t page, uint64_t count);

#endif
