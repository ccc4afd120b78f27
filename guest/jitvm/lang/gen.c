/* SPDX-License-Identifier: Apache-2.0 */
/* Emitting: ops, labels, variables, statements, functions. */
#include <string.h>

#include "guest/jitvm/lang/gen.h"

/* ---- ops and labels ------------------------------------------------------------------------- */

void gen_emit(struct gen *g, const struct node *node, struct jitvm_op op)
{
    if (g->dead)
        return;
    builder_line(g->builder, node->line);
    (void)builder_emit(g->builder, op);
    g->dead = op_ends_flow(op.code);
}

void gen_op(struct gen *g, const struct node *node, enum op_code code)
{
    gen_emit(g, node, (struct jitvm_op){.code = (uint16_t)code});
}

void gen_int(struct gen *g, const struct node *node, int64_t i)
{
    gen_emit(g, node, (struct jitvm_op){.code = OP_Int, .imm = i});
}

struct gen_label gen_label(struct gen *g)
{
    return (struct gen_label){.id = builder_label(g->builder)};
}

void gen_jump(struct gen *g, const struct node *node, enum op_code code, struct gen_label *label)
{
    if (g->dead)
        return;
    builder_line(g->builder, node->line);
    /* The parser refuses a break outside of a loop. */
    builder_jump(g->builder, code, label->id); /* NOLINT(clang-analyzer-core.NullDereference) */
    label->used = true;
    g->dead = code == OP_Jump;
}

void gen_label_here(struct gen *g, struct gen_label *label)
{
    if (!label->used)
        return;
    builder_place(g->builder, label->id);
    g->dead = false;
}

void gen_loop_here(struct gen *g, struct gen_label *label)
{
    label->used = true;
    gen_label_here(g, label);
}

void gen_to_int(struct gen *g, struct node *node)
{
    gen_value(g, node);
    if (node->kind != NODE_INT)
        gen_op(g, node, OP_ToInt);
}

void gen_builtin(struct gen *g, const struct node *node, const char *name, uint16_t args)
{
    uint32_t index = builder_name(g->builder, name, strlen(name));
    gen_emit(g, node, (struct jitvm_op){.code = OP_CallBuiltin, .a = args, .b = index});
}

/* ---- variables ------------------------------------------------------------------------------ */

uint32_t gen_slot(struct gen *g)
{
    return builder_slot(g->builder, NULL, 0);
}

uint32_t gen_variable(struct gen *g, struct lang_variable *variable)
{
    const struct lang_symbol *symbol = variable->symbol;
    if (!variable->has_slot) {
        variable->slot = variable->global ? builder_name(g->builder, symbol->text, symbol->len)
                                          : builder_slot(g->builder, symbol->text, symbol->len);
        variable->has_slot = true;
    }
    return variable->slot;
}

void gen_get_slot(struct gen *g, const struct node *node, uint32_t slot)
{
    gen_emit(g, node, (struct jitvm_op){.code = OP_GetSlot, .a = (uint16_t)slot});
}

void gen_set_slot(struct gen *g, const struct node *node, uint32_t slot)
{
    gen_emit(g, node, (struct jitvm_op){.code = OP_SetSlot, .a = (uint16_t)slot});
}

void gen_get(struct gen *g, const struct node *node, struct lang_variable *variable)
{
    uint32_t which = gen_variable(g, variable);
    if (variable->global)
        gen_emit(g, node, (struct jitvm_op){.code = OP_GetGlobal, .b = which});
    else
        gen_get_slot(g, node, which);
}

void gen_set(struct gen *g, const struct node *node, struct lang_variable *variable)
{
    uint32_t which = gen_variable(g, variable);
    if (variable->global)
        gen_emit(g, node, (struct jitvm_op){.code = OP_SetGlobal, .b = which});
    else
        gen_set_slot(g, node, which);
}

/* ---- statements ----------------------------------------------------------------------------- */

static void gen_let(struct gen *g, struct node *node)
{
    if (node->a)
        gen_value(g, node->a);
    else
        gen_op(g, node, OP_Undef);
    gen_set(g, node, node->as.name.variable);
}

/* Where `{ break }` or `{ continue }` goes; NULL: the block is another. */
static struct gen_label *jump_of_block(struct gen *g, const struct node *block)
{
    const struct node *only = block->list;
    if (!only || only->next)
        return NULL;
    return only->kind == NODE_BREAK      ? &g->loop->end
           : only->kind == NODE_CONTINUE ? &g->loop->next
                                         : NULL;
}

static void gen_arm(struct gen *g, struct node *arm, bool last, struct gen_label *end)
{
    struct gen_label otherwise = gen_label(g);
    struct gen_label *jump = jump_of_block(g, arm->b);
    if (jump)
        return gen_condition(g, arm->a, true, jump);
    gen_condition(g, arm->a, false, &otherwise);
    gen_statement(g, arm->b);
    if (!last)
        gen_jump(g, arm, OP_Jump, end);
    gen_label_here(g, &otherwise);
}

static void gen_if(struct gen *g, struct node *node)
{
    struct gen_label end = gen_label(g);
    bool truth = false;
    for (struct node *arm = node->list; arm && !truth; arm = arm->next)
        if (!node_truth(arm->a, &truth))
            gen_arm(g, arm, !arm->next && !node->b, &end);
        else if (truth)
            gen_statement(g, arm->b);
    if (node->b && !truth)
        gen_statement(g, node->b);
    gen_label_here(g, &end);
}

static void gen_return(struct gen *g, struct node *node)
{
    if (node->a)
        gen_value(g, node->a);
    gen_op(g, node, node->a ? OP_ReturnValue : OP_Return);
}

static void gen_block(struct gen *g, struct node *block)
{
    for (struct node *node = block->list; node && g->lang->status == 0 && !g->dead;
         node = node->next)
        gen_statement(g, node);
}

void gen_statement(struct gen *g, struct node *node)
{
    switch (node->kind) {
    case NODE_LET:
        return gen_let(g, node);
    case NODE_ASSIGN:
        return gen_assign(g, node);
    case NODE_EXPR:
        return gen_statement_value(g, node->a);
    case NODE_IF:
        return gen_if(g, node);
    case NODE_WHILE:
        return gen_while(g, node);
    case NODE_FOR:
        return gen_for(g, node);
    case NODE_BREAK:
        return gen_jump(g, node, OP_Jump, &g->loop->end);
    case NODE_CONTINUE:
        return gen_jump(g, node, OP_Jump, &g->loop->next);
    case NODE_RETURN:
        return gen_return(g, node);
    default:
        return gen_block(g, node);
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

static void name_params(struct gen *g, const struct lang_function *function)
{
    for (uint32_t i = 0; i < function->arity; i++) {
        struct lang_variable *param = function->params[i];
        builder_name_slot(g->builder, i, param->symbol->text, param->symbol->len);
        param->slot = i;
        param->has_slot = true;
    }
}

static void gen_function(struct gen *g, const struct lang_function *function)
{
    g->function = function;
    g->loop = NULL;
    g->dead = false;
    builder_begin(g->builder, function->index);
    name_params(g, function);
    gen_statement(g, function->body);
    gen_op(g, function->body, OP_Return);
}

int gen_program(struct lang *lang, struct jitvm_builder *builder, struct lang_function *main)
{
    struct gen g = {.lang = lang, .builder = builder};
    for (struct lang_function *f = main->next; f; f = f->next)
        f->index = declare_function(builder, f);
    for (struct lang_function *f = main; f && lang->status == 0; f = f->next)
        gen_function(&g, f);
    return lang->status;
}
