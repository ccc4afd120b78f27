/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every op that computes, on operands of every kind, in every form that lowering has for it: the
 * tiers must agree to the bit. A VM is first called with operands of one kind each, which is what
 * code is compiled for, then with these and with all others.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/jitvm/run_rig.h"

/* ---- operands -------------------------------------------------------------------------------- */

enum { A_LITERAL, AN_ARRAY, A_HASH, A_STRING };

static const struct operand {
    int sort;
    struct jitvm_value literal;
    const char *text;
} operands[] = {
    {.literal = {.kind = JITVM_UNDEF}},
    {.literal = {.kind = JITVM_BOOL, .as.i = 1}},
    {.literal = {.kind = JITVM_INT, .as.i = 1}},
    {.literal = {.kind = JITVM_FLOAT, .as.f = 1.5}},
    {A_STRING, .text = "12"},
    {.sort = AN_ARRAY},
    {.sort = A_HASH},
    {.literal = {.kind = JITVM_FUNC, .as.i = 1}},
    /* The first eight are one of each kind. */
    {.literal = {.kind = JITVM_BOOL, .as.i = 0}},
    {.literal = {.kind = JITVM_INT, .as.i = 0}},
    {.literal = {.kind = JITVM_INT, .as.i = -1}},
    {.literal = {.kind = JITVM_INT, .as.i = 7}},
    {.literal = {.kind = JITVM_INT, .as.i = 64}},
    {.literal = {.kind = JITVM_INT, .as.i = INT64_MIN}},
    {.literal = {.kind = JITVM_INT, .as.i = INT64_MAX}},
    {.literal = {.kind = JITVM_INT, .as.i = (INT64_C(1) << 53) + 1}},
    {.literal = {.kind = JITVM_FLOAT, .as.f = 0.0}},
    {.literal = {.kind = JITVM_FLOAT, .as.f = -0.0}},
    {.literal = {.kind = JITVM_FLOAT, .as.f = -2.0}},
    {.literal = {.kind = JITVM_FLOAT, .as.f = 9007199254740992.0}},
    {.literal = {.kind = JITVM_FLOAT, .as.f = 1e300}},
    {.literal = {.kind = JITVM_FLOAT, .as.f = 9223372036854775808.0}},
    {.literal = {.kind = JITVM_FLOAT, .as.f = __builtin_inf()}},
    {.literal = {.kind = JITVM_FLOAT, .as.f = -__builtin_inf()}},
    {.literal = {.kind = JITVM_FLOAT, .as.i = (int64_t)NUMBER_NAN_BITS}},
    {A_STRING, .text = ""},
    {A_STRING, .text = "0"},
    {A_STRING, .text = " -3.5 "},
    {A_STRING, .text = "abc"},
};
#define OPERANDS (sizeof operands / sizeof *operands)
#define KINDS    8u

static struct jitvm_value string_in(struct jitvm *vm, const char *text)
{
    struct jitvm_value v;
    cr_assert_eq(jitvm_str(vm, text, strlen(text), &v), 0);
    return v;
}

static struct jitvm_value value_in(struct jitvm *vm, const struct operand *o)
{
    struct jitvm_value v = o->literal;
    switch (o->sort) {
    case A_STRING:
        return string_in(vm, o->text);
    case AN_ARRAY:
        cr_assert_eq(jitvm_array(vm, &v), 0);
        cr_assert_eq(jitvm_array_push(vm, &v, jitvm_int(5)), 0);
        cr_assert_eq(jitvm_array_push(vm, &v, jitvm_int(6)), 0);
        return v;
    case A_HASH:
        cr_assert_eq(jitvm_hash(vm, &v), 0);
        struct jitvm_value key = string_in(vm, "12");
        cr_assert_eq(jitvm_hash_set(vm, &v, key, jitvm_float(0.5)), 0);
        jitvm_release(vm, key);
        return v;
    default:
        return v;
    }
}

/* ---- one function, all operands -------------------------------------------------------------- */

struct bench {
    struct run_rig rig;
    struct jitvm_value values[RUN_TIERS][OPERANDS];
    uint64_t heap; /* in use with the operands and nothing else */
    const char *text;
};

static void bench_begin(struct bench *b, const char *text)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err = {0};
    cr_assert_eq(jitvm_assemble("test", text, strlen(text), &chunk, &err), 0, "line %u: %s\n%s",
                 err.line, err.message, text);
    cr_assert(run_rig_init(&b->rig, chunk, &run_no_limits, NULL), "%s", b->rig.said);
    for (unsigned t = 0; t < RUN_TIERS; t++)
        for (size_t i = 0; i < OPERANDS; i++)
            b->values[t][i] = value_in(b->rig.vms[t].vm, &operands[i]);
    b->heap = b->rig.vms[0].vm->heap.bytes;
    b->text = text;
}

static void bench_end(struct bench *b)
{
    cr_assert_gt(run_rig_entries(&b->rig, 2), 0, "nothing was compiled\n%s", b->text);
    cr_assert_gt(run_rig_entries(&b->rig, 3), 0, "nothing was compiled\n%s", b->text);
    for (unsigned t = 0; t < RUN_TIERS; t++)
        for (size_t i = 0; i < OPERANDS; i++)
            jitvm_release(b->rig.vms[t].vm, b->values[t][i]);
    run_rig_free(&b->rig);
}

static void try(struct bench *b, size_t x, size_t y)
{
    struct jitvm_value args[RUN_TIERS * 2];
    for (unsigned t = 0; t < RUN_TIERS; t++) {
        args[t * 2] = b->values[t][x];
        args[t * 2 + 1] = b->values[t][y];
    }
    bool same = run_rig_call(&b->rig, "f", args, 2);
    cr_assert(same, "operands %zu and %zu: %s\n%s", x, y, b->rig.said, b->text);
    if (b->rig.vms[0].seen.rc == 0)
        return;
    cr_assert(run_rig_call(&b->rig, "clear", NULL, 0), "%s", b->rig.said);
    cr_assert_eq(b->rig.vms[0].seen.heap, b->heap, "operands %zu and %zu: kept memory\n%s", x, y,
                 b->text);
}

/* What code is compiled for. Everything is tried after the first; of the others what belongs to
 * them, and one of each kind. */
static const uint8_t trained[][2] = {
    {2, 2}, {3, 3}, {2, 3}, {3, 2}, {4, 2}, {0, 2}, {1, 1}, {5, 2}, {6, 4}, {4, 4}, {7, 0},
};

static uint32_t kind_of(size_t operand)
{
    const struct operand *o = &operands[operand];
    return o->sort == A_STRING   ? (uint32_t)JITVM_STR
           : o->sort == AN_ARRAY ? (uint32_t)JITVM_ARRAY
           : o->sort == A_HASH   ? (uint32_t)JITVM_HASH
                                 : o->literal.kind;
}

static bool worth_it(size_t training, size_t x, size_t y)
{
    bool own =
        kind_of(x) == kind_of(trained[training][0]) && kind_of(y) == kind_of(trained[training][1]);
    return training == 0 || own || (x < KINDS && y < KINDS);
}

static void all_operands(const char *text, size_t trainings)
{
    for (size_t n = 0; n < trainings; n++) {
        struct bench b;
        bench_begin(&b, text);
        for (unsigned again = 0; again < 3; again++)
            try(&b, trained[n][0], trained[n][1]);
        for (size_t x = 0; x < OPERANDS; x++)
            for (size_t y = 0; y < OPERANDS; y++)
                if (worth_it(n, x, y))
                    try(&b, x, y);
        bench_end(&b);
    }
}

/* `clear` ends what an error left in the global. */
static const char head[] = ".main 0\nReturn\n.function clear, 0, 0\nUndef\nSetGlobal g\nReturn\n"
                           ".function f, 2, 5\n";

/* The op stands where the shape has an @. */
static void put_op(char *text, size_t size, const char *shape, const char *op)
{
    size_t len = (size_t)snprintf(text, size, "%s", head);
    for (const char *at; (at = strchr(shape, '@')); shape = at + 1)
        len += (size_t)snprintf(text + len, size - len, "%.*s%s", (int)(at - shape), shape, op);
    (void)snprintf(text + len, size - len, "%s", shape);
}

static void all_of_shape(const char *shape, const char *const *ops, size_t trainings)
{
    for (; *ops; ops++) {
        char text[768];
        put_op(text, sizeof text, shape, *ops);
        all_operands(text, trainings);
    }
}

#define ALL_TRAININGS (sizeof trained / sizeof *trained)

static const char *const arithmetic[] = {"Add",    "Sub",   "Mul",    "Div", "IntDiv", "Mod", "Pow",
                                         "BitAnd", "BitOr", "BitXor", "Shl", "Shr",    NULL};
static const char *const relations[] = {"Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Cmp", NULL};
static const char *const of_text[] = {"StrEq",  "StrNe",  "StrLt",    "StrLe", "StrGt", "StrGe",
                                      "StrCmp", "Concat", "GetIndex", "Range", NULL};
static const char *const unary[] = {"Neg",   "Inc", "Dec", "BitNot", "ToInt", "ToFloat",
                                    "ToStr", "Not", "Len", "Nop",    NULL};

/* ---- shapes ---------------------------------------------------------------------------------- */

#define SLOTS                 "GetSlot 0\nGetSlot 1\n@\nReturnValue\n"
#define OPERANDS_OF_THE_STACK "TakeSlot 0\nTakeSlot 1\n@\nSetSlot 2\nTakeSlot 2\nReturnValue\n"
#define INTO_ITS_OWN_SLOT                                                                          \
    "GetSlot 0\nGetSlot 1\n@\nSetSlot 0\nGetSlot 0\nGetSlot 1\n@\nSetSlot 1\nGetSlot 0\n"          \
    "GetSlot 1\nMakeArray 2\nReturnValue\n"
#define THE_SAME_SLOT_TWICE "GetSlot 0\nGetSlot 0\n@\nSetSlot 0\nGetSlot 0\nReturnValue\n"
#define A_JUMP                                                                                     \
    "Int 3\nGetSlot 0\nGetSlot 1\n@\nJumpIfTrue L\nTakeSlot 1\nMakeArray 2\nReturnValue\n"         \
    "L: TakeSlot 0\nMakeArray 2\nReturnValue\n"
#define A_JUMP_WHEN_NOT                                                                            \
    "GetSlot 0\nGetSlot 1\n@\nNot\nJumpIfTrue L\nInt 1\nReturnValue\nL: Int 2\nReturnValue\n"
#define A_LOOP                                                                                     \
    "L: GetSlot 0\nGetSlot 1\n@\nSetSlot 2\nPreIncSlotVoid 3\nSlotLtIntJumpIfFalse 3, 4, M\n"      \
    "Jump L\nM: GetSlot 2\nReturnValue\n"
#define BY_A_LITERAL(literal) "GetSlot 0\n" literal "@\nReturnValue\n"
#define OF_A_LITERAL(literal) literal "GetSlot 0\n@\nReturnValue\n"
#define A_JUMP_BY_A_LITERAL(literal)                                                               \
    "GetSlot 0\n" literal "@\nJumpIfFalse L\nInt 1\nReturnValue\nL: Int 2\nReturnValue\n"

#define MATRIX(sentence, shape, ops, trainings)                                                    \
    Test(ops_matrix, sentence, .timeout = 300)                                                     \
    {                                                                                              \
        all_of_shape(shape, ops, trainings);                                                       \
    }

MATRIX(arithmetic_of_slots, SLOTS, arithmetic, ALL_TRAININGS)
MATRIX(arithmetic_of_operands, OPERANDS_OF_THE_STACK, arithmetic, 4)
MATRIX(arithmetic_into_its_own_slot, INTO_ITS_OWN_SLOT, arithmetic, ALL_TRAININGS)
MATRIX(arithmetic_of_one_slot, THE_SAME_SLOT_TWICE, arithmetic, 4)
MATRIX(arithmetic_in_a_loop, A_LOOP, arithmetic, 4)
MATRIX(arithmetic_that_decides_a_jump, A_JUMP, arithmetic, 4)
MATRIX(relations_of_slots, SLOTS, relations, ALL_TRAININGS)
MATRIX(relations_of_operands, OPERANDS_OF_THE_STACK, relations, 4)
MATRIX(relations_that_decide_a_jump, A_JUMP, relations, ALL_TRAININGS)
MATRIX(relations_that_decide_a_jump_when_not, A_JUMP_WHEN_NOT, relations, 4)
MATRIX(relations_of_one_slot, THE_SAME_SLOT_TWICE, relations, 4)
MATRIX(text_of_slots, SLOTS, of_text, ALL_TRAININGS)
MATRIX(text_of_operands, OPERANDS_OF_THE_STACK, of_text, 4)
MATRIX(text_into_its_own_slot, INTO_ITS_OWN_SLOT, of_text, 4)
MATRIX(text_that_decides_a_jump, A_JUMP, of_text, 4)

MATRIX(unary_of_a_slot, "GetSlot 0\n@\nReturnValue\n", unary, ALL_TRAININGS)
MATRIX(unary_of_an_operand, "TakeSlot 0\n@\nSetSlot 0\nTakeSlot 0\nReturnValue\n", unary, 4)
MATRIX(unary_that_decides_a_jump,
       "GetSlot 0\n@\nJumpIfFalse L\nInt 1\nReturnValue\nL: Int 2\nReturnValue\n", unary,
       ALL_TRAININGS)
MATRIX(unary_that_is_kept,
       "GetSlot 0\n@\nJumpIfTrueKeep L\nTakeSlot 1\nMakeArray 2\nReturnValue\nL: ReturnValue\n",
       unary, 4)

static const char *const literals[] = {
    "Int 0\n",     "Int 1\n",        "Int -1\n",
    "Int 3\n",     "Int 70\n",       "Int -9223372036854775808\n",
    "Float 2.5\n", "Float -0.0\n",   "Float nan\n",
    "Undef\n",     "Const \"12\"\n", "True\n",
};

static void with_each_literal(const char *const *ops, bool first, bool jump)
{
    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++) {
        char shape[256];
        (void)snprintf(shape, sizeof shape, "%s%s%s@\n%s", first ? literals[i] : "", "GetSlot 0\n",
                       first ? "" : literals[i],
                       jump ? "JumpIfFalse L\nInt 1\nReturnValue\nL: Int 2\nReturnValue\n"
                            : "ReturnValue\n");
        all_of_shape(shape, ops, 2);
    }
}

Test(ops_matrix, arithmetic_by_a_literal, .timeout = 300)
{
    with_each_literal(arithmetic, false, false);
}

Test(ops_matrix, arithmetic_of_a_literal, .timeout = 300)
{
    with_each_literal(arithmetic, true, false);
}

Test(ops_matrix, relations_to_a_literal, .timeout = 300)
{
    with_each_literal(relations, false, true);
}

Test(ops_matrix, relations_of_a_literal, .timeout = 300)
{
    with_each_literal(relations, true, true);
}

/* ---- fused ops ------------------------------------------------------------------------------- */

static const char *const fused[] = {
    "PreIncSlot 0\nGetSlot 0\nMakeArray 2\nReturnValue",
    "PreDecSlot 0\nGetSlot 0\nMakeArray 2\nReturnValue",
    "PostIncSlot 0\nGetSlot 0\nMakeArray 2\nReturnValue",
    "PostDecSlot 0\nGetSlot 0\nMakeArray 2\nReturnValue",
    "PreIncSlotVoid 0\nGetSlot 0\nReturnValue",
    "AddAssignSlotVoid 0, 1\nGetSlot 0\nGetSlot 1\nMakeArray 2\nReturnValue",
    "AddAssignSlotVoid 0, 0\nGetSlot 0\nReturnValue",
    "SlotLtIntJumpIfFalse 0, 7, L\nInt 1\nReturnValue\nL: Int 2\nReturnValue",
    "GetSlot 0\nGetSlot 1\nSetSlot 0\nSetSlot 1\nGetSlot 0\nGetSlot 1\nMakeArray 2\nReturnValue",
    "TakeSlot 0\nSetSlot 0\nGetSlot 0\nReturnValue",
    "GetSlot 0\nDup\nGetSlot 1\nRot\nSwap\nDup2\nMakeArray 5\nReturnValue",
    "TakeSlot 0\nTakeSlot 1\nSwap\nDup\nRot\nMakeArray 3\nReturnValue",
    "TakeSlot 0\nTakeSlot 1\nDup2\nMakeArray 4\nReturnValue",
    "GetSlot 0\nGetSlot 1\nReturnValue",
    "TakeSlot 0\nTakeSlot 1\nReturn",
    NULL,
};

MATRIX(slots_counted_and_moved, "@\n", fused, ALL_TRAININGS)

/* From operands that a program can count with in time. */
static const char *const loops[] = {
    "GetSlot 0\nInt 3\nMod\nSetSlot 2\nL: PreIncSlotVoid 3\nSlotIncLtIntJumpBack 2, 5, L\n"
    "GetSlot 2\nGetSlot 3\nMakeArray 2\nReturnValue",
    "GetSlot 1\nInt 3\nMod\nSetSlot 2\nAccumSumLoop 0, 2, 9\nGetSlot 0\nGetSlot 2\nMakeArray 2\n"
    "ReturnValue",
    "GetSlot 1\nInt 3\nMod\nSetSlot 2\nConcatConstLoop 0, 2, 9, \"xy\"\nGetSlot 0\nGetSlot 2\n"
    "MakeArray 2\nReturnValue",
    "GetSlot 1\nInt 3\nMod\nSetSlot 2\nPushIntRangeLoop 0, 2, 9\nGetSlot 0\nGetSlot 2\nMakeArray "
    "2\n"
    "ReturnValue",
    NULL,
};

MATRIX(whole_loops, "@\n", loops, ALL_TRAININGS)

/* ---- by place -------------------------------------------------------------------------------- */

static const char *const places[] = {
    "GetSlot 1\nGetPath slot 0, 1\nReturnValue",
    "GetSlot 1\nGetSlot 1\nGetPath slot 0, 2\nReturnValue",
    "GetPath slot 0, 0\nReturnValue",
    "GetSlot 1\nInt 9\nSetPath slot 0, 1\nGetSlot 0\nReturnValue",
    "GetSlot 1\nGetSlot 0\nSetPath slot 0, 1\nGetSlot 0\nReturnValue",
    "Int 1\nGetSlot 1\nSetPath slot 0, 1\nGetSlot 0\nReturnValue",
    "GetSlot 0\nInt 4\nSetPath slot 0, 1\nGetSlot 0\nReturnValue",
    "GetSlot 1\nGetSlot 1\nInt 9\nSetPath slot 0, 2\nGetSlot 0\nReturnValue",
    "Int 0\nInt 1\nGetSlot 1\nSetPath slot 2, 2\nGetSlot 1\nInt 1\nTrue\nSetPath slot 2, 2\n"
    "GetSlot 2\nReturnValue",
    "GetSlot 1\nPushPath slot 0, 0\nGetSlot 0\nReturnValue",
    "GetSlot 1\nInt 3\nPushPath slot 0, 1\nGetSlot 0\nReturnValue",
    "PopPath slot 0, 0\nGetSlot 0\nMakeArray 2\nReturnValue",
    "GetSlot 1\nPopPath slot 0, 1\nGetSlot 0\nMakeArray 2\nReturnValue",
    "ShiftPath slot 0, 0\nGetSlot 0\nMakeArray 2\nReturnValue",
    "GetSlot 1\nDeletePath slot 0, 1\nGetSlot 0\nMakeArray 2\nReturnValue",
    "GetSlot 1\nExistsPath slot 0, 1\nReturnValue",
    "KeysPath slot 0, 0\nValuesPath slot 0, 0\nLenPath slot 0, 0\nMakeArray 3\nReturnValue",
    "GetSlot 1\nKeysPath slot 0, 1\nReturnValue",
    "GetSlot 1\nLenPath slot 0, 1\nReturnValue",
    "TakeSlot 0\nSetGlobal g\nGetSlot 1\nInt 7\nSetPath global g, 1\nGetSlot 1\nGetPath global g, "
    "1\n"
    "LenPath global g, 0\nGetGlobal g\nMakeArray 3\nUndef\nSetGlobal g\nReturnValue",
    "GetSlot 0\nGetSlot 1\nInt 2\nRangeStep\nReturnValue",
    "GetSlot 0\nInt 5\nGetSlot 1\nRangeStep\nReturnValue",
    "GetSlot 0\nGetSlot 1\nMakeArray 2\nInt 0\nGetIndex\nReturnValue",
    "GetSlot 0\nGetSlot 1\nMakeHash 1\nReturnValue",
    "GetSlot 1\nCallDynamic 0\nReturnValue",
    "GetSlot 1\nGetSlot 0\nCallDynamic 1\nReturnValue",
    "GetSlot 0\nCallBuiltin type, 1\nReturnValue",
    NULL,
};

MATRIX(places, "@\n", places, ALL_TRAININGS)
