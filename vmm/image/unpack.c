/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/unpack.h"

#include "vmm/base/cleanup.h"
#include "vmm/bundle/tree.h"
#include "vmm/image/layer_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int fail_io(const char *name, int code, struct thaw_error *err)
{
    return thaw_fail_io(err, code, "%.200s", name[0] ? name : "/");
}

/* ---- looking up ---------------------------------------------------------------------------- */

int unpack_open_beneath(int root, const char *path, int flags)
{
    const struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC),
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd;
    do { /* EAGAIN: something was renamed meanwhile */
        fd = syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof(how));
    } while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    return fd < 0 ? -errno : (int)fd;
}

static int fail_lookup(const char *path, int code, struct thaw_error *err)
{
    if (code == EXDEV)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EXDEV,
                            "%.200s: a symbolic link on the way leads out of the root", path);
    if (code == ENOTDIR || code == ELOOP)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, code, "%.200s: not a directory", path);
    return fail_io(path, code, err);
}

/* The directory `path`, whose last component is `base` in `parent`; made where it is missing. */
static int open_or_make(struct unpack *unpack, int parent, const char *path, struct thaw_error *err)
{
    static const struct timespec never = {0};
    int fd = unpack_open_beneath(unpack->root, path, O_PATH | O_DIRECTORY);
    if (fd != -ENOENT)
        return fd < 0 ? fail_lookup(path, -fd, err) : fd;

    const char *base;
    layer_path_split(path, &base);
    if (mkdirat(parent, base, 0755) < 0)
        return errno == EEXIST ? thaw_fail_as(err, THAW_FAIL_IMAGE, ENOENT,
                                              "%.200s: a symbolic link that leads nowhere", path)
                               : fail_io(path, errno, err);
    int rc = unpack_note_made(unpack, parent, base, err);
    if (rc == 0)
        rc = unpack_note_time(unpack, path, never, err);
    if (rc < 0)
        return rc;
    fd = unpack_open_beneath(unpack->root, path, O_PATH | O_DIRECTORY);
    return fd < 0 ? fail_lookup(path, -fd, err) : fd;
}

static int make_directories(struct unpack *unpack, char *path, struct thaw_error *err)
{
    cleanup_close int parent = unpack_open_beneath(unpack->root, "", O_PATH | O_DIRECTORY);
    if (parent < 0)
        return fail_lookup("", -parent, err);
    for (char *at = path;;) {
        char *slash = strchr(at, '/');
        if (slash)
            *slash = '\0';
        int fd = open_or_make(unpack, parent, path, err);
        if (fd < 0 || !slash)
            return fd;
        close(parent);
        parent = fd;
        *slash = '/';
        at = slash + 1;
    }
}

int unpack_open_directory(struct unpack *unpack, const char *path, size_t length, bool make,
                          struct thaw_error *err)
{
    char directory[PATH_MAX];
    memcpy(directory, path, length);
    directory[length] = '\0';
    int fd = unpack_open_beneath(unpack->root, directory, O_PATH | O_DIRECTORY);
    if (fd >= 0)
        return fd;
    if (fd != -ENOENT)
        return fail_lookup(directory, -fd, err);
    return make ? make_directories(unpack, directory, err) : -ENOENT;
}

/* ---- what the layer at hand made ----------------------------------------------------------- */

struct made {
    uint64_t directory; /* its inode: a path may have several spellings */
    char name[NAME_MAX + 1];
};

static int compare_made(const void *a, const void *b)
{
    const struct made *left = a, *right = b;
    if (left->directory != right->directory)
        return left->directory < right->directory ? -1 : 1;
    return strcmp(left->name, right->name);
}

static int made_key(int directory, const char *name, struct made *key)
{
    struct stat st;
    if (fstat(directory, &st) < 0)
        return -errno;
    key->directory = st.st_ino;
    snprintf(key->name, sizeof(key->name), "%s", name);
    return 0;
}

int unpack_note_made(struct unpack *unpack, int directory, const char *name, struct thaw_error *err)
{
    struct made key;
    int rc = made_key(directory, name, &key);
    if (rc < 0)
        return fail_io(name, -rc, err);
    if (tfind(&key, &unpack->made, compare_made))
        return 0;
    size_t size = offsetof(struct made, name) + strlen(name) + 1;
    struct made *made = malloc(size);
    if (!made)
        return thaw_fail(err, ENOMEM, "%s", name);
    memcpy(made, &key, size);
    if (tsearch(made, &unpack->made, compare_made))
        return 0;
    free(made);
    return thaw_fail(err, ENOMEM, "%s", name);
}

static bool is_made(struct unpack *unpack, int directory, const char *name)
{
    struct made key;
    return unpack && made_key(directory, name, &key) == 0 &&
           tfind(&key, &unpack->made, compare_made);
}

void unpack_next_layer(struct unpack *unpack)
{
    tdestroy(unpack->made, free);
    unpack->made = NULL;
}

/* ---- removing ------------------------------------------------------------------------------ */

static int remove_entry(struct unpack *unpack, int directory, const char *name, unsigned depth,
                        struct thaw_error *err);

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* With `unpack`, spares what its layer made. */
static int remove_children(struct unpack *unpack, int directory, unsigned depth,
                           struct thaw_error *err)
{
    cleanup_close int own = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (!dir)
        return fail_io("a directory", errno, err);
    int fd = take_fd(&own), rc = 0;
    const struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir))) { // NOLINT(concurrency-mt-unsafe)
        if (!is_dots(entry->d_name))
            rc = remove_entry(unpack, fd, entry->d_name, depth, err);
    }
    return rc;
}

static int remove_directory(struct unpack *unpack, int directory, const char *name, unsigned depth,
                            struct thaw_error *err)
{
    if (depth == TREE_DEPTH_MAX)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ELOOP,
                            "%.200s: more than %d directories below each other", name,
                            TREE_DEPTH_MAX);
    cleanup_close int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_io(name, errno, err);
    int rc = remove_children(unpack, fd, depth + 1, err);
    if (rc < 0 || is_made(unpack, directory, name))
        return rc;
    /* Not empty: there is something of the layer's in it. */
    if (unlinkat(directory, name, AT_REMOVEDIR) < 0 && !(unpack && errno == ENOTEMPTY))
        return fail_io(name, errno, err);
    return 0;
}

static int remove_entry(struct unpack *unpack, int directory, const char *name, unsigned depth,
                        struct thaw_error *err)
{
    struct stat st;
    if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : fail_io(name, errno, err);
    if (S_ISDIR(st.st_mode))
        return remove_directory(unpack, directory, name, depth, err);
    if (is_made(unpack, directory, name))
        return 0;
    return unlinkat(directory, name, 0) < 0 ? fail_io(name, errno, err) : 0;
}

int unpack_remove(int directory, const char *name, struct thaw_error *err)
{
    return remove_entry(NULL, directory, name, 0, err);
}

int unpack_hide(struct unpack *unpack, int directory, const char *name, struct thaw_error *err)
{
    return remove_entry(unpack, directory, name, 0, err);
}

int unpack_hide_all(struct unpack *unpack, int directory, struct thaw_error *err)
{
    return remove_children(unpack, directory, 0, err);
}

/* ---- times --------------------------------------------------------------------------------- */

int unpack_note_time(struct unpack *unpack, const char *path, struct timespec mtime,
                     struct thaw_error *err)
{
    if (unpack->time_count == unpack->time_capacity) {
        size_t capacity = unpack->time_capacity ? 2 * unpack->time_capacity : 256;
        struct directory_time *times = reallocarray(unpack->times, capacity, sizeof(*times));
        if (!times)
            return thaw_fail(err, ENOMEM, "%s", path);
        unpack->times = times;
        unpack->time_capacity = capacity;
    }
    char *copy = strdup(path);
    if (!copy)
        return thaw_fail(err, ENOMEM, "%s", path);
    unpack->times[unpack->time_count++] = (struct directory_time){.path = copy, .mtime = mtime};
    return 0;
}

static int set_time(int root, const struct directory_time *time, struct thaw_error *err)
{
    const struct timespec times[2] = {time->mtime, time->mtime};
    cleanup_close int fd = unpack_open_beneath(root, time->path, O_RDONLY | O_DIRECTORY);
    /* A later layer may have removed it or put something else in its place. */
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -EXDEV || fd == -ELOOP)
        return 0;
    if (fd < 0 || futimens(fd, times) < 0)
        return fail_io(time->path, fd < 0 ? -fd : errno, err);
    return 0;
}

int unpack_begin(struct unpack *unpack, int root, struct thaw_error *err)
{
    static const struct timespec never = {0};
    *unpack = (struct unpack){.root = root};
    return unpack_note_time(unpack, "", never, err);
}

int unpack_finish(struct unpack *unpack, struct thaw_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < unpack->time_count; i++)
        rc = set_time(unpack->root, &unpack->times[i], err);
    return rc;
}

void unpack_free(struct unpack *unpack)
{
    unpack_next_layer(unpack);
    for (size_t i = 0; i < unpack->time_count; i++)
        free(unpack->times[i].path);
    free(unpack->times);
    *unpack = (struct unpack){.root = -1};
}

/* ---- discarding ---------------------------------------------------------------------------- */

/* Where this fails, so will what comes next, and the directory stays. */
static void make_accessible(int parent, const char *name)
{
    if (fchmodat(parent, name, 0700, 0) < 0)
        errno = 0;
}

/* Empties the directory `name` of `top`. Directories in it go up into `top`, under a new name,
 * and come up for their turn there: so depth costs neither descriptors nor stack. */
static void flatten(int top, const char *name, unsigned *serial)
{
    make_accessible(top, name);
    cleanup_close int own = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_closedir DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (!dir)
        return;
    int fd = take_fd(&own);
    const struct dirent *entry;
    while ((entry = readdir(dir))) { // NOLINT(concurrency-mt-unsafe)
        if (is_dots(entry->d_name) || unlinkat(fd, entry->d_name, 0) == 0)
            continue;
        char moved[32];
        snprintf(moved, sizeof(moved), ".discard-%u", (*serial)++);
        /* Moving a directory writes into it: its "..". */
        make_accessible(fd, entry->d_name);
        renameat(fd, entry->d_name, top, moved);
    }
}

/* One pass over `top`; whether anything was removed or moved. */
static bool discard_pass(int top, unsigned *serial)
{
    bool changed = false;
    cleanup_close int own = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (!dir)
        return false;
    take_fd(&own);
    const struct dirent *entry;
    while ((entry = readdir(dir))) { // NOLINT(concurrency-mt-unsafe)
        if (is_dots(entry->d_name))
            continue;
        if (unlinkat(top, entry->d_name, 0) == 0) {
            changed = true;
            continue;
        }
        flatten(top, entry->d_name, serial);
        changed |= unlinkat(top, entry->d_name, AT_REMOVEDIR) == 0;
    }
    return changed;
}

void unpack_discard_tree(int parent, const char *name)
{
    cleanup_close int top = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    unsigned serial = 0;
    if (top < 0)
        return;
    while (discard_pass(top, &serial))
        ;
    unlinkat(parent, name, AT_REMOVEDIR);
}
