/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs directory trees into one uncompressed newc cpio archive, as the kernel unpacks it into
 * its initramfs (Documentation/driver-api/early-userspace/buffer-format.rst).
 */
#ifndef THAW_IMAGE_PACK_H
#define THAW_IMAGE_PACK_H

#include "vmm/base/error.h"

#include <stddef.h>

/* Archives are padded with zeros to a multiple of this, so that the next may follow. */
#define PACK_ALIGNMENT 4096

struct pack_tree {
    const char *name; /* where it goes in the archive: "rootfs", "binds/0" */
    const char *path; /* a directory, or one file */
};

/* Whether a tree may go there: a relative path of plain components. */
int pack_check_name(const char *name);

/*
 * Writes `count` trees to `output`, in the order in which they are given, and each in the order of
 * tree_walk(). Kept are type, mode, owner, time of change, hard links within a tree, device
 * numbers; sockets are left out; extended attributes have no place in the format. The file appears
 * under its name when it is complete, with mode 0600; on any failure nothing is left. A file that
 * changes while it is read, and one of 4 GiB or more, is an error, and so is SIGINT, SIGTERM or
 * SIGHUP, which the caller has blocked (ECANCELED).
 */
int pack_trees(const char *output, const struct pack_tree *trees, size_t count,
               struct thaw_error *err);

#endif
