/* SPDX-License-Identifier: Apache-2.0 */
/* Jumps as register code: a comparison and the jump that it decides are one instruction. */
#include "guest/jitvm/vm/lower.h"

/* Lowering looks one op ahead, but never across a place that is jumped to. */
static const struct jitvm_op *following(const struct lower *l, uint32_t n)
{
    uint32_t at = l->at + n;
    for (uint32_t i = l->at + 1; i <= at; i++)
        if (i >= l->function->count || l->targets[i])
            return NULL;
    return &l->vm->chunk->ops[l->function->first + at];
}

/* Branches by where the operands are; `mirrored`: the literal comes first. The _BACK form of each
 * is found by its place. */
struct relation {
    uint8_t rr, rk, mirrored;
};

/* By relation and whether it must be so (0) or not (1). Greater is less, the other way round. */
static const struct relation relations[4][2] = {
    [REL_EQ] = {{CODE_JEQ, CODE_JEQ_RK, CODE_JEQ_RK}, {CODE_JNE, CODE_JNE_RK, CODE_JNE_RK}},
    [REL_NE] = {{CODE_JNE, CODE_JNE_RK, CODE_JNE_RK}, {CODE_JEQ, CODE_JEQ_RK, CODE_JEQ_RK}},
    [REL_LT] = {{CODE_JLT, CODE_JLT_RK, CODE_JGT_RK}, {CODE_JNLT, CODE_JNLT_RK, CODE_JNGT_RK}},
    [REL_LE] = {{CODE_JLE, CODE_JLE_RK, CODE_JGE_RK}, {CODE_JNLE, CODE_JNLE_RK, CODE_JNGE_RK}},
};
/* For [x y] meaning x > y: y < x, with the operands where they are. */
static const struct relation relations_greater[2][2] = {
    {{CODE_JLT, CODE_JGT_RK, CODE_JLT_RK}, {CODE_JNLT, CODE_JNGT_RK, CODE_JNLT_RK}},
    {{CODE_JLE, CODE_JGE_RK, CODE_JLE_RK}, {CODE_JNLE, CODE_JNGE_RK, CODE_JNLE_RK}},
};

/* The form of a branch that costs fuel: each stands as far behind its plain one. */
static enum code_op branch_to(const struct lower *l, enum code_op op, uint32_t target)
{
    if (target > l->ip)
        return op;
    switch (op) {
    case CODE_JMP:
        return CODE_JMP_BACK;
    case CODE_JT:
        return CODE_JT_BACK;
    case CODE_JF:
        return CODE_JF_BACK;
    case CODE_JT_KEEP:
        return CODE_JT_KEEP_BACK;
    case CODE_JF_KEEP:
        return CODE_JF_KEEP_BACK;
    default:
        return (enum code_op)(op + (CODE_JEQ_BACK - CODE_JEQ));
    }
}

/* slot++ as the last instruction, and now "if slot < y, back": one instruction. Not where overflow
 * is an error, which belongs to the first of them. */
static bool counts_up(const struct lower *l, enum code_op op, uint16_t slot)
{
    if ((op != CODE_JLT_BACK && op != CODE_JLT_RK_BACK) || !l->code->count || l->vm->overflow_traps)
        return false;
    uint32_t last = l->code->count - 1;
    const struct insn *insn = &l->code->insns[last];
    if (l->code->ops[last] != CODE_ADDI || insn->a != slot || insn->b != slot || insn->c != 1 ||
        slot >= l->code->slots)
        return false;
    for (uint32_t at = l->code->ips[last] - l->function->first + 1; at <= l->at; at++)
        if (l->targets[at])
            return false;
    return true;
}

static void emit_branch(struct lower *l, enum code_op op, uint16_t a, uint32_t b, uint32_t target)
{
    op = branch_to(l, op, target);
    if (counts_up(l, op, a)) {
        l->code->count--;
        op = op == CODE_JLT_BACK ? CODE_INCJLT_BACK : CODE_INCJLT_RK_BACK;
    }
    lower_emit(l, op, a, b, target);
}

/* A comparison whose outcome decides the jump that follows it. */
static void compare_and_branch(struct lower *l, const struct relation *r, bool greater,
                               uint32_t target)
{
    uint32_t x = l->depth - 2, y = l->depth - 1;
    struct operand ox = l->stack[x], oy = l->stack[y];
    bool rk = lower_is_number(l, oy) && oy.index <= UINT16_MAX;
    bool kr = !rk && lower_is_number(l, ox) && ox.index <= UINT16_MAX;
    uint16_t rx = kr ? 0 : lower_use(l, x);
    uint16_t ry = rk ? 0 : lower_use(l, y);
    l->depth -= 2;
    lower_settle_from(l, 0);
    if (rk)
        emit_branch(l, r->rk, rx, oy.index, target);
    else if (kr)
        emit_branch(l, r->mirrored, ry, ox.index, target);
    else
        emit_branch(l, r->rr, greater ? ry : rx, greater ? rx : ry, target);
}

/* Does the value just compared go into a jump, maybe through Not? Then that is `*negate` and
 * `*target`, and how many ops it takes. */
static uint32_t decides_jump(const struct lower *l, bool *negate, uint32_t *target)
{
    *negate = false;
    for (uint32_t n = 1;; n++) {
        const struct jitvm_op *op = following(l, n);
        if (!op)
            return 0;
        if (op->code == OP_Not) {
            *negate = !*negate;
            continue;
        }
        if (op->code != OP_JumpIfTrue && op->code != OP_JumpIfFalse)
            return 0;
        *negate ^= op->code == OP_JumpIfFalse;
        *target = op->b;
        return n;
    }
}

void lower_compare(struct lower *l, unsigned relation, bool greater, enum code_op op)
{
    bool negate;
    uint32_t target, ahead = decides_jump(l, &negate, &target);
    if (ahead) {
        l->ip += ahead;
        l->taken += ahead;
        const struct relation *r =
            greater ? &relations_greater[relation - REL_LT][negate] : &relations[relation][negate];
        compare_and_branch(l, r, greater, target);
        return;
    }
    uint16_t rx = lower_use(l, l->depth - 2), ry = lower_use(l, l->depth - 1);
    l->depth -= 2;
    lower_emit(l, op, lower_top(l), greater ? ry : rx, greater ? rx : ry);
    lower_push_result(l);
}

void lower_jump_if(struct lower *l, enum code_op op, uint32_t target)
{
    uint16_t a = lower_use(l, l->depth - 1);
    lower_pop(l);
    lower_settle_from(l, 0);
    lower_emit(l, branch_to(l, op, target), a, 0, target);
}

void lower_jump_keep(struct lower *l, enum code_op op, uint32_t target)
{
    lower_settle_from(l, 0);
    lower_emit(l, branch_to(l, op, target), lower_register(l, l->depth - 1), 0, target);
}

void lower_jump(struct lower *l, uint32_t target)
{
    lower_settle_from(l, 0);
    lower_emit(l, branch_to(l, CODE_JMP, target), 0, 0, target);
}

/* As slot ops and a comparison would be, for a literal beyond what the instruction can name. */
void lower_slot_int_jump(struct lower *l, const struct jitvm_op *op, enum code_op branch)
{
    uint32_t literal = lower_int_literal(l, op->imm);
    lower_settle_from(l, 0);
    if (literal <= UINT16_MAX) {
        lower_emit(l, branch_to(l, branch, op->b), op->a, literal, op->b);
        return;
    }
    enum code_op rr = branch == CODE_JLT_RK ? CODE_JLT : CODE_JNLT;
    lower_emit(l, CODE_LOADK, lower_top(l), 0, literal);
    lower_emit(l, branch_to(l, rr, op->b), op->a, lower_top(l), op->b);
}

void lower_slot_inc_jump(struct lower *l, const struct jitvm_op *op)
{
    uint32_t literal = lower_int_literal(l, op->imm);
    lower_settle_from(l, 0);
    if (literal <= UINT16_MAX && op->b <= l->ip && !l->vm->overflow_traps) {
        lower_emit(l, CODE_INCJLT_RK_BACK, op->a, literal, op->b);
        return;
    }
    lower_emit(l, CODE_ADDI, op->a, op->a, 1);
    lower_slot_int_jump(l, op, CODE_JLT_RK);
}
