/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tree to ops. Code that cannot be reached is not emitted: after a jump or return the generator is
 * `dead`, and swallows ops until a label that is jumped to is placed.
 */
#ifndef JITVM_LANG_GEN_H
#define JITVM_LANG_GEN_H

#include "guest/jitvm/chunk/builder.h"
#include "guest/jitvm/lang/ast.h"

struct gen_label {
    uint32_t id;
    bool used; /* something jumps to it */
};

struct gen_loop {
    struct gen_loop *outer;
    struct gen_label next, end; /* where continue and break go */
};

struct gen {
    struct lang *lang;
    struct jitvm_builder *builder;
    const struct lang_function *function;
    struct gen_loop *loop;
    bool dead;
};

/* gen.c: gives all functions to the builder. Fails as lang_fail does; the builder's own failures
 * come from builder_build. */
int gen_program(struct lang *lang, struct jitvm_builder *builder, struct lang_function *main);

/* Ops; their line is that of `node`. */
void gen_emit(struct gen *g, const struct node *node, struct jitvm_op op);
void gen_op(struct gen *g, const struct node *node, enum op_code code);
void gen_int(struct gen *g, const struct node *node, int64_t i);
void gen_to_int(struct gen *g, struct node *node); /* pushes its value as an int */
/* A call of the builtin; its arguments are on the stack. */
void gen_builtin(struct gen *g, const struct node *node, const char *name, uint16_t args);

struct gen_label gen_label(struct gen *g);
void gen_jump(struct gen *g, const struct node *node, enum op_code code, struct gen_label *label);
void gen_label_here(struct gen *g, struct gen_label *label);
/* The same for a label that later code may jump back to. */
void gen_loop_here(struct gen *g, struct gen_label *label);

/* Variables and slots without a name. */
uint32_t gen_slot(struct gen *g);
void gen_get_slot(struct gen *g, const struct node *node, uint32_t slot);
void gen_set_slot(struct gen *g, const struct node *node, uint32_t slot);
void gen_get(struct gen *g, const struct node *node, struct lang_variable *variable);
void gen_set(struct gen *g, const struct node *node, struct lang_variable *variable);
/* The slot, or the index of the global's name. */
uint32_t gen_variable(struct gen *g, struct lang_variable *variable);

/* gen_expr.c */
void gen_value(struct gen *g, struct node *node); /* pushes one */
/* Jumps to `label` when the truth of `node` is `sense`, otherwise goes on. Pushes nothing. */
void gen_condition(struct gen *g, struct node *node, bool sense, struct gen_label *label);
void gen_statement_value(struct gen *g, struct node *node); /* a value nobody wants */

/* gen_place.c */
struct gen_place {
    struct lang_variable *variable;
    struct node *keys[OP_KEYS_MAX]; /* the outermost container's first */
    uint32_t count;
};
/* False when `node` is no variable with a path that an op can hold. */
bool gen_place_of(struct node *node, struct gen_place *place);
/* `code` with the path; its keys, and value, are on the stack. */
void gen_path(struct gen *g, const struct node *node, enum op_code code,
              const struct gen_place *place);
void gen_path_slot(struct gen *g, const struct node *node, enum op_code code, uint32_t slot,
                   uint32_t keys);
void gen_place_keys(struct gen *g, const struct gen_place *place);
void gen_assign(struct gen *g, struct node *node);
/* KeysPath or ValuesPath of any expression, LenPath of a place: pushes one. */
void gen_walked(struct gen *g, struct node *node, enum op_code code);
/* Calls of push, pop, len and their like. False: `call` is another. `wanted`: push one value. */
bool gen_special(struct gen *g, struct node *call, bool wanted);

/* gen_loop.c */
void gen_while(struct gen *g, struct node *node);
void gen_for(struct gen *g, struct node *node);

/* gen.c */
void gen_statement(struct gen *g, struct node *node);

#endif
