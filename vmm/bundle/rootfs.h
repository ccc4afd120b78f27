/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root file system (and what bind mounts bring along) as a cpio archive for the initramfs.
 * Archives are kept in the user's cache, found by a digest of what the trees look like; a hit
 * costs a walk and no helper process.
 */
#ifndef THAW_BUNDLE_ROOTFS_H
#define THAW_BUNDLE_ROOTFS_H

#include "vmm/bundle/bundle.h"

/* XXH3-128 in hexadecimal, and a NUL. */
#define ROOTFS_KEY_SIZE 33

/* What the cache may hold before the entries that were used least recently go. Entries that were
 * used in the last ROOTFS_CACHE_GRACE_SECONDS stay in any case: somebody may be about to read
 * them. */
#define ROOTFS_CACHE_ENTRIES_MAX   32
#define ROOTFS_CACHE_BYTES_MAX     (2ull << 30)
#define ROOTFS_CACHE_GRACE_SECONDS 600

/*
 * The digest over everything that would be packed: for each entry its path, mode, owner, device
 * numbers, size, times of change (in ns), inode and link target. File contents are not read: a
 * change of them changes ctime. `newest_ns` gets the latest ctime (CLOCK_REALTIME). THAW_FAIL_IMAGE
 * when a tree cannot be walked.
 */
int rootfs_key(const struct bundle *bundle, char key[ROOTFS_KEY_SIZE], uint64_t *newest_ns,
               struct thaw_error *err);

/*
 * Finds or makes the archive of the bundle's root (under "rootfs") and packs (under "binds/<n>").
 * `path` gets its path, which stays good for at least ROOTFS_CACHE_GRACE_SECONDS. On a miss it runs
 * `thaw-image`, found next to the running program or in PATH, and waits for it. THAW_FAIL_IMAGE
 * with what that program said; THAW_FAIL_IO when the cache cannot be used. Any number of processes
 * may do this at once.
 */
int rootfs_archive(const struct bundle *bundle, char *path, size_t path_size,
                   struct thaw_error *err);

#endif
