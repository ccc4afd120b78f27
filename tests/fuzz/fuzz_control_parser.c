/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the control port: what the parser accepts is, letter by letter, what the event says. */
#include "devices/control_parser.h"
#include "tests/fuzz/fuzz.h"

#include <inttypes.h>

/* The one line that may have led to the event. */
static void render(const struct control_event *event, char *to, size_t size)
{
    uint64_t n = event->number;
    switch (event->kind) {
    case CONTROL_EVENT_HELLO:
        require(strlen(event->text) > 0 && strlen(event->text) <= CONTROL_VERSION_MAX);
        (void)snprintf(to, size, "hello init-oci %s", event->text);
        break;
    case CONTROL_EVENT_HEARTBEAT:
        (void)snprintf(to, size, "heartbeat counter=%" PRIu64, n);
        break;
    case CONTROL_EVENT_LISTENER:
        require(n > 0 && n <= UINT16_MAX);
        (void)snprintf(to, size, "listener proto=tcp port=%" PRIu64, n);
        break;
    case CONTROL_EVENT_PRE_EXEC:
        (void)snprintf(to, size, "workload-pre-exec");
        break;
    case CONTROL_EVENT_QUIESCED:
        (void)snprintf(to, size, "quiesced seq=%" PRIu64, n);
        break;
    case CONTROL_EVENT_EXEC:
        (void)snprintf(to, size, "workload-exec");
        break;
    case CONTROL_EVENT_NO_LISTENER:
        (void)snprintf(to, size, "no-listener");
        break;
    case CONTROL_EVENT_EXIT:
        require(n <= UINT8_MAX);
        (void)snprintf(to, size, "workload-exit status=%" PRIu64, n);
        break;
    default:
        require(event->kind == CONTROL_EVENT_FAILED && event->text[0] != '\0');
        (void)snprintf(to, size, "init-failed reason=%s", event->text);
        break;
    }
}

static bool is_printable(const uint8_t *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (line[i] < 0x20 || line[i] > 0x7e)
            return false;
    return true;
}

static void check(const struct control_event *event, const uint8_t *line, size_t length)
{
    bool good = length <= THAW_CONTROL_LINE_MAX && is_printable(line, length);
    if (event->kind == CONTROL_EVENT_DROPPED) {
        bool bytes = event->drop == CONTROL_DROP_TOO_LONG || event->drop == CONTROL_DROP_NOT_ASCII;
        require(event->drop != CONTROL_DROP_NONE && bytes == !good);
        return;
    }
    char expected[THAW_CONTROL_LINE_MAX + 64];
    render(event, expected, sizeof(expected));
    require(good && strlen(expected) == length && memcmp(expected, line, length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control_parser parser = {0};
    size_t start = 0;
    for (size_t i = 0; i < size; i++) {
        struct control_event event = {0};
        bool ended = control_parser_feed(&parser, data[i], &event);
        require(ended == (data[i] == '\n'));
        require(control_parser_is_idle(&parser) == ended);
        if (!ended)
            continue;
        check(&event, data + start, i - start);
        start = i + 1;
    }
    return 0;
}
