/* SPDX-License-Identifier: Apache-2.0 */
/* Percentiles of `thaw bench`, its table and its JSON. */
#include "vmm/cli/bench_rows.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* `count` runs in which every figure is missing. The caller frees. */
static struct bench_run *empty_runs(size_t count)
{
    struct bench_run *runs = calloc(count, sizeof(*runs));
    for (size_t i = 0; i < count; i++)
        for (int f = 0; f < BENCH_FIGURES; f++)
            runs[i].figure[f] = NAN;
    return runs;
}

static char *table_of(enum bench_kind kind, const struct bench_run *runs, size_t count)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    cr_assert_eq(bench_rows_print(out, kind, runs, count), 0);
    (void)fclose(out);
    return text;
}

static const json_t *row_of(const json_t *root, const char *id)
{
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(root, "rows"), i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "id")), id) == 0)
            return row;
    }
    return NULL;
}

static double number(const json_t *row, const char *key)
{
    return json_number_value(json_object_get(row, key));
}

Test(bench_verb_rows, percentiles_are_of_the_nearest_rank)
{
    double hundred[100];
    for (int i = 0; i < 100; i++)
        hundred[i] = 100 - i;
    struct bench_summary s = bench_summarize(hundred, 100);
    cr_assert(s.n == 100 && s.min == 1 && s.p50 == 50 && s.p95 == 95 && s.p99 == 99 &&
              s.max == 100);
    double twenty[20];
    for (int i = 0; i < 20; i++)
        twenty[i] = (i * 7) % 20 + 1;
    s = bench_summarize(twenty, 20);
    cr_assert(s.p50 == 10 && s.p95 == 19 && s.p99 == 20);
}

Test(bench_verb_rows, few_samples_have_percentiles_and_none_have_zeros)
{
    double one[] = {3.5};
    struct bench_summary s = bench_summarize(one, 1);
    cr_assert(s.min == 3.5 && s.p50 == 3.5 && s.p99 == 3.5 && s.max == 3.5);
    double two[] = {2, 1};
    s = bench_summarize(two, 2);
    cr_assert(s.p50 == 1 && s.p95 == 2);
    s = bench_summarize(NULL, 0);
    cr_assert(s.n == 0 && s.max == 0);
}

Test(bench_verb_rows, a_phase_is_the_difference_of_two_moments)
{
    struct bench_run *runs = empty_runs(3);
    for (int i = 0; i < 3; i++) {
        runs[i].figure[BENCH_KVM_RUN] = 10 * (i + 1);
        runs[i].figure[BENCH_HELLO] = 10 * (i + 1) + 5 - i;
    }
    json_t *root = json_object();
    cr_assert_eq(bench_rows_json(root, BENCH_BOOT, runs, 3), 0);
    const json_t *row = row_of(root, "phase_kernel");
    cr_assert_eq(number(row, "n"), 3);
    cr_assert(number(row, "min") == 3 && number(row, "p50") == 4 && number(row, "max") == 5);
    const json_t *samples = json_object_get(row, "samples");
    cr_assert_eq(json_real_value(json_array_get(samples, 0)), 5, "in the order of the runs");
    json_decref(root);
    free(runs);
}

Test(bench_verb_rows, a_run_without_the_figure_has_no_sample)
{
    struct bench_run *runs = empty_runs(3);
    runs[1].figure[BENCH_EXITS_IO] = 42;
    runs[2].figure[BENCH_EXEC] = 4;
    runs[2].figure[BENCH_FIRST_BYTE] = 3; /* of the kernel, before the workload */
    json_t *root = json_object();
    cr_assert_eq(bench_rows_json(root, BENCH_BOOT, runs, 3), 0);
    cr_assert_eq(number(row_of(root, "exits_io"), "n"), 1);
    cr_assert(json_is_integer(json_object_get(row_of(root, "exits_io"), "p50")), "a count");
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(root, "exits"), "io")), 42);
    cr_assert_null(row_of(root, "phase_output"), "no difference is negative");
    cr_assert_null(row_of(root, "hello"));
    json_decref(root);
    free(runs);
}

Test(bench_verb_rows, every_row_is_either_there_or_named_as_missing)
{
    struct bench_run *runs = empty_runs(1);
    for (int kind = BENCH_BOOT; kind <= BENCH_CAPTURE; kind++) {
        json_t *root = json_object();
        cr_assert_eq(bench_rows_json(root, kind, runs, 1), 0);
        size_t all = json_array_size(json_object_get(root, "missing"));
        cr_assert_eq(json_array_size(json_object_get(root, "rows")), 0);
        json_decref(root);
        runs[0].figure[BENCH_END] = 1;
        root = json_object();
        cr_assert_eq(bench_rows_json(root, kind, runs, 1), 0);
        cr_assert_eq(json_array_size(json_object_get(root, "missing")), all - 1);
        cr_assert_eq(json_array_size(json_object_get(root, "rows")), 1);
        json_decref(root);
        runs[0].figure[BENCH_END] = NAN;
    }
    free(runs);
}

Test(bench_verb_rows, row_names_are_unique_within_a_kind)
{
    struct bench_run *runs = empty_runs(1);
    for (int kind = BENCH_BOOT; kind <= BENCH_CAPTURE; kind++) {
        json_t *root = json_object(), *seen = json_object();
        cr_assert_eq(bench_rows_json(root, kind, runs, 1), 0);
        const json_t *missing = json_object_get(root, "missing");
        for (size_t i = 0; i < json_array_size(missing); i++)
            json_object_set_new(seen, json_string_value(json_array_get(missing, i)), json_true());
        cr_assert_eq(json_object_size(seen), json_array_size(missing));
        json_decref(seen);
        json_decref(root);
    }
    free(runs);
}

Test(bench_verb_rows, the_table_has_the_rows_that_have_samples_in_columns)
{
    struct bench_run *runs = empty_runs(2);
    for (int i = 0; i < 2; i++) {
        runs[i].figure[BENCH_KVM_RUN] = 1.25 + i;
        runs[i].figure[BENCH_EXITS_IO] = 82;
        runs[i].figure[BENCH_MAX_RSS] = 3 << 19;
    }
    char *text = table_of(BENCH_BOOT, runs, 2);
    cr_assert(strstr(text,
                     "\nafter the spawn\n  KVM_RUN                  ms     2     1.250     1.250"
                     "     2.250     2.250     2.250\n"),
              "%s", text);
    cr_assert(strstr(text, "  port                            2        82"), "%s", text);
    cr_assert(strstr(text, "  most resident memory    MiB     2      1.50"), "%s", text);
    cr_assert_null(strstr(text, "kernel, to hello"), "%s", text);
    cr_assert(strstr(text, "\nnever seen: first VM exit, init says hello, "), "%s", text);
    free(text);
    free(runs);
}

Test(bench_verb_rows, lines_of_the_table_stay_within_ninety_columns)
{
    struct bench_run *runs = empty_runs(1);
    for (int f = 0; f < BENCH_FIGURES; f++)
        runs[0].figure[f] = 123456789;
    for (int kind = BENCH_BOOT; kind <= BENCH_CAPTURE; kind++) {
        char *text = table_of(kind, runs, 1);
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
            cr_assert_leq(strlen(line), 90, "%s", line);
        free(text);
    }
    free(runs);
}
