/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jitvm/builtin_call.h"

#include <locale.h>

TestSuite(builtins_strings, .init = vm_begin, .fini = vm_end);

Test(builtins_strings, substr_is_cut_to_what_is_there)
{
    GIVES("\"ell\"", "substr", S("hello"), I(1), I(3));
    GIVES("\"ello\"", "substr", S("hello"), I(1));
    GIVES("\"lo\"", "substr", S("hello"), I(-2), I(99));
    GIVES("\"hel\"", "substr", S("hello"), I(-99), I(3));
    GIVES("\"\"", "substr", S("hello"), I(99), I(3));
    GIVES("\"\"", "substr", S("hello"), I(1), I(-3));
    GIVES("\"\"", "substr", S("hello"), I(INT64_MAX), I(INT64_MAX));
    GIVES("\"hello\"", "substr", S("hello"), I(INT64_MIN), I(INT64_MAX));
    GIVES("\"23\"", "substr", I(12345), I(1), I(2));
}

Test(builtins_strings, find_and_rfind_give_offsets_or_minus_one)
{
    GIVES("2", "find", S("hello"), S("l"));
    GIVES("3", "rfind", S("hello"), S("l"));
    GIVES("3", "find", S("hello"), S("l"), I(3));
    GIVES("4", "find", S("hello"), S("o"), I(-1));
    GIVES("-1", "find", S("hello"), S("l"), I(4));
    GIVES("-1", "find", S("hello"), S("hello!"));
    GIVES("-1", "rfind", S("hello"), S("hello!"));
    GIVES("0", "find", S(""), S(""));
    GIVES("5", "rfind", S("hello"), S(""));
    GIVES("5", "find", S("hello"), S(""), I(99));
}

Test(builtins_strings, starts_and_ends)
{
    GIVES("true", "starts_with", S("hello"), S("he"));
    GIVES("false", "starts_with", S("he"), S("hello"));
    GIVES("true", "starts_with", S("he"), S(""));
    GIVES("true", "ends_with", S("hello"), S("llo"));
    GIVES("false", "ends_with", S("llo"), S("hello"));
    GIVES("true", "ends_with", I(120), I(20));
}

Test(builtins_strings, split_gives_one_piece_more_than_there_are_separators)
{
    GIVES("[\"a\", \"\", \"b\", \"\"]", "split", S("a,,b,"), S(","));
    GIVES("[\"a\", \"b\"]", "split", S("a::b"), S("::"));
    GIVES("[\"\"]", "split", S(""), S(","));
    GIVES("[\"a\", \"b\"]", "split", S("ab"), S(""));
    GIVES("[]", "split", S(""), S(""));
}

Test(builtins_strings, join_takes_elements_of_all_kinds)
{
    GIVES("\"1-two-3.5-\"", "join", A(I(1), S("two"), F(3.5), U), S("-"));
    GIVES("\"\"", "join", EMPTY, S("-"));
    GIVES("\"1 2,3\"", "join", A(A(I(1), I(2)), I(3)), S(","));
    FAILS(JITVM_ERR_TYPE, "join", S("abc"), S("-"));
}

Test(builtins_strings, case_and_blanks_are_those_of_ascii)
{
    GIVES("\"ABC-\xc3\xa4\"", "upper", S("abC-\xc3\xa4"));
    GIVES("\"abc[]\"", "lower", S("ABC[]"));
    GIVES("\"a b\"", "trim", S(" \t\n a b \r\v\f"));
    GIVES("\"\"", "trim", S("  "));
}

Test(builtins_strings, repeat_checks_the_size_before_it_begins)
{
    GIVES("\"ababab\"", "repeat", S("ab"), I(3));
    GIVES("\"\"", "repeat", S("ab"), I(0));
    GIVES("\"\"", "repeat", S("ab"), I(-5));
    GIVES("\"\"", "repeat", S(""), I(INT64_MAX));
    FAILS(JITVM_ERR_HEAP, "repeat", S("x"), I(INT64_C(1) << 60));
    FAILS(JITVM_ERR_HEAP, "repeat", S("xyz"), I(INT64_MAX));
    FAILS(JITVM_ERR_HEAP, "repeat", S("x"), I(2 << 20));
}

Test(builtins_strings, replace_takes_occurrences_from_the_left)
{
    GIVES("\"bba\"", "replace", S("aaaaa"), S("aa"), S("b"));
    GIVES("\"a--b--c\"", "replace", S("a.b.c"), S("."), S("--"));
    GIVES("\"abc\"", "replace", S("abc"), S(""), S("x"));
    GIVES("\"\"", "replace", S("xxx"), S("x"), S(""));
    GIVES("\"1x3\"", "replace", I(123), I(2), S("x"));
}

Test(builtins_strings, a_replacement_that_does_not_fit_fails_and_keeps_nothing)
{
    char many[4096];
    memset(many, 'x', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    FAILS(JITVM_ERR_HEAP, "replace", S(many), S("x"), S(many));
}

Test(builtins_strings, chr_and_ord_are_about_single_bytes)
{
    GIVES("\"A\"", "chr", I(65));
    GIVES("\"\\x00\"", "chr", I(0));
    GIVES("255", "ord", S("\xff"));
    GIVES("0", "ord", S(""));
    FAILS(JITVM_ERR_VALUE, "chr", I(256));
    FAILS(JITVM_ERR_VALUE, "chr", I(-1));
}

/* ---- format --------------------------------------------------------------------------------- */

Test(builtins_strings, format_knows_its_directives)
{
    GIVES("\"a 5 b x 1.500000 2.25 ff 100%\"", "format", S("a %d b %s %f %.2f %x 100%%"), I(5),
          S("x"), F(1.5), F(2.25), I(255));
    GIVES("\"1.5e+00|0.0001\"", "format", S("%.1e|%g"), F(1.5), F(0.0001));
    GIVES("\"-9223372036854775808 8000000000000000\"", "format", S("%d %x"), I(INT64_MIN),
          I(INT64_MIN));
}

Test(builtins_strings, format_pads)
{
    GIVES("\"[   42][42   ][00042][-0042]\"", "format", S("[%5d][%-5d][%05d][%05d]"), I(42), I(42),
          I(42), I(-42));
    GIVES("\"[   ab][ab   ][ab]\"", "format", S("[%5s][%-5s][%.2s]"), S("ab"), S("ab"), S("abc"));
    GIVES("\"[+1][ 1][ -1.50][-01.50]\"", "format", S("[%+d][% d][%6.2f][%06.2f]"), I(1), I(1),
          F(-1.5), F(-1.5));
    GIVES("\"[00ff]\"", "format", S("[%04x]"), I(255));
}

Test(builtins_strings, format_writes_no_zeros_before_what_is_no_number)
{
    GIVES("\"  nan  -inf\"", "format", S("%05f %05f"), F(__builtin_nan("")), F(-__builtin_inf()));
}

Test(builtins_strings, format_takes_values_as_the_directive_wants_them)
{
    GIVES("\"12 0 3.000000 \"", "format", S("%d %d %f %s"), S("12"), S("x"), I(3), U);
}

Test(builtins_strings, format_refuses_what_it_does_not_know)
{
    FAILS(JITVM_ERR_VALUE, "format", S("%n"), I(1));
    FAILS(JITVM_ERR_VALUE, "format", S("%p"), I(1));
    FAILS(JITVM_ERR_VALUE, "format", S("%*d"), I(1), I(1));
    FAILS(JITVM_ERR_VALUE, "format", S("%ld"), I(1));
    FAILS(JITVM_ERR_VALUE, "format", S("%"));
    FAILS(JITVM_ERR_VALUE, "format", S("%5"));
    FAILS(JITVM_ERR_VALUE, "format", S("%."));
    FAILS(JITVM_ERR_VALUE, "format", S("%1001d"), I(1));
    FAILS(JITVM_ERR_VALUE, "format", S("%99999999999999999999d"), I(1));
    FAILS(JITVM_ERR_VALUE, "format", S("%.1001f"), F(1));
}

Test(builtins_strings, format_wants_as_many_values_as_directives)
{
    FAILS(JITVM_ERR_VALUE, "format", S("%d"));
    FAILS(JITVM_ERR_VALUE, "format", S("%d"), I(1), I(2));
    FAILS(JITVM_ERR_VALUE, "format", S("none"), I(1));
}

Test(builtins_strings, format_has_room_for_the_longest_number)
{
    struct jitvm_value args[2] = {S("%.1000f"), F(-1.7976931348623157e308)}, out;
    cr_assert_eq(call("format", args, 2, &out), 0);
    cr_assert_eq(jitvm_length(out), 1 + 309 + 1 + 1000);
    jitvm_release(vm, out);
}

Test(builtins_strings, format_writes_a_point_whatever_the_locale_says)
{
    static const char *const commas[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "C"};
    for (size_t i = 0; i < 3 && !setlocale(LC_ALL, commas[i]); i++)
        ;
    GIVES("\"1.50 -2.5e+00 3.25\"", "format", S("%.2f %.1e %g"), F(1.5), F(-2.5), F(3.25));
    setlocale(LC_ALL, "C");
}

Test(builtins_strings, bytes_that_are_zero_are_bytes_like_others)
{
    struct jitvm_value text;
    cr_assert_eq(jitvm_str(vm, "a\0b%d", 5, &text), 0);
    GIVES("\"a\\x00b7\"", "format", text, I(7));
    cr_assert_eq(jitvm_str(vm, "a\0b", 3, &text), 0);
    GIVES("2", "find", text, S("b"));
}
