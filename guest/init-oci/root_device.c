/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/root_device.h"

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
        return fail(failure, errno, "root: %s", BLOCK_DEVICES);
    const struct dirent *entry;
    bool found = false;
    while (!found && (entry = readdir(dir))) {
        found = entry->d_name[0] != '.' && has_serial(dirfd(dir), entry->d_name, serial);
        if (found)
            snprintf(path, size, "/dev/%s", entry->d_name);
    }
    closedir(dir);
    return found ? 0 : fail(failure, ENODEV, "root: no disk has the serial number %s", serial);
}

static int mount_device(const struct spec *spec, const char *path, const char *at,
                        struct failure *failure)
{
    if (mkdir(at, 0755) < 0 && errno != EEXIST)
        return fail(failure, errno, "root: %s", at);
    if (mount(path, at, spec->root_type, MS_RDONLY, NULL) < 0)
        return fail(failure, errno, "root: %s as %s", path, spec->root_type);
    return 0;
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

static int mount_overlay(const struct spec *spec, const char *path, struct failure *failure)
{
    if (mkdir(LAYERS, 0700) < 0 || mount("tmpfs", LAYERS, "tmpfs", 0, "mode=0700") < 0)
        return fail(failure, errno, "root: %s", LAYERS);
    int rc = mount_device(spec, path, LOWER, failure);
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

int root_device_mount(const struct spec *spec, struct failure *failure)
{
    char path[sizeof("/dev/") + NAME_MAX];
    if (!spec->root_serial)
        return 0;
    int rc = find_device(spec->root_serial, path, sizeof(path), failure);
    if (rc < 0)
        return rc;
    return spec->root_readonly ? mount_device(spec, path, THAW_SPEC_ROOTFS, failure)
                               : mount_overlay(spec, path, failure);
}
