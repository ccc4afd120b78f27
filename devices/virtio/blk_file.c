/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/blk_file.h"

#include "vmm/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static int fail(struct thaw_error *err, const char *path, int code, const char *why)
{
    return thaw_fail_as(err, THAW_FAIL_IO, code, "--disk %s: %s", path, why);
}

static int find_size(int fd, const char *path, uint64_t *size, struct thaw_error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return fail(err, path, errno, strerror(errno));
    if (S_ISREG(st.st_mode)) {
        *size = (uint64_t)st.st_size;
        return 0;
    }
    if (!S_ISBLK(st.st_mode))
        return fail(err, path, EINVAL, "not a regular file or block device");
    if (ioctl(fd, BLKGETSIZE64, size) < 0)
        return fail(err, path, errno, strerror(errno));
    return 0;
}

static int check_size(uint64_t size, const char *path, struct thaw_error *err)
{
    if (size == 0)
        return fail(err, path, EINVAL, "is empty");
    if (size % BLK_SECTOR != 0)
        return thaw_fail_as(err, THAW_FAIL_IO, EINVAL,
                            "--disk %s: its size, %" PRIu64 " bytes, is not a multiple of %u", path,
                            size, BLK_SECTOR);
    return 0;
}

static int lock(int fd, const char *path, bool read_only, struct thaw_error *err)
{
    struct flock whole = {.l_type = read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
        return 0;
    int code = errno;
    if (code == EAGAIN || code == EACCES)
        return fail(err, path, EBUSY, "in use by another VM");
    return thaw_fail_as(err, THAW_FAIL_IO, code, "--disk %s: cannot be locked: %s", path,
                        strerror(code));
}

int blk_file_open(const char *path, bool read_only, uint64_t *sectors, struct thaw_error *err)
{
    /* O_NONBLOCK: opening a FIFO by mistake must not hang. */
    int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    cleanup_close int fd = open(path, flags);
    if (fd < 0)
        return fail(err, path, errno, strerror(errno));
    uint64_t size = 0;
    int rc = find_size(fd, path, &size, err);
    if (rc == 0)
        rc = check_size(size, path, err);
    if (rc == 0)
        rc = lock(fd, path, read_only, err);
    if (rc < 0)
        return rc;
    /* Off again: io_uring would rather fail with EAGAIN than wait. */
    if (fcntl(fd, F_SETFL, 0) < 0)
        return fail(err, path, errno, strerror(errno));
    *sectors = size / BLK_SECTOR;
    return take_fd(&fd);
}
