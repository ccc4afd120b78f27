/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/console.h"

#include "vmm/base/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#define RING_MASK   (CONSOLE_RING_SIZE - 1)
#define PLENTY      (CONSOLE_RING_SIZE / 4) /* write now, whatever the time */
#define LINGER_MS   1
#define STOP_WAIT_S 1
#define NS_PER_MS   1000000ull

_Static_assert((CONSOLE_RING_SIZE & RING_MASK) == 0, "the ring's indices wrap by masking");

/* What the writer waits for, if it waits. */
enum rest {
    REST_NONE,      /* it does not: it will look at the ring by itself */
    REST_LINGERING, /* a millisecond, a newline, or plenty */
    REST_ASLEEP,    /* any byte */
};

/*
 * The ring has one producer (the UART, under its lock) and one consumer (the writer), so two
 * free-running indices are all its locking. Whoever goes to rest or gives up first says so
 * (`rest`, `refused`) and then looks once more; the other side acts first and then looks whether
 * somebody rests. With both sequentially consistent, one of them sees the other: no wake-up is
 * lost. For that reason the atomics here use the default order unless they say otherwise.
 */
struct console {
    int fd;
    int wake_fd;    /* eventfd: somebody wants the writer to look */
    int flushed_fd; /* eventfd: `flush_answered` moved */
    struct serial *serial;
    pthread_t thread;
    bool running;     /* the thread is to be joined */
    bool left_behind; /* it could not be, and still uses this memory */

    atomic_uint head; /* written by the producer */
    atomic_uint tail; /* written by the consumer */
    _Atomic(enum rest) rest;
    atomic_bool refused; /* a byte found the ring full: the UART waits for serial_tx_room() */
    atomic_bool newline; /* a line ended since the writer last looked */
    atomic_bool discarding;
    atomic_bool stopping;
    atomic_uint flush_asked, flush_answered; /* sequence numbers */

    atomic_ullong written, discarded;
    atomic_int error;
    uint8_t ring[CONSOLE_RING_SIZE];
};

static unsigned ring_used(struct console *console)
{
    return atomic_load(&console->head) - atomic_load(&console->tail);
}

static void signal_fd(int fd)
{
    uint64_t one = 1;
    /* An eventfd refuses only when its counter is full, and then it is readable anyway. */
    ssize_t n = write(fd, &one, sizeof(one));
    (void)n;
}

static void clear_fd(int fd)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count));
    (void)n;
}

static void wake_writer(struct console *console)
{
    if (atomic_exchange(&console->rest, REST_NONE) != REST_NONE)
        signal_fd(console->wake_fd);
}

/* ---- the UART's side: on a vCPU's thread, once per byte ----------------------------------- */

static bool ring_is_full(struct console *console)
{
    if (ring_used(console) < CONSOLE_RING_SIZE)
        return false;
    atomic_store(&console->refused, true);
    return ring_used(console) == CONSOLE_RING_SIZE;
}

static bool worth_waking(enum rest rest, uint8_t byte, unsigned used)
{
    return rest == REST_ASLEEP || (rest == REST_LINGERING && (byte == '\n' || used >= PLENTY));
}

bool console_transmit(void *ctx, uint8_t byte)
{
    struct console *console = ctx;
    if (atomic_load(&console->discarding)) {
        atomic_fetch_add(&console->discarded, 1);
        return true;
    }
    if (ring_is_full(console))
        return false;

    unsigned head = atomic_load_explicit(&console->head, memory_order_relaxed);
    console->ring[head & RING_MASK] = byte;
    atomic_store(&console->head, head + 1);
    if (byte == '\n')
        atomic_store(&console->newline, true);

    enum rest rest = atomic_load(&console->rest);
    if (rest != REST_NONE && worth_waking(rest, byte, ring_used(console)))
        wake_writer(console);
    return true;
}

/* ---- the writer's side -------------------------------------------------------------------- */

static void discard_from_now_on(struct console *console, int error)
{
    int none = 0;
    atomic_compare_exchange_strong(&console->error, &none, error);
    atomic_store(&console->discarding, true);
}

/* The only places where console_stop() may cancel the thread: it holds nothing there. */
static ssize_t write_cancellable(int fd, const void *data, size_t size)
{
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    ssize_t n = write(fd, data, size);
    int error = errno;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    errno = error;
    return n;
}

static void poll_cancellable(int fd, short events, int timeout_ms)
{
    struct pollfd wait = {.fd = fd, .events = events};
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    poll(&wait, 1, timeout_ms);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}

/* Writes some of `size` bytes and returns how many are dealt with. */
static unsigned put(struct console *console, const uint8_t *data, unsigned size)
{
    if (atomic_load(&console->discarding)) {
        atomic_fetch_add(&console->discarded, size);
        return size;
    }

    ssize_t n = write_cancellable(console->fd, data, size);
    if (n > 0) {
        atomic_fetch_add(&console->written, (unsigned long long)n);
        return (unsigned)n;
    }
    if (n == 0) /* no file that blocks does this; trying again could go on for ever */
        discard_from_now_on(console, EIO);
    else if (errno == EAGAIN) /* somebody else made the shared description non-blocking */
        poll_cancellable(console->fd, POLLOUT, -1);
    else if (errno != EINTR)
        discard_from_now_on(console, errno);
    return 0;
}

/* One write's worth from the ring. Returns false when there was nothing to write. */
static bool write_some(struct console *console)
{
    atomic_store(&console->newline, false);
    unsigned tail = atomic_load_explicit(&console->tail, memory_order_relaxed);
    unsigned used = ring_used(console);
    if (used == 0)
        return false;

    unsigned at = tail & RING_MASK;
    unsigned straight = CONSOLE_RING_SIZE - at;
    unsigned done = put(console, console->ring + at, used < straight ? used : straight);
    atomic_store(&console->tail, tail + done);

    /* Not once it is stopping: an owner that left this thread behind may free the UART. */
    if (done > 0 && !atomic_load(&console->stopping) && atomic_exchange(&console->refused, false))
        serial_tx_room(console->serial);
    return true;
}

static bool nothing_to_do(struct console *console, enum rest rest)
{
    if (atomic_load(&console->stopping) ||
        atomic_load(&console->flush_asked) != atomic_load(&console->flush_answered))
        return false;
    if (rest == REST_ASLEEP)
        return ring_used(console) == 0;
    return !atomic_load(&console->newline) && ring_used(console) < PLENTY;
}

static void take_rest(struct console *console, enum rest rest)
{
    atomic_store(&console->rest, rest);
    if (nothing_to_do(console, rest)) {
        poll_cancellable(console->wake_fd, POLLIN, rest == REST_ASLEEP ? -1 : LINGER_MS);
        clear_fd(console->wake_fd);
    }
    atomic_store(&console->rest, REST_NONE);
}

static void answer_flush(struct console *console, unsigned asked)
{
    if (atomic_exchange(&console->flush_answered, asked) != asked)
        signal_fd(console->flushed_fd);
}

static void *writer(void *arg)
{
    struct console *console = arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);

    while (!atomic_load(&console->stopping)) {
        /* Read before the ring, so that the answer covers all that was there at the question. */
        unsigned asked = atomic_load(&console->flush_asked);
        bool wrote = write_some(console);
        if (!wrote)
            answer_flush(console, asked);
        take_rest(console, wrote ? REST_LINGERING : REST_ASLEEP);
    }
    return NULL;
}

/* ---- the owner's side --------------------------------------------------------------------- */

static void free_console(struct console *console)
{
    if (console->wake_fd >= 0)
        close(console->wake_fd);
    if (console->flushed_fd >= 0)
        close(console->flushed_fd);
    free(console);
}

int console_create(int fd, struct console **out, struct thaw_error *err)
{
    struct console *console = calloc(1, sizeof(*console));
    if (!console)
        return thaw_fail(err, ENOMEM, "console");

    console->fd = fd;
    console->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    console->flushed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (console->wake_fd < 0 || console->flushed_fd < 0) {
        int rc = thaw_fail(err, errno, "eventfd for the console");
        free_console(console);
        return rc;
    }
    *out = console;
    return 0;
}

int console_start(struct console *console, struct serial *serial, struct thaw_error *err)
{
    sigset_t blocked;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGTTOU);

    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setsigmask_np(&attr, &blocked);
    console->serial = serial;
    int error = pthread_create(&console->thread, &attr, writer, console);
    pthread_attr_destroy(&attr);
    if (error != 0)
        return thaw_fail(err, error, "console thread");

    console->running = true;
    return 0;
}

/* Waits for flushed_fd. Returns false when the time is up. */
static bool wait_flushed(struct console *console, uint64_t deadline_ns)
{
    uint64_t now = clock_monotonic_ns();
    if (now >= deadline_ns)
        return false;

    uint64_t ms = (deadline_ns - now - 1) / NS_PER_MS + 1;
    struct pollfd wait = {.fd = console->flushed_fd, .events = POLLIN};
    poll(&wait, 1, ms > INT_MAX ? INT_MAX : (int)ms);
    clear_fd(console->flushed_fd);
    return true;
}

bool console_flush(struct console *console, unsigned timeout_ms)
{
    if (!console->running)
        return true;

    uint64_t deadline_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
    unsigned asked = atomic_fetch_add(&console->flush_asked, 1) + 1;
    wake_writer(console);
    while (atomic_load(&console->flush_answered) != asked)
        if (!wait_flushed(console, deadline_ns))
            return false;
    return true;
}

static int join_within(pthread_t thread, time_t seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    return -pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until);
}

int console_stop(struct console *console)
{
    if (!console->running)
        return console->left_behind ? -ETIMEDOUT : 0;
    console->running = false;

    atomic_store(&console->stopping, true);
    atomic_store(&console->discarding, true);
    wake_writer(console);
    pthread_cancel(console->thread);
    if (join_within(console->thread, STOP_WAIT_S) < 0) {
        pthread_detach(console->thread);
        console->left_behind = true;
    }

    unsigned left = ring_used(console);
    atomic_fetch_add(&console->discarded, left);
    atomic_fetch_add(&console->tail, left);
    if (atomic_exchange(&console->refused, false))
        serial_tx_room(console->serial);
    return console->left_behind ? -ETIMEDOUT : 0;
}

struct console_report console_report(struct console *console)
{
    return (struct console_report){
        .written = atomic_load(&console->written),
        .discarded = atomic_load(&console->discarded),
        .error = atomic_load(&console->error),
    };
}

void console_destroy(struct console *console)
{
    if (!console)
        return;
    if (console_stop(console) == 0)
        free_console(console);
}
