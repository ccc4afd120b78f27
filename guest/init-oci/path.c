/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/path.h"

#include "guest/init-oci/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int path_open(int root, const char *path, int flags)
{
    return file_open_within(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* Opens the directory that the first `length` bytes of `path` name; makes it below `parent` when
 * it is missing. A ".." is never missing, so what is made is a plain name. */
static int enter(int root, int parent, const char *path, size_t start, size_t length)
{
    char prefix[PATH_MAX];
    memcpy(prefix, path, length);
    prefix[length] = '\0';
    int fd = path_open(root, prefix, O_PATH | O_DIRECTORY);
    if (fd != -ENOENT)
        return fd;
    if (mkdirat(parent, prefix + start, 0755) < 0 && errno != EEXIST)
        return -errno;
    return path_open(root, prefix, O_PATH | O_DIRECTORY);
}

static int make_directory(int root, const char *path, size_t length)
{
    if (length >= PATH_MAX)
        return -ENAMETOOLONG;
    cleanup_close int at = path_open(root, "/", O_PATH | O_DIRECTORY);
    for (size_t end = 0; at >= 0;) {
        size_t start = end + strspn(path + end, "/");
        if (start >= length)
            break;
        end = start + strcspn(path + start, "/");
        int below = enter(root, at, path, start, end);
        file_close(&at);
        at = below;
    }
    return take_fd(&at);
}

int path_make_directory(int root, const char *path)
{
    return make_directory(root, path, strlen(path));
}

int path_make_parent(int root, const char *path, char *leaf)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;

    size_t length = end - start;
    if (length == 0)
        return -EISDIR;
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(leaf, path + start, length);
    leaf[length] = '\0';
    return make_directory(root, path, start);
}

int path_make_file(int root, const char *path)
{
    int there = path_open(root, path, O_PATH);
    if (there != -ENOENT)
        return there;
    char leaf[NAME_MAX + 1];
    cleanup_close int parent = path_make_parent(root, path, leaf);
    if (parent < 0)
        return take_fd(&parent);
    cleanup_close int made =
        openat(parent, leaf, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (made < 0)
        return -errno;
    return path_open(root, path, O_PATH);
}

struct fd_path fd_path(int fd)
{
    struct fd_path path;
    snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
    return path;
}
