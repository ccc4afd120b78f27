/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed memory: the file memory.zst as it came; frames behind which the seek table is put right;
 * the records of a stream, with a right checksum at the end. What fails must fail in one of the
 * ways that are documented, whoever reads the file; and whatever succeeds, no page is written that
 * the memory map does not have.
 */
#include "snapshot/memory_index.h"
#include "snapshot/pack_frames.h"
#include "snapshot/pack_load.h"
#include "snapshot/stream.h"
#include "snapshot/stream_format.h"
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#define FRAMES 4
#define PAGES  (3 * PACK_FRAME_PAGES + 5)

enum { MODE_FILE, MODE_FRAMES, MODE_STREAM, MODE_COUNT };

/* A frame that is all data, one with some, one without, and the tail. */
static struct page_run runs[] = {{0, 64}, {66, 1}, {70, 11}, {3 * PACK_FRAME_PAGES + 4, 1}};

static struct memory_map make_map(void)
{
    return (struct memory_map){
        .region_count = 1,
        .regions = {{.size = (uint64_t)PAGES * GUEST_PAGE_SIZE}},
        .pages = PAGES,
        .data = {.items = runs, .count = sizeof(runs) / sizeof(runs[0])},
    };
}

static void check_failure(int rc, const struct thaw_error *err)
{
    require((rc == 0) == (err->code == 0));
    require(rc == 0 || err->failure == THAW_FAIL_SNAPSHOT ||
            err->failure == THAW_FAIL_SNAPSHOT_SHORT || err->failure == THAW_FAIL_SNAPSHOT_DISK);
}

static void check_untouched(const struct guest_memory *memory, const struct memory_map *map)
{
    static const uint8_t zeros[GUEST_PAGE_SIZE];
    for (uint64_t page = 0; page < PAGES; page++)
        if (!page_runs_touch(&map->data, page, 1))
            require(memcmp(page_address(memory, page, 1), zeros, sizeof(zeros)) == 0);
}

static void make_memory(struct guest_memory *memory, const struct memory_map *map)
{
    struct thaw_error err = {0};
    require(guest_memory_create(memory, map->regions, 1, &err) == 0);
}

static int file_of(const struct blob *bytes)
{
    int fd = memfd_create("packed", MFD_CLOEXEC);
    require(fd >= 0);
    require(write(fd, bytes->data, bytes->size) == (ssize_t)bytes->size);
    require(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static int load_once(int fd, const struct memory_map *map, bool no_uring, bool strict)
{
    struct guest_memory memory;
    struct thaw_error err = {0};
    const struct pack_options options = {.threads = 1, .no_uring = no_uring};
    make_memory(&memory, map);
    const struct frame_sink sink = {.map = map, .memory = &memory, .fd = -1, .strict = strict};
    int rc = packed_load_to(fd, &sink, &options, NULL, &err);
    check_failure(rc, &err);
    check_untouched(&memory, map);
    guest_memory_destroy(&memory);
    return rc;
}

static void load_file(const struct blob *bytes)
{
    const struct memory_map map = make_map();
    cleanup_close int fd = file_of(bytes);
    int rc = load_once(fd, &map, true, false);
    require(load_once(fd, &map, false, false) == rc);
    require(load_once(fd, &map, true, true) < 0 || rc == 0);
}

static void take_all(struct fuzz_input *in, struct blob *to)
{
    struct thaw_error err = {0};
    require(blob_append(to, in->at, in->left, &err));
}

static void make_frames(struct fuzz_input *in, struct blob *to)
{
    const struct memory_map map = make_map();
    struct thaw_error err = {0};
    struct seek_table table = {0};
    for (unsigned i = 0; i < FRAMES; i++) {
        uint8_t frame[4096];
        size_t size = fuzz_u16(in) % sizeof(frame);
        fuzz_bytes(in, frame, size);
        require(blob_append(to, frame, size, &err));
        require(seek_table_add(&table, FRAMES, frame, size, &err) == 0);
    }
    require(seek_table_encode(&table, &map, to, &err) == 0);
    seek_table_free(&table);
}

static void append_index(struct blob *to, struct memory_map *map)
{
    struct thaw_error err = {0};
    struct blob index = {0};
    require(memory_index_start(&index, map->pages, &err) == 0);
    require(blob_append(&index, NULL, sizeof(struct memory_index_entry), &err));
    map->index_checksum = memory_index_checksum(&index);
    const struct stream_record record = {STREAM_INDEX, 0, index.size};
    require(blob_append(to, &record, sizeof(record), &err));
    require(blob_append(to, index.data, index.size, &err));
    blob_free(&index);
}

static void append_end(struct blob *to)
{
    struct thaw_error err = {0};
    const struct stream_record record = {STREAM_END, 0, 8};
    require(blob_append(to, &record, sizeof(record), &err));
    XXH64_hash_t checksum = XXH3_64bits(to->data, to->size);
    require(blob_append(to, &checksum, sizeof(checksum), &err));
}

static void load_stream(const struct blob *bytes, const struct memory_map *map)
{
    struct thaw_error err = {0};
    struct guest_memory memory;
    struct snapshot_state state;
    struct stream_reader *reader;
    const struct pack_options options = {.threads = 1};
    cleanup_close int fd = file_of(bytes);
    make_memory(&memory, map);
    require(stream_open(fd, &reader, &state, &err) == 0);
    int rc = stream_load(reader, map, &memory, -1, &options, &err);
    check_failure(rc, &err);
    check_untouched(&memory, map);
    stream_close(reader);
    snapshot_state_free(&state);
    guest_memory_destroy(&memory);
}

static void run_stream(struct fuzz_input *in)
{
    struct thaw_error err = {0};
    struct memory_map map = make_map();
    struct snapshot_writer *writer = calloc(1, sizeof(*writer));
    struct blob stream = {0};
    require(writer && snapshot_writer_finish(writer, &stream, &err) == 0);
    append_index(&stream, &map);
    take_all(in, &stream);
    append_end(&stream);
    load_stream(&stream, &map);
    blob_free(&stream);
    free(writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    struct blob bytes = {0};
    unsigned mode = fuzz_u8(&in) % MODE_COUNT;
    if (mode == MODE_STREAM) {
        run_stream(&in);
        return 0;
    }
    if (mode == MODE_FRAMES)
        make_frames(&in, &bytes);
    else
        take_all(&in, &bytes);
    load_file(&bytes);
    blob_free(&bytes);
    return 0;
}
