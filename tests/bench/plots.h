/* SPDX-License-Identifier: Apache-2.0 */
/* The plots of the report, each a <figure> of HTML with a drawing in it. */
#ifndef THAW_TESTS_BENCH_PLOTS_H
#define THAW_TESTS_BENCH_PLOTS_H

#include "tests/bench/results.h"
#include "tests/bench/svg.h"

/* One figure per quantity (the same `what` and unit), with whatever a ratio sets beside it: a strip
 * of dots per series, all on one axis. */
void plot_series(struct page *page, const struct raw *raw);

/* Bars of phases, and a table of their lengths that is the legend, too. */
void plot_stack(struct page *page, const struct raw_rows *stack);

/* A group of bars per row, from 1 to how many times it is: to the right more, to the left less. */
void plot_groups(struct page *page, const struct raw_rows *groups);

/* A line per row with its marks. */
void plot_timeline(struct page *page, const struct raw_rows *timeline);

/* Lines through points, the expected one dashed, and what is said of them. */
void plot_curve(struct page *page, const struct raw_curve *curve);

/* How far each figure that has a goal is from it. Nothing when none has. */
void plot_goals(struct page *page, const struct results *results);

/* The colour of the program that a series is of: the same all over the report. */
unsigned plot_colour(const char *id, const char *name, size_t index);

#endif
