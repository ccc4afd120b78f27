/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/rootfs.h"

#include "guest/init-oci/file.h"
#include "guest/init-oci/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define NULL_DEVICE "/dev/null"
#define NULL_MAJOR  1
#define NULL_MINOR  3

/* The bind mount lies on the root already; "/.." follows it, "/" does not. */
int rootfs_leave_initial(struct failure *failure)
{
    if (mount("/", "/", NULL, MS_BIND, NULL) < 0)
        return fail(failure, errno, "root: bind");
    if (chdir("/..") < 0 || chroot(".") < 0)
        return fail(failure, errno, "root: chroot");
    return 0;
}

int rootfs_open(struct failure *failure)
{
    /* Slave: a user namespace makes it so anyhow, and init mounts nothing any more. */
    if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
        return fail(failure, errno, "root: propagation");
    if (mount(THAW_SPEC_ROOTFS, THAW_SPEC_ROOTFS, NULL, MS_BIND | MS_REC, NULL) < 0)
        return fail(failure, errno, "root file system: bind");
    int root = open(THAW_SPEC_ROOTFS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? fail(failure, errno, "root file system") : root;
}

/* pivot_root(2), NOTES: with "." twice the old root is stacked on the new one, so that no
 * directory has to be made for it. */
int rootfs_enter(int root, struct failure *failure)
{
    if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return fail(failure, errno, "pivot_root");
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return fail(failure, errno, "pivot_root: old root");
    return 0;
}

int rootfs_seal(const struct spec *spec, struct failure *failure)
{
    if (spec->root_propagation && mount(NULL, "/", NULL, spec->root_propagation, NULL) < 0)
        return fail(failure, errno, "root: propagation");
    if (!spec->root_readonly)
        return 0;
    int rc = mounts_change_flags("/", MS_RDONLY, true);
    return rc < 0 ? fail(failure, -rc, "root: read-only") : 0;
}

/* ---- readonlyPaths and maskedPaths -------------------------------------------------------- */

static int make_readonly(const char *path)
{
    if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0)
        return errno == ENOENT ? 0 : -errno;
    return mounts_change_flags(path, MS_RDONLY, true);
}

/* An image may bring a /dev/null of its own kind: masking with that would mask nothing. */
static int check_null_device(void)
{
    struct stat st;
    if (lstat(NULL_DEVICE, &st) < 0)
        return -errno;
    bool is_null = S_ISCHR(st.st_mode) && st.st_rdev == makedev(NULL_MAJOR, NULL_MINOR);
    return is_null ? 0 : -ENODEV;
}

/* A file reads as empty, a directory has nothing in it. */
static int mask(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    int rc;
    if (S_ISDIR(st.st_mode))
        rc = mount("tmpfs", path, "tmpfs", MS_RDONLY, NULL);
    else
        rc = mount(NULL_DEVICE, path, NULL, MS_BIND, NULL);
    return rc < 0 ? -errno : 0;
}

int rootfs_hide(const struct spec *spec, struct failure *failure)
{
    for (size_t i = 0; i < spec->readonly_paths.count; i++) {
        int rc = make_readonly(spec->readonly_paths.items[i]);
        if (rc < 0)
            return fail(failure, -rc, "readonlyPaths[%zu] %s", i, spec->readonly_paths.items[i]);
    }
    if (spec->masked_paths.count == 0)
        return 0;
    int rc = check_null_device();
    if (rc < 0)
        return fail(failure, -rc, "maskedPaths: %s", NULL_DEVICE);
    for (size_t i = 0; i < spec->masked_paths.count; i++) {
        rc = mask(spec->masked_paths.items[i]);
        if (rc < 0)
            return fail(failure, -rc, "maskedPaths[%zu] %s", i, spec->masked_paths.items[i]);
    }
    return 0;
}
