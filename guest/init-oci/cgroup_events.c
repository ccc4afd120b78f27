/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/cgroup_events.h"

#include <string.h>

static bool line_is(const char *line, size_t length, const char *wanted)
{
    return length == strlen(wanted) && memcmp(line, wanted, length) == 0;
}

struct cgroup_events cgroup_events_parse(const char *text, size_t size)
{
    struct cgroup_events events = {0};
    const char *end = text + size;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        if (!newline)
            break;
        size_t length = (size_t)(newline - text);
        events.populated |= line_is(text, length, "populated 1");
        events.frozen |= line_is(text, length, "frozen 1");
        text = newline + 1;
    }
    return events;
}
