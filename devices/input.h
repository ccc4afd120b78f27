/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input from a descriptor of the host's that others may share (the user's shell, other programs of
 * a pipeline), read without ever blocking and without O_NONBLOCK being set for everyone who has
 * it:
 * - a pipe or terminal is opened anew, so that the flag is ours alone; a terminal is read only in
 *   its foreground and when something was typed: a background job that tries to is stopped;
 * - a socket is read with MSG_DONTWAIT;
 * - a regular file and the like never block (a dead network file system aside);
 * - what cannot be opened anew (a terminal of another user's) is looked at with poll(2) first. A
 *   second reader of the same terminal could be quicker; nothing can be done about that.
 *
 * Not thread-safe.
 */
#ifndef THAW_DEVICES_INPUT_H
#define THAW_DEVICES_INPUT_H

#include "vmm/base/error.h"

#include <stdbool.h>
#include <sys/uio.h>

struct input {
    int fd; /* our own; -1: closed. Wait on it edge-triggered: it may hang up before it is read */
    bool is_socket;
    bool look_first; /* with poll: a read would block, or stop a background job */
};

/* `fd` is copied or opened anew; the caller keeps it. */
int input_open(struct input *input, int fd, struct thaw_error *err);

/* How many bytes were read (at least one); 0: the input has ended, or cannot be read, as for any
 * program started with its stdin closed; -EAGAIN: nothing there now. `iov` has room for at least
 * one byte. */
ssize_t input_read(const struct input *input, struct iovec *iov, unsigned count);

/* Idempotent. */
void input_close(struct input *input);

#endif
