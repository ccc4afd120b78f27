/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of op_slow's table, and what they share. */
#ifndef JITVM_VM_OPS_H
#define JITVM_VM_OPS_H

#include "guest/jitvm/vm/vm.h"

#define OP_ARGS_DECL struct jitvm *vm, struct insn *ip, struct jitvm_value *base, unsigned slots

/* Every op that is not a branch, a call of a function or a return: X(name) makes of it what is
 * wanted; op_NAME is the function. */
/* clang-format off */
#define OPS(X)                                                                                     \
    X(MOVE) X(TAKE) X(LOADK) X(DROP) X(GETG) X(SETG)                                               \
    X(ADD) X(ADD_RK) X(ADD_KR) X(ADDI) X(SUB) X(SUB_RK) X(SUB_KR) X(MUL) X(MUL_RK) X(MUL_KR)       \
    X(DIV) X(DIV_RK) X(DIV_KR) X(IDIV) X(IDIV_RK) X(IDIV_KR) X(MOD) X(MOD_RK) X(MOD_KR)            \
    X(POW) X(NEG) X(BAND) X(BAND_RK) X(BOR) X(BOR_RK) X(BXOR) X(BXOR_RK)                           \
    X(SHL) X(SHL_RK) X(SHR) X(SHR_RK) X(BNOT) X(TOINT) X(TOFLOAT) X(TOSTR)                         \
    X(EQ) X(NE) X(LT) X(LE) X(CMP) X(SEQ) X(SNE) X(SLT) X(SLE) X(SCMP) X(NOT)                      \
    X(CONCAT) X(LEN) X(ARRAY) X(HASH) X(INDEX) X(INDEXV) X(INDEX2) X(SETIDX) X(SETIDX2) X(RANGE) X(RANGESTEP)                     \
    X(GETPATH) X(SETPATH) X(PUSHPATH) X(POPPATH) X(SHIFTPATH) X(DELPATH) X(EXISTSPATH)             \
    X(KEYSPATH) X(VALUESPATH) X(LENPATH) X(CALLB) X(EXT)                                           \
    X(ACCUMLOOP) X(CONCATLOOP) X(PUSHLOOP)
/* clang-format on */

#define OP_DECLARE(name) int op_##name(OP_ARGS_DECL);
/* clang-format off */
OPS(OP_DECLARE)
/* clang-format on */
#undef OP_DECLARE

/* The instruction has read the register: an operand's value ends with that. */
static inline void op_used(struct jitvm *vm, struct jitvm_value *base, unsigned reg, unsigned slots)
{
    if (reg >= slots)
        cell_clear(vm, &base[reg]);
}

/* The register's value as the reader's own: an operand's is moved, a slot's gets one more
 * reference. */
static inline struct jitvm_value op_own(struct jitvm_value *base, unsigned reg, unsigned slots)
{
    if (reg >= slots)
        return cell_take(&base[reg]);
    value_retain(base[reg]);
    return base[reg];
}

/* What kind was seen, for the compilers. */
static inline void op_note(struct insn *ip, struct jitvm_value v)
{
    ip[1].kinds |= 1u << v.kind;
}

/* x + y of any kinds: 0 or OVERFLOW raised. The result is a number. */
int op_add_values(struct jitvm *vm, struct jitvm_value x, struct jitvm_value y,
                  struct jitvm_value *out);

/* *out: a new array of from, from + step, ... up to `to`, which is included; of nothing when the
 * step is 0 or leads away from it. 0, or HEAP raised: *out is as it was. */
int op_range_array(struct jitvm *vm, int64_t from, int64_t to, int64_t step,
                   struct jitvm_value *out);

#endif
