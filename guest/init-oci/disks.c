/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/disks.h"

#include "guest/init-oci/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define BLOCK_DEVICES "/sys/block"
#define LAYERS        "/layers" /* the tmpfs, and the mount point below the overlay */
#define LOWER         LAYERS "/lower"
#define UPPER         LAYERS "/upper"
#define WORK          LAYERS "/work"

/* virtio 1.2, 5.2.6.1: a serial number has 20 bytes, and no NUL when it has all of them. */
#define SERIAL_MAX 20

static bool has_serial(int devices, const char *name, const char *serial)
{
    char path[NAME_MAX + sizeof("/serial")], found[SERIAL_MAX + 2] = "";
    snprintf(path, sizeof(path), "%s/serial", name);
    cleanup_close int fd = openat(devices, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, found, sizeof(found) - 1) < 0)
        return false;
    found[strcspn(found, "\n")] = '\0';
    return strcmp(found, serial) == 0;
}

static int find_device(const char *serial, char *path, size_t size, struct failure *failure)
{
    DIR *dir = opendir(BLOCK_DEVICES);
    if (!dir)
        return fail(failure, errno, "%s", BLOCK_DEVICES);
    const struct dirent *entry;
    bool found = false;
    while (!found && (entry = readdir(dir))) {
        found = entry->d_name[0] != '.' && has_serial(dirfd(dir), entry->d_name, serial);
        if (found)
            snprintf(path, size, "/dev/%s", entry->d_name);
    }
    closedir(dir);
    return found ? 0 : fail(failure, ENODEV, "no disk has the serial number %s", serial);
}

static int mount_disk(const char *serial, const char *type, const char *at, unsigned long flags,
                      struct failure *failure)
{
    char path[sizeof("/dev/") + NAME_MAX];
    int rc = find_device(serial, path, sizeof(path), failure);
    if (rc < 0)
        return rc;
    if (mkdir(at, 0755) < 0 && errno != EEXIST)
        return fail(failure, errno, "%s", at);
    if (mount(path, at, type, flags, NULL) < 0)
        return fail(failure, errno, "disk %s: %s as %s", serial, path, type);
    return 0;
}

/* ---- the root ----------------------------------------------------------------------------- */

static int mount_lower(const struct spec *spec, const char *at, struct failure *failure)
{
    return mount_disk(spec->root_serial, spec->root_type, at, MS_RDONLY, failure);
}

/* The merged root directory shows the upper one's owner, mode and times. */
static int copy_attributes(struct failure *failure)
{
    struct stat st;
    if (stat(LOWER, &st) < 0)
        return fail(failure, errno, "root: %s", LOWER);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    if (chown(UPPER, st.st_uid, st.st_gid) < 0 || chmod(UPPER, st.st_mode & 07777) < 0 ||
        utimensat(AT_FDCWD, UPPER, times, 0) < 0)
        return fail(failure, errno, "root: %s", UPPER);
    return 0;
}

static int mount_overlay(const struct spec *spec, struct failure *failure)
{
    if (mkdir(LAYERS, 0700) < 0 || mount("tmpfs", LAYERS, "tmpfs", 0, "mode=0700") < 0)
        return fail(failure, errno, "root: %s", LAYERS);
    int rc = mount_lower(spec, LOWER, failure);
    if (rc < 0)
        return rc;
    if (mkdir(UPPER, 0755) < 0 || mkdir(WORK, 0755) < 0 || mkdir(THAW_SPEC_ROOTFS, 0755) < 0)
        return fail(failure, errno, "root: overlay");
    rc = copy_attributes(failure);
    if (rc < 0)
        return rc;
    if (mount("overlay", THAW_SPEC_ROOTFS, "overlay", 0,
              "lowerdir=" LOWER ",upperdir=" UPPER ",workdir=" WORK) < 0)
        return fail(failure, errno, "root: overlay");
    return 0;
}

static int mount_root(const struct spec *spec, struct failure *failure)
{
    if (!spec->root_serial)
        return 0;
    return spec->root_readonly ? mount_lower(spec, THAW_SPEC_ROOTFS, failure)
                               : mount_overlay(spec, failure);
}

/* ---- the others --------------------------------------------------------------------------- */

static void mount_point(const struct spec_disk *disk, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", THAW_SPEC_DISKS, disk->serial);
}

int disks_mount(const struct spec *spec, struct failure *failure)
{
    int rc = mount_root(spec, failure);
    if (rc < 0 || spec->disks.count == 0)
        return rc;
    if ((mkdir(THAW_SPEC_BINDS, 0755) < 0 && errno != EEXIST) || mkdir(THAW_SPEC_DISKS, 0755) < 0)
        return fail(failure, errno, "%s", THAW_SPEC_DISKS);
    for (size_t i = 0; i < spec->disks.count && rc == 0; i++) {
        const struct spec_disk *disk = &spec->disks.items[i];
        char at[PATH_MAX];
        mount_point(disk, at);
        rc = mount_disk(disk->serial, disk->type, at, disk->info.flags, failure);
    }
    return rc;
}

/* Not by unmounting: somebody's bind mount may still be there. */
void disks_release(const struct spec *spec)
{
    for (size_t i = 0; i < spec->disks.count; i++) {
        char at[PATH_MAX];
        mount_point(&spec->disks.items[i], at);
        (void)mount(NULL, at, NULL, MS_REMOUNT | MS_RDONLY, NULL);
    }
    sync();
}
