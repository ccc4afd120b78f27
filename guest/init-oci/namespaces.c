/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/namespaces.h"

#include "guest/init-oci/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>

static int open_one(const char *process, const char *name, int *fd, struct failure *failure)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%s/ns/%s", process, name);
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? fail(failure, errno, "%s", path) : 0;
}

/* A process that shares its root and directory may not change its mount namespace; the kernel
 * starts PID 1 with its own threads' (CLONE_FS). */
int namespaces_open(pid_t workload, struct namespaces *namespaces, struct failure *failure)
{
    if (unshare(CLONE_FS) < 0)
        return fail(failure, errno, "unshare");
    char process[16];
    snprintf(process, sizeof(process), "%d", workload);
    int rc = open_one(process, "mnt", &namespaces->mounts, failure);
    if (rc == 0)
        rc = open_one("self", "mnt", &namespaces->own_mounts, failure);
    if (rc == 0)
        rc = open_one(process, "uts", &namespaces->names, failure);
    if (rc == 0)
        rc = open_one("self", "uts", &namespaces->own_names, failure);
    return rc;
}

/* A mount namespace's root is what lies topmost there: init finds its own root again, which is a
 * mount over the first one (rootfs_leave_initial()). */
static int visit(int there, int back, int kind, namespaces_task *task, const void *argument,
                 struct failure *failure)
{
    if (there >= 0 && setns(there, kind) < 0)
        return fail(failure, errno, "the workload's namespace");
    int rc = task(argument, failure);
    if (there >= 0 && setns(back, kind) < 0)
        return fail(failure, errno, "init's namespace");
    return rc;
}

int namespaces_visit_mounts(const struct namespaces *namespaces, namespaces_task *task,
                            const void *argument, struct failure *failure)
{
    return visit(namespaces->mounts, namespaces->own_mounts, CLONE_NEWNS, task, argument, failure);
}

int namespaces_visit_names(const struct namespaces *namespaces, namespaces_task *task,
                           const void *argument, struct failure *failure)
{
    return visit(namespaces->names, namespaces->own_names, CLONE_NEWUTS, task, argument, failure);
}
