/* SPDX-License-Identifier: Apache-2.0 */
/* What all parts together give: a figure per ratio and number, and what became of each figure that
 * is asked for. */
#ifndef THAW_TESTS_BENCH_RESULTS_H
#define THAW_TESTS_BENCH_RESULTS_H

#include "tests/bench/raw.h"
#include "tests/bench/text.h"

enum verdict {
    VERDICT_MISSED,
    VERDICT_MET,
    VERDICT_NO_GOAL,
    VERDICT_NOT_MEASURED, /* `why` says why, and there is no value */
};

struct figure {
    const char *key, *name;
    const char *brief; /* a name that is short; of those that are asked for */
    const char *unit;  /* "": a ratio */
    double value;
    bool is_ratio; /* of two series: `interval` is its 95% confidence interval, and `n` rounds */
    struct interval interval;
    size_t n;
    bool has_goal, lower; /* `lower`: at most the goal */
    double goal;
    enum verdict verdict;
    const char *why;
    const struct raw *from; /* NULL: of no part */
};

/* The texts are those of the raws, which must outlive it. */
struct results {
    const struct raw *raws;
    size_t raw_count;
    struct figure *figures; /* of the parts, in their order */
    size_t figure_count;
    struct figure *asked; /* those asked for: missed, met, without a goal, not measured */
    size_t asked_count;
    json_t *flat;  /* results.json */
    char *reasons; /* those that no part gives: texts of `why` */
};

/* Two figures of the same name, or a ratio of series that are not there or not above 0, are errors;
 * `results` is then to be freed, too. */
int results_make(const struct raw *raws, size_t raw_count, struct results *results,
                 struct thaw_error *err);

void results_free(struct results *results);

/* Of few rounds an interval says more than anybody knows: it is in results.json, and not shown. */
bool figure_has_interval(const struct figure *figure);

/* Whether the interval has the goal within: another run might say otherwise. */
bool figure_is_close(const struct figure *figure);

/* The value in as many digits as a goal needs. Returns `out`. */
const char *figure_value(const struct figure *figure, char out[TEXT_NUMBER_MAX]);

/* "met", "missed", "no goal", "not measured". */
const char *verdict_name(enum verdict verdict);

#endif
