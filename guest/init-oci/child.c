/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/child.h"

#include "guest/init-oci/child_main.h"
#include "guest/init-oci/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>

/* struct clone_args of linux/sched.h, whose flags clash with libc's. */
struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};
#define CLONE_INTO_CGROUP_FLAG 0x200000000ull

/* Two lines' worth each; the kernel takes at most 340 lines in a page (user_namespaces(7)). */
#define ID_MAP_SIZE 4096

/* ---- id maps and time offsets ------------------------------------------------------------- */

static int write_id_map(pid_t pid, const char *name, const struct thaw_spec_id_map *maps,
                        size_t count, struct failure *failure)
{
    char path[64];
    char text[ID_MAP_SIZE];
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
        int n = snprintf(text + length, sizeof(text) - length, "%u %u %u\n", maps[i].container_id,
                         maps[i].host_id, maps[i].size);
        if (n < 0 || (size_t)n >= sizeof(text) - length)
            return fail(failure, E2BIG, "user namespace: %s", name);
        length += (size_t)n;
    }
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    int rc = file_write_value(AT_FDCWD, path, text);
    return rc < 0 ? fail(failure, -rc, "user namespace: %s", name) : 0;
}

static int write_id_maps(const struct spec *spec, pid_t pid, struct failure *failure)
{
    if (!(spec->namespaces & CLONE_NEWUSER))
        return 0;
    int rc = write_id_map(pid, "uid_map", spec->uid_maps.items, spec->uid_maps.count, failure);
    if (rc == 0)
        rc = write_id_map(pid, "gid_map", spec->gid_maps.items, spec->gid_maps.count, failure);
    return rc;
}

/* The offsets of a time namespace can be set until its first process is born (time_namespaces(7)).
 * So PID 1 makes the namespace, for its children, and stays outside. */
static int make_time_namespace(const struct spec *spec, struct failure *failure)
{
    if (!(spec->namespaces & CLONE_NEWTIME))
        return 0;
    if (unshare(CLONE_NEWTIME) < 0)
        return fail(failure, errno, "time namespace");
    for (size_t i = 0; i < spec->time_offsets.count; i++) {
        const struct spec_time_offset *offset = &spec->time_offsets.items[i];
        char line[96];
        snprintf(line, sizeof(line), "%lld %lld %lld\n", (long long)offset->clock,
                 (long long)offset->seconds, (long long)offset->nanoseconds);
        int rc = file_write_value(AT_FDCWD, "/proc/self/timens_offsets", line);
        if (rc < 0)
            return fail(failure, -rc, "time namespace: offset of clock %d", (int)offset->clock);
    }
    return 0;
}

/* ---- birth -------------------------------------------------------------------------------- */

/* The cgroup namespace is unshared later, by the child: clone would root it where PID 1 is. The
 * time namespace is there already. */
static uint64_t clone_flags(const struct spec *spec)
{
    const uint64_t later = CLONE_NEWCGROUP | CLONE_NEWTIME;
    return (spec->namespaces & ~later) | CLONE_PIDFD | CLONE_INTO_CGROUP_FLAG;
}

static int clone_child(const struct spec *spec, int cgroup, struct child *child,
                       struct failure *failure)
{
    struct clone_arguments arguments = {
        .flags = clone_flags(spec),
        .pidfd = (uintptr_t)&child->pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)cgroup,
    };
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid < 0)
        return fail(failure, errno, "the workload's namespaces: clone3");
    child->pid = (pid_t)pid;
    return 0;
}

static int give_order(const struct child *child, struct failure *failure)
{
    const char order = 0;
    int rc = file_write_full(child->orders, &order, sizeof(order));
    return rc < 0 ? fail(failure, -rc, "the workload's child is gone") : 0;
}

static int make_pipe(int *read_end, int *write_end, struct failure *failure)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail(failure, errno, "pipe");
    *read_end = ends[0];
    *write_end = ends[1];
    return 0;
}

int child_start(const struct spec *spec, int cgroup, const int streams[3], struct child *child,
                struct failure *failure)
{
    *child = (struct child){.pid = -1, .pidfd = -1, .reports = -1, .orders = -1};
    cleanup_close int reports = -1;
    cleanup_close int orders = -1;
    int rc = make_pipe(&child->reports, &reports, failure);
    if (rc == 0)
        rc = make_pipe(&orders, &child->orders, failure);
    if (rc == 0)
        rc = make_time_namespace(spec, failure);
    if (rc == 0)
        rc = clone_child(spec, cgroup, child, failure);
    if (rc < 0)
        return rc;
    if (child->pid == 0)
        child_main(spec, streams, reports, orders);

    rc = write_id_maps(spec, child->pid, failure);
    return rc < 0 ? rc : give_order(child, failure);
}

/* ---- talking to it ------------------------------------------------------------------------ */

int child_receive(const struct child *child, struct child_report *report)
{
    int rc = file_read_full(child->reports, report, sizeof(*report));
    report->failure.reason[sizeof(report->failure.reason) - 1] = '\0';
    return rc;
}

int child_continue(const struct child *child, struct failure *failure)
{
    return give_order(child, failure);
}

int child_release(const struct child *child, const struct invocation *invocation,
                  struct failure *failure)
{
    int rc = invocation_send(child->orders, invocation);
    return rc < 0 ? fail(failure, -rc, "invocation") : 0;
}

int child_take_descriptor(const struct child *child, int number, struct failure *failure)
{
    long fd = syscall(SYS_pidfd_getfd, child->pidfd, number, 0);
    return fd < 0 ? fail(failure, errno, "terminal: pidfd_getfd") : (int)fd;
}
