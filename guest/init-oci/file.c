/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

int file_read_full(int fd, void *buffer, size_t size)
{
    char *at = buffer;
    while (size > 0) {
        ssize_t n = read(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EPIPE;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static int wait_for_room(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    return poll(&poll_fd, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

int file_write_full(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EAGAIN) {
            int rc = wait_for_room(fd);
            if (rc < 0)
                return rc;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

/* How large a regular file is; the size may grow meanwhile, so it only bounds the read. */
static int regular_size(int fd, size_t max, size_t *size)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (st.st_size < 0 || (uint64_t)st.st_size > max)
        return -EFBIG;
    *size = (size_t)st.st_size;
    return 0;
}

int file_read_all(int dir, const char *path, size_t max, char **data, size_t *size)
{
    cleanup_close int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int rc = regular_size(fd, max, size);
    if (rc < 0)
        return rc;

    cleanup_free char *buffer = malloc(*size + 1);
    if (!buffer)
        return -ENOMEM;
    rc = file_read_full(fd, buffer, *size);
    if (rc < 0)
        return rc;
    buffer[*size] = '\0';
    *data = buffer;
    buffer = NULL;
    return 0;
}

int file_write_value(int dir, const char *path, const char *value)
{
    cleanup_close int fd = openat(dir, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    size_t length = strlen(value);
    ssize_t n = write(fd, value, length);
    if (n < 0)
        return -errno;
    return (size_t)n == length ? 0 : -EIO;
}

int file_open_within(int dir, const char *path, int flags, uint64_t resolve)
{
    struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC), .resolve = resolve};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}
