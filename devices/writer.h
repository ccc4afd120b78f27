/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output to a descriptor of the host's: what a device gives goes through a ring of fixed size to a
 * thread that writes it, so that a slow or stopped reader holds up the one who prints and nothing
 * else: no vCPU inside an exit, no event loop, not the monitor's own thread.
 *
 * The descriptor is written with plain blocking write(2). It is usually shared with the user's
 * shell, and O_NONBLOCK would be set for everyone who has it. (When someone else has set it, the
 * thread waits with poll.)
 *
 * A write error (EPIPE, EBADF, EIO, ENOSPC...) makes the writer discard from then on, so that
 * the guest goes on; writer_report() tells. SIGPIPE never reaches the process from here: it is
 * blocked in the thread, like every signal but SIGTTOU, whose default action (stop a background
 * job that writes to a `stty tostop` terminal) is wanted.
 *
 * Latency and number of writes: output after a pause is written at once. The thread then looks
 * again at each newline or burst of several bytes, when the ring is a quarter full, and after a
 * millisecond; so a flood goes out in large writes, a line in two at most, and a device pays for
 * a wake-up at most once a line or burst.
 *
 * Use: writer_create, writer_start, writer_put, writer_flush, writer_stop, writer_destroy.
 *
 * Threads: writer_put is for one device alone, which calls it under its lock. The rest is for the
 * owning thread, but writer_report() and writer_redirect(), which any thread may call.
 */
#ifndef THAW_DEVICES_WRITER_H
#define THAW_DEVICES_WRITER_H

#include "vmm/base/cleanup.h"
#include "vmm/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WRITER_RING_SIZE 65536u

struct writer;

/* writer_put() took less than it was given, and there is room again. On the writer's thread. */
typedef void writer_room(void *ctx);

/* `fd` is borrowed: open for writing until writer_destroy(), and, when writer_stop() says so,
 * for good. The caller owns `*out`. */
int writer_create(int fd, struct writer **out, struct thaw_error *err);

/* Starts the thread. What `room` needs must outlive writer_stop(). */
int writer_start(struct writer *writer, writer_room *room, void *ctx, struct thaw_error *err);

/* Takes as many of `size` bytes (not 0) as there is room for, and returns how many. */
size_t writer_put(struct writer *writer, const void *bytes, size_t size);

/* What is written from now on goes to another descriptor, also what the ring holds. */
void writer_redirect(struct writer *writer, int fd);

/* Waits until everything that was given so far is written or discarded, for at most
 * `timeout_ms`. Returns whether it is. A guest that goes on printing without a pause may keep it
 * from coming to that: stop it first. Returns at once when the writer does not run. */
bool writer_flush(struct writer *console, unsigned timeout_ms);

/*
 * Ends the writer without waiting for its output: what is still in the ring is discarded, and
 * so is what the guest sends from now on. Interrupts a write that blocks, on a pipe, a socket or
 * a stopped terminal. Only a write in uninterruptible sleep (a dead network file system) resists;
 * after a second such a thread is left behind with the writer, and -ETIMEDOUT is returned: the
 * process should end soon. Idempotent.
 */
int writer_stop(struct writer *console);

/* What became of the output. */
struct writer_report {
    uint64_t written;   /* bytes */
    uint64_t first_ns;  /* CLOCK_MONOTONIC when the first of them was written; 0: none yet */
    uint64_t discarded; /* bytes that were taken and not written; a write that
                         * writer_stop() interrupted counts whole */
    int error;          /* errno of the first failed write, 0 when none failed */
};
struct writer_report writer_report(struct writer *console);

/* Stops, then frees everything but a writer whose thread was left behind. NULL is allowed. */
void writer_destroy(struct writer *console);

static inline void writer_cleanup(struct writer **console)
{
    writer_destroy(*console);
}
#define cleanup_writer cleanup(writer_cleanup)

#endif
