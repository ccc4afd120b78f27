/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter: branches. */
#include "guest/jitvm/vm/interp.h"

#include "guest/jitvm/jit/jit.h"

/* What the interpreter called goes on in compiled code until it returns, and is over. */
static int end_compiled(struct jitvm *vm, struct jitvm_value *base, const struct jit_version *loop)
{
    struct vm_function *function = (vm->frame--)->function;
    int status = jit_loop_run(vm, loop, base);
    if (status == 0)
        function->result_kinds |= (uint16_t)(1u << base->kind);
    return status;
}

/* What C called, which may be compiled code that left this activation to the interpreter: it goes
 * on when that is back, as else each way there would be deeper in the thread's stack. */
static int leave_for_loop(struct jitvm *vm, const struct jit_version *loop)
{
    vm->frame--;
    vm->loop = loop;
    return VM_LOOP;
}

/* A branch backwards was taken and the slice is used up: a loop that runs for long. */
__attribute__((noinline)) static int refuel(HANDLER_ARGS)
{
    vm->slice = fuel;
    int status = vm_refuel(vm);
    fuel = vm->slice;
    if (status < 0)
        return interp_fail(vm, ip, base, status);
    struct vm_frame frame = *vm->frame;
    uint32_t head = (uint32_t)(ip + ip->c - frame.function->code->insns);
    const struct jit_version *loop = vm->jit ? jit_loop_hot(vm, frame.function, base, head) : NULL;
    if (!loop)
        GO_ON(ip->c);
    if (!frame.return_ip)
        return leave_for_loop(vm, loop);
    status = end_compiled(vm, base, loop);
    if (status < 0)
        return interp_fail(vm, frame.return_ip - 2, frame.base, status);
    fuel = vm->slice;
    ip = frame.return_ip;
    base = frame.base;
    GO_ON(0);
}

#define TAKEN_FORWARD GO_ON(ip->c)
#define TAKEN_BACK                                                                                 \
    do {                                                                                           \
        if (UNLIKELY(--fuel < 0))                                                                  \
            INSTEAD(refuel);                                                                       \
        GO_ON(ip->c);                                                                              \
    } while (0)

#define SLOW_BRANCH(name, taken)                                                                   \
    __attribute__((noinline)) static int slow_branch_##name(HANDLER_ARGS)                          \
    {                                                                                              \
        if (op_branch(vm, CODE_##name, ip, base, vm->frame->function->slots))                      \
            taken;                                                                                 \
        GO_ON(1);                                                                                  \
    }

#define BRANCH(name, second, condition, taken)                                                     \
    SLOW_BRANCH(name, taken)                                                                       \
    static int run_##name(HANDLER_ARGS)                                                            \
    {                                                                                              \
        const struct jitvm_value *px = &base[ip->a], *py = second;                                 \
        if (LIKELY(both(px, py, JITVM_INT))) {                                                     \
            int64_t x = px->as.i, y = py->as.i;                                                    \
            if (condition)                                                                         \
                taken;                                                                             \
            GO_ON(1);                                                                              \
        }                                                                                          \
        if (LIKELY(both(px, py, JITVM_FLOAT))) {                                                   \
            double x = px->as.f, y = py->as.f;                                                     \
            if (condition)                                                                         \
                taken;                                                                             \
            GO_ON(1);                                                                              \
        }                                                                                          \
        INSTEAD(slow_branch_##name);                                                               \
    }
#define BRANCHES(name, second, condition)                                                          \
    BRANCH(name, second, condition, TAKEN_FORWARD)                                                 \
    BRANCH(name##_BACK, second, condition, TAKEN_BACK)

BRANCHES(JEQ, &base[ip->b], x == y)
BRANCHES(JNE, &base[ip->b], x != y)
BRANCHES(JLT, &base[ip->b], x < y)
BRANCHES(JNLT, &base[ip->b], !(x < y))
BRANCHES(JLE, &base[ip->b], x <= y)
BRANCHES(JNLE, &base[ip->b], !(x <= y))
BRANCHES(JEQ_RK, &vm->literals[ip->b], x == y)
BRANCHES(JNE_RK, &vm->literals[ip->b], x != y)
BRANCHES(JLT_RK, &vm->literals[ip->b], x < y)
BRANCHES(JNLT_RK, &vm->literals[ip->b], !(x < y))
BRANCHES(JLE_RK, &vm->literals[ip->b], x <= y)
BRANCHES(JNLE_RK, &vm->literals[ip->b], !(x <= y))
BRANCHES(JGT_RK, &vm->literals[ip->b], x > y)
BRANCHES(JNGT_RK, &vm->literals[ip->b], !(x > y))
BRANCHES(JGE_RK, &vm->literals[ip->b], x >= y)
BRANCHES(JNGE_RK, &vm->literals[ip->b], !(x >= y))

#undef BRANCHES

/* On bools and ints at once; whatever else there is by its truth. */
#define TRUTH_BRANCH(name, condition, taken)                                                       \
    SLOW_BRANCH(name, taken)                                                                       \
    static int run_##name(HANDLER_ARGS)                                                            \
    {                                                                                              \
        const struct jitvm_value *x = &base[ip->a];                                                \
        if (UNLIKELY(x->kind - JITVM_BOOL > JITVM_INT - JITVM_BOOL))                               \
            INSTEAD(slow_branch_##name);                                                           \
        if (condition)                                                                             \
            taken;                                                                                 \
        GO_ON(1);                                                                                  \
    }
TRUTH_BRANCH(JT, x->as.i != 0, TAKEN_FORWARD)
TRUTH_BRANCH(JF, x->as.i == 0, TAKEN_FORWARD)
TRUTH_BRANCH(JT_BACK, x->as.i != 0, TAKEN_BACK)
TRUTH_BRANCH(JF_BACK, x->as.i == 0, TAKEN_BACK)
TRUTH_BRANCH(JT_KEEP, x->as.i != 0, TAKEN_FORWARD)
TRUTH_BRANCH(JF_KEEP, x->as.i == 0, TAKEN_FORWARD)
TRUTH_BRANCH(JT_KEEP_BACK, x->as.i != 0, TAKEN_BACK)
TRUTH_BRANCH(JF_KEEP_BACK, x->as.i == 0, TAKEN_BACK)

static int run_JMP(HANDLER_ARGS)
{
    TAKEN_FORWARD;
}

static int run_JMP_BACK(HANDLER_ARGS)
{
    TAKEN_BACK;
}

#define COUNTING(name, second)                                                                     \
    SLOW_BRANCH(name, TAKEN_BACK)                                                                  \
    static int run_##name(HANDLER_ARGS)                                                            \
    {                                                                                              \
        struct jitvm_value *x = &base[ip->a];                                                      \
        const struct jitvm_value *y = second;                                                      \
        int64_t i;                                                                                 \
        if (UNLIKELY(!both(x, y, JITVM_INT) || __builtin_add_overflow(x->as.i, (int64_t)1, &i)))   \
            INSTEAD(slow_branch_##name);                                                           \
        x->as.i = i;                                                                               \
        if (i < y->as.i)                                                                           \
            TAKEN_BACK;                                                                            \
        GO_ON(1);                                                                                  \
    }
COUNTING(INCJLT_BACK, &base[ip->b])
COUNTING(INCJLT_RK_BACK, &vm->literals[ip->b])

#define RUN(name)       [CODE_##name] = run_##name
#define RUN_BACK(name)  RUN(name), RUN(name##_BACK)
#define RUN_JUMPS(name) RUN_BACK(name), RUN_BACK(name##_RK)

insn_fn interp_branch(unsigned op)
{
    static const insn_fn table[CODE_COUNT] = {
        RUN_JUMPS(JEQ),      RUN_JUMPS(JNE),    RUN_JUMPS(JLT),   RUN_JUMPS(JNLT),
        RUN_JUMPS(JLE),      RUN_JUMPS(JNLE),   RUN_BACK(JGT_RK), RUN_BACK(JNGT_RK),
        RUN_BACK(JGE_RK),    RUN_BACK(JNGE_RK), RUN_BACK(JT),     RUN_BACK(JF),
        RUN_BACK(JT_KEEP),   RUN_BACK(JF_KEEP), RUN_BACK(JMP),    RUN(INCJLT_BACK),
        RUN(INCJLT_RK_BACK),
    };
    return table[op];
}
