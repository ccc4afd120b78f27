/* SPDX-License-Identifier: Apache-2.0 */
/* The section SNAPSHOT_MEMORY_MAP, to bytes and back (docs/snapshot-format.md). */
#include "snapshot/memory_file.h"
#include "vmm/arch/arch.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct map_header {
    uint32_t region_count;
    uint32_t reserved;
    uint64_t pages;
    uint64_t index_checksum;
    uint64_t run_count;
    struct {
        uint64_t gpa, size;
    } regions[GUEST_MEMORY_REGIONS_MAX];
};

/* 32 bits are enough for 16 TiB, and most of a map is runs. */
struct map_run {
    uint32_t first, count;
};

_Static_assert(sizeof(struct map_header) == 64, "the header of a memory map is 64 bytes");
_Static_assert(ARCH_MEMORY_MAX / GUEST_PAGE_SIZE <= UINT32_MAX, "a page number is 32 bits");

void memory_map_describe(struct memory_map *map, const struct guest_memory *memory)
{
    *map = (struct memory_map){.region_count = memory->region_count};
    for (unsigned i = 0; i < memory->region_count; i++) {
        map->regions[i].gpa = memory->regions[i].gpa;
        map->regions[i].size = memory->regions[i].size;
    }
    map->pages = guest_memory_size(memory) / GUEST_PAGE_SIZE;
}

int memory_map_encode(const struct memory_map *map, struct blob *to, struct thaw_error *err)
{
    if (map->pages > UINT32_MAX)
        return thaw_fail(err, EFBIG, "memory map of %" PRIu64 " pages", map->pages);
    struct map_header header = {
        .region_count = map->region_count,
        .pages = map->pages,
        .index_checksum = map->index_checksum,
        .run_count = map->data.count,
    };
    for (unsigned i = 0; i < map->region_count; i++) {
        header.regions[i].gpa = map->regions[i].gpa;
        header.regions[i].size = map->regions[i].size;
    }
    if (!blob_append(to, &header, sizeof(header), err))
        return thaw_error_code(err);

    struct map_run *runs = blob_append(to, NULL, map->data.count * sizeof(*runs), err);
    if (!runs)
        return thaw_error_code(err);
    for (size_t i = 0; i < map->data.count; i++) {
        const struct page_run *run = &map->data.items[i];
        struct map_run out = {.first = (uint32_t)run->first, .count = (uint32_t)run->count};
        memcpy(&runs[i], &out, sizeof(out));
    }
    return 0;
}

static int damaged(struct thaw_error *err, const char *why)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, "memory map: %s", why);
}

static int decode_regions(struct memory_map *map, const struct map_header *header,
                          struct thaw_error *err)
{
    struct guest_region expected[GUEST_MEMORY_REGIONS_MAX] = {0};
    uint64_t size = header->pages * GUEST_PAGE_SIZE; /* cannot overflow: */
    if (header->pages < ARCH_MEMORY_MIN / GUEST_PAGE_SIZE ||
        header->pages > ARCH_MEMORY_MAX / GUEST_PAGE_SIZE)
        return damaged(err, "too little memory, or too much");
    unsigned count = arch_memory_layout(size, expected);
    if (header->region_count != count)
        return damaged(err, "not the layout of a guest's memory");
    for (unsigned i = 0; i < GUEST_MEMORY_REGIONS_MAX; i++)
        if (header->regions[i].gpa != expected[i].gpa ||
            header->regions[i].size != expected[i].size)
            return damaged(err, "not the layout of a guest's memory");

    memcpy(map->regions, expected, sizeof(expected));
    map->region_count = count;
    map->pages = header->pages;
    map->index_checksum = header->index_checksum;
    return 0;
}

static bool run_is_split(const struct memory_map *map, const struct page_run *run)
{
    uint64_t border = map->regions[0].size / GUEST_PAGE_SIZE;
    return run->first < border && run->count > border - run->first;
}

static int decode_runs(struct memory_map *map, struct cursor *from, uint64_t count,
                       struct thaw_error *err)
{
    if (count > from->left / sizeof(struct map_run) || count * sizeof(struct map_run) != from->left)
        return damaged(err, "its length is not that of its runs");
    const uint8_t *runs = cursor_take(from, from->left);
    map->data.items = malloc(count > 0 ? count * sizeof(*map->data.items) : 1);
    if (!map->data.items)
        return thaw_fail(err, ENOMEM, "memory map");
    map->data.count = map->data.capacity = count;
    for (size_t i = 0; i < count; i++) {
        struct map_run run;
        memcpy(&run, runs + i * sizeof(run), sizeof(run));
        map->data.items[i] = (struct page_run){.first = run.first, .count = run.count};
        if (run_is_split(map, &map->data.items[i]))
            return damaged(err, "a run spans two regions");
    }
    if (!page_runs_are_sorted(&map->data, map->pages))
        return damaged(err, "its runs are not in order, or not in memory");
    return 0;
}

int memory_map_decode(struct memory_map *map, const void *bytes, size_t size,
                      struct thaw_error *err)
{
    *map = (struct memory_map){0};
    struct cursor from = {.at = bytes, .left = size};
    struct map_header header;
    const void *start = cursor_take(&from, sizeof(header));
    if (!start)
        return damaged(err, "too short");
    memcpy(&header, start, sizeof(header));
    int rc = decode_regions(map, &header, err);
    if (rc == 0)
        rc = decode_runs(map, &from, header.run_count, err);
    if (rc < 0)
        memory_map_free(map);
    return rc;
}

int snapshot_map_read(const struct snapshot_state *state, struct memory_map *map,
                      struct thaw_error *err)
{
    size_t size;
    const void *bytes = snapshot_section_get(state, SNAPSHOT_MEMORY_MAP, 0, &size, err);
    return bytes ? memory_map_decode(map, bytes, size, err) : thaw_error_code(err);
}

void memory_map_free(struct memory_map *map)
{
    page_runs_free(&map->data);
    *map = (struct memory_map){0};
}
