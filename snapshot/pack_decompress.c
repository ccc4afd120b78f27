/* SPDX-License-Identifier: Apache-2.0 */
/* A small pool of threads that decompress frames, each into its own place, in any order. */
#include "snapshot/pack_frames.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define THREADS_MAX 8u
#define INPUTS      32u

#define FRAME_HEADER_MIN      5u
#define FRAME_DESCRIPTOR      4u /* behind the magic number */
#define DESCRIPTOR_CHECKSUM   0x04u
#define DESCRIPTOR_DICTIONARY 0x03u

struct frame_pool {
    const struct frame_sink *sink;
    struct frame_input *inputs; /* INPUTS, or as many as there are frames */

    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t given, freed;
    struct frame_input *free[INPUTS], *queue[INPUTS];
    unsigned free_count, queue_first, queue_count;
    bool done, failed;
    struct thaw_error err;

    unsigned thread_count;
    pthread_t threads[THREADS_MAX];
};

/* ---- one frame ---------------------------------------------------------------------------- */

static uint32_t read_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

/* One zstd frame and nothing else, of exactly this size, with a checksum. */
static const char *check_frame(const struct frame_input *input, size_t expected)
{
    const uint8_t *data = input->data;
    if (input->size < FRAME_HEADER_MIN || read_u32(data) != ZSTD_MAGICNUMBER)
        return "not a zstd frame";
    if (!(data[FRAME_DESCRIPTOR] & DESCRIPTOR_CHECKSUM))
        return "has no checksum";
    if (data[FRAME_DESCRIPTOR] & DESCRIPTOR_DICTIONARY)
        return "needs a dictionary";
    if (ZSTD_getFrameContentSize(data, input->size) != expected)
        return "does not hold as many bytes as it should";
    if (ZSTD_findFrameCompressedSize(data, input->size) != input->size)
        return "is not exactly one zstd frame";
    return NULL;
}

/* `to` has room for what the frame should hold: it cannot grow over that. */
static int decode(ZSTD_DCtx *zstd, const struct frame_input *input, void *to, size_t expected,
                  struct thaw_error *err)
{
    const char *why = check_frame(input, expected);
    if (why)
        return frame_damaged(err, input->frame, why);
    size_t n = ZSTD_decompressDCtx(zstd, to, expected, input->data, input->size);
    if (ZSTD_isError(n))
        return frame_damaged(err, input->frame, ZSTD_getErrorName(n));
    if (n != expected)
        return frame_damaged(err, input->frame, "does not hold as many bytes as it should");
    return 0;
}

static int write_pages(const struct frame_sink *sink, const struct page_run *run,
                       const uint8_t *from, struct thaw_error *err)
{
    if (!sink->memory)
        return file_pwrite_full(sink->fd, from, run->count * GUEST_PAGE_SIZE,
                                run->first * GUEST_PAGE_SIZE, err) < 0
                   ? thaw_context(err, SNAPSHOT_MEMORY)
                   : 0;
    for (uint64_t i = 0; i < run->count; i++) {
        void *page = page_address(sink->memory, run->first + i, 1);
        if (!page)
            return thaw_fail(err, EFAULT, "memory map of another memory");
        memcpy(page, from + i * GUEST_PAGE_SIZE, GUEST_PAGE_SIZE);
    }
    return 0;
}

static bool are_zeros(const uint8_t *from, size_t size)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): zstd has written it all */
    return size == 0 || (from[0] == 0 && memcmp(from, from + 1, size - 1) == 0);
}

/* Copies the pages of data, so that the others stay as untouched as they are. */
static int scatter(const struct frame_sink *sink, uint64_t frame, const uint8_t *from,
                   struct thaw_error *err)
{
    uint64_t first = frame * PACK_FRAME_PAGES, page = first;
    uint64_t end = first + frame_pages(sink->map->pages, frame);
    for (struct page_run run; page < end; page = run.first + run.count) {
        if (!frame_run_next(&sink->map->data, page, end, &run))
            run = (struct page_run){.first = end};
        if (sink->strict && !are_zeros(from + (page - first) * GUEST_PAGE_SIZE,
                                       (run.first - page) * GUEST_PAGE_SIZE))
            return frame_damaged(err, frame, "has data where the memory map has none");
        int rc = write_pages(sink, &run, from + (run.first - first) * GUEST_PAGE_SIZE, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Where the whole frame belongs, when all of it is data and lies in one piece. */
static void *whole_place(const struct frame_sink *sink, uint64_t frame)
{
    struct page_run run;
    uint64_t first = frame * PACK_FRAME_PAGES, count = frame_pages(sink->map->pages, frame);
    if (!sink->memory || !frame_run_next(&sink->map->data, first, first + count, &run) ||
        run.first != first || run.count != count)
        return NULL;
    return page_address(sink->memory, first, count);
}

static int unpack(const struct frame_sink *sink, const struct frame_input *input, ZSTD_DCtx *zstd,
                  uint8_t *buffer, struct thaw_error *err)
{
    size_t expected = frame_pages(sink->map->pages, input->frame) * GUEST_PAGE_SIZE;
    void *place = whole_place(sink, input->frame);
    int rc = decode(zstd, input, place ? place : buffer, expected, err);
    return rc < 0 || place ? rc : scatter(sink, input->frame, buffer, err);
}

/* ---- the pool ----------------------------------------------------------------------------- */

/* Under the lock. NULL: no more will come. */
static struct frame_input *wait_for_input(struct frame_pool *pool)
{
    while (pool->queue_count == 0 && !pool->done)
        pthread_cond_wait(&pool->given, &pool->lock);
    if (pool->queue_count == 0)
        return NULL;
    struct frame_input *input = pool->queue[pool->queue_first];
    pool->queue_first = (pool->queue_first + 1) % INPUTS;
    pool->queue_count--;
    return input;
}

/* Under the lock. The first failure counts. */
static void give_back(struct frame_pool *pool, struct frame_input *input,
                      const struct thaw_error *err)
{
    if (err->code != 0 && !pool->failed) {
        pool->err = *err;
        pool->failed = true;
    }
    pool->free[pool->free_count++] = input;
    pthread_cond_signal(&pool->freed);
}

static void *worker(void *ctx)
{
    struct frame_pool *pool = ctx;
    ZSTD_DCtx *zstd = ZSTD_createDCtx();
    cleanup_free uint8_t *buffer = malloc(PACK_FRAME_SIZE);

    pthread_mutex_lock(&pool->lock);
    for (struct frame_input *input; (input = wait_for_input(pool));) {
        struct thaw_error err = pool->err;
        pthread_mutex_unlock(&pool->lock);
        if (!zstd || !buffer)
            thaw_fail(&err, ENOMEM, "zstd");
        else if (err.code == 0)
            (void)unpack(pool->sink, input, zstd, buffer, &err);
        pthread_mutex_lock(&pool->lock);
        give_back(pool, input, &err);
    }
    pthread_mutex_unlock(&pool->lock);
    ZSTD_freeDCtx(zstd);
    return NULL;
}

static int start_threads(struct frame_pool *pool, const struct pack_options *options,
                         struct thaw_error *err)
{
    unsigned wanted = frame_threads(options, frame_count(pool->sink->map->pages));
    for (; pool->thread_count < wanted; pool->thread_count++) {
        int code = pthread_create(&pool->threads[pool->thread_count], NULL, worker, pool);
        if (code != 0 && pool->thread_count == 0)
            return thaw_fail(err, code, "thread");
        if (code != 0)
            break;
    }
    return 0;
}

int frame_pool_create(struct frame_pool **out, const struct frame_sink *sink,
                      const struct pack_options *options, struct thaw_error *err)
{
    struct frame_pool *pool = calloc(1, sizeof(*pool));
    uint64_t count = frame_count(sink->map->pages);
    if (count > INPUTS)
        count = INPUTS;
    if (!pool)
        return thaw_fail(err, ENOMEM, "zstd");
    *pool = (struct frame_pool){
        .sink = sink,
        .inputs = reallocarray(NULL, count, sizeof(*pool->inputs)),
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .given = PTHREAD_COND_INITIALIZER,
        .freed = PTHREAD_COND_INITIALIZER,
    };
    int rc = pool->inputs ? 0 : thaw_fail(err, ENOMEM, "zstd");
    for (unsigned i = 0; rc == 0 && i < count; i++)
        pool->free[pool->free_count++] = &pool->inputs[i];
    if (rc == 0)
        rc = start_threads(pool, options, err);
    if (rc < 0) {
        struct thaw_error ignored = {0};
        (void)frame_pool_finish(pool, &ignored);
        return rc;
    }
    *out = pool;
    return 0;
}

struct frame_input *frame_pool_take(struct frame_pool *pool, bool wait)
{
    pthread_mutex_lock(&pool->lock);
    while (wait && pool->free_count == 0 && !pool->failed)
        pthread_cond_wait(&pool->freed, &pool->lock);
    struct frame_input *input =
        pool->free_count > 0 && !pool->failed ? pool->free[--pool->free_count] : NULL;
    pthread_mutex_unlock(&pool->lock);
    return input;
}

void frame_pool_submit(struct frame_pool *pool, struct frame_input *input)
{
    pthread_mutex_lock(&pool->lock);
    pool->queue[(pool->queue_first + pool->queue_count++) % INPUTS] = input;
    pthread_cond_signal(&pool->given);
    pthread_mutex_unlock(&pool->lock);
}

void frame_pool_return(struct frame_pool *pool, struct frame_input *input)
{
    const struct thaw_error none = {0};
    pthread_mutex_lock(&pool->lock);
    give_back(pool, input, &none);
    pthread_mutex_unlock(&pool->lock);
}

bool frame_pool_failed(struct frame_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool failed = pool->failed;
    pthread_mutex_unlock(&pool->lock);
    return failed;
}

int frame_pool_finish(struct frame_pool *pool, struct thaw_error *err)
{
    if (!pool)
        return 0;
    pthread_mutex_lock(&pool->lock);
    pool->done = true;
    pthread_cond_broadcast(&pool->given);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    if (pool->failed)
        *err = pool->err;
    int rc = pool->failed ? thaw_error_code(&pool->err) : 0;
    free(pool->inputs);
    free(pool);
    return rc;
}
