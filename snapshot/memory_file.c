/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory_file.h"

#include "snapshot/memory_index.h"
#include "snapshot/memory_writer.h"
#include "vmm/base/file.h"
#include "vmm/base/parallel.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* A new file, which is not there before. */
static int create(int dir_fd, const char *name, struct thaw_error *err)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? thaw_fail_io(err, errno, "%s", name) : fd;
}

/* ---- writing ------------------------------------------------------------------------------ */

static int write_run(struct memory_writer *writer, const struct guest_memory *memory,
                     struct page_run run, struct thaw_error *err)
{
    while (run.count > 0) {
        uint64_t count = run.count < MEMORY_CHUNK_PAGES ? run.count : MEMORY_CHUNK_PAGES;
        int rc = memory_writer_put(writer, page_address(memory, run.first, count),
                                   count * GUEST_PAGE_SIZE, run.first * GUEST_PAGE_SIZE, err);
        if (rc < 0)
            return rc;
        run.first += count;
        run.count -= count;
    }
    return 0;
}

static int write_pages(int fd, const struct guest_memory *memory, const struct page_runs *data,
                       struct thaw_error *err)
{
    struct thaw_error failed = {0};
    struct memory_writer writer;
    memory_writer_init(&writer, fd, true);
    for (size_t i = 0; i < data->count && failed.code == 0; i++)
        write_run(&writer, memory, data->items[i], &failed);
    if (memory_writer_finish(&writer, &failed) == 0)
        return 0;
    *err = failed;
    return thaw_context(err, SNAPSHOT_MEMORY);
}

/* A new file `memory`; it is gone again when it cannot be filled. */
static int write_memory(int dir_fd, const struct guest_memory *memory, const struct memory_map *map,
                        struct thaw_error *err)
{
    cleanup_close int fd = create(dir_fd, SNAPSHOT_MEMORY, err);
    if (fd < 0)
        return fd;
    int rc = 0;
    if (ftruncate(fd, (off_t)(map->pages * GUEST_PAGE_SIZE)) < 0)
        rc = thaw_fail_io(err, errno, SNAPSHOT_MEMORY);
    if (rc == 0)
        rc = write_pages(fd, memory, &map->data, err);
    if (rc < 0)
        (void)unlinkat(dir_fd, SNAPSHOT_MEMORY, 0);
    return rc;
}

int memory_file_write(int dir_fd, const struct guest_memory *memory, const struct page_runs *backed,
                      struct memory_map *map, struct thaw_error *err)
{
    int rc = memory_scan(memory, backed, map, err);
    if (rc < 0)
        return rc;
    rc = write_memory(dir_fd, memory, map, err);
    if (rc < 0)
        memory_map_free(map);
    return rc;
}

/* Holes where zeros are now; where the file system has none, zeros. */
static int clear_pages(int fd, const struct guest_memory *memory, const struct page_runs *zeros,
                       struct thaw_error *err)
{
    for (size_t i = 0; i < zeros->count; i++) {
        off_t at = (off_t)(zeros->items[i].first * GUEST_PAGE_SIZE);
        off_t size = (off_t)(zeros->items[i].count * GUEST_PAGE_SIZE);
        if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, size) == 0)
            continue;
        return errno == EOPNOTSUPP ? write_pages(fd, memory, zeros, err)
                                   : thaw_fail_io(err, errno, SNAPSHOT_MEMORY);
    }
    return 0;
}

int memory_file_rewrite(int dir_fd, const struct guest_memory *memory,
                        const struct page_runs *changed, struct memory_map *map,
                        struct thaw_error *err)
{
    cleanup_page_runs struct page_runs data = {0}, zeros = {0};
    cleanup_close int fd = openat(dir_fd, SNAPSHOT_MEMORY, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return thaw_fail_io(err, errno, SNAPSHOT_MEMORY);
    int rc = memory_rescan(memory, changed, map, &data, err);
    if (rc == 0)
        rc = page_runs_subtract(&zeros, changed, &data, err);
    if (rc == 0)
        rc = write_pages(fd, memory, &data, err);
    return rc == 0 ? clear_pages(fd, memory, &zeros, err) : rc;
}

/* ---- the index ---------------------------------------------------------------------------- */

static const void *page_in_guest(const void *memory, uint64_t page)
{
    return page_address(memory, page, 1);
}

static const void *page_in_mapping(const void *mapping, uint64_t page)
{
    return (const char *)mapping + page * GUEST_PAGE_SIZE;
}

struct index_work {
    const struct page_runs *data;
    page_lookup *at;
    const void *ctx;
    struct memory_index_entry *entries;
};

static int index_chunk(void *ctx, unsigned thread, uint64_t chunk, struct thaw_error *err)
{
    const struct index_work *work = ctx;
    (void)thread;
    (void)err;
    work->entries[chunk] = memory_chunk_entry(work->data, chunk, work->at, work->ctx);
    return 0;
}

static int build_index(struct blob *index, struct memory_map *map, page_lookup *at, const void *ctx,
                       struct thaw_error *err)
{
    uint64_t count = memory_chunk_count(map->pages);
    cleanup_free struct memory_index_entry *entries = calloc(count, sizeof(*entries));
    if (!entries)
        return thaw_fail(err, ENOMEM, SNAPSHOT_INDEX);
    struct index_work work = {.data = &map->data, .at = at, .ctx = ctx, .entries = entries};
    int rc = parallel_for(count, index_chunk, &work, err);
    if (rc == 0)
        rc = memory_index_start(index, map->pages, err);
    if (rc == 0)
        rc = blob_append(index, entries, count * sizeof(*entries), err) ? 0 : thaw_error_code(err);
    if (rc == 0)
        map->index_checksum = memory_index_checksum(index);
    else
        blob_free(index);
    return rc;
}

int memory_index_guest(struct blob *index, const struct guest_memory *memory,
                       struct memory_map *map, struct thaw_error *err)
{
    return build_index(index, map, page_in_guest, memory, err);
}

/* Of a file that was just written, and that nobody else has: it cannot shrink under the mapping. */
static int build_index_of_file(int dir_fd, struct blob *index, struct memory_map *map,
                               struct thaw_error *err)
{
    size_t size = map->pages * GUEST_PAGE_SIZE;
    cleanup_close int fd = openat(dir_fd, SNAPSHOT_MEMORY, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return thaw_fail_io(err, errno, SNAPSHOT_MEMORY);
    void *mapping = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (mapping == MAP_FAILED)
        return thaw_fail_io(err, errno, "mmap of " SNAPSHOT_MEMORY);
    int rc = build_index(index, map, page_in_mapping, mapping, err);
    munmap(mapping, size);
    return rc;
}

static int write_index(int dir_fd, const struct blob *index, struct thaw_error *err)
{
    cleanup_close int fd = create(dir_fd, SNAPSHOT_INDEX, err);
    if (fd < 0)
        return fd;
    if (file_write_full(fd, index->data, index->size, err) == 0)
        return 0;
    (void)unlinkat(dir_fd, SNAPSHOT_INDEX, 0);
    thaw_context(err, SNAPSHOT_INDEX);
    return thaw_reclassify(err, THAW_FAIL_IO);
}

int memory_file_index(int dir_fd, struct memory_map *map, struct thaw_error *err)
{
    cleanup_blob struct blob index = {0};
    int rc = build_index_of_file(dir_fd, &index, map, err);
    return rc < 0 ? rc : write_index(dir_fd, &index, err);
}

/* ---- opening ------------------------------------------------------------------------------ */

static int check_index(int dir_fd, const struct memory_map *map, struct thaw_error *err)
{
    cleanup_memory_index struct memory_index index;
    return memory_index_read(&index, dir_fd, map, err);
}

int memory_file_open(int dir_fd, const struct memory_map *map, struct thaw_error *err)
{
    cleanup_close int fd =
        snapshot_open_exact(dir_fd, SNAPSHOT_MEMORY, map->pages * GUEST_PAGE_SIZE, err);
    if (fd < 0)
        return fd;
    int rc = check_index(dir_fd, map, err);
    return rc < 0 ? rc : take_fd(&fd);
}
