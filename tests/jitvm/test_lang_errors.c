/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that do not compile: what is said, and of which place. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/jitvm/test_lang.h"

Test(lang_error, says_what_was_expected_and_what_is_there)
{
    expect_error("let x = ", 1, 9, "expected an expression, found the end of the text");
    expect_error("f(1 {", 1, 5, "expected ')' after the arguments, found '{'");
    expect_error("\n\nprint(1 2)", 3, 9, "expected ')' after the arguments, found the number 2");
    expect_error("fn f(a { }", 1, 8, "expected ')' after the parameters, found '{'");
    expect_error("fn f(1) { }", 1, 6, "expected the name of a parameter, found the number 1");
    expect_error("fn f { }", 1, 6, "expected '(' before the parameters, found '{'");
    expect_error("fn f() return 1", 1, 8,
                 "expected '{' before the function's body, found 'return'");
    expect_error("let 1 = 2", 1, 5, "expected a name after 'let', found the number 1");
    expect_error("let if = 2", 1, 5, "expected a name after 'let', found 'if'");
    expect_error("if x = 1 { }", 1, 6, "expected '{' after the condition, found '='");
    expect_error("while 1 print()", 1, 9,
                 "expected '{' after the condition, found the name 'print'");
    expect_error("if 1 { } else 2", 1, 15, "expected '{' after 'else', found the number 2");
    expect_error("for 1 in 2 { }", 1, 5,
                 "expected the name of a loop variable after 'for', found the number 1");
    expect_error("for i of 2 { }", 1, 7,
                 "expected 'in' after the loop variable, found the name 'of'");
    expect_error("for i in 1..2 print(i)", 1, 15,
                 "expected '{' after what the loop walks, found the name 'print'");
    expect_error("let a = [1, 2", 1, 14,
                 "expected ']' after the elements, found the end of the text");
    expect_error("let a = {x 1}", 1, 12, "expected ':' between key and value, found the number 1");
    expect_error("let a = {x: 1", 1, 14,
                 "expected '}' after the entries, found the end of the text");
    expect_error("let a = (1", 1, 11,
                 "expected ')' after the expression, found the end of the text");
    expect_error("let a = [1]\na[0 = 1", 2, 5, "expected ']' after the index, found '='");
    expect_error("let a = [1]\na.1", 2, 3, "expected a name after '.', found the number 1");
    expect_error("take 1", 1, 6,
                 "expected the name of a variable after 'take', found the number 1");
    expect_error("let f = fn g() { }", 1, 12,
                 "expected '(': a function in an expression has no name, found the name 'g'");
}

Test(lang_error, says_where_a_statement_should_have_ended_or_begun)
{
    expect_error("let x = 1 let y = 2", 1, 11,
                 "expected ';' or a new line after the statement, found 'let'");
    expect_error("return 1 2", 1, 10,
                 "expected ';' or a new line after the statement, found the number 2");
    expect_error("let a = 1\n  + 2", 2, 3,
                 "expected a statement (an operator that continues a line stands at the end of "
                 "the line before), found '+'");
    expect_error("if 1 {\n}\nelse { }\nelse { }", 4, 1,
                 "expected a statement ('else' needs an 'if' before it), found 'else'");
    expect_error("}", 1, 1, "expected a statement (no block is open), found '}'");
    expect_error("if 1 {\n print(1)\n", 3, 1,
                 "expected '}' to close the block of line 1, found the end of the text");
    expect_error(")", 1, 1, "expected a statement, found ')'");
}

Test(lang_error, shows_texts_that_are_no_token)
{
    expect_error("let a = @", 1, 9, "unexpected character '@'");
    expect_error("let \xc3\xa9 = 1", 1, 5,
                 "unexpected byte 0xc3: letters outside ASCII belong into strings");
    expect_error("\"abc\ndef\"", 1, 1, "this string has no closing '\"' on its line");
    expect_error("\"abc\\", 1, 6,
                 "unknown escape; there are \\n \\r \\t \\e \\0 \\\\ \\\" \\' \\xNN \\u{...}");
    expect_error("print('abc", 1, 7, "this string has no closing \"'\"");
    expect_error("\"\\q\"", 1, 3,
                 "unknown escape; there are \\n \\r \\t \\e \\0 \\\\ \\\" \\' \\xNN \\u{...}");
    expect_error("\"\\x4\"", 1, 5, "expected two hexadecimal digits after '\\x'");
    expect_error("\"\\u4\"", 1, 4, "expected '{' after '\\u', as in \"\\u{e9}\"");
    expect_error("\"\\u{}\"", 1, 5, "expected up to six hexadecimal digits and '}' after '\\u{'");
    expect_error("\"\\u{d800}\"", 1, 9, "there is no such Unicode character");
    expect_error("\"\\u{110000}\"", 1, 11, "there is no such Unicode character");
    expect_error("1x", 1, 1, "a letter follows this number at once");
    expect_error("0x", 1, 1, "expected digits after '0x' or '0b'");
    expect_error("0b102", 1, 1 + 4,
                 "expected ';' or a new line after the statement, found the "
                 "number 2");
    expect_error("0x1ffffffffffffffff", 1, 1, "this number has more than 64 bits");
    expect_error("9223372036854775808", 1, 1,
                 "this number has more than 64 bits; with '.0' it is a float");
    expect_error("99999999999999999999", 1, 1,
                 "this number has more than 64 bits; with '.0' it is a float");
}

Test(lang_error, names_what_is_unknown_and_what_it_is_like)
{
    expect_error("x = 1", 1, 1, "there is no variable 'x'; 'let x = ...' makes one");
    expect_error("let total = 1\nprint(totl)", 2, 7,
                 "there is no variable 'totl'; is 'total' meant?");
    expect_error("fn square(x) { return sqare }", 1, 23,
                 "there is no variable 'sqare'; is 'square' meant?");
    expect_error("fn f() { let inner = 1 }\nprint(inner)", 2, 7,
                 "there is no variable 'inner'; 'let inner = ...' makes one");
    expect_error("{ let a = 1 }\nprint(a)", 2, 7,
                 "there is no variable 'a'; 'let a = ...' makes one");
    expect_error("for i in 1..2 { }\nprint(i)", 2, 7,
                 "there is no variable 'i'; 'let i = ...' makes one");
    expect_error("print(b)\nlet b = 1", 1, 7, "'b' is used before its 'let' in line 2");
    expect_error("let b = b", 1, 9, "'b' is used before its 'let' in line 1");
    expect_error("b(1)\nlet b = 1", 1, 1, "'b' is used before its 'let' in line 2");
}

Test(lang_error, refuses_names_that_are_taken)
{
    expect_error("let x = 1\nlet y = 2; let x = 3", 2, 16, "'x' is there already, from line 1");
    expect_error("fn f(a, a) { }", 1, 9, "'a' is there already, from line 1");
    expect_error("fn f() { }\nfn f() { }", 2, 1, "the function 'f' is there already, from line 1");
    expect_error("fn f() { }\nlet f = 1", 2, 5, "'f' is a function already, from line 1");
    expect_error("fn f() { }\nf = 1", 2, 1, "'f' is a function and cannot be changed");
    expect_error("for k, k in {a: 1} { }", 1, 8, "'k' is there already, from line 1");
}

Test(lang_error, refuses_to_capture)
{
    expect_error("fn f() {\n  let q = 1\n  return fn() { return q }\n}", 3, 24,
                 "'q' belongs to the function around this one, and functions capture nothing: "
                 "pass it as an argument");
    expect_error("for i in 1..2 { let f = fn() { return i } }", 1, 39,
                 "'i' belongs to the function around this one, and functions capture nothing: "
                 "pass it as an argument");
}

Test(lang_error, counts_the_arguments_of_functions_that_are_known)
{
    expect_error("fn f(a) { }\nf()", 2, 1, "'f' takes 1 argument (line 1), 0 are given");
    expect_error("fn f(a, b) { }\nprint(f(1))", 2, 7, "'f' takes 2 arguments (line 1), 1 is given");
    expect_error("let a = []\npush(a)", 2, 1, "push() takes 2 arguments, 1 is given");
    expect_error("len()", 1, 1, "len() takes 1 argument, 0 are given");
}

Test(lang_error, wants_a_place_where_something_is_changed)
{
    expect_error("1 = 2", 1, 1, "only a variable or an element of one can be assigned to");
    expect_error("print(1)[0] = 2", 1, 1,
                 "only a variable or an element of one can be assigned to");
    expect_error("print(1)++", 1, 1, "only a variable or an element of one can be assigned to");
    expect_error("push([], 1)", 1, 6,
                 "push() needs a variable or an element of one, as in a or a[i]");
    expect_error("let h = {}\ndelete(h)", 2, 8,
                 "delete() needs an element of a variable, as in h[k]");
}

Test(lang_error, refuses_what_is_in_no_loop_or_no_outermost_level)
{
    expect_error("break", 1, 1, "'break' stands in no loop");
    expect_error("while 1 { let f = fn() { continue } }", 1, 26, "'continue' stands in no loop");
    expect_error("if 1 {\n  fn f() { }\n}", 2, 3,
                 "named functions stand at the outermost level; here, write: "
                 "let name = fn(...) { ... }");
}

Test(lang_error, refuses_comparisons_in_a_row_and_odd_ranges)
{
    expect_error("let a = 1 < 2 < 3", 1, 15, "comparisons do not chain; write a < b && b < c");
    expect_error("let a = 1 eq 2 == 3", 1, 16, "comparisons do not chain; write a < b && b < c");
    expect_error("for i in 1..3 step 0 { }", 1, 20, "the step of a range is an int other than 0");
    expect_error("for i in 1..3 step 0.5 { }", 1, 20, "the step of a range is an int other than 0");
    expect_error("for i in 1..=9223372036854775807 { }", 1, 14,
                 "this end is so near the last int that a step past it wraps around");
    expect_error("for i, j in 1..3 { }", 1, 8,
                 "a range gives one value at a time: one loop variable");
    expect_error("let a = [1, 2..3]", 1, 14, "a range in an array literal stands alone: [1..10]");
}

/* `text` so many times between two others. */
static char *repeated(const char *before, const char *text, size_t times, const char *after)
{
    size_t len = strlen(text), start = strlen(before);
    char *all = malloc(start + len * times + strlen(after) + 1);
    memcpy(all, before, start);
    for (size_t i = 0; i < times; i++)
        memcpy(all + start + i * len, text, len);
    memcpy(all + start + len * times, after, strlen(after) + 1);
    return all;
}

static void expect_too_deep(const char *before, const char *text, const char *after)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err;
    char *all = repeated(before, text, 100000, after);
    cr_assert_eq(jitvm_compile("test", all, strlen(all), &chunk, &err), JITVM_ERR_SYNTAX);
    cr_assert(strstr(err.message, "nested too deeply: 256 levels at most"), "%s", err.message);
    free(all);
}

Test(lang_error, nesting_has_an_end)
{
    expect_too_deep("print(", "(", "");
    expect_too_deep("", "{", "");
    expect_too_deep("print(", "[", "");
    expect_too_deep("print(", "{a:", "");
    expect_too_deep("print(", "! ", "1)");
    expect_too_deep("print(2", "**2", ")");
    expect_too_deep("let a = []; print(a", "[0]", ")");
    expect_too_deep("print(f", "()", ")");
    expect_too_deep("let a = 1; print(a", " || a", ")");
    expect_too_deep("", "let f = fn() { ", "");
    expect_too_deep("print(", "1+2*(", "");
    expect_too_deep("", "if 1 { ", "");
    expect_too_deep("", "while 1 { ", "");
}

Test(lang_error, long_chains_are_no_nesting)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err;
    char *sum = repeated("let a = 1\nreturn a", " + a * 2 - 1.5", 20000, "");
    cr_assert_eq(jitvm_compile("test", sum, strlen(sum), &chunk, &err), 0, "%s", err.message);
    jitvm_chunk_unref(chunk);
    free(sum);
    /* Folded into one literal, link by link. */
    char *ones = repeated("return 1", " + 1", 200000, "");
    cr_assert_eq(jitvm_compile("test", ones, strlen(ones), &chunk, &err), 0, "%s", err.message);
    jitvm_chunk_unref(chunk);
    free(ones);
    char *arms = repeated("let a = 1\nif a { } ", "else if a == 2 { a = 3 } ", 5000, "");
    cr_assert_eq(jitvm_compile("test", arms, strlen(arms), &chunk, &err), 0, "%s", err.message);
    jitvm_chunk_unref(chunk);
    free(arms);
}

Test(lang_error, a_path_has_sixteen_keys_to_write_with)
{
    char *path = repeated("let a = []\na", "[0]", 17, " = 1");
    expect_error(path, 2, 50, "a place has at most 16 keys, one behind another");
    free(path);
}

Test(lang_error, literals_have_an_end)
{
    char *array = repeated("let a = [", "1,", 4097, "]");
    expect_error(array, 1, 9, "an array literal has at most 4096 elements; push() adds more");
    free(array);
    char *arguments = repeated("print(", "1,", 251, ")");
    expect_error(arguments, 1, 1, "a call has at most 250 arguments");
    free(arguments);
}

Test(lang_error, a_text_that_is_too_long_is_not_read)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err;
    size_t len = ((size_t)16 << 20) + 1;
    char *text = malloc(len);
    memset(text, '@', len);
    cr_assert_eq(jitvm_compile("test", text, len, &chunk, &err), JITVM_ERR_LIMIT);
    free(text);
}

Test(lang_error, a_zero_byte_is_not_the_end_of_the_text)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err;
    cr_assert_eq(jitvm_compile("test", "let a\0 = 1", 10, &chunk, &err), JITVM_ERR_SYNTAX);
    cr_assert_eq(err.column, 6);
}

Test(lang_error, an_assignment_does_not_begin_a_line)
{
    static const char *const statement =
        "expected a statement (an operator that continues a line stands at the end of the line "
        "before), found '%s'";
    static const char *const operators[] = {"=", "+=", "++", "<<="};
    char text[64], message[160];
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        (void)snprintf(text, sizeof text, "let x = 1\nx\n%s 5", operators[i]);
        (void)snprintf(message, sizeof message, statement, operators[i]);
        expect_error(text, 3, 1, message);
    }
    expect_error("let x\n= 5", 2, 1,
                 "expected a statement (an operator that continues a line stands at the end of the "
                 "line before), found '='");
    expect_error("for i in 0\n..5 { }", 2, 1, "expected '{' after what the loop walks, found '..'");
}
