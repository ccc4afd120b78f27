/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a series of measurements. Nothing here depends on the clock or on chance: the
 * same samples give the same figures. */
#ifndef THAW_TESTS_BENCH_STATS_H
#define THAW_TESTS_BENCH_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct summary {
    size_t n;
    double min, p50, p95, p99, max;
};

struct interval {
    double low, high;
};

/* Samples that belong to somebody else; `n` is at least 1. */
struct samples {
    const double *values;
    size_t n;
};

void stats_sort(double *values, size_t n);

/* The smallest value that at least `percent` of the samples do not exceed (nearest rank); always
 * one of them. `percent` above 0, up to 100; `n` at least 1. */
double stats_nearest_rank(const double *sorted, size_t n, double percent);

struct summary stats_summary(const double *sorted, size_t n);

/* The middle 95% of what the ratio of the medians is when the samples are drawn again, with
 * replacement, 2000 times. `paired`: sample i of both was taken in the same round, so whole rounds
 * are drawn; then both have the same length. All samples are above 0. False: no memory. */
bool stats_ratio_interval(struct samples over, struct samples under, bool paired,
                          struct interval *out);

/* Two series of a ratio; `paired` as above. */
struct sample_pair {
    struct samples over, under;
    bool paired;
};

/* The same of the geometric mean of `count` such ratios, at least 1, each of them drawn on its own.
 */
bool stats_geomean_interval(const struct sample_pair *pairs, size_t count, struct interval *out);

/* The geometric mean of `count` values above 0, at least 1. Of one it is that value. */
double stats_geomean(const double *values, size_t count);

#endif
