/* SPDX-License-Identifier: Apache-2.0 */
/* memory_file_verify(): the chunks of a memory file against their checksums. */
#include "snapshot/memory_index.h"
#include "vmm/arch/arch.h"
#include "vmm/base/file.h"
#include "vmm/base/parallel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#define CHUNK_SIZE ((uint64_t)MEMORY_CHUNK_PAGES * GUEST_PAGE_SIZE)

struct verify {
    int fd;
    const struct memory_map *map;
    struct memory_index index;
    void (*progress)(void *ctx, uint64_t pages);
    void *ctx;
    atomic_uint_fast64_t done;            /* pages looked at */
    uint8_t *bytes[PARALLEL_THREADS_MAX]; /* room for a chunk; NULL: not needed yet */
};

/* A chunk in memory. */
struct chunk {
    uint64_t first, count; /* pages */
    bool is_hole;          /* all of it; then `bytes` are not filled */
    uint8_t *bytes;
};

static const void *page_in_chunk(const void *ctx, uint64_t page)
{
    const struct chunk *chunk = ctx;
    return chunk->bytes + (page - chunk->first) * GUEST_PAGE_SIZE;
}

/* The next stretch of the file, at or behind `*from` and before `end`, that is not a hole. */
static int next_data(int fd, uint64_t *from, uint64_t end, uint64_t *size, struct thaw_error *err)
{
    *size = 0;
    off_t start = lseek(fd, (off_t)*from, SEEK_DATA);
    if (start < 0 && errno == ENXIO)
        return 0;
    if (start < 0)
        return thaw_fail(err, errno, "lseek");
    if ((uint64_t)start >= end)
        return 0;
    off_t stop = lseek(fd, start, SEEK_HOLE);
    if (stop < 0)
        return thaw_fail(err, errno, "lseek");
    *from = (uint64_t)start;
    *size = ((uint64_t)stop < end ? (uint64_t)stop : end) - (uint64_t)start;
    return 0;
}

/* Holes are not read: most of the file is holes. */
static int read_chunk(int fd, struct chunk *chunk, struct thaw_error *err)
{
    uint64_t start = chunk->first * GUEST_PAGE_SIZE, end = start + chunk->count * GUEST_PAGE_SIZE;
    uint64_t at = start, filled = start, size = 0;
    for (;;) {
        int rc = next_data(fd, &at, end, &size, err);
        if (rc < 0)
            return rc;
        if (size == 0)
            break;
        memset(chunk->bytes + (filled - start), 0, at - filled);
        rc = file_pread_full(fd, chunk->bytes + (at - start), size, at, err);
        if (rc < 0)
            return rc;
        at = filled = at + size;
    }
    chunk->is_hole = filled == start;
    if (!chunk->is_hole)
        memset(chunk->bytes + (filled - start), 0, end - filled);
    return 0;
}

/* No checksum covers them. */
static bool rest_is_zero(const struct chunk *chunk, const struct page_runs *data)
{
    size_t run = page_runs_find(data, chunk->first);
    for (uint64_t page = chunk->first; page < chunk->first + chunk->count; page++) {
        if (run < data->count && page >= data->items[run].first) {
            page = data->items[run].first + data->items[run].count - 1;
            run++;
        } else if (!arch_page_is_zero(page_in_chunk(chunk, page))) {
            return false;
        }
    }
    return true;
}

static bool is_as_written(const struct verify *verify, const struct chunk *chunk, uint64_t number)
{
    const struct page_runs *data = &verify->map->data;
    if (chunk->is_hole && page_runs_touch(data, chunk->first, chunk->count))
        return false;
    struct memory_index_entry found = memory_chunk_entry(data, number, page_in_chunk, chunk);
    return memcmp(&found, &verify->index.entries[number], sizeof(found)) == 0 &&
           (chunk->is_hole || rest_is_zero(chunk, data));
}

static int look_at(const struct verify *verify, struct chunk *chunk, uint64_t number,
                   struct thaw_error *err)
{
    uint64_t left = verify->map->pages - number * MEMORY_CHUNK_PAGES;
    chunk->first = number * MEMORY_CHUNK_PAGES;
    chunk->count = left < MEMORY_CHUNK_PAGES ? left : MEMORY_CHUNK_PAGES;
    if (read_chunk(verify->fd, chunk, err) < 0)
        return thaw_context(err, SNAPSHOT_MEMORY ": chunk %" PRIu64, number);

    if (!is_as_written(verify, chunk, number))
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL,
                            SNAPSHOT_MEMORY ": chunk %" PRIu64 " (at 0x%" PRIx64
                                            ") is not what was written",
                            number, number * CHUNK_SIZE);
    return 0;
}

static int check_chunk(void *ctx, unsigned thread, uint64_t number, struct thaw_error *err)
{
    struct verify *verify = ctx;
    uint8_t **bytes = &verify->bytes[thread];
    if (!*bytes)
        *bytes = aligned_alloc(GUEST_PAGE_SIZE, CHUNK_SIZE);
    if (!*bytes)
        return thaw_fail(err, ENOMEM, "verify");
    struct chunk chunk = {.bytes = *bytes};
    int rc = look_at(verify, &chunk, number, err);
    uint64_t done = atomic_fetch_add(&verify->done, chunk.count) + chunk.count;
    if (rc == 0 && thread == 0 && verify->progress)
        verify->progress(verify->ctx, done);
    return rc;
}

static int check_chunks(struct verify *verify, struct thaw_error *err)
{
    int rc = parallel_for(verify->index.chunk_count, check_chunk, verify, err);
    for (unsigned i = 0; i < PARALLEL_THREADS_MAX; i++)
        free(verify->bytes[i]);
    if (rc == 0 && verify->progress)
        verify->progress(verify->ctx, verify->map->pages);
    return rc;
}

int memory_file_verify(int dir_fd, int memory_fd, const struct memory_map *map,
                       void (*progress)(void *ctx, uint64_t pages), void *ctx,
                       struct thaw_error *err)
{
    struct verify verify = {.fd = memory_fd, .map = map, .progress = progress, .ctx = ctx};
    int rc = memory_index_read(&verify.index, dir_fd, map, err);
    if (rc < 0)
        return rc;
    rc = check_chunks(&verify, err);
    memory_index_free(&verify.index);
    return rc;
}
