/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/cgroup_events.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(guest_cgroup_events, lines_say_what_is_so_and_what_is_missing_is_not)
{
    static const struct {
        const char *text;
        bool populated, frozen;
    } rows[] = {
        {"populated 1\nfrozen 0\n", true, false},
        {"populated 1\nfrozen 1\n", true, true},
        {"populated 0\nfrozen 1\n", false, true},
        {"frozen 1\nsomething 5\npopulated 1\n", true, true},
        {"", false, false},
        {"\n\n\n", false, false},
        {"populated 1", false, false}, /* cut off */
        {"populated 1\nfrozen 1", true, false},
        {"populated 10\nfrozen 11\n", false, false},
        {"populated  1\n", false, false},
        {" frozen 1\n", false, false},
        {"unfrozen 1\n", false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cgroup_events events = cgroup_events_parse(rows[i].text, strlen(rows[i].text));
        cr_expect_eq(events.populated, rows[i].populated, "%s", rows[i].text);
        cr_expect_eq(events.frozen, rows[i].frozen, "%s", rows[i].text);
    }
}

Test(guest_cgroup_events, no_byte_behind_the_text_is_looked_at)
{
    static const char text[] = "populated 1\nfrozen 1\n";
    for (size_t size = 0; size < sizeof(text); size++) {
        char *copy = malloc(size ? size : 1); /* of that size: the sanitizer watches its end */
        memcpy(copy, text, size);
        struct cgroup_events events = cgroup_events_parse(copy, size);
        cr_expect_eq(events.frozen, size >= strlen(text));
        free(copy);
    }
}
