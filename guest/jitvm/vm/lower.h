/* SPDX-License-Identifier: Apache-2.0 */
/* Between lower.c, which follows the operand stack, and lower_ops.c, which knows each op. */
#ifndef JITVM_VM_LOWER_H
#define JITVM_VM_LOWER_H

#include "guest/jitvm/vm/vm.h"

enum operand_kind {
    OPERAND_REGISTER, /* in the register of its position */
    OPERAND_SLOT,     /* the value that slot `index` has: not moved yet */
    OPERAND_LITERAL,  /* literal `index` of the VM: not loaded yet */
};

struct operand {
    enum operand_kind kind;
    uint32_t index;
};

#define DEPTH_UNKNOWN UINT32_MAX

struct lower {
    struct jitvm *vm;
    const struct chunk_function *function;
    struct code *code;
    uint32_t room; /* of its arrays */

    /* By op of the function. */
    uint32_t *depths; /* operands before it */
    uint32_t *starts; /* first instruction */
    bool *targets;    /* does a jump go there? */

    struct operand *stack;
    uint32_t depth;
    uint32_t ip, at; /* the op being lowered: in the chunk, in the function */
    uint32_t taken;  /* ops that it used up, at least 1 */
    bool has_result; /* the last instruction wrote the operand on top, and may write elsewhere */
    bool failed;     /* no memory */
};

/* Appends an instruction; its index. Operands of 16 bits are in range because the verifier's limits
 * are; branches get the op of the chunk that they go to as c. */
uint32_t lower_emit(struct lower *l, enum code_op op, uint32_t a, uint32_t b, uint32_t c);
void lower_emit_data(struct lower *l, uint32_t a, uint32_t b, uint32_t c);

uint16_t lower_register(const struct lower *l, uint32_t position);
uint16_t lower_top(const struct lower *l); /* the register of the operand that is pushed next */
void lower_push(struct lower *l, struct operand operand);
struct operand lower_pop(struct lower *l);
void lower_push_register(struct lower *l); /* something is in its register already */
void lower_push_result(struct lower *l);   /* the last instruction wrote it there */
void lower_push_literal(struct lower *l, struct jitvm_value v);
uint32_t lower_int_literal(struct lower *l, int64_t i);        /* its index */
bool lower_is_number(const struct lower *l, struct operand o); /* a literal, and a number */
void lower_settle(struct lower *l, uint32_t position);
void lower_settle_from(struct lower *l, uint32_t from);
void lower_settle_slot(struct lower *l, uint32_t slot);
uint16_t lower_use(struct lower *l, uint32_t position);

/* lower_ops.c: emits the op's instructions and leaves the stack as it does. */
void lower_op(struct lower *l, const struct jitvm_op *op);

/* lower_branch.c: the ops that jump, and comparisons, which may decide the jump that follows. */
enum { REL_EQ, REL_NE, REL_LT, REL_LE };
/* [x y] -> [bool], or the jump behind it; `greater`: y relation x. `op` gives the bool. */
void lower_compare(struct lower *l, unsigned relation, bool greater, enum code_op op);
void lower_jump(struct lower *l, uint32_t target);
void lower_jump_if(struct lower *l, enum code_op op, uint32_t target);
void lower_jump_keep(struct lower *l, enum code_op op, uint32_t target);
void lower_slot_int_jump(struct lower *l, const struct jitvm_op *op, enum code_op branch);
void lower_slot_inc_jump(struct lower *l, const struct jitvm_op *op);

#endif
