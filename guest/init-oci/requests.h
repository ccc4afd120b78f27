/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the monitor asks for over the control port, byte by byte: a pure state machine of fixed
 * size. The requests are those of guest/include/thaw/wire.h.
 */
#ifndef THAW_INIT_REQUESTS_H
#define THAW_INIT_REQUESTS_H

#include "thaw/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum control_request_kind {
    CONTROL_REQUEST_DOORBELL,
    CONTROL_REQUEST_QUIESCE,   /* number: seq */
    CONTROL_REQUEST_SIGNAL,    /* number, 1 to 64 */
    CONTROL_REQUEST_STDIN_EOF, /* number: bytes in all */
    CONTROL_REQUEST_WINSIZE,   /* rows, cols */
};

struct control_request {
    enum control_request_kind kind;
    uint64_t number;
    uint16_t rows, cols;
};

/* The line being received. Zeroed: a new parser. */
struct request_parser {
    char line[THAW_CONTROL_LINE_MAX + 1];
    size_t length;
    bool unusable; /* too long, or with a NUL */
};

/* Returns whether `byte` completed a request; then `request` is filled. Lines that are nothing of
 * the above are dropped. */
bool request_parser_feed(struct request_parser *parser, char byte, struct control_request *request);

#endif
