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

/* Something the guest reported. */
struct guest_mark {
    bool seen;
    uint64_t at_ns; /* CLOCK_MONOTONIC of the host when its line was complete */
};

struct guest_listener {
    uint16_t port; /* TCP */
    uint64_t at_ns;
};

struct guest_observation {
    struct guest_mark hello;
    char version[CONTROL_VERSION_MAX + 1]; /* of init-oci */

    struct guest_mark heartbeat; /* the last one */
    uint64_t heartbeats;         /* how many */
    uint64_t heartbeat_counter;  /* the last one's value */

    struct guest_mark pre_exec_ready;
    struct guest_mark exec;
    struct guest_mark no_listener;

    unsigned listener_count;
    struct guest_listener listeners[GUEST_LISTENERS_MAX]; /* in order of arrival */

    struct guest_mark quiesced; /* the last answer that named a new seq */
    uint64_t quiesced_seq;

    struct guest_mark exited;
    uint8_t exit_status; /* exit code, or 128 + signal */

    struct guest_mark failed;
    char failure[THAW_CONTROL_LINE_MAX]; /* why the workload never ran */

    /* Lines that changed nothing. `ignored`: well-formed, but said before, out of order, or
     * beyond GUEST_LISTENERS_MAX. */
    struct {
        uint64_t too_long, not_ascii, unknown, malformed, ignored;
    } dropped;
};

/*
 * Enters one event that arrived at `now_ns`. Each mark but heartbeat and quiesced is set by its
 * first line only: a second one neither moves the time nor re-arms anything. A heartbeat counts
 * when its counter is higher than the last one's; a port when it is new; an answer to quiesce
 * when its seq differs from the last one's.
 *
 * Returns whether anything but the counts of dropped lines changed.
 */
bool observation_apply(struct guest_observation *seen, const struct control_event *event,
                       uint64_t now_ns);

#endif
