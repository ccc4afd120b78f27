/* SPDX-License-Identifier: Apache-2.0 */
/* Emitting expressions: as values, and as conditions, which go straight to jumps. */
#include <string.h>

#include "guest/jitvm/lang/gen.h"

static void gen_float(struct gen *g, const struct node *node)
{
    int64_t bits;
    memcpy(&bits, &node->as.f, sizeof bits);
    gen_emit(g, node, (struct jitvm_op){.code = OP_Float, .imm = bits});
}

static void gen_str(struct gen *g, const struct node *node)
{
    uint32_t index = builder_const_str(g->builder, node->as.str.bytes, node->as.str.len);
    gen_emit(g, node, (struct jitvm_op){.code = OP_Const, .b = index});
}

static void gen_list(struct gen *g, struct node *first)
{
    for (struct node *node = first; node; node = node->next)
        gen_value(g, node);
}

/* [from end step] -> [from end' step], the end by 1 nearer: from which side is seen when it runs.
 */
static void gen_leave_out_end(struct gen *g, const struct node *range)
{
    gen_op(g, range, OP_Dup2);
    gen_int(g, range, 0);
    gen_op(g, range, OP_Cmp);
    gen_op(g, range, OP_Sub);
    gen_op(g, range, OP_Rot);
    gen_op(g, range, OP_Pop);
    gen_op(g, range, OP_Swap);
}

/* [a..b]: the ops include the end. */
static void gen_range_array(struct gen *g, struct node *range)
{
    struct node *step = range->c;
    bool step_known = !step || step->kind == NODE_INT;
    gen_value(g, range->a);
    gen_to_int(g, range->b);
    if (!range->flag && step_known) {
        gen_int(g, range, 1);
        gen_op(g, range, step && step->as.i < 0 ? OP_Add : OP_Sub);
    }
    if (step)
        gen_to_int(g, step);
    if (!range->flag && !step_known)
        gen_leave_out_end(g, range);
    gen_op(g, range, step ? OP_RangeStep : OP_Range);
}

static void gen_array(struct gen *g, struct node *node)
{
    if (node->list && node->list->kind == NODE_RANGE)
        return gen_range_array(g, node->list);
    gen_list(g, node->list);
    gen_emit(g, node, (struct jitvm_op){.code = OP_MakeArray, .b = node->count});
}

static void gen_hash(struct gen *g, struct node *node)
{
    gen_list(g, node->list);
    gen_emit(g, node, (struct jitvm_op){.code = OP_MakeHash, .b = node->count});
}

static void gen_func(struct gen *g, const struct node *node, const struct lang_function *function)
{
    gen_emit(g, node, (struct jitvm_op){.code = OP_Func, .b = function->index});
}

static void gen_name(struct gen *g, const struct node *node)
{
    if (node->as.name.variable)
        gen_get(g, node, node->as.name.variable);
    else
        gen_func(g, node, node->as.name.function);
}

static void gen_take(struct gen *g, const struct node *node)
{
    struct lang_variable *variable = node->as.name.variable;
    uint32_t which = gen_variable(g, variable);
    if (!variable->global) {
        gen_emit(g, node, (struct jitvm_op){.code = OP_TakeSlot, .a = (uint16_t)which});
        return;
    }
    gen_get(g, node, variable);
    gen_op(g, node, OP_Undef);
    gen_set(g, node, variable);
}

static void gen_unary(struct gen *g, struct node *node)
{
    gen_value(g, node->a);
    gen_op(g, node, (enum op_code)node->op);
}

/* Chains of left operands may be long. */
static void gen_binary(struct gen *g, struct node *node)
{
    struct node *left = node;
    for (; left->a->kind == NODE_BINARY; left = left->a)
        left->a->up = left;
    gen_value(g, left->a);
    for (;; left = left->up) {
        gen_value(g, left->b);
        gen_op(g, left, (enum op_code)left->op);
        if (left == node)
            return;
    }
}

/* The deciding operand is the value. */
static void gen_logic(struct gen *g, struct node *node)
{
    struct gen_label end = gen_label(g);
    bool truth;
    if (node_truth(node->a, &truth))
        return gen_value(g, truth == (node->kind == NODE_OR) ? node->a : node->b);
    gen_value(g, node->a);
    gen_jump(g, node, node->kind == NODE_OR ? OP_JumpIfTrueKeep : OP_JumpIfFalseKeep, &end);
    gen_op(g, node, OP_Pop);
    gen_value(g, node->b);
    gen_label_here(g, &end);
}

static void gen_index(struct gen *g, struct node *node)
{
    struct gen_place place;
    if (gen_place_of(node, &place)) {
        gen_place_keys(g, &place);
        gen_path(g, node, OP_GetPath, &place);
        return;
    }
    gen_value(g, node->a);
    gen_value(g, node->b);
    gen_op(g, node, OP_GetIndex);
}

static void gen_named_call(struct gen *g, struct node *node)
{
    const struct node_name *name = &node->a->as.name;
    struct jitvm_op op = {.code = OP_Call, .a = (uint16_t)node->count};
    if (name->function) {
        op.b = name->function->index;
    } else {
        op.code = OP_CallBuiltin;
        op.b = builder_name(g->builder, name->symbol->text, name->symbol->len);
    }
    gen_list(g, node->list);
    gen_emit(g, node, op);
}

static void gen_call(struct gen *g, struct node *node)
{
    if (gen_special(g, node, true))
        return;
    if (node->a->kind == NODE_NAME && !node->a->as.name.variable)
        return gen_named_call(g, node);
    gen_value(g, node->a);
    gen_list(g, node->list);
    gen_emit(g, node, (struct jitvm_op){.code = OP_CallDynamic, .a = (uint16_t)node->count});
}

static void gen_compound(struct gen *g, struct node *node)
{
    switch (node->kind) {
    case NODE_ARRAY:
        return gen_array(g, node);
    case NODE_HASH:
        return gen_hash(g, node);
    case NODE_UNARY:
        return gen_unary(g, node);
    case NODE_BINARY:
        return gen_binary(g, node);
    case NODE_INDEX:
        return gen_index(g, node);
    case NODE_CALL:
        return gen_call(g, node);
    default:
        return gen_logic(g, node);
    }
}

void gen_value(struct gen *g, struct node *node)
{
    switch (node->kind) {
    case NODE_UNDEF:
        return gen_op(g, node, OP_Undef);
    case NODE_BOOL:
        return gen_op(g, node, node->as.i ? OP_True : OP_False);
    case NODE_INT:
        return gen_int(g, node, node->as.i);
    case NODE_FLOAT:
        return gen_float(g, node);
    case NODE_STR:
        return gen_str(g, node);
    case NODE_FN:
        return gen_func(g, node, node->as.function);
    case NODE_NAME:
        return gen_name(g, node);
    case NODE_TAKE:
        return gen_take(g, node);
    default:
        return gen_compound(g, node);
    }
}

void gen_statement_value(struct gen *g, struct node *node)
{
    if (node->kind == NODE_CALL && gen_special(g, node, false))
        return;
    gen_value(g, node);
    gen_op(g, node, OP_Pop);
}

/* ---- conditions ----------------------------------------------------------------------------- */

/* `a || b` when sense is true, `a && b` when it is not: either operand alone decides. */
static bool either_decides(const struct node *node, bool sense)
{
    return (node->kind == NODE_OR) == sense;
}

static void gen_logic_condition(struct gen *g, struct node *node, bool sense,
                                struct gen_label *label)
{
    if (either_decides(node, sense)) {
        gen_condition(g, node->a, sense, label);
        gen_condition(g, node->b, sense, label);
        return;
    }
    struct gen_label skip = gen_label(g);
    gen_condition(g, node->a, !sense, &skip);
    gen_condition(g, node->b, sense, label);
    gen_label_here(g, &skip);
}

void gen_condition(struct gen *g, struct node *node, bool sense, struct gen_label *label)
{
    bool truth;
    if (node_truth(node, &truth)) {
        if (truth == sense)
            gen_jump(g, node, OP_Jump, label);
    } else if (node->kind == NODE_UNARY && node->op == OP_Not) {
        gen_condition(g, node->a, !sense, label);
    } else if (node->kind == NODE_AND || node->kind == NODE_OR) {
        gen_logic_condition(g, node, sense, label);
    } else {
        gen_value(g, node);
        gen_jump(g, node, sense ? OP_JumpIfTrue : OP_JumpIfFalse, label);
    }
}
