/* SPDX-License-Identifier: Apache-2.0 */
/* Frames are compressed by whichever thread is free and emitted in their order: a ring of slots,
 * taken by the workers and emptied by the caller. */
#include "snapshot/pack_frames.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define THREADS_MAX 8u
#define SLOTS       32u

enum slot_state { SLOT_FREE, SLOT_BUSY, SLOT_DONE };

struct slot {
    enum slot_state state;
    size_t size;
    uint8_t data[PACK_FRAME_BOUND];
};

struct compressor {
    const struct frame_source *source;
    const struct pack_options *options;
    struct slot *slots; /* SLOTS */

    pthread_mutex_t lock; /* of everything below, and of the states */
    pthread_cond_t changed;
    uint64_t next_frame;     /* that a worker looks at */
    uint64_t taken, emitted; /* frames of data */
    bool stop;
    struct thaw_error err; /* why it was stopped, when a worker did it */

    unsigned thread_count;
    pthread_t threads[THREADS_MAX];
};

/* What a thread needs to compress. */
struct workbench {
    ZSTD_CCtx *zstd;
    uint8_t *page_buffer; /* PACK_FRAME_SIZE */
};

static int workbench_init(struct workbench *bench, int level, struct thaw_error *err)
{
    bench->zstd = ZSTD_createCCtx();
    bench->page_buffer = malloc(PACK_FRAME_SIZE);
    if (!bench->zstd || !bench->page_buffer ||
        ZSTD_isError(ZSTD_CCtx_setParameter(bench->zstd, ZSTD_c_compressionLevel,
                                            level > 0 ? level : PACK_LEVEL_DEFAULT)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(bench->zstd, ZSTD_c_checksumFlag, 1)))
        return thaw_fail(err, ENOMEM, "zstd");
    return 0;
}

static void workbench_free(struct workbench *bench)
{
    ZSTD_freeCCtx(bench->zstd);
    free(bench->page_buffer);
}
#define cleanup_workbench cleanup(workbench_free)

static int read_pages(const struct frame_source *source, const struct page_run *run, uint8_t *to,
                      struct thaw_error *err)
{
    uint64_t offset = run->first * GUEST_PAGE_SIZE;
    if (!source->memory)
        return file_pread_full(source->fd, to, run->count * GUEST_PAGE_SIZE, offset, err) < 0
                   ? thaw_context(err, SNAPSHOT_MEMORY)
                   : 0;
    /* One by one: the memory's regions need not end with a frame. */
    for (uint64_t i = 0; i < run->count; i++) {
        const void *page = page_address(source->memory, run->first + i, 1);
        if (!page)
            return thaw_fail(err, EFAULT, "memory map of another memory");
        memcpy(to + i * GUEST_PAGE_SIZE, page, GUEST_PAGE_SIZE);
    }
    return 0;
}

static int gather(const struct frame_source *source, uint64_t frame, uint8_t *to,
                  struct thaw_error *err)
{
    uint64_t first = frame * PACK_FRAME_PAGES;
    uint64_t count = frame_pages(source->map->pages, frame);
    struct page_run run;
    memset(to, 0, count * GUEST_PAGE_SIZE);
    for (uint64_t page = first; frame_run_next(&source->map->data, page, first + count, &run);
         page = run.first + run.count) {
        int rc = read_pages(source, &run, to + (run.first - first) * GUEST_PAGE_SIZE, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Of the content in the buffer. */
static int compress_buffer(const struct workbench *bench, size_t content, uint8_t *to, size_t *size,
                           struct thaw_error *err)
{
    size_t n = ZSTD_compress2(bench->zstd, to, PACK_FRAME_BOUND, bench->page_buffer, content);
    if (ZSTD_isError(n))
        return thaw_fail_as(err, THAW_FAIL_INTERNAL, EIO, "zstd: %s", ZSTD_getErrorName(n));
    *size = n;
    return 0;
}

static int compress(const struct compressor *all, const struct workbench *bench, uint64_t frame,
                    struct slot *slot, struct thaw_error *err)
{
    int rc = gather(all->source, frame, bench->page_buffer, err);
    if (rc < 0)
        return rc;
    size_t content = frame_pages(all->source->map->pages, frame) * GUEST_PAGE_SIZE;
    return compress_buffer(bench, content, slot->data, &slot->size, err);
}

static void stop(struct compressor *all, const struct thaw_error *why)
{
    if (!all->stop && why)
        all->err = *why;
    all->stop = true;
    pthread_cond_broadcast(&all->changed);
}

/* Under the lock. NULL: no more. */
static struct slot *take_slot(struct compressor *all, uint64_t *frame)
{
    while (!all->stop && all->taken - all->emitted == SLOTS)
        pthread_cond_wait(&all->changed, &all->lock);
    *frame = frame_next_data(all->source->map, all->next_frame);
    if (all->stop || *frame == frame_count(all->source->map->pages))
        return NULL;
    all->next_frame = *frame + 1;
    struct slot *slot = &all->slots[all->taken++ % SLOTS];
    slot->state = SLOT_BUSY;
    return slot;
}

static void *worker(void *ctx)
{
    struct compressor *all = ctx;
    cleanup_workbench struct workbench bench = {0};
    struct thaw_error err = {0};
    struct slot *slot;
    uint64_t frame;
    int rc = workbench_init(&bench, all->options->level, &err);

    pthread_mutex_lock(&all->lock);
    while (rc == 0 && (slot = take_slot(all, &frame))) {
        pthread_mutex_unlock(&all->lock);
        rc = compress(all, &bench, frame, slot, &err);
        pthread_mutex_lock(&all->lock);
        slot->state = SLOT_DONE;
        pthread_cond_broadcast(&all->changed);
    }
    if (rc < 0)
        stop(all, &err);
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

/* Waits for the next frame of data and emits it. */
static int emit_data(struct compressor *all, uint64_t frame, frame_emit_fn emit, void *ctx,
                     struct thaw_error *err)
{
    struct slot *slot = &all->slots[all->emitted % SLOTS];
    pthread_mutex_lock(&all->lock);
    while (!all->stop && slot->state != SLOT_DONE)
        pthread_cond_wait(&all->changed, &all->lock);
    bool stopped = all->stop;
    pthread_mutex_unlock(&all->lock);
    if (stopped) {
        *err = all->err;
        return thaw_error_code(err);
    }

    int rc = emit(ctx, frame, slot->data, slot->size, err);
    pthread_mutex_lock(&all->lock);
    slot->state = SLOT_FREE;
    all->emitted++;
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
    return rc;
}

/* A compressed frame of zeros, made once for each length. */
struct zero_frame {
    uint64_t pages;
    size_t size;
    uint8_t data[PACK_FRAME_BOUND];
};

static int emit_zeros(struct zero_frame *zero, const struct frame_source *source, uint64_t frame,
                      frame_emit_fn emit, void *ctx, struct thaw_error *err)
{
    uint64_t pages = frame_pages(source->map->pages, frame);
    if (zero->pages != pages) {
        cleanup_workbench struct workbench bench = {0};
        if (workbench_init(&bench, 1, err) < 0)
            return thaw_error_code(err);
        memset(bench.page_buffer, 0, PACK_FRAME_SIZE);
        if (compress_buffer(&bench, pages * GUEST_PAGE_SIZE, zero->data, &zero->size, err) < 0)
            return thaw_error_code(err);
        zero->pages = pages;
    }
    return emit(ctx, frame, zero->data, zero->size, err);
}

static int emit_all(struct compressor *all, bool zeros, frame_emit_fn emit, void *ctx,
                    struct thaw_error *err)
{
    const struct memory_map *map = all->source->map;
    uint64_t count = frame_count(map->pages), data = frame_next_data(map, 0);
    cleanup_free struct zero_frame *zero = calloc(1, sizeof(*zero));
    if (!zero)
        return thaw_fail(err, ENOMEM, "zstd");
    for (uint64_t frame = zeros ? 0 : data; frame < count; frame = zeros ? frame + 1 : data) {
        int rc = frame == data ? emit_data(all, frame, emit, ctx, err)
                               : emit_zeros(zero, all->source, frame, emit, ctx, err);
        if (rc < 0)
            return rc;
        if (frame == data)
            data = frame_next_data(map, frame + 1);
        if (frame + 1 < count)
            frame_progress(all->options, map, frame + 1);
    }
    frame_progress(all->options, map, count);
    return 0;
}

static int start_threads(struct compressor *all, struct thaw_error *err)
{
    uint64_t pages = page_runs_pages(&all->source->map->data);
    unsigned wanted = pages > 0 ? frame_threads(all->options, pages) : 0;
    for (; all->thread_count < wanted; all->thread_count++) {
        int code = pthread_create(&all->threads[all->thread_count], NULL, worker, all);
        if (code != 0 && all->thread_count == 0)
            return thaw_fail(err, code, "thread");
        if (code != 0)
            break;
    }
    return 0;
}

int frames_compress(const struct frame_source *source, const struct pack_options *options,
                    bool zeros, frame_emit_fn emit, void *ctx, struct thaw_error *err)
{
    struct compressor all = {
        .source = source,
        .options = options,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    cleanup_free struct slot *slots = calloc(SLOTS, sizeof(*slots));
    if (!slots)
        return thaw_fail(err, ENOMEM, "zstd");
    all.slots = slots;

    int rc = start_threads(&all, err);
    if (rc == 0)
        rc = emit_all(&all, zeros, emit, ctx, err);
    pthread_mutex_lock(&all.lock);
    stop(&all, NULL);
    pthread_mutex_unlock(&all.lock);
    for (unsigned i = 0; i < all.thread_count; i++)
        pthread_join(all.threads[i], NULL);
    return rc;
}
