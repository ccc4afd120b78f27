/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tree to ops. Code that cannot be reached is not emitted: after a jump or return the emitter is
 * `dead`, and swallows ops until a label that is jumped to is placed.
 */
#ifndef JITVM_LANG_EMIT_H
#define JITVM_LANG_EMIT_H

#include "guest/jitvm/chunk/builder.h"
#include "guest/jitvm/lang/ast.h"

struct emit_label {
    uint32_t id;
    bool used; /* something jumps to it */
};

struct emit_loop {
    struct emit_loop *outer;
    struct emit_label next, end; /* where continue and break go */
};

struct emitter {
    struct lang *lang;
    struct jitvm_builder *builder;
    const struct lang_function *function;
    struct emit_loop *loop;
    bool dead;
};

/* emit.c: gives all functions to the builder. Fails as lang_fail does; the builder's own failures
 * come from builder_build. */
int emit_program(struct lang *lang, struct jitvm_builder *builder, struct lang_function *main);

/* Ops; their line is that of `node`. */
void emit(struct emitter *e, const struct node *node, struct jitvm_op op);
void emit_op(struct emitter *e, const struct node *node, enum op_code code);
void emit_int(struct emitter *e, const struct node *node, int64_t i);

struct emit_label emit_label(struct emitter *e);
void emit_jump(struct emitter *e, const struct node *node, enum op_code code,
               struct emit_label *label);
void emit_label_here(struct emitter *e, struct emit_label *label);
/* The same for a label that later code may jump back to. */
void emit_loop_here(struct emitter *e, struct emit_label *label);

/* Variables and slots without a name. */
uint32_t emit_slot(struct emitter *e);
void emit_get_slot(struct emitter *e, const struct node *node, uint32_t slot);
void emit_set_slot(struct emitter *e, const struct node *node, uint32_t slot);
void emit_get(struct emitter *e, const struct node *node, struct lang_variable *variable);
void emit_set(struct emitter *e, const struct node *node, struct lang_variable *variable);
/* The slot, or the index of the global's name. */
uint32_t emit_variable(struct emitter *e, struct lang_variable *variable);

/* emit_expr.c */
void emit_value(struct emitter *e, struct node *node); /* pushes one */
/* Jumps to `label` when the truth of `node` is `sense`, otherwise goes on. Pushes nothing. */
void emit_condition(struct emitter *e, struct node *node, bool sense, struct emit_label *label);
void emit_statement_value(struct emitter *e, struct node *node); /* a value nobody wants */

/* emit_place.c */
struct emit_place {
    struct lang_variable *variable;
    struct node *keys[OP_KEYS_MAX]; /* the outermost container's first */
    uint32_t count;
};
/* False when `node` is no variable with a path that an op can hold. */
bool emit_place_of(struct node *node, struct emit_place *place);
/* `code` with the path; its keys, and value, are on the stack. */
void emit_path(struct emitter *e, const struct node *node, enum op_code code,
               const struct emit_place *place);
void emit_path_slot(struct emitter *e, const struct node *node, enum op_code code, uint32_t slot,
                    uint32_t keys);
void emit_place_keys(struct emitter *e, const struct emit_place *place);
void emit_assign(struct emitter *e, struct node *node);
/* KeysPath or ValuesPath of any expression, LenPath of a place: pushes one. */
void emit_walked(struct emitter *e, struct node *node, enum op_code code);
/* Calls of push, pop, len and their like. False: `call` is another. `wanted`: push one value. */
bool emit_special(struct emitter *e, struct node *call, bool wanted);

/* emit_loop.c */
void emit_while(struct emitter *e, struct node *node);
void emit_for(struct emitter *e, struct node *node);

/* emit.c */
void emit_statement(struct emitter *e, struct node *node);

#endif
