/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a virtio socket: UNIX stream sockets by the hybrid convention. A host program
 * connects to PATH and writes "CONNECT <port>\n"; the guest's connections to port P go to the
 * socket PATH_P. Nothing here blocks, and no write raises SIGPIPE.
 */
#ifndef THAW_DEVICES_VIRTIO_VSOCK_HOST_H
#define THAW_DEVICES_VIRTIO_VSOCK_HOST_H

#include "vmm/base/cleanup.h"
#include "vmm/base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

/* Longest PATH: "_4294967295" and a NUL must fit behind it. */
#define VSOCK_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 12)

struct vsock_listener {
    int fd; /* -1: not listening */
    char path[VSOCK_PATH_MAX + 1];
    dev_t dev; /* the file that was made */
    ino_t ino;
};

/* Makes the socket file and listens. A socket that nobody listens on any more is replaced.
 * THAW_FAIL_IO, "--vsock PATH: why", when the path is too long, in use, or cannot be made. */
int vsock_listen(const char *path, struct vsock_listener *out, struct thaw_error *err);

/* Closes, and removes the file if it is still the one that was made. Idempotent. */
void vsock_unlisten(struct vsock_listener *listener);

/* The next connection: a descriptor, or -EAGAIN when there is none, or another errno. */
int vsock_take(const struct vsock_listener *listener);

/* Connects to PATH_<port>: a descriptor, or a negative errno (-ENOENT, -ECONNREFUSED: nobody is
 * there; -EAGAIN: its backlog is full). */
int vsock_connect(const char *path, uint32_t port);

/* The line that a host program begins with, with its newline at most this long. */
#define VSOCK_LINE_MAX 32u

struct vsock_line {
    char text[VSOCK_LINE_MAX];
    unsigned length;
};

/* Reads on, and nothing behind the line's end. 1: `port` is what it asks for; 0: more has to
 * come; negative: it is no such line (-EINVAL), or the program is gone (-EPIPE, ...). */
int vsock_line_read(struct vsock_line *line, int fd, uint32_t *port);

/* "CONNECT <port>" without its newline; a port is decimal, up to 2^32 - 1. */
bool vsock_line_parse(const char *text, unsigned length, uint32_t *port);

/* Bytes for the host that its socket did not take yet: a ring of VSOCK_WINDOW bytes, there only
 * while something is in it. */
struct vsock_backlog {
    char *ring; /* NULL: empty */
    uint32_t head, length;
};

/* Writes `iov`, and keeps what the socket does not take now. Returns how much the socket took, or
 * a negative errno: -EPIPE when the program does not read any more, -ENOMEM. The caller has made
 * sure that everything fits. */
int vsock_backlog_write(struct vsock_backlog *backlog, int fd, struct iovec *iov, unsigned count);

/* Writes what is kept. Returns how much the socket took, or a negative errno. */
int vsock_backlog_flush(struct vsock_backlog *backlog, int fd);

void vsock_backlog_free(struct vsock_backlog *backlog);

#endif
