/* SPDX-License-Identifier: Apache-2.0 */
/* Random programs: what gives a value. */
#include "tests/jitvm/random_maker.h"

#include <string.h>

/* ---- bytes ----------------------------------------------------------------------------------- */

uint8_t random_byte(struct random_bytes *r)
{
    if (r->left) {
        r->left--;
        return *r->at++;
    }
    if (!r->state)
        return 0;
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return (uint8_t)(r->state >> 32);
}

unsigned random_below(struct random_bytes *r, unsigned n)
{
    return random_byte(r) % n;
}

unsigned pick(struct maker *m, unsigned n)
{
    return random_below(&m->bytes, n);
}

bool one_in(struct maker *m, unsigned n)
{
    return pick(m, n) == n - 1;
}

/* ---- ops ------------------------------------------------------------------------------------- */

void emit(struct maker *m, struct jitvm_op op)
{
    m->ops++;
    builder_emit(m->b, op);
}

void plain(struct maker *m, enum op_code code)
{
    emit(m, (struct jitvm_op){.code = (uint16_t)code});
}

void of_slot(struct maker *m, enum op_code code, uint32_t slot)
{
    emit(m, (struct jitvm_op){.code = (uint16_t)code, .a = (uint16_t)slot});
}

void of_index(struct maker *m, enum op_code code, uint32_t index)
{
    emit(m, (struct jitvm_op){.code = (uint16_t)code, .b = index});
}

void push_int(struct maker *m, int64_t i)
{
    emit(m, (struct jitvm_op){.code = OP_Int, .imm = i});
}

void jump(struct maker *m, enum op_code code, uint32_t label)
{
    m->ops++;
    builder_jump(m->b, code, label);
}

uint32_t any_slot(struct maker *m)
{
    return pick(m, m->slots);
}

uint32_t any_global(struct maker *m)
{
    return m->globals[pick(m, GLOBALS)];
}

/* ---- constants ------------------------------------------------------------------------------- */

static void small_int(struct maker *m)
{
    push_int(m, (int64_t)pick(m, 12) - 2);
}

static void odd_int(struct maker *m)
{
    static const int64_t ints[] = {
        INT64_MIN, INT64_MAX, (INT64_C(1) << 53) + 1, -1, 63, INT32_MAX,
        INT32_MIN, 1000003,   INT64_MAX - 100,
    };
    push_int(m, ints[pick(m, sizeof ints / sizeof *ints)]);
}

static void any_float(struct maker *m)
{
    static const double floats[] = {0.5,   -0.0, 3.0,  1e300, __builtin_inf(),   -2.25,
                                    1e-10, 0.0,  1e16, 7.0,   9007199254740992.0};
    union {
        double f;
        int64_t bits;
    } u;
    unsigned i = pick(m, sizeof floats / sizeof *floats + 1);
    u.bits = (int64_t)NUMBER_NAN_BITS;
    if (i < sizeof floats / sizeof *floats)
        u.f = floats[i];
    emit(m, (struct jitvm_op){.code = OP_Float, .imm = u.bits});
}

static void any_string(struct maker *m)
{
    static const char *const strings[] = {"", "a", "12", " 2.5 ", "key", "0", "longer text"};
    const char *s = strings[pick(m, sizeof strings / sizeof *strings)];
    of_index(m, OP_Const, builder_const_str(m->b, s, strlen(s)));
}

static void any_function(struct maker *m)
{
    of_index(m, OP_Func, pick(m, m->functions + 1));
}

static void constant(struct maker *m)
{
    switch (pick(m, 12)) {
    case 0:
        return plain(m, OP_Undef);
    case 1:
        return plain(m, OP_True);
    case 2:
        return plain(m, OP_False);
    case 3:
        return odd_int(m);
    case 4:
    case 5:
        return any_float(m);
    case 6:
        return any_string(m);
    case 7:
        return any_function(m);
    default:
        return small_int(m);
    }
}

/* ---- expressions ----------------------------------------------------------------------------- */

static void leaf(struct maker *m)
{
    switch (pick(m, 8)) {
    case 0:
        return of_slot(m, OP_TakeSlot, any_slot(m));
    case 1:
        return of_index(m, OP_GetGlobal, any_global(m));
    case 2:
    case 3:
        return constant(m);
    case 4:
        return of_slot(m, OP_GetSlot, one_in(m, 3) ? m->slots : any_slot(m));
    default:
        return of_slot(m, OP_GetSlot, any_slot(m));
    }
}

enum op_code binary_op(struct maker *m)
{
    static const uint8_t ops[] = {
        OP_Add,    OP_Sub,    OP_Mul,    OP_Add, OP_Sub,   OP_Mul,   OP_Div,   OP_IntDiv,
        OP_Mod,    OP_Pow,    OP_Lt,     OP_Le,  OP_Gt,    OP_Ge,    OP_Eq,    OP_Ne,
        OP_Cmp,    OP_BitAnd, OP_Shl,    OP_Shr, OP_BitOr, OP_StrEq, OP_StrLt, OP_StrGe,
        OP_StrCmp, OP_Concat, OP_BitXor, OP_Add, OP_Lt,    OP_StrNe, OP_StrLe, OP_StrGt,
    };
    return (enum op_code)ops[pick(m, sizeof ops)];
}

static void unary(struct maker *m, unsigned depth)
{
    static const uint8_t ops[] = {OP_Neg,   OP_Inc, OP_Dec, OP_BitNot, OP_ToInt, OP_ToFloat,
                                  OP_ToStr, OP_Not, OP_Len, OP_Inc,    OP_Not,   OP_Nop};
    expression(m, depth);
    plain(m, (enum op_code)ops[pick(m, sizeof ops)]);
}

static void binary(struct maker *m, unsigned depth)
{
    expression(m, depth);
    expression(m, depth);
    plain(m, binary_op(m));
}

/* The stack's own ops, in ways that leave one value. */
static void rearranged(struct maker *m, unsigned depth)
{
    expression(m, depth);
    expression(m, depth);
    switch (pick(m, 4)) {
    case 0:
        plain(m, OP_Swap);
        break;
    case 1:
        plain(m, OP_Dup2);
        plain(m, binary_op(m));
        plain(m, OP_Rot);
        plain(m, OP_Pop);
        break;
    case 2:
        expression(m, depth);
        plain(m, OP_Rot);
        plain(m, binary_op(m));
        break;
    default:
        plain(m, OP_Pop);
        plain(m, OP_Dup);
        break;
    }
    plain(m, binary_op(m));
}

static void kept_jump(struct maker *m, unsigned depth)
{
    uint32_t end = builder_label(m->b);
    expression(m, depth);
    jump(m, one_in(m, 2) ? OP_JumpIfTrueKeep : OP_JumpIfFalseKeep, end);
    plain(m, OP_Pop);
    expression(m, depth);
    builder_place(m->b, end);
}

static void choice(struct maker *m, unsigned depth)
{
    uint32_t otherwise = builder_label(m->b), end = builder_label(m->b);
    expression(m, depth);
    jump(m, one_in(m, 2) ? OP_JumpIfTrue : OP_JumpIfFalse, otherwise);
    expression(m, depth);
    jump(m, OP_Jump, end);
    builder_place(m->b, otherwise);
    expression(m, depth);
    builder_place(m->b, end);
}

static void arguments(struct maker *m, unsigned count, unsigned depth)
{
    for (unsigned i = 0; i < count; i++)
        expression(m, depth);
}

/* Down to itself and to what comes before only with one less of the first argument, so that most
 * recursions end. */
static void call(struct maker *m, unsigned depth)
{
    unsigned callee = 1 + pick(m, m->functions), count = m->arity[callee];
    if (callee > m->function || count == 0) {
        if (callee <= m->function && !one_in(m, 16))
            return leaf(m);
        arguments(m, count, depth);
    } else {
        uint32_t stop = builder_label(m->b), end = builder_label(m->b);
        of_slot(m, OP_GetSlot, 0);
        push_int(m, 1);
        plain(m, OP_Lt);
        jump(m, OP_JumpIfTrue, stop);
        of_slot(m, OP_GetSlot, 0);
        push_int(m, 1);
        plain(m, OP_Sub);
        arguments(m, count - 1, 0);
        emit(m, (struct jitvm_op){.code = OP_Call, .a = (uint16_t)count, .b = callee});
        jump(m, OP_Jump, end);
        builder_place(m->b, stop);
        leaf(m);
        builder_place(m->b, end);
        return;
    }
    emit(m, (struct jitvm_op){.code = OP_Call, .a = (uint16_t)count, .b = callee});
}

static void call_dynamic(struct maker *m, unsigned depth)
{
    unsigned callee = 1 + pick(m, m->functions), count = m->arity[callee];
    if (callee <= m->function && !one_in(m, 8))
        return leaf(m);
    of_index(m, OP_Func, callee);
    if (one_in(m, 40))
        count = pick(m, 3);
    arguments(m, count, depth);
    emit(m, (struct jitvm_op){.code = OP_CallDynamic, .a = (uint16_t)count});
}

void builtin(struct maker *m, const char *name, unsigned count)
{
    uint32_t index = builder_name(m->b, name, strlen(name));
    emit(m, (struct jitvm_op){.code = OP_CallBuiltin, .a = (uint16_t)count, .b = index});
}

/* An array, mostly: what else they are given is an error. */
static void list(struct maker *m, unsigned depth)
{
    if (one_in(m, 12))
        return expression(m, depth);
    if (one_in(m, 4))
        return of_slot(m, OP_GetSlot, m->slots);
    arguments(m, 3, 0);
    of_index(m, OP_MakeArray, 3);
}

static void call_with_list(struct maker *m, unsigned depth)
{
    static const char *const calling[] = {"map", "grep", "sort"};
    static const char *const of_one[] = {"sort", "reverse", "keys", "values", "len"};
    list(m, depth);
    switch (pick(m, 3)) {
    case 0:
        any_function(m);
        return builtin(m, calling[pick(m, 3)], 2);
    case 1:
        small_int(m);
        return builtin(m, "slice", 2);
    default:
        return builtin(m, of_one[pick(m, sizeof of_one / sizeof *of_one)], 1);
    }
}

static void call_builtin(struct maker *m, unsigned depth)
{
    static const struct {
        const char *name;
        unsigned count;
    } builtins[] = {
        {"type", 1}, {"len", 1},   {"str", 1},  {"abs", 1},   {"floor", 1}, {"sqrt", 1},
        {"min", 2},  {"max", 2},   {"gcd", 2},  {"split", 2}, {"round", 1}, {"substr", 2},
        {"sin", 1},  {"upper", 1}, {"ceil", 1}, {"trunc", 1}, {"find", 2},  {"pow", 2},
        {"int", 1},  {"float", 1}, {"bool", 1},
    };
    if (one_in(m, 3))
        return call_with_list(m, depth);
    unsigned i = pick(m, sizeof builtins / sizeof *builtins);
    arguments(m, builtins[i].count, depth);
    builtin(m, builtins[i].name, builtins[i].count);
}

void container(struct maker *m, unsigned depth)
{
    unsigned n = pick(m, 4);
    switch (pick(m, 4)) {
    case 0:
        arguments(m, n * 2, depth);
        return of_index(m, OP_MakeHash, n);
    case 1:
        small_int(m);
        small_int(m);
        if (one_in(m, 2))
            return plain(m, OP_Range);
        small_int(m);
        return plain(m, OP_RangeStep);
    case 2:
        for (unsigned i = 0; i < n; i++)
            one_in(m, 4) ? any_float(m) : small_int(m);
        return of_index(m, OP_MakeArray, n);
    default:
        arguments(m, n, depth);
        return of_index(m, OP_MakeArray, n);
    }
}

/* ---- places ---------------------------------------------------------------------------------- */

static void key(struct maker *m)
{
    switch (pick(m, 24)) {
    case 0:
        return any_string(m);
    case 1:
    case 2:
    case 3:
        return of_slot(m, OP_GetSlot, any_slot(m));
    case 4:
        return small_int(m);
    default:
        return push_int(m, pick(m, 5));
    }
}

/* Mostly where there is a container, or nothing yet: otherwise most programs would end here. */
uint32_t slot_with_container(struct maker *m)
{
    return one_in(m, 8) ? any_slot(m) : m->slots;
}

static unsigned some_keys(struct maker *m)
{
    unsigned n = pick(m, 16);
    return n < 12 ? 0 : n - 12;
}

static struct jitvm_op place(struct maker *m, enum op_code code, unsigned keys)
{
    struct jitvm_op op = {.code = (uint16_t)code, .c = keys};
    op.a = one_in(m, 4);
    op.b = op.a ? m->globals[one_in(m, 8) ? pick(m, GLOBALS) : 0] : slot_with_container(m);
    for (unsigned i = 0; i < keys; i++)
        key(m);
    return op;
}

static void read_place(struct maker *m)
{
    static const uint8_t ops[] = {OP_GetPath,    OP_GetPath,    OP_GetPath,  OP_GetPath,
                                  OP_PopPath,    OP_ShiftPath,  OP_KeysPath, OP_ValuesPath,
                                  OP_ExistsPath, OP_DeletePath, OP_LenPath};
    enum op_code code = (enum op_code)ops[pick(m, sizeof ops)];
    unsigned least = code == OP_ExistsPath || code == OP_DeletePath;
    emit(m, place(m, code, least + some_keys(m)));
}

void write_place(struct maker *m)
{
    enum op_code code = one_in(m, 3) ? OP_PushPath : OP_SetPath;
    struct jitvm_op op = place(m, code, (code == OP_SetPath) + some_keys(m));
    expression(m, 1);
    emit(m, op);
}

static void index_value(struct maker *m, unsigned depth)
{
    one_in(m, 10) ? expression(m, depth) : list(m, depth);
    key(m);
    plain(m, OP_GetIndex);
}

static void counted(struct maker *m)
{
    static const uint8_t ops[] = {OP_PreIncSlot, OP_PreDecSlot, OP_PostIncSlot, OP_PostDecSlot};
    of_slot(m, (enum op_code)ops[pick(m, sizeof ops)], any_slot(m));
}

void expression(struct maker *m, unsigned depth)
{
    if (depth == 0 || m->ops > m->enough)
        return leaf(m);
    depth--;
    switch (pick(m, 20)) {
    case 0:
        return unary(m, depth);
    case 1:
        return rearranged(m, depth);
    case 2:
        return kept_jump(m, depth);
    case 3:
        return choice(m, depth);
    case 4:
    case 5:
        return call(m, depth);
    case 6:
        return call_dynamic(m, depth);
    case 7:
        return call_builtin(m, depth);
    case 8:
        return container(m, depth);
    case 9:
    case 10:
        return read_place(m);
    case 11:
        return index_value(m, depth);
    case 12:
        return counted(m);
    case 13:
    case 14:
        return leaf(m);
    default:
        return binary(m, depth);
    }
}
