/* SPDX-License-Identifier: Apache-2.0 */
/* Times, measured and put in order. */
#include "guest/jitvm/cli/timing.h"

#include <stdlib.h>
#include <time.h>

uint64_t timing_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void timing_sort(uint64_t *ns, size_t count)
{
    if (count > 1)
        qsort(ns, count, sizeof(*ns), compare);
}

uint64_t timing_median(const uint64_t *ns, size_t count)
{
    if (count == 0)
        return 0;
    uint64_t low = ns[(count - 1) / 2], high = ns[count / 2];
    return low + (high - low) / 2;
}
