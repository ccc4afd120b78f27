/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/trigger.h"

enum snapshot_trigger snapshot_trigger_evaluate(const struct snapshot_resources *want,
                                                const struct guest_observation *seen,
                                                uint64_t running_ms)
{
    if (want->has_at_heartbeat && seen->heartbeats >= want->at_heartbeat)
        return SNAPSHOT_TRIGGER_HEARTBEAT;
    if (want->on_pre_exec && seen->pre_exec_ready)
        return SNAPSHOT_TRIGGER_PRE_EXEC;
    if (want->on_listener && seen->listener_count > 0)
        return SNAPSHOT_TRIGGER_LISTENER;
    if (want->on_listener && seen->no_listener)
        return SNAPSHOT_TRIGGER_NO_LISTENER;
    if (want->has_after_ms && running_ms >= want->after_ms)
        return SNAPSHOT_TRIGGER_WALL_CLOCK;
    return SNAPSHOT_TRIGGER_NONE;
}

bool snapshot_is_wanted(const struct snapshot_resources *want)
{
    return want->has_at_heartbeat || want->on_pre_exec || want->on_listener || want->has_after_ms;
}

bool snapshot_trigger_is_late(const struct snapshot_resources *want, enum snapshot_trigger fired)
{
    return fired == SNAPSHOT_TRIGGER_WALL_CLOCK &&
           (want->has_at_heartbeat || want->on_pre_exec || want->on_listener);
}

const char *snapshot_trigger_name(enum snapshot_trigger trigger)
{
    switch (trigger) {
    case SNAPSHOT_TRIGGER_NONE:
        return "none";
    case SNAPSHOT_TRIGGER_HEARTBEAT:
        return "heartbeat";
    case SNAPSHOT_TRIGGER_PRE_EXEC:
        return "pre-exec";
    case SNAPSHOT_TRIGGER_LISTENER:
        return "listener";
    case SNAPSHOT_TRIGGER_NO_LISTENER:
        return "no-listener";
    case SNAPSHOT_TRIGGER_WALL_CLOCK:
        return "wall-clock";
    }
    return "unknown";
}
