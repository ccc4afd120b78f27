/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interpreter: one function per op, each ending in a jump to the next one's.
 *
 * The machine's registers hold the VM, the instruction, the activation's registers and the fuel,
 * because these are the arguments of every handler. For that to stay so, a handler's simple case
 * calls nothing; the rest is in a function of its own that is jumped to (`slow_*`). Compilers must
 * turn the calls at the end into jumps: clang is told to, gcc does so at -O2.
 *
 * A cell's kind is always written together with its reserved half, as one word, so that reading
 * it back at once does not wait.
 */
#ifndef JITVM_VM_INTERP_H
#define JITVM_VM_INTERP_H

#include "guest/jitvm/vm/ops.h"

#ifdef __clang__
#define TAIL __attribute__((musttail))
#else
#define TAIL
#endif

#define HANDLER_ARGS struct jitvm *vm, struct insn *ip, struct jitvm_value *base, int64_t fuel
#define GO_ON(n)                                                                                   \
    do {                                                                                           \
        ip += (n);                                                                                 \
        TAIL return ip->run(vm, ip, base, fuel);                                                   \
    } while (0)
#define INSTEAD(handler) TAIL return handler(vm, ip, base, fuel)

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Ends the activations down to the one that C code called; gives `status` back. */
int interp_fail(struct jitvm *vm, struct insn *ip, struct jitvm_value *base, int status);

/* The handlers of these parts; NULL: not of this part. */
insn_fn interp_arithmetic(unsigned op); /* interp_arith.c */
insn_fn interp_branch(unsigned op);     /* interp_branch.c */

/* Instructions that DATA follows are two long. */
#define LENGTH_J     1
#define LENGTH_S     1
#define LENGTH_DS    1
#define LENGTH_DK    1
#define LENGTH_DG    2
#define LENGTH_SG    1
#define LENGTH_DSS   1
#define LENGTH_DSK   1
#define LENGTH_DKS   1
#define LENGTH_DSI   1
#define LENGTH_SSS   1
#define LENGTH_DRN   1
#define LENGTH_DRP   2
#define LENGTH_RP    2
#define LENGTH_CALL  2
#define LENGTH_LOOP  2
#define LENGTH_NONE  1
#define LENGTH_DSSX  2
#define LENGTH_DSSXS 2
#define LENGTH_SSSXS 2
#define LENGTH_SJ    1
#define LENGTH_SSJ   1
#define LENGTH_SKJ   1

#define X(name, format) LENGTH_OF_##name = LENGTH_##format,
enum {
#include "guest/jitvm/vm/code.def"
};
#undef X

/* The handler of the case that is not simple: what every tier has for it. */
#define SLOW_HANDLER(name)                                                                         \
    __attribute__((noinline)) static int slow_##name(HANDLER_ARGS)                                 \
    {                                                                                              \
        vm->slice = fuel;                                                                          \
        int status = op_##name(vm, ip, base, vm->frame->function->slots);                          \
        fuel = vm->slice;                                                                          \
        if (UNLIKELY(status < 0))                                                                  \
            return interp_fail(vm, ip, base, status);                                              \
        GO_ON(LENGTH_OF_##name);                                                                   \
    }

/* ---- cells ---------------------------------------------------------------------------------- */

static inline bool both(const struct jitvm_value *x, const struct jitvm_value *y, uint32_t kind)
{
    return x->kind == kind && y->kind == kind;
}

/* May the cell be written over without a look? */
static inline bool plain(const struct jitvm_value *cell)
{
    return LIKELY(cell->kind < JITVM_STR);
}

static inline void put_int(struct jitvm_value *cell, int64_t i)
{
    cell->kind = JITVM_INT;
    cell->reserved = 0;
    cell->as.i = i;
}

/* No NaN: those are left to the slow handler, which makes them the one that there is. */
static inline void put_float(struct jitvm_value *cell, double f)
{
    cell->kind = JITVM_FLOAT;
    cell->reserved = 0;
    cell->as.f = f;
}

static inline bool is_nan(double f)
{
    return UNLIKELY(f != f);
}

static inline void put_bool(struct jitvm_value *cell, bool b)
{
    cell->kind = JITVM_BOOL;
    cell->reserved = 0;
    cell->as.i = b;
}

/* In two words, as it was written. */
static inline void copy_cell(struct jitvm_value *to, const struct jitvm_value *from)
{
    uint32_t kind = from->kind;
    int64_t payload = from->as.i;
    to->kind = kind;
    to->reserved = 0;
    to->as.i = payload;
}

#define RR_OPERANDS const struct jitvm_value *x = &base[ip->b], *y = &base[ip->c]
#define RK_OPERANDS const struct jitvm_value *x = &base[ip->b], *y = &vm->literals[ip->u]
#define KR_OPERANDS const struct jitvm_value *x = &vm->literals[ip->b], *y = &base[ip->c]

#endif
