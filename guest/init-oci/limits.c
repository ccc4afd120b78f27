/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/limits.h"

#include "guest/init-oci/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* The first version of the kernel's struct sched_attr (linux/sched/types.h), which clashes with
 * libc's headers. */
struct sched_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static int set_rlimits(const struct spec *spec, pid_t pid, struct failure *failure)
{
    for (size_t i = 0; i < spec->rlimits.count; i++) {
        const struct thaw_spec_rlimit *limit = &spec->rlimits.items[i];
        const struct rlimit value = {.rlim_cur = limit->soft, .rlim_max = limit->hard};
        if (prlimit(pid, (int)limit->resource, &value, NULL) < 0)
            return fail(failure, errno, "rlimits[%zu] resource %u", i, limit->resource);
    }
    return 0;
}

static int set_oom_score_adj(const struct spec *spec, pid_t pid, struct failure *failure)
{
    char path[64];
    char value[16];
    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
    snprintf(value, sizeof(value), "%d", spec->oom_score_adj);
    int rc = file_write_value(AT_FDCWD, path, value);
    return rc < 0 ? fail(failure, -rc, "oomScoreAdj %s", value) : 0;
}

static int set_scheduler(const struct spec *spec, pid_t pid, struct failure *failure)
{
    const struct thaw_spec_scheduler *scheduler = &spec->scheduler;
    const struct sched_attributes attributes = {
        .size = sizeof(attributes),
        .policy = scheduler->policy,
        .flags = scheduler->flags,
        .nice = scheduler->nice,
        .priority = scheduler->priority,
        .runtime = scheduler->runtime,
        .deadline = scheduler->deadline,
        .period = scheduler->period,
    };
    if (syscall(SYS_sched_setattr, pid, &attributes, 0) < 0)
        return fail(failure, errno, "scheduler");
    return 0;
}

int limits_apply(const struct spec *spec, pid_t pid, struct failure *failure)
{
    int rc = set_rlimits(spec, pid, failure);
    if (rc == 0 && spec->has_oom_score_adj)
        rc = set_oom_score_adj(spec, pid, failure);
    if (rc == 0 && spec->has_scheduler)
        rc = set_scheduler(spec, pid, failure);
    if (rc == 0 && spec->has_io_priority &&
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, spec->io_priority) < 0)
        rc = fail(failure, errno, "ioPriority");
    return rc;
}
