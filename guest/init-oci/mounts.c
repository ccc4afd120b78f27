/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/mounts.h"

#include "guest/init-oci/cgroup.h"
#include "guest/init-oci/copyup.h"
#include "guest/init-oci/file.h"
#include "guest/init-oci/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

/* linux/mount.h cannot be included beside sys/mount.h. */
#define ATTR_RDONLY 0x1u
struct mount_attributes {
    uint64_t set, clear, propagation, userns_fd;
};

/* musl has no name for it; the kernel's is in linux/mount.h. */
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

struct mounting {
    const struct spec *spec;
    int root;
    const struct spec_mount *mount;
    int top; /* the new mount's root, once it is there; -1 before */
};

/* ---- flags -------------------------------------------------------------------------------- */

static int flags_of_mount(const char *path, unsigned long *flags)
{
    static const struct {
        unsigned long st, ms;
    } names[] = {
        {ST_RDONLY, MS_RDONLY},     {ST_NOSUID, MS_NOSUID},
        {ST_NODEV, MS_NODEV},       {ST_NOEXEC, MS_NOEXEC},
        {ST_NOATIME, MS_NOATIME},   {ST_NODIRATIME, MS_NODIRATIME},
        {ST_RELATIME, MS_RELATIME}, {0x2000 /* ST_NOSYMFOLLOW */, MS_NOSYMFOLLOW},
    };
    struct statvfs st;
    if (statvfs(path, &st) < 0)
        return -errno;
    *flags = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        *flags |= st.f_flag & names[i].st ? names[i].ms : 0;
    return 0;
}

int mounts_change_flags(const char *path, unsigned long flags, bool keep)
{
    if (!keep && mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | flags, NULL) == 0)
        return 0;
    if (!keep && errno != EPERM)
        return -errno;
    unsigned long kept = 0;
    int rc = flags_of_mount(path, &kept);
    if (rc < 0)
        return rc;
    if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | flags | kept, NULL) < 0)
        return -errno;
    return 0;
}

/* ---- the destination ---------------------------------------------------------------------- */

static int open_target(const struct mounting *m, bool directory)
{
    const char *path = m->mount->destination;
    int fd = path_open(m->root, path, O_PATH);
    if (fd != -ENOENT)
        return fd;
    return directory ? path_make_directory(m->root, path) : path_make_file(m->root, path);
}

static int open_top(struct mounting *m)
{
    m->top = path_open(m->root, m->mount->destination, O_PATH);
    return m->top < 0 ? m->top : 0;
}

int mounts_bind(int source, int target, unsigned long recursive)
{
    const struct fd_path from = fd_path(source);
    const struct fd_path to = fd_path(target);
    return mount(from.text, to.text, NULL, MS_BIND | recursive, NULL) < 0 ? -errno : 0;
}

/* ---- kinds of mounts: each leaves m->top open --------------------------------------------- */

static bool is_below(const char *path, const char *top)
{
    size_t length = strlen(top);
    return strncmp(path, top, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* The VM has no other files to bind than those packed with the bundle and the kernel's own. */
static int open_source(const struct spec_mount *mount)
{
    if (mount->info.extra & THAW_SPEC_MOUNT_PACKED) {
        if (!is_below(mount->source, THAW_SPEC_BINDS))
            return -ENOENT;
        return file_open_within(AT_FDCWD, mount->source, O_PATH, RESOLVE_NO_SYMLINKS);
    }
    if (!is_below(mount->source, "/proc") && !is_below(mount->source, "/sys") &&
        !is_below(mount->source, "/dev"))
        return -ENOENT;
    return file_open_within(AT_FDCWD, mount->source, O_PATH, RESOLVE_NO_MAGICLINKS);
}

static int bind_over(struct mounting *m, int source, unsigned long recursive)
{
    struct stat st;
    if (fstat(source, &st) < 0)
        return -errno;
    cleanup_close int target = open_target(m, S_ISDIR(st.st_mode));
    if (target < 0)
        return target;
    int rc = mounts_bind(source, target, recursive);
    return rc < 0 ? rc : open_top(m);
}

/* mount(2) ignores all other flags of a new bind mount. */
static int change_bind_flags(const struct mounting *m)
{
    const unsigned long flags =
        m->mount->info.flags & ~(unsigned long)(MS_BIND | MS_REC | MS_SILENT);
    const struct fd_path top = fd_path(m->top);
    int rc = flags ? mounts_change_flags(top.text, flags, false) : 0;
    if (rc == 0 && (m->mount->info.extra & THAW_SPEC_MOUNT_RECURSIVE_RO)) {
        const struct mount_attributes attributes = {.set = ATTR_RDONLY};
        if (syscall(SYS_mount_setattr, m->top, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                    sizeof(attributes)) < 0)
            rc = -errno;
    }
    return rc;
}

static int mount_bind(struct mounting *m)
{
    cleanup_close int source = open_source(m->mount);
    if (source < 0)
        return source;
    int rc = bind_over(m, source, m->mount->info.flags & MS_REC);
    return rc < 0 ? rc : change_bind_flags(m);
}

/* Init's own mount of the kind, where the workload may not have one of its own. */
static int bind_inits(struct mounting *m, const char *path)
{
    cleanup_close int source = open(path, O_PATH | O_CLOEXEC);
    if (source < 0)
        return -errno;
    int rc = bind_over(m, source, MS_REC);
    return rc < 0 ? rc : change_bind_flags(m);
}

static int mount_on(struct mounting *m, int target, const char *type, unsigned long flags,
                    const char *data)
{
    const struct fd_path to = fd_path(target);
    if (mount(m->mount->source, to.text, type, flags, *data ? data : NULL) < 0)
        return -errno;
    return open_top(m);
}

static int mount_file_system(struct mounting *m)
{
    cleanup_close int target = open_target(m, true);
    if (target < 0)
        return target;
    return mount_on(m, target, m->mount->type, m->mount->info.flags, m->mount->data);
}

/* A new sysfs shows a network namespace and belongs to whoever owns that. The VM's is not the
 * workload's own when the workload has a user namespace. */
static int mount_sysfs(struct mounting *m)
{
    int rc = mount_file_system(m);
    if (rc != -EPERM || !(m->spec->namespaces & CLONE_NEWUSER))
        return rc;
    return bind_inits(m, "/sys");
}

/* Whatever version the bundle was written for, v2 is what there is; its options are not those of
 * v1. Without a cgroup namespace a new mount would show the root; with one, binding the
 * workload's own directory shows the same, where a new mount is refused: for lack of rights, or
 * (EBUSY) because init's /sys was bound and has one there. */
static int mount_cgroup(struct mounting *m)
{
    cleanup_close int target = open_target(m, true);
    if (target < 0)
        return target;
    if (m->spec->namespaces & CLONE_NEWCGROUP) {
        int rc = mount_on(m, target, "cgroup2", m->mount->info.flags, "");
        if (rc != -EPERM && rc != -EBUSY)
            return rc;
    }
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s%s", CGROUP_MOUNT, m->spec->cgroup_path);
    if (length < 0 || (size_t)length >= sizeof(path))
        return -ENAMETOOLONG;
    return bind_inits(m, path);
}

/* Opens the directory that a tmpfs will cover, and puts its mode before the tmpfs's own data,
 * where a later mode= wins. A directory that init has to make leaves the kernel's default. */
static int cover(struct mounting *m, char *data, size_t size)
{
    cleanup_close int covered = path_open(m->root, m->mount->destination, O_RDONLY | O_DIRECTORY);
    bool existed = covered >= 0;
    if (covered == -ENOENT)
        covered = path_make_directory(m->root, m->mount->destination);
    struct stat st;
    if (covered < 0)
        return covered;
    if (fstat(covered, &st) < 0)
        return -errno;

    const char *comma = *m->mount->data ? "," : "";
    int length =
        existed ? snprintf(data, size, "mode=%04o%s%s", st.st_mode & 07777u, comma, m->mount->data)
                : snprintf(data, size, "%s", m->mount->data);
    return length < 0 || (size_t)length >= size ? -E2BIG : take_fd(&covered);
}

static int copy_covered(const struct mounting *m, int covered, struct failure *failure)
{
    cleanup_close int from = openat(covered, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int to = openat(m->top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0 || to < 0)
        return fail(failure, errno, "%s", m->mount->destination);
    int rc = copyup(from, to, failure);
    return rc < 0 ? fail_in(failure, rc, "%s/", m->mount->destination) : 0;
}

static int mount_tmpfs(struct mounting *m, struct failure *failure)
{
    char data[PATH_MAX] = "";
    cleanup_close int covered = cover(m, data, sizeof(data));
    int rc = covered;
    if (rc >= 0)
        rc = mount_on(m, covered, "tmpfs", m->mount->info.flags & ~(uint64_t)MS_RDONLY, data);
    if (rc < 0)
        return fail(failure, -rc, "%s", m->mount->destination);
    return m->mount->info.extra & THAW_SPEC_MOUNT_TMPCOPYUP ? copy_covered(m, covered, failure) : 0;
}

static int remount(struct mounting *m)
{
    int rc = open_top(m);
    if (rc < 0)
        return rc;
    const struct fd_path top = fd_path(m->top);
    const char *data = *m->mount->data ? m->mount->data : NULL;
    if (mount(m->mount->source, top.text, m->mount->type, m->mount->info.flags, data) < 0)
        return -errno;
    return 0;
}

/* ---- one after the other ------------------------------------------------------------------ */

static int mount_kind(struct mounting *m, struct failure *failure)
{
    const struct spec_mount *mount = m->mount;
    int rc;
    if (mount->info.flags & MS_REMOUNT)
        rc = remount(m);
    else if (mount->info.flags & MS_BIND)
        rc = mount_bind(m);
    else if (strcmp(mount->type, "cgroup") == 0 || strcmp(mount->type, "cgroup2") == 0)
        rc = mount_cgroup(m);
    else if (strcmp(mount->type, "sysfs") == 0)
        rc = mount_sysfs(m);
    else if (strcmp(mount->type, "tmpfs") == 0)
        return mount_tmpfs(m, failure);
    else
        rc = mount_file_system(m);
    return rc < 0 ? fail(failure, -rc, "%s", mount->destination) : 0;
}

static bool is_late(const struct spec_mount *mount)
{
    return strcmp(mount->type, "tmpfs") == 0 && (mount->info.flags & MS_RDONLY) &&
           !(mount->info.flags & (MS_BIND | MS_REMOUNT));
}

static int mount_one(struct mounting *m, int *late, struct failure *failure)
{
    int rc = mount_kind(m, failure);
    cleanup_close int top = m->top;
    if (rc < 0)
        return rc;
    const struct fd_path path = fd_path(top);
    if (m->mount->info.propagation &&
        mount(NULL, path.text, NULL, m->mount->info.propagation, NULL) < 0)
        return fail(failure, errno, "%s: propagation", m->mount->destination);
    if (is_late(m->mount))
        *late = take_fd(&top);
    return 0;
}

int mounts_apply(const struct spec *spec, int root, int **late, struct failure *failure)
{
    *late = calloc(spec->mounts.count + 1, sizeof(**late));
    if (!*late)
        return fail(failure, ENOMEM, "mounts");
    for (size_t i = 0; i < spec->mounts.count; i++) {
        struct mounting m = {
            .spec = spec, .root = root, .mount = &spec->mounts.items[i], .top = -1};
        (*late)[i] = -1;
        int rc = mount_one(&m, &(*late)[i], failure);
        if (rc < 0)
            return fail_in(failure, rc, "mounts[%zu] ", i);
    }
    return 0;
}

int mounts_make_readonly(const struct spec *spec, int *late, struct failure *failure)
{
    int rc = 0;
    for (size_t i = 0; i < spec->mounts.count; i++) {
        cleanup_close int top = late[i];
        if (top < 0 || rc < 0)
            continue;
        const struct fd_path path = fd_path(top);
        rc = mounts_change_flags(path.text, spec->mounts.items[i].info.flags, false);
        if (rc < 0)
            fail(failure, -rc, "mounts[%zu] %s: read-only", i, spec->mounts.items[i].destination);
    }
    free(late);
    return rc;
}
