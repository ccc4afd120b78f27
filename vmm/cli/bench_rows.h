/* SPDX-License-Identifier: Apache-2.0 */
/* The rows that `thaw bench` shows: which figures, their percentiles, as a table and as JSON. */
#ifndef THAW_CLI_BENCH_ROWS_H
#define THAW_CLI_BENCH_ROWS_H

#include "vmm/cli/bench_report.h"

#include <jansson.h>
#include <stdio.h>

/* Percentiles are nearest rank: the smallest sample that at least so many of all are not above. */
struct bench_summary {
    size_t n;
    double min, p50, p95, p99, max;
};

/* Sorts `samples`, none of them NAN. All 0 when there are none. */
struct bench_summary bench_summarize(double *samples, size_t n);

/*
 * Called for each row of `kind`, in order. A row is a figure or the difference of two; a run that
 * lacks one of these, or where the second is later than the first, has no sample. `samples` are in
 * the order of the runs and only valid during the call.
 */
struct bench_row {
    const char *section, *id, *name;
    const char *unit; /* "ms", "bytes", "MB/s", or "" for a count */
};
typedef void bench_row_fn(void *ctx, const struct bench_row *row, const double *samples, size_t n);

/* -ENOMEM. */
int bench_rows_each(enum bench_kind kind, const struct bench_run *runs, size_t count,
                    bench_row_fn *visit, void *ctx);

/* The table for people. Rows without a sample are left out; those of them that a guest should have
 * given are named below it. -ENOMEM. */
int bench_rows_print(FILE *out, enum bench_kind kind, const struct bench_run *runs, size_t count);

/* Adds "rows", "exits" (medians by kind) and "missing" to `root`. -ENOMEM. */
int bench_rows_json(json_t *root, enum bench_kind kind, const struct bench_run *runs, size_t count);

#endif
