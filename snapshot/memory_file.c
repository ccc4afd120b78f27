/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory_file.h"

#include "snapshot/memory_index.h"
#include "snapshot/memory_scan.h"
#include "snapshot/memory_writer.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>

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
    struct memory_map *map;             /* complete before anything is written */
    struct blob index;                  /* becomes memory.idx */
    struct memory_index_entry *entries; /* in `index` */
};

static const void *page_in_guest(const void *memory, uint64_t page)
{
    return page_address(memory, page, 1);
}

static void *hash_chunks(void *ctx)
{
    struct capture *capture = ctx;
    uint64_t count = memory_chunk_count(capture->map->pages);
    for (uint64_t chunk = 0; chunk < count; chunk++)
        capture->entries[chunk] =
            memory_chunk_entry(&capture->map->data, chunk, page_in_guest, capture->memory);
    return NULL;
}

static int write_run(struct memory_writer *writer, const struct guest_memory *memory,
                     struct page_run run, struct thaw_error *err)
{
    while (run.count > 0) {
        uint64_t count = run.count < MEMORY_CHUNK_PAGES ? run.count : MEMORY_CHUNK_PAGES;
        int rc = memory_writer_put(writer, page_in_guest(memory, run.first),
                                   count * GUEST_PAGE_SIZE, run.first * GUEST_PAGE_SIZE, err);
        if (rc < 0)
            return rc;
        run.first += count;
        run.count -= count;
    }
    return 0;
}

static int write_memory(struct capture *capture, int fd, struct thaw_error *err)
{
    if (ftruncate(fd, (off_t)(capture->map->pages * GUEST_PAGE_SIZE)) < 0)
        return io_failed(err, SNAPSHOT_MEMORY);
    struct thaw_error failed = {0};
    struct memory_writer writer;
    memory_writer_init(&writer, fd, true);
    const struct page_runs *data = &capture->map->data;
    for (size_t i = 0; i < data->count && failed.code == 0; i++)
        write_run(&writer, capture->memory, data->items[i], &failed);
    if (memory_writer_finish(&writer, &failed) == 0)
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

/* Both only read, and each is bound by the memory it reads: together they take as long as the
 * writing alone. */
static int write_while_hashing(int dir_fd, struct capture *capture, struct thaw_error *err)
{
    pthread_t thread;
    bool beside = pthread_create(&thread, NULL, hash_chunks, capture) == 0;
    int rc = write_new(dir_fd, SNAPSHOT_MEMORY, capture, write_memory, err);
    if (beside)
        pthread_join(thread, NULL);
    else
        hash_chunks(capture);
    return rc;
}

static int start_index(struct capture *capture, struct thaw_error *err)
{
    uint64_t chunks = memory_chunk_count(capture->map->pages);
    int rc = memory_index_start(&capture->index, capture->map->pages, err);
    if (rc < 0)
        return rc;
    capture->entries = blob_append(&capture->index, NULL, chunks * sizeof(*capture->entries), err);
    return capture->entries ? 0 : thaw_error_code(err);
}

static int write_files(int dir_fd, struct capture *capture, struct thaw_error *err)
{
    int rc = start_index(capture, err);
    if (rc == 0)
        rc = write_while_hashing(dir_fd, capture, err);
    if (rc < 0)
        return rc;
    capture->map->index_checksum = memory_index_checksum(&capture->index);
    rc = write_new(dir_fd, SNAPSHOT_INDEX, capture, write_index, err);
    if (rc < 0)
        (void)unlinkat(dir_fd, SNAPSHOT_MEMORY, 0);
    return rc;
}

int memory_index_guest(struct blob *index, const struct guest_memory *memory,
                       struct memory_map *map, struct thaw_error *err)
{
    struct capture capture = {.memory = memory, .map = map};
    int rc = start_index(&capture, err);
    if (rc < 0) {
        blob_free(&capture.index);
        return rc;
    }
    hash_chunks(&capture);
    map->index_checksum = memory_index_checksum(&capture.index);
    *index = capture.index;
    return 0;
}

int memory_file_write(int dir_fd, const struct guest_memory *memory, const struct page_runs *backed,
                      struct memory_map *map, struct thaw_error *err)
{
    int rc = memory_scan(memory, backed, map, err);
    if (rc < 0)
        return rc;
    struct capture capture = {.memory = memory, .map = map};
    rc = write_files(dir_fd, &capture, err);
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
