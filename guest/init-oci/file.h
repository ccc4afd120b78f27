/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors, small files, and the few system calls that musl does not wrap. */
#ifndef THAW_INIT_FILE_H
#define THAW_INIT_FILE_H

#include "guest/init-oci/failure.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static inline void cleanup_close_fn(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_free_fn(void *p)
{
    free(*(void **)p);
}

/* The resource is released where the variable's scope ends. */
#define cleanup_close __attribute__((cleanup(cleanup_close_fn)))
#define cleanup_free  __attribute__((cleanup(cleanup_free_fn)))

/* Closes *fd when it is open and marks it closed. */
static inline void file_close(int *fd)
{
    cleanup_close_fn(fd);
    *fd = -1;
}

/* Moves a descriptor out of a variable that would close it. */
static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* Reads exactly `size` bytes, going on after short reads and EINTR. Returns 0, or a negative
 * errno; -EPIPE when the file ends before. */
int file_read_full(int fd, void *buffer, size_t size);

/* Writes all of `data`, going on after short writes and EINTR; waits in poll(2) where the
 * descriptor does not block. Returns 0 or a negative errno. */
int file_write_full(int fd, const void *data, size_t size);

/* Reads a regular file of at most `max` bytes, below the directory `dir` or AT_FDCWD. The caller
 * frees *data, which has a NUL after its `*size` bytes. Returns 0 or a negative errno: -EFBIG
 * when it is larger, -EINVAL when it is no regular file. Never blocks on a FIFO. */
int file_read_all(int dir, const char *path, size_t max, char **data, size_t *size);

/* Writes `value` with one write(2), as the files of proc and cgroup want it; creates nothing.
 * Returns 0 or a negative errno. */
int file_write_value(int dir, const char *path, const char *value);

/* openat2(2) with RESOLVE_* flags. Close-on-exec is always set. Returns a descriptor or a
 * negative errno. */
int file_open_within(int dir, const char *path, int flags, uint64_t resolve);

#endif
