/* SPDX-License-Identifier: Apache-2.0 */
/* Small file helpers that report through struct thaw_error. */
#ifndef THAW_BASE_FILE_H
#define THAW_BASE_FILE_H

#include "vmm/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Opens `path` read-only, close-on-exec, and refuses anything but a regular file. `*size` is its
 * size in bytes. Returns the descriptor, owned by the caller, or a negative errno with failure
 * `failure`. */
int file_open_regular(const char *path, enum thaw_failure failure, uint64_t *size,
                      struct thaw_error *err);

/* Reads all of a file of at most `max` bytes into a new buffer with a NUL after it (not counted
 * in `*size`). The caller frees `*data`. */
int file_read_all(const char *path, size_t max, enum thaw_failure failure, char **data,
                  size_t *size, struct thaw_error *err);

/* Reads exactly `size` bytes at `offset`, going on after short reads. A file that ends early is
 * an error (EIO, "ends early"). */
int file_pread_full(int fd, void *buffer, size_t size, uint64_t offset, struct thaw_error *err);

/* Writes all of `data`, going on after short writes and EINTR. */
int file_write_full(int fd, const void *data, size_t size, struct thaw_error *err);

/* The same at `offset`; the file's own position stays where it is. THAW_FAIL_IO, both. */
int file_pwrite_full(int fd, const void *data, size_t size, uint64_t offset,
                     struct thaw_error *err);

/* The user's cache directory for thaw: $XDG_CACHE_HOME/thaw or ~/.cache/thaw. Created (0700) with
 * `sub` below it when missing. `path` gets the whole path. */
int file_cache_directory(const char *sub, char *path, size_t path_size, struct thaw_error *err);

#endif
