/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/parallel.h"
#include "vmm/base/thread.h"

#include <sched.h>
#include <stdatomic.h>

struct parallel {
    uint64_t count;
    parallel_work *work;
    void *ctx;
    atomic_uint_fast64_t next;
    pthread_mutex_t lock;  /* of what follows */
    uint64_t failed;       /* the lowest piece that did; UINT64_MAX: none */
    struct thaw_error err; /* of that */
};

struct worker {
    struct parallel *all;
    unsigned number;
    pthread_t thread;
};

/* The pieces before this one have all been begun: the lowest failure is among what is at work. */
static void fail(struct parallel *all, uint64_t piece, const struct thaw_error *err)
{
    pthread_mutex_lock(&all->lock);
    if (piece < all->failed) {
        all->failed = piece;
        all->err = *err;
    }
    pthread_mutex_unlock(&all->lock);
    atomic_store(&all->next, all->count);
}

static void *work_on(void *arg)
{
    const struct worker *self = arg;
    struct parallel *all = self->all;
    struct thaw_error err = {0};
    uint64_t piece;
    while ((piece = atomic_fetch_add(&all->next, 1)) < all->count)
        if (all->work(all->ctx, self->number, piece, &err) < 0) {
            fail(all, piece, &err);
            break;
        }
    return NULL;
}

static unsigned threads_for(uint64_t count)
{
    cpu_set_t set;
    uint64_t threads = sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint64_t)CPU_COUNT(&set) : 1;
    if (threads > PARALLEL_THREADS_MAX)
        threads = PARALLEL_THREADS_MAX;
    return (unsigned)(threads < count ? threads : count);
}

int parallel_for(uint64_t count, parallel_work *work, void *ctx, struct thaw_error *err)
{
    struct parallel all = {.count = count,
                           .work = work,
                           .ctx = ctx,
                           .lock = PTHREAD_MUTEX_INITIALIZER,
                           .failed = UINT64_MAX};
    struct worker workers[PARALLEL_THREADS_MAX] = {{.all = &all}};
    unsigned threads = threads_for(count), started = 1;
    for (; started < threads; started++) {
        struct worker *worker = &workers[started];
        *worker = (struct worker){.all = &all, .number = started};
        if (thread_start(&worker->thread, NULL, work_on, worker) < 0)
            break;
    }
    work_on(&workers[0]);
    while (--started > 0)
        pthread_join(workers[started].thread, NULL);
    if (all.failed == UINT64_MAX)
        return 0;
    *err = all.err;
    return thaw_error_code(err);
}
