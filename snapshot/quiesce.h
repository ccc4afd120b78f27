/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a guest is brought to the instant of its capture: nothing in flight in any device, and, where
 * the guest has said that it is ready, every vCPU waiting for an interrupt. What to do next is a
 * pure function; snapshot_quiesce() does it.
 */
#ifndef THAW_SNAPSHOT_QUIESCE_H
#define THAW_SNAPSHOT_QUIESCE_H

#include "devices/machine.h"

#define QUIESCE_DEADLINE_MS 5000u

enum quiesce_step {
    QUIESCE_ASK,     /* send the request to init */
    QUIESCE_WAIT,    /* for its answer */
    QUIESCE_PAUSE,   /* stop the guest, and look */
    QUIESCE_RESUME,  /* not yet, or not yet for long enough: let it run a little */
    QUIESCE_COPY,    /* now, but for what takes long: do that beside the vCPUs, and look again */
    QUIESCE_CAPTURE, /* now: it is paused */
    QUIESCE_GIVE_UP, /* the deadline has passed */
};

struct quiesce_view {
    uint64_t now_ns, deadline_ns;
    bool can_ask; /* init listens and has a mailbox, and is not blocked at its own quiet point */
    bool asked, answered; /* this request */
    bool must_be_idle;    /* the guest says that it is at rest, or quiesce_ms is given */
    bool paused;          /* the three below are of this pause */
    bool quiet, idle;     /* nothing in flight; every vCPU halted */
    uint64_t quiet_ns;    /* since when every look has found it so; 0: the last did not */
    uint64_t wanted_ns;   /* how long in a row */
    bool to_copy;         /* there is something that takes long and is not done */
};

enum quiesce_step quiesce_next(const struct quiesce_view *view);

struct quiesce_config {
    bool at_pre_exec;    /* init is blocked before execve: there is nothing to ask */
    uint64_t quiesce_ms; /* see struct snapshot_resources */
    /* Called now and then by the calling thread: negative, with the reason, ends it. NULL: nothing
     * does but the deadline. */
    int (*interrupted)(void *ctx, struct thaw_error *err);
    void *ctx;
    /*
     * Called at the first rest, when everything stands still; starts the vCPUs (vm_resume) and does
     * what takes long, while the devices stand still. When the guest is at rest still afterwards,
     * and has asked nothing of its devices, that is the instant of the capture. Otherwise it was in
     * vain: at the next rest it is called again, to begin anew, but not for ever and not for a
     * guest that need not be at rest. NULL: nothing takes long.
     */
    int (*copy)(void *copy_ctx, struct thaw_error *err);
    void *copy_ctx;
};

struct quiesce_report {
    bool by_init;       /* init answered, or is held at pre-exec: the clone waits for a doorbell */
    unsigned pauses;    /* how often the guest was stopped to look */
    uint64_t rested_ns; /* CLOCK_MONOTONIC: since when it was at rest: before the copy */
    uint64_t paused_ns; /* since when it is stopped for good */
    bool copied;        /* and the copy is good: only the guest has written to its memory since */
};

/*
 * Brings a running machine to rest and leaves it paused (machine_pause). Its console must not be
 * fed meanwhile. `seen` is kept up to date. Fails closed, with the machine running or ended:
 * THAW_FAIL_QUIESCE after QUIESCE_DEADLINE_MS (the sentence says what was in flight),
 * THAW_FAIL_ENDED when the guest ends.
 */
int snapshot_quiesce(struct machine *machine, const struct quiesce_config *config,
                     struct guest_observation *seen, struct quiesce_report *report,
                     struct thaw_error *err);

#endif
