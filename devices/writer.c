/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/writer.h"

#include "vmm/base/clock.h"
#include "vmm/base/thread.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#define RING_MASK   (WRITER_RING_SIZE - 1)
#define PLENTY      (WRITER_RING_SIZE / 4) /* write now, whatever the time */
#define LINGER_MS   1
#define STOP_WAIT_S 1
#define NS_PER_MS   1000000ull

_Static_assert((WRITER_RING_SIZE & RING_MASK) == 0, "the ring's indices wrap by masking");

/* What the thread waits for, if it waits. */
enum rest {
    REST_NONE,      /* it does not: it will look at the ring by itself */
    REST_LINGERING, /* a millisecond, the end of a line or burst, or plenty */
    REST_ASLEEP,    /* any byte */
};

/*
 * The ring has one producer (a device, under its lock) and one consumer (the thread), so two
 * free-running indices are all its locking. Whoever goes to rest or gives up first says so
 * (`rest`, `refused`) and then looks once more; the other side acts first and then looks whether
 * somebody rests. With both sequentially consistent, one of them sees the other: no wake-up is
 * lost. For that reason the atomics here use the default order unless they say otherwise.
 */
struct writer {
    atomic_int fd;
    int wake_fd;    /* eventfd: somebody wants the thread to look */
    int flushed_fd; /* eventfd: `flush_answered` moved */
    writer_room *room;
    void *room_ctx;
    pthread_t thread;
    bool running;     /* the thread is to be joined */
    bool left_behind; /* it could not be, and still uses this memory */

    atomic_uint head; /* written by the producer */
    atomic_uint tail; /* written by the consumer */
    _Atomic(enum rest) rest;
    atomic_bool refused; /* something found the ring full: the device waits for room() */
    atomic_bool ended;   /* a line or a burst ended since the thread last looked */
    atomic_bool discarding;
    atomic_bool stopping;
    atomic_uint flush_asked, flush_answered; /* sequence numbers */

    atomic_ullong written, discarded, first_ns;
    atomic_int error;
    uint8_t ring[WRITER_RING_SIZE];
};

static unsigned ring_used(struct writer *writer)
{
    return atomic_load(&writer->head) - atomic_load(&writer->tail);
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

static void wake_writer(struct writer *writer)
{
    if (atomic_exchange(&writer->rest, REST_NONE) != REST_NONE)
        signal_fd(writer->wake_fd);
}

/* ---- the device's side: on whatever thread it runs ---------------------------------------- */

static unsigned ring_room(struct writer *writer, size_t wanted)
{
    unsigned room = WRITER_RING_SIZE - ring_used(writer);
    if (room >= wanted)
        return room;
    atomic_store(&writer->refused, true);
    return WRITER_RING_SIZE - ring_used(writer);
}

static void copy_in(struct writer *writer, const uint8_t *bytes, unsigned size)
{
    unsigned head = atomic_load_explicit(&writer->head, memory_order_relaxed);
    unsigned at = head & RING_MASK;
    unsigned straight = WRITER_RING_SIZE - at;
    if (straight > size)
        straight = size;
    memcpy(writer->ring + at, bytes, straight);
    memcpy(writer->ring, bytes + straight, size - straight);
    atomic_store(&writer->head, head + size);
}

/* One byte at a time comes from a UART, whose lines are worth waiting for. Whoever gives more at
 * once has collected it already. */
static bool is_end(const uint8_t *bytes, unsigned size)
{
    return size > 1 || *bytes == '\n';
}

static bool worth_waking(enum rest rest, bool ended, unsigned used)
{
    return rest == REST_ASLEEP || (rest == REST_LINGERING && (ended || used >= PLENTY));
}

size_t writer_put(struct writer *writer, const void *bytes, size_t size)
{
    if (atomic_load(&writer->discarding)) {
        atomic_fetch_add(&writer->discarded, size);
        return size;
    }
    unsigned room = ring_room(writer, size);
    unsigned taken = size < room ? (unsigned)size : room;
    if (taken == 0)
        return 0;
    copy_in(writer, bytes, taken);
    bool ended = is_end(bytes, taken);
    if (ended)
        atomic_store(&writer->ended, true);

    enum rest rest = atomic_load(&writer->rest);
    if (rest != REST_NONE && worth_waking(rest, ended, ring_used(writer)))
        wake_writer(writer);
    return taken;
}

/* ---- the thread's side -------------------------------------------------------------------- */

static void discard_from_now_on(struct writer *writer, int error)
{
    int none = 0;
    atomic_compare_exchange_strong(&writer->error, &none, error);
    atomic_store(&writer->discarding, true);
}

/* The only places where writer_stop() may cancel the thread: it holds nothing there. */
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
static unsigned put(struct writer *writer, const uint8_t *data, unsigned size)
{
    if (atomic_load(&writer->discarding)) {
        atomic_fetch_add(&writer->discarded, size);
        return size;
    }

    int fd = atomic_load(&writer->fd);
    ssize_t n = write_cancellable(fd, data, size);
    if (n > 0) {
        if (atomic_fetch_add(&writer->written, (unsigned long long)n) == 0)
            atomic_store(&writer->first_ns, clock_monotonic_ns());
        return (unsigned)n;
    }
    if (n == 0) /* no file that blocks does this; trying again could go on for ever */
        discard_from_now_on(writer, EIO);
    else if (errno == EAGAIN) /* somebody else made the shared description non-blocking */
        poll_cancellable(fd, POLLOUT, -1);
    else if (errno != EINTR)
        discard_from_now_on(writer, errno);
    return 0;
}

/* One write's worth from the ring. Returns false when there was nothing to write. */
static bool write_some(struct writer *writer)
{
    atomic_store(&writer->ended, false);
    unsigned tail = atomic_load_explicit(&writer->tail, memory_order_relaxed);
    unsigned used = ring_used(writer);
    if (used == 0)
        return false;

    unsigned at = tail & RING_MASK;
    unsigned straight = WRITER_RING_SIZE - at;
    unsigned done = put(writer, writer->ring + at, used < straight ? used : straight);
    atomic_store(&writer->tail, tail + done);

    /* Not once it is stopping: an owner that left this thread behind may free the device. */
    if (done > 0 && !atomic_load(&writer->stopping) && atomic_exchange(&writer->refused, false))
        writer->room(writer->room_ctx);
    return true;
}

static bool nothing_to_do(struct writer *writer, enum rest rest)
{
    if (atomic_load(&writer->stopping) ||
        atomic_load(&writer->flush_asked) != atomic_load(&writer->flush_answered))
        return false;
    if (rest == REST_ASLEEP)
        return ring_used(writer) == 0;
    return !atomic_load(&writer->ended) && ring_used(writer) < PLENTY;
}

static void take_rest(struct writer *writer, enum rest rest)
{
    atomic_store(&writer->rest, rest);
    if (nothing_to_do(writer, rest)) {
        poll_cancellable(writer->wake_fd, POLLIN, rest == REST_ASLEEP ? -1 : LINGER_MS);
        clear_fd(writer->wake_fd);
    }
    atomic_store(&writer->rest, REST_NONE);
}

static void answer_flush(struct writer *writer, unsigned asked)
{
    if (atomic_exchange(&writer->flush_answered, asked) != asked)
        signal_fd(writer->flushed_fd);
}

static void *write_on(void *arg)
{
    struct writer *writer = arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);

    while (!atomic_load(&writer->stopping)) {
        /* Read before the ring, so that the answer covers all that was there at the question. */
        unsigned asked = atomic_load(&writer->flush_asked);
        bool wrote = write_some(writer);
        if (!wrote)
            answer_flush(writer, asked);
        take_rest(writer, wrote ? REST_LINGERING : REST_ASLEEP);
    }
    return NULL;
}

/* ---- the owner's side --------------------------------------------------------------------- */

static void free_writer(struct writer *writer)
{
    if (writer->wake_fd >= 0)
        close(writer->wake_fd);
    if (writer->flushed_fd >= 0)
        close(writer->flushed_fd);
    munmap(writer, sizeof(*writer));
}

/* Pages of its own, which nobody has touched: most of the ring never is, and of many clones each
 * has three. */
int writer_create(int fd, struct writer **out, struct thaw_error *err)
{
    struct writer *writer =
        mmap(NULL, sizeof(*writer), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (writer == MAP_FAILED)
        return thaw_fail(err, errno, "writer");

    atomic_init(&writer->fd, fd);
    writer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    writer->flushed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (writer->wake_fd < 0 || writer->flushed_fd < 0) {
        int rc = thaw_fail(err, errno, "eventfd of a writer");
        free_writer(writer);
        return rc;
    }
    *out = writer;
    return 0;
}

int writer_start(struct writer *writer, writer_room *room, void *ctx, struct thaw_error *err)
{
    static const int signals[] = {SIGTTOU, 0};
    writer->room = room;
    writer->room_ctx = ctx;
    int rc = thread_start(&writer->thread, signals, write_on, writer);
    if (rc < 0)
        return thaw_fail(err, -rc, "thread of a writer");

    writer->running = true;
    return 0;
}

void writer_redirect(struct writer *writer, int fd)
{
    atomic_store(&writer->fd, fd);
}

/* Waits for flushed_fd. Returns false when the time is up. */
static bool wait_flushed(struct writer *writer, uint64_t deadline_ns)
{
    uint64_t now = clock_monotonic_ns();
    if (now >= deadline_ns)
        return false;

    uint64_t ms = (deadline_ns - now - 1) / NS_PER_MS + 1;
    struct pollfd wait = {.fd = writer->flushed_fd, .events = POLLIN};
    poll(&wait, 1, ms > INT_MAX ? INT_MAX : (int)ms);
    clear_fd(writer->flushed_fd);
    return true;
}

bool writer_flush(struct writer *writer, unsigned timeout_ms)
{
    if (!writer->running)
        return true;

    uint64_t deadline_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
    unsigned asked = atomic_fetch_add(&writer->flush_asked, 1) + 1;
    wake_writer(writer);
    while (atomic_load(&writer->flush_answered) != asked)
        if (!wait_flushed(writer, deadline_ns))
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

int writer_stop(struct writer *writer)
{
    if (!writer->running)
        return writer->left_behind ? -ETIMEDOUT : 0;
    writer->running = false;

    atomic_store(&writer->stopping, true);
    atomic_store(&writer->discarding, true);
    wake_writer(writer);
    pthread_cancel(writer->thread);
    if (join_within(writer->thread, STOP_WAIT_S) < 0) {
        pthread_detach(writer->thread);
        writer->left_behind = true;
    }

    unsigned left = ring_used(writer);
    atomic_fetch_add(&writer->discarded, left);
    atomic_fetch_add(&writer->tail, left);
    if (atomic_exchange(&writer->refused, false))
        writer->room(writer->room_ctx);
    return writer->left_behind ? -ETIMEDOUT : 0;
}

struct writer_report writer_report(struct writer *writer)
{
    return (struct writer_report){
        .written = atomic_load(&writer->written),
        .first_ns = atomic_load(&writer->first_ns),
        .discarded = atomic_load(&writer->discarded),
        .error = atomic_load(&writer->error),
    };
}

void writer_destroy(struct writer *writer)
{
    if (!writer)
        return;
    if (writer_stop(writer) == 0)
        free_writer(writer);
}
