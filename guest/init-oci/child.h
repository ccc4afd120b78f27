/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload's first process, from its birth to its execve.
 *
 * PID 1 clones it into its cgroup and namespaces; it builds its own world there, and PID 1 helps
 * with what only PID 1 may do. They talk over two pipes:
 *
 *      child                                   PID 1
 *                                  <- order    id maps are written
 *      (root, mounts, identity, /proc)
 *      CREATED, pty master's number ->
 *                                  <- order    has the master, has set the limits
 *      (credentials, seccomp, warm-up)
 *      READY                       ->          workload-pre-exec
 *                                  <- struct invocation
 *      execve
 *
 * or FAILED with the reason, at any point before READY. Until its execve the child has all
 * signals blocked, so that one that is sent early reaches the workload.
 */
#ifndef THAW_INIT_CHILD_H
#define THAW_INIT_CHILD_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/invocation.h"
#include "guest/init-oci/spec.h"

#include <stdbool.h>
#include <sys/types.h>

/* PID 1's side. Descriptors are -1 where closed. */
struct child {
    pid_t pid;
    int pidfd;
    int reports; /* pipe, read end: struct child_report */
    int orders;  /* pipe, write end */
};

enum child_report_kind {
    CHILD_CREATED = 1,
    CHILD_READY,
    CHILD_FAILED,
};

/* Smaller than PIPE_BUF: comes in one piece. */
struct child_report {
    uint32_t kind;
    int32_t terminal; /* CREATED: the pty master's descriptor in the child, or -1 */
    struct failure failure;
};

/* Starts it in the cgroup directory `cgroup`, with `streams` as its descriptors 0 to 2, and
 * writes its id maps. The child closes every other descriptor that it inherits. */
int child_start(const struct spec *spec, int cgroup, const int streams[3], struct child *child,
                struct failure *failure);

/* Takes one report. -EPIPE: there are no more, because the child has ended or executed the
 * workload. */
int child_receive(const struct child *child, struct child_report *report);

/* Answers CREATED. */
int child_continue(const struct child *child, struct failure *failure);

/* Answers READY: the workload begins. */
int child_release(const struct child *child, const struct invocation *invocation,
                  struct failure *failure);

/* Brings a descriptor of the child's over (pidfd_getfd(2)); close-on-exec. */
int child_take_descriptor(const struct child *child, int number, struct failure *failure);

#endif
