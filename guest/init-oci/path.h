/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths inside the workload's root before it is anybody's root: resolved by the kernel
 * (openat2, RESOLVE_IN_ROOT), so that a symlink or ".." of the image never leads outside.
 *
 * Where a symlink names something that is missing, that is what is made, inside the root too.
 *
 * `root` is a descriptor of the root directory. All functions return a descriptor, the caller's,
 * or a negative errno.
 */
#ifndef THAW_INIT_PATH_H
#define THAW_INIT_PATH_H

#include <sys/types.h>

/* Opens what is at `path`, the topmost mount there. `flags` as for open(2); close-on-exec is
 * set. */
int path_open(int root, const char *path, int flags);

/* Makes the directory with all that is missing above it (mode 0755 less umask); O_PATH. */
int path_make_directory(int root, const char *path);

/* Makes the directory above `path`; O_PATH. `leaf` gets the last component: at most
 * NAME_MAX bytes and a NUL. */
int path_make_parent(int root, const char *path, char *leaf);

/* Makes an empty file with the directories above it, or takes what is there; O_PATH. */
int path_make_file(int root, const char *path);

/* "/proc/self/fd/<n>": how an open descriptor is named where a system call wants a path. */
struct fd_path {
    char text[32];
};
struct fd_path fd_path(int fd);

#endif
