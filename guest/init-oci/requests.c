/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/requests.h"

#include <string.h>

#define SIGNAL_MAX   64
#define NUMBER_MAX   ((uint64_t)INT64_MAX)
#define WINDOW_MAX   UINT16_MAX
#define DECIMAL_BASE 10

/* Expects ` <key>=<number>` of at most `max`; returns what follows, or NULL. */
static const char *number_field(const char *at, const char *key, uint64_t max, uint64_t *value)
{
    size_t length = strlen(key);
    if (!at || *at != ' ' || strncmp(at + 1, key, length) != 0 || at[length + 1] != '=')
        return NULL;
    at += length + 2;
    if (*at < '0' || *at > '9')
        return NULL;
    for (*value = 0; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (*value > (max - digit) / DECIMAL_BASE)
            return NULL;
        *value = *value * DECIMAL_BASE + digit;
    }
    return at;
}

static const char *after(const char *line, const char *verb)
{
    size_t length = strlen(verb);
    return strncmp(line, verb, length) == 0 ? line + length : NULL;
}

static bool complete(const char *at)
{
    return at && *at == '\0';
}

static bool parse_winsize(const char *at, struct control_request *request)
{
    uint64_t rows = 0;
    uint64_t cols = 0;
    at = number_field(at, "rows", WINDOW_MAX, &rows);
    at = number_field(at, "cols", WINDOW_MAX, &cols);
    if (!complete(at))
        return false;
    request->kind = CONTROL_REQUEST_WINSIZE;
    request->rows = (uint16_t)rows;
    request->cols = (uint16_t)cols;
    return true;
}

static bool parse_line(const char *line, struct control_request *request)
{
    static const struct {
        const char *verb, *key;
        uint64_t min, max;
        enum control_request_kind kind;
    } numbered[] = {
        {THAW_REQ_QUIESCE, "seq", 0, NUMBER_MAX, CONTROL_REQUEST_QUIESCE},
        {THAW_REQ_SIGNAL, "number", 1, SIGNAL_MAX, CONTROL_REQUEST_SIGNAL},
        {THAW_REQ_STDIN_EOF, "bytes", 0, NUMBER_MAX, CONTROL_REQUEST_STDIN_EOF},
    };
    *request = (struct control_request){0};
    for (size_t i = 0; i < sizeof(numbered) / sizeof(numbered[0]); i++) {
        const char *at = after(line, numbered[i].verb);
        if (!complete(number_field(at, numbered[i].key, numbered[i].max, &request->number)))
            continue;
        request->kind = numbered[i].kind;
        return request->number >= numbered[i].min;
    }
    return parse_winsize(after(line, THAW_REQ_WINSIZE), request);
}

/* A NUL would hide what follows it from parse_line(). */
static void append(struct request_parser *parser, char byte)
{
    if (byte != '\0' && parser->length < THAW_CONTROL_LINE_MAX)
        parser->line[parser->length++] = byte;
    else
        parser->unusable = true;
}

bool request_parser_feed(struct request_parser *parser, char byte, struct control_request *request)
{
    bool between_lines = parser->length == 0 && !parser->unusable;
    if (byte == THAW_DOORBELL && between_lines) {
        *request = (struct control_request){.kind = CONTROL_REQUEST_DOORBELL};
        return true;
    }
    if (byte != '\n') {
        append(parser, byte);
        return false;
    }
    bool usable = !parser->unusable;
    parser->line[parser->length] = '\0';
    parser->length = 0;
    parser->unusable = false;
    return usable && parse_line(parser->line, request);
}
