/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop that serves the devices. */
#include "vmm/core/loop.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static struct loop *loop;
static struct thaw_error err;

struct watch {
    int fd;
    struct loop_source *source;
    struct loop_source *victim; /* removed by the callback */
    atomic_uint calls;
    int answer_fd; /* signalled by the callback; -1: none */
};

static void set_up(void)
{
    cr_assert_eq(loop_create(&loop, &err), 0);
}

static void tear_down(void)
{
    loop_destroy(loop);
}

TestSuite(loop, .init = set_up, .fini = tear_down, .timeout = 20);

static void on_event(void *ctx, uint32_t events)
{
    struct watch *watch = ctx;
    eventfd_t value;
    cr_assert(events & EPOLLIN);
    eventfd_read(watch->fd, &value);
    watch->calls++;
    if (watch->victim)
        loop_remove(watch->victim);
    watch->victim = NULL;
    if (watch->answer_fd >= 0)
        eventfd_write(watch->answer_fd, 1);
}

static void watch(struct watch *w, uint32_t events)
{
    *w = (struct watch){.fd = eventfd(0, EFD_NONBLOCK), .answer_fd = -1};
    cr_assert_eq(loop_add(loop, w->fd, events, on_event, w, &w->source, &err), 0);
}

static void close_watch(struct watch *w)
{
    loop_remove(w->source);
    close(w->fd);
}

Test(loop, what_is_ready_is_served_once_per_turn)
{
    struct watch w;
    watch(&w, EPOLLIN);
    cr_assert_eq(loop_turn(loop, 0), 0);
    eventfd_write(w.fd, 1);
    cr_assert_eq(loop_turn(loop, 0), 1);
    cr_assert_eq(w.calls, 1);
    cr_assert_eq(loop_turn(loop, 0), 0);
    close_watch(&w);
}

Test(loop, a_source_without_events_sleeps_until_it_gets_some)
{
    struct watch w;
    watch(&w, 0);
    eventfd_write(w.fd, 1);
    cr_assert_eq(loop_turn(loop, 0), 0);
    loop_set_events(w.source, EPOLLIN);
    cr_assert_eq(loop_turn(loop, 0), 1);
    loop_set_events(w.source, 0);
    eventfd_write(w.fd, 1);
    cr_assert_eq(loop_turn(loop, 0), 0);
    close_watch(&w);
}

Test(loop, a_source_removed_by_another_one_is_not_called_in_the_same_batch)
{
    struct watch a, b;
    watch(&a, EPOLLIN);
    watch(&b, EPOLLIN);
    a.victim = b.source;
    b.victim = a.source;
    eventfd_write(a.fd, 1);
    eventfd_write(b.fd, 1);
    cr_assert_eq(loop_turn(loop, 0), 2);
    cr_assert_eq(a.calls + b.calls, 1, "whoever came first removed the other");
    close_watch(a.calls ? &a : &b);
    close(a.calls ? b.fd : a.fd);
}

Test(loop, the_thread_serves_and_can_be_stopped_and_started_again)
{
    struct watch w;
    watch(&w, EPOLLIN);
    w.answer_fd = eventfd(0, 0);
    eventfd_t value;
    for (unsigned round = 1; round <= 3; round++) {
        eventfd_write(w.fd, 1); /* while it is stopped: seen after the start */
        cr_assert_eq(loop_start(loop, &err), 0);
        eventfd_read(w.answer_fd, &value);
        eventfd_write(w.fd, 1);
        eventfd_read(w.answer_fd, &value);
        loop_stop(loop);
        loop_stop(loop);
        cr_assert_eq(w.calls, 2 * round);
    }
    eventfd_write(w.fd, 1);
    struct pollfd quiet = {.fd = w.answer_fd, .events = POLLIN};
    cr_assert_eq(poll(&quiet, 1, 20), 0, "a stopped loop serves nobody");
    close_watch(&w);
    close(w.answer_fd);
}

Test(loop, no_callback_runs_while_the_lock_is_held)
{
    struct watch w;
    watch(&w, EPOLLIN);
    cr_assert_eq(loop_start(loop, &err), 0);
    loop_lock(loop);
    eventfd_write(w.fd, 1);
    struct pollfd nothing = {.fd = -1};
    poll(&nothing, 1, 20);
    cr_assert_eq(w.calls, 0);
    loop_remove(w.source); /* due, and yet never called */
    loop_unlock(loop);
    poll(&nothing, 1, 20);
    cr_assert_eq(w.calls, 0);
    loop_stop(loop);
    close(w.fd);
}

Test(loop, a_descriptor_that_cannot_be_waited_for_is_an_error)
{
    struct loop_source *source;
    cr_assert_lt(loop_add(loop, -1, EPOLLIN, on_event, NULL, &source, &err), 0);
    cr_assert_neq(err.code, 0);
}
