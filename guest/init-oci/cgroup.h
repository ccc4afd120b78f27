/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload's cgroup (v2): made, limited and guarded before the workload's first process is
 * born into it. PID 1 stays in the root.
 */
#ifndef THAW_INIT_CGROUP_H
#define THAW_INIT_CGROUP_H

#include "guest/init-oci/cgroup_events.h"
#include "guest/init-oci/failure.h"
#include "guest/init-oci/spec.h"

#define CGROUP_MOUNT "/sys/fs/cgroup"

/* Descriptors; -1 where there is none. */
struct cgroup {
    int dir;
    int events; /* cgroup.events: poll(2) it for POLLPRI */
};

/* Makes spec->cgroup_path with what lies above it, turns on the controllers that its files need,
 * writes the files, attaches the device filter. Fills `cgroup`. */
int cgroup_create(const struct spec *spec, struct cgroup *cgroup, struct failure *failure);

/* Kills every process in the cgroup and below (cgroup.kill, Linux 5.14). */
int cgroup_kill(const struct cgroup *cgroup, struct failure *failure);

/* Sends a signal to every process in the cgroup; not to those in cgroups below it. */
void cgroup_signal(const struct cgroup *cgroup, int number);

/* What cgroup.events says now; reading it also arms the next poll. Nothing where there is no
 * cgroup. */
struct cgroup_events cgroup_read_events(const struct cgroup *cgroup);

/* Stops every process in the cgroup and below, and waits until each has stopped, for at most
 * `timeout_ms`. -ETIMEDOUT: some go on. */
int cgroup_freeze(const struct cgroup *cgroup, int timeout_ms);
int cgroup_thaw(const struct cgroup *cgroup);

#endif
