/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/vsock_host.h"

#include "devices/virtio/vsock_stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define SOCKET_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

/* ---- the listener ------------------------------------------------------------------------- */

static int refuse(struct thaw_error *err, int code, const char *path, const char *why)
{
    return thaw_fail_as(err, THAW_FAIL_IO, code, "--vsock %s: %s", path, why);
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    return address;
}

static int connect_to(const struct sockaddr_un *address)
{
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCKET_FLAGS, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        return -errno;
    return take_fd(&fd);
}

/* Removes a socket file whose owner is gone; anything else stays. */
static int clear_path(const char *path, const struct sockaddr_un *address, struct thaw_error *err)
{
    struct stat there;
    if (lstat(path, &there) < 0)
        return errno == ENOENT ? 0 : refuse(err, errno, path, strerror(errno));
    if (!S_ISSOCK(there.st_mode))
        return refuse(err, EEXIST, path, "exists and is not a socket");
    cleanup_close int fd = connect_to(address);
    if (fd != -ECONNREFUSED)
        return refuse(err, EADDRINUSE, path, "in use");
    return unlink(path) < 0 ? refuse(err, errno, path, strerror(errno)) : 0;
}

static int bind_to(struct vsock_listener *listener, const struct sockaddr_un *address)
{
    struct stat made;
    if (bind(listener->fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        return -errno;
    if (listen(listener->fd, SOMAXCONN) < 0 || lstat(listener->path, &made) < 0)
        return -errno;
    listener->dev = made.st_dev;
    listener->ino = made.st_ino;
    return 0;
}

int vsock_listen(const char *path, struct vsock_listener *out, struct thaw_error *err)
{
    *out = (struct vsock_listener){.fd = -1};
    size_t length = strlen(path);
    if (length == 0 || length > VSOCK_PATH_MAX)
        return refuse(err, ENAMETOOLONG, path, length ? "path too long" : "no path");
    memcpy(out->path, path, length);
    const struct sockaddr_un address = address_of(path);
    int rc = clear_path(path, &address, err);
    if (rc < 0)
        return rc;
    out->fd = socket(AF_UNIX, SOCK_STREAM | SOCKET_FLAGS, 0);
    rc = out->fd < 0 ? -errno : bind_to(out, &address);
    if (rc < 0) {
        vsock_unlisten(out);
        return refuse(err, -rc, path, rc == -EADDRINUSE ? "in use" : strerror(-rc));
    }
    return 0;
}

void vsock_unlisten(struct vsock_listener *listener)
{
    struct stat there;
    if (listener->fd < 0)
        return;
    close(take_fd(&listener->fd));
    bool is_ours = lstat(listener->path, &there) == 0 && there.st_dev == listener->dev &&
                   there.st_ino == listener->ino;
    if (is_ours)
        (void)unlink(listener->path);
}

int vsock_take(const struct vsock_listener *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCKET_FLAGS);
    return fd < 0 ? -errno : fd;
}

int vsock_connect(const char *path, uint32_t port)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s_%u", path, port);
    return connect_to(&address);
}

/* ---- the first line ----------------------------------------------------------------------- */

static const char verb[] = "CONNECT ";
#define VERB_LENGTH ((unsigned)sizeof(verb) - 1)

/* Of what has come so far: nobody is made to wait for the end of a line that cannot be one. */
static bool begins_well(const char *text, unsigned length)
{
    return memcmp(text, verb, length < VERB_LENGTH ? length : VERB_LENGTH) == 0;
}

bool vsock_line_parse(const char *text, unsigned length, uint32_t *port)
{
    if (length <= VERB_LENGTH || !begins_well(text, length))
        return false;
    uint64_t value = 0;
    for (unsigned i = VERB_LENGTH; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
        if (value > UINT32_MAX)
            return false;
    }
    *port = (uint32_t)value;
    return true;
}

/* Looked at before it is taken: what stands behind the newline is for the guest. */
static ssize_t take_until_newline(int fd, char *to, size_t room)
{
    ssize_t n = recv(fd, to, room, MSG_PEEK);
    if (n <= 0)
        return n < 0 ? -errno : -EPIPE;
    const char *end = memchr(to, '\n', (size_t)n);
    size_t wanted = end ? (size_t)(end - to) + 1 : (size_t)n;
    n = recv(fd, to, wanted, 0);
    return n < 0 ? -errno : n;
}

int vsock_line_read(struct vsock_line *line, int fd, uint32_t *port)
{
    ssize_t n = take_until_newline(fd, line->text + line->length, VSOCK_LINE_MAX - line->length);
    if (n < 0)
        return n == -EAGAIN ? 0 : (int)n;
    line->length += (unsigned)n;
    if (line->length > 0 && line->text[line->length - 1] == '\n')
        return vsock_line_parse(line->text, line->length - 1, port) ? 1 : -EINVAL;
    bool may_go_on = line->length < VSOCK_LINE_MAX && begins_well(line->text, line->length);
    return may_go_on ? 0 : -EINVAL;
}

/* ---- what the socket did not take --------------------------------------------------------- */

static int write_some(int fd, struct iovec *iov, unsigned count)
{
    const struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
    ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    return (int)n;
}

static void keep(struct vsock_backlog *backlog, const char *from, size_t len)
{
    while (len > 0) {
        uint32_t tail = (backlog->head + backlog->length) % VSOCK_WINDOW;
        size_t part = VSOCK_WINDOW - tail < len ? VSOCK_WINDOW - tail : len;
        memcpy(backlog->ring + tail, from, part);
        backlog->length += (uint32_t)part;
        from += part;
        len -= part;
    }
}

/* Keeps `iov` without its first `taken` bytes. */
static int keep_rest(struct vsock_backlog *backlog, const struct iovec *iov, unsigned count,
                     size_t taken)
{
    for (unsigned i = 0; i < count; i++) {
        size_t skip = taken < iov[i].iov_len ? taken : iov[i].iov_len;
        taken -= skip;
        if (skip == iov[i].iov_len)
            continue;
        if (!backlog->ring)
            backlog->ring = malloc(VSOCK_WINDOW);
        if (!backlog->ring)
            return -ENOMEM;
        keep(backlog, (const char *)iov[i].iov_base + skip, iov[i].iov_len - skip);
    }
    return 0;
}

int vsock_backlog_write(struct vsock_backlog *backlog, int fd, struct iovec *iov, unsigned count)
{
    int taken = backlog->length > 0 ? 0 : write_some(fd, iov, count);
    if (taken < 0)
        return taken;
    int rc = keep_rest(backlog, iov, count, (size_t)taken);
    return rc < 0 ? rc : taken;
}

int vsock_backlog_flush(struct vsock_backlog *backlog, int fd)
{
    if (backlog->length == 0)
        return 0;
    uint32_t first = VSOCK_WINDOW - backlog->head;
    if (first > backlog->length)
        first = backlog->length;
    struct iovec iov[] = {{.iov_base = backlog->ring + backlog->head, .iov_len = first},
                          {.iov_base = backlog->ring, .iov_len = backlog->length - first}};
    int n = write_some(fd, iov, 2);
    if (n <= 0)
        return n;
    backlog->head = (backlog->head + (uint32_t)n) % VSOCK_WINDOW;
    backlog->length -= (uint32_t)n;
    if (backlog->length == 0)
        vsock_backlog_free(backlog);
    return n;
}

void vsock_backlog_free(struct vsock_backlog *backlog)
{
    free(backlog->ring);
    *backlog = (struct vsock_backlog){0};
}
