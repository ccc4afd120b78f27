/* SPDX-License-Identifier: Apache-2.0 */
/* What ops the constructs of the language become. */
#include <criterion/criterion.h>

#include "tests/jitvm/test_lang.h"

Test(lang_ops, literals)
{
    expect_ops("return 1_000", "main", "Int 1000; ReturnValue");
    expect_ops("return 0xff", "main", "Int 255; ReturnValue");
    expect_ops("return 0b1_01", "main", "Int 5; ReturnValue");
    expect_ops("return 0xffffffffffffffff", "main", "Int -1; ReturnValue");
    expect_ops("return -9223372036854775808", "main", "Int -9223372036854775808; ReturnValue");
    expect_ops("return 1.5e3", "main", "Float 1500; ReturnValue");
    expect_ops("return 2e-1", "main", "Float 0.2; ReturnValue");
    expect_ops("return 'a\\n'", "main", "Const 'a\\n'; ReturnValue");
    expect_ops("return \"\\x41\\u{e9}\\\"\\t\"", "main", "Const 'A\xc3\xa9\"\t'; ReturnValue");
    expect_ops("return true", "main", "True; ReturnValue");
    expect_ops("return false", "main", "False; ReturnValue");
    expect_ops("return undef", "main", "Undef; ReturnValue");
    expect_ops("return [1, 'a',]", "main", "Int 1; Const 'a'; MakeArray 2; ReturnValue");
    expect_ops("return {a: 1, 'b c': 2, (3): 4}", "main",
               "Const 'a'; Int 1; Const 'b c'; Int 2; Int 3; Int 4; MakeHash 3; ReturnValue");
    expect_ops("let n = 3; return [1..n]", "main",
               "Int 3; SetSlot 0; Int 1; GetSlot 0; ToInt; Dec; Range; ReturnValue");
    expect_ops("return [1..=9 step 2]", "main", "Int 1; Int 9; Int 2; RangeStep; ReturnValue");
}

Test(lang_ops, an_empty_text_is_a_program)
{
    expect_ops("", "main", "Return");
    expect_ops("# nothing\n;;", "main", "Return");
}

/* Of three unknowns a, b, c in slots 0, 1, 2. */
static void expect_tree(const char *expression, const char *ops)
{
    char text[200], all[400];
    (void)snprintf(text, sizeof text, "fn f(a, b, c) { return %s }", expression);
    (void)snprintf(all, sizeof all, "%s; ReturnValue", ops);
    expect_ops(text, "f", all);
}

Test(lang_ops, stronger_operators_are_done_first)
{
    expect_tree("a + b * c", "GetSlot 0; GetSlot 1; GetSlot 2; Mul; Add");
    expect_tree("a * b + c", "GetSlot 0; GetSlot 1; Mul; GetSlot 2; Add");
    expect_tree("(a + b) * c", "GetSlot 0; GetSlot 1; Add; GetSlot 2; Mul");
    expect_tree("a - b - c", "GetSlot 0; GetSlot 1; Sub; GetSlot 2; Sub");
    expect_tree("a << b + c", "GetSlot 0; GetSlot 1; GetSlot 2; Add; Shl");
    expect_tree("a & b >> c", "GetSlot 0; GetSlot 1; GetSlot 2; Shr; BitAnd");
    expect_tree("a | b & c", "GetSlot 0; GetSlot 1; BitOr; GetSlot 2; BitAnd");
    expect_tree("a ~ b ^ c", "GetSlot 0; GetSlot 1; GetSlot 2; BitXor; Concat");
    expect_tree("a == b ~ c", "GetSlot 0; GetSlot 1; GetSlot 2; Concat; Eq");
    expect_tree("a // b % c", "GetSlot 0; GetSlot 1; IntDiv; GetSlot 2; Mod");
    expect_tree("a / b", "GetSlot 0; GetSlot 1; Div");
    expect_tree("-a ** b", "GetSlot 0; GetSlot 1; Pow; Neg");
    expect_tree("a ** -b ** c", "GetSlot 0; GetSlot 1; GetSlot 2; Pow; Neg; Pow");
    expect_tree("!a == ^b", "GetSlot 0; Not; GetSlot 1; BitNot; Eq");
    expect_tree("-a[b]", "GetSlot 1; GetPath s0/1; Neg");
}

Test(lang_ops, comparisons_are_of_numbers_or_of_text)
{
    expect_tree("a != b", "GetSlot 0; GetSlot 1; Ne");
    expect_tree("a < b", "GetSlot 0; GetSlot 1; Lt");
    expect_tree("a <= b", "GetSlot 0; GetSlot 1; Le");
    expect_tree("a > b", "GetSlot 0; GetSlot 1; Gt");
    expect_tree("a >= b", "GetSlot 0; GetSlot 1; Ge");
    expect_tree("a <=> b", "GetSlot 0; GetSlot 1; Cmp");
    expect_tree("a eq b", "GetSlot 0; GetSlot 1; StrEq");
    expect_tree("a ne b", "GetSlot 0; GetSlot 1; StrNe");
    expect_tree("a lt b", "GetSlot 0; GetSlot 1; StrLt");
    expect_tree("a le b", "GetSlot 0; GetSlot 1; StrLe");
    expect_tree("a gt b", "GetSlot 0; GetSlot 1; StrGt");
    expect_tree("a ge b", "GetSlot 0; GetSlot 1; StrGe");
    expect_tree("a cmp b", "GetSlot 0; GetSlot 1; StrCmp");
}

Test(lang_ops, literals_are_computed_where_every_tier_agrees)
{
    expect_tree("2 + 3 * 4", "Int 14");
    expect_tree("9223372036854775807 + 1", "Int -9223372036854775808");
    expect_tree("7 / 2", "Float 3.5");
    expect_tree("-7 // 2", "Int -3");
    expect_tree("-7 % 3", "Int -1");
    expect_tree("7 % 0", "Int 0");
    expect_tree("1 << 65", "Int 2");
    expect_tree("-8 >> 1", "Int -4");
    expect_tree("^0", "Int -1");
    expect_tree("1.5 + 2.0", "Float 3.5");
    expect_tree("'a' ~ 'b' ~ 'c'", "Const 'abc'");
    expect_tree("1 < 2", "True");
    expect_tree("!''", "True");
    expect_tree("2 <=> 1", "Int 1");
}

Test(lang_ops, literals_are_left_where_the_run_decides)
{
    expect_tree("1 / 0", "Int 1; Int 0; Div");
    expect_tree("1 // 0", "Int 1; Int 0; IntDiv");
    expect_tree("2 ** 3", "Int 2; Int 3; Pow");
    expect_tree("7.5 % 2.0", "Float 7.5; Float 2; Mod");
    expect_tree("1 ~ 2", "Int 1; Int 2; Concat");
    expect_tree("1 + 2.5", "Int 1; Float 2.5; Add");
}

Test(lang_ops, logic_gives_the_operand_that_decides)
{
    expect_tree("a && b", "GetSlot 0; JumpIfFalseKeep @4; Pop; GetSlot 1");
    expect_tree("a || b", "GetSlot 0; JumpIfTrueKeep @4; Pop; GetSlot 1");
    expect_tree("1 && a", "GetSlot 0");
    expect_tree("0 && a", "Int 0");
    expect_tree("'' || a", "GetSlot 0");
}

Test(lang_ops, conditions_go_straight_to_jumps)
{
    expect_ops("fn f(a, b) { if a && !b { return 1 } }", "f",
               "GetSlot 0; JumpIfFalse @6; GetSlot 1; JumpIfTrue @6; Int 1; ReturnValue; Return");
    expect_ops("fn f(a, b) { if a || b { return 1 } }", "f",
               "GetSlot 0; JumpIfTrue @4; GetSlot 1; JumpIfFalse @6; Int 1; ReturnValue; Return");
    expect_ops("fn f(a, b) { if !(a || b) { return 1 } }", "f",
               "GetSlot 0; JumpIfTrue @6; GetSlot 1; JumpIfTrue @6; Int 1; ReturnValue; Return");
    expect_ops("fn f(a) { if a { return 1 } else { return 2 } }", "f",
               "GetSlot 0; JumpIfFalse @4; Int 1; ReturnValue; Int 2; ReturnValue");
    expect_ops("fn f(a) { if a < 5 { a = 1 } else if a { a = 2 } else { a = 3 } }", "f",
               "SlotLtIntJumpIfFalse 0 5 @4; Int 1; SetSlot 0; Jump @11; GetSlot 0; "
               "JumpIfFalse @9; Int 2; SetSlot 0; Jump @11; Int 3; SetSlot 0; Return");
}

Test(lang_ops, what_cannot_be_reached_is_left_out)
{
    expect_ops("return 1; print(2)", "main", "Int 1; ReturnValue");
    expect_ops("if false { print(1) } else { return 2 }", "main", "Int 2; ReturnValue");
    expect_ops("while 0 { print(1) }", "main", "Return");
    expect_ops("while true { }", "main", "Jump @0");
    expect_ops("for i in 3..3 { print(i) }", "main", "Int 3; SetSlot 0; Return");
}

Test(lang_ops, while_is_tested_at_its_end)
{
    expect_ops("fn f(a, b) { while a > b { a -= b } }", "f",
               "Jump @5; GetSlot 0; GetSlot 1; Sub; SetSlot 0; GetSlot 0; GetSlot 1; Gt; "
               "JumpIfTrue @1; Return");
    expect_ops("fn f(a) { while true { if a { break } } }", "f",
               "GetSlot 0; JumpIfTrue @3; Jump @0; Return");
    expect_ops("fn f(a) { while a { if a > 3 { continue } a-- } }", "f",
               "Jump @8; GetSlot 0; Int 3; Gt; JumpIfTrue @8; GetSlot 0; Dec; SetSlot 0; "
               "GetSlot 0; JumpIfTrue @1; Return");
}

Test(lang_ops, ranges_keep_counter_and_limit_in_slots)
{
    expect_ops("fn f(n) { for i in 0..n { print(i) } }", "f",
               "Int 0; SetSlot 1; GetSlot 0; ToInt; SetSlot 2; GetSlot 1; GetSlot 2; Lt; "
               "JumpIfFalse @17; GetSlot 1; CallBuiltin print/1; Pop; PreIncSlotVoid 1; GetSlot 1; "
               "GetSlot 2; Lt; JumpIfTrue @9; Return");
    expect_ops("for i in 0..10 { print(i) }", "main",
               "Int 0; SetSlot 0; SlotLtIntJumpIfFalse 0 10 @7; GetSlot 0; CallBuiltin print/1; "
               "Pop; SlotIncLtIntJumpBack 0 10 @3; Return");
    expect_ops("for i in 9..=0 step -3 { print(i) }", "main",
               "Int 9; SetSlot 0; GetSlot 0; Int -1; Gt; JumpIfFalse @17; GetSlot 0; "
               "CallBuiltin print/1; Pop; GetSlot 0; Int 3; Sub; SetSlot 0; GetSlot 0; Int -1; Gt; "
               "JumpIfTrue @6; Return");
}

Test(lang_ops, the_builder_finds_whole_loops)
{
    expect_ops("fn f(s) { for i in 0..1000 { s += i } }", "f",
               "Int 0; SetSlot 1; AccumSumLoop 0 1 1000; Return");
    expect_ops("fn f(s) { let i = 0\n while i < 1000 { s += i; i++ } }", "f",
               "Int 0; SetSlot 1; AccumSumLoop 0 1 1000; Return");
    expect_ops("fn f(a) { for i in 0..1000 { push(a, i) } }", "f",
               "Int 0; SetSlot 1; PushIntRangeLoop 0 1 1000; Return");
}

Test(lang_ops, containers_are_walked_by_their_values)
{
    expect_ops("fn f(c) { for x in c { print(x) } }", "f",
               "ValuesPath s0/0; SetSlot 2; LenPath s2/0; SetSlot 4; Int 0; SetSlot 3; GetSlot 3; "
               "GetSlot 4; Lt; JumpIfFalse @21; GetSlot 3; GetPath s2/1; SetSlot 5; GetSlot 5; "
               "CallBuiltin print/1; Pop; PreIncSlotVoid 3; GetSlot 3; GetSlot 4; Lt; "
               "JumpIfTrue @10; Undef; SetSlot 2; Return");
}

Test(lang_ops, paths_are_read_and_written_without_copies)
{
    expect_ops("fn f(a, i) { return a[i].x['y'] }", "f",
               "GetSlot 1; Const 'x'; Const 'y'; GetPath s0/3; ReturnValue");
    expect_ops("fn f(a, i) { a[i][0] = 5 }", "f", "GetSlot 1; Int 0; Int 5; SetPath s0/2; Return");
    expect_ops("fn f(a, i) { a[i] += 2 }", "f",
               "GetSlot 1; GetSlot 1; GetPath s0/1; Int 2; Add; SetPath s0/1; Return");
    expect_ops("fn g() { }\nfn f(a) { a[g()] ~= 'x' }", "f",
               "Call 1/0; Dup; GetPath s0/1; Const 'x'; Concat; SetPath s0/1; Return");
    expect_ops("fn g() { }\nfn f(a) { a[g()].x -= 1 }", "f",
               "Call 1/0; Const 'x'; Dup2; GetPath s0/2; Dec; SetPath s0/2; Return");
    expect_ops("fn g() { }\nfn f(a) { a[g()].x.y++ }", "f",
               "Call 1/0; SetSlot 1; Const 'x'; SetSlot 2; Const 'y'; SetSlot 3; GetSlot 1; "
               "GetSlot 2; GetSlot 3; GetSlot 1; GetSlot 2; GetSlot 3; GetPath s0/3; Inc; "
               "SetPath s0/3; Return");
    expect_ops("fn f(a) { return [a][0] }", "f",
               "GetSlot 0; MakeArray 1; Int 0; GetIndex; ReturnValue");
}

Test(lang_ops, calls_that_change_containers_are_ops)
{
    expect_ops("fn f(a) { push(a[1], 2) }", "f", "Int 1; Int 2; PushPath s0/1; Return");
    expect_ops("fn f(a) { return push(a, 2) }", "f", "Int 2; PushPath s0/0; Undef; ReturnValue");
    expect_ops("fn f(a) { return pop(a) }", "f", "PopPath s0/0; ReturnValue");
    expect_ops("fn f(a) { shift(a.q) }", "f", "Const 'q'; ShiftPath s0/1; Pop; Return");
    expect_ops("fn f(a) { delete(a.q) }", "f", "Const 'q'; DeletePath s0/1; Pop; Return");
    expect_ops("fn f(a) { return exists(a.q) }", "f", "Const 'q'; ExistsPath s0/1; ReturnValue");
    expect_ops("fn f(a) { return keys(a.q) }", "f", "Const 'q'; KeysPath s0/1; ReturnValue");
    expect_ops("fn f(a) { return values(a) }", "f", "ValuesPath s0/0; ReturnValue");
    expect_ops("fn f(a) { return len(a) }", "f", "LenPath s0/0; ReturnValue");
    expect_ops("return len('abc')", "main", "Const 'abc'; Len; ReturnValue");
    expect_ops("return keys({})", "main", "MakeHash 0; CallBuiltin keys/1; ReturnValue");
    expect_ops("fn f(a) { return int(a) + float(a) ~ str(a) }", "f",
               "GetSlot 0; ToInt; GetSlot 0; ToFloat; Add; GetSlot 0; ToStr; Concat; ReturnValue");
}

Test(lang_ops, a_name_of_ones_own_comes_before_a_builtin)
{
    expect_ops("fn len(x) { return 1 }\nreturn len('abc')", "main",
               "Const 'abc'; Call 1/1; ReturnValue");
    expect_ops("fn f(push) { push(1, 2) }", "f",
               "GetSlot 0; Int 1; Int 2; CallDynamic 2; Pop; Return");
}

Test(lang_ops, variables_of_the_file_are_globals_only_where_functions_use_them)
{
    expect_ops("let a = 1\nlet b = 2\nfn f() { return b }", "main",
               "Int 1; SetSlot 0; Int 2; SetGlobal b; Return");
    expect_ops("fn f() { b[1] += 1 }\nlet b = 2", "f",
               "Int 1; Int 1; GetPath b/1; Inc; SetPath b/1; Return");
    expect_ops("let b = 1\nlet g = fn() { return b }", "main",
               "Int 1; SetGlobal b; Func 1; SetSlot 0; Return");
    expect_ops("let b = 1\nfn f() { let b = 2; return b }", "main", "Int 1; SetSlot 0; Return");
}

Test(lang_ops, functions_are_values)
{
    expect_ops("fn g(x) { }\nlet f = g\nf(1)", "main",
               "Func 1; SetSlot 0; GetSlot 0; Int 1; CallDynamic 1; Pop; Return");
    expect_ops("fn(a) { return a }(3)", "main", "Func 1; Int 3; CallDynamic 1; Pop; Return");
    expect_ops("fn f(h) { return h.go(1)(2) }", "f",
               "Const 'go'; GetPath s0/1; Int 1; CallDynamic 1; Int 2; CallDynamic 1; ReturnValue");
    expect_ops("fn f() { return f() }", "f", "Call 1/0; ReturnValue");
}

Test(lang_ops, take_moves)
{
    expect_ops("fn f(a) { return f(take a) }", "f", "TakeSlot 0; Call 1/1; ReturnValue");
    expect_ops("let a = 1\nfn f() { return take a }", "f",
               "GetGlobal a; Undef; SetGlobal a; ReturnValue");
}

Test(lang_ops, a_let_without_a_value_is_undef_each_time)
{
    expect_ops("fn f(n) { while n { let x } }", "f",
               "Jump @3; Undef; SetSlot 1; GetSlot 0; JumpIfTrue @1; Return");
}

Test(lang_ops, every_assignment_has_its_operator)
{
    expect_ops("fn f(a, b) { a += b }", "f", "AddAssignSlotVoid 0 1; Return");
    expect_ops("fn f(a) { a++ }", "f", "PreIncSlotVoid 0; Return");
    static const struct {
        const char *sign, *op;
    } rows[] = {{"-=", "Sub"},   {"*=", "Mul"},    {"/=", "Div"},    {"//=", "IntDiv"},
                {"%=", "Mod"},   {"**=", "Pow"},   {"~=", "Concat"}, {"&=", "BitAnd"},
                {"|=", "BitOr"}, {"^=", "BitXor"}, {"<<=", "Shl"},   {">>=", "Shr"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[64], ops[80];
        (void)snprintf(text, sizeof text, "fn f(a, b) { a %s b }", rows[i].sign);
        (void)snprintf(ops, sizeof ops, "GetSlot 0; GetSlot 1; %s; SetSlot 0; Return", rows[i].op);
        expect_ops(text, "f", ops);
    }
}

Test(lang_ops, lines_end_statements_except_in_brackets)
{
    expect_ops("let a = (1\n  + 2)\nlet b = a +\n  1", "main",
               "Int 3; SetSlot 0; GetSlot 0; Inc; SetSlot 1; Return");
    expect_ops("let a = []\nlet b = a\n[1]", "main",
               "MakeArray 0; SetSlot 0; GetSlot 0; SetSlot 1; Int 1; MakeArray 1; Pop; Return");
    expect_ops("let a = []\nprint(a\n[1])", "main",
               "MakeArray 0; SetSlot 0; Int 1; GetPath s0/1; CallBuiltin print/1; Pop; Return");
    expect_ops("let f = (fn() {\n return\n 1 })", "fn@1:10", "Return");
}
