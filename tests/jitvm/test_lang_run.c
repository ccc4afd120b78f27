/* SPDX-License-Identifier: Apache-2.0 */
/* Programs in the language, and what they print. */
#include <criterion/criterion.h>

#include "tests/jitvm/test_lang.h"

Test(lang_run, functions_call_themselves_and_each_other)
{
    expect_output("fn fib(n) { if n < 2 { return n }\n return fib(n - 1) + fib(n - 2) }\n"
                  "say(fib(20))",
                  "6765\n");
    expect_output("fn even(n) { return n == 0 || odd(n - 1) }\n"
                  "fn odd(n) { return n != 0 && even(n - 1) }\n"
                  "say(even(10), odd(7), even(7) || 'no')",
                  "11no\n");
    expect_output("fn nothing() { }\nsay(type(nothing()))", "undef\n");
}

Test(lang_run, loops_count_both_ways_and_by_steps)
{
    expect_output("for i in 0..3 { print(i, ' ') }", "0 1 2 ");
    expect_output("for i in 1..=3 { print(i, ' ') }", "1 2 3 ");
    expect_output("for i in 10..0 step -4 { print(i, ' ') }", "10 6 2 ");
    expect_output("for i in 3..=1 step -1 { print(i, ' ') }", "3 2 1 ");
    expect_output("for i in 3..1 { print(i) }\nprint('none')", "none");
    expect_output("let a = '2'; let b = 4.9; for i in a..=b { print(i, ' ') }", "2 3 4 ");
    expect_output("let s = 2; for i in 0..5 step s { print(i, ' ') }", "0 2 4 ");
    expect_output("let s = -2; for i in 4..=0 step s { print(i, ' ') }", "4 2 0 ");
    expect_output("let s = 0; for i in 0..5 step s { print(i) }", "");
    expect_output("let n = 3; for i in 0..n { n = 10; print(i) }", "012");
}

Test(lang_run, break_and_continue_leave_and_skip)
{
    expect_output("for i in 0..10 { if i == 2 { continue } if i == 5 { break } print(i) }", "0134");
    expect_output("let i = 0; while true { i++; if i % 2 { continue } print(i)\n"
                  "if i > 5 { break } }",
                  "246");
    expect_output("for i in 0..3 { for j in 0..3 { if j > i { break } print(i, j, ' ') } }",
                  "00 10 11 20 21 22 ");
}

Test(lang_run, containers_are_walked_as_they_were)
{
    expect_output("for x in [3, 'a', 2.5] { print(x, ' ') }", "3 a 2.5 ");
    expect_output("for k, v in {b: 1, a: 2} { print(k, v, ' ') }", "b1 a2 ");
    expect_output("for i, v in ['x', 'y'] { print(i, v, ' ') }", "0x 1y ");
    expect_output("for x in {b: 1, a: 2} { print(x, ' ') }", "1 2 ");
    expect_output("let a = [1, 2]\nfor x in a { push(a, x + 2) }\nsay(len(a), a[3])", "44\n");
    expect_output("let h = {q: [5, 6]}\nfor x in h.q { print(x) }", "56");
    expect_output("for x in [] { print(x) }\nfor x in undef { print(x) }", "");
}

Test(lang_run, reduce_hands_over_what_it_has_so_far, .timeout = 30)
{
    expect_output(
        "let a = reduce([0..300000], fn(so_far, x) { push(so_far, x); return so_far }, [])\n"
        "say(len(a), ' ', a[299999])",
        "300000 299999\n");
    expect_output(
        "let start = [7]\nlet a = reduce([1, 2], fn(s, x) { push(s, x); return s }, start)\n"
        "say(a, '|', start, '|', reduce([], fn(s, x) { return x }, start))",
        "7 1 2|7|7\n");
    expect_failure("reduce([1, 2], fn(s, x) { return keys(x) }, ['a'])", JITVM_ERR_TYPE, 1);
    expect_failure("reduce([1, 2], fn(s) { return s }, ['a'])", JITVM_ERR_ARITY, 1);
}

Test(lang_run, containers_are_values)
{
    expect_output("let a = [[1], [2]]\nlet b = a\nb[0][0] = 9\nsay(a[0][0], b[0][0])", "19\n");
    expect_output("fn change(x) { x[0] = 5; return x }\nlet a = [1]\nsay(change(a)[0], a[0])",
                  "51\n");
    expect_output("fn add(x, v) { push(x, v)\n return x }\nlet a = []\n"
                  "for i in 0..100 { a = add(take a, i) }\nsay(len(a), type(take a), type(a))",
                  "100arrayundef\n");
}

Test(lang_run, paths_make_what_is_missing)
{
    expect_output("let h = {}\nh.a.b[2] = 7\nh['a']['c'] += 4\nsay(len(h.a.b), h.a.c)", "34\n");
    expect_output("let h\nh.n++\nh.n++\nh.s ~= 'x'\nsay(h.n, h.s)", "2x\n");
    expect_output("let a = [1, 2, 3]\nsay(a[-1], pop(a), shift(a), len(a), type(a[7]))",
                  "3311undef\n");
    expect_output("let h = {a: 1, b: 2}\nsay(exists(h.a), delete(h.a), exists(h['a']) || 'gone', "
                  "join(keys(h), ','))",
                  "11goneb\n");
}

Test(lang_run, keys_of_an_assignment_are_computed_once)
{
    expect_output("let calls = 0\nfn key() { calls++\n return calls }\nlet a = []\n"
                  "a[key()] += 5\na[key()][key()] += 6\na[key()][key()][key()] += 7\n"
                  "say(calls, ' ', a[1], a[2][3], a[4][5][6])",
                  "6 567\n");
}

Test(lang_run, text_is_joined_compared_and_escaped)
{
    expect_output("say('a' ~ 1 ~ 2.5 ~ undef)", "a12.5\n");
    expect_output("say('10' == 10.0, '10' eq '10.0' || 'no', 'a' lt 'b', 'b' cmp 'a')", "1no11\n");
    expect_output("say(\"tab\\tquote\\\" \\x41 \\u{20ac}\")", "tab\tquote\" A \xe2\x82\xac\n");
    expect_output("say('raw\\n')", "raw\\n\n");
    expect_output("let s = ''\nfor i in 0..5 { s ~= i }\nsay(s, len(s), s[2])", "0123452\n");
}

Test(lang_run, numbers_follow_the_rules_of_the_machine)
{
    expect_output("say(7 / 2, ' ', 7 // 2, ' ', -7 // 2, ' ', -7 % 3, ' ', 7.5 % 2)",
                  "3.5 3 -3 -1 1.5\n");
    expect_output("let z = 0\nsay(type(1 / z), type(1 // z), 1 % z)", "undefundef0\n");
    expect_output("say(2 ** 10, ' ', 2 ** -1, ' ', -2 ** 2)", "1024.0 0.5 -4.0\n");
    expect_output("say(^5, 6 & 3, 6 | 3, 6 ^ 3, 1 << 4, -16 >> 2)", "-627516-4\n");
    expect_output("let m = 9223372036854775807\nsay(m + 1)", "-9223372036854775808\n");
}

Test(lang_run, computed_by_the_compiler_is_as_computed_by_the_machine)
{
    static const char *const operators[] = {"+",  "-",  "*",  "/",  "//", "%",  "&", "|",  "^",
                                            "<<", ">>", "==", "!=", "<",  "<=", ">", ">=", "<=>"};
    static const char *const operands[] = {"7", "-3", "0", "9223372036854775807", "2.5", "-0.0"};
    char text[300];
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        for (size_t j = 0; j < 36; j++) {
            const char *a = operands[j / 6], *b = operands[j % 6], *o = operators[i];
            (void)snprintf(text, sizeof text,
                           "let a = %s; let b = %s; let c = a %s b; let d = (%s) %s (%s)\n"
                           "say(c eq d && type(c) eq type(d) || 'not ' ~ c ~ ' but ' ~ d)",
                           a, b, o, a, o, b);
            expect_output(text, "1\n");
        }
}

Test(lang_run, logic_gives_the_operand_that_decides)
{
    expect_output("say(0 || 'x', 1 && 'y', '' || 0, undef || false || 'z')", "xy0z\n");
    expect_output("fn loud(x) { print('!')\n return x }\n"
                  "let a = loud(0) && loud(1)\nlet b = loud(2) || loud(3)\nsay(a, b)",
                  "!!02\n");
}

Test(lang_run, variables_belong_to_their_block)
{
    expect_output("let x = 1\n{ let x = 2; print(x) }\nif x { let x = 3; print(x) }\nprint(x)",
                  "231");
    expect_output("let x = 1\nfor x in 5..6 { print(x) }\nprint(x)", "51");
    expect_output("let x = 1\n{ let x = x + 1; print(x) }", "2");
    expect_output("for i in 0..3 { let x\n if i == 0 { x = 5 }\n print(type(x), ' ') }",
                  "int undef undef ");
}

Test(lang_run, functions_see_the_variables_of_the_file)
{
    expect_output("fn show() { say(a) }\nlet a = 1\nshow()\na += 1\nshow()", "1\n2\n");
    expect_output("fn show() { say(type(a)) }\nshow()\nlet a = 1", "undef\n");
    expect_output("let count = 0\nfn tick() { count++ }\nfor i in 0..5 { tick() }\nsay(count)",
                  "5\n");
    expect_output("let stack = []\nfn put(x) { push(stack, x) }\nput(1); put(2)\n"
                  "say(pop(stack), len(stack))",
                  "21\n");
}

Test(lang_run, functions_are_values)
{
    expect_output("fn twice(f, x) { return f(f(x)) }\nsay(twice(fn(n) { return n * 3 }, 2))",
                  "18\n");
    expect_output("fn add(a, b) { return a + b }\nlet h = {plus: add}\nsay(h.plus(1, 2))", "3\n");
    expect_output("let f = fn(n) { if n < 2 { return 1 }\n return n * f(n - 1) }\nsay(f(5))",
                  "120\n");
    expect_output("fn pick() { return fn(x) { return x + 1 } }\nsay(pick()(4))", "5\n");
    expect_output("say(join(sort([3, 1, 2], fn(a, b) { return b <=> a }), ','))", "3,2,1\n");
    expect_output("say(join(map([1, 2], fn(x) { return x * x }), ','))", "1,4\n");
}

Test(lang_run, ranges_are_arrays_too)
{
    expect_output(
        "say(join([1..4], ','), ' ', join([1..=4], ','), ' ', join([9..=1 step -4], ','))",
        "1,2,3 1,2,3,4 9,5,1\n");
}

Test(lang_run, a_return_of_the_top_level_ends_the_program)
{
    expect_output("print(1)\nif true { return }\nprint(2)", "1");
}

Test(lang_run, an_error_names_its_line)
{
    expect_failure("let a = 1\n\nlet b = a[0]\na[0] = 2", JITVM_ERR_TYPE, 3);
    expect_failure("fn f(x) {\n  return x(\n    1, 2)\n}\nf(fn(a) { })", JITVM_ERR_ARITY, 2);
    expect_failure("fn deep(n) {\n  return 1 + deep(n)\n}\ndeep(1)", JITVM_ERR_DEPTH, 2);
    expect_failure("while true {\n}", JITVM_ERR_FUEL, 1);
    expect_failure("\nerror('no')", JITVM_ERR_HOST, 2);
}
