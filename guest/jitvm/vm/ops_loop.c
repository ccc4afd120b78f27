/* SPDX-License-Identifier: Apache-2.0 */
/* Whole loops as one op, and branches on values of any kind. */
#include "guest/jitvm/vm/ops.h"

/* ---- whole loops ---------------------------------------------------------------------------- */

static bool below(struct jitvm_value counter, int64_t limit)
{
    return value_compare_numbers(counter, jitvm_int(limit)) == VALUE_LESS;
}

/* counter++ */
static int count_up(struct jitvm *vm, struct jitvm_value *counter)
{
    struct jitvm_value next;
    int rc = op_add_values(vm, *counter, jitvm_int(1), &next);
    if (rc == 0)
        cell_set(vm, counter, next);
    return rc;
}

static int sum_up(struct jitvm *vm, struct jitvm_value *sum, struct jitvm_value counter)
{
    struct jitvm_value next;
    int rc = op_add_values(vm, *sum, counter, &next);
    if (rc == 0)
        cell_set(vm, sum, next);
    return rc;
}

/* from + (from + 1) + ... + (to - 1), wrapping. */
static uint64_t sum_between(int64_t from, int64_t to)
{
    uint64_t n = (uint64_t)to - (uint64_t)from;
    __uint128_t pairs = (__uint128_t)n * (n - 1) / 2;
    return (uint64_t)from * n + (uint64_t)pairs;
}

int op_ACCUMLOOP(OP_ARGS_DECL)
{
    (void)slots;
    struct jitvm_value *sum = &base[ip->a], *counter = &base[ip->b];
    int64_t limit = ip[1].c;
    if (sum->kind == JITVM_INT && counter->kind == JITVM_INT && counter->as.i < limit &&
        !vm->overflow_traps) {
        int rc = vm_charge(vm, (uint64_t)limit - (uint64_t)counter->as.i);
        if (rc < 0)
            return rc;
        *sum = jitvm_int((int64_t)((uint64_t)sum->as.i + sum_between(counter->as.i, limit)));
        *counter = jitvm_int(limit);
        return 0;
    }
    while (below(*counter, limit)) {
        int rc = vm_charge(vm, 1);
        if (rc == 0)
            rc = sum_up(vm, sum, *counter);
        if (rc == 0)
            rc = count_up(vm, counter);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int append(struct jitvm *vm, struct jitvm_value *cell, struct jitvm_str *tail)
{
    struct jitvm_str *str =
        cell->kind == JITVM_STR ? cell_take(cell).as.str : value_to_str(&vm->heap, *cell);
    if (str)
        str = str_append(&vm->heap, str, tail->bytes, tail->len);
    if (!str)
        return vm_raise_heap(vm);
    cell_set(vm, cell, (struct jitvm_value){.kind = JITVM_STR, .as.str = str});
    return 0;
}

int op_CONCATLOOP(OP_ARGS_DECL)
{
    (void)slots;
    struct jitvm_value *counter = &base[ip->b];
    struct jitvm_str *tail = value_to_str(&vm->heap, vm->literals[ip->u]);
    if (!tail)
        return vm_raise_heap(vm);
    int rc = 0;
    while (rc == 0 && below(*counter, ip[1].c)) {
        rc = vm_charge(vm, 1);
        if (rc == 0)
            rc = append(vm, &base[ip->a], tail);
        if (rc == 0)
            rc = count_up(vm, counter);
    }
    object_release(&vm->heap, &tail->object);
    return rc;
}

int op_PUSHLOOP(OP_ARGS_DECL)
{
    (void)slots;
    struct jitvm_value *counter = &base[ip->b];
    int rc = 0;
    while (rc == 0 && below(*counter, ip[1].c)) {
        rc = vm_charge(vm, 1);
        if (rc < 0)
            break;
        value_retain(*counter);
        rc = path_push(&vm->heap, &base[ip->a], NULL, 0, *counter);
        if (rc < 0)
            return vm_raise_path(vm, rc, "push to", base[ip->a]);
        rc = count_up(vm, counter);
    }
    return rc;
}

/* ---- branches ------------------------------------------------------------------------------- */

/* How the orders that a branch is taken for are written down: a bit each. */
enum { LESS = 1, EQUAL = 2, GREATER = 4, UNORDERED = 8 };

static unsigned order_bit(enum value_order order)
{
    switch (order) {
    case VALUE_LESS:
        return LESS;
    case VALUE_EQUAL:
        return EQUAL;
    case VALUE_GREATER:
        return GREATER;
    default:
        return UNORDERED;
    }
}

static unsigned taken_for(unsigned op)
{
    switch (op) {
    case CODE_JEQ:
    case CODE_JEQ_RK:
        return EQUAL;
    case CODE_JNE:
    case CODE_JNE_RK:
        return LESS | GREATER | UNORDERED;
    case CODE_JLT:
    case CODE_JLT_RK:
        return LESS;
    case CODE_JNLT:
    case CODE_JNLT_RK:
        return EQUAL | GREATER | UNORDERED;
    case CODE_JLE:
    case CODE_JLE_RK:
        return LESS | EQUAL;
    case CODE_JNLE:
    case CODE_JNLE_RK:
        return GREATER | UNORDERED;
    case CODE_JGT_RK:
        return GREATER;
    case CODE_JNGT_RK:
        return LESS | EQUAL | UNORDERED;
    case CODE_JGE_RK:
        return GREATER | EQUAL;
    default: /* CODE_JNGE_RK */
        return LESS | UNORDERED;
    }
}

static bool truth_branch(struct jitvm *vm, unsigned op, struct insn *ip, struct jitvm_value *base,
                         unsigned slots)
{
    bool truth = value_truthy(base[ip->a]);
    bool keeps = op == CODE_JT_KEEP || op == CODE_JF_KEEP || op == CODE_JT_KEEP_BACK ||
                 op == CODE_JF_KEEP_BACK;
    if (!keeps)
        op_used(vm, base, ip->a, slots);
    bool on_false =
        op == CODE_JF || op == CODE_JF_BACK || op == CODE_JF_KEEP || op == CODE_JF_KEEP_BACK;
    return truth != on_false;
}

/* Only where adding cannot fail: lowering makes no INCJLT where overflow is an error. */
static bool inc_branch(struct jitvm *vm, unsigned op, struct insn *ip, struct jitvm_value *base)
{
    (void)count_up(vm, &base[ip->a]);
    struct jitvm_value limit = op == CODE_INCJLT_BACK ? base[ip->b] : vm->literals[ip->b];
    return value_compare_numbers(base[ip->a], limit) == VALUE_LESS;
}

bool op_branch(struct jitvm *vm, unsigned op, struct insn *ip, struct jitvm_value *base,
               unsigned slots)
{
    if (op >= CODE_JT && op <= CODE_JF_KEEP_BACK)
        return truth_branch(vm, op, ip, base, slots);
    if (op == CODE_INCJLT_BACK || op == CODE_INCJLT_RK_BACK) {
        bool taken = inc_branch(vm, op, ip, base);
        if (op == CODE_INCJLT_BACK)
            op_used(vm, base, ip->b, slots);
        return taken;
    }
    if (op >= CODE_JEQ_BACK && op <= CODE_JNGE_RK_BACK)
        op -= CODE_JEQ_BACK - CODE_JEQ;
    bool literal = op >= CODE_JEQ_RK;
    struct jitvm_value y = literal ? vm->literals[ip->b] : base[ip->b];
    unsigned order = order_bit(value_compare_numbers(base[ip->a], y));
    op_used(vm, base, ip->a, slots);
    if (!literal)
        op_used(vm, base, ip->b, slots);
    return (taken_for(op) & order) != 0;
}
