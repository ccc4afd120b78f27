/* SPDX-License-Identifier: Apache-2.0 */
/* Reads frames, several at a time, and hands them to the pool as they come. */
#include "snapshot/pack_load.h"

#include "snapshot/uring.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/mman.h>

#define DEPTH 16u /* reads in flight */

struct loader {
    int fd;
    const struct memory_map *map;
    const struct pack_options *options;
    const struct seek_table *table;
    struct frame_pool *pool;
    bool all;      /* also the frames without data */
    uint64_t next; /* frame to read */
    unsigned in_flight;
    bool uring;
    struct io_uring ring;
};

static bool is_over(const struct loader *loader)
{
    return loader->next >= loader->table->count;
}

/* Takes an input for the next frame; NULL: there is none to take, or no more is needed. */
static struct frame_input *take_next(struct loader *loader, bool wait)
{
    if (is_over(loader))
        return NULL;
    struct frame_input *input = frame_pool_take(loader->pool, wait);
    if (!input)
        return NULL;
    input->frame = loader->next;
    input->size = loader->table->entries[loader->next].size;
    frame_progress(loader->options, loader->map, loader->next);
    loader->next = loader->all ? loader->next + 1 : frame_next_data(loader->map, loader->next + 1);
    return input;
}

/* Reads what is missing behind the first `there` bytes. */
static int read_rest(const struct loader *loader, struct frame_input *input, size_t there,
                     struct thaw_error *err)
{
    const struct seek_entry *entry = &loader->table->entries[input->frame];
    if (file_pread_full(loader->fd, input->data + there, input->size - there, entry->offset + there,
                        err) < 0)
        return thaw_context(err, SNAPSHOT_PACKED ": frame %llu", (unsigned long long)input->frame);
    return seek_table_check(entry, input->frame, input->data, err);
}

static int finish_read(struct loader *loader, struct frame_input *input, size_t there,
                       struct thaw_error *err)
{
    int rc = read_rest(loader, input, there, err);
    if (rc < 0)
        frame_pool_return(loader->pool, input);
    else
        frame_pool_submit(loader->pool, input);
    return rc;
}

static int load_with_pread(struct loader *loader, struct thaw_error *err)
{
    for (struct frame_input *input; (input = take_next(loader, true));) {
        int rc = finish_read(loader, input, 0, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void queue_reads(struct loader *loader)
{
    struct frame_input *input;
    /* Waits for the pool only when nothing else will come. */
    while (loader->in_flight < DEPTH && (input = take_next(loader, loader->in_flight == 0))) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&loader->ring); /* there are DEPTH */
        io_uring_prep_read(sqe, loader->fd, input->data, (unsigned)input->size,
                           loader->table->entries[input->frame].offset);
        io_uring_sqe_set_data(sqe, input);
        loader->in_flight++;
    }
}

/* A read that failed is done again with pread, which then says why. */
static int reap(struct loader *loader, struct thaw_error *err)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&loader->ring, &cqe) == 0) {
        struct frame_input *input = io_uring_cqe_get_data(cqe);
        size_t there = cqe->res > 0 ? (size_t)cqe->res : 0;
        io_uring_cqe_seen(&loader->ring, cqe);
        loader->in_flight--;
        int rc = finish_read(loader, input, there, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int load_with_uring(struct loader *loader, struct thaw_error *err)
{
    int rc = 0;
    while (rc == 0) {
        queue_reads(loader);
        if (loader->in_flight == 0)
            return 0;
        int waited = io_uring_submit_and_wait(&loader->ring, 1);
        if (waited < 0 && waited != -EINTR && waited != -EAGAIN && waited != -EBUSY)
            rc = thaw_fail(err, -waited, "io_uring_enter");
        else
            rc = reap(loader, err);
    }
    uring_drain(&loader->ring, loader->in_flight);
    return rc;
}

static int load(struct loader *loader, const struct frame_sink *sink, struct thaw_error *err)
{
    int rc = frame_pool_create(&loader->pool, sink, loader->options, err);
    if (rc < 0)
        return rc;
    loader->uring = !loader->options->no_uring && io_uring_queue_init(DEPTH, &loader->ring, 0) == 0;
    rc = loader->uring ? load_with_uring(loader, err) : load_with_pread(loader, err);
    if (loader->uring)
        io_uring_queue_exit(&loader->ring);

    struct thaw_error ignored = {0};
    int unpacked = frame_pool_finish(loader->pool, rc < 0 ? &ignored : err);
    return rc < 0 ? rc : unpacked;
}

int packed_load_to(int fd, const struct frame_sink *sink, const struct pack_options *options,
                   bool *used_uring, struct thaw_error *err)
{
    static const struct pack_options defaults = {0};
    cleanup_seek_table struct seek_table table = {0};
    int rc = seek_table_read(&table, fd, sink->map, err);
    if (rc < 0)
        return rc;
    struct loader loader = {
        .fd = fd,
        .map = sink->map,
        .options = options ? options : &defaults,
        .table = &table,
        .all = sink->strict,
        .next = sink->strict ? 0 : frame_next_data(sink->map, 0),
    };
    rc = is_over(&loader) ? 0 : load(&loader, sink, err);
    if (rc == 0)
        frame_progress(loader.options, sink->map, table.count);
    if (used_uring)
        *used_uring = loader.uring;
    return rc;
}

int packed_load(int memory_zst, const struct memory_map *map, const struct guest_memory *memory,
                const struct pack_options *options, bool *used_uring, struct thaw_error *err)
{
    struct frame_sink sink = {.map = map, .memory = memory, .fd = -1};
    return packed_load_to(memory_zst, &sink, options, used_uring, err);
}

int packed_open(int dir_fd, const struct memory_map *map, struct thaw_error *err)
{
    uint64_t size;
    cleanup_seek_table struct seek_table table = {0};
    cleanup_close int fd = snapshot_open_file(dir_fd, SNAPSHOT_PACKED, &size, err);
    if (fd < 0)
        return fd;
    int rc = seek_table_read(&table, fd, map, err);
    return rc < 0 ? rc : take_fd(&fd);
}

bool packed_is(int dir_fd)
{
    return faccessat(dir_fd, SNAPSHOT_MEMORY, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
           faccessat(dir_fd, SNAPSHOT_PACKED, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int packed_verify(int dir_fd, const struct memory_map *map, const struct pack_options *options,
                  struct thaw_error *err)
{
    cleanup_close int packed = packed_open(dir_fd, map, err);
    if (packed < 0)
        return packed;
    cleanup_close int plain = memfd_create("thaw-verify", MFD_CLOEXEC);
    if (plain < 0 || ftruncate(plain, (off_t)(map->pages * GUEST_PAGE_SIZE)) < 0)
        return thaw_fail(err, errno, "memory to unpack to");
    struct frame_sink sink = {.map = map, .fd = plain, .strict = true};
    int rc = packed_load_to(packed, &sink, options, NULL, err);
    return rc < 0 ? rc : memory_file_verify(dir_fd, plain, map, NULL, NULL, err);
}
