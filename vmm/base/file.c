/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/file.h"

#include "vmm/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int file_open_regular(const char *path, enum thaw_failure failure, uint64_t *size,
                      struct thaw_error *err)
{
    /* O_NONBLOCK: opening a FIFO by mistake must not hang. */
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        thaw_fail(err, errno, "%s", path);
        return thaw_reclassify(err, failure);
    }

    struct stat st;
    if (fstat(fd, &st) < 0) {
        thaw_fail(err, errno, "%s", path);
        return thaw_reclassify(err, failure);
    }
    if (!S_ISREG(st.st_mode))
        return thaw_fail_as(err, failure, EINVAL, "%s: not a regular file", path);

    *size = (uint64_t)st.st_size;
    return take_fd(&fd);
}

int file_read_all(const char *path, size_t max, enum thaw_failure failure, char **data,
                  size_t *size, struct thaw_error *err)
{
    uint64_t length = 0;
    cleanup_close int fd = file_open_regular(path, failure, &length, err);
    if (fd < 0)
        return fd;
    if (length > max)
        return thaw_fail_as(err, failure, EFBIG, "%s: larger than %zu bytes", path, max);

    cleanup_free char *buffer = malloc(length + 1);
    if (!buffer)
        return thaw_fail(err, ENOMEM, "%s", path);
    if (file_pread_full(fd, buffer, length, 0, err) < 0) {
        thaw_context(err, "%s", path);
        return thaw_reclassify(err, failure);
    }
    buffer[length] = '\0';
    *size = length;
    *data = take(buffer);
    return 0;
}

int file_pread_full(int fd, void *buffer, size_t size, uint64_t offset, struct thaw_error *err)
{
    char *at = buffer;
    while (size > 0) {
        ssize_t n = pread(fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return thaw_fail(err, errno, "read");
        if (n == 0)
            return thaw_fail_as(err, THAW_FAIL_IO, EIO, "file ends early");
        at += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int file_write_full(int fd, const void *data, size_t size, struct thaw_error *err)
{
    const char *at = data;
    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return thaw_fail_io(err, errno, "write");
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

int file_pwrite_full(int fd, const void *data, size_t size, uint64_t offset, struct thaw_error *err)
{
    const char *at = data;
    while (size > 0) {
        ssize_t n = pwrite(fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return thaw_fail_io(err, n < 0 ? errno : EIO, "write");
        at += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

/* mkdir -p, for a path that this file made up itself. */
static int make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int rc = mkdir(path, 0700);
        *slash = '/';
        if (rc < 0 && errno != EEXIST)
            return -errno;
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int file_cache_directory(const char *sub, char *path, size_t path_size, struct thaw_error *err)
{
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int n;
    if (cache && cache[0] == '/')
        n = snprintf(path, path_size, "%s/thaw/%s", cache, sub);
    else if (home && home[0] == '/')
        n = snprintf(path, path_size, "%s/.cache/thaw/%s", home, sub);
    else
        return thaw_fail_as(err, THAW_FAIL_IO, ENOENT,
                            "cache directory: neither XDG_CACHE_HOME nor HOME is set");
    if (n < 0 || (size_t)n >= path_size)
        return thaw_fail(err, ENAMETOOLONG, "cache directory");

    int rc = make_directories(path);
    if (rc < 0)
        return thaw_fail_io(err, -rc, "%s", path);
    return 0;
}
