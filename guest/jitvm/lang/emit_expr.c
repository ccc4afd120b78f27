/* SPDX-License-Identifier: Apache-2.0 */
/* Emitting expressions: as values, and as conditions, which go straight to jumps. */
#include <string.h>

#include "guest/jitvm/lang/emit.h"

static void emit_float(struct emitter *e, const struct node *node)
{
    int64_t bits;
    memcpy(&bits, &node->as.f, sizeof bits);
    emit(e, node, (struct jitvm_op){.code = OP_Float, .imm = bits});
}

static void emit_str(struct emitter *e, const struct node *node)
{
    uint32_t index = builder_const_str(e->builder, node->as.str.bytes, node->as.str.len);
    emit(e, node, (struct jitvm_op){.code = OP_Const, .b = index});
}

static void emit_list(struct emitter *e, struct node *first)
{
    for (struct node *node = first; node; node = node->next)
        emit_value(e, node);
}

/* [a..b]: the ops include the end. */
static void emit_range_array(struct emitter *e, struct node *range)
{
    emit_value(e, range->a);
    emit_value(e, range->b);
    if (!range->flag) {
        emit_int(e, range, 1);
        emit_op(e, range, OP_Sub);
    }
    if (range->c)
        emit_value(e, range->c);
    emit_op(e, range, range->c ? OP_RangeStep : OP_Range);
}

static void emit_array(struct emitter *e, struct node *node)
{
    if (node->list && node->list->kind == NODE_RANGE)
        return emit_range_array(e, node->list);
    emit_list(e, node->list);
    emit(e, node, (struct jitvm_op){.code = OP_MakeArray, .b = node->count});
}

static void emit_hash(struct emitter *e, struct node *node)
{
    emit_list(e, node->list);
    emit(e, node, (struct jitvm_op){.code = OP_MakeHash, .b = node->count});
}

static void emit_func(struct emitter *e, const struct node *node,
                      const struct lang_function *function)
{
    emit(e, node, (struct jitvm_op){.code = OP_Func, .b = function->index});
}

static void emit_name(struct emitter *e, const struct node *node)
{
    if (node->as.name.variable)
        emit_get(e, node, node->as.name.variable);
    else
        emit_func(e, node, node->as.name.function);
}

static void emit_take(struct emitter *e, const struct node *node)
{
    struct lang_variable *variable = node->as.name.variable;
    uint32_t which = emit_variable(e, variable);
    if (!variable->global) {
        emit(e, node, (struct jitvm_op){.code = OP_TakeSlot, .a = (uint16_t)which});
        return;
    }
    emit_get(e, node, variable);
    emit_op(e, node, OP_Undef);
    emit_set(e, node, variable);
}

static void emit_unary(struct emitter *e, struct node *node)
{
    emit_value(e, node->a);
    emit_op(e, node, (enum op_code)node->op);
}

/* Chains of left operands may be long. */
static void emit_binary(struct emitter *e, struct node *node)
{
    struct node *left = node;
    for (; left->a->kind == NODE_BINARY; left = left->a)
        left->a->up = left;
    emit_value(e, left->a);
    for (;; left = left->up) {
        emit_value(e, left->b);
        emit_op(e, left, (enum op_code)left->op);
        if (left == node)
            return;
    }
}

/* The deciding operand is the value. */
static void emit_logic(struct emitter *e, struct node *node)
{
    struct emit_label end = emit_label(e);
    bool truth;
    if (node_truth(node->a, &truth))
        return emit_value(e, truth == (node->kind == NODE_OR) ? node->a : node->b);
    emit_value(e, node->a);
    emit_jump(e, node, node->kind == NODE_OR ? OP_JumpIfTrueKeep : OP_JumpIfFalseKeep, &end);
    emit_op(e, node, OP_Pop);
    emit_value(e, node->b);
    emit_label_here(e, &end);
}

static void emit_index(struct emitter *e, struct node *node)
{
    struct emit_place place;
    if (emit_place_of(node, &place)) {
        emit_place_keys(e, &place);
        emit_path(e, node, OP_GetPath, &place);
        return;
    }
    emit_value(e, node->a);
    emit_value(e, node->b);
    emit_op(e, node, OP_GetIndex);
}

static void emit_named_call(struct emitter *e, struct node *node)
{
    const struct node_name *name = &node->a->as.name;
    struct jitvm_op op = {.code = OP_Call, .a = (uint16_t)node->count};
    if (name->function) {
        op.b = name->function->index;
    } else {
        op.code = OP_CallBuiltin;
        op.b = builder_name(e->builder, name->symbol->text, name->symbol->len);
    }
    emit_list(e, node->list);
    emit(e, node, op);
}

static void emit_call(struct emitter *e, struct node *node)
{
    if (emit_special(e, node, true))
        return;
    if (node->a->kind == NODE_NAME && !node->a->as.name.variable)
        return emit_named_call(e, node);
    emit_value(e, node->a);
    emit_list(e, node->list);
    emit(e, node, (struct jitvm_op){.code = OP_CallDynamic, .a = (uint16_t)node->count});
}

static void emit_compound(struct emitter *e, struct node *node)
{
    switch (node->kind) {
    case NODE_ARRAY:
        return emit_array(e, node);
    case NODE_HASH:
        return emit_hash(e, node);
    case NODE_UNARY:
        return emit_unary(e, node);
    case NODE_BINARY:
        return emit_binary(e, node);
    case NODE_INDEX:
        return emit_index(e, node);
    case NODE_CALL:
        return emit_call(e, node);
    default:
        return emit_logic(e, node);
    }
}

void emit_value(struct emitter *e, struct node *node)
{
    switch (node->kind) {
    case NODE_UNDEF:
        return emit_op(e, node, OP_Undef);
    case NODE_BOOL:
        return emit_op(e, node, node->as.i ? OP_True : OP_False);
    case NODE_INT:
        return emit_int(e, node, node->as.i);
    case NODE_FLOAT:
        return emit_float(e, node);
    case NODE_STR:
        return emit_str(e, node);
    case NODE_FN:
        return emit_func(e, node, node->as.function);
    case NODE_NAME:
        return emit_name(e, node);
    case NODE_TAKE:
        return emit_take(e, node);
    default:
        return emit_compound(e, node);
    }
}

void emit_statement_value(struct emitter *e, struct node *node)
{
    if (node->kind == NODE_CALL && emit_special(e, node, false))
        return;
    emit_value(e, node);
    emit_op(e, node, OP_Pop);
}

/* ---- conditions ----------------------------------------------------------------------------- */

/* `a || b` when sense is true, `a && b` when it is not: either operand alone decides. */
static bool either_decides(const struct node *node, bool sense)
{
    return (node->kind == NODE_OR) == sense;
}

static void emit_logic_condition(struct emitter *e, struct node *node, bool sense,
                                 struct emit_label *label)
{
    if (either_decides(node, sense)) {
        emit_condition(e, node->a, sense, label);
        emit_condition(e, node->b, sense, label);
        return;
    }
    struct emit_label skip = emit_label(e);
    emit_condition(e, node->a, !sense, &skip);
    emit_condition(e, node->b, sense, label);
    emit_label_here(e, &skip);
}

void emit_condition(struct emitter *e, struct node *node, bool sense, struct emit_label *label)
{
    bool truth;
    if (node_truth(node, &truth)) {
        if (truth == sense)
            emit_jump(e, node, OP_Jump, label);
    } else if (node->kind == NODE_UNARY && node->op == OP_Not) {
        emit_condition(e, node->a, !sense, label);
    } else if (node->kind == NODE_AND || node->kind == NODE_OR) {
        emit_logic_condition(e, node, sense, label);
    } else {
        emit_value(e, node);
        emit_jump(e, node, sense ? OP_JumpIfTrue : OP_JumpIfFalse, label);
    }
}
