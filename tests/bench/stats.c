/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/stats.h"
#include "vmm/base/cleanup.h"

#include <math.h>

#define RESAMPLES 2000
#define SEED      0x7468617762656e63ull

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void stats_sort(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), by_value);
}

/* The same rank for a share of a million samples as for one of ten: 95% of 20 is 19, although
 * 0.95 * 20 is a little more in binary. */
static size_t rank_of(size_t n, double percent)
{
    double rank = ceil(percent * (double)n / 100 - 1e-9);
    return rank < 1 ? 0 : rank > (double)n ? n - 1 : (size_t)rank - 1;
}

double stats_nearest_rank(const double *sorted, size_t n, double percent)
{
    return sorted[rank_of(n, percent)];
}

struct summary stats_summary(const double *sorted, size_t n)
{
    return (struct summary){.n = n,
                            .min = sorted[0],
                            .p50 = stats_nearest_rank(sorted, n, 50),
                            .p95 = stats_nearest_rank(sorted, n, 95),
                            .p99 = stats_nearest_rank(sorted, n, 99),
                            .max = sorted[n - 1]};
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static size_t next_below(uint64_t *state, size_t n)
{
    return (size_t)(((unsigned __int128)next_random(state) * n) >> 64);
}

/* A sample and its place in the series. */
struct placed {
    double value;
    size_t index;
};

static int by_placed(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    int order = by_value(&x->value, &y->value);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* A series as a resample needs it: no draw sorts anything, it counts how often each rank came. */
struct ranked {
    size_t n;
    struct placed *sorted;
    size_t *rank;  /* of sample i */
    size_t *drawn; /* how often the sample of rank i was drawn */
};

static void ranked_free(struct ranked *r)
{
    free(r->sorted);
    free(r->rank);
    free(r->drawn);
}

static bool ranked_make(struct ranked *r, struct samples from)
{
    r->n = from.n;
    r->sorted = calloc(from.n, sizeof(*r->sorted));
    r->rank = calloc(from.n, sizeof(*r->rank));
    r->drawn = calloc(from.n, sizeof(*r->drawn));
    if (!r->sorted || !r->rank || !r->drawn)
        return false;
    for (size_t i = 0; i < from.n; i++)
        r->sorted[i] = (struct placed){from.values[i], i};
    qsort(r->sorted, from.n, sizeof(*r->sorted), by_placed);
    for (size_t i = 0; i < from.n; i++)
        r->rank[r->sorted[i].index] = i;
    return true;
}

static void draw(struct ranked *r, size_t sample)
{
    r->drawn[r->rank[sample]]++;
}

/* The median of what was drawn; forgets it. */
static double take_median(struct ranked *r)
{
    size_t left = rank_of(r->n, 50), at = 0;
    while (left >= r->drawn[at])
        left -= r->drawn[at++];
    for (size_t i = 0; i < r->n; i++)
        r->drawn[i] = 0;
    return r->sorted[at].value;
}

static double resample(struct ranked *over, struct ranked *under, bool paired, uint64_t *random)
{
    for (size_t i = 0; i < over->n; i++) {
        size_t round = next_below(random, over->n);
        draw(over, round);
        if (paired)
            draw(under, round);
    }
    for (size_t i = 0; !paired && i < under->n; i++)
        draw(under, next_below(random, under->n));
    return take_median(over) / take_median(under);
}

double stats_geomean(const double *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += log(values[i]);
    return count == 1 ? values[0] : exp(sum / (double)count);
}

/* One pair as it is drawn from. */
struct drawn_pair {
    struct ranked over, under;
    bool paired;
};

struct drawn_pairs {
    struct drawn_pair *list;
    double *ratios; /* of one resample */
    size_t count;
};

static void drawn_pairs_free(struct drawn_pairs *pairs)
{
    for (size_t i = 0; pairs->list && i < pairs->count; i++) {
        ranked_free(&pairs->list[i].over);
        ranked_free(&pairs->list[i].under);
    }
    free(pairs->list);
    free(pairs->ratios);
}

static bool drawn_pairs_make(struct drawn_pairs *pairs, const struct sample_pair *from,
                             size_t count)
{
    *pairs = (struct drawn_pairs){.list = calloc(count, sizeof(*pairs->list)),
                                  .ratios = calloc(count, sizeof(*pairs->ratios)),
                                  .count = count};
    bool made = pairs->list && pairs->ratios;
    for (size_t i = 0; made && i < count; i++) {
        pairs->list[i].paired = from[i].paired;
        made = ranked_make(&pairs->list[i].over, from[i].over) &&
               ranked_make(&pairs->list[i].under, from[i].under);
    }
    return made;
}

static double resample_all(struct drawn_pairs *pairs, uint64_t *random)
{
    for (size_t i = 0; i < pairs->count; i++) {
        struct drawn_pair *pair = &pairs->list[i];
        pairs->ratios[i] = resample(&pair->over, &pair->under, pair->paired, random);
    }
    return stats_geomean(pairs->ratios, pairs->count);
}

bool stats_geomean_interval(const struct sample_pair *pairs, size_t count, struct interval *out)
{
    cleanup(drawn_pairs_free) struct drawn_pairs drawn = {0};
    cleanup_free double *means = calloc(RESAMPLES, sizeof(*means));
    if (!means || !drawn_pairs_make(&drawn, pairs, count))
        return false;
    uint64_t random = SEED;
    for (size_t i = 0; i < RESAMPLES; i++)
        means[i] = resample_all(&drawn, &random);
    stats_sort(means, RESAMPLES);
    *out = (struct interval){stats_nearest_rank(means, RESAMPLES, 2.5),
                             stats_nearest_rank(means, RESAMPLES, 97.5)};
    return true;
}

bool stats_ratio_interval(struct samples over, struct samples under, bool paired,
                          struct interval *out)
{
    const struct sample_pair pair = {over, under, paired};
    return stats_geomean_interval(&pair, 1, out);
}
