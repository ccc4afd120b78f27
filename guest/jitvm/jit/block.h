/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block compiler, what does not depend on the processor: the flow of control of one function,
 * the kinds that its registers have, what is alive, and where it is kept.
 *
 * A register whose kind is known to be int, bool or float is unboxed: a machine register, or the
 * payload of its cell, has it, and the kind in the cell means nothing but that it is no heap kind.
 * One known to be undef is nowhere. Every other is in its cell.
 */
#ifndef JITVM_JIT_BLOCK_H
#define JITVM_JIT_BLOCK_H

#include "guest/jitvm/jit/arena.h"
#include "guest/jitvm/vm/vm.h"

/* A set of kinds, 1 << kind of each that is possible. 0: there is no value. */
typedef uint16_t kind_set;
#define KINDS_UNDEF  ((kind_set)(1u << JITVM_UNDEF))
#define KINDS_BOOL   ((kind_set)(1u << JITVM_BOOL))
#define KINDS_INT    ((kind_set)(1u << JITVM_INT))
#define KINDS_FLOAT  ((kind_set)(1u << JITVM_FLOAT))
#define KINDS_STR    ((kind_set)(1u << JITVM_STR))
#define KINDS_ARRAY  ((kind_set)(1u << JITVM_ARRAY))
#define KINDS_HASH   ((kind_set)(1u << JITVM_HASH))
#define KINDS_NUMBER ((kind_set)(KINDS_INT | KINDS_FLOAT))
#define KINDS_HEAP   ((kind_set)(KINDS_STR | KINDS_ARRAY | KINDS_HASH))
#define KINDS_ALL    ((kind_set)((1u << JITVM_KINDS) - 1))

static inline bool kinds_single(kind_set set)
{
    return set && !(set & (set - 1));
}

enum rep {
    REP_NONE,  /* no value, or undef */
    REP_INT,   /* an int or a bool, unboxed */
    REP_FLOAT, /* unboxed */
    REP_BOXED, /* in its cell */
};

static inline enum rep kinds_rep(kind_set set)
{
    if (set == 0 || set == KINDS_UNDEF)
        return REP_NONE;
    if (set == KINDS_INT || set == KINDS_BOOL)
        return REP_INT;
    return set == KINDS_FLOAT ? REP_FLOAT : REP_BOXED;
}

/* ---- what an instruction does with registers ------------------------------------------------- */

struct operands {
    uint16_t reads[4];
    uint8_t read_count;
    uint16_t first, count; /* a range that is read */
    int32_t writes;        /* -1: nothing */
    int32_t also_writes;   /* TAKE's source, a slot changed by place; -1 */
    bool keeps;            /* operands read are alive afterwards */
};
void operands_of(const struct code *code, uint32_t at, struct operands *out);

/* ---- flow ------------------------------------------------------------------------------------ */

#define BLOCK_NONE UINT32_MAX

struct block {
    uint32_t first, end; /* instructions [first, end) */
    uint32_t next[2];    /* where it goes: falling through first, BLOCK_NONE: nowhere */
    uint32_t weight;     /* how much a use in it counts: 8 ^ depth of loops */
    bool reached;
    bool pending;
    kind_set *in;      /* by register */
    uint64_t *live_in; /* bits by register */
    uint64_t *live_out;
    uint32_t *spans_in, *spans_out; /* by register: index + 1 of the span that is open there */
};

/* A register, unboxed in one representation, from one point to another: point 2i is before
 * instruction i, 2i+1 after it. */
struct span {
    uint32_t start, end;
    uint32_t next; /* of the same register and representation, later; index + 1 */
    uint32_t home; /* of the span that stands for all that must be in the same place */
    /* of the one that stands for all: */
    uint32_t from, to, weight;
    int16_t place; /* machine register, or -1: the cell */
    int16_t hint;
    bool is_float;
};

struct flow {
    struct jitvm *vm;
    struct arena *arena;
    const struct vm_function *function;
    const struct code *code;
    uint32_t count; /* instructions */
    uint32_t registers;
    uint32_t words; /* of a set of registers */
    struct block *blocks;
    uint32_t block_count;
    uint32_t *block_at; /* by instruction */

    const kind_set *args; /* by argument: kinds that the entry lets in; of a loop: by register */
    bool is_loop;         /* entered at a loop's head instead of the start */
    uint32_t entry;       /* the block it is entered at */
    const uint8_t *slow;  /* by instruction, NULL: none. 1: without guessing */
    bool generic;         /* no guessing at all */
    kind_set result;      /* what it returns */
    uint64_t steps;       /* of flow_kinds, about */

    uint64_t *live; /* by instruction: alive after it */
    struct span *spans;
    uint32_t span_count, span_room;
    uint32_t *span_first[2], *span_last[2]; /* by register: int, float; index + 1 */
    uint32_t *span_found[2];                /* where the last search ended */
    uint32_t *helpers; /* by instruction: how many before it call C on the usual way */
};

/* 0; LIMIT: larger than the compiler takes on; MEMORY. */
int flow_build(struct flow *f);
/* Every block's `in`, and `result`. MEMORY; LIMIT: it takes too long. */
int flow_kinds(struct flow *f);
int flow_liveness(struct flow *f);
/* Fills in `helpers`. */
int flow_helpers(struct flow *f);

static inline bool flow_alive(const uint64_t *set, uint32_t reg)
{
    return set[reg / 64] >> (reg % 64) & 1;
}

/* Follows one instruction: `kinds`, by register, from before it to after it. False: control does
 * not get past it. */
bool kinds_step(const struct flow *f, uint32_t at, kind_set *kinds, kind_set *result);
/* What instruction `at` writes, of operands of these kinds; 0: it never ran, or never ends. */
kind_set kinds_written(const struct flow *f, uint32_t at, const kind_set *kinds);
/* Has the instruction to leave for the interpreter, as nothing is known of what it gives? */
bool kinds_unseen(const struct flow *f, uint32_t at);

/* ---- places ---------------------------------------------------------------------------------- */

/* What the processor has: registers by number, those that survive calls of C first. */
struct places {
    const int8_t *ints, *floats;
    uint8_t int_count, float_count;
    /* Where arguments of typed entries are; by number among those of their representation. */
    const int8_t *int_args, *float_args;
    uint8_t int_arg_count, float_arg_count;
};

/* Gives every unboxed register a place. */
int flow_places(struct flow *f, const struct places *machine);
/* The machine register that has `reg` at `point`, -1: its cell. */
int flow_place(const struct flow *f, uint32_t reg, bool is_float, uint32_t point);
const struct span *flow_span(const struct flow *f, uint32_t reg, bool is_float, uint32_t point);

void flow_dump(const struct flow *f, FILE *to);

#endif
