/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload's root file system, as its child builds it, step by step: open, fill (mounts.h,
 * devices.h), enter, then finish from the inside.
 */
#ifndef THAW_INIT_ROOTFS_H
#define THAW_INIT_ROOTFS_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/spec.h"

/* For PID 1, first of all: pivot_root(2) refuses as long as the root is the kernel's own first
 * mount, so a bind mount of it takes its place. */
int rootfs_leave_initial(struct failure *failure);

/* Makes THAW_SPEC_ROOTFS a mount of its own that no event leaves or enters by accident. Returns
 * a descriptor of its root, the caller's, or a negative errno. */
int rootfs_open(struct failure *failure);

/* pivot_root into `root`; nothing of init's world is left in the mount namespace. */
int rootfs_enter(int root, struct failure *failure);

/* From the inside: propagation and read-only state of the root. */
int rootfs_seal(const struct spec *spec, struct failure *failure);

/* From the inside, after sysctls were written: readonlyPaths, maskedPaths. Paths that are not
 * there need no protection. */
int rootfs_hide(const struct spec *spec, struct failure *failure);

#endif
