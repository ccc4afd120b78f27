/* SPDX-License-Identifier: Apache-2.0 */
/* Random programs: what they are made of. */
#include "tests/jitvm/random_chunk.h"

#include <string.h>

#define FUNCTIONS_MAX 5u
#define GLOBALS       3u
#define NESTING_MAX   4u

struct maker {
    struct random_bytes bytes;
    struct jitvm_builder *b;
    unsigned functions;                /* f1 .. */
    unsigned arity[FUNCTIONS_MAX + 1]; /* by function, as index */
    uint32_t globals[GLOBALS];
    uint32_t function; /* whose body is made */
    uint32_t slots;    /* of it that may be used */
    unsigned nesting;  /* of statements */
    unsigned ops;      /* so far, in all of the chunk */
    unsigned enough;   /* ops: no more is begun then */
    uint32_t loop_end; /* label of the innermost loop, if there is one */
    bool in_loop;
};

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

static unsigned pick(struct maker *m, unsigned n)
{
    return random_below(&m->bytes, n);
}

static bool one_in(struct maker *m, unsigned n)
{
    return pick(m, n) == n - 1;
}

/* ---- ops ------------------------------------------------------------------------------------- */

static void emit(struct maker *m, struct jitvm_op op)
{
    m->ops++;
    builder_emit(m->b, op);
}

static void plain(struct maker *m, enum op_code code)
{
    emit(m, (struct jitvm_op){.code = (uint16_t)code});
}

static void of_slot(struct maker *m, enum op_code code, uint32_t slot)
{
    emit(m, (struct jitvm_op){.code = (uint16_t)code, .a = (uint16_t)slot});
}

static void of_index(struct maker *m, enum op_code code, uint32_t index)
{
    emit(m, (struct jitvm_op){.code = (uint16_t)code, .b = index});
}

static void push_int(struct maker *m, int64_t i)
{
    emit(m, (struct jitvm_op){.code = OP_Int, .imm = i});
}

static void jump(struct maker *m, enum op_code code, uint32_t label)
{
    m->ops++;
    builder_jump(m->b, code, label);
}

static uint32_t any_slot(struct maker *m)
{
    return pick(m, m->slots);
}

static uint32_t any_global(struct maker *m)
{
    return m->globals[pick(m, GLOBALS)];
}

static void expression(struct maker *m, unsigned depth);

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
    default:
        return of_slot(m, OP_GetSlot, any_slot(m));
    }
}

static enum op_code binary_op(struct maker *m)
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
    if (one_in(m, 16))
        count = pick(m, 3);
    arguments(m, count, depth);
    emit(m, (struct jitvm_op){.code = OP_CallDynamic, .a = (uint16_t)count});
}

static void call_builtin(struct maker *m, unsigned depth)
{
    static const struct {
        const char *name;
        unsigned count;
    } builtins[] = {
        {"type", 1}, {"len", 1},   {"str", 1},     {"abs", 1},   {"floor", 1}, {"sqrt", 1},
        {"min", 2},  {"max", 2},   {"gcd", 2},     {"split", 2}, {"join", 2},  {"substr", 2},
        {"sort", 1}, {"upper", 1}, {"reverse", 1}, {"keys", 1},  {"find", 2},  {"slice", 2},
    };
    static const char *const calling[] = {"map", "grep", "sort"};
    if (one_in(m, 6)) {
        const char *name = calling[pick(m, 3)];
        expression(m, depth);
        any_function(m);
        emit(m, (struct jitvm_op){
                    .code = OP_CallBuiltin, .a = 2, .b = builder_name(m->b, name, strlen(name))});
        return;
    }
    unsigned i = pick(m, sizeof builtins / sizeof *builtins);
    arguments(m, builtins[i].count, depth);
    emit(m, (struct jitvm_op){.code = OP_CallBuiltin,
                              .a = (uint16_t)builtins[i].count,
                              .b = builder_name(m->b, builtins[i].name, strlen(builtins[i].name))});
}

static void container(struct maker *m, unsigned depth)
{
    unsigned n = pick(m, 4);
    switch (pick(m, 4)) {
    case 0:
        arguments(m, n * 2, depth);
        return of_index(m, OP_MakeHash, n);
    case 1:
        small_int(m);
        small_int(m);
        return plain(m, OP_Range);
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
    switch (pick(m, 6)) {
    case 0:
        return any_string(m);
    case 1:
    case 2:
        return of_slot(m, OP_GetSlot, any_slot(m));
    default:
        return small_int(m);
    }
}

static struct jitvm_op place(struct maker *m, enum op_code code, unsigned keys)
{
    struct jitvm_op op = {.code = (uint16_t)code, .c = keys};
    op.a = one_in(m, 4);
    op.b = op.a ? any_global(m) : any_slot(m);
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
    emit(m, place(m, code, least + pick(m, 3)));
}

static void write_place(struct maker *m)
{
    enum op_code code = one_in(m, 3) ? OP_PushPath : OP_SetPath;
    struct jitvm_op op = place(m, code, (code == OP_SetPath) + pick(m, 3));
    expression(m, 1);
    emit(m, op);
}

static void index_value(struct maker *m, unsigned depth)
{
    expression(m, depth);
    key(m);
    plain(m, OP_GetIndex);
}

static void counted(struct maker *m)
{
    static const uint8_t ops[] = {OP_PreIncSlot, OP_PreDecSlot, OP_PostIncSlot, OP_PostDecSlot};
    of_slot(m, (enum op_code)ops[pick(m, sizeof ops)], any_slot(m));
}

static void expression(struct maker *m, unsigned depth)
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

/* ---- statements ------------------------------------------------------------------------------ */

static void statements(struct maker *m);

static void assign(struct maker *m)
{
    expression(m, 3);
    if (one_in(m, 6))
        return of_index(m, OP_SetGlobal, any_global(m));
    of_slot(m, OP_SetSlot, any_slot(m));
}

static void condition(struct maker *m)
{
    uint32_t otherwise = builder_label(m->b), end = builder_label(m->b);
    expression(m, 2);
    if (one_in(m, 4))
        plain(m, OP_Not);
    jump(m, one_in(m, 2) ? OP_JumpIfTrue : OP_JumpIfFalse, otherwise);
    statements(m);
    if (one_in(m, 2)) {
        jump(m, OP_Jump, end);
        builder_place(m->b, otherwise);
        statements(m);
    } else {
        builder_place(m->b, otherwise);
    }
    builder_place(m->b, end);
}

static void body(struct maker *m, uint32_t end)
{
    uint32_t outer = m->loop_end;
    bool in_loop = m->in_loop;
    m->loop_end = end;
    m->in_loop = true;
    statements(m);
    m->loop_end = outer;
    m->in_loop = in_loop;
}

/* while (i < n) { ...; i++ }, or the same with the test at its end; i is often a slot that the body
 * may change. */
static void loop(struct maker *m)
{
    uint32_t head = builder_label(m->b), end = builder_label(m->b), i = any_slot(m);
    int64_t limit = pick(m, 3) ? pick(m, 6) : pick(m, 60);
    bool operand = one_in(m, 5); /* on the stack while the loop runs */
    if (operand)
        expression(m, 1);
    if (!one_in(m, 4)) {
        push_int(m, 0);
        of_slot(m, OP_SetSlot, i);
    }
    builder_place(m->b, head);
    bool test_first = one_in(m, 2);
    if (test_first) {
        of_slot(m, OP_GetSlot, i);
        push_int(m, limit);
        plain(m, OP_Lt);
        jump(m, OP_JumpIfFalse, end);
    }
    body(m, end);
    of_slot(m, OP_GetSlot, i);
    plain(m, OP_Inc);
    of_slot(m, OP_SetSlot, i);
    if (test_first) {
        jump(m, OP_Jump, head);
    } else {
        of_slot(m, OP_GetSlot, i);
        one_in(m, 4) ? of_slot(m, OP_GetSlot, any_slot(m)) : push_int(m, limit);
        plain(m, one_in(m, 4) ? OP_Le : OP_Lt);
        jump(m, OP_JumpIfTrue, head);
    }
    builder_place(m->b, end);
    if (operand)
        of_slot(m, OP_SetSlot, any_slot(m));
}

/* What fusing makes a single op of. */
static void whole_loop(struct maker *m)
{
    uint32_t head = builder_label(m->b), end = builder_label(m->b);
    uint32_t i = any_slot(m), to = any_slot(m), string;
    unsigned limit = pick(m, 30);
    of_slot(m, OP_GetSlot, i);
    push_int(m, limit);
    plain(m, OP_Lt);
    jump(m, OP_JumpIfFalse, end);
    builder_place(m->b, head);
    switch (pick(m, 3)) {
    case 0:
        of_slot(m, OP_GetSlot, to);
        of_slot(m, OP_GetSlot, i);
        plain(m, OP_Add);
        of_slot(m, OP_SetSlot, to);
        break;
    case 1:
        of_slot(m, OP_GetSlot, i);
        emit(m, (struct jitvm_op){.code = OP_PushPath, .b = to});
        break;
    default:
        string = builder_const_str(m->b, "xy", 2);
        of_slot(m, one_in(m, 2) ? OP_GetSlot : OP_TakeSlot, to);
        of_index(m, OP_Const, string);
        plain(m, OP_Concat);
        of_slot(m, OP_SetSlot, to);
        break;
    }
    of_slot(m, OP_GetSlot, i);
    plain(m, OP_Inc);
    of_slot(m, OP_SetSlot, i);
    of_slot(m, OP_GetSlot, i);
    push_int(m, limit);
    plain(m, OP_Lt);
    jump(m, OP_JumpIfTrue, head);
    builder_place(m->b, end);
}

/* Sometimes with more on the stack than what is given back. Behind it comes what is not reached. */
static void give_back(struct maker *m)
{
    uint32_t on = builder_label(m->b);
    expression(m, 1);
    jump(m, OP_JumpIfFalse, on);
    if (one_in(m, 3))
        expression(m, 1);
    expression(m, 1);
    if (one_in(m, 4))
        plain(m, OP_Return);
    else
        plain(m, OP_ReturnValue);
    builder_place(m->b, on);
}

static void say(struct maker *m)
{
    expression(m, 1);
    emit(m, (struct jitvm_op){.code = OP_CallBuiltin, .a = 1, .b = builder_name(m->b, "say", 3)});
    plain(m, OP_Pop);
}

static void leave_loop(struct maker *m)
{
    uint32_t on = builder_label(m->b);
    expression(m, 1);
    jump(m, OP_JumpIfTrue, on);
    jump(m, OP_Jump, m->loop_end);
    builder_place(m->b, on);
}

static void small_change(struct maker *m)
{
    switch (pick(m, 3)) {
    case 0:
        return of_slot(m, OP_PreIncSlotVoid, any_slot(m));
    case 1:
        return emit(m, (struct jitvm_op){.code = OP_AddAssignSlotVoid,
                                         .a = (uint16_t)any_slot(m),
                                         .c = any_slot(m)});
    default:
        of_slot(m, OP_GetSlot, any_slot(m));
        expression(m, 1);
        plain(m, one_in(m, 4) ? OP_Concat : OP_Add);
        of_slot(m, OP_SetSlot, any_slot(m));
    }
}

static void statement(struct maker *m)
{
    switch (pick(m, 16)) {
    case 0:
    case 1:
        return condition(m);
    case 2:
    case 3:
        return loop(m);
    case 4:
        return whole_loop(m);
    case 5:
    case 6:
    case 7:
        return write_place(m);
    case 8:
        return one_in(m, 3) ? give_back(m) : small_change(m);
    case 9:
        return say(m);
    case 10:
        return m->in_loop ? leave_loop(m) : assign(m);
    case 11:
    case 12:
        return small_change(m);
    default:
        return assign(m);
    }
}

static void statements(struct maker *m)
{
    if (m->nesting == NESTING_MAX)
        return;
    m->nesting++;
    builder_line(m->b, 1 + m->ops);
    for (unsigned n = 1 + pick(m, 4); n > 0 && m->ops < m->enough; n--)
        statement(m);
    m->nesting--;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static void function_body(struct maker *m, uint32_t function)
{
    builder_begin(m->b, function);
    m->function = function;
    m->slots = m->arity[function] + 2 + pick(m, 4);
    for (uint32_t s = m->arity[function]; s < m->slots; s++)
        builder_slot(m->b, NULL, 0);
    statements(m);
    expression(m, 2);
    plain(m, OP_ReturnValue);
}

static void clear_body(struct maker *m, uint32_t function)
{
    builder_begin(m->b, function);
    for (unsigned g = 0; g < GLOBALS; g++) {
        plain(m, OP_Undef);
        of_index(m, OP_SetGlobal, m->globals[g]);
    }
    plain(m, OP_Return);
}

static void make(struct maker *m)
{
    m->enough = 20u << pick(m, 6);
    m->functions = 1 + pick(m, FUNCTIONS_MAX);
    for (unsigned f = 1; f <= m->functions; f++) {
        char name[8];
        m->arity[f] = pick(m, 4);
        (void)builder_function(m->b, name, (size_t)snprintf(name, sizeof name, "f%u", f),
                               m->arity[f]);
    }
    uint32_t clear = builder_function(m->b, "clear", 5, 0);
    for (unsigned g = 0; g < GLOBALS; g++) {
        const char name = (char)('p' + g);
        m->globals[g] = builder_name(m->b, &name, 1);
    }
    if (one_in(m, 4))
        builder_set_flags(m->b, CHUNK_TRAP_OVERFLOW);
    for (uint32_t f = 0; f <= m->functions; f++)
        function_body(m, f);
    clear_body(m, clear);
}

int random_chunk(struct random_bytes bytes, bool fused, struct jitvm_chunk **out,
                 struct jitvm_error *err)
{
    struct maker m = {.bytes = bytes};
    int rc = jitvm_builder_new("random", &m.b, err);
    if (rc < 0)
        return rc;
    if (!fused)
        builder_no_fusing(m.b);
    make(&m);
    rc = builder_build(m.b, out, err);
    jitvm_builder_free(m.b);
    return rc;
}
