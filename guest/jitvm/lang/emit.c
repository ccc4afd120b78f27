/* SPDX-License-Identifier: Apache-2.0 */
/* Emitting: ops, labels, variables, statements, functions. */
#include "guest/jitvm/lang/emit.h"

/* ---- ops and labels ------------------------------------------------------------------------- */

void emit(struct emitter *e, const struct node *node, struct jitvm_op op)
{
    if (e->dead)
        return;
    builder_line(e->builder, node->line);
    (void)builder_emit(e->builder, op);
    e->dead = op_ends_flow(op.code);
}

void emit_op(struct emitter *e, const struct node *node, enum op_code code)
{
    emit(e, node, (struct jitvm_op){.code = (uint16_t)code});
}

void emit_int(struct emitter *e, const struct node *node, int64_t i)
{
    emit(e, node, (struct jitvm_op){.code = OP_Int, .imm = i});
}

struct emit_label emit_label(struct emitter *e)
{
    return (struct emit_label){.id = builder_label(e->builder)};
}

void emit_jump(struct emitter *e, const struct node *node, enum op_code code,
               struct emit_label *label)
{
    if (e->dead)
        return;
    builder_line(e->builder, node->line);
    builder_jump(e->builder, code, label->id);
    label->used = true;
    e->dead = code == OP_Jump;
}

void emit_label_here(struct emitter *e, struct emit_label *label)
{
    if (!label->used)
        return;
    builder_place(e->builder, label->id);
    e->dead = false;
}

void emit_loop_here(struct emitter *e, struct emit_label *label)
{
    label->used = true;
    emit_label_here(e, label);
}

/* ---- variables ------------------------------------------------------------------------------ */

uint32_t emit_slot(struct emitter *e)
{
    return builder_slot(e->builder, NULL, 0);
}

uint32_t emit_variable(struct emitter *e, struct lang_variable *variable)
{
    const struct lang_symbol *symbol = variable->symbol;
    if (!variable->has_slot) {
        variable->slot = variable->global ? builder_name(e->builder, symbol->text, symbol->len)
                                          : builder_slot(e->builder, symbol->text, symbol->len);
        variable->has_slot = true;
    }
    return variable->slot;
}

void emit_get_slot(struct emitter *e, const struct node *node, uint32_t slot)
{
    emit(e, node, (struct jitvm_op){.code = OP_GetSlot, .a = (uint16_t)slot});
}

void emit_set_slot(struct emitter *e, const struct node *node, uint32_t slot)
{
    emit(e, node, (struct jitvm_op){.code = OP_SetSlot, .a = (uint16_t)slot});
}

void emit_get(struct emitter *e, const struct node *node, struct lang_variable *variable)
{
    uint32_t which = emit_variable(e, variable);
    if (variable->global)
        emit(e, node, (struct jitvm_op){.code = OP_GetGlobal, .b = which});
    else
        emit_get_slot(e, node, which);
}

void emit_set(struct emitter *e, const struct node *node, struct lang_variable *variable)
{
    uint32_t which = emit_variable(e, variable);
    if (variable->global)
        emit(e, node, (struct jitvm_op){.code = OP_SetGlobal, .b = which});
    else
        emit_set_slot(e, node, which);
}

/* ---- statements ----------------------------------------------------------------------------- */

static void emit_let(struct emitter *e, struct node *node)
{
    if (node->a)
        emit_value(e, node->a);
    else
        emit_op(e, node, OP_Undef);
    emit_set(e, node, node->as.name.variable);
}

/* Where `{ break }` or `{ continue }` goes; NULL: the block is another. */
static struct emit_label *jump_of_block(struct emitter *e, const struct node *block)
{
    const struct node *only = block->list;
    if (!only || only->next)
        return NULL;
    return only->kind == NODE_BREAK      ? &e->loop->end
           : only->kind == NODE_CONTINUE ? &e->loop->next
                                         : NULL;
}

static void emit_arm(struct emitter *e, struct node *arm, bool last, struct emit_label *end)
{
    struct emit_label otherwise = emit_label(e);
    struct emit_label *jump = jump_of_block(e, arm->b);
    if (jump)
        return emit_condition(e, arm->a, true, jump);
    emit_condition(e, arm->a, false, &otherwise);
    emit_statement(e, arm->b);
    if (!last)
        emit_jump(e, arm, OP_Jump, end);
    emit_label_here(e, &otherwise);
}

static void emit_if(struct emitter *e, struct node *node)
{
    struct emit_label end = emit_label(e);
    for (struct node *arm = node->list; arm; arm = arm->next)
        emit_arm(e, arm, !arm->next && !node->b, &end);
    if (node->b)
        emit_statement(e, node->b);
    emit_label_here(e, &end);
}

static void emit_return(struct emitter *e, struct node *node)
{
    if (node->a)
        emit_value(e, node->a);
    emit_op(e, node, node->a ? OP_ReturnValue : OP_Return);
}

static void emit_block(struct emitter *e, struct node *block)
{
    for (struct node *node = block->list; node && e->lang->status == 0 && !e->dead;
         node = node->next)
        emit_statement(e, node);
}

void emit_statement(struct emitter *e, struct node *node)
{
    switch (node->kind) {
    case NODE_LET:
        return emit_let(e, node);
    case NODE_ASSIGN:
        return emit_assign(e, node);
    case NODE_EXPR:
        return emit_statement_value(e, node->a);
    case NODE_IF:
        return emit_if(e, node);
    case NODE_WHILE:
        return emit_while(e, node);
    case NODE_FOR:
        return emit_for(e, node);
    case NODE_BREAK:
        return emit_jump(e, node, OP_Jump, &e->loop->end);
    case NODE_CONTINUE:
        return emit_jump(e, node, OP_Jump, &e->loop->next);
    case NODE_RETURN:
        return emit_return(e, node);
    default:
        return emit_block(e, node);
    }
}

/* ---- functions ------------------------------------------------------------------------------ */

static uint32_t declare_function(struct jitvm_builder *builder,
                                 const struct lang_function *function)
{
    char place[40];
    if (function->symbol)
        return builder_function(builder, function->symbol->text, function->symbol->len,
                                function->arity);
    int len = snprintf(place, sizeof place, "fn@%u:%u", function->line, function->column);
    return builder_function(builder, place, (size_t)len, function->arity);
}

static void name_params(struct emitter *e, const struct lang_function *function)
{
    for (uint32_t i = 0; i < function->arity; i++) {
        struct lang_variable *param = function->params[i];
        builder_name_slot(e->builder, i, param->symbol->text, param->symbol->len);
        param->slot = i;
        param->has_slot = true;
    }
}

static void emit_function(struct emitter *e, const struct lang_function *function)
{
    e->function = function;
    e->loop = NULL;
    e->dead = false;
    builder_begin(e->builder, function->index);
    name_params(e, function);
    emit_statement(e, function->body);
    emit_op(e, function->body, OP_Return);
}

int emit_program(struct lang *lang, struct jitvm_builder *builder, struct lang_function *main)
{
    struct emitter e = {.lang = lang, .builder = builder};
    for (struct lang_function *f = main->next; f; f = f->next)
        f->index = declare_function(builder, f);
    for (struct lang_function *f = main; f && lang->status == 0; f = f->next)
        emit_function(&e, f);
    return lang->status;
}
