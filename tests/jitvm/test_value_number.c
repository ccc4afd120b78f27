/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/jitvm/value/number.h"

#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(value_number);

static uint64_t bits_of(double f)
{
    uint64_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static double of_bits(uint64_t bits)
{
    double f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void expect_float_text(double f, const char *expected)
{
    char out[NUMBER_TEXT_MAX + 1];
    size_t len = number_format_float(f, out);
    cr_assert_leq(len, NUMBER_TEXT_MAX);
    out[len] = 0;
    cr_expect_str_eq(out, expected);
    double back;
    cr_assert(number_parse_float(out, len, &back));
    cr_expect_eq(bits_of(back), bits_of(f), "%s does not read back as %a", out, f);
}

static void expect_float(const char *text, double expected)
{
    double f;
    cr_assert(number_parse_float(text, strlen(text), &f), "%s is a number", text);
    cr_expect_eq(bits_of(f), bits_of(expected), "%s gives %a, not %a", text, f, expected);
}

Test(value_number, ints_are_printed_to_both_ends)
{
    static const struct {
        int64_t i;
        const char *text;
    } rows[] = {{0, "0"},
                {-1, "-1"},
                {10, "10"},
                {INT64_MAX, "9223372036854775807"},
                {INT64_MIN, "-9223372036854775808"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[NUMBER_TEXT_MAX + 1];
        out[number_format_int(rows[i].i, out)] = 0;
        cr_expect_str_eq(out, rows[i].text);
        int64_t back = 1;
        cr_expect(number_parse_int(out, strlen(out), &back));
        cr_expect_eq(back, rows[i].i);
    }
}

static void print_table(void)
{
    expect_float_text(0.0, "0.0");
    expect_float_text(-0.0, "-0.0");
    expect_float_text(3, "3.0");
    expect_float_text(-100, "-100.0");
    expect_float_text(0.1, "0.1");
    expect_float_text(0.1 + 0.2, "0.30000000000000004");
    expect_float_text(1.0 / 3, "0.3333333333333333");
    expect_float_text(2.5, "2.5");
    expect_float_text(123456.789, "123456.789");
    expect_float_text(0.0001, "0.0001");
    expect_float_text(0.00012345, "0.00012345");
    expect_float_text(0.00001, "1e-5");
    expect_float_text(1.5e-5, "1.5e-5");
    expect_float_text(1e15, "1000000000000000.0");
    expect_float_text(9007199254740993.0, "9007199254740992.0");
    expect_float_text(9999999999999998.0, "9999999999999998.0");
    expect_float_text(1e16, "1e+16");
    expect_float_text(1.2345678901234567e16, "1.2345678901234568e+16");
    expect_float_text(1e21, "1e+21");
    expect_float_text(1e23, "1e+23");
    expect_float_text(1e300, "1e+300");
    expect_float_text(0x1p-1074, "5e-324");
    expect_float_text(-0x1p-1074, "-5e-324");
    expect_float_text(0x1p-1022, "2.2250738585072014e-308");
    expect_float_text(of_bits(0x000fffffffffffff), "2.225073858507201e-308");
    expect_float_text(of_bits(0x7fefffffffffffff), "1.7976931348623157e+308");
    expect_float_text(HUGE_VAL, "inf");
    expect_float_text(-HUGE_VAL, "-inf");
    expect_float_text(of_bits(NUMBER_NAN_BITS), "nan");
    expect_float_text(9.5367431640625e-07, "9.5367431640625e-7");
    expect_float_text(0x1p-44, "5.684341886080802e-14");
}

Test(value_number, floats_are_printed_in_their_shortest_form)
{
    print_table();
}

Test(value_number, no_locale_changes_a_result)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE",   "fr_FR.UTF-8",
                                        "ru_RU.UTF-8", "C.UTF-8", "C"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        setlocale(LC_ALL, names[i]); /* those that the machine has */
        print_table();
        double f;
        cr_expect_not(number_parse_float("1,5", 3, &f));
        expect_float("1.5", 1.5);
    }
}

static uint64_t random_bits(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* The fewest digits that the C library finds to read back. */
static int digits_needed(double f)
{
    char out[64];
    for (int digits = 1; digits < 17; digits++) {
        snprintf(out, sizeof out, "%.*e", digits - 1, f);
        if (strtod(out, NULL) == f)
            return digits;
    }
    return 17;
}

static int digits_in(const char *text, size_t len)
{
    int count = 0, zeros = 0;
    for (size_t i = 0; i < len && text[i] != 'e'; i++) {
        if (text[i] < '0' || text[i] > '9' || (text[i] == '0' && !count))
            continue;
        count++;
        zeros = text[i] == '0' ? zeros + 1 : 0;
    }
    return count - zeros;
}

Test(value_number, any_float_reads_back_and_none_is_longer_than_it_must_be)
{
    uint64_t state = 88172645463325252;
    for (int i = 0; i < 30000; i++) {
        uint64_t bits = random_bits(&state);
        if (i % 3 == 1)
            bits &= UINT64_C(0xfff) << 52; /* powers of two: the neighbour below is nearer */
        if (i % 3 == 2)
            bits &= (UINT64_C(1) << random_bits(&state) % 53) - 1; /* below the normal ones */
        double f = of_bits(bits), back;
        if (!isfinite(f) || f == 0)
            continue;
        char out[NUMBER_TEXT_MAX + 1];
        size_t len = number_format_float(f, out);
        out[len] = 0;
        cr_assert(number_parse_float(out, len, &back));
        cr_assert_eq(bits_of(back), bits, "%s", out);
        cr_assert_eq(bits_of(strtod(out, NULL)), bits, "%s", out);
        cr_assert_leq(digits_in(out, len), digits_needed(f), "%s", out);
    }
}

Test(value_number, any_decimal_reads_as_the_c_library_reads_it)
{
    uint64_t state = 1234567;
    for (int i = 0; i < 30000; i++) {
        char in[1400];
        int len = 0, digits = 1 + (int)(random_bits(&state) % (i % 50 ? 30 : 1200));
        int point = (int)(random_bits(&state) % (unsigned)digits);
        for (int at = 0; at < digits; at++) {
            if (at == point)
                in[len++] = '.';
            in[len++] = (char)('0' + random_bits(&state) % 10);
        }
        len += snprintf(in + len, sizeof in - (size_t)len, "e%d",
                        (int)(random_bits(&state) % 700) - 350);
        double f, expected = strtod(in, NULL);
        cr_assert(number_parse_float(in, (size_t)len, &f));
        cr_assert_eq(bits_of(f), bits_of(expected), "%s", in);
    }
}

Test(value_number, ties_go_to_even_and_anything_more_goes_up)
{
    expect_float("9007199254740993", 0x1p53);
    expect_float("9007199254740993.0000000000000000000000000000001", 0x1p53 + 2);
    expect_float("9007199254740995", 0x1p53 + 4);
    expect_float("2.4703282292062327208299439634110e-324", 0.0);
    expect_float("2.4703282292062328e-324", 0x1p-1074);
    expect_float("2.2250738585072011e-308", of_bits(0x000fffffffffffff));
    expect_float("1.7976931348623158e308", of_bits(0x7fefffffffffffff));
    expect_float("1.7976931348623159e308", HUGE_VAL);

    /* More digits than are kept: zeros, and then one that is none. */
    char half[1000];
    double f;
    int len = snprintf(half, sizeof half, "9007199254740993.%0900d", 0);
    cr_assert(number_parse_float(half, (size_t)len, &f));
    cr_expect_eq(f, 0x1p53);
    half[len++] = '1';
    cr_assert(number_parse_float(half, (size_t)len, &f));
    cr_expect_eq(f, 0x1p53 + 2, "a digit beyond all that are kept still counts");
}

Test(value_number, floats_are_read_in_every_form)
{
    expect_float("1", 1);
    expect_float(" \t\n1.5\r ", 1.5);
    expect_float("+1.5", 1.5);
    expect_float("-.5", -0.5);
    expect_float("5.", 5);
    expect_float("1e3", 1000);
    expect_float("1E+3", 1000);
    expect_float("1e-3", 0.001);
    expect_float("-0", -0.0);
    expect_float("0e999999999999999999999", 0);
    expect_float("1e999999999999999999999", HUGE_VAL);
    expect_float("-1e999999999999999999999", -HUGE_VAL);
    expect_float("1e-999999999999999999999", 0);
    expect_float("0000000000000000000000000000000000001", 1);
    expect_float("inf", HUGE_VAL);
    expect_float("-inf", -HUGE_VAL);
    expect_float("nan", of_bits(NUMBER_NAN_BITS));
    expect_float("-nan", of_bits(NUMBER_NAN_BITS));
    expect_float("9223372036854775808", 0x1p63);
}

Test(value_number, a_million_zeros_are_made_up_for_by_the_exponent)
{
    size_t zeros = 1000000;
    char *in = malloc(zeros + 40);
    memcpy(in, "0.", 2);
    memset(in + 2, '0', zeros);
    int tail = snprintf(in + 2 + zeros, 38, "15e1000001");
    double f;
    cr_assert(number_parse_float(in, 2 + zeros + (size_t)tail, &f));
    cr_expect_eq(f, 1.5);
    in[0] = '1';
    memset(in + 1, '0', zeros);
    tail = snprintf(in + 1 + zeros, 38, "e-1000000");
    cr_assert(number_parse_float(in, 1 + zeros + (size_t)tail, &f));
    cr_expect_eq(f, 1);
    free(in);
}

Test(value_number, what_is_no_number_as_a_whole_is_refused)
{
    static const char *const rows[] = {"",     " ",     "-",   "+",        ".",   "-.",   "e5",
                                       "1e",   "1e+",   "1x",  "x1",       "1 2", "--1",  "+-1",
                                       "0x10", "1.2.3", "1,5", "infinity", "INF", "nanx", "1e5.0",
                                       "- 1",  "1_000", "in",  "١"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double f;
        int64_t n;
        cr_expect_not(number_parse_float(rows[i], strlen(rows[i]), &f), "%s", rows[i]);
        cr_expect_not(number_parse_int(rows[i], strlen(rows[i]), &n), "%s", rows[i]);
    }
}

Test(value_number, ints_are_read_up_to_the_ends_and_not_beyond)
{
    int64_t i = 0;
    cr_expect(number_parse_int("  -9223372036854775808\n", 23, &i));
    cr_expect_eq(i, INT64_MIN);
    cr_expect(number_parse_int("+9223372036854775807", 20, &i));
    cr_expect_eq(i, INT64_MAX);
    cr_expect(number_parse_int("007", 3, &i));
    cr_expect_eq(i, 7);
    cr_expect_not(number_parse_int("9223372036854775808", 19, &i));
    cr_expect_not(number_parse_int("-9223372036854775809", 20, &i));
    cr_expect_not(number_parse_int("99999999999999999999999", 23, &i));
    cr_expect_not(number_parse_int("1.0", 3, &i));
    cr_expect_not(number_parse_int("1e3", 3, &i));
}

Test(value_number, a_text_is_read_no_further_than_its_length)
{
    int64_t i;
    double f;
    cr_expect(number_parse_int("1234", 2, &i));
    cr_expect_eq(i, 12);
    cr_expect(number_parse_float("1.75", 3, &f));
    cr_expect_eq(f, 1.7);
    cr_expect_not(number_parse_float("1\0", 2, &f));
}

Test(value_number, float_to_int_goes_toward_zero_and_saturates)
{
    cr_expect_eq(number_float_to_int(2.9), 2);
    cr_expect_eq(number_float_to_int(-2.9), -2);
    cr_expect_eq(number_float_to_int(-0.0), 0);
    cr_expect_eq(number_float_to_int(0x1p63), INT64_MAX);
    cr_expect_eq(number_float_to_int(0x1.fffffffffffffp62), 9223372036854774784);
    cr_expect_eq(number_float_to_int(-0x1p63), INT64_MIN);
    cr_expect_eq(number_float_to_int(-1e300), INT64_MIN);
    cr_expect_eq(number_float_to_int(HUGE_VAL), INT64_MAX);
    cr_expect_eq(number_float_to_int(of_bits(NUMBER_NAN_BITS)), 0);
}

Test(value_number, division_has_a_result_for_every_divisor)
{
    cr_expect_eq(number_int_div(7, 2), 3);
    cr_expect_eq(number_int_div(-7, 2), -3);
    cr_expect_eq(number_int_div(7, 0), 0);
    cr_expect_eq(number_int_div(INT64_MIN, -1), INT64_MIN);
    cr_expect_eq(number_int_div(5, -1), -5);
    cr_expect_eq(number_int_mod(7, 3), 1);
    cr_expect_eq(number_int_mod(-7, 3), -1);
    cr_expect_eq(number_int_mod(7, -3), 1);
    cr_expect_eq(number_int_mod(7, 0), 0);
    cr_expect_eq(number_int_mod(INT64_MIN, -1), 0);
}

Test(value_number, a_nan_has_one_form)
{
    cr_expect_eq(bits_of(number_canonical(of_bits(0xfff8000000000001))), NUMBER_NAN_BITS);
    cr_expect_eq(bits_of(number_float_mod(1, 0)), NUMBER_NAN_BITS);
    cr_expect_eq(bits_of(number_pow(-1, 0.5)), NUMBER_NAN_BITS);
    cr_expect_eq(number_float_mod(-7.5, 2), -1.5);
    cr_expect_eq(number_pow(2, 0.5), 0x1.6a09e667f3bcdp+0);
    cr_expect_eq(number_pow(0, 0), 1);
}
