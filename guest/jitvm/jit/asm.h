/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine code in the making: what is the same on every architecture. A buffer of code with labels,
 * a pool of constants that follows the code, and, when asked for, a listing. The instructions are
 * those of one architecture: x86_64/asm.h.
 *
 * Nothing here returns an error but asm_finish: the first failure is remembered, what is emitted
 * after it is dropped. The code does not depend on where it will be: it refers to itself and to its
 * pool by distance only.
 */
#ifndef JITVM_JIT_ASM_H
#define JITVM_JIT_ASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A function larger than this is refused, so every distance in it fits in 32 bits. */
#define ASM_SIZE_MAX (1u << 24)

/* What finished code must be published at a multiple of: constants of 16 bytes are in it. */
#define ASM_ALIGN 16

/* A place in the code, or a constant of the pool. Valid until asm_reset. */
struct asm_label {
    uint32_t id;
};

/* Private to asm.c, x86_64/asm.c: use the functions. */
struct asm_place {
    uint32_t offset; /* UINT32_MAX: not bound yet */
    uint32_t name;   /* in the listing's text; UINT32_MAX: none */
};
struct asm_fixup {
    uint32_t at;    /* where the distance is stored */
    uint32_t from;  /* where it is measured from */
    uint32_t label; /* to there */
};
struct asm_constant {
    uint64_t low, high;
    uint32_t label;
    bool pair;
};
struct asm_line {
    uint32_t offset, len; /* of the bytes; len 0: a comment */
    uint32_t text;
};

/* Zero is a valid start, with no features allowed and no listing. */
struct assembler {
    uint8_t *bytes; /* owned */
    size_t len, room;
    struct asm_place *places;
    size_t place_count, place_room;
    struct asm_fixup *fixups;
    size_t fixup_count, fixup_room;
    struct asm_constant *constants;
    size_t constant_count, constant_room;

    struct asm_line *lines;
    size_t line_count, line_room;
    char *text;
    size_t text_len, text_room;

    uint32_t features_allowed; /* of the processor, beyond its baseline: x86_64/asm.h */
    uint32_t features_used;    /* by the code since the last reset */
    int error;                 /* enum jitvm_status: 0, MEMORY, LIMIT, VALUE */
    bool listing;
};

/* `features`: what the code may use. `listing`: keep one, for asm_dump. No memory is taken yet. */
void asm_init(struct assembler *a, uint32_t features, bool listing);

/* Starts another function: all labels are gone; memory, features allowed and listing stay. */
void asm_reset(struct assembler *a);

void asm_free(struct assembler *a);

/* ---- labels ---------------------------------------------------------------------------------- */

/* Not bound yet: code may refer to it already. */
struct asm_label asm_label_new(struct assembler *a);

/* The next instruction is there. Once per label. */
void asm_bind(struct assembler *a, struct asm_label label);

/* A new one, bound here. */
struct asm_label asm_here(struct assembler *a);

bool asm_bound(const struct assembler *a, struct asm_label label);

/* Offset in the code, in bytes; of a bound label, or of any one after asm_finish succeeded. */
uint32_t asm_offset(const struct assembler *a, struct asm_label label);

/* Offset of the next instruction. */
uint32_t asm_position(const struct assembler *a);

/* ---- constants ------------------------------------------------------------------------------- */

/* 8 bytes, aligned to 8. One that was asked for lately is not stored twice. */
struct asm_label asm_constant(struct assembler *a, uint64_t bits);
struct asm_label asm_constant_float(struct assembler *a, double value);

/* 16 bytes, aligned to 16, `low` first: what xorpd and andpd read. */
struct asm_label asm_constant_pair(struct assembler *a, uint64_t low, uint64_t high);

/* ---- listing --------------------------------------------------------------------------------- */

/* Both do nothing without a listing. A comment stands on its own line, before what is emitted
 * next. A name is shown for a label instead of its number; the last one given counts. */
void asm_comment(struct assembler *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void asm_name(struct assembler *a, struct asm_label label, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* After asm_finish: offset, bytes and text of each instruction, comments, labels, the pool. Offsets
 * are counted from `base`, which may be 0. 0, or JITVM_ERR_IO. */
int asm_dump(const struct assembler *a, uint64_t base, FILE *to);

/* ---- the end --------------------------------------------------------------------------------- */

/* Appends the pool and fills in distances; then bytes[0..len) is the code, entered at 0 or at a
 * label's offset. 0; MEMORY; LIMIT: larger than ASM_SIZE_MAX; VALUE: a label used but never
 * bound, or an instruction that the features or the operands do not allow: a bug in the caller. */
int asm_finish(struct assembler *a);

/* ---- for the architecture's part ------------------------------------------------------------- */

/* The first error stays. */
void asm_fail(struct assembler *a, int status);
void asm_append(struct assembler *a, const void *bytes, size_t len);
/* The 4 bytes at `at` get the distance from `from` to the label. */
void asm_refer(struct assembler *a, uint32_t at, uint32_t from, struct asm_label label);
/* Text of the instruction that was emitted from `offset` on. */
void asm_note(struct assembler *a, uint32_t offset, const char *text);
/* "loop" or "L12". `out` has 64 bytes. */
#define ASM_LABEL_TEXT 64
void asm_label_text(const struct assembler *a, struct asm_label label, char *out);

#endif
