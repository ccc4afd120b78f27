/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot's state file and the memory map in it: as it came, and with every checksum put right.
 * What was accepted must be what the rest relies on, and must come out the same when it is written
 * again.
 */
#include "snapshot/format.h"
#include "snapshot/memory_file.h"
#include "snapshot/written.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/arch/arch.h"

#include <xxhash.h>

static size_t table_end(uint32_t sections)
{
    return sizeof(struct snapshot_header) + sections * sizeof(struct snapshot_section);
}

static void check_inside(const struct snapshot_state *state, const uint8_t *content, size_t size)
{
    const struct blob *file = &state->file;
    require(content >= file->data + table_end(state->header.section_count));
    require(content <= file->data + file->size);
    require(size <= file->size - (size_t)(content - file->data));
}

/* Where a section ends the next begins, at the latest 7 bytes on. */
static void check_sections(const struct snapshot_state *state)
{
    uint64_t end = table_end(state->header.section_count);
    for (uint32_t i = 0; i < state->header.section_count; i++) {
        const struct snapshot_section *section = &state->table[i];
        size_t size = 0;
        const uint8_t *content = snapshot_section(state, section->type, section->index, &size);
        require(content == state->file.data + section->offset && size == section->length);
        check_inside(state, content, size);
        require(section->offset >= end && section->offset - end < 8);
        end = section->offset + section->length;
    }
    require(end == state->file.size);
}

static void check_map(const struct memory_map *map)
{
    require(map->pages * GUEST_PAGE_SIZE >= ARCH_MEMORY_MIN);
    require(map->pages * GUEST_PAGE_SIZE <= ARCH_MEMORY_MAX);
    require(page_runs_are_sorted(&map->data, map->pages));
    require(page_runs_pages(&map->data) <= map->pages);
    struct guest_memory memory = {.region_count = map->region_count};
    for (unsigned i = 0; i < map->region_count; i++) {
        memory.regions[i] = map->regions[i];
        memory.regions[i].host = (void *)(uintptr_t)(1ull << 40);
    }
    require(guest_memory_size(&memory) == map->pages * GUEST_PAGE_SIZE);
    for (size_t i = 0; i < map->data.count; i++)
        require(page_address(&memory, map->data.items[i].first, map->data.items[i].count));
}

static void decode_written(const void *bytes, size_t size)
{
    static const struct memory_map map = {.pages = 32768};
    struct thaw_error err = {0};
    struct page_runs written = {0};
    struct blob again = {0};
    if (written_decode(&written, &map, bytes, size, &err) == 0) {
        require(page_runs_are_sorted(&written, map.pages));
        require(page_runs_pages(&written) <= WRITTEN_PAGES_MAX);
        require(written_encode(&written, &again, &err) == 0 && again.size == size);
        require(size == 0 || memcmp(again.data, bytes, size) == 0);
    } else
        require(err.failure == THAW_FAIL_SNAPSHOT);
    blob_free(&again);
    page_runs_free(&written);
}

static void decode(const void *bytes, size_t size)
{
    struct thaw_error err = {0};
    struct memory_map map;
    if (memory_map_decode(&map, bytes, size, &err) < 0) {
        require(err.failure == THAW_FAIL_SNAPSHOT && !map.data.items);
        return;
    }
    check_map(&map);
    struct blob again = {0};
    require(memory_map_encode(&map, &again, &err) == 0);
    require(again.size == size);
    /* Four bytes of the header are reserved. */
    require(memcmp(again.data, bytes, 4) == 0);
    require(memcmp(again.data + 8, (const uint8_t *)bytes + 8, size - 8) == 0);
    blob_free(&again);
    memory_map_free(&map);
}

static void parse(const uint8_t *data, size_t size)
{
    struct thaw_error err = {0};
    struct blob file = {.data = malloc(size > 0 ? size : 1), .size = size, .capacity = size};
    require(file.data);
    if (size > 0)
        memcpy(file.data, data, size);
    struct snapshot_state state;
    int rc = snapshot_state_parse(&state, &file, &err);
    require(!file.data && rc == thaw_error_code(&err));
    if (rc < 0) {
        require(err.failure >= THAW_FAIL_SNAPSHOT && err.failure <= THAW_FAIL_SNAPSHOT_SHORT);
        require(!state.file.data);
        return;
    }
    check_sections(&state);
    size_t length;
    const void *map = snapshot_section_get(&state, SNAPSHOT_MEMORY_MAP, 0, &length, &err);
    if (map)
        decode(map, length);
    const void *written = snapshot_section(&state, SNAPSHOT_WRITTEN, 0, &length);
    if (written)
        decode_written(written, length);
    snapshot_state_free(&state);
}

/* A fuzzer would never guess a checksum. */
static void mend(uint8_t *data, size_t size)
{
    struct snapshot_header header;
    if (size < sizeof(header))
        return;
    memcpy(&header, data, sizeof(header));
    memcpy(header.magic, SNAPSHOT_MAGIC, sizeof(header.magic));
    header.file_size = size;
    size_t sections = header.section_count,
           room = (size - sizeof(header)) / sizeof(struct snapshot_section);
    sections = sections < room ? sections : room;
    for (size_t i = 0; i < sections; i++) {
        uint8_t *at = data + sizeof(header) + i * sizeof(struct snapshot_section);
        struct snapshot_section section;
        memcpy(&section, at, sizeof(section));
        if (section.offset > size || section.length > size - section.offset)
            continue;
        section.checksum = XXH3_64bits(data + section.offset, section.length);
        memcpy(at, &section, sizeof(section));
    }
    header.checksum = 0;
    memcpy(data, &header, sizeof(header));
    if (header.section_count <= SNAPSHOT_SECTIONS_MAX && table_end(header.section_count) <= size)
        header.checksum = XXH3_64bits(data, table_end(header.section_count));
    memcpy(data, &header, sizeof(header));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    require(copy);
    if (size > 0)
        memcpy(copy, data, size);
    parse(copy, size);
    mend(copy, size);
    parse(copy, size);
    /* The two alone, too: no header has to be right for them. */
    decode(copy, size);
    decode_written(copy, size);
    free(copy);
    return 0;
}
