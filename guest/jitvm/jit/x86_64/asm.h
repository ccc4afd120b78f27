/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions of x86-64: one function for each, named after what it is with the kinds of its
 * operands behind: r register, x xmm register, m memory, i number; destination first. Everything is
 * in the baseline (SSE2) but what asks for a feature by name: code is stored and may run on another
 * machine, so what it needs must be known.
 *
 * Operands out of range (a width that the instruction has not, rsp as an index, a scale that is
 * not 1, 2, 4, 8) are remembered as VALUE for asm_finish, nothing is emitted.
 */
#ifndef JITVM_JIT_X86_64_ASM_H
#define JITVM_JIT_X86_64_ASM_H

#include "guest/jitvm/jit/asm.h"

/* In the order of their numbers. */
enum x86_reg {
    X86_RAX,
    X86_RCX,
    X86_RDX,
    X86_RBX,
    X86_RSP,
    X86_RBP,
    X86_RSI,
    X86_RDI,
    X86_R8,
    X86_R9,
    X86_R10,
    X86_R11,
    X86_R12,
    X86_R13,
    X86_R14,
    X86_R15
};
#define X86_REGS 16

enum x86_xmm {
    X86_XMM0,
    X86_XMM1,
    X86_XMM2,
    X86_XMM3,
    X86_XMM4,
    X86_XMM5,
    X86_XMM6,
    X86_XMM7,
    X86_XMM8,
    X86_XMM9,
    X86_XMM10,
    X86_XMM11,
    X86_XMM12,
    X86_XMM13,
    X86_XMM14,
    X86_XMM15
};
#define X86_XMMS 16

/* Of an integer operand, in bytes. A register written with W32 has its upper half zero. */
enum x86_width { X86_W8 = 1, X86_W16 = 2, X86_W32 = 4, X86_W64 = 8 };

/* x ^ 1 is the opposite. After ucomisd: A above, AE, B, BE, E, NE; P: one is a NaN (then also B,
 * E). */
enum x86_cond {
    X86_O,
    X86_NO,
    X86_B,
    X86_AE,
    X86_E,
    X86_NE,
    X86_BE,
    X86_A,
    X86_S,
    X86_NS,
    X86_P,
    X86_NP,
    X86_L,
    X86_GE,
    X86_LE,
    X86_G
};
static inline enum x86_cond x86_not_cond(enum x86_cond cond)
{
    return (enum x86_cond)((unsigned)cond ^ 1u);
}

/* features_allowed, features_used */
#define X86_SSE41 1u /* roundsd */

/* What this processor has of these. */
uint32_t x86_features(void);

/* ---- memory operands ------------------------------------------------------------------------- */

enum x86_mode { X86_BASE, X86_INDEXED, X86_LABEL };

/* Made by the functions below. */
struct x86_mem {
    enum x86_mode mode;
    enum x86_reg base, index;
    unsigned scale;
    int32_t disp;
    struct asm_label label;
};

/* [base + disp] */
static inline struct x86_mem x86_at(enum x86_reg base, int32_t disp)
{
    return (struct x86_mem){.mode = X86_BASE, .base = base, .disp = disp};
}

/* [base + index * scale + disp]; the index is any register but rsp. */
static inline struct x86_mem x86_at_index(enum x86_reg base, enum x86_reg index, unsigned scale,
                                          int32_t disp)
{
    return (struct x86_mem){
        .mode = X86_INDEXED, .base = base, .index = index, .scale = scale, .disp = disp};
}

/* A constant of the pool, or a place in the code. */
static inline struct x86_mem x86_at_label(struct asm_label label)
{
    return (struct x86_mem){.mode = X86_LABEL, .label = label};
}

/* ---- moves: none of them changes flags, but x86_zero ----------------------------------------- */

/* W32 and W64. */
void x86_mov_rr(struct assembler *a, enum x86_width w, enum x86_reg to, enum x86_reg from);
/* All 64 bits, in the shortest of the three forms. */
void x86_mov_ri(struct assembler *a, enum x86_reg to, int64_t value);
/* xor to, to: shorter than a move of 0, but the flags are gone. */
void x86_zero(struct assembler *a, enum x86_reg to);
/* Reads 1, 2, 4 or 8 bytes; zero in the bits above. */
void x86_mov_rm(struct assembler *a, enum x86_width w, enum x86_reg to, struct x86_mem from);
/* Reads 1, 2 or 4 bytes; the sign in the bits above, up to 64. */
void x86_movsx_rm(struct assembler *a, enum x86_width w, enum x86_reg to, struct x86_mem from);
/* The lowest 1, 2 (and for movsx 4) bytes of a register, up to 64 bits. */
void x86_movzx_rr(struct assembler *a, enum x86_width w, enum x86_reg to, enum x86_reg from);
void x86_movsx_rr(struct assembler *a, enum x86_width w, enum x86_reg to, enum x86_reg from);
/* All widths. */
void x86_mov_mr(struct assembler *a, enum x86_width w, struct x86_mem to, enum x86_reg from);
/* All widths; W64 extends the sign. For W8, W16 the number may be signed or unsigned. */
void x86_mov_mi(struct assembler *a, enum x86_width w, struct x86_mem to, int32_t value);
void x86_lea(struct assembler *a, enum x86_reg to, struct x86_mem address);
void x86_xchg_rr(struct assembler *a, enum x86_width w, enum x86_reg one, enum x86_reg other);
/* W32 and W64. */
void x86_cmov_rr(struct assembler *a, enum x86_cond cond, enum x86_width w, enum x86_reg to,
                 enum x86_reg from);
void x86_cmov_rm(struct assembler *a, enum x86_cond cond, enum x86_width w, enum x86_reg to,
                 struct x86_mem from);
/* The lowest byte becomes 0 or 1, the others stay: x86_movzx_rr after it, x86_zero before cmp. */
void x86_setcc_r(struct assembler *a, enum x86_cond cond, enum x86_reg to);
void x86_setcc_m(struct assembler *a, enum x86_cond cond, struct x86_mem to);
void x86_push_r(struct assembler *a, enum x86_reg reg);
void x86_push_m(struct assembler *a, struct x86_mem from);
void x86_pop_r(struct assembler *a, enum x86_reg reg);

/* ---- arithmetic: W8, W32 and W64 unless it says otherwise ------------------------------------ */

enum x86_alu { X86_ADD = 0, X86_OR = 1, X86_AND = 4, X86_SUB = 5, X86_XOR = 6, X86_CMP = 7 };

void x86_alu_rr(struct assembler *a, enum x86_alu op, enum x86_width w, enum x86_reg to,
                enum x86_reg from);
void x86_alu_ri(struct assembler *a, enum x86_alu op, enum x86_width w, enum x86_reg to,
                int32_t value);
void x86_alu_rm(struct assembler *a, enum x86_alu op, enum x86_width w, enum x86_reg to,
                struct x86_mem from);
void x86_alu_mr(struct assembler *a, enum x86_alu op, enum x86_width w, struct x86_mem to,
                enum x86_reg from);
void x86_alu_mi(struct assembler *a, enum x86_alu op, enum x86_width w, struct x86_mem to,
                int32_t value);

void x86_test_rr(struct assembler *a, enum x86_width w, enum x86_reg one, enum x86_reg other);
void x86_test_ri(struct assembler *a, enum x86_width w, enum x86_reg reg, int32_t value);
void x86_test_mr(struct assembler *a, enum x86_width w, struct x86_mem mem, enum x86_reg reg);
void x86_test_mi(struct assembler *a, enum x86_width w, struct x86_mem mem, int32_t value);

/* Bit `bit` (0..63, 0..31 for W32) of the register goes to the carry flag: X86_B when it is set.
 * W32, W64. */
void x86_bt_ri(struct assembler *a, enum x86_width w, enum x86_reg reg, unsigned bit);
void x86_bt_rr(struct assembler *a, enum x86_width w, enum x86_reg reg, enum x86_reg bit);

enum x86_unary { X86_NOT = 2, X86_NEG = 3, X86_INC = 8, X86_DEC = 9 };
void x86_unary_r(struct assembler *a, enum x86_unary op, enum x86_width w, enum x86_reg reg);
void x86_unary_m(struct assembler *a, enum x86_unary op, enum x86_width w, struct x86_mem mem);

/* W32 and W64 from here on. */
void x86_imul_rr(struct assembler *a, enum x86_width w, enum x86_reg to, enum x86_reg from);
void x86_imul_rm(struct assembler *a, enum x86_width w, enum x86_reg to, struct x86_mem from);
void x86_imul_rri(struct assembler *a, enum x86_width w, enum x86_reg to, enum x86_reg from,
                  int32_t value);
void x86_imul_rmi(struct assembler *a, enum x86_width w, enum x86_reg to, struct x86_mem from,
                  int32_t value);
/* rdx:rax by the operand: quotient in rax, remainder in rdx. Faults by 0 and for MIN / -1. */
void x86_idiv_r(struct assembler *a, enum x86_width w, enum x86_reg reg);
void x86_idiv_m(struct assembler *a, enum x86_width w, struct x86_mem mem);
/* cdq, cqo: the sign of rax into all of rdx. */
void x86_cqo(struct assembler *a, enum x86_width w);

enum x86_shift { X86_SHL = 4, X86_SHR = 5, X86_SAR = 7 };
void x86_shift_ri(struct assembler *a, enum x86_shift op, enum x86_width w, enum x86_reg reg,
                  unsigned bits);
void x86_shift_rcl(struct assembler *a, enum x86_shift op, enum x86_width w, enum x86_reg reg);

/* ---- control --------------------------------------------------------------------------------- */

/* To a label behind: the short form where it reaches. */
void x86_jmp(struct assembler *a, struct asm_label to);
void x86_jcc(struct assembler *a, enum x86_cond cond, struct asm_label to);
void x86_jmp_r(struct assembler *a, enum x86_reg to);
void x86_jmp_m(struct assembler *a, struct x86_mem to);
void x86_call(struct assembler *a, struct asm_label to);
void x86_call_r(struct assembler *a, enum x86_reg to);
void x86_call_m(struct assembler *a, struct x86_mem to);
void x86_ret(struct assembler *a);
void x86_ud2(struct assembler *a);
void x86_int3(struct assembler *a);
/* Long nops up to a multiple of `to`, a power of two of at most ASM_ALIGN. */
void x86_align(struct assembler *a, unsigned to);

/* ---- floating point -------------------------------------------------------------------------- */

/* 8 bytes; a load clears the upper half. */
void x86_movsd_xm(struct assembler *a, enum x86_xmm to, struct x86_mem from);
void x86_movsd_mx(struct assembler *a, struct x86_mem to, enum x86_xmm from);
/* 16 bytes, aligned or not: a whole value at once. */
void x86_movups_xm(struct assembler *a, enum x86_xmm to, struct x86_mem from);
void x86_movups_mx(struct assembler *a, struct x86_mem to, enum x86_xmm from);
void x86_movapd_xx(struct assembler *a, enum x86_xmm to, enum x86_xmm from);
/* The bits, unchanged. */
void x86_movq_xr(struct assembler *a, enum x86_xmm to, enum x86_reg from);
void x86_movq_rx(struct assembler *a, enum x86_reg to, enum x86_xmm from);

/* addsd a, a's like; UCOMISD only compares. Memory is 8 bytes. */
enum x86_sse { X86_SQRTSD, X86_ADDSD, X86_MULSD, X86_SUBSD, X86_DIVSD, X86_UCOMISD };
void x86_sse_xx(struct assembler *a, enum x86_sse op, enum x86_xmm to, enum x86_xmm from);
void x86_sse_xm(struct assembler *a, enum x86_sse op, enum x86_xmm to, struct x86_mem from);

/* On 16 bytes; memory must be aligned to 16, as asm_constant_pair is. */
enum x86_bits { X86_ANDPD, X86_ANDNPD, X86_ORPD, X86_XORPD, X86_PXOR };
void x86_bits_xx(struct assembler *a, enum x86_bits op, enum x86_xmm to, enum x86_xmm from);
void x86_bits_xm(struct assembler *a, enum x86_bits op, enum x86_xmm to, struct x86_mem from);

/* An int of W32 or W64 to double. The register is cleared first, as otherwise the conversion waits
 * for whoever wrote it last. */
void x86_cvtsi2sd_xr(struct assembler *a, enum x86_width w, enum x86_xmm to, enum x86_reg from);
void x86_cvtsi2sd_xm(struct assembler *a, enum x86_width w, enum x86_xmm to, struct x86_mem from);
/* Toward zero; what does not fit, and a NaN, gives the smallest int. */
void x86_cvttsd2si_rx(struct assembler *a, enum x86_width w, enum x86_reg to, enum x86_xmm from);

/* Needs X86_SSE41. */
enum x86_round { X86_NEAREST = 8, X86_FLOOR = 9, X86_CEIL = 10, X86_TRUNC = 11 };
void x86_roundsd_xx(struct assembler *a, enum x86_round mode, enum x86_xmm to, enum x86_xmm from);

#endif
