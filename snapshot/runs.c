/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/runs.h"

#include <errno.h>

int page_runs_add_apart(struct page_runs *runs, uint64_t first, uint64_t count,
                        struct thaw_error *err)
{
    if (!runs->items || runs->count == runs->capacity) {
        size_t capacity = runs->capacity * 2 + 64;
        struct page_run *items = reallocarray(runs->items, capacity, sizeof(*items));
        if (!items)
            return thaw_fail(err, ENOMEM, "list of pages");
        runs->items = items;
        runs->capacity = capacity;
    }
    runs->items[runs->count++] = (struct page_run){.first = first, .count = count};
    return 0;
}

int page_runs_add(struct page_runs *runs, uint64_t first, uint64_t count, struct thaw_error *err)
{
    struct page_run *last = runs->count > 0 ? &runs->items[runs->count - 1] : NULL;
    if (!last || last->first + last->count != first)
        return page_runs_add_apart(runs, first, count, err);
    last->count += count;
    return 0;
}

int page_runs_append(struct page_runs *runs, const struct page_runs *from, struct thaw_error *err)
{
    for (size_t i = 0; i < from->count; i++)
        if (page_runs_add(runs, from->items[i].first, from->items[i].count, err) < 0)
            return thaw_error_code(err);
    return 0;
}

static int subtract_from(struct page_runs *runs, struct page_run run,
                         const struct page_runs *without, struct thaw_error *err)
{
    uint64_t first = run.first, end = run.first + run.count;
    int rc = 0;
    for (size_t i = page_runs_find(without, first);
         rc == 0 && i < without->count && without->items[i].first < end; i++) {
        const struct page_run *cut = &without->items[i];
        if (cut->first > first)
            rc = page_runs_add_apart(runs, first, cut->first - first, err);
        first = cut->first + cut->count;
    }
    return rc == 0 && first < end ? page_runs_add_apart(runs, first, end - first, err) : rc;
}

int page_runs_subtract(struct page_runs *runs, const struct page_runs *from,
                       const struct page_runs *without, struct thaw_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < from->count && rc == 0; i++)
        rc = subtract_from(runs, from->items[i], without, err);
    return rc;
}

struct page_run page_run_clip(struct page_run run, uint64_t first, uint64_t end)
{
    uint64_t from = run.first < first ? first : run.first;
    uint64_t to = run.first + run.count > end ? end : run.first + run.count;
    return (struct page_run){.first = from, .count = to - from};
}

bool page_runs_are_sorted(const struct page_runs *runs, uint64_t pages)
{
    uint64_t end = 0;
    for (size_t i = 0; i < runs->count; i++) {
        const struct page_run *run = &runs->items[i];
        if (run->first < end || run->first > pages || run->count == 0 ||
            run->count > pages - run->first)
            return false;
        end = run->first + run->count;
    }
    return true;
}

uint64_t page_runs_pages(const struct page_runs *runs)
{
    uint64_t pages = 0;
    for (size_t i = 0; i < runs->count; i++)
        pages += runs->items[i].count;
    return pages;
}

size_t page_runs_find(const struct page_runs *runs, uint64_t page)
{
    size_t low = 0, high = runs->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (runs->items[middle].first + runs->items[middle].count <= page)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool page_runs_touch(const struct page_runs *runs, uint64_t first, uint64_t count)
{
    size_t at = page_runs_find(runs, first);
    if (count == 0 || at == runs->count)
        return false;
    const struct page_run *run = &runs->items[at];
    return run->first <= first || run->first - first < count;
}

void page_runs_free(struct page_runs *runs)
{
    free(runs->items);
    *runs = (struct page_runs){0};
}

struct page_run page_region(const struct guest_region *regions, unsigned count, uint64_t page)
{
    struct page_run region = {0};
    for (unsigned i = 0; i < count; i++) {
        region.first += region.count;
        region.count = regions[i].size / GUEST_PAGE_SIZE;
        if (page < region.first + region.count)
            return region;
    }
    return (struct page_run){0};
}

bool page_of_address(const struct guest_memory *memory, uintptr_t address, uint64_t *page)
{
    uint64_t before = 0;
    for (unsigned i = 0; i < memory->region_count; i++) {
        const struct guest_region *region = &memory->regions[i];
        uintptr_t offset = address - (uintptr_t)region->host;
        *page = before + offset / GUEST_PAGE_SIZE;
        if (offset < region->size)
            return true;
        before += region->size / GUEST_PAGE_SIZE;
    }
    return false;
}

void *page_address(const struct guest_memory *memory, uint64_t page, uint64_t count)
{
    for (unsigned i = 0; i < memory->region_count; i++) {
        const struct guest_region *region = &memory->regions[i];
        uint64_t pages = region->size / GUEST_PAGE_SIZE;
        if (page < pages)
            return count <= pages - page ? (char *)region->host + page * GUEST_PAGE_SIZE : NULL;
        page -= pages;
    }
    return NULL;
}
