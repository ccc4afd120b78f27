/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/progress.h"

#include "vmm/base/clock.h"

#include <stdio.h>
#include <unistd.h>

#define PATIENCE_NS 2000000000ull
#define PERIOD_NS   200000000ull

struct progress progress_of(const char *what, uint64_t total)
{
    return (struct progress){.what = what,
                             .total = total,
                             .started_ns = clock_monotonic_ns(),
                             .terminal = isatty(STDERR_FILENO)};
}

void progress_pages(void *ctx, uint64_t done)
{
    struct progress *p = ctx;
    uint64_t now = clock_monotonic_ns();
    if (!p->terminal || now - p->started_ns < PATIENCE_NS)
        return;
    if (done >= p->total) {
        fputs("\r\033[K", stderr);
        return;
    }
    if (now - p->shown_ns < PERIOD_NS)
        return;
    p->shown_ns = now;
    fprintf(stderr, "\r%s: %llu %%", p->what, (unsigned long long)(done * 100 / p->total));
}
