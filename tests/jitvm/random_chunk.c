/* SPDX-License-Identifier: Apache-2.0 */
/* Random programs: statements, functions. */
#include <string.h>

#include "tests/jitvm/random_maker.h"

/* ---- statements ------------------------------------------------------------------------------ */

static void statements(struct maker *m);

static void assign(struct maker *m)
{
    if (one_in(m, 6)) {
        container(m, 1);
        return one_in(m, 2) ? of_index(m, OP_SetGlobal, m->globals[0])
                            : of_slot(m, OP_SetSlot, m->slots);
    }
    expression(m, 3);
    if (one_in(m, 6))
        return of_index(m, OP_SetGlobal, m->globals[1 + pick(m, GLOBALS - 1)]);
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
        emit(m, (struct jitvm_op){.code = OP_PushPath, .b = slot_with_container(m)});
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

/* An array of numbers, or of rows of them, with the container's slot. */
static void numbers(struct maker *m, bool rows)
{
    for (unsigned row = 0; row < (rows ? 3u : 1u); row++) {
        bool floats = one_in(m, 2);
        for (unsigned i = 0; i < 3; i++)
            if (floats)
                emit(m, (struct jitvm_op){.code = OP_Float, .imm = (int64_t)(0x3ff8 + i) << 48});
            else
                push_int(m, pick(m, 100));
        of_index(m, OP_MakeArray, 3);
    }
    if (rows)
        of_index(m, OP_MakeArray, 3);
    of_slot(m, OP_SetSlot, m->slots);
}

static void keys_of(struct maker *m, uint32_t i, uint32_t j, bool rows)
{
    of_slot(m, OP_GetSlot, i);
    if (rows)
        of_slot(m, OP_GetSlot, j);
}

/* c[i] = c[i] op ..., or c[i][j], for some i: what code for arrays is compiled for. */
static void kernel(struct maker *m)
{
    bool rows = one_in(m, 2);
    uint32_t head = builder_label(m->b), i = any_slot(m), j = any_slot(m);
    if (!one_in(m, 4))
        numbers(m, rows);
    push_int(m, 0);
    of_slot(m, OP_SetSlot, i);
    push_int(m, pick(m, 3));
    of_slot(m, OP_SetSlot, j);
    builder_place(m->b, head);
    struct jitvm_op op = {.code = OP_GetPath, .b = m->slots, .c = 1 + rows};
    keys_of(m, i, j, rows);
    keys_of(m, one_in(m, 4) ? j : i, j, rows);
    emit(m, op);
    expression(m, 1);
    plain(m, binary_op(m));
    op.code = OP_SetPath;
    emit(m, op);
    of_slot(m, OP_PreIncSlotVoid, i);
    of_slot(m, OP_GetSlot, i);
    push_int(m, pick(m, 5));
    plain(m, OP_Lt);
    jump(m, OP_JumpIfTrue, head);
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
    builtin(m, "say", 1);
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
        return one_in(m, 2) ? kernel(m) : whole_loop(m);
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
    for (uint32_t s = m->arity[function]; s <= m->slots; s++)
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
