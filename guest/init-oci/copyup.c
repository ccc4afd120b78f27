/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/copyup.h"

#include "guest/init-oci/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define CHUNK ((size_t)1 << 20)

static void cleanup_closedir_fn(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}
#define cleanup_closedir __attribute__((cleanup(cleanup_closedir_fn)))

/* Owner before mode: a change of owner takes the set-id bits away. */
static bool copy_attributes(int dir, const char *name, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    if (fchownat(dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (!S_ISLNK(st->st_mode) && fchmodat(dir, name, st->st_mode & 07777, 0) < 0)
        return false;
    return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) == 0;
}

static int copy_file(int from, int to, const char *name)
{
    cleanup_close int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    cleanup_close int out =
        openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (in < 0 || out < 0)
        return -errno;
    ssize_t n;
    do
        n = sendfile(out, in, NULL, CHUNK);
    while (n > 0);
    return n < 0 ? -errno : 0;
}

static int copy_symlink(int from, int to, const char *name)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(from, name, target, sizeof(target) - 1);
    if (length < 0)
        return -errno;
    target[length] = '\0';
    return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int copy_directory(int from, int to, const char *name, struct failure *failure)
{
    if (mkdirat(to, name, 0700) < 0)
        return fail(failure, errno, "%s", name);
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    cleanup_close int in = openat(from, name, flags);
    cleanup_close int out = openat(to, name, flags);
    if (in < 0 || out < 0)
        return fail(failure, errno, "%s", name);
    int rc = copyup(in, out, failure);
    return rc < 0 ? fail_in(failure, rc, "%s/", name) : 0;
}

static int copy_entry(int from, int to, const char *name, struct failure *failure)
{
    struct stat st;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(failure, errno, "%s", name);

    int rc = 0;
    if (S_ISDIR(st.st_mode)) {
        rc = copy_directory(from, to, name, failure);
        if (rc < 0)
            return rc;
    } else if (S_ISREG(st.st_mode)) {
        rc = copy_file(from, to, name);
    } else if (S_ISLNK(st.st_mode)) {
        rc = copy_symlink(from, to, name);
    } else if (mknodat(to, name, st.st_mode, st.st_rdev) < 0) {
        rc = -errno;
    }
    if (rc == 0 && !copy_attributes(to, name, &st))
        rc = -errno;
    return rc < 0 ? fail(failure, -rc, "%s", name) : 0;
}

int copyup(int from, int to, struct failure *failure)
{
    int own = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (!dir)
        return fail(failure, errno, "."); /* an `own` that is left open ends with the process */
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            return errno ? fail(failure, errno, ".") : 0;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int rc = copy_entry(from, to, entry->d_name, failure);
        if (rc < 0)
            return rc;
    }
}
