/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks what goes into the initramfs: a directory and everything below it, or one file. Both the
 * cache key and the archive are made from this walk, so that they see the same things.
 *
 * The order is the same each time: a directory before its entries, these sorted by byte value.
 * Symbolic links are not followed, but for the given path itself. A mount point is visited and
 * not entered, so that a /proc mounted below the tree does not end up in it.
 */
#ifndef THAW_BUNDLE_TREE_H
#define THAW_BUNDLE_TREE_H

#include "vmm/base/error.h"

#include <sys/stat.h>

/* Directories below each other. Each level of the walk holds a descriptor. */
#define TREE_DEPTH_MAX 256

/* Valid during the visit only. */
struct tree_entry {
    const char *path; /* below the tree; "" for the tree itself */
    int dir_fd;       /* openat(dir_fd, name, O_NOFOLLOW) opens it */
    const char *name;
    const struct stat *st; /* of the entry itself, not of what a link leads to */
    const char *target;    /* of a symbolic link, else NULL */
};

/* Calls `visit` for every entry until one returns non-zero, which is then the result. Otherwise 0,
 * or a negative errno (THAW_FAIL_IMAGE) that names the file. */
int tree_walk(const char *path,
              int (*visit)(void *context, const struct tree_entry *entry, struct thaw_error *err),
              void *context, struct thaw_error *err);

#endif
