/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits and priorities of the workload's first process. PID 1 sets them from outside: it has
 * the rights even where the workload, in a user namespace, has not.
 */
#ifndef THAW_INIT_LIMITS_H
#define THAW_INIT_LIMITS_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/spec.h"

#include <sys/types.h>

/* rlimits, oom_score_adj, scheduler and I/O priority of process `pid`. */
int limits_apply(const struct spec *spec, pid_t pid, struct failure *failure);

#endif
