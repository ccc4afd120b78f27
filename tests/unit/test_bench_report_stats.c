/* SPDX-License-Identifier: Apache-2.0 */
/* The figures of the benchmarks' report: percentiles, intervals, and how numbers are written. */
#include "tests/bench/stats.h"
#include "tests/bench/svg.h"
#include "tests/bench/text.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

Test(bench_stats, percentiles_are_those_of_the_nearest_rank)
{
    double hundred[100], twenty[20];
    for (size_t i = 0; i < 100; i++)
        hundred[i] = (double)i + 1;
    for (size_t i = 0; i < 20; i++)
        twenty[i] = (double)i + 1;
    struct summary s = stats_summary(hundred, 100);
    cr_assert_eq(s.n, 100);
    cr_assert(s.min == 1 && s.p50 == 50 && s.p95 == 95 && s.p99 == 99 && s.max == 100);
    s = stats_summary(twenty, 20);
    cr_assert(s.p50 == 10 && s.p95 == 19 && s.p99 == 20);
    cr_assert(stats_nearest_rank(twenty, 20, 0.001) == 1);
    cr_assert(stats_nearest_rank(twenty, 20, 100) == 20);
}

Test(bench_stats, one_sample_is_every_percentile)
{
    double one = 7;
    struct summary s = stats_summary(&one, 1);
    cr_assert(s.min == 7 && s.p50 == 7 && s.p95 == 7 && s.p99 == 7 && s.max == 7);
}

static struct interval interval_of(const double *a, size_t n, const double *b, size_t m,
                                   bool paired)
{
    struct interval interval;
    cr_assert(
        stats_ratio_interval((struct samples){a, n}, (struct samples){b, m}, paired, &interval));
    return interval;
}

Test(bench_stats, identical_samples_give_an_interval_of_no_width)
{
    const double twos[] = {2, 2, 2, 2, 2}, fours[] = {4, 4, 4, 4};
    struct interval i = interval_of(twos, 5, fours, 4, false);
    cr_assert(i.low == 0.5 && i.high == 0.5);
}

Test(bench_stats, a_series_beside_itself_is_one_when_rounds_are_paired)
{
    const double values[] = {3, 9, 4, 1, 5, 2, 6};
    struct interval paired = interval_of(values, 7, values, 7, true);
    cr_assert(paired.low == 1 && paired.high == 1);
    struct interval independent = interval_of(values, 7, values, 7, false);
    cr_assert(independent.low < 1 && independent.high > 1);
}

Test(bench_stats, noise_that_both_share_cancels_only_when_rounds_are_paired)
{
    double over[60], under[60];
    for (size_t i = 0; i < 60; i++) {
        under[i] = 10 + (double)(i * 37 % 60);
        over[i] = 2 * under[i];
    }
    struct interval paired = interval_of(over, 60, under, 60, true);
    cr_assert(fabs(paired.low - 2) < 1e-12 && fabs(paired.high - 2) < 1e-12);
    struct interval independent = interval_of(over, 60, under, 60, false);
    cr_assert(independent.high - independent.low > 0.3);
}

Test(bench_stats, a_geometric_mean_of_twice_and_half_is_one)
{
    const double ratios[] = {2, 0.5}, one[] = {0.3};
    cr_assert_float_eq(stats_geomean(ratios, 2), 1, 1e-12);
    cr_assert(stats_geomean(one, 1) == 0.3);
    const double ones[] = {1, 1, 1}, twos[] = {2, 2, 2};
    const struct sample_pair pairs[] = {{{twos, 3}, {ones, 3}, true},
                                        {{ones, 3}, {twos, 3}, false}};
    struct interval i;
    cr_assert(stats_geomean_interval(pairs, 2, &i));
    cr_assert(fabs(i.low - 1) < 1e-12 && fabs(i.high - 1) < 1e-12);
}

Test(bench_stats, the_interval_of_a_mean_of_many_ratios_is_narrower_than_of_one)
{
    double over[20], under[20];
    for (size_t i = 0; i < 20; i++) {
        under[i] = 10 + (double)(i * 7 % 20);
        over[i] = 10 + (double)(i * 13 % 20);
    }
    struct sample_pair pairs[9];
    for (size_t i = 0; i < 9; i++)
        pairs[i] = (struct sample_pair){{over, 20}, {under, 20}, false};
    struct interval many, one = interval_of(over, 20, under, 20, false);
    cr_assert(stats_geomean_interval(pairs, 9, &many));
    cr_assert(many.low <= 1 && 1 <= many.high);
    cr_assert_lt(many.high - many.low, (one.high - one.low) / 2);
}

Test(bench_stats, the_interval_is_about_as_wide_as_theory_says)
{
    /* The median of n samples that are spread evenly over [0, 1] has a deviation of 1 / 2 sqrt(n):
     * around 10.5, with n = 400, that is 0.025, and 95% lie within 1.96 of it. */
    double over[400], under[400];
    for (size_t i = 0; i < 400; i++) {
        over[i] = 10 + ((double)i + 0.5) / 400;
        under[i] = 1;
    }
    struct interval i = interval_of(over, 400, under, 400, false);
    cr_assert(i.low < 10.5 && i.high > 10.49);
    cr_assert_float_eq(i.high - i.low, 2 * 1.96 * 0.025, 0.02);
}

Test(bench_stats, the_same_samples_always_give_the_same_interval)
{
    const double a[] = {5, 7, 6, 9, 8, 5.5}, b[] = {3, 2, 4, 3.5};
    struct interval first = interval_of(a, 6, b, 4, false), again = interval_of(a, 6, b, 4, false);
    cr_assert(memcmp(&first, &again, sizeof(first)) == 0);
    cr_assert(first.low >= 5.0 / 4 && first.high <= 9.0 / 2 && first.low < first.high);
}

Test(bench_stats, numbers_have_the_digits_that_count)
{
    const struct {
        double value;
        const char *number, *ratio, *exact;
    } cases[] = {
        {0, "0", "0.000", "0"},
        {0.5, "0.500", "0.500", "0.5"},
        {2.3561, "2.36", "2.356", "2.3561"},
        {18.21, "18.2", "18.2", "18.21"},
        {512.4, "512", "512", "512.4"},
        {1.1512, "1.15", "1.151", "1.1512"},
        {0.06678, "0.0668", "0.0668", "0.06678"},
        {4327224, "4 327 224", "4 327 224", "4 327 224"},
        {9999, "9999", "9999", "9999"},
        {12000, "12 000", "12 000", "12 000"},
        {-3.5, "-3.50", "-3.50", "-3.5"},
        {2e-12, "2e-12", "2e-12", "2e-12"},
        {1e15, "1e+15", "1e+15", "1e+15"},
    };
    char out[TEXT_NUMBER_MAX];
    for (size_t i = 0; i < COUNT(cases); i++) {
        cr_expect_str_eq(text_number(cases[i].value, out), cases[i].number);
        if (cases[i].value > 0)
            cr_expect_str_eq(text_ratio(cases[i].value, out), cases[i].ratio);
        cr_expect_str_eq(text_exact(cases[i].value, out), cases[i].exact);
    }
}

Test(bench_stats, the_largest_and_smallest_numbers_stay_within_their_buffer)
{
    const double values[] = {1e15, -1e15, 1e300, -1e300, 1e-300, 5e-324, 1.7976931348623157e308};
    char out[TEXT_NUMBER_MAX];
    for (size_t i = 0; i < COUNT(values); i++) {
        cr_expect_lt(strlen(text_number(values[i], out)), TEXT_NUMBER_MAX);
        cr_expect_lt(strlen(text_ratio(values[i], out)), TEXT_NUMBER_MAX);
        cr_expect_lt(strlen(text_exact(values[i], out)), TEXT_NUMBER_MAX);
    }
}

Test(bench_svg, ticks_are_one_two_or_five_times_a_power_of_ten)
{
    const double cases[][2] = {{0.9, 1},  {1, 1},       {1.1, 2},   {2, 2},       {3, 5},    {5, 5},
                               {5.1, 10}, {0.03, 0.05}, {0.2, 0.2}, {1234, 2000}, {7e6, 1e7}};
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_expect_float_eq(tick_step(cases[i][0]), cases[i][1], cases[i][1] * 1e-9);
}

static void check_scale(double low, double high, bool log)
{
    struct ticks ticks;
    struct scale scale = scale_make(low, high, log, 10, 110, 6, &ticks);
    cr_expect(scale.from <= low * (1 + 1e-9) || low <= 0, "%g to %g", low, high);
    cr_expect_geq(scale.to, high * (1 - 1e-9), "%g to %g", low, high);
    cr_expect(ticks.count >= 2 && ticks.count <= TICKS_MAX, "%zu of %g to %g", ticks.count, low,
              high);
    for (size_t i = 0; i < ticks.count; i++) {
        double at = scale_at(&scale, ticks.values[i]);
        cr_expect(at >= 10 - 1e-6 && at <= 110 + 1e-6, "%g of %g to %g", at, low, high);
        cr_expect(i == 0 || ticks.values[i] > ticks.values[i - 1]);
    }
}

Test(bench_svg, a_scale_has_all_values_and_some_ticks_whatever_they_are)
{
    const double ranges[][2] = {{0, 1},       {0, 4.35},   {3163, 4830}, {5, 5},        {0, 0},
                                {1e-9, 2e-9}, {0, 1e15},   {999, 1001},  {0.1, 123456}, {172, 180},
                                {1e15, 1e15}, {1e-3, 1e9}, {2, 2.0001}};
    for (size_t i = 0; i < COUNT(ranges); i++) {
        check_scale(ranges[i][0], ranges[i][1], false);
        if (ranges[i][0] > 0)
            check_scale(ranges[i][0], ranges[i][1], true);
    }
    check_scale(-30, 12, false);
}
