/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/watch.h"

#include "guest/init-oci/clock.h"
#include "guest/init-oci/file.h"
#include "guest/init-oci/sock_diag.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#define TICK_MS     5 /* half of what is promised */
#define ANSWER_SIZE 16384
#define MS_PER_SEC  1000u

void watch_init(struct watch *watch)
{
    watch->heartbeat = watch->tick = watch->sockets = -1;
}

/* ---- timers ------------------------------------------------------------------------------- */

static int open_timer(int *fd, struct failure *failure)
{
    if (*fd < 0)
        *fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return *fd < 0 ? fail(failure, errno, "timer") : 0;
}

/* 0 stops it, and takes back what it has not yet told. */
static void set_timer(int fd, uint32_t period_ms)
{
    const struct timespec period = {.tv_sec = period_ms / MS_PER_SEC,
                                    .tv_nsec = (long)(period_ms % MS_PER_SEC * NS_PER_MS)};
    const struct itimerspec timer = {.it_interval = period, .it_value = period};
    if (fd >= 0)
        timerfd_settime(fd, 0, &timer, NULL);
}

static int open_sockets(struct watch *watch, struct failure *failure)
{
    if (watch->sockets < 0)
        watch->sockets =
            socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    return watch->sockets < 0 ? fail(failure, errno, "listeners: sock_diag") : 0;
}

int watch_follow(struct watch *watch, const struct thaw_mailbox_header *header,
                 struct failure *failure)
{
    watch->heartbeat_ms = header->flags & THAW_MAILBOX_HEARTBEAT ? header->heartbeat_ms : 0;
    watch->wants_listeners = header->flags & THAW_MAILBOX_LISTENER;
    watch->ever_wanted_listeners |= watch->wants_listeners;
    memset(watch->reported, 0, sizeof(watch->reported));

    int rc = watch->heartbeat_ms > 0 ? open_timer(&watch->heartbeat, failure) : 0;
    if (rc == 0 && watch->wants_listeners)
        rc = open_timer(&watch->tick, failure);
    if (rc == 0 && watch->wants_listeners)
        rc = open_sockets(watch, failure);
    return rc;
}

void watch_start(struct watch *watch)
{
    set_timer(watch->heartbeat, watch->heartbeat_ms);
    set_timer(watch->tick, watch->wants_listeners && watch->workload_runs ? TICK_MS : 0);
}

void watch_stop(struct watch *watch)
{
    set_timer(watch->heartbeat, 0);
    set_timer(watch->tick, 0);
}

void watch_workload(struct watch *watch)
{
    watch->workload_runs = true;
    if (watch->wants_listeners)
        set_timer(watch->tick, TICK_MS);
}

/* ---- listeners ---------------------------------------------------------------------------- */

struct look {
    struct watch *watch;
    const struct control *control;
};

static void report_port(void *ctx, uint16_t port)
{
    const struct look *look = ctx;
    struct watch *watch = look->watch;
    uint8_t bit = (uint8_t)(1u << (port % 8));
    watch->any_listens = true;
    if (watch->reported[port / 8] & bit)
        return;
    watch->reported[port / 8] |= bit;
    control_send(look->control, THAW_MSG_LISTENER " proto=tcp port=%u", port);
}

/* The kernel answers while it is asked: when nothing is there, nothing comes. */
static void ask(struct look *look, uint8_t family)
{
    struct watch *watch = look->watch;
    const struct sock_diag_question question = sock_diag_ask(family, ++watch->seq);
    if (send(watch->sockets, &question, sizeof(question), 0) < 0)
        return;
    char answer[ANSWER_SIZE];
    ssize_t n;
    do
        n = recv(watch->sockets, answer, sizeof(answer), 0);
    while (n > 0 &&
           sock_diag_parse(answer, (size_t)n, watch->seq, report_port, look) == SOCK_DIAG_MORE);
}

bool watch_look(struct watch *watch, const struct control *control)
{
    struct look look = {.watch = watch, .control = control};
    watch->any_listens = false;
    ask(&look, AF_INET);
    ask(&look, AF_INET6);
    return watch->any_listens;
}

/* ---- for the loop ------------------------------------------------------------------------- */

void watch_poll(const struct watch *watch, struct pollfd fds[WATCH_POLL_COUNT])
{
    fds[0] = (struct pollfd){.fd = watch->heartbeat, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = watch->tick, .events = POLLIN};
}

/* How often it has rung meanwhile is of no matter: what was missed is not made up for. */
static bool has_rung(const struct pollfd *timer)
{
    uint64_t times;
    return timer->revents && read(timer->fd, &times, sizeof(times)) == (ssize_t)sizeof(times);
}

void watch_serve(struct watch *watch, const struct pollfd fds[WATCH_POLL_COUNT],
                 const struct control *control)
{
    if (has_rung(&fds[0]))
        control_send(control, THAW_MSG_HEARTBEAT " counter=%llu",
                     (unsigned long long)++watch->counter);
    if (has_rung(&fds[1]))
        watch_look(watch, control);
}
