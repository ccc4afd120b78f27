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

/* O_NONBLOCK: opening a FIFO by mistake must not hang. */
static int open_flags(bool read_only)
{
    return (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
}

int blk_file_open(const char *path, bool read_only, uint64_t *sectors, struct thaw_error *err)
{
    cleanup_close int fd = open(path, open_flags(read_only));
    if (fd < 0)
        return fail(err, path, errno, strerror(errno));
    uint64_t size = 0;
    int rc = find_size(fd, path, &size, err);
    if (rc == 0)
        rc = check_size(size, path, err);
    if (rc < 0)
        return rc;
    /* Off again: io_uring would rather fail with EAGAIN than wait. */
    if (fcntl(fd, F_SETFL, 0) < 0)
        return fail(err, path, errno, strerror(errno));
    *sectors = size / BLK_SECTOR;
    return take_fd(&fd);
}

static bool is_same_file(int a, int b)
{
    struct stat one, other;
    return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

int blk_file_lock(int fd, const char *path, bool read_only, struct thaw_error *err)
{
    cleanup_close int lock = open(path, open_flags(read_only));
    if (lock < 0)
        return fail(err, path, errno, strerror(errno));
    if (!is_same_file(fd, lock))
        return fail(err, path, ESTALE, "was replaced by another file just now");
    struct flock whole = {.l_type = read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(lock, F_OFD_SETLK, &whole) == 0)
        return take_fd(&lock);
    int code = errno;
    if (code == EAGAIN || code == EACCES)
        return fail(err, path, EBUSY, "in use by another VM");
    return thaw_fail_io(err, code, "--disk %s: cannot be locked", path);
}
