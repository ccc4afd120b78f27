/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory_scan.h"
#include "vmm/arch/arch.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_SWAPPED (1ull << 62) /* also on its way from one place to another */
#define PAGEMAP_PRESENT (1ull << 63)

void memory_scanner_init(struct memory_scanner *scanner, const struct guest_memory *memory,
                         const struct page_runs *backed)
{
    static const struct page_runs none;
    scanner->memory = memory;
    scanner->backed = backed ? backed : &none;
    scanner->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    scanner->region = scanner->window = scanner->window_pages = 0;
}

void memory_scanner_free(struct memory_scanner *scanner)
{
    cleanup_close_fn(&scanner->pagemap);
    scanner->pagemap = -1;
}

static int read_entries(struct memory_scanner *scanner, const void *address, size_t count,
                        struct thaw_error *err)
{
    size_t size = sizeof(*scanner->entries);
    uint64_t number = (uintptr_t)address / GUEST_PAGE_SIZE;
    if (file_pread_full(scanner->pagemap, scanner->entries, count * size, number * size, err) < 0)
        return thaw_context(err, "/proc/self/pagemap");
    return 0;
}

static void mark(struct memory_scanner *scanner, uint64_t from, uint64_t to)
{
    for (uint64_t page = from; page < to; page++)
        scanner->entries[page - scanner->window] = PAGEMAP_PRESENT;
}

static void mark_backed(struct memory_scanner *scanner)
{
    const struct page_runs *backed = scanner->backed;
    uint64_t first = scanner->window, end = first + scanner->window_pages;
    for (size_t i = page_runs_find(backed, first);
         i < backed->count && backed->items[i].first < end; i++) {
        struct page_run part = page_run_clip(backed->items[i], first, end);
        mark(scanner, part.first, part.first + part.count);
    }
}

/* Looks at the pages from `first` on. */
static int move_window(struct memory_scanner *scanner, uint64_t first, struct thaw_error *err)
{
    const struct guest_memory *memory = scanner->memory;
    struct page_run region = page_region(memory->regions, memory->region_count, first);
    uint64_t left = region.first + region.count - first;
    scanner->region = region.first;
    scanner->window = first;
    scanner->window_pages = left < MEMORY_SCAN_WINDOW ? left : MEMORY_SCAN_WINDOW;
    const void *address = page_address(memory, first, scanner->window_pages);
    if (scanner->pagemap < 0) {
        mark(scanner, first, first + scanner->window_pages);
        return 0;
    }
    int rc = read_entries(scanner, address, scanner->window_pages, err);
    if (rc < 0)
        return rc;
    mark_backed(scanner);
    return 0;
}

static int scan_window(const struct memory_scanner *scanner, uint64_t first, uint64_t count,
                       struct page_runs *data, struct thaw_error *err)
{
    const uint64_t *entries = &scanner->entries[first - scanner->window];
    const char *at = page_address(scanner->memory, first, count);
    for (uint64_t i = 0; i < count; i++) {
        if (!(entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) ||
            arch_page_is_zero(at + i * GUEST_PAGE_SIZE))
            continue;
        int rc = first + i == scanner->region ? page_runs_add_apart(data, first + i, 1, err)
                                              : page_runs_add(data, first + i, 1, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int memory_scanner_next(struct memory_scanner *scanner, uint64_t first, uint64_t count,
                        struct page_runs *data, struct thaw_error *err)
{
    while (count > 0) {
        uint64_t end = scanner->window + scanner->window_pages;
        if (first < scanner->window || first >= end) {
            int rc = move_window(scanner, first, err);
            if (rc < 0)
                return rc;
            continue;
        }
        uint64_t now = count < end - first ? count : end - first;
        int rc = scan_window(scanner, first, now, data, err);
        if (rc < 0)
            return rc;
        first += now;
        count -= now;
    }
    return 0;
}

int memory_scan(const struct guest_memory *memory, const struct page_runs *backed,
                struct memory_map *map, struct thaw_error *err)
{
    memory_map_describe(map, memory);
    cleanup_memory_scanner struct memory_scanner scanner;
    memory_scanner_init(&scanner, memory, backed);
    int rc = memory_scanner_next(&scanner, 0, map->pages, &map->data, err);
    if (rc < 0)
        memory_map_free(map);
    return rc;
}
