/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/boot_id.h"

#include "guest/init-oci/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define OWN_FILE  "/boot_id" /* in init's root, which the workload does not see */
#define TEXT_SIZE sizeof("01234567-0123-0123-0123-0123456789ab")

/* RFC 9562, 5.4: version 4. The newline is the kernel's. */
static int make_uuid(char text[TEXT_SIZE + 1])
{
    uint8_t b[16];
    if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
        return -EIO;
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(text, TEXT_SIZE + 1,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
    return 0;
}

/* In place and of the same length: what is mounted is this file. */
static int store(struct failure *failure)
{
    char text[TEXT_SIZE + 1];
    int rc = make_uuid(text);
    if (rc < 0)
        return fail(failure, -rc, "boot_id: getrandom");
    cleanup_close int fd = open(OWN_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
    if (fd < 0)
        return fail(failure, errno, "boot_id");
    rc = file_write_full(fd, text, TEXT_SIZE);
    return rc < 0 ? fail(failure, -rc, "boot_id") : 0;
}

/* Only over the kernel's own file, whatever the workload calls /proc. Nothing there is no
 * failure. */
static int open_target(void)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};
    cleanup_close int fd =
        (int)syscall(SYS_openat2, AT_FDCWD, "/proc/sys/kernel/random/boot_id", &how, sizeof(how));
    struct statfs fs;
    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
        return -1;
    return take_fd(&fd);
}

static int attach(const void *argument, struct failure *failure)
{
    const int *mount = argument;
    cleanup_close int target = open_target();
    if (target < 0)
        return 0;
    if (syscall(SYS_move_mount, *mount, "", target, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return fail(failure, errno, "boot_id: move_mount");
    return 0;
}

/* A mount of the file alone, in no namespace yet. */
static int clone_mount(struct failure *failure)
{
    cleanup_close int mount =
        (int)syscall(SYS_open_tree, AT_FDCWD, OWN_FILE, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (mount < 0)
        return fail(failure, errno, "boot_id: open_tree");
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                                MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
    if (syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
        return fail(failure, errno, "boot_id: mount_setattr");
    return take_fd(&mount);
}

int boot_id_renew(struct boot_id *boot_id, const struct namespaces *namespaces,
                  struct failure *failure)
{
    int rc = store(failure);
    if (rc < 0 || boot_id->is_mounted || namespaces->mounts < 0)
        return rc;
    cleanup_close int mount = clone_mount(failure);
    if (mount < 0)
        return mount;
    rc = namespaces_visit_mounts(namespaces, attach, &mount, failure);
    boot_id->is_mounted = rc == 0;
    return rc;
}
