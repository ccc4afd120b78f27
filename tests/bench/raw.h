/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one part of the benchmarks left behind: a JSON file of build/bench/raw, one object:
 *
 *   part       its name; title, what people call it
 *
 *   host       facts of the host, each a text, a number or a boolean: tier, kernel, cpu, date...
 *
 *   series     [{id, name, what, unit, better, samples}]: sample i of all that have equally many
 *              was taken in the same round; `what` is the quantity, which a peer's series shares
 *
 *   ratios     [{key, name, of: [id, id], goal, better}]: of the medians of two series; of a list
 *              [[id, id]...] of such pairs it is the geometric mean of their ratios
 *
 *   numbers    [{key, name, value, unit, goal, better}]
 *
 *   stacks     [{title, unit, bars: [{name, phases: [{name, value}]}]}]
 *
 *   groups     [{title, unit, groups: [{name, bars: [{name, value}]}]}]: how many times something,
 *              which is 1; each value is above 0, and the same names are in all groups
 *
 *   timelines  [{title, unit, rows: [{name, marks: [{name, at}]}]}]
 *
 *   curves     [{title, x, x_unit, y, y_unit, log_x, lines: [{name, points: [[x, y]]}], theory,
 *              bends}]: a line called theory is dashed, one of p95 does not decide about the axis
 *
 *   missing    [{key, why}]: what could not be measured
 *
 * Every list may be absent; `better` is lower unless it is higher; other members are not looked at.
 * Checked here once; all that follows can trust it: every number is finite, no list inside of
 * these is empty, every id and key is a word of letters, digits, `_`, `-`, `.`. Texts may hold
 * anything that is UTF-8.
 */
#ifndef THAW_TESTS_BENCH_RAW_H
#define THAW_TESTS_BENCH_RAW_H

#include "tests/bench/stats.h"
#include "vmm/base/error.h"

#include <jansson.h>

struct raw_series {
    const char *id, *name, *what, *unit; /* `what` may be "" */
    bool lower;                          /* less is better */
    double *values;                      /* in the order in which they were taken */
    double *sorted;
    struct summary summary;
};

/* Ids of series. */
struct raw_pair {
    const char *over, *under;
};

/* Of the medians of one pair; of several the geometric mean of these. */
struct raw_ratio {
    const char *key, *name;
    struct raw_pair *pairs;
    size_t count;
    bool has_goal, lower;
    double goal;
};

struct raw_number {
    const char *key, *name, *unit;
    bool has_goal, lower;
    double value, goal;
};

/* A name and a length, a moment, or a place. */
struct raw_value {
    const char *name;
    double value; /* at least 0 */
};

/* A bar of phases, a group of bars, or a row of marks. */
struct raw_row {
    const char *name;
    struct raw_value *values;
    size_t count;
};

/* "stacks", "groups" and "timelines". */
struct raw_rows {
    const char *title, *unit;
    struct raw_row *rows;
    size_t count;
};

struct raw_point {
    double x, y;
};

struct raw_line {
    const char *name;
    struct raw_point *points; /* by x */
    size_t count;
};

struct raw_curve {
    const char *title, *x, *x_unit, *y, *y_unit;
    const char *theory, *bends; /* may be "" */
    bool log_x;                 /* then every x is above 0 */
    struct raw_line *lines;
    size_t count;
};

struct raw_missing {
    const char *key, *why;
};

/* All zeros: nothing. The texts live as long as `root`. */
struct raw {
    char *file; /* its name, without the folder */
    char *text;
    json_t *root;
    const char *part, *title;
    const json_t *host; /* an object of texts, numbers and booleans, or NULL */
    struct raw_series *series;
    struct raw_ratio *ratios;
    struct raw_number *numbers;
    struct raw_rows *stacks, *groups, *timelines;
    struct raw_curve *curves;
    struct raw_missing *missing;
    size_t series_count, ratio_count, number_count, stack_count, group_count, timeline_count,
        curve_count, missing_count;
};

/* Reads the file of at most 64 MiB at `path`. An error names the file and what of it is wrong;
 * `raw` is then to be freed, too. */
int raw_read(const char *path, struct raw *raw, struct thaw_error *err);

void raw_free(struct raw *raw);

const struct raw_series *raw_find_series(const struct raw *raw, const char *id);

#endif
