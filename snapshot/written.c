/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/written.h"

#include <errno.h>
#include <string.h>

struct written_run {
    uint32_t first, count; /* pages */
};

static int add_region(const struct vm *vm, unsigned region, uint64_t before,
                      struct page_runs *written, struct thaw_error *err)
{
    uint64_t pages = vm->memory.regions[region].size / GUEST_PAGE_SIZE;
    cleanup_free uint64_t *bitmap = calloc((pages + 63) / 64, sizeof(*bitmap));
    if (!bitmap)
        return thaw_fail(err, ENOMEM, "list of written pages");
    int rc = guest_memory_get_written(&vm->memory, vm->fd, region, bitmap, err);
    for (uint64_t page = 0; page < pages && rc == 0; page++)
        if (bitmap[page / 64] >> page % 64 & 1)
            rc = page_runs_add(written, before + page, 1, err);
    return rc;
}

int written_by_guest(const struct vm *vm, struct page_runs *written, struct thaw_error *err)
{
    uint64_t before = 0;
    int rc = 0;
    for (unsigned i = 0; i < vm->memory.region_count && rc == 0; i++) {
        rc = add_region(vm, i, before, written, err);
        before += vm->memory.regions[i].size / GUEST_PAGE_SIZE;
    }
    return rc;
}

int written_encode(const struct page_runs *written, struct blob *to, struct thaw_error *err)
{
    for (size_t i = 0; i < written->count; i++) {
        const struct page_run *run = &written->items[i];
        const struct written_run out = {(uint32_t)run->first, (uint32_t)run->count};
        if (!blob_append(to, &out, sizeof(out), err))
            return thaw_error_code(err);
    }
    return 0;
}

static int damaged(struct thaw_error *err, const char *why)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, "written pages: %s", why);
}

int written_decode(struct page_runs *written, const struct memory_map *map, const void *bytes,
                   size_t size, struct thaw_error *err)
{
    struct written_run run;
    if (size % sizeof(run) != 0 || size / sizeof(run) > WRITTEN_PAGES_MAX)
        return damaged(err, "its length is not that of its runs, or too many");
    for (size_t at = 0; at < size; at += sizeof(run)) {
        memcpy(&run, (const uint8_t *)bytes + at, sizeof(run));
        if (page_runs_add_apart(written, run.first, run.count, err) < 0)
            return thaw_error_code(err);
    }
    if (!page_runs_are_sorted(written, map->pages))
        return damaged(err, "its runs are not in order, or not in memory");
    if (page_runs_pages(written) > WRITTEN_PAGES_MAX)
        return damaged(err, "too many");
    return 0;
}
