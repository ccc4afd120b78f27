/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/loop.h"
#include "vmm/base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define BATCH 32

struct loop_source {
    struct loop *loop;
    int fd;
    uint32_t events;
    loop_callback *callback;
    void *ctx;
    bool removed; /* its event may be in the batch that is being served */
    struct loop_source *next;
};

struct loop {
    int epoll_fd;
    int wake_fd; /* eventfd: look at `stopping` */
    pthread_mutex_t lock;
    pthread_t thread;
    bool running;
    atomic_bool stopping;
    struct loop_source *sources; /* all of them, the removed ones too until they are freed */
    bool has_removed;
};

static int watch_wake(struct loop *loop, struct thaw_error *err)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return thaw_fail(err, errno, "epoll_create1");
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0)
        return thaw_fail(err, errno, "eventfd");
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) < 0)
        return thaw_fail(err, errno, "epoll_ctl");
    return 0;
}

int loop_create(struct loop **out, struct thaw_error *err)
{
    cleanup_loop struct loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return thaw_fail(err, ENOMEM, "event loop");
    loop->epoll_fd = loop->wake_fd = -1;
    pthread_mutex_init(&loop->lock, NULL);
    int rc = watch_wake(loop, err);
    if (rc < 0)
        return rc;
    *out = take(loop);
    return 0;
}

static void free_sources(struct loop *loop, bool only_removed)
{
    struct loop_source **at = &loop->sources;
    while (*at) {
        struct loop_source *source = *at;
        if (only_removed && !source->removed) {
            at = &source->next;
            continue;
        }
        *at = source->next;
        free(source);
    }
    loop->has_removed = false;
}

void loop_destroy(struct loop *loop)
{
    if (!loop)
        return;
    loop_stop(loop);
    free_sources(loop, false);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

static void serve(struct loop *loop, const struct epoll_event *events, int count)
{
    loop_lock(loop);
    for (int i = 0; i < count; i++) {
        struct loop_source *source = events[i].data.ptr;
        if (source && !source->removed)
            source->callback(source->ctx, events[i].events);
    }
    if (loop->has_removed)
        free_sources(loop, true);
    loop_unlock(loop);
}

int loop_turn(struct loop *loop, int timeout_ms)
{
    struct epoll_event events[BATCH];
    int count = epoll_wait(loop->epoll_fd, events, BATCH, timeout_ms);
    if (count > 0)
        serve(loop, events, count);
    return count > 0 ? count : 0;
}

static void *loop_main(void *argument)
{
    struct loop *loop = argument;
    pthread_setname_np(pthread_self(), "devices");
    while (!atomic_load(&loop->stopping))
        loop_turn(loop, -1);
    return NULL;
}

int loop_start(struct loop *loop, struct thaw_error *err)
{
    eventfd_t ignored;
    eventfd_read(loop->wake_fd, &ignored);
    atomic_store(&loop->stopping, false);

    /* A device that loses its reader gets EPIPE. But a background job that reads its terminal has
     * to stop like any other. SIGBUS: guest memory that is not there; blocked, it kills wordlessly.
     */
    static const int signals[] = {SIGTTIN, SIGBUS, 0};
    int rc = thread_start(&loop->thread, signals, loop_main, loop);
    if (rc < 0)
        return thaw_fail(err, -rc, "thread of the event loop");
    loop->running = true;
    return 0;
}

void loop_stop(struct loop *loop)
{
    if (!loop->running)
        return;
    atomic_store(&loop->stopping, true);
    eventfd_write(loop->wake_fd, 1);
    pthread_join(loop->thread, NULL);
    loop->running = false;
}

int loop_add(struct loop *loop, int fd, uint32_t events, loop_callback *callback, void *ctx,
             struct loop_source **out, struct thaw_error *err)
{
    struct loop_source *source = calloc(1, sizeof(*source));
    if (!source)
        return thaw_fail(err, ENOMEM, "event source");
    *source = (struct loop_source){
        .loop = loop, .fd = fd, .events = events, .callback = callback, .ctx = ctx};
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        int code = errno;
        free(source);
        return thaw_fail(err, code, "epoll_ctl");
    }
    source->next = loop->sources;
    loop->sources = source;
    *out = source;
    return 0;
}

void loop_set_events(struct loop_source *source, uint32_t events)
{
    if (source->events == events)
        return;
    source->events = events;
    struct epoll_event event = {.events = events, .data.ptr = source};
    /* Cannot fail for a descriptor that is in the set, and it is until loop_remove(). */
    (void)epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

void loop_remove(struct loop_source *source)
{
    if (!source)
        return;
    (void)epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    source->removed = true;
    source->loop->has_removed = true;
}

void loop_lock(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
}

void loop_unlock(struct loop *loop)
{
    pthread_mutex_unlock(&loop->lock);
}
