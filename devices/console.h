/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of the console UART: what the guest prints goes through a ring of fixed size to
 * a thread that writes it to a descriptor, so that a slow or stopped reader holds up the guest's
 * tty and nothing else: no vCPU inside an exit, not the monitor's own thread.
 *
 * The descriptor is written with plain blocking write(2). It is usually shared with the user's
 * shell, and O_NONBLOCK would be set for everyone who has it. (When someone else has set it, the
 * thread waits with poll.)
 *
 * A write error (EPIPE, EBADF, EIO, ENOSPC...) makes the console discard from then on, so that
 * the guest goes on; console_report() tells. SIGPIPE never reaches the process from here: it is
 * blocked in the thread, like every signal but SIGTTOU, whose default action (stop a background
 * job that writes to a `stty tostop` terminal) is wanted.
 *
 * Latency and number of writes: output after a pause is written at once. The thread then looks
 * again at each newline, when the ring is a quarter full, and after a millisecond; so a flood
 * goes out in large writes, a line in two at most, and a vCPU pays for a wake-up at most once a
 * line.
 *
 * Use: console_create, serial_create with console_transmit, console_start, console_flush,
 * console_stop, serial_destroy, console_destroy.
 *
 * Threads: console_transmit is for the UART alone, which calls it under its lock, one byte at a
 * time. The rest is for the owning thread, but console_report(), which any thread may call.
 */
#ifndef THAW_DEVICES_CONSOLE_H
#define THAW_DEVICES_CONSOLE_H

#include "devices/serial.h"

#define CONSOLE_RING_SIZE 65536u

struct console;

/* `fd` is borrowed: open for writing until console_destroy(), and, when console_stop() says so,
 * for good. The caller owns `*out`. */
int console_create(int fd, struct console **out, struct thaw_error *err);

/* Starts the writer. `serial` is the UART that console_transmit() was given to: it is told when
 * its sink has room again, and must outlive console_stop(). */
int console_start(struct console *console, struct serial *serial, struct thaw_error *err);

/* For struct serial_callbacks; `ctx` is the struct console. */
bool console_transmit(void *ctx, uint8_t byte);

/* Waits until everything that the UART has given so far is written or discarded, for at most
 * `timeout_ms`. Returns whether it is. A guest that goes on printing without a pause may keep it
 * from coming to that: stop it first. Returns at once when the writer does not run. */
bool console_flush(struct console *console, unsigned timeout_ms);

/*
 * Ends the writer without waiting for its output: what is still in the ring is discarded, and
 * so is what the guest sends from now on. Interrupts a write that blocks, on a pipe, a socket or
 * a stopped terminal. Only a write in uninterruptible sleep (a dead network file system) resists;
 * after a second such a thread is left behind with the console, and -ETIMEDOUT is returned: the
 * process should end soon. Idempotent.
 */
int console_stop(struct console *console);

/* What became of the output. */
struct console_report {
    uint64_t written;   /* bytes */
    uint64_t discarded; /* bytes that the console took and did not write; a write that
                         * console_stop() interrupted counts whole */
    int error;          /* errno of the first failed write, 0 when none failed */
};
struct console_report console_report(struct console *console);

/* Stops, then frees everything but a console whose thread was left behind. NULL is allowed. */
void console_destroy(struct console *console);

static inline void console_cleanup(struct console **console)
{
    console_destroy(*console);
}
#define cleanup_console cleanup(console_cleanup)

#endif
