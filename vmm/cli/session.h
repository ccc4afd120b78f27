/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: one running guest and the person or program in front of it. Feeds stdin, forwards
 * signals and window sizes, watches the clock, and waits for the end.
 */
#ifndef THAW_CLI_SESSION_H
#define THAW_CLI_SESSION_H

#include "snapshot/capture.h"

struct session_config {
    int input_fd;        /* the workload's stdin */
    bool terminal;       /* the workload has a pty: a terminal on input_fd is put into raw mode */
    uint64_t timeout_ns; /* from session_run() on; 0: none */
    struct capture *capture;    /* a snapshot is wanted, and the session ends with it; NULL: none */
    void (*started)(void *ctx); /* called once the guest runs; may be NULL */
    /* The guest is held: the first SIGUSR1 lets it go with this call. NULL: it is not. */
    int (*wake)(void *ctx, struct thaw_error *err);
    void *ctx; /* of both */
};

/* How it ended: exactly one of the two is meaningful. */
struct session_result {
    int status;        /* the workload's, 0 to 255, when the call returned 0; 0 after a snapshot */
    struct vm_end end; /* the VM's end as it was recorded */
    struct guest_observation seen; /* what the control port said, with its times */
};

/* Starts the machine and returns when the guest has ended and its output is written: 0 with a
 * status, or a negative errno with `err` saying how the guest ended instead. The caller must have
 * no signal handlers of its own for the forwarded signals; the mask is put back. */
int session_run(struct machine *machine, const struct session_config *config,
                struct session_result *result, struct thaw_error *err);

/* The signals that session_run() takes: block them before creating the machine, so that no
 * thread of it takes one. */
void session_block_signals(void);

/* For what may take long before session_run() can: a descriptor, the caller's to close, that is
 * readable once one of these signals has come that would have ended the process. Takes none. */
int session_open_end_fd(struct thaw_error *err);

#endif
