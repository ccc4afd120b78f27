/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory_file.h"

#include "snapshot/memory_index.h"
#include "snapshot/memory_scan.h"
#include "snapshot/memory_writer.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

static int io_failed(struct thaw_error *err, const char *name)
{
    thaw_fail(err, errno, "%s", name);
    return thaw_reclassify(err, THAW_FAIL_IO);
}

/* A new file, which is not there before. */
static int create(int dir_fd, const char *name, struct thaw_error *err)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? io_failed(err, name) : fd;
}

/* ---- writing ------------------------------------------------------------------------------ */

struct capture {
    const struct guest_memory *memory;
    struct memory_map *map;
    struct memory_scanner scanner;
    struct memory_writer writer;
    struct blob index;
};

static const void *page_in_guest(const void *memory, uint64_t page)
{
    return page_address(memory, page, 1);
}

static int write_chunk(struct capture *capture, uint64_t first, uint64_t end,
                       struct thaw_error *err)
{
    const struct page_runs *data = &capture->map->data;
    for (size_t i = page_runs_find(data, first); i < data->count && data->items[i].first < end;
         i++) {
        struct page_run run = page_run_clip(data->items[i], first, end);
        int rc = memory_writer_put(&capture->writer, page_in_guest(capture->memory, run.first),
                                   run.count * GUEST_PAGE_SIZE, run.first * GUEST_PAGE_SIZE, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The kernel copies a chunk's pages while it is hashed here, still in the cache of both. */
static int capture_chunk(struct capture *capture, uint64_t chunk, struct thaw_error *err)
{
    uint64_t first = chunk * MEMORY_CHUNK_PAGES, left = capture->map->pages - first;
    uint64_t count = left < MEMORY_CHUNK_PAGES ? left : MEMORY_CHUNK_PAGES;
    int rc = memory_scanner_next(&capture->scanner, first, count, &capture->map->data, err);
    if (rc < 0)
        return rc;
    rc = write_chunk(capture, first, first + count, err);
    if (rc < 0)
        return rc;
    struct memory_index_entry entry =
        memory_chunk_entry(&capture->map->data, chunk, page_in_guest, capture->memory);
    return blob_append(&capture->index, &entry, sizeof(entry), err) ? 0 : thaw_error_code(err);
}

static int capture_chunks(struct capture *capture, struct thaw_error *err)
{
    int rc = memory_index_start(&capture->index, capture->map->pages, err);
    for (uint64_t chunk = 0; rc == 0 && chunk < memory_chunk_count(capture->map->pages); chunk++)
        rc = capture_chunk(capture, chunk, err);
    return rc;
}

static int write_memory(struct capture *capture, int fd, struct thaw_error *err)
{
    if (ftruncate(fd, (off_t)(capture->map->pages * GUEST_PAGE_SIZE)) < 0)
        return io_failed(err, SNAPSHOT_MEMORY);
    struct thaw_error failed = {0};
    memory_writer_init(&capture->writer, fd, true);
    capture_chunks(capture, &failed);
    if (memory_writer_finish(&capture->writer, &failed) == 0)
        return 0;
    *err = failed;
    return thaw_context(err, SNAPSHOT_MEMORY);
}

static int write_index(struct capture *capture, int fd, struct thaw_error *err)
{
    if (file_write_full(fd, capture->index.data, capture->index.size, err) < 0) {
        thaw_context(err, SNAPSHOT_INDEX);
        return thaw_reclassify(err, THAW_FAIL_IO);
    }
    capture->map->index_checksum = memory_index_checksum(&capture->index);
    return 0;
}

/* Creates a file and has it filled; it is gone again when that fails. */
static int write_new(int dir_fd, const char *name, struct capture *capture,
                     int (*fill)(struct capture *capture, int fd, struct thaw_error *err),
                     struct thaw_error *err)
{
    cleanup_close int fd = create(dir_fd, name, err);
    if (fd < 0)
        return fd;
    int rc = fill(capture, fd, err);
    if (rc < 0)
        (void)unlinkat(dir_fd, name, 0);
    return rc;
}

static int write_files(int dir_fd, struct capture *capture, struct thaw_error *err)
{
    int rc = write_new(dir_fd, SNAPSHOT_MEMORY, capture, write_memory, err);
    if (rc < 0)
        return rc;
    rc = write_new(dir_fd, SNAPSHOT_INDEX, capture, write_index, err);
    if (rc < 0)
        (void)unlinkat(dir_fd, SNAPSHOT_MEMORY, 0);
    return rc;
}

int memory_index_guest(struct blob *index, const struct guest_memory *memory,
                       struct memory_map *map, struct thaw_error *err)
{
    int rc = memory_index_start(index, map->pages, err);
    for (uint64_t chunk = 0; rc == 0 && chunk < memory_chunk_count(map->pages); chunk++) {
        struct memory_index_entry entry =
            memory_chunk_entry(&map->data, chunk, page_in_guest, memory);
        rc = blob_append(index, &entry, sizeof(entry), err) ? 0 : thaw_error_code(err);
    }
    map->index_checksum = memory_index_checksum(index);
    return rc;
}

int memory_file_write(int dir_fd, const struct guest_memory *memory, const struct page_runs *backed,
                      struct memory_map *map, struct thaw_error *err)
{
    struct capture capture = {.memory = memory, .map = map};
    memory_map_describe(map, memory);
    int rc = memory_scanner_init(&capture.scanner, memory, backed, err);
    if (rc == 0)
        rc = write_files(dir_fd, &capture, err);
    memory_scanner_free(&capture.scanner);
    blob_free(&capture.index);
    if (rc < 0)
        memory_map_free(map);
    return rc;
}

/* ---- opening ------------------------------------------------------------------------------ */

static int check_index(int dir_fd, const struct memory_map *map, struct thaw_error *err)
{
    cleanup_memory_index struct memory_index index;
    return memory_index_read(&index, dir_fd, map, err);
}

int memory_file_open(int dir_fd, const struct memory_map *map, struct thaw_error *err)
{
    uint64_t size = 0, expected = map->pages * GUEST_PAGE_SIZE;
    cleanup_close int fd = snapshot_open_file(dir_fd, SNAPSHOT_MEMORY, &size, err);
    if (fd < 0)
        return fd;
    if (size < expected)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_SHORT, EINVAL,
                            SNAPSHOT_MEMORY ": %" PRIu64 " bytes, should be %" PRIu64, size,
                            expected);
    if (size > expected)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL,
                            SNAPSHOT_MEMORY ": %" PRIu64 " bytes behind its end", size - expected);
    int rc = check_index(dir_fd, map, err);
    return rc < 0 ? rc : take_fd(&fd);
}
