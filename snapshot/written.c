/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/written.h"

#include <errno.h>
#include <string.h>

struct written_run {
    uint32_t first, count; /* pages */
};

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
