/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/pack_frames.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>

#define THREADS_MAX     8u
#define PROGRESS_FRAMES 64u /* 16 MiB */

uint64_t frame_count(uint64_t pages)
{
    return pages / PACK_FRAME_PAGES + (pages % PACK_FRAME_PAGES != 0);
}

uint64_t frame_pages(uint64_t pages, uint64_t frame)
{
    uint64_t left = pages - frame * PACK_FRAME_PAGES;
    return left < PACK_FRAME_PAGES ? left : PACK_FRAME_PAGES;
}

bool frame_run_next(const struct page_runs *runs, uint64_t first, uint64_t end,
                    struct page_run *part)
{
    size_t at = page_runs_find(runs, first);
    if (first >= end || at == runs->count || runs->items[at].first >= end)
        return false;
    *part = page_run_clip(runs->items[at], first, end);
    return true;
}

uint64_t frame_next_data(const struct memory_map *map, uint64_t frame)
{
    struct page_run part;
    if (frame >= frame_count(map->pages) ||
        !frame_run_next(&map->data, frame * PACK_FRAME_PAGES, map->pages, &part))
        return frame_count(map->pages);
    return part.first / PACK_FRAME_PAGES;
}

unsigned frame_threads(const struct pack_options *options, uint64_t frames)
{
    unsigned threads = options->threads;
    cpu_set_t cpus;
    if (threads == 0 && sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
        threads = (unsigned)CPU_COUNT(&cpus);
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    if (threads > frames)
        threads = (unsigned)frames;
    return threads > 0 ? threads : 1;
}

void frame_progress(const struct pack_options *options, const struct memory_map *map,
                    uint64_t frame)
{
    uint64_t count = frame_count(map->pages);
    if (options->progress && (frame == count || frame % PROGRESS_FRAMES == 0))
        options->progress(options->ctx, frame == count ? map->pages : frame * PACK_FRAME_PAGES);
}

int frame_damaged(struct thaw_error *err, uint64_t frame, const char *why)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, SNAPSHOT_PACKED ": frame %" PRIu64 ": %s",
                        frame, why);
}
