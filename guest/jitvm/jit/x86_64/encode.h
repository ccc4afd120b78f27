/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoder behind the instructions of x86-64: private to asm.c and sse.c.
 *
 * Every instruction with operands goes through x86_emit(): it takes the opcode and up to three
 * operands, and makes the bytes and, for a listing, the text from the same things, in the syntax
 * that the GNU assembler reads (.intel_syntax noprefix).
 */
#ifndef JITVM_JIT_X86_64_ENCODE_H
#define JITVM_JIT_X86_64_ENCODE_H

#include "guest/jitvm/jit/x86_64/asm.h"

enum operand_kind { OP_NONE, OP_DIGIT, OP_REG, OP_CL, OP_XMM, OP_MEM, OP_IMM };

struct operand {
    enum operand_kind kind;
    unsigned width; /* bytes; of an immediate: as stored; of memory: 0 when text shows none */
    unsigned reg;   /* or the digit: a part of the opcode in the place of a register */
    int64_t imm;
    struct x86_mem mem;
};

static const struct operand x86_none = {.kind = OP_NONE};

static inline struct operand reg_op(enum x86_width w, enum x86_reg reg)
{
    return (struct operand){.kind = OP_REG, .width = w, .reg = reg};
}

static inline struct operand xmm_op(enum x86_xmm reg)
{
    return (struct operand){.kind = OP_XMM, .width = 16, .reg = reg};
}

static inline struct operand mem_op(unsigned width, struct x86_mem mem)
{
    return (struct operand){.kind = OP_MEM, .width = width, .mem = mem};
}

static inline struct operand imm_op(unsigned width, int64_t value)
{
    return (struct operand){.kind = OP_IMM, .width = width, .imm = value};
}

static inline struct operand digit(unsigned value)
{
    return (struct operand){.kind = OP_DIGIT, .reg = value};
}

/* ---- opcodes --------------------------------------------------------------------------------- */

enum map { MAP_NONE, MAP_0F, MAP_0F3A };

enum place {
    RM_LAST,  /* ModRM; the operand in its rm field is written second: it is the source */
    RM_FIRST, /* and here first */
    RM_PLUS,  /* no ModRM: the register's number is added to the opcode */
    RM_FIXED, /* no ModRM: the opcode means this register */
};

struct form {
    uint8_t prefix; /* 0: none */
    uint8_t opcode;
    enum map map;
    enum place place;
    bool wide; /* REX.W */
};

/* Most integer opcodes: even for bytes, odd for the other widths. */
static inline struct form sized(enum x86_width w, unsigned opcode, enum place place)
{
    return (struct form){.prefix = w == X86_W16 ? 0x66 : 0,
                         .opcode = (uint8_t)(opcode | (w != X86_W8)),
                         .place = place,
                         .wide = w == X86_W64};
}

/* Those behind 0f, of 32 and 64 bits. */
static inline struct form sized_0f(enum x86_width w, unsigned opcode, enum place place)
{
    return (struct form){
        .opcode = (uint8_t)opcode, .map = MAP_0F, .place = place, .wide = w == X86_W64};
}

static inline struct form sse_form(unsigned prefix, unsigned opcode, enum place place)
{
    return (struct form){
        .prefix = (uint8_t)prefix, .opcode = (uint8_t)opcode, .map = MAP_0F, .place = place};
}

static inline struct form wide(struct form form)
{
    form.wide = true;
    return form;
}

#define WIDTHS_ALL  (X86_W8 | X86_W16 | X86_W32 | X86_W64)
#define WIDTHS_ALU  (X86_W8 | X86_W32 | X86_W64)
#define WIDTHS_LONG (X86_W32 | X86_W64)

static inline bool fits_i8(int64_t value)
{
    return value >= INT8_MIN && value <= INT8_MAX;
}

/* Is it one of these? If not, that is remembered as VALUE. */
bool x86_width_in(struct assembler *a, enum x86_width w, unsigned widths);

/* `reg` is the operand in ModRM's reg field, or the digit there; `rm` that in its rm field; `last`
 * an immediate, cl or none. Invalid registers and addresses are remembered as VALUE. */
void x86_emit(struct assembler *a, const char *name, struct form form, struct operand reg,
              struct operand rm, struct operand last);

#endif
