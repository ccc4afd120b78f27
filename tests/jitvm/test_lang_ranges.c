/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges: in which order their parts are computed, which ends they have, and what they cannot have.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/jitvm/test_lang.h"

Test(ranges, their_parts_are_computed_from_left_to_right)
{
    static const char *const said = "fn p(x) { print(x, ' '); return x }\n";
    char text[200];
    (void)snprintf(text, sizeof text, "%sfor i in p(0)..p(2) step p(1) { }", said);
    expect_output(text, "0 2 1 ");
    (void)snprintf(text, sizeof text, "%slet a = [p(0)..=p(2) step p(1)]", said);
    expect_output(text, "0 2 1 ");
}

Test(ranges, an_array_of_one_has_what_a_loop_over_it_passes)
{
    expect_output("say([5..1 step -1])", "5 4 3 2\n");
    expect_output("say([5..=1 step -1])", "5 4 3 2 1\n");
    expect_output("say([0..6 step 2], '|', [0..5 step 2])", "0 2 4|0 2 4\n");
    expect_output("let s = -2; say([6..0 step s], '|', [6..=0 step s])", "6 4 2|6 4 2 0\n");
    expect_output("let s = 2; say([0..4 step s], '|', [0..=4 step s])", "0 2|0 2 4\n");
    expect_output("let s = 0; say(len([0..4 step s]))", "0\n");
    expect_output("say(len([0..0.5]), len([0..2.5]), len([0..'3']))", "023\n");
    expect_output("for i in 0..0.5 { print(i) } for i in 0..2.5 { print(i) }", "01");
}

#define TOO_NEAR "this end is so near the last int that a step past it wraps around"

Test(ranges, an_end_that_leaves_no_int_for_the_step_past_it_does_not_compile)
{
    expect_error("for i in 0..=9223372036854775807 { }", 1, 14, TOO_NEAR);
    expect_error("for i in 0..=-9223372036854775808 step -1 { }", 1, 14, TOO_NEAR);
    expect_error("for i in 0..9223372036854775807 step 2 { }", 1, 13, TOO_NEAR);
    expect_output("for i in 9223372036854775805..9223372036854775807 { print(i, ' ') }",
                  "9223372036854775805 9223372036854775806 ");
    expect_output("for i in 9223372036854775803..9223372036854775806 step 2 { print(i, ' ') }",
                  "9223372036854775803 9223372036854775805 ");
    expect_output("for i in -9223372036854775806..-9223372036854775808 step -1 { print(i, ' ') }",
                  "-9223372036854775806 -9223372036854775807 ");
}

Test(ranges, such_an_end_that_is_computed_fails_and_does_not_loop_for_ever)
{
    const char *max = "let n = 9223372036854775807\n", *min = "let n = -9223372036854775808\n";
    static const char *const from_max[] = {
        "for i in n - 9..=n { }",
        "for i in n - 9..n step 2 { }",
        "for i in n - 9..=n - 1 step 2 { }",
        "let s = 3; for i in n - 9..n step s { }",
        "let s = 1; for i in n - 9..=n step s { }",
        "let s = 2; for i in 9223372036854775800..9223372036854775807 step s { }"};
    static const char *const from_min[] = {"for i in n + 9..=n step -1 { }",
                                           "for i in n + 9..n step -2 { }",
                                           "let s = n; for i in 0..n step s { }"};
    char text[160];
    for (size_t i = 0; i < sizeof from_max / sizeof *from_max; i++) {
        (void)snprintf(text, sizeof text, "%s%s", max, from_max[i]);
        expect_failure(text, JITVM_ERR_VALUE, 2);
    }
    for (size_t i = 0; i < sizeof from_min / sizeof *from_min; i++) {
        (void)snprintf(text, sizeof text, "%s%s", min, from_min[i]);
        expect_failure(text, JITVM_ERR_VALUE, 2);
    }
}

Test(ranges, the_furthest_ends_that_are_allowed_are_reached)
{
    expect_output("let n = 9223372036854775806; for i in n - 1..=n { print(i % 10) }", "56");
    expect_output("let n = 9223372036854775807; for i in n - 2..n { print(i % 10) }", "56");
    expect_output("let n = 9223372036854775806; for i in n - 3..n step 2 { print(i % 10) }", "35");
    expect_output("let n = 9223372036854775806; let s = 2\n"
                  "for i in n - 3..n step s { print(i % 10) }",
                  "35");
    expect_output("let n = -9223372036854775807; let s = -1\n"
                  "for i in n + 1..=n step s { print(i % 10) }",
                  "-6-7");
}
