/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory_index.h"

#include "vmm/base/file.h"

#include <errno.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* a hash's state on the stack */
#include <xxhash.h>

uint64_t memory_chunk_count(uint64_t pages)
{
    return pages / MEMORY_CHUNK_PAGES + (pages % MEMORY_CHUNK_PAGES != 0);
}

static void mark_pages(uint8_t *bitmap, const struct page_run *run)
{
    for (uint64_t page = run->first; page < run->first + run->count; page++) {
        uint64_t bit = page % MEMORY_CHUNK_PAGES;
        bitmap[bit / 8] = (uint8_t)(bitmap[bit / 8] | 1u << bit % 8);
    }
}

struct memory_index_entry memory_chunk_entry(const struct page_runs *data, uint64_t chunk,
                                             page_lookup *at, const void *ctx)
{
    uint64_t first = chunk * MEMORY_CHUNK_PAGES, end = first + MEMORY_CHUNK_PAGES;
    size_t start = page_runs_find(data, first), stop = start;
    uint8_t bitmap[MEMORY_CHUNK_PAGES / 8] = {0};
    for (; stop < data->count && data->items[stop].first < end; stop++) {
        struct page_run run = page_run_clip(data->items[stop], first, end);
        mark_pages(bitmap, &run);
    }
    if (start == stop)
        return (struct memory_index_entry){.flags = MEMORY_CHUNK_ZERO};

    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, bitmap, sizeof(bitmap));
    for (size_t i = start; i < stop; i++) {
        struct page_run run = page_run_clip(data->items[i], first, end);
        XXH3_128bits_update(&state, at(ctx, run.first), run.count * GUEST_PAGE_SIZE);
    }
    XXH128_hash_t hash = XXH3_128bits_digest(&state);
    return (struct memory_index_entry){
        .flags = MEMORY_CHUNK_PRESENT,
        .hash = {hash.low64, hash.high64},
    };
}

int memory_index_start(struct blob *file, uint64_t pages, struct thaw_error *err)
{
    struct memory_index_header header = {
        .magic = MEMORY_INDEX_MAGIC,
        .version = MEMORY_INDEX_VERSION,
        .chunk_pages = MEMORY_CHUNK_PAGES,
        .pages = pages,
        .chunk_count = memory_chunk_count(pages),
    };
    return blob_append(file, &header, sizeof(header), err) ? 0 : thaw_error_code(err);
}

uint64_t memory_index_checksum(const struct blob *file)
{
    return XXH3_64bits(file->data, file->size);
}

static int damaged(struct thaw_error *err, const char *why)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, SNAPSHOT_INDEX ": %s", why);
}

static int read_file(struct blob *file, int dir_fd, uint64_t size, struct thaw_error *err)
{
    cleanup_close int fd = snapshot_open_exact(dir_fd, SNAPSHOT_INDEX, size, err);
    if (fd < 0)
        return fd;
    file->data = malloc(size);
    if (!file->data)
        return thaw_fail(err, ENOMEM, SNAPSHOT_INDEX);
    file->size = file->capacity = size;
    if (file_pread_full(fd, file->data, size, 0, err) < 0)
        return thaw_context(err, SNAPSHOT_INDEX);
    return 0;
}

static int check(const struct memory_index *index, const struct memory_map *map,
                 struct thaw_error *err)
{
    const struct memory_index_header *header = (const void *)index->file.data;
    if (memory_index_checksum(&index->file) != map->index_checksum)
        return damaged(err, "damaged, or of another snapshot");
    if (memcmp(header->magic, MEMORY_INDEX_MAGIC, sizeof(header->magic)) != 0 ||
        header->version != MEMORY_INDEX_VERSION || header->chunk_pages != MEMORY_CHUNK_PAGES ||
        header->pages != map->pages || header->chunk_count != index->chunk_count)
        return damaged(err, "its header does not fit the memory map");
    return 0;
}

int memory_index_read(struct memory_index *index, int dir_fd, const struct memory_map *map,
                      struct thaw_error *err)
{
    *index = (struct memory_index){.chunk_count = memory_chunk_count(map->pages)};
    uint64_t size =
        sizeof(struct memory_index_header) + index->chunk_count * sizeof(struct memory_index_entry);
    int rc = read_file(&index->file, dir_fd, size, err);
    if (rc == 0)
        rc = check(index, map, err);
    if (rc < 0) {
        memory_index_free(index);
        return rc;
    }
    index->entries = (const void *)(index->file.data + sizeof(struct memory_index_header));
    return 0;
}

void memory_index_free(struct memory_index *index)
{
    blob_free(&index->file);
    *index = (struct memory_index){0};
}
