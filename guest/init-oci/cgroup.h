/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload's cgroup (v2): made, limited and guarded before the workload's first process is
 * born into it. PID 1 stays in the root.
 */
#ifndef THAW_INIT_CGROUP_H
#define THAW_INIT_CGROUP_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/spec.h"

#define CGROUP_MOUNT "/sys/fs/cgroup"

/* Makes spec->cgroup_path with what lies above it, turns on the controllers that its files need,
 * writes the files, attaches the device filter. Returns a descriptor of the directory, the
 * caller's, or a negative errno. */
int cgroup_create(const struct spec *spec, struct failure *failure);

/* Kills every process in the cgroup and below (cgroup.kill, Linux 5.14). */
int cgroup_kill(int cgroup, struct failure *failure);

#endif
