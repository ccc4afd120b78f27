/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every op of chunk/op.def, by hand: what it gives for operands that matter. Each row is run in
 * every tier, several times, and the last test sees to it that no op is without a row.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/jitvm/run_rig.h"

/* `args` pushes `count` operands, with which function f is called, whose slots they are; it has
 * eight. `want` is the result as .jv writes it, or "status: message". */
struct row {
    const char *args;
    unsigned count;
    const char *body;
    const char *want;
};

#define I(i)   "Int " #i "\n"
#define F(f)   "Float " #f "\n"
#define S(s)   "Const \"" s "\"\n"
#define U      "Undef\n"
#define YES    "True\n"
#define NO     "False\n"
#define MIN    "Int -9223372036854775808\n"
#define MAX    "Int 9223372036854775807\n"
#define BIG    "Int 9007199254740993\n" /* 2^53 + 1 */
#define PAIR   "Int 5\nInt 6\nMakeArray 2\n"
#define EMPTY  "MakeArray 0\n"
#define TABLE  "Const \"a\"\nInt 1\nConst \"b\"\nInt 2\nMakeHash 2\n"
#define NESTED "Int 1\nInt 2\nInt 3\nMakeArray 2\nMakeArray 2\n" /* [1, [2, 3]] */
#define ITSELF "Func f\n"
#define BINARY(op, x, y, want)                                                                     \
    {                                                                                              \
        x y, 2, "GetSlot 0\nGetSlot 1\n" #op "\nReturnValue\n", want                               \
    }
#define UNARY(op, x, want)                                                                         \
    {                                                                                              \
        x, 1, "GetSlot 0\n" #op "\nReturnValue\n", want                                            \
    }

/* ---- rows ------------------------------------------------------------------------------------ */

static const struct row pushing[] = {
    {"", 0, "Undef\nReturnValue\n", "undef"},
    {"", 0, "True\nReturnValue\n", "true"},
    {"", 0, "False\nReturnValue\n", "false"},
    {"", 0, MIN "ReturnValue\n", "-9223372036854775808"},
    {"", 0, F(2.5) "ReturnValue\n", "2.5"},
    {"", 0, F(-0.0) "ReturnValue\n", "-0.0"},
    {"", 0, F(3) "ReturnValue\n", "3.0"},
    {"", 0, S("a\\x00b") "ReturnValue\n", "'a\\x00b'"},
    {"", 0, "Const 7\nReturnValue\n", "7"},
    {"", 0, "Const 7.0\nReturnValue\n", "7.0"},
    {"", 0, "Func f\nCallBuiltin type, 1\nReturnValue\n", "'function'"},
    {"", 0, "Return\n", "undef"},
    {"", 0, I(1) "Return\n", "undef"},
    {"", 0, "Nop\nLine 7\nInt 4\nNop\nReturnValue\n", "4"},
};

static const struct row stack[] = {
    {I(1) I(2), 2, "GetSlot 0\nGetSlot 1\nPop\nReturnValue\n", "1"},
    {I(1), 1, "GetSlot 0\nDup\nAdd\nReturnValue\n", "2"},
    {I(1) I(2), 2, "GetSlot 0\nGetSlot 1\nDup2\nMakeArray 4\nReturnValue\n", "[1, 2, 1, 2]"},
    {I(1) I(2), 2, "GetSlot 0\nGetSlot 1\nSwap\nMakeArray 2\nReturnValue\n", "[2, 1]"},
    {I(1) I(2) I(3), 3, "GetSlot 0\nGetSlot 1\nGetSlot 2\nRot\nMakeArray 3\nReturnValue\n",
     "[2, 3, 1]"},
    {S("x") S("y"), 2, "TakeSlot 0\nTakeSlot 1\nSwap\nDup2\nRot\nMakeArray 4\nReturnValue\n",
     "['y', 'y', 'x', 'x']"},
    {PAIR, 1, "TakeSlot 0\nDup\nDup\nMakeArray 3\nReturnValue\n", "[[5, 6], [5, 6], [5, 6]]"},
};

static const struct row slots[] = {
    {I(1), 1, "GetSlot 3\nReturnValue\n", "undef"},
    {I(1), 1, "GetSlot 0\nSetSlot 1\nGetSlot 0\nGetSlot 1\nMakeArray 2\nReturnValue\n", "[1, 1]"},
    {PAIR, 1, "TakeSlot 0\nGetSlot 0\nMakeArray 2\nReturnValue\n", "[[5, 6], undef]"},
    {I(4), 1, "TakeSlot 0\nGetSlot 0\nMakeArray 2\nReturnValue\n", "[4, undef]"},
    {I(4), 1, "TakeSlot 0\nSetSlot 0\nGetSlot 0\nReturnValue\n", "4"},
    {S("x"), 1, "TakeSlot 0\nSetSlot 0\nGetSlot 0\nReturnValue\n", "'x'"},
    {I(4), 1, "GetSlot 0\nSetSlot 0\nGetSlot 0\nReturnValue\n", "4"},
    {I(1) I(2), 2,
     "GetSlot 0\nGetSlot 1\nSetSlot 0\nSetSlot 1\nGetSlot 0\nGetSlot 1\nMakeArray 2\nReturnValue\n",
     "[2, 1]"},
    {I(1), 1, "GetSlot 0\nInt 9\nSetSlot 0\nGetSlot 0\nMakeArray 2\nReturnValue\n", "[1, 9]"},
    {"", 0, "Undef\nSetGlobal g\nGetGlobal g\nReturnValue\n", "undef"},
    {PAIR, 1,
     "TakeSlot 0\nSetGlobal g\nGetGlobal g\nInt 1\nSetGlobal g\nGetGlobal g\n"
     "MakeArray 2\nReturnValue\n",
     "[[5, 6], 1]"},
};

static const struct row arithmetic[] = {
    BINARY(Add, I(2), I(3), "5"),
    BINARY(Add, MAX, I(1), "-9223372036854775808"),
    BINARY(Add, I(1), F(0.5), "1.5"),
    BINARY(Add, S("12"), YES, "13"),
    BINARY(Add, S("1.5"), S(" 2 "), "3.5"),
    BINARY(Add, U, PAIR, "2"),
    BINARY(Add, S("x"), ITSELF, "0"),
    BINARY(Add, F(inf), F(-inf), "nan"),
    BINARY(Sub, MIN, I(1), "9223372036854775807"),
    BINARY(Sub, F(-0.0), I(0), "-0.0"),
    BINARY(Sub, I(2), F(0.5), "1.5"),
    BINARY(Mul, MIN, I(-1), "-9223372036854775808"),
    BINARY(Mul, I(3), S("0.5"), "1.5"),
    BINARY(Mul, F(inf), I(0), "nan"),
    BINARY(Div, I(7), I(2), "3.5"),
    BINARY(Div, I(6), I(2), "3.0"),
    BINARY(Div, I(6), I(0), "undef"),
    BINARY(Div, I(6), F(0.0), "undef"),
    BINARY(Div, I(6), F(-0.0), "undef"),
    BINARY(Div, I(6), S("abc"), "undef"),
    BINARY(Div, MIN, I(-1), "9.223372036854776e+18"),
    BINARY(IntDiv, I(-7), I(2), "-3"),
    BINARY(IntDiv, I(7), I(0), "undef"),
    BINARY(IntDiv, MIN, I(-1), "-9223372036854775808"),
    BINARY(IntDiv, F(7.9), F(2.9), "3"),
    BINARY(IntDiv, I(7), F(0.9), "undef"),
    BINARY(Mod, I(-7), I(3), "-1"),
    BINARY(Mod, I(7), I(-3), "1"),
    BINARY(Mod, I(7), I(0), "0"),
    BINARY(Mod, MIN, I(-1), "0"),
    BINARY(Mod, F(7.5), I(2), "1.5"),
    BINARY(Mod, F(7.5), I(0), "nan"),
    BINARY(Mod, I(7), F(inf), "7.0"),
    BINARY(Pow, I(2), I(10), "1024.0"),
    BINARY(Pow, I(2), I(-1), "0.5"),
    BINARY(Pow, I(0), I(0), "1.0"),
    BINARY(Pow, I(0), I(-1), "inf"),
    BINARY(Pow, F(-8.0), F(0.5), "nan"),
    UNARY(Neg, I(5), "-5"),
    UNARY(Neg, MIN, "-9223372036854775808"),
    UNARY(Neg, F(0.0), "-0.0"),
    UNARY(Neg, I(0), "0"),
    UNARY(Neg, S("2.5"), "-2.5"),
    UNARY(Neg, F(nan), "nan"),
    UNARY(Inc, MAX, "-9223372036854775808"),
    UNARY(Inc, F(1.5), "2.5"),
    UNARY(Inc, U, "1"),
    UNARY(Dec, MIN, "9223372036854775807"),
    UNARY(Dec, S("5"), "4"),
    BINARY(BitAnd, I(12), I(10), "8"),
    BINARY(BitAnd, F(12.9), S("10"), "8"),
    BINARY(BitOr, I(12), I(10), "14"),
    BINARY(BitXor, I(12), I(10), "6"),
    BINARY(BitXor, F(nan), I(-1), "-1"),
    UNARY(BitNot, I(0), "-1"),
    UNARY(BitNot, S("x"), "-1"),
    BINARY(Shl, I(1), I(63), "-9223372036854775808"),
    BINARY(Shl, I(1), I(64), "1"),
    BINARY(Shl, I(1), I(-1), "-9223372036854775808"),
    BINARY(Shr, I(-8), I(1), "-4"),
    BINARY(Shr, I(-8), I(65), "-4"),
    UNARY(ToInt, F(2.9), "2"),
    UNARY(ToInt, F(-2.9), "-2"),
    UNARY(ToInt, F(1e300), "9223372036854775807"),
    UNARY(ToInt, F(-inf), "-9223372036854775808"),
    UNARY(ToInt, F(nan), "0"),
    UNARY(ToInt, PAIR, "2"),
    UNARY(ToInt, S("12x"), "0"),
    UNARY(ToFloat, BIG, "9007199254740992.0"),
    UNARY(ToFloat, S("inf"), "inf"),
    UNARY(ToFloat, PAIR, "0.0"),
    UNARY(ToFloat, YES, "1.0"),
    UNARY(ToStr, F(0.1), "'0.1'"),
    UNARY(ToStr, PAIR, "'5 6'"),
    UNARY(ToStr, NO, "''"),
    UNARY(ToStr, TABLE, "'(hash)'"),
};

static const struct row comparing[] = {
    BINARY(Eq, I(1), F(1.0), "true"),
    BINARY(Eq, BIG, F(9007199254740992.0), "false"),
    BINARY(Eq, F(nan), F(nan), "false"),
    BINARY(Eq, F(0.0), F(-0.0), "true"),
    BINARY(Eq, S("1.0"), I(1), "true"),
    BINARY(Eq, U, NO, "true"),
    BINARY(Ne, F(nan), F(nan), "true"),
    BINARY(Ne, I(1), I(1), "false"),
    BINARY(Lt, I(-1), I(0), "true"),
    BINARY(Lt, F(9007199254740992.0), BIG, "true"),
    BINARY(Lt, F(nan), I(0), "false"),
    BINARY(Lt, MAX, F(9223372036854775808.0), "true"),
    BINARY(Le, I(1), I(1), "true"),
    BINARY(Le, F(nan), F(nan), "false"),
    BINARY(Gt, I(2), F(1.5), "true"),
    BINARY(Gt, F(nan), I(0), "false"),
    BINARY(Ge, S("2"), I(2), "true"),
    BINARY(Ge, F(nan), F(nan), "false"),
    BINARY(Cmp, I(1), I(2), "-1"),
    BINARY(Cmp, F(-0.0), I(0), "0"),
    BINARY(Cmp, F(2.0), I(1), "1"),
    BINARY(Cmp, F(nan), I(1), "undef"),
    BINARY(StrEq, I(1), S("1"), "true"),
    BINARY(StrEq, F(1.0), S("1"), "false"),
    BINARY(StrNe, U, S(""), "false"),
    BINARY(StrLt, I(10), I(9), "true"),
    BINARY(StrLe, S("a"), S("a"), "true"),
    BINARY(StrGt, S("b"), S("a"), "true"),
    BINARY(StrGt, S("a"), S("ab"), "false"),
    BINARY(StrGe, PAIR, S("5 6"), "true"),
    BINARY(StrCmp, S("a"), S("b"), "-1"),
    BINARY(StrCmp, S("b"), S("a"), "1"),
    BINARY(StrCmp, TABLE, S("(hash)"), "0"),
    UNARY(Not, U, "true"),
    UNARY(Not, S("0"), "true"),
    UNARY(Not, S("0.0"), "false"),
    UNARY(Not, F(nan), "false"),
    UNARY(Not, F(-0.0), "true"),
    UNARY(Not, EMPTY, "true"),
    UNARY(Not, ITSELF, "false"),
};

static const struct row containers[] = {
    BINARY(Concat, S("a"), S("b"), "'ab'"),
    BINARY(Concat, I(1), F(2.5), "'12.5'"),
    BINARY(Concat, PAIR, U, "'5 6'"),
    {S("ab"), 1, "GetSlot 0\nGetSlot 0\nConcat\nSetSlot 0\nGetSlot 0\nReturnValue\n", "'abab'"},
    UNARY(Len, S("h\\xc3\\xa4"), "3"),
    UNARY(Len, PAIR, "2"),
    UNARY(Len, TABLE, "2"),
    UNARY(Len, I(123), "0"),
    {"", 0, "MakeArray 0\nReturnValue\n", "[]"},
    {I(1) S("x"), 2, "GetSlot 0\nGetSlot 1\nMakeArray 2\nReturnValue\n", "[1, 'x']"},
    {"", 0, "MakeHash 0\nReturnValue\n", "{}"},
    {I(1) S("x"), 2, "GetSlot 1\nGetSlot 0\nInt 3\nInt 4\nInt 3\nInt 5\nMakeHash 3\nReturnValue\n",
     "{'x': 1, 3: 5}"},
    BINARY(GetIndex, PAIR, I(1), "6"),
    BINARY(GetIndex, PAIR, I(-1), "6"),
    BINARY(GetIndex, PAIR, I(2), "undef"),
    BINARY(GetIndex, TABLE, S("b"), "2"),
    BINARY(GetIndex, S("abc"), I(1), "'b'"),
    BINARY(GetIndex, U, I(1), "undef"),
    BINARY(GetIndex, I(5), I(0), "type: cannot read an element of int"),
    BINARY(Range, I(2), I(5), "[2, 3, 4, 5]"),
    BINARY(Range, I(5), I(2), "[]"),
    BINARY(Range, S("1"), F(2.9), "[1, 2]"),
    {I(9) I(2) I(-3), 3, "GetSlot 0\nGetSlot 1\nGetSlot 2\nRangeStep\nReturnValue\n", "[9, 6, 3]"},
    {I(9) I(2) I(0), 3, "GetSlot 0\nGetSlot 1\nGetSlot 2\nRangeStep\nReturnValue\n", "[]"},
    {MAX I(3), 2, "GetSlot 0\nGetSlot 0\nGetSlot 1\nRangeStep\nReturnValue\n",
     "[9223372036854775807]"},
};

static const struct row places[] = {
    {NESTED, 1, "Int 1\nInt 0\nGetPath slot 0, 2\nReturnValue\n", "2"},
    {NESTED, 1, "GetPath slot 0, 0\nReturnValue\n", "[1, [2, 3]]"},
    {NESTED, 1, "Int 0\nInt 0\nGetPath slot 0, 2\nReturnValue\n",
     "type: cannot read an element of what is at that place"},
    {NESTED, 1, "Int 1\nInt 0\nInt 9\nSetPath slot 0, 2\nGetSlot 0\nReturnValue\n", "[1, [9, 3]]"},
    {"", 0, "Const \"k\"\nInt 1\nInt 9\nSetPath slot 0, 2\nGetSlot 0\nReturnValue\n",
     "{'k': [undef, 9]}"},
    {"", 0, "GetSlot 0\nInt 1\nSetPath slot 0, 1\nGetSlot 0\nReturnValue\n", "{'': 1}"},
    {PAIR, 1, "Int 0\nGetSlot 0\nSetPath slot 0, 1\nGetSlot 0\nReturnValue\n", "[[5, 6], 6]"},
    {I(5), 1, "Int 0\nInt 1\nSetPath slot 0, 1\nReturn\n", "type: cannot set an element of int"},
    {PAIR, 1, "Int -3\nInt 1\nSetPath slot 0, 1\nReturn\n",
     "value: cannot set an element of array: the index is out of range"},
    {PAIR, 1, "Int 7\nPushPath slot 0, 0\nGetSlot 0\nReturnValue\n", "[5, 6, 7]"},
    {U, 1, "Const \"k\"\nInt 7\nPushPath slot 0, 1\nGetSlot 0\nReturnValue\n", "{'k': [7]}"},
    {TABLE, 1, "Int 7\nPushPath slot 0, 0\nReturn\n", "type: cannot push to what is at that place"},
    {PAIR, 1, "PopPath slot 0, 0\nGetSlot 0\nMakeArray 2\nReturnValue\n", "[6, [5]]"},
    {EMPTY, 1, "PopPath slot 0, 0\nReturnValue\n", "undef"},
    {NESTED, 1, "Int 1\nShiftPath slot 0, 1\nGetSlot 0\nMakeArray 2\nReturnValue\n",
     "[2, [1, [3]]]"},
    {TABLE, 1, "Const \"a\"\nDeletePath slot 0, 1\nGetSlot 0\nMakeArray 2\nReturnValue\n",
     "[1, {'b': 2}]"},
    {TABLE, 1,
     "Const \"a\"\nExistsPath slot 0, 1\nConst \"c\"\nExistsPath slot 0, 1\n"
     "MakeArray 2\nReturnValue\n",
     "[true, false]"},
    {TABLE, 1, "KeysPath slot 0, 0\nReturnValue\n", "['a', 'b']"},
    {PAIR, 1, "KeysPath slot 0, 0\nReturnValue\n", "[0, 1]"},
    {TABLE, 1, "ValuesPath slot 0, 0\nReturnValue\n", "[1, 2]"},
    {U, 1, "ValuesPath slot 0, 0\nReturnValue\n", "[]"},
    {NESTED, 1, "Int 1\nLenPath slot 0, 1\nLenPath slot 0, 0\nMakeArray 2\nReturnValue\n",
     "[2, 2]"},
    {NESTED, 1,
     "TakeSlot 0\nSetGlobal g\nInt 1\nInt 0\nConst \"z\"\nSetPath global g, 2\n"
     "Int 8\nPushPath global g, 0\nInt 0\nGetPath global g, 1\nPopPath global g, 0\n"
     "GetGlobal g\nMakeArray 3\nReturnValue\n",
     "[1, 8, [1, ['z', 3]]]"},
    {PAIR, 1,
     "GetSlot 0\nSetSlot 1\nInt 0\nInt 9\nSetPath slot 1, 1\nGetSlot 0\nGetSlot 1\n"
     "MakeArray 2\nReturnValue\n",
     "[[5, 6], [9, 6]]"},
};

#define TAKEN "Int 1\nReturnValue\nL: Int 2\nReturnValue\n"
#define KEPT  "Int 7\nMakeArray 2\nReturnValue\nL: Int 8\nMakeArray 2\nReturnValue\n"
static const struct row control[] = {
    {"", 0, "Jump L\n" TAKEN, "2"},
    {I(0), 1, "GetSlot 0\nJumpIfTrue L\n" TAKEN, "1"},
    {S("0.0"), 1, "GetSlot 0\nJumpIfTrue L\n" TAKEN, "2"},
    {U, 1, "GetSlot 0\nJumpIfFalse L\n" TAKEN, "2"},
    {F(nan), 1, "GetSlot 0\nJumpIfFalse L\n" TAKEN, "1"},
    {S("x"), 1, "GetSlot 0\nJumpIfTrueKeep L\n" KEPT, "['x', 8]"},
    {EMPTY, 1, "GetSlot 0\nJumpIfTrueKeep L\n" KEPT, "[[], 7]"},
    {EMPTY, 1, "TakeSlot 0\nJumpIfFalseKeep L\n" KEPT, "[[], 8]"},
    {I(3), 1, "GetSlot 0\nJumpIfFalseKeep L\n" KEPT, "[3, 7]"},
    {I(3), 1, "GetSlot 0\nCall half, 1\nReturnValue\n", "1.5"},
    {I(3), 1, "Func half\nGetSlot 0\nCallDynamic 1\nReturnValue\n", "1.5"},
    {I(3), 1, "Func half\nCallDynamic 0\nReturnValue\n", "arity: half does not take 0 arguments"},
    {I(3), 1, "GetSlot 0\nCallDynamic 0\nReturnValue\n", "type: cannot call int"},
    {S("x"), 1, "GetSlot 0\nGetSlot 0\nCallDynamic 1\nReturnValue\n", "type: cannot call str"},
    {I(3), 1, "GetSlot 0\nCallBuiltin type, 1\nReturnValue\n", "'int'"},
    {I(3), 1, "GetSlot 0\nInt 4\nExtended sum, 200\nReturnValue\n", "207"},
    {I(3), 1, "GetSlot 0\nInt 4\nExtendedWide sum, 9223372036854775807\nReturnValue\n",
     "-9223372036854775802"},
    {I(3), 1, "GetSlot 0\nExtended drop, 0\nGetSlot 0\nReturnValue\n", "3"},
    {S("x"), 1, "GetSlot 0\nExtended drop, 1\nGetSlot 0\nReturnValue\n", "host: no drop"},
};

static const struct row fused[] = {
    {I(3), 1, "PreIncSlot 0\nGetSlot 0\nMakeArray 2\nReturnValue\n", "[4, 4]"},
    {MAX, 1, "PreIncSlot 0\nReturnValue\n", "-9223372036854775808"},
    {F(1.5), 1, "PreIncSlot 0\nReturnValue\n", "2.5"},
    {I(3), 1, "PreIncSlotVoid 0\nGetSlot 0\nReturnValue\n", "4"},
    {MAX, 1, "PreIncSlotVoid 0\nGetSlot 0\nReturnValue\n", "-9223372036854775808"},
    {I(3), 1, "PreDecSlot 0\nGetSlot 0\nMakeArray 2\nReturnValue\n", "[2, 2]"},
    {I(3), 1, "PostIncSlot 0\nGetSlot 0\nMakeArray 2\nReturnValue\n", "[3, 4]"},
    {S("3"), 1, "PostIncSlot 0\nGetSlot 0\nMakeArray 2\nReturnValue\n", "['3', 4]"},
    {MIN, 1, "PostDecSlot 0\nGetSlot 0\nMakeArray 2\nReturnValue\n",
     "[-9223372036854775808, 9223372036854775807]"},
    {I(3) F(0.5), 2, "AddAssignSlotVoid 0, 1\nGetSlot 0\nReturnValue\n", "3.5"},
    {I(3), 1, "AddAssignSlotVoid 0, 0\nGetSlot 0\nReturnValue\n", "6"},
    {I(3), 1, "SlotLtIntJumpIfFalse 0, 3, L\n" TAKEN, "2"},
    {I(2), 1, "SlotLtIntJumpIfFalse 0, 3, L\n" TAKEN, "1"},
    {F(nan), 1, "SlotLtIntJumpIfFalse 0, 3, L\n" TAKEN, "2"},
    {I(0) I(0), 2,
     "L: PreIncSlotVoid 1\nSlotIncLtIntJumpBack 0, 5, L\nGetSlot 0\nGetSlot 1\n"
     "MakeArray 2\nReturnValue\n",
     "[5, 5]"},
    {F(0.5) I(0), 2,
     "L: PreIncSlotVoid 1\nSlotIncLtIntJumpBack 0, 5, L\nGetSlot 0\nGetSlot 1\n"
     "MakeArray 2\nReturnValue\n",
     "[5.5, 5]"},
    {I(0) I(0), 2, "AccumSumLoop 0, 1, 101\nGetSlot 0\nGetSlot 1\nMakeArray 2\nReturnValue\n",
     "[5050, 101]"},
    {F(0.5) I(9), 2, "AccumSumLoop 0, 1, 11\nGetSlot 0\nGetSlot 1\nMakeArray 2\nReturnValue\n",
     "[19.5, 11]"},
    {I(7) I(12), 2, "AccumSumLoop 0, 1, 11\nGetSlot 0\nGetSlot 1\nMakeArray 2\nReturnValue\n",
     "[7, 12]"},
    {MAX I(-3), 2, "AccumSumLoop 0, 1, 6\nGetSlot 0\nReturnValue\n", "-9223372036854775800"},
    {S("a") I(0), 2,
     "ConcatConstLoop 0, 1, 3, \"xy\"\nGetSlot 0\nGetSlot 1\nMakeArray 2\nReturnValue\n",
     "['axyxyxy', 3]"},
    {U F(1.5), 2, "ConcatConstLoop 0, 1, 3, \"xy\"\nGetSlot 0\nReturnValue\n", "'xyxy'"},
    {EMPTY I(2), 2, "PushIntRangeLoop 0, 1, 5\nGetSlot 0\nGetSlot 1\nMakeArray 2\nReturnValue\n",
     "[[2, 3, 4], 5]"},
    {I(1) I(2), 2, "PushIntRangeLoop 0, 1, 5\nReturn\n", "type: cannot push to int"},
};

/* Of a chunk in which overflow is an error. */
static const struct row trapping[] = {
    BINARY(Add, MAX, I(1), "overflow: integer overflow"),
    BINARY(Add, F(1e300), I(1), "1e+300"),
    BINARY(Sub, MIN, I(1), "overflow: integer overflow"),
    BINARY(Sub, MIN, I(-1), "-9223372036854775807"),
    BINARY(Mul, MIN, I(-1), "overflow: integer overflow"),
    BINARY(Mul, MAX, S("2"), "overflow: integer overflow"),
    BINARY(IntDiv, MIN, I(-1), "-9223372036854775808"),
    BINARY(Shl, I(1), I(63), "-9223372036854775808"),
    UNARY(Neg, MIN, "overflow: integer overflow"),
    UNARY(Inc, MAX, "overflow: integer overflow"),
    UNARY(Dec, MIN, "overflow: integer overflow"),
    {MAX, 1, "PreIncSlot 0\nReturnValue\n", "overflow: integer overflow"},
    {MAX, 1, "PreIncSlotVoid 0\nReturn\n", "overflow: integer overflow"},
    {MAX, 1, "PostIncSlot 0\nReturnValue\n", "overflow: integer overflow"},
    {MIN, 1, "PreDecSlot 0\nReturnValue\n", "overflow: integer overflow"},
    {MIN, 1, "PostDecSlot 0\nReturnValue\n", "overflow: integer overflow"},
    {MAX I(1), 2, "AddAssignSlotVoid 0, 1\nReturn\n", "overflow: integer overflow"},
    {MAX, 1, "L: SlotIncLtIntJumpBack 0, 5, L\nReturn\n", "overflow: integer overflow"},
    {I(0), 1, "L: SlotIncLtIntJumpBack 0, 5, L\nGetSlot 0\nReturnValue\n", "5"},
    {MAX I(-1), 2, "AccumSumLoop 0, 1, 5\nReturn\n", "overflow: integer overflow"},
    {I(0) I(-1), 2, "AccumSumLoop 0, 1, 5\nGetSlot 0\nReturnValue\n", "9"},
};

/* ---- running them ---------------------------------------------------------------------------- */

static int sum(struct jitvm *vm, void *context, uint64_t arg, const struct jitvm_value *args,
               struct jitvm_value *out)
{
    (void)vm;
    (void)context;
    *out = jitvm_int((int64_t)(arg + (uint64_t)args[0].as.i + (uint64_t)args[1].as.i));
    return 0;
}

static int drop(struct jitvm *vm, void *context, uint64_t arg, const struct jitvm_value *args,
                struct jitvm_value *out)
{
    (void)context;
    (void)args;
    (void)out;
    return arg ? jitvm_raise(vm, JITVM_ERR_HOST, "no drop") : 0;
}

static int with_extensions(struct jitvm *vm)
{
    const struct jitvm_extension extensions[] = {{"sum", sum, NULL, 2, 1},
                                                 {"drop", drop, NULL, 1, 0}};
    int rc = jitvm_register_extension(vm, &extensions[0], NULL);
    return rc < 0 ? rc : jitvm_register_extension(vm, &extensions[1], NULL);
}

static struct jitvm_chunk *chunk_of_row(const struct row *row, const char *flags)
{
    char text[1200];
    (void)snprintf(text, sizeof text,
                   "%s.extension sum, 2, 1\n.extension drop, 1, 0\n.main 0\n%sCall f, %u\n"
                   "ReturnValue\n.function half, 1, 1\nGetSlot 0\nInt 2\nDiv\nReturnValue\n"
                   ".function f, %u, 8\n%s",
                   flags, row->args, row->count, row->count, row->body);
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err = {0};
    cr_assert_eq(jitvm_assemble("test", text, strlen(text), &chunk, &err), 0, "line %u: %s\n%s",
                 err.line, err.message, text);
    return chunk;
}

/* The result, or the error, as a row has it, with ' for "; the caller frees it. */
static char *outcome(const struct run_seen *seen)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    cr_assert(to);
    if (seen->rc < 0)
        (void)fprintf(to, "%s: %s", jitvm_status_name(seen->err.status), seen->err.message);
    else
        (void)value_print(to, seen->value);
    (void)fclose(to);
    for (char *c = text; *c; c++)
        if (*c == '"')
            *c = '\'';
    return text;
}

static void run_row(const struct row *row, const char *flags)
{
    struct run_rig rig;
    cr_assert(run_rig_init(&rig, chunk_of_row(row, flags), &run_no_limits, with_extensions), "%s",
              rig.said);
    for (unsigned again = 0; again < 4; again++) {
        cr_assert(run_rig_call(&rig, NULL, NULL, 0), "%s%s: %s", row->args, row->body, rig.said);
        char *got = outcome(&rig.vms[0].seen);
        cr_assert_str_eq(got, row->want, "%s%s: %s, not %s", row->args, row->body, got, row->want);
        free(got);
    }
    for (unsigned tier = 2; tier < RUN_TIERS; tier++)
        cr_assert_gt(run_rig_entries(&rig, tier), 0, "%s: nothing was compiled", row->body);
    run_rig_free(&rig);
}

#define ROWS(sentence, rows, flags)                                                                \
    Test(ops, sentence)                                                                            \
    {                                                                                              \
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)                                    \
            run_row(&rows[i], flags);                                                              \
    }
ROWS(constants_are_pushed, pushing, "")
ROWS(the_stack_is_rearranged, stack, "")
ROWS(slots_and_globals_hold_values, slots, "")
ROWS(numbers_are_computed, arithmetic, "")
ROWS(numbers_and_text_are_compared, comparing, "")
ROWS(strings_and_containers_are_made, containers, "")
ROWS(containers_are_changed_in_place, places, "")
ROWS(control_goes_where_it_should, control, "")
ROWS(fused_ops_do_what_theirs_do, fused, "")
ROWS(overflow_is_an_error_where_the_chunk_says_so, trapping, ".flags trap-overflow\n")

/* ---- all of them ----------------------------------------------------------------------------- */

static void mark(const struct row *rows, size_t count, bool *seen)
{
    for (size_t i = 0; i < count; i++) {
        struct jitvm_chunk *chunk = chunk_of_row(&rows[i], "");
        for (uint32_t ip = chunk->functions[2].first; ip < chunk->op_count; ip++)
            seen[chunk->ops[ip].code] = true;
        jitvm_chunk_unref(chunk);
    }
}
#define MARK(rows) mark(rows, sizeof rows / sizeof *rows, seen)

Test(ops, none_is_without_a_row)
{
    bool seen[OP_COUNT] = {0};
    MARK(pushing);
    MARK(stack);
    MARK(slots);
    MARK(arithmetic);
    MARK(comparing);
    MARK(containers);
    MARK(places);
    MARK(control);
    MARK(fused);
    for (unsigned op = 0; op < OP_COUNT; op++)
        cr_expect(seen[op], "%s", op_name(op));
}
