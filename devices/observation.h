/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest has told about itself over the control port, and when. Plain data: triggers and
 * the machine decide by looking at a copy of it. All of it is the guest's word: good for timing
 * and for its own VM's fate, never for the safety of anything else.
 */
#ifndef THAW_DEVICES_OBSERVATION_H
#define THAW_DEVICES_OBSERVATION_H

#include "devices/control_parser.h"

/* Listeners that are remembered; further ones are ignored. */
#define GUEST_LISTENERS_MAX 64u

struct guest_listener {
    uint64_t at_ns; /* CLOCK_MONOTONIC of the host */
    uint16_t port;  /* TCP */
};

struct guest_observation {
    /* What it has said. */
    bool hello;          /* init is up */
    bool pre_exec_ready; /* everything before execve of the workload is done */
    bool exec;           /* the instruction before execve */
    bool no_listener;    /* the workload will never listen */
    bool quiesced;       /* it answered a quiesce request: quiesced_seq */
    bool exited;         /* the workload ended: exit_status */
    bool failed;         /* the workload never ran: failure */

    uint8_t exit_status;        /* exit code, or 128 + signal */
    unsigned listener_count;    /* entries of listeners */
    uint64_t pre_execs;         /* how often it said that it is ready; more than once: held again */
    uint64_t heartbeats;        /* how many came */
    uint64_t heartbeat_counter; /* the last one's value */
    uint64_t quiesced_seq;      /* the last answer's */

    /* When: CLOCK_MONOTONIC of the host at the end of the line; 0 while it has not come. Of
     * heartbeats and answers to quiesce the last one, of the others the first one. */
    uint64_t hello_ns, heartbeat_ns, pre_exec_ns, exec_ns, no_listener_ns, quiesced_ns, exited_ns,
        failed_ns;

    struct guest_listener listeners[GUEST_LISTENERS_MAX]; /* in order of arrival */

    /* Lines that changed nothing. `ignored`: well-formed, but said before, out of order, or
     * beyond GUEST_LISTENERS_MAX. */
    struct {
        uint64_t too_long, not_ascii, unknown, malformed, ignored;
    } dropped;

    char version[CONTROL_VERSION_MAX + 1]; /* of init-oci, from hello */
    char failure[THAW_CONTROL_LINE_MAX];   /* the reason that init gave */
};

/*
 * Enters one event that arrived at `now_ns`. Everything but heartbeats and quiesced is set
 * by its first line only: a second one neither moves the time nor re-arms anything; that init is
 * ready once more is counted. A heartbeat
 * counts when its counter is higher than the last one's; a port when it is new; an answer to
 * quiesce when its seq differs from the last one's.
 *
 * Returns whether anything but the counts of dropped lines changed.
 */
bool observation_apply(struct guest_observation *seen, const struct control_event *event,
                       uint64_t now_ns);

#endif
