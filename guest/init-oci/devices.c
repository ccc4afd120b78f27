/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/devices.h"

#include "guest/init-oci/file.h"
#include "guest/init-oci/mounts.h"
#include "guest/init-oci/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define ALL_MAY_USE 0666

/* Character devices of the kernel's Documentation/admin-guide/devices.txt. */
static const struct spec_device defaults[] = {
    {{.mode = S_IFCHR | ALL_MAY_USE, .major = 1, .minor = 3}, "/dev/null"},
    {{.mode = S_IFCHR | ALL_MAY_USE, .major = 1, .minor = 5}, "/dev/zero"},
    {{.mode = S_IFCHR | ALL_MAY_USE, .major = 1, .minor = 7}, "/dev/full"},
    {{.mode = S_IFCHR | ALL_MAY_USE, .major = 1, .minor = 8}, "/dev/random"},
    {{.mode = S_IFCHR | ALL_MAY_USE, .major = 1, .minor = 9}, "/dev/urandom"},
    {{.mode = S_IFCHR | ALL_MAY_USE, .major = 5, .minor = 0}, "/dev/tty"},
};

static const struct {
    const char *path, *target;
} links[] = {
    {"/dev/ptmx", "pts/ptmx"},          {"/dev/fd", "/proc/self/fd"},
    {"/dev/stdin", "/proc/self/fd/0"},  {"/dev/stdout", "/proc/self/fd/1"},
    {"/dev/stderr", "/proc/self/fd/2"},
};

/* Init's /dev is the kernel's (devtmpfs): a device that exists has a node there, under the name
 * that everybody uses. */
static int open_inits_node(const struct spec_device *device)
{
    char name[PATH_MAX];
    snprintf(name, sizeof(name), "/dev/%s", strrchr(device->path, '/') + 1);
    cleanup_close int fd = open(name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    bool same = (st.st_mode & S_IFMT) == (device->info.mode & S_IFMT) &&
                st.st_rdev == makedev(device->info.major, device->info.minor);
    return same ? take_fd(&fd) : -ENODEV;
}

static int bind_inits_node(int root, const struct spec_device *device)
{
    cleanup_close int source = open_inits_node(device);
    if (source < 0)
        return source;
    cleanup_close int target = path_make_file(root, device->path);
    return target < 0 ? target : mounts_bind(source, target, 0);
}

/* A node that is there already stays, whatever it is: the image's, or a mount's. */
static int make_node(int root, const struct spec_device *device)
{
    char leaf[NAME_MAX + 1];
    cleanup_close int parent = path_make_parent(root, device->path, leaf);
    if (parent < 0)
        return parent;
    dev_t number = makedev(device->info.major, device->info.minor);
    if (mknodat(parent, leaf, device->info.mode, number) < 0)
        return errno == EEXIST ? 0 : -errno;
    /* The mode again: without the umask. */
    if (fchownat(parent, leaf, device->info.uid, device->info.gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        fchmodat(parent, leaf, device->info.mode & 07777, 0) < 0)
        return -errno;
    return 0;
}

static int create(int root, const struct spec_device *device, struct failure *failure)
{
    int rc = make_node(root, device);
    if (rc == -EPERM)
        rc = bind_inits_node(root, device);
    return rc < 0 ? fail(failure, -rc, "device %s", device->path) : 0;
}

static int make_link(int root, const char *path, const char *target)
{
    char leaf[NAME_MAX + 1];
    cleanup_close int parent = path_make_parent(root, path, leaf);
    if (parent < 0)
        return parent;
    return symlinkat(target, parent, leaf) < 0 && errno != EEXIST ? -errno : 0;
}

/* An image's own /dev/ptmx is a node of a devpts that is not the workload's. */
static void remove_ptmx(int root)
{
    cleanup_close int dev = path_open(root, "/dev", O_PATH | O_DIRECTORY);
    if (dev >= 0)
        unlinkat(dev, "ptmx", 0);
}

static int make_links(int root, struct failure *failure)
{
    remove_ptmx(root);
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        int rc = make_link(root, links[i].path, links[i].target);
        if (rc < 0)
            return fail(failure, -rc, "%s", links[i].path);
    }
    return 0;
}

static bool binds_whole_dev(const struct spec *spec)
{
    for (size_t i = 0; i < spec->mounts.count; i++) {
        const struct spec_mount *mount = &spec->mounts.items[i];
        size_t length = strlen("/dev");
        if ((mount->info.flags & MS_BIND) && strncmp(mount->destination, "/dev", length) == 0 &&
            mount->destination[length + strspn(mount->destination + length, "/")] == '\0')
            return true;
    }
    return false;
}

/* Here, because a /dev that is to be read-only still takes new files now. */
static int make_console(int root, struct failure *failure)
{
    cleanup_close int console = path_make_file(root, "/dev/console");
    return console < 0 ? fail(failure, -console, "/dev/console") : 0;
}

int devices_create(const struct spec *spec, int root, struct failure *failure)
{
    if (binds_whole_dev(spec))
        return 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < spec->devices.count; i++)
        rc = create(root, &spec->devices.items[i], failure);
    for (size_t i = 0; rc == 0 && i < sizeof(defaults) / sizeof(defaults[0]); i++)
        rc = create(root, &defaults[i], failure);
    if (rc == 0)
        rc = make_links(root, failure);
    if (rc == 0 && spec->has_terminal)
        rc = make_console(root, failure);
    return rc;
}
