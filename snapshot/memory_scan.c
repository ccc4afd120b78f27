/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages of a guest are not all zeros, looked for by several threads; and again, of a few. */
#include "snapshot/memory_file.h"
#include "vmm/arch/arch.h"
#include "vmm/base/file.h"
#include "vmm/base/parallel.h"

#include <errno.h>
#include <fcntl.h>

#define WINDOW 1024u /* pages that a thread looks at in one go */

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_SWAPPED (1ull << 62) /* also on its way from one place to another */
#define PAGEMAP_PRESENT (1ull << 63)

struct scan {
    const struct guest_memory *memory;
    const struct page_runs *backed;
    int pagemap; /* /proc/self/pagemap; -1: none here, every page is read */
    uint64_t pages;
    struct page_runs *found; /* in each window */
};

/* Pages within a window and within a region. */
struct part {
    struct page_run run;
    uint64_t entries[WINDOW]; /* of pagemap */
};

static void mark(struct part *part, struct page_run run)
{
    for (uint64_t page = run.first; page < run.first + run.count; page++)
        part->entries[page - part->run.first] = PAGEMAP_PRESENT;
}

static void mark_backed(struct part *part, const struct page_runs *backed)
{
    uint64_t first = part->run.first, end = first + part->run.count;
    for (size_t i = page_runs_find(backed, first);
         i < backed->count && backed->items[i].first < end; i++)
        mark(part, page_run_clip(backed->items[i], first, end));
}

static int read_entries(const struct scan *scan, struct part *part, const void *address,
                        struct thaw_error *err)
{
    size_t size = sizeof(part->entries[0]);
    uint64_t number = (uintptr_t)address / GUEST_PAGE_SIZE;
    if (scan->pagemap < 0) {
        mark(part, part->run);
        return 0;
    }
    if (file_pread_full(scan->pagemap, part->entries, part->run.count * size, number * size, err) <
        0)
        return thaw_context(err, "/proc/self/pagemap");
    mark_backed(part, scan->backed);
    return 0;
}

/* No run spans two regions. */
static int add_run(const struct guest_memory *memory, struct page_runs *data, struct page_run run,
                   struct thaw_error *err)
{
    if (page_region(memory->regions, memory->region_count, run.first).first == run.first)
        return page_runs_add_apart(data, run.first, run.count, err);
    return page_runs_add(data, run.first, run.count, err);
}

static int scan_part(const struct scan *scan, struct part *part, struct page_runs *data,
                     struct thaw_error *err)
{
    const char *at = page_address(scan->memory, part->run.first, part->run.count);
    int rc = read_entries(scan, part, at, err);
    for (uint64_t i = 0; i < part->run.count && rc == 0; i++)
        if ((part->entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) &&
            !arch_page_is_zero(at + i * GUEST_PAGE_SIZE))
            rc = add_run(scan->memory, data, (struct page_run){part->run.first + i, 1}, err);
    return rc;
}

static int scan_window(void *ctx, unsigned thread, uint64_t window, struct thaw_error *err)
{
    const struct scan *scan = ctx;
    const struct guest_memory *memory = scan->memory;
    struct part part;
    uint64_t first = window * WINDOW, end = first + WINDOW;
    int rc = 0;
    (void)thread;
    for (; first < end && first < scan->pages && rc == 0; first += part.run.count) {
        struct page_run region = page_region(memory->regions, memory->region_count, first);
        part.run = page_run_clip(region, first, end);
        rc = scan_part(scan, &part, &scan->found[window], err);
    }
    return rc;
}

static int join(const struct scan *scan, uint64_t windows, struct page_runs *data,
                struct thaw_error *err)
{
    int rc = 0;
    for (uint64_t window = 0; window < windows; window++)
        for (size_t i = 0; i < scan->found[window].count && rc == 0; i++)
            rc = add_run(scan->memory, data, scan->found[window].items[i], err);
    return rc;
}

static int scan_all(struct scan *scan, struct page_runs *data, struct thaw_error *err)
{
    uint64_t windows = scan->pages / WINDOW + (scan->pages % WINDOW != 0);
    cleanup_free struct page_runs *found = calloc(windows, sizeof(*found));
    if (!found)
        return thaw_fail(err, ENOMEM, "list of pages");
    scan->found = found;
    int rc = parallel_for(windows, scan_window, scan, err);
    if (rc == 0)
        rc = join(scan, windows, data, err);
    for (uint64_t window = 0; window < windows; window++)
        page_runs_free(&found[window]);
    return rc;
}

int memory_scan(const struct guest_memory *memory, const struct page_runs *backed,
                struct memory_map *map, struct thaw_error *err)
{
    static const struct page_runs none;
    memory_map_describe(map, memory);
    cleanup_close int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    struct scan scan = {.memory = memory,
                        .backed = backed ? backed : &none,
                        .pagemap = pagemap,
                        .pages = map->pages};
    int rc = scan_all(&scan, &map->data, err);
    if (rc < 0)
        memory_map_free(map);
    return rc;
}

/* ---- again -------------------------------------------------------------------------------- */

static int look_again(const struct guest_memory *memory, const struct page_runs *changed,
                      struct page_runs *data, struct thaw_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < changed->count; i++)
        for (uint64_t n = 0; n < changed->items[i].count && rc == 0; n++) {
            struct page_run page = {changed->items[i].first + n, 1};
            if (!arch_page_is_zero(page_address(memory, page.first, 1)))
                rc = add_run(memory, data, page, err);
        }
    return rc;
}

/* Two sorted lists without a page in common, as one. */
static int merge(const struct guest_memory *memory, struct page_runs *all,
                 const struct page_runs *a, const struct page_runs *b, struct thaw_error *err)
{
    size_t i = 0, j = 0;
    int rc = 0;
    while (rc == 0 && (i < a->count || j < b->count)) {
        bool first = j == b->count || (i < a->count && a->items[i].first < b->items[j].first);
        rc = add_run(memory, all, first ? a->items[i++] : b->items[j++], err);
    }
    return rc;
}

int memory_rescan(const struct guest_memory *memory, const struct page_runs *changed,
                  struct memory_map *map, struct page_runs *data, struct thaw_error *err)
{
    cleanup_page_runs struct page_runs kept = {0}, all = {0};
    int rc = page_runs_subtract(&kept, &map->data, changed, err);
    if (rc == 0)
        rc = look_again(memory, changed, data, err);
    if (rc == 0)
        rc = merge(memory, &all, &kept, data, err);
    if (rc < 0)
        return rc;
    struct page_runs before = map->data;
    map->data = all;
    all = before;
    return 0;
}
