/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: one thread that serves every device of a VM. Queue notifications (ioeventfd),
 * sockets, TAP descriptors and io_uring completions are all file descriptors to it.
 *
 * One lock, the loop's, guards all devices behind it: held during every callback, and by a vCPU
 * while it is inside a device's registers. So a device needs no lock of its own, and there is no
 * order of locks to get wrong. In return no callback may block.
 *
 * Life: loop_create, loop_add by the devices, loop_start, (loop_stop, loop_start)*, loop_destroy.
 */
#ifndef THAW_CORE_LOOP_H
#define THAW_CORE_LOOP_H

#include "vmm/base/cleanup.h"
#include "vmm/base/error.h"

#include <stdint.h>

struct loop;
struct loop_source; /* one descriptor in the loop; owned by it until loop_remove() */

/* `events` are those of epoll(7) that are there; EPOLLERR and EPOLLHUP come unasked. */
typedef void loop_callback(void *ctx, uint32_t events);

int loop_create(struct loop **out, struct thaw_error *err);

/* Stops the thread and frees everything; the descriptors added are not closed. NULL is allowed. */
void loop_destroy(struct loop *loop);

/* Starts the thread. */
int loop_start(struct loop *loop, struct thaw_error *err);

/* Ends the thread between two callbacks and joins it. What happens on the descriptors meanwhile is
 * seen after the next loop_start(). Idempotent; not from a callback, not under the lock. */
void loop_stop(struct loop *loop);

/* Waits at most `timeout_ms` (-1: for ever) and serves what has come, in the caller's thread: what
 * the loop's own thread does again and again. Only while that does not run. Returns how many
 * events there were. */
int loop_turn(struct loop *loop, int timeout_ms);

/*
 * Waits for `events` (EPOLLIN, EPOLLOUT; 0: only errors) on `fd`, level-triggered. Call it, and
 * the two below, before loop_start() or with the lock held (as callbacks do). `fd` is borrowed and
 * must stay open until loop_remove().
 */
int loop_add(struct loop *loop, int fd, uint32_t events, loop_callback *callback, void *ctx,
             struct loop_source **out, struct thaw_error *err);
void loop_set_events(struct loop_source *source, uint32_t events);

/* No callback for it from now on, also none that is already due. NULL is allowed. */
void loop_remove(struct loop_source *source);

/* The devices' lock. */
void loop_lock(struct loop *loop);
void loop_unlock(struct loop *loop);

static inline void loop_cleanup(struct loop **loop)
{
    loop_destroy(*loop);
}
#define cleanup_loop cleanup(loop_cleanup)

#endif
