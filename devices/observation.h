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
    uint16_t port; /* TCP */
    uint64_t at_ns;
};

/* Each *_ns is CLOCK_MONOTONIC of the host when the line was complete; 0 while it has not come. */
struct guest_observation {
    bool hello;
    uint64_t hello_ns;
    char version[CONTROL_VERSION_MAX + 1]; /* of init-oci */

    uint64_t heartbeats;        /* how many */
    uint64_t heartbeat_counter; /* the last one's value */
    uint64_t heartbeat_ns;      /* the last one's arrival */

    bool pre_exec_ready;
    uint64_t pre_exec_ns;

    bool exec;
    uint64_t exec_ns;

    unsigned listener_count;
    struct guest_listener listeners[GUEST_LISTENERS_MAX]; /* in order of arrival */
    bool no_listener;
    uint64_t no_listener_ns;

    bool quiesced;
    uint64_t quiesced_seq; /* of the last answer */
    uint64_t quiesced_ns;

    bool exited;
    uint8_t exit_status; /* exit code, or 128 + signal */
    uint64_t exited_ns;

    bool failed;
    char failure[THAW_CONTROL_LINE_MAX]; /* why the workload never ran */
    uint64_t failed_ns;

    /* Lines that changed nothing. `ignored`: well-formed, but said before, out of order, or
     * beyond GUEST_LISTENERS_MAX. */
    struct {
        uint64_t too_long, not_ascii, unknown, malformed, ignored;
    } dropped;
};

/*
 * Enters one event that arrived at `now_ns`. Everything but heartbeats and quiesced is set
 * by its first line only: a second one neither moves the time nor re-arms anything. A heartbeat
 * counts when its counter is higher than the last one's; a port when it is new; an answer to
 * quiesce when its seq differs from the last one's.
 *
 * Returns whether anything but the counts of dropped lines changed.
 */
bool observation_apply(struct guest_observation *seen, const struct control_event *event,
                       uint64_t now_ns);

#endif
