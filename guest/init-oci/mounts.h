/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload's mounts, in the order of the spec, made by the workload's child in its own mount
 * namespace while init's world is still its root.
 *
 * As in runc: a destination that is missing is made, a directory or a file as the source
 * demands; flags of a bind mount need a second call; propagation needs one more; a tmpfs takes
 * the mode of the directory that it covers unless its data says otherwise.
 */
#ifndef THAW_INIT_MOUNTS_H
#define THAW_INIT_MOUNTS_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/spec.h"

/* Mounts everything below the directory `root`. A tmpfs that shall be read-only is still
 * writable afterwards, so that mount points and devices can be made in it: `*late` gets a
 * descriptor for each mount of the spec, -1 where nothing is left to do. The caller passes it to
 * mounts_make_readonly(), which frees it. */
int mounts_apply(const struct spec *spec, int root, int **late, struct failure *failure);

/* Makes the rest of them read-only and frees `late`. */
int mounts_make_readonly(const struct spec *spec, int *late, struct failure *failure);

/* Binds what `source` is open on over what `target` is open on. */
int mounts_bind(int source, int target, unsigned long recursive);

/* Changes the flags of the mount at `path`, with MS_BIND: of this mount alone. Flags that it has
 * already are kept where the kernel insists on them (EPERM: locked by a user namespace), and
 * always when `keep`. Returns 0 or a negative errno. */
int mounts_change_flags(const char *path, unsigned long flags, bool keep);

#endif
