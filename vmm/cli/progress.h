/* SPDX-License-Identifier: Apache-2.0 */
/* Progress of what takes longer than two seconds: a line on stderr, if that is a terminal. */
#ifndef THAW_CLI_PROGRESS_H
#define THAW_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what; /* "verify" */
    uint64_t total;
    uint64_t started_ns, shown_ns;
    bool terminal;
};

struct progress progress_of(const char *what, uint64_t total);

/* `ctx` is a struct progress; `done` of its total. Clears the line at the end. */
void progress_pages(void *ctx, uint64_t done);

#endif
