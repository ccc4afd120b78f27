/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of op_slow's table, and what they share. */
#ifndef JITVM_VM_OPS_H
#define JITVM_VM_OPS_H

#include "guest/jitvm/vm/vm.h"

#define OP_ARGS_DECL struct jitvm *vm, struct insn *ip, struct jitvm_value *base, unsigned slots

/* NULL for ops that are not of this part. */
op_fn op_slow_arithmetic(unsigned op); /* ops_arith.c: numbers, comparisons */
op_fn op_slow_container(unsigned op);  /* ops_data.c: strings and containers */
op_fn op_slow_loop(unsigned op);       /* ops_loop.c: whole loops */

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

#endif
