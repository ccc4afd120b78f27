/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/publish.h"

#include "snapshot/format.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#define TRIES 16 /* at names and at renames that somebody else was faster with */

/* ---- names -------------------------------------------------------------------------------- */

bool publish_is_disk_file(const char *name)
{
    static const char prefix[] = "disk-";
    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return false;
    const char *number = name + sizeof(prefix) - 1;
    return *number != '\0' && number[strspn(number, "0123456789")] == '\0';
}

bool publish_is_snapshot_file(const char *name)
{
    static const char *const names[] = {SNAPSHOT_STATE,       SNAPSHOT_MEMORY,
                                        SNAPSHOT_INDEX,       SNAPSHOT_PACKED,
                                        SNAPSHOT_WORKING_SET, SNAPSHOT_WORKING_SET_NEW};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return publish_is_disk_file(name);
}

int publish_each_file(int dir_fd, int (*visit)(void *ctx, int dir_fd, const char *name), void *ctx)
{
    /* An own position, which closedir() closes with it. */
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return -code;
    }
    for (const struct dirent *entry; (errno = 0, entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int rc = visit(ctx, dir_fd, entry->d_name);
        if (rc < 0)
            return rc;
    }
    return -errno;
}

static int check_name(void *ctx, int dir_fd, const char *name)
{
    char *unknown = ctx;
    (void)dir_fd;
    if (publish_is_snapshot_file(name))
        return 0;
    strncpy(unknown, name, NAME_MAX);
    return -ENOTEMPTY;
}

/* Whether `name` is still the open directory, which is then locked by us or not in use. */
static bool is_same(int parent_fd, const char *name, int fd)
{
    struct stat by_name, by_fd;
    return fstatat(parent_fd, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &by_fd) == 0 &&
           by_name.st_dev == by_fd.st_dev && by_name.st_ino == by_fd.st_ino;
}

/* ---- temporary directories ---------------------------------------------------------------- */

static int remove_file(void *ctx, int dir_fd, const char *name)
{
    (void)ctx;
    (void)unlinkat(dir_fd, name, 0); /* when it cannot be removed, neither can the directory */
    return 0;
}

static void remove_directory(int parent_fd, const char *name, int fd)
{
    (void)publish_each_file(fd, remove_file, NULL);
    (void)unlinkat(parent_fd, name, AT_REMOVEDIR);
}

/* One that no writer holds. */
static void remove_abandoned(int parent_fd, const char *name)
{
    char unknown[NAME_MAX + 1] = "";
    cleanup_close int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    /* The lock first, then the name: a writer may have put it in its place meanwhile. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || !is_same(parent_fd, name, fd))
        return;
    if (publish_each_file(fd, check_name, unknown) == 0)
        remove_directory(parent_fd, name, fd);
}

static int visit_abandoned(void *ctx, int dir_fd, const char *name)
{
    (void)ctx;
    const size_t length = sizeof(((struct publish *)0)->temporary) - 1;
    struct stat st;
    if (strncmp(name, PUBLISH_TEMPORARY_PREFIX, sizeof(PUBLISH_TEMPORARY_PREFIX) - 1) == 0 &&
        strlen(name) == length && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_uid == geteuid())
        remove_abandoned(dir_fd, name);
    return 0;
}

static void choose_name(char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    unsigned char random[6] = {0};
    /* Without random numbers it is a name like any other: one that is taken is tried again. */
    if (getrandom(random, sizeof(random), 0) < 0)
        memset(random, 0, sizeof(random));
    memcpy(name, PUBLISH_TEMPORARY_PREFIX, sizeof(PUBLISH_TEMPORARY_PREFIX));
    char *at = name + sizeof(PUBLISH_TEMPORARY_PREFIX) - 1;
    for (unsigned i = 0; i < sizeof(random); i++)
        at[i] = letters[random[i] % 32];
    at[sizeof(random)] = '\0';
}

/* -EAGAIN: somebody took it for abandoned before it was locked. */
static int lock_temporary(struct publish *publish, const char *name)
{
    cleanup_close int fd =
        openat(publish->parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -EAGAIN : -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    if (!is_same(publish->parent_fd, name, fd))
        return -EAGAIN;
    publish->fd = take_fd(&fd);
    memcpy(publish->temporary, name, sizeof(publish->temporary));
    return 0;
}

static int make_temporary(struct publish *publish, struct thaw_error *err)
{
    int rc = -EAGAIN;
    for (unsigned i = 0; i < TRIES && rc == -EAGAIN; i++) {
        char name[sizeof(publish->temporary)];
        choose_name(name);
        if (mkdirat(publish->parent_fd, name, 0700) == 0)
            rc = lock_temporary(publish, name);
        else if (errno != EEXIST)
            rc = -errno;
    }
    if (rc == 0)
        return 0;
    return thaw_fail_io(err, -rc, "%s: temporary directory beside it", publish->name);
}

/* ---- the target --------------------------------------------------------------------------- */

static bool begins_as_a_state(int dir_fd)
{
    char magic[sizeof(SNAPSHOT_MAGIC) - 1];
    struct stat st;
    cleanup_close int fd =
        openat(dir_fd, SNAPSHOT_STATE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
           pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
           memcmp(magic, SNAPSHOT_MAGIC, sizeof(magic)) == 0;
}

static int check_is_snapshot(const struct publish *publish, int fd, struct thaw_error *err)
{
    char unknown[NAME_MAX + 1] = "";
    if (!begins_as_a_state(fd))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EEXIST,
                            "%s: is there and is not a snapshot: it is not replaced",
                            publish->name);
    if (publish_each_file(fd, check_name, unknown) < 0)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EEXIST,
                            "%s: holds '%s' beside a snapshot: it is not replaced", publish->name,
                            unknown);
    return 0;
}

static int cannot_open_target(const struct publish *publish, struct thaw_error *err)
{
    int code = errno;
    const char *name = publish->name;
    struct stat st;
    if (fstatat(publish->parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_LINK, ELOOP,
                            "%s: is a link and is not followed", name);
    return thaw_fail_as(err, THAW_FAIL_USAGE, code, "%s: is there and cannot be replaced: %s", name,
                        strerror(code));
}

/* What is there must be a snapshot. Returns its descriptor; -EAGAIN, with `err` empty: there is
 * nothing, or it went away meanwhile. */
static int open_target(const struct publish *publish, struct thaw_error *err)
{
    struct thaw_error why = {0};
    cleanup_close int fd =
        openat(publish->parent_fd, publish->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -EAGAIN : cannot_open_target(publish, err);
    int rc = check_is_snapshot(publish, fd, &why);
    if (rc == 0)
        return take_fd(&fd);
    /* Another writer takes an old snapshot apart, but only after replacing it. */
    if (!is_same(publish->parent_fd, publish->name, fd))
        return -EAGAIN;
    *err = why;
    return rc;
}

static int check_target(const struct publish *publish, struct thaw_error *err)
{
    cleanup_close int fd = open_target(publish, err);
    return fd == -EAGAIN || fd >= 0 ? 0 : fd;
}

/* Splits off the last name and opens the directory before it. */
static int open_parent(struct publish *publish, const char *path, struct thaw_error *err)
{
    cleanup_free char *copy = strdup(path);
    if (!copy)
        return thaw_fail(err, ENOMEM, "%s", path);
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        strlen(name) > NAME_MAX)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "'%s': not the name of a new directory",
                            path);
    memcpy(publish->name, name, strlen(name) + 1);
    const char *parent = !slash ? "." : slash == copy ? "/" : copy;
    if (slash && slash != copy)
        *slash = '\0';
    publish->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (publish->parent_fd >= 0)
        return 0;
    int code = errno;
    struct stat st;
    bool link = lstat(parent, &st) == 0 && S_ISLNK(st.st_mode);
    return thaw_fail_as(err, link ? THAW_FAIL_SNAPSHOT_LINK : THAW_FAIL_IO, code, "%s: %s", parent,
                        link ? "is a link and is not followed" : strerror(code));
}

int publish_begin(struct publish *publish, const char *path, struct thaw_error *err)
{
    *publish = PUBLISH_NONE;
    int rc = open_parent(publish, path, err);
    if (rc == 0)
        rc = check_target(publish, err);
    if (rc < 0)
        return rc;
    (void)publish_each_file(publish->parent_fd, visit_abandoned, NULL);
    return make_temporary(publish, err);
}

int publish_begin_scratch(struct publish *publish, struct thaw_error *err)
{
    const char *wanted = getenv("TMPDIR");
    char directory[PATH_MAX];
    *publish = PUBLISH_NONE;
    if (!realpath(wanted && *wanted ? wanted : "/var/tmp", directory))
        return thaw_fail_io(err, errno, "TMPDIR");
    publish->parent_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (publish->parent_fd < 0)
        return thaw_fail_io(err, errno, "%s", directory);
    (void)publish_each_file(publish->parent_fd, visit_abandoned, NULL);
    return make_temporary(publish, err);
}

int publish_create(const struct publish *publish, const char *name, struct thaw_error *err)
{
    int fd = openat(publish->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return thaw_fail_io(err, errno, "%s/%s", publish->name, name);
    return fd;
}

int publish_blob(const struct publish *publish, const char *name, const struct blob *blob,
                 struct thaw_error *err)
{
    cleanup_close int fd = publish_create(publish, name, err);
    if (fd < 0)
        return fd;
    return file_write_full(fd, blob->data, blob->size, err) < 0 ? thaw_context(err, "%s", name) : 0;
}

/* ---- putting it in its place -------------------------------------------------------------- */

static int sync_file(void *ctx, int dir_fd, const char *name)
{
    (void)ctx;
    cleanup_close int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int sync_all(const struct publish *publish, struct thaw_error *err)
{
    int rc = publish_each_file(publish->fd, sync_file, NULL);
    if (rc == 0 && fsync(publish->fd) < 0)
        rc = -errno;
    if (rc < 0)
        return thaw_fail_io(err, -rc, "%s: fsync", publish->name);
    return 0;
}

static int rename_failed(const struct publish *publish, struct thaw_error *err)
{
    int code = errno;
    if (code == EINVAL)
        return thaw_fail_as(err, THAW_FAIL_IO, code,
                            "%s: this file system cannot exchange directories: remove the old "
                            "snapshot first",
                            publish->name);
    return thaw_fail_io(err, code, "%s: rename", publish->name);
}

/* What was exchanged is another directory than was looked at: a snapshot that another writer has
 * put there meanwhile, which may be taken apart as abandoned by now; or something to give back. */
static int check_exchanged(const struct publish *publish, struct thaw_error *err)
{
    int parent = publish->parent_fd;
    char unknown[NAME_MAX + 1] = "";
    cleanup_close int fd =
        openat(parent, publish->temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 ? errno == ENOENT : publish_each_file(fd, check_name, unknown) == 0)
        return 0;
    (void)renameat2(parent, publish->temporary, parent, publish->name, RENAME_EXCHANGE);
    return thaw_fail_as(err, THAW_FAIL_IO, EBUSY, "%s: was replaced meanwhile", publish->name);
}

/* -EAGAIN, with `err` empty: it is gone meanwhile. The old one is under the temporary name then. */
static int exchange(const struct publish *publish, struct thaw_error *err)
{
    int parent = publish->parent_fd;
    cleanup_close int old = open_target(publish, err);
    if (old < 0)
        return old;
    if (renameat2(parent, publish->temporary, parent, publish->name, RENAME_EXCHANGE) < 0)
        return errno == ENOENT ? -EAGAIN : rename_failed(publish, err);
    return is_same(parent, publish->temporary, old) ? 0 : check_exchanged(publish, err);
}

static int put_in_place(struct publish *publish, struct thaw_error *err)
{
    int rc = -EAGAIN, parent = publish->parent_fd;
    for (unsigned i = 0; i < TRIES && rc == -EAGAIN; i++) {
        rc = renameat2(parent, publish->temporary, parent, publish->name, RENAME_NOREPLACE);
        /* Without the flag an empty directory would be replaced: no harm. */
        if (rc < 0 && errno == EINVAL)
            rc = renameat(parent, publish->temporary, parent, publish->name);
        if (rc == 0)
            return 0;
        if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
            return rename_failed(publish, err);
        rc = exchange(publish, err);
    }
    if (rc == -EAGAIN)
        return thaw_fail_as(err, THAW_FAIL_IO, EBUSY, "%s: comes and goes", publish->name);
    return rc;
}

int publish_commit(struct publish *publish, bool sync, struct thaw_error *err)
{
    int rc = sync ? sync_all(publish, err) : 0;
    if (rc == 0)
        rc = put_in_place(publish, err);
    if (rc < 0)
        return rc;

    int failed = sync && fsync(publish->parent_fd) < 0 ? errno : 0;
    remove_abandoned(publish->parent_fd, publish->temporary); /* the old one, if there was one */
    publish->temporary[0] = '\0';
    if (failed)
        return thaw_fail_io(err, failed, "%s: fsync of its directory", publish->name);
    return 0;
}

void publish_end(struct publish *publish)
{
    /* Not when the name is another directory's by now. */
    if (publish->temporary[0] != '\0' &&
        is_same(publish->parent_fd, publish->temporary, publish->fd))
        remove_directory(publish->parent_fd, publish->temporary, publish->fd);
    if (publish->fd >= 0)
        close(publish->fd);
    if (publish->parent_fd >= 0)
        close(publish->parent_fd);
    *publish = PUBLISH_NONE;
}
