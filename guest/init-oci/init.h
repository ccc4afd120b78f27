/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1: everything it owns, and its one loop. One struct init is passed down; there is no global
 * state, no thread, and nothing that polls periodically.
 */
#ifndef THAW_INIT_INIT_H
#define THAW_INIT_INIT_H

#include "guest/init-oci/child.h"
#include "guest/init-oci/control.h"
#include "guest/init-oci/failure.h"
#include "guest/init-oci/mailbox.h"
#include "guest/init-oci/spec.h"
#include "guest/init-oci/streams.h"

struct init {
    struct control control;
    struct streams streams;
    struct mailbox mailbox;
    struct mailbox_message message; /* the last one read; wiped where it was applied */
    char *spec_file;
    struct spec spec;
    int signals; /* signalfd: SIGCHLD */
    int cgroup;  /* the workload's, a directory */
    struct child child;

    /* What was seen of the child. */
    bool ready;
    bool ended;
    int status; /* exit code, or 128 + signal, once it has ended */
};

/* Whether what the caller waits for has come. */
typedef bool init_condition(const struct init *init);

/* Runs the loop until `condition` holds: pumps the streams, answers the monitor and the child,
 * reaps. Fails when the child reports a failure, or ends before READY. */
int init_wait(struct init *init, init_condition *condition, struct failure *failure);

/* Sends workload-pre-exec and blocks in a read of the control port until the doorbell. What else
 * the monitor says meanwhile is heeded. */
int init_hold(struct init *init, struct failure *failure);

#endif
