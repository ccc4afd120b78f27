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

#define LINKS_MAX 40 /* as the kernel's own limit, path_resolution(7) */

int path_open(int root, const char *path, int flags)
{
    return file_open_within(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* What path a symlink of the image leads to when what it names is missing: where `path`, cut off
 * after `start` bytes, is its directory. Kept as text, for the kernel to resolve inside the root
 * again. */
static int target_of(int parent, const char *leaf, const char *path, size_t start,
                     char target[PATH_MAX])
{
    char link[PATH_MAX];
    ssize_t length = readlinkat(parent, leaf, link, sizeof(link) - 1);
    if (length < 0)
        return -errno;
    link[length] = '\0';
    int written = link[0] == '/' ? snprintf(target, PATH_MAX, "%s", link)
                                 : snprintf(target, PATH_MAX, "%.*s/%s", (int)start, path, link);
    return written < 0 || written >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int make_directory(int root, const char *path, size_t length, unsigned links);

/* Opens the directory that the first `length` bytes of `path` name; makes it below `parent` when
 * it is missing. A ".." is never missing, so what is made is a plain name. */
static int enter(int root, int parent, const char *path, size_t start, size_t length,
                 unsigned links)
{
    char prefix[PATH_MAX];
    memcpy(prefix, path, length);
    prefix[length] = '\0';
    int fd = path_open(root, prefix, O_PATH | O_DIRECTORY);
    if (fd != -ENOENT)
        return fd;
    if (mkdirat(parent, prefix + start, 0755) == 0)
        return path_open(root, prefix, O_PATH | O_DIRECTORY);
    if (errno != EEXIST)
        return -errno;

    char target[PATH_MAX];
    int rc = links < LINKS_MAX ? target_of(parent, prefix + start, path, start, target) : -ELOOP;
    return rc < 0 ? rc : make_directory(root, target, strlen(target), links + 1);
}

static int make_directory(int root, const char *path, size_t length, unsigned links)
{
    if (length >= PATH_MAX)
        return -ENAMETOOLONG;
    cleanup_close int at = path_open(root, "/", O_PATH | O_DIRECTORY);
    for (size_t end = 0; at >= 0;) {
        size_t start = end + strspn(path + end, "/");
        if (start >= length)
            break;
        end = start + strcspn(path + start, "/");
        int below = enter(root, at, path, start, end, links);
        file_close(&at);
        at = below;
    }
    return take_fd(&at);
}

int path_make_directory(int root, const char *path)
{
    return make_directory(root, path, strlen(path), 0);
}

/* `start` gets how many bytes come before the leaf. */
static int make_parent(int root, const char *path, char *leaf, size_t *start, unsigned links)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    *start = end;
    while (*start > 0 && path[*start - 1] != '/')
        --*start;

    size_t length = end - *start;
    if (length == 0)
        return -EISDIR;
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(leaf, path + *start, length);
    leaf[length] = '\0';
    return make_directory(root, path, *start, links);
}

int path_make_parent(int root, const char *path, char *leaf)
{
    size_t start;
    return make_parent(root, path, leaf, &start, 0);
}

static int make_file(int root, const char *path, unsigned links)
{
    int there = path_open(root, path, O_PATH);
    if (there != -ENOENT)
        return there;
    char leaf[NAME_MAX + 1];
    size_t start;
    cleanup_close int parent = make_parent(root, path, leaf, &start, links);
    if (parent < 0)
        return take_fd(&parent);
    cleanup_close int made =
        openat(parent, leaf, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (made >= 0)
        return path_open(root, path, O_PATH);
    if (errno != EEXIST)
        return -errno;

    char target[PATH_MAX];
    int rc = links < LINKS_MAX ? target_of(parent, leaf, path, start, target) : -ELOOP;
    return rc < 0 ? rc : make_file(root, target, links + 1);
}

int path_make_file(int root, const char *path)
{
    return make_file(root, path, 0);
}

struct fd_path fd_path(int fd)
{
    struct fd_path path;
    snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
    return path;
}
