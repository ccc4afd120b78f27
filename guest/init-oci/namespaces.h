/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload's world, for what init has to change in it after it was made: opened while its
 * first process waits for its execve, and valid when that process is gone.
 */
#ifndef THAW_INIT_NAMESPACES_H
#define THAW_INIT_NAMESPACES_H

#include "guest/init-oci/failure.h"

#include <sys/types.h>

/* Descriptors of namespaces; -1: none opened. */
struct namespaces {
    int mounts, own_mounts;
    int names, own_names; /* UTS */
};

#define NAMESPACES_NONE ((struct namespaces){-1, -1, -1, -1})

int namespaces_open(pid_t workload, struct namespaces *namespaces, struct failure *failure);

typedef int namespaces_task(const void *argument, struct failure *failure);

/* Calls `task` in the workload's mount or UTS namespace, and comes back; in init's own where none
 * was opened. In a mount namespace "/" is its root. Returns what `task` returns. */
int namespaces_visit_mounts(const struct namespaces *namespaces, namespaces_task *task,
                            const void *argument, struct failure *failure);
int namespaces_visit_names(const struct namespaces *namespaces, namespaces_task *task,
                           const void *argument, struct failure *failure);

#endif
