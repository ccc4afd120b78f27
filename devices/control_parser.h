/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control port's line parser: a byte in, at most one event out. It is a pure state machine
 * of fixed size: no I/O, no allocation, no clock. The lines are those of
 * guest/include/thaw/wire.h; the guest is hostile.
 *
 * A line is printable ASCII (0x20 to 0x7e), at most THAW_CONTROL_LINE_MAX bytes, ended by '\n'.
 * Its fields follow in the order that wire.h gives, each after one space. Numbers are decimal
 * without sign or leading zero. What is not exactly that is dropped whole, with the reason, when
 * its newline comes.
 */
#ifndef THAW_DEVICES_CONTROL_PARSER_H
#define THAW_DEVICES_CONTROL_PARSER_H

#include "thaw/wire.h"

#include <stdbool.h>
#include <stdint.h>

/* Longest version that a hello may carry, without the NUL. */
#define CONTROL_VERSION_MAX 63u

enum control_event_kind {
    CONTROL_EVENT_DROPPED, /* drop says why */
    CONTROL_EVENT_HELLO,   /* text: the version */
    CONTROL_EVENT_HEARTBEAT,
    CONTROL_EVENT_LISTENER,
    CONTROL_EVENT_PRE_EXEC,
    CONTROL_EVENT_QUIESCED,
    CONTROL_EVENT_EXEC,
    CONTROL_EVENT_NO_LISTENER,
    CONTROL_EVENT_EXIT,
    CONTROL_EVENT_FAILED, /* text: the reason */
};

enum control_drop {
    CONTROL_DROP_NONE,
    CONTROL_DROP_TOO_LONG,
    CONTROL_DROP_NOT_ASCII, /* or a control character */
    CONTROL_DROP_UNKNOWN,   /* no such verb; an empty line has none */
    CONTROL_DROP_MALFORMED, /* fields missing, too many, or out of range */
};

struct control_event {
    enum control_event_kind kind;
    enum control_drop drop;
    /* HEARTBEAT: counter. LISTENER: TCP port, 1 to 65535. QUIESCED: seq. EXIT: 0 to 255. */
    uint64_t number;
    const char *text; /* inside the parser, until its next byte */
};

struct control_parser {
    char line[THAW_CONTROL_LINE_MAX + 1]; /* room for the NUL */
    uint16_t length;
    enum control_drop drop; /* why the rest of this line is skipped */
};

/* Returns whether `byte` ended a line; then `event` is filled. A zeroed parser is a new one. */
bool control_parser_feed(struct control_parser *parser, uint8_t byte, struct control_event *event);

/* Whether the parser is between two lines. */
bool control_parser_is_idle(const struct control_parser *parser);

#endif
