/* SPDX-License-Identifier: Apache-2.0 */
/* When to take a snapshot: a pure function of what was asked for and what the guest has shown. */
#ifndef THAW_SNAPSHOT_TRIGGER_H
#define THAW_SNAPSHOT_TRIGGER_H

#include "devices/observation.h"

/* What was asked for; all zeros: no snapshot. */
struct snapshot_resources {
    bool has_after_ms, has_at_heartbeat;
    uint64_t after_ms;     /* since the first KVM_RUN */
    uint64_t at_heartbeat; /* this many heartbeats, 1 or more */
    bool on_listener, on_pre_exec;
    uint64_t quiesce_ms;  /* the guest must be quiet for that long in a row; 0: once */
    const char *out_path; /* a directory, or "-" for a stream */
};

/* In the order of their priority. */
enum snapshot_trigger {
    SNAPSHOT_TRIGGER_NONE,
    SNAPSHOT_TRIGGER_HEARTBEAT,
    SNAPSHOT_TRIGGER_PRE_EXEC,
    SNAPSHOT_TRIGGER_LISTENER,
    SNAPSHOT_TRIGGER_NO_LISTENER, /* enabled by on_listener: it will never listen */
    SNAPSHOT_TRIGGER_WALL_CLOCK,
};

/* First match wins, in the order of the enumeration: with pre-exec and listener both asked for,
 * pre-exec fires, since it comes earlier. `running_ms`: since the first KVM_RUN. */
enum snapshot_trigger snapshot_trigger_evaluate(const struct snapshot_resources *want,
                                                const struct guest_observation *seen,
                                                uint64_t running_ms);

/* Whether any trigger is asked for. */
bool snapshot_is_wanted(const struct snapshot_resources *want);

/* Whether the wall clock stands for a guest that never got ready: something else was asked for. */
bool snapshot_trigger_is_late(const struct snapshot_resources *want, enum snapshot_trigger fired);

/* "pre-exec" and so on. Static. */
const char *snapshot_trigger_name(enum snapshot_trigger trigger);

#endif
