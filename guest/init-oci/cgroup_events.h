/* SPDX-License-Identifier: Apache-2.0 */
/* The file cgroup.events (kernel's Documentation/admin-guide/cgroup-v2.rst): pure. */
#ifndef THAW_INIT_CGROUP_EVENTS_H
#define THAW_INIT_CGROUP_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

struct cgroup_events {
    bool populated; /* there are live processes in it or below */
    bool frozen;    /* every one of them is stopped */
};

/* Reads `size` bytes of text: lines of a key, a space and a number. What is not there, or not
 * such a line, is false. */
struct cgroup_events cgroup_events_parse(const char *text, size_t size);

#endif
