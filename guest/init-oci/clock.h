/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks as one number. */
#ifndef THAW_INIT_CLOCK_H
#define THAW_INIT_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_SEC 1000000000ull
#define NS_PER_MS  1000000ull

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

/* CLOCK_MONOTONIC, for deadlines. */
static inline int64_t clock_ms(void)
{
    return (int64_t)(clock_ns(CLOCK_MONOTONIC) / NS_PER_MS);
}

#endif
