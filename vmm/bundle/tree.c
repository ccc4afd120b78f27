/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/tree.h"

#include "vmm/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct walk {
    int (*visit)(void *context, const struct tree_entry *entry, struct thaw_error *err);
    void *context;
    const char *top; /* the path that was given, for messages */
    char path[PATH_MAX];
    char target[PATH_MAX]; /* of the link that is being visited */
    size_t length;         /* of path */
    unsigned depth;
};

struct names {
    char **items;
    size_t count, capacity;
};

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

static int fail(const struct walk *walk, int code, struct thaw_error *err)
{
    thaw_fail(err, code, "%s%s%s", walk->top, walk->length > 0 ? "/" : "", walk->path);
    return thaw_reclassify(err, THAW_FAIL_IMAGE);
}

static int add_name(struct names *names, const char *name)
{
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? 2 * names->capacity : 16;
        char **items = reallocarray(names->items, capacity, sizeof(*items));
        if (!items)
            return -ENOMEM;
        names->items = items;
        names->capacity = capacity;
    }
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    names->items[names->count++] = copy;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* `fd` stays the caller's. */
static int read_names(int fd, struct names *names)
{
    cleanup_close int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (own < 0)
        return -errno;
    cleanup_closedir DIR *dir = fdopendir(own);
    if (!dir)
        return -errno;
    take_fd(&own);

    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir); // NOLINT(concurrency-mt-unsafe)
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int rc = add_name(names, entry->d_name);
        if (rc < 0)
            return rc;
    }
    if (errno != 0)
        return -errno;
    if (names->count > 1)
        qsort(names->items, names->count, sizeof(*names->items), compare_names);
    return 0;
}

/* A directory that something is mounted on. Not by st_dev: subvolumes of one file system differ in
 * it, and two mounts of one file system do not. */
static bool is_mount_point(int dir_fd, const char *name)
{
    struct statx st;
    if (statx(dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &st) < 0)
        return false;
    return st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

static int walk_directory(struct walk *walk, int fd, struct thaw_error *err);

static int enter(struct walk *walk, int dir_fd, const char *name, struct thaw_error *err)
{
    if (walk->depth == TREE_DEPTH_MAX)
        return fail(walk, ELOOP, err);
    cleanup_close int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail(walk, errno, err);
    walk->depth++;
    int rc = walk_directory(walk, fd, err);
    walk->depth--;
    return rc;
}

static int visit_entry(struct walk *walk, int dir_fd, const char *name, struct thaw_error *err)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(walk, errno, err);

    struct tree_entry entry = {.path = walk->path, .dir_fd = dir_fd, .name = name, .st = &st};
    if (S_ISLNK(st.st_mode)) {
        ssize_t length = readlinkat(dir_fd, name, walk->target, sizeof(walk->target) - 1);
        if (length < 0)
            return fail(walk, errno, err);
        walk->target[length] = '\0';
        entry.target = walk->target;
    }

    int rc = walk->visit(walk->context, &entry, err);
    if (rc != 0 || !S_ISDIR(st.st_mode) || is_mount_point(dir_fd, name))
        return rc;
    return enter(walk, dir_fd, name, err);
}

static int walk_names(struct walk *walk, int fd, const struct names *names, struct thaw_error *err)
{
    const size_t parent = walk->length;
    for (size_t i = 0; i < names->count; i++) {
        int n = snprintf(walk->path + parent, sizeof(walk->path) - parent, "%s%s",
                         parent > 0 ? "/" : "", names->items[i]);
        if (n < 0 || (size_t)n >= sizeof(walk->path) - parent)
            return fail(walk, ENAMETOOLONG, err);
        walk->length = parent + (size_t)n;

        int rc = visit_entry(walk, fd, names->items[i], err);
        if (rc != 0)
            return rc;
        walk->length = parent;
        walk->path[parent] = '\0';
    }
    return 0;
}

static int walk_directory(struct walk *walk, int fd, struct thaw_error *err)
{
    cleanup(free_names) struct names names = {0};
    int rc = read_names(fd, &names);
    return rc < 0 ? fail(walk, -rc, err) : walk_names(walk, fd, &names, err);
}

int tree_walk(const char *path,
              int (*visit)(void *context, const struct tree_entry *entry, struct thaw_error *err),
              void *context, struct thaw_error *err)
{
    struct walk walk = {.visit = visit, .context = context, .top = path};
    struct stat st;
    if (stat(path, &st) < 0)
        return fail(&walk, errno, err);

    struct tree_entry entry = {.path = "", .dir_fd = AT_FDCWD, .name = path, .st = &st};
    int rc = visit(context, &entry, err);
    if (rc != 0 || !S_ISDIR(st.st_mode))
        return rc;

    cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(&walk, errno, err);
    return walk_directory(&walk, fd, err);
}
