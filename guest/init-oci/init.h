/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1: everything it owns, and its one loop. One struct init is passed down; there is no global
 * state and no thread, and nothing ticks that the monitor has not asked for (watch.h).
 */
#ifndef THAW_INIT_INIT_H
#define THAW_INIT_INIT_H

#include "guest/init-oci/boot_id.h"
#include "guest/init-oci/cgroup.h"
#include "guest/init-oci/child.h"
#include "guest/init-oci/control.h"
#include "guest/init-oci/failure.h"
#include "guest/init-oci/mailbox.h"
#include "guest/init-oci/namespaces.h"
#include "guest/init-oci/spec.h"
#include "guest/init-oci/streams.h"
#include "guest/init-oci/watch.h"

struct init {
    struct control control;
    struct streams streams;
    struct mailbox mailbox;
    struct mailbox_message message; /* the last one read; wiped where it was applied */
    char *spec_file;
    struct spec spec;
    int signals;          /* signalfd: SIGCHLD */
    struct cgroup cgroup; /* the workload's */
    struct child child;
    struct namespaces namespaces; /* the workload's, from CREATED on */
    struct boot_id boot_id;
    struct watch watch;

    /* What was seen of the child. */
    bool ready;
    bool ended;
    int status;   /* exit code, or 128 + signal, once it has ended */
    bool lingers; /* it has ended with 0, and left a daemon */
};

/* Whether what the caller waits for has come. */
typedef bool init_condition(const struct init *init);

/* Runs the loop until `condition` holds: pumps the streams, answers the monitor and the child,
 * reaps. Fails when the child reports a failure, or ends before READY. */
int init_wait(struct init *init, init_condition *condition, struct failure *failure);

/* Does what a request asks for that can be done at once: neither the doorbell nor quiesce. */
void init_heed(struct init *init, const struct control_request *request);

/* Sends no-listener when that is so: the workload has left a daemon, and nothing listens. */
void init_report_survivors(struct init *init);

#endif
