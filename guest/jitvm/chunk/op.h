/* SPDX-License-Identifier: Apache-2.0 */
/* Ops of a chunk: their numbers, operands, stack effects. The list is op.def. */
#ifndef JITVM_CHUNK_OP_H
#define JITVM_CHUNK_OP_H

#include "guest/jitvm/jitvm.h"

enum op_code {
#define X(name, operands, pops, pushes) OP_##name,
#include "guest/jitvm/chunk/op.def"
#undef X
    OP_COUNT
};

/* Which field holds what. Fields that a format does not name are 0: the identity covers them. */
enum op_format {
    OP_FMT_NONE,
    OP_FMT_INT,             /* imm */
    OP_FMT_FLOAT,           /* imm: the bits of a double; a NaN only in its one form */
    OP_FMT_CONST,           /* b: constant */
    OP_FMT_FUNC,            /* b: function */
    OP_FMT_SLOT,            /* a: slot */
    OP_FMT_GLOBAL,          /* b: name */
    OP_FMT_COUNT,           /* b: how many; at most OP_COUNT_MAX */
    OP_FMT_PLACE,           /* a: 0 slot, 1 global; b: which; c: number of keys */
    OP_FMT_JUMP,            /* b: target: index in the chunk of an op of the same function */
    OP_FMT_CALL,            /* b: function; a: number of arguments, its arity */
    OP_FMT_DYNAMIC,         /* a: number of arguments */
    OP_FMT_BUILTIN,         /* b: name; a: number of arguments */
    OP_FMT_EXTENDED,        /* b: extension; a: argument, 0..255 */
    OP_FMT_EXTENDED_WIDE,   /* b: extension; imm: argument */
    OP_FMT_LINE,            /* b: line, 1-based */
    OP_FMT_SLOT2,           /* a, c: slots */
    OP_FMT_SLOT_INT_JUMP,   /* a: slot; imm: limit, an int32_t; b: target */
    OP_FMT_SLOT2_INT,       /* a: sum or array, c: counter, two slots; imm: limit, an int32_t */
    OP_FMT_SLOT2_INT_CONST, /* a: string, c: counter, two slots; imm: limit, an int32_t; b:
                               constant, a str */
};

struct jitvm_op {
    uint16_t code; /* enum op_code */
    uint16_t a;
    uint32_t b;
    uint32_t c;
    uint32_t reserved; /* 0 */
    int64_t imm;
};

#define OP_COUNT_MAX 4096u /* elements of MakeArray; pairs of MakeHash are half of it */
#define OP_KEYS_MAX  16u   /* keys of a path */
#define OP_ARGS_MAX  250u  /* arguments of any call */

const char *op_name(unsigned code);        /* of a valid code */
int op_find(const char *name, size_t len); /* -1: no such op */
enum op_format op_format(unsigned code);
bool op_is_jump(unsigned code);   /* has a target in b */
bool op_ends_flow(unsigned code); /* nothing falls through it: Jump, Return, ReturnValue */

/* Stack effect. Extension ops need the chunk's declaration: `extension` is that, or NULL. */
struct op_effect {
    uint32_t pops, pushes;
};
struct chunk_extension;
struct op_effect op_effect(const struct jitvm_op *op, const struct chunk_extension *extension);

#endif
