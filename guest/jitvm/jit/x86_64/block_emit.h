/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine code of one function, for x86-64: shared by the files that emit it.
 *
 * rbx is the VM, r12 the activation's registers, r13 the fuel slice, r14 the depth left. rax, rcx,
 * rdx, xmm14 and xmm15 are for the moment only; the others hold unboxed registers. A typed entry
 * has its arguments in registers (places.int_args, float_args) or cells and gives the payload in
 * rax, the kind in rdx; JIT_FAILED there says that an error is pending. It preserves rbx, r12, r13
 * and r14 as what they are, and nothing else. The stack is aligned to 16 within a body, which takes
 * 16 bytes.
 */
#ifndef JITVM_JIT_X86_64_BLOCK_EMIT_H
#define JITVM_JIT_X86_64_BLOCK_EMIT_H

#include "guest/jitvm/jit/block.h"
#include "guest/jitvm/jit/calls.h"
#include "guest/jitvm/jit/internal.h"
#include "guest/jitvm/jit/x86_64/asm.h"

#define VM    X86_RBX
#define BASE  X86_R12
#define SLICE X86_R13
#define DEPTH X86_R14

#define SCRATCH_FLOAT  X86_XMM15
#define SCRATCH_FLOAT2 X86_XMM14

extern const struct places x86_places;

enum cold_what {
    COLD_EXIT,    /* leave through exit `number` */
    COLD_ERROR,   /* instruction `number` failed, the error is pending */
    COLD_RELEASE, /* what cell `reg` holds ends; back */
    COLD_REFUEL,  /* the slice is used up at instruction `number`; to `back` when there is more */
    COLD_RESULT,  /* a call gave another kind than was expected: exit `number`, cell `reg` */
    COLD_OP,      /* instruction `number` as op_slow does it; back */
    COLD_ENTER,   /* an activation cannot be paid for yet, or at all; back */
    COLD_VALUES,  /* a number is wanted of an array, at rax, that may be one of values; back */
    COLD_BRANCH,  /* branch `number` as op_branch does it: to `back` when taken, else to `other` */
    COLD_STORE,   /* boxings[1] is stored in an array, at rax, that may be one of values; back */
};

/* An unboxed value that is to be put in its cell. */
struct boxing {
    uint16_t reg;
    uint8_t kind;
    int8_t place; /* gpr, 16 + xmm, -1: the payload is in the cell; -2: undef */
};

struct cold {
    enum cold_what what;
    struct asm_label label, back;
    uint32_t number, exit;
    uint16_t reg;
    uint8_t boxing_count;
    struct boxing boxings[4];
    kind_set written; /* COLD_OP: expected */
    int8_t place;     /* where that belongs, as in boxing */
    struct asm_label other;
    uint8_t index, to; /* COLD_VALUES: gpr; gpr, or 16 + xmm. COLD_STORE: index */
};

struct emit {
    struct flow *f;
    struct assembler *a;
    struct jit *jit;
    struct jit_version *version;
    kind_set *kinds; /* by register, before instruction `at` */
    uint8_t *clean;  /* by register: the payload in the cell is the one in the machine register */
    const uint64_t *live; /* before `at` */
    const uint64_t *live_after;
    kind_set written; /* what `at` writes */
    uint32_t at;
    uint32_t exit_before, exit_after; /* exits of `at`, made already: number + 1 */
    struct asm_label *labels;         /* of blocks */
    struct asm_label exit_common, error_common, boxed_entry, typed_entry;
    struct cold *colds;
    uint32_t cold_count, cold_room;
    bool failed; /* no memory */
};

/* ---- values (block_value.c) ------------------------------------------------------------------ */

static inline struct x86_mem cell_kind(uint32_t reg)
{
    return x86_at(BASE, (int32_t)(reg * 16));
}

static inline struct x86_mem cell_payload(uint32_t reg)
{
    return x86_at(BASE, (int32_t)(reg * 16 + 8));
}

#define VM_FIELD(field) x86_at(VM, (int32_t)offsetof(struct jitvm, field))

/* Machine register of an operand before `at`, -1: its cell. */
int place_before(const struct emit *e, uint32_t reg, bool is_float);
int place_after(const struct emit *e, uint32_t reg, bool is_float);

/* The payload of an unboxed int or bool in a machine register: its own, or `scratch`, loaded. */
enum x86_reg use_int(struct emit *e, uint32_t reg, enum x86_reg scratch);
enum x86_xmm use_float(struct emit *e, uint32_t reg, enum x86_xmm scratch);
/* Of an int or float, converted. */
enum x86_xmm use_number(struct emit *e, uint32_t reg, enum x86_xmm scratch);
void load_literal_float(struct emit *e, uint32_t literal, enum x86_xmm to);

/* Where the result of `at` is to be computed: its place, or `scratch`. Then put_ stores it. Nothing
 * may leave by an exit before `at` after the place was written. */
enum x86_reg result_int(const struct emit *e, enum x86_reg scratch);
enum x86_xmm result_float(const struct emit *e, enum x86_xmm scratch);
/* Ends what register a held, and the result, in `from`, is there. */
void put_int(struct emit *e, enum x86_reg from);
void put_float(struct emit *e, enum x86_xmm from);

/* Puts an unboxed register of kind `kinds` into its cell, for whoever reads that. */
void box(struct emit *e, uint32_t reg, kind_set kinds, int place);
void box_before(struct emit *e, uint32_t reg);
struct boxing boxing_before(const struct emit *e, uint32_t reg);
struct boxing boxing_after(const struct emit *e, uint32_t reg);
void emit_boxing(struct emit *e, const struct boxing *b);
/* After something boxed was written to cell a: an exit unless it is of the kind expected, and into
 * its place. */
void unbox_result(struct emit *e);
/* A slot that a helper changed in its cell, if it is known to be an int still. */
void unbox_slot(struct emit *e, uint32_t reg);
/* Is `kinds[reg]` a heap kind in its cell? Then it ends. */
void release_old(struct emit *e, uint32_t reg);
void canonical(struct emit *e, enum x86_xmm reg);

/* Unboxed registers that are alive after `at` and that C does not save: into their cells, and
 * back. `typed`: before a typed entry, which saves none. */
void save_live(struct emit *e, bool typed);
void load_live(struct emit *e, bool typed);

/* ---- leaving (block_exit.c) ------------------------------------------------------------------ */

struct cold *cold_add(struct emit *e, enum cold_what what);
/* The instruction as a whole, nothing having been done yet, and the result where it belongs. */
struct cold *cold_whole(struct emit *e);
struct asm_label exit_before(struct emit *e); /* at `at`, which has done nothing yet */
struct asm_label exit_after(struct emit *e);  /* at the next one; cell a has the result */
struct asm_label error_at(struct emit *e);
uint32_t exit_number_after(struct emit *e);
void emit_cold(struct emit *e);
void call_helper(struct emit *e, enum jit_helper helper);
void jump_helper(struct emit *e, enum jit_helper helper);
uint32_t insn_length(const struct emit *e, uint32_t at);

/* ---- instructions ---------------------------------------------------------------------------- */

void emit_slow(struct emit *e);
/* Each: false when it has no form for operands of these kinds. */
bool emit_moving(struct emit *e);
bool emit_arithmetic(struct emit *e);
bool emit_compare(struct emit *e);
bool emit_array(struct emit *e);
bool emit_math(struct emit *e);
void emit_values(struct emit *e, const struct cold *c);
void emit_store(struct emit *e, const struct cold *c);
/* One more reference to the value there, if it is counted. Uses rcx, rdx. */
void retain_element(struct emit *e, struct x86_mem kind, struct x86_mem payload, kind_set kinds);
/* Copies the value there, that may be at rax, to the boxed register a. */
void put_boxed(struct emit *e, struct x86_mem kind, struct x86_mem payload);
void emit_branch(struct emit *e);
void emit_call(struct emit *e);
void emit_return(struct emit *e);
/* Everything that block `to` expects of unboxed registers and their cells, from here. */
void emit_edge(struct emit *e, const struct block *to);
bool edge_is_free(const struct emit *e, const struct block *to);
void emit_entries(struct emit *e);

#endif
