/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/observation.h"

#include <stddef.h>
#include <string.h>

/* Returns whether this is the first time. */
static bool set_once(bool *said, uint64_t *at_ns, uint64_t now_ns)
{
    if (*said)
        return false;
    *said = true;
    *at_ns = now_ns;
    return true;
}

/* `text` comes from a line and the parser has bounded it; so does this, for its own sake. */
static void copy_text(char *to, size_t size, const char *text)
{
    size_t length = strnlen(text, size - 1);
    memcpy(to, text, length);
    to[length] = '\0';
}

static bool apply_hello(struct guest_observation *seen, const char *version, uint64_t now_ns)
{
    if (!set_once(&seen->hello, &seen->hello_ns, now_ns))
        return false;
    copy_text(seen->version, sizeof(seen->version), version);
    return true;
}

static bool apply_heartbeat(struct guest_observation *seen, uint64_t counter, uint64_t now_ns)
{
    if (seen->heartbeats > 0 && counter <= seen->heartbeat_counter)
        return false;
    seen->heartbeats++;
    seen->heartbeat_counter = counter;
    seen->heartbeat_ns = now_ns;
    return true;
}

static bool apply_listener(struct guest_observation *seen, uint16_t port, uint64_t now_ns)
{
    for (unsigned i = 0; i < seen->listener_count; i++)
        if (seen->listeners[i].port == port)
            return false;
    if (seen->listener_count == GUEST_LISTENERS_MAX)
        return false;
    seen->listeners[seen->listener_count++] =
        (struct guest_listener){.port = port, .at_ns = now_ns};
    return true;
}

static bool apply_quiesced(struct guest_observation *seen, uint64_t seq, uint64_t now_ns)
{
    if (seen->quiesced && seq == seen->quiesced_seq)
        return false;
    seen->quiesced = true;
    seen->quiesced_seq = seq;
    seen->quiesced_ns = now_ns;
    return true;
}

static bool apply_pre_exec(struct guest_observation *seen, uint64_t now_ns)
{
    (void)set_once(&seen->pre_exec_ready, &seen->pre_exec_ns, now_ns);
    seen->pre_execs++;
    return true;
}

static bool apply_exit(struct guest_observation *seen, uint8_t status, uint64_t now_ns)
{
    if (!set_once(&seen->exited, &seen->exited_ns, now_ns))
        return false;
    seen->exit_status = status;
    return true;
}

static bool apply_failed(struct guest_observation *seen, const char *reason, uint64_t now_ns)
{
    if (!set_once(&seen->failed, &seen->failed_ns, now_ns))
        return false;
    copy_text(seen->failure, sizeof(seen->failure), reason);
    return true;
}

static void count_dropped(struct guest_observation *seen, enum control_drop why)
{
    switch (why) {
    case CONTROL_DROP_TOO_LONG:
        seen->dropped.too_long++;
        break;
    case CONTROL_DROP_NOT_ASCII:
        seen->dropped.not_ascii++;
        break;
    case CONTROL_DROP_UNKNOWN:
        seen->dropped.unknown++;
        break;
    case CONTROL_DROP_MALFORMED:
        seen->dropped.malformed++;
        break;
    case CONTROL_DROP_NONE:
        break;
    }
}

static bool apply(struct guest_observation *seen, const struct control_event *event,
                  uint64_t now_ns)
{
    switch (event->kind) {
    case CONTROL_EVENT_HELLO:
        return apply_hello(seen, event->text, now_ns);
    case CONTROL_EVENT_HEARTBEAT:
        return apply_heartbeat(seen, event->number, now_ns);
    case CONTROL_EVENT_LISTENER:
        return apply_listener(seen, (uint16_t)event->number, now_ns);
    case CONTROL_EVENT_PRE_EXEC:
        return apply_pre_exec(seen, now_ns);
    case CONTROL_EVENT_QUIESCED:
        return apply_quiesced(seen, event->number, now_ns);
    case CONTROL_EVENT_EXEC:
        return set_once(&seen->exec, &seen->exec_ns, now_ns);
    case CONTROL_EVENT_NO_LISTENER:
        return set_once(&seen->no_listener, &seen->no_listener_ns, now_ns);
    case CONTROL_EVENT_EXIT:
        return apply_exit(seen, (uint8_t)event->number, now_ns);
    case CONTROL_EVENT_FAILED:
        return apply_failed(seen, event->text, now_ns);
    case CONTROL_EVENT_DROPPED:
        break;
    }
    return false;
}

bool observation_apply(struct guest_observation *seen, const struct control_event *event,
                       uint64_t now_ns)
{
    if (event->kind == CONTROL_EVENT_DROPPED) {
        count_dropped(seen, event->drop);
        return false;
    }

    bool changed = apply(seen, event, now_ns);
    if (!changed)
        seen->dropped.ignored++;
    return changed;
}
