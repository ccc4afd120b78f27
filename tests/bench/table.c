/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/table.h"
#include "tests/bench/text.h"

#define KEY_CELLS      32
#define VALUE_CELLS    12
#define INTERVAL_CELLS 17
#define GOAL_CELLS     10
#define WHY_CELLS      66

static void print_measured(FILE *out, const struct figure *f)
{
    char value[TEXT_NUMBER_MAX], low[TEXT_NUMBER_MAX], high[TEXT_NUMBER_MAX];
    char interval[2 * TEXT_NUMBER_MAX + 4] = "", goal[TEXT_NUMBER_MAX + 4] = "";
    if (f->is_ratio)
        (void)snprintf(interval, sizeof(interval), "n = %zu", f->n);
    if (figure_has_interval(f))
        (void)snprintf(interval, sizeof(interval), "%s - %s", text_ratio(f->interval.low, low),
                       text_ratio(f->interval.high, high));
    if (f->has_goal)
        (void)snprintf(goal, sizeof(goal), "%s %s",
                       f->lower ? "<=" : ">=", text_exact(f->goal, value));
    text_cell(out, figure_value(f, value), VALUE_CELLS, true);
    (void)fputc(' ', out);
    text_cell(out, f->unit, 6, false);
    text_cell(out, interval, INTERVAL_CELLS, false);
    (void)fputc(' ', out);
    text_cell(out, goal, GOAL_CELLS, false);
    (void)fprintf(out, " %s%s\n", verdict_name(f->verdict), figure_is_close(f) ? ", close" : "");
}

static void print_figure(FILE *out, const struct figure *f)
{
    text_cell(out, f->key, KEY_CELLS, false);
    if (f->verdict != VERDICT_NOT_MEASURED) {
        print_measured(out, f);
        return;
    }
    (void)fputs("  ", out);
    size_t length = text_length(f->why);
    text_cell(out, f->why, length < WHY_CELLS ? length : WHY_CELLS, false);
    (void)fputc('\n', out);
}

static void print_series(FILE *out, const struct raw_series *s)
{
    const double values[] = {s->summary.p50, s->summary.p95, s->summary.p99};
    char number[TEXT_NUMBER_MAX];
    (void)fputs("  ", out);
    text_cell(out, s->name, 28, false);
    (void)fputc(' ', out);
    text_cell(out, s->what, 24, false);
    for (size_t i = 0; i < 3; i++) {
        (void)fputc(' ', out);
        text_cell(out, text_number(values[i], number), 9, true);
    }
    (void)fputc(' ', out);
    text_cell(out, s->unit, 8, false);
    (void)fprintf(out, "%6zu\n", s->summary.n);
}

static void print_part(FILE *out, const struct raw *raw)
{
    (void)fputc('\n', out);
    text_cell(out, raw->title, 55, false);
    (void)fprintf(out, "%10s%10s%10s %8s%6s\n", "p50", "p95", "p99", "", "n");
    for (size_t i = 0; i < raw->series_count; i++)
        print_series(out, &raw->series[i]);
}

void table_write(FILE *out, const struct results *r)
{
    (void)fprintf(out, "%-32s%12s %6s%-17s %-10s %s\n", "figure", "value", "", "95% interval",
                  "goal", "verdict");
    for (size_t i = 0; i < r->asked_count; i++)
        print_figure(out, &r->asked[i]);
    for (size_t i = 0; i < r->raw_count; i++)
        if (r->raws[i].series_count > 0)
            print_part(out, &r->raws[i]);
}
