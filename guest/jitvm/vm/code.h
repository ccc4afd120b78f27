/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lowered code: what the interpreter runs and what the compilers read. One VM's own, made from one
 * function of a verified chunk by lower.c the first time that it is called.
 *
 * Registers of an activation are a window on the VM's stack: slots 0..slots-1, then a register for
 * each operand of the stack ops. Invariant I1: a cell of the stack that holds no live value never
 * has a heap kind. So writing a register releases what a heap kind there shows, and unwinding
 * releases whatever it finds, without a map of what is alive.
 */
#ifndef JITVM_VM_CODE_H
#define JITVM_VM_CODE_H

#include "guest/jitvm/chunk/chunk.h"

enum code_op {
#define X(name, format) CODE_##name,
#include "guest/jitvm/vm/code.def"
#undef X
    CODE_COUNT
};

enum code_format {
    CODE_FMT_NONE,
    CODE_FMT_J,     /* c: offset */
    CODE_FMT_S,     /* a read */
    CODE_FMT_SJ,    /* a read; c: offset */
    CODE_FMT_SSJ,   /* a, b read; c: offset */
    CODE_FMT_SKJ,   /* a read; b: literal; c: offset */
    CODE_FMT_DS,    /* a written; b read */
    CODE_FMT_DK,    /* a written; c: literal */
    CODE_FMT_DG,    /* a written; c: global */
    CODE_FMT_SG,    /* a read; c: global */
    CODE_FMT_DSS,   /* a written; b, c read */
    CODE_FMT_DSSX,  /* likewise; DATA */
    CODE_FMT_DSSXS, /* likewise; DATA, whose a is read too */
    CODE_FMT_SSSXS, /* a slot changed; b, c read; DATA, whose a is read too */
    CODE_FMT_DSK,   /* a written; b read; c: literal */
    CODE_FMT_DKS,   /* a written; b: literal; c read */
    CODE_FMT_DSI,   /* a written; b read; c: int */
    CODE_FMT_SSS,   /* a slot changed; b, c read */
    CODE_FMT_DRN,   /* a written; b first of c registers read */
    CODE_FMT_DRP,   /* a written; b first key; c: place; DATA */
    CODE_FMT_RP,    /* b first key; c: place; DATA */
    CODE_FMT_CALL,  /* a first register; b: how many; c: callee; DATA */
    CODE_FMT_LOOP,  /* a, b slots; c: literal; DATA */
};

struct jitvm;
struct insn;

/* Runs the instruction and all that follow, until the activation that the C caller entered ends: 0,
 * or the status of the error that ended it. */
typedef int (*insn_fn)(struct jitvm *vm, struct insn *ip, struct jitvm_value *base, int64_t fuel);

struct insn {
    insn_fn run;
    uint16_t a, b;
    union {
        int32_t c;
        uint32_t u;
        uint32_t kinds; /* of DATA: 1 << kind of each result seen */
    };
};

struct code {
    struct insn *insns;
    uint8_t *ops;  /* enum code_op of each */
    uint32_t *ips; /* op of the chunk that each was made from: what errors name */
    uint32_t count;
    uint16_t slots;     /* of the function */
    uint16_t registers; /* slots, and the most operands */
};

const char *code_op_name(unsigned op);
enum code_format code_op_format(unsigned op);
bool code_is_branch(unsigned op); /* may go to ip + c */
bool code_is_back(unsigned op);   /* a branch backwards, which costs fuel */
bool code_ends_flow(unsigned op); /* JMP, JMP_BACK, RET, RETU: nothing falls through */

/* lower.c. Makes the code of function `index` of the chunk that the VM has loaded; literals are
 * added to the VM's. MEMORY is the only way to fail. */
int code_lower(struct jitvm *vm, uint32_t index, struct code **out, struct jitvm_error *err);
void code_free(struct code *code); /* NULL is ignored */

/* dump.c: a line per instruction, with names of slots and lines of the source. */
void code_dump(const struct jitvm *vm, uint32_t function, const struct code *code, FILE *to);

#endif
