/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/control_parser.h"

#include <stddef.h>
#include <string.h>

/* ---- fields: each function returns what follows the field, or NULL ------------------------ */

/* Expects exactly `word`. */
static const char *skip(const char *at, const char *word)
{
    size_t length = strlen(word);
    return at && strncmp(at, word, length) == 0 ? at + length : NULL;
}

/* Expects a decimal number of at most `max`, without sign or leading zero. */
static const char *number(const char *at, uint64_t max, uint64_t *value)
{
    if (!at || *at < '0' || *at > '9' || (at[0] == '0' && at[1] >= '0' && at[1] <= '9'))
        return NULL;

    for (*value = 0; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (*value > (max - digit) / 10)
            return NULL;
        *value = *value * 10 + digit;
    }
    return at;
}

static bool ends(const char *at)
{
    return at && *at == '\0';
}

/* ---- verbs: what follows each one --------------------------------------------------------- */

static bool parse_nothing(const char *at, struct control_event *event)
{
    (void)event;
    return ends(at);
}

static bool parse_hello(const char *at, struct control_event *event)
{
    at = skip(at, " init-oci ");
    if (!at || ends(at) || strchr(at, ' ') || strlen(at) > CONTROL_VERSION_MAX)
        return false;
    event->text = at;
    return true;
}

static bool parse_heartbeat(const char *at, struct control_event *event)
{
    return ends(number(skip(at, " counter="), UINT64_MAX, &event->number));
}

static bool parse_listener(const char *at, struct control_event *event)
{
    return ends(number(skip(at, " proto=tcp port="), UINT16_MAX, &event->number)) &&
           event->number != 0;
}

static bool parse_quiesced(const char *at, struct control_event *event)
{
    return ends(number(skip(at, " seq="), UINT64_MAX, &event->number));
}

static bool parse_exit(const char *at, struct control_event *event)
{
    return ends(number(skip(at, " status="), UINT8_MAX, &event->number));
}

static bool parse_failed(const char *at, struct control_event *event)
{
    event->text = skip(at, " reason=");
    return event->text && !ends(event->text);
}

static const struct verb {
    const char *name;
    enum control_event_kind kind;
    bool (*parse)(const char *at, struct control_event *event);
} verbs[] = {
    {THAW_MSG_HELLO, CONTROL_EVENT_HELLO, parse_hello},
    {THAW_MSG_HEARTBEAT, CONTROL_EVENT_HEARTBEAT, parse_heartbeat},
    {THAW_MSG_LISTENER, CONTROL_EVENT_LISTENER, parse_listener},
    {THAW_MSG_PRE_EXEC, CONTROL_EVENT_PRE_EXEC, parse_nothing},
    {THAW_MSG_QUIESCED, CONTROL_EVENT_QUIESCED, parse_quiesced},
    {THAW_MSG_EXEC, CONTROL_EVENT_EXEC, parse_nothing},
    {THAW_MSG_NO_LISTENER, CONTROL_EVENT_NO_LISTENER, parse_nothing},
    {THAW_MSG_EXIT, CONTROL_EVENT_EXIT, parse_exit},
    {THAW_MSG_FAILED, CONTROL_EVENT_FAILED, parse_failed},
};

static const struct verb *find_verb(const char *line)
{
    size_t length = strcspn(line, " ");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strlen(verbs[i].name) == length && memcmp(verbs[i].name, line, length) == 0)
            return &verbs[i];
    return NULL;
}

static struct control_event dropped(enum control_drop why)
{
    return (struct control_event){.kind = CONTROL_EVENT_DROPPED, .drop = why};
}

/* `line` is printable ASCII and NUL-terminated. */
static struct control_event parse_line(const char *line)
{
    const struct verb *verb = find_verb(line);
    if (!verb)
        return dropped(CONTROL_DROP_UNKNOWN);

    struct control_event event = {.kind = verb->kind};
    if (!verb->parse(line + strlen(verb->name), &event))
        return dropped(CONTROL_DROP_MALFORMED);
    return event;
}

/* ---- bytes -------------------------------------------------------------------------------- */

static void add_byte(struct control_parser *parser, uint8_t byte)
{
    if (parser->drop != CONTROL_DROP_NONE)
        return;
    if (byte < 0x20 || byte > 0x7e)
        parser->drop = CONTROL_DROP_NOT_ASCII;
    else if (parser->length == THAW_CONTROL_LINE_MAX)
        parser->drop = CONTROL_DROP_TOO_LONG;
    else
        parser->line[parser->length++] = (char)byte;
}

bool control_parser_feed(struct control_parser *parser, uint8_t byte, struct control_event *event)
{
    if (byte != '\n') {
        add_byte(parser, byte);
        return false;
    }

    parser->line[parser->length] = '\0';
    *event = parser->drop != CONTROL_DROP_NONE ? dropped(parser->drop) : parse_line(parser->line);
    parser->length = 0;
    parser->drop = CONTROL_DROP_NONE;
    return true;
}

bool control_parser_is_idle(const struct control_parser *parser)
{
    return parser->length == 0 && parser->drop == CONTROL_DROP_NONE;
}
