/* SPDX-License-Identifier: Apache-2.0 */
/* Between random_expression.c, which makes what gives a value, and random_chunk.c, which makes
 * programs of it. */
#ifndef TESTS_JITVM_RANDOM_MAKER_H
#define TESTS_JITVM_RANDOM_MAKER_H

#include "tests/jitvm/random_chunk.h"

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
    uint32_t slots;    /* of it that may be used; the next one has a container, mostly */
    unsigned nesting;  /* of statements */
    unsigned ops;      /* so far, in all of the chunk */
    unsigned enough;   /* ops: no more is begun then */
    uint32_t loop_end; /* label of the innermost loop, if there is one */
    bool in_loop;
};

/* 0..n-1, as the bytes say. */
unsigned pick(struct maker *m, unsigned n);
bool one_in(struct maker *m, unsigned n);

/* Ops, by what they need. */
void emit(struct maker *m, struct jitvm_op op);
void plain(struct maker *m, enum op_code code);
void of_slot(struct maker *m, enum op_code code, uint32_t slot);
void of_index(struct maker *m, enum op_code code, uint32_t index);
void push_int(struct maker *m, int64_t i);
void jump(struct maker *m, enum op_code code, uint32_t label);
void builtin(struct maker *m, const char *name, unsigned count);

uint32_t any_slot(struct maker *m);
uint32_t any_global(struct maker *m);
uint32_t slot_with_container(struct maker *m);

enum op_code binary_op(struct maker *m);
/* One value more on the stack; the deeper, the more it may be made of. */
void expression(struct maker *m, unsigned depth);
void container(struct maker *m, unsigned depth);
/* One op that changes a place. */
void write_place(struct maker *m);

#endif
