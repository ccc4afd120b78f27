/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What init tells the monitor at intervals, when the mailbox asks for it: heartbeats, and the
 * ports on which the workload listens. Nothing ticks unasked, and nothing while init is blocked:
 * a parked clone makes no wake-up.
 *
 * Listeners are found in init's network namespace, which is the workload's: a bundle's own is
 * never made (guest/include/thaw/spec.h). What a workload hides in one that it makes itself,
 * nobody can reach from the host either.
 */
#ifndef THAW_INIT_WATCH_H
#define THAW_INIT_WATCH_H

#include "guest/init-oci/control.h"
#include "guest/init-oci/failure.h"
#include "thaw/mailbox.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define WATCH_POLL_COUNT 2
#define WATCH_PORTS      65536

struct watch {
    int heartbeat, tick; /* timerfds; -1: never asked for */
    int sockets;         /* NETLINK_SOCK_DIAG; -1: never asked for */

    /* What the last mailbox asks for. */
    uint32_t heartbeat_ms; /* 0: none */
    bool wants_listeners;
    bool ever_wanted_listeners;

    bool workload_runs; /* before that, nothing that listens is the workload */
    uint64_t counter;   /* the last heartbeat's */
    uint32_t seq;       /* the last question's */
    bool any_listens;   /* in the last answer */
    uint8_t reported[WATCH_PORTS / 8];
};

void watch_init(struct watch *watch);

/* Takes over what a valid mailbox asks for, in place of what an earlier one did, and forgets which
 * ports were reported: another monitor may be listening now. Starts nothing: see watch_start(). */
int watch_follow(struct watch *watch, const struct thaw_mailbox_header *header,
                 struct failure *failure);

/* The timers run, or stand still. */
void watch_start(struct watch *watch);
void watch_stop(struct watch *watch);

/* The workload is let go. */
void watch_workload(struct watch *watch);

void watch_poll(const struct watch *watch, struct pollfd fds[WATCH_POLL_COUNT]);

/* Sends what is due. */
void watch_serve(struct watch *watch, const struct pollfd fds[WATCH_POLL_COUNT],
                 const struct control *control);

/* Looks now: reports the ports that are new, returns whether anything listens. Only while
 * listeners are wanted. */
bool watch_look(struct watch *watch, const struct control *control);

#endif
