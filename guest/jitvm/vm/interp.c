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

/* ---- errors -------------------------------------------------------------------------------------
 */

/* Ends the activations down to the one that C code called. */
__attribute__((noinline)) static int fail(struct jitvm *vm, struct insn *ip,
                                          struct jitvm_value *base, int status)
{
    for (;;) {
        struct vm_frame *frame = vm->frame;
        struct vm_function *function = frame->function;
        vm_unwind_frame(vm, function, (uint32_t)(ip - function->code->insns), base);
        vm->frame = frame - 1;
        vm->depth++;
        if (!frame->return_ip)
            return status;
        ip = frame->return_ip - 2;
        base = frame->base;
    }
}

/* ---- ops that are not simple: the functions that every tier has
 * ------------------------------------ */

/* Instructions that DATA follows are two long. */
#define LENGTH_J    1
#define LENGTH_S    1
#define LENGTH_DS   1
#define LENGTH_DK   1
#define LENGTH_DG   2
#define LENGTH_SG   1
#define LENGTH_DSS  1
#define LENGTH_DSK  1
#define LENGTH_DKS  1
#define LENGTH_DSI  1
#define LENGTH_SSS  1
#define LENGTH_DRN  1
#define LENGTH_DRP  2
#define LENGTH_RP   2
#define LENGTH_CALL 2
#define LENGTH_LOOP 2
#define LENGTH_NONE 1
#define LENGTH_DSSX 2
#define LENGTH_SJ   1
#define LENGTH_SSJ  1
#define LENGTH_SKJ  1

#define X(name, format) LENGTH_OF_##name = LENGTH_##format,
enum {
#include "guest/jitvm/vm/code.def"
};
#undef X

#define SLOW_HANDLER(name)                                                                         \
    __attribute__((noinline)) static int slow_##name(HANDLER_ARGS)                                 \
    {                                                                                              \
        vm->slice = fuel;                                                                          \
        int status = op_##name(vm, ip, base, vm->frame->function->slots);                          \
        fuel = vm->slice;                                                                          \
        if (UNLIKELY(status < 0))                                                                  \
            return fail(vm, ip, base, status);                                                     \
        GO_ON(LENGTH_OF_##name);                                                                   \
    }
/* clang-format off */
OPS(SLOW_HANDLER)
/* clang-format on */

/* ---- cells --------------------------------------------------------------------------------------
 */

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

static inline void put_float(struct jitvm_value *cell, double f)
{
    cell->kind = JITVM_FLOAT;
    cell->reserved = 0;
    cell->as.f = number_canonical(f);
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

/* ---- moving -------------------------------------------------------------------------------------
 */

static int run_MOVE(HANDLER_ARGS)
{
    struct jitvm_value *d = &base[ip->a];
    const struct jitvm_value *s = &base[ip->b];
    if (!plain(d))
        INSTEAD(slow_MOVE);
    if (UNLIKELY(value_on_heap(*s)))
        object_retain(s->as.object);
    copy_cell(d, s);
    GO_ON(1);
}

static int run_TAKE(HANDLER_ARGS)
{
    struct jitvm_value *d = &base[ip->a], *s = &base[ip->b];
    if (!plain(d))
        INSTEAD(slow_TAKE);
    copy_cell(d, s);
    s->kind = JITVM_UNDEF;
    s->reserved = 0;
    GO_ON(1);
}

static int run_LOADK(HANDLER_ARGS)
{
    struct jitvm_value *d = &base[ip->a];
    if (!plain(d))
        INSTEAD(slow_LOADK);
    copy_cell(d, &vm->literals[ip->u]);
    GO_ON(1);
}

static int run_DROP(HANDLER_ARGS)
{
    if (!plain(&base[ip->a]))
        INSTEAD(slow_DROP);
    GO_ON(1);
}

static int run_GETG(HANDLER_ARGS)
{
    struct jitvm_value *d = &base[ip->a];
    const struct jitvm_value *s = &vm->globals[ip->u];
    if (!plain(d))
        INSTEAD(slow_GETG);
    if (UNLIKELY(value_on_heap(*s)))
        object_retain(s->as.object);
    copy_cell(d, s);
    ip[1].kinds |= 1u << s->kind;
    GO_ON(2);
}

static int run_SETG(HANDLER_ARGS)
{
    struct jitvm_value *d = &vm->globals[ip->u];
    const struct jitvm_value *s = &base[ip->a];
    if (!plain(d) || !plain(s))
        INSTEAD(slow_SETG);
    copy_cell(d, s);
    GO_ON(1);
}

/* ---- arithmetic ---------------------------------------------------------------------------------
 */

#define RR_OPERANDS const struct jitvm_value *x = &base[ip->b], *y = &base[ip->c]
#define RK_OPERANDS const struct jitvm_value *x = &base[ip->b], *y = &vm->literals[ip->u]
#define KR_OPERANDS const struct jitvm_value *x = &vm->literals[ip->b], *y = &base[ip->c]

#define OVERFLOWING(name, operands, builtin, operator)                                             \
    static int run_##name(HANDLER_ARGS)                                                            \
    {                                                                                              \
        operands;                                                                                  \
        struct jitvm_value *d = &base[ip->a];                                                      \
        int64_t i;                                                                                 \
        if (LIKELY(both(x, y, JITVM_INT) && plain(d) && !builtin(x->as.i, y->as.i, &i))) {         \
            put_int(d, i);                                                                         \
            GO_ON(1);                                                                              \
        }                                                                                          \
        if (LIKELY(both(x, y, JITVM_FLOAT) && plain(d))) {                                         \
            put_float(d, x->as.f operator y->as.f);                                                \
            GO_ON(1);                                                                              \
        }                                                                                          \
        INSTEAD(slow_##name);                                                                      \
    }
OVERFLOWING(ADD, RR_OPERANDS, __builtin_add_overflow, +)
OVERFLOWING(ADD_RK, RK_OPERANDS, __builtin_add_overflow, +)
OVERFLOWING(ADD_KR, KR_OPERANDS, __builtin_add_overflow, +)
OVERFLOWING(SUB, RR_OPERANDS, __builtin_sub_overflow, -)
OVERFLOWING(SUB_RK, RK_OPERANDS, __builtin_sub_overflow, -)
OVERFLOWING(SUB_KR, KR_OPERANDS, __builtin_sub_overflow, -)
OVERFLOWING(MUL, RR_OPERANDS, __builtin_mul_overflow, *)
OVERFLOWING(MUL_RK, RK_OPERANDS, __builtin_mul_overflow, *)
OVERFLOWING(MUL_KR, KR_OPERANDS, __builtin_mul_overflow, *)

static int run_ADDI(HANDLER_ARGS)
{
    const struct jitvm_value *x = &base[ip->b];
    struct jitvm_value *d = &base[ip->a];
    int64_t i;
    if (LIKELY(x->kind == JITVM_INT && plain(d) &&
               !__builtin_add_overflow(x->as.i, (int64_t)ip->c, &i))) {
        put_int(d, i);
        GO_ON(1);
    }
    if (LIKELY(x->kind == JITVM_FLOAT && plain(d))) {
        put_float(d, x->as.f + ip->c);
        GO_ON(1);
    }
    INSTEAD(slow_ADDI);
}

#define DIVISION(name, operands)                                                                   \
    static int run_##name(HANDLER_ARGS)                                                            \
    {                                                                                              \
        operands;                                                                                  \
        struct jitvm_value *d = &base[ip->a];                                                      \
        if (LIKELY(both(x, y, JITVM_FLOAT) && plain(d) && y->as.f != 0)) {                         \
            put_float(d, x->as.f / y->as.f);                                                       \
            GO_ON(1);                                                                              \
        }                                                                                          \
        INSTEAD(slow_##name);                                                                      \
    }
DIVISION(DIV, RR_OPERANDS)
DIVISION(DIV_RK, RK_OPERANDS)
DIVISION(DIV_KR, KR_OPERANDS)

/* Divisors from 1 up: no overflow, and nothing to say about 0. */
#define INT_DIVISION(name, operands, operator)                                                     \
    static int run_##name(HANDLER_ARGS)                                                            \
    {                                                                                              \
        operands;                                                                                  \
        struct jitvm_value *d = &base[ip->a];                                                      \
        if (LIKELY(both(x, y, JITVM_INT) && plain(d) && y->as.i > 0)) {                            \
            put_int(d, x->as.i operator y->as.i);                                                  \
            GO_ON(1);                                                                              \
        }                                                                                          \
        INSTEAD(slow_##name);                                                                      \
    }
INT_DIVISION(IDIV, RR_OPERANDS, /)
INT_DIVISION(IDIV_RK, RK_OPERANDS, /)
INT_DIVISION(IDIV_KR, KR_OPERANDS, /)
INT_DIVISION(MOD, RR_OPERANDS, %)
INT_DIVISION(MOD_RK, RK_OPERANDS, %)
INT_DIVISION(MOD_KR, KR_OPERANDS, %)

#define OF_BITS(name, operands, expression)                                                        \
    static int run_##name(HANDLER_ARGS)                                                            \
    {                                                                                              \
        operands;                                                                                  \
        struct jitvm_value *d = &base[ip->a];                                                      \
        if (LIKELY(both(x, y, JITVM_INT) && plain(d))) {                                           \
            put_int(d, expression);                                                                \
            GO_ON(1);                                                                              \
        }                                                                                          \
        INSTEAD(slow_##name);                                                                      \
    }
OF_BITS(BAND, RR_OPERANDS, x->as.i & y->as.i)
OF_BITS(BAND_RK, RK_OPERANDS, x->as.i & y->as.i)
OF_BITS(BOR, RR_OPERANDS, x->as.i | y->as.i)
OF_BITS(BOR_RK, RK_OPERANDS, x->as.i | y->as.i)
OF_BITS(BXOR, RR_OPERANDS, x->as.i ^ y->as.i)
OF_BITS(BXOR_RK, RK_OPERANDS, x->as.i ^ y->as.i)
OF_BITS(SHL, RR_OPERANDS, (int64_t)((uint64_t)x->as.i << (y->as.i & 63)))
OF_BITS(SHL_RK, RK_OPERANDS, (int64_t)((uint64_t)x->as.i << (y->as.i & 63)))
OF_BITS(SHR, RR_OPERANDS, x->as.i >> (y->as.i & 63))
OF_BITS(SHR_RK, RK_OPERANDS, x->as.i >> (y->as.i & 63))

static int run_NEG(HANDLER_ARGS)
{
    const struct jitvm_value *x = &base[ip->b];
    struct jitvm_value *d = &base[ip->a];
    if (LIKELY(x->kind == JITVM_FLOAT && plain(d))) {
        put_float(d, -x->as.f);
        GO_ON(1);
    }
    if (LIKELY(x->kind == JITVM_INT && plain(d) && x->as.i != INT64_MIN)) {
        put_int(d, -x->as.i);
        GO_ON(1);
    }
    INSTEAD(slow_NEG);
}

/* ---- comparisons --------------------------------------------------------------------------------
 */

#define COMPARISON(name, operator)                                                                 \
    static int run_##name(HANDLER_ARGS)                                                            \
    {                                                                                              \
        RR_OPERANDS;                                                                               \
        struct jitvm_value *d = &base[ip->a];                                                      \
        if (LIKELY(both(x, y, JITVM_INT) && plain(d))) {                                           \
            put_bool(d, x->as.i operator y->as.i);                                                 \
            GO_ON(1);                                                                              \
        }                                                                                          \
        if (LIKELY(both(x, y, JITVM_FLOAT) && plain(d))) {                                         \
            put_bool(d, x->as.f operator y->as.f);                                                 \
            GO_ON(1);                                                                              \
        }                                                                                          \
        INSTEAD(slow_##name);                                                                      \
    }
COMPARISON(EQ, ==)
COMPARISON(NE, !=)
COMPARISON(LT, <)
COMPARISON(LE, <=)

static int run_NOT(HANDLER_ARGS)
{
    const struct jitvm_value *x = &base[ip->b];
    struct jitvm_value *d = &base[ip->a];
    if (LIKELY(x->kind == JITVM_BOOL && plain(d))) {
        put_bool(d, !x->as.i);
        GO_ON(1);
    }
    INSTEAD(slow_NOT);
}

/* ---- branches -----------------------------------------------------------------------------------
 */

/* A branch backwards was taken and the slice is used up. */
__attribute__((noinline)) static int refuel(HANDLER_ARGS)
{
    vm->slice = fuel;
    int status = vm_refuel(vm);
    fuel = vm->slice;
    if (status < 0)
        return fail(vm, ip, base, status);
    GO_ON(ip->c);
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

/* ---- containers ---------------------------------------------------------------------------------
 */

/* a = b[c], of an array by an index that is inside. */
static int run_INDEX(HANDLER_ARGS)
{
    RR_OPERANDS;
    struct jitvm_value *d = &base[ip->a];
    if (UNLIKELY(x->kind != JITVM_ARRAY || y->kind != JITVM_INT || !plain(d) ||
                 ip->b >= vm->frame->function->slots))
        INSTEAD(slow_INDEX);
    const struct jitvm_array *array = x->as.array;
    uint64_t at = (uint64_t)y->as.i;
    if (UNLIKELY(at >= array->len))
        INSTEAD(slow_INDEX);
    if (array->element == ARRAY_INT) {
        put_int(d, array->data.ints[at]);
    } else if (array->element == ARRAY_FLOAT) {
        put_float(d, array->data.floats[at]);
    } else {
        const struct jitvm_value *element = &array->data.values[at];
        value_retain(*element);
        copy_cell(d, element);
    }
    ip[1].kinds |= 1u << d->kind;
    GO_ON(2);
}

/* slot a [b] = c, of an array that is ours alone, inside it, an element of its kind. */
static int run_SETIDX(HANDLER_ARGS)
{
    const struct jitvm_value *key = &base[ip->b], *v = &base[ip->c];
    struct jitvm_value *place = &base[ip->a];
    if (UNLIKELY(place->kind != JITVM_ARRAY || key->kind != JITVM_INT))
        INSTEAD(slow_SETIDX);
    struct jitvm_array *array = place->as.array;
    uint64_t at = (uint64_t)key->as.i;
    if (UNLIKELY(at >= array->len || !object_is_mine(&array->object)))
        INSTEAD(slow_SETIDX);
    if (array->element == ARRAY_INT && v->kind == JITVM_INT)
        array->data.ints[at] = v->as.i;
    else if (array->element == ARRAY_FLOAT && v->kind == JITVM_FLOAT)
        array->data.floats[at] = v->as.f;
    else if (array->element == ARRAY_VALUE && plain(v) && plain(&array->data.values[at]))
        copy_cell(&array->data.values[at], v);
    else
        INSTEAD(slow_SETIDX);
    GO_ON(1);
}

static int run_LEN(HANDLER_ARGS)
{
    const struct jitvm_value *x = &base[ip->b];
    struct jitvm_value *d = &base[ip->a];
    if (UNLIKELY(x->kind != JITVM_ARRAY || !plain(d) || ip->b >= vm->frame->function->slots))
        INSTEAD(slow_LEN);
    put_int(d, (int64_t)x->as.array->len);
    GO_ON(1);
}

/* ---- calls and returns --------------------------------------------------------------------------
 */

static inline void push_frame(struct jitvm *vm, struct insn *return_ip, struct jitvm_value *base,
                              struct vm_function *function)
{
    struct vm_frame *frame = ++vm->frame;
    frame->return_ip = return_ip;
    frame->base = base;
    frame->function = function;
}

/* A call that may be of compiled code, of code that is not lowered yet, or may not be allowed. 1:
 * done, 0: its activation is pushed, < 0: failed. */
__attribute__((noinline)) static int enter(struct jitvm *vm, struct insn *ip,
                                           struct jitvm_value *base, uint32_t callee)
{
    struct vm_function *function = &vm->functions[callee];
    struct jitvm_value *window = base + ip->a;
    int status = function->entry ? 1 : vm_enter(vm, function, window);
    if (status == 1) {
        status = function->entry(vm, window);
        return status < 0 ? fail(vm, ip, base, status) : 1;
    }
    if (status < 0)
        return fail(vm, ip, base, status);
    push_frame(vm, ip + 2, base, function);
    return 0;
}

#define ENTER(callee)                                                                              \
    do {                                                                                           \
        int status_ = enter(vm, ip, base, callee);                                                 \
        fuel = vm->slice;                                                                          \
        if (UNLIKELY(status_ < 0))                                                                 \
            return status_;                                                                        \
        if (LIKELY(status_ == 1))                                                                  \
            GO_ON(2);                                                                              \
        base += ip->a;                                                                             \
        ip = vm->frame->function->code->insns;                                                     \
        GO_ON(0);                                                                                  \
    } while (0)

static int slow_call(HANDLER_ARGS)
{
    vm->slice = fuel;
    ENTER(ip->u);
}

static int run_CALL(HANDLER_ARGS)
{
    struct vm_function *function = &vm->functions[ip->u];
    struct jitvm_value *window = base + ip->a;
    if (UNLIKELY(!function->start || fuel < 1 || vm->depth < 1 ||
                 window + function->registers > vm->stack_end))
        INSTEAD(slow_call);
    fuel--;
    vm->depth--;
    for (unsigned i = function->arity; i < function->slots; i++)
        window[i] = jitvm_undef();
    push_frame(vm, ip + 2, base, function);
    base = window;
    ip = function->start;
    GO_ON(0);
}

static int run_CALLDYN(HANDLER_ARGS)
{
    vm->slice = fuel;
    int callee = vm_resolve_callee(vm, base + ip->a, ip->b);
    fuel = vm->slice;
    if (callee < 0)
        return fail(vm, ip, base, callee);
    if (callee == 0) {
        ip[1].kinds |= 1u << base[ip->a].kind;
        GO_ON(2);
    }
    ENTER((uint32_t)callee - 1);
}

static int run_RET(HANDLER_ARGS)
{
    struct vm_frame *frame = vm->frame;
    struct vm_function *function = frame->function;
    struct jitvm_value result = cell_take(&base[ip->a]);
    function->result_kinds |= (uint16_t)(1u << result.kind);
    for (unsigned i = 0; i < function->slots; i++)
        if (UNLIKELY(value_on_heap(base[i])))
            cell_clear(vm, &base[i]);
    copy_cell(base, &result);
    vm->frame = frame - 1;
    vm->depth++;
    ip = frame->return_ip;
    base = frame->base;
    if (UNLIKELY(!ip)) {
        vm->slice = fuel;
        return 0;
    }
    GO_ON(0);
}

static int run_RETU(HANDLER_ARGS)
{
    struct vm_frame *frame = vm->frame;
    struct vm_function *function = frame->function;
    function->result_kinds |= 1u << JITVM_UNDEF;
    for (unsigned i = 0; i < function->slots; i++)
        cell_clear(vm, &base[i]);
    base[0] = jitvm_undef();
    vm->frame = frame - 1;
    vm->depth++;
    ip = frame->return_ip;
    base = frame->base;
    if (UNLIKELY(!ip)) {
        vm->slice = fuel;
        return 0;
    }
    GO_ON(0);
}

/* Never reached: DATA is stepped over. */
static int run_DATA(HANDLER_ARGS)
{
    (void)base;
    (void)fuel;
    (void)ip;
    return jitvm_raise(vm, JITVM_ERR_INVALID, "data run as code");
}

/* ---- the table ----------------------------------------------------------------------------------
 */

#define RUN(name)       [CODE_##name] = run_##name
#define SLOW(name)      [CODE_##name] = slow_##name
#define RUN_FORMS(name) RUN(name), RUN(name##_RK), RUN(name##_KR)
#define RUN_RK(name)    RUN(name), RUN(name##_RK)
#define RUN_BACK(name)  RUN(name), RUN(name##_BACK)
#define RUN_JUMPS(name) RUN_BACK(name), RUN_BACK(name##_RK)

insn_fn interp_handler(unsigned op)
{
    static const insn_fn table[CODE_COUNT] = {
        RUN(MOVE),         RUN(TAKE),        RUN(LOADK),        RUN(DROP),
        RUN(GETG),         RUN(SETG),        RUN_FORMS(ADD),    RUN(ADDI),
        RUN_FORMS(SUB),    RUN_FORMS(MUL),   RUN_FORMS(DIV),    RUN_FORMS(IDIV),
        RUN_FORMS(MOD),    SLOW(POW),        RUN(NEG),          RUN_RK(BAND),
        RUN_RK(BOR),       RUN_RK(BXOR),     RUN_RK(SHL),       RUN_RK(SHR),
        SLOW(BNOT),        SLOW(TOINT),      SLOW(TOFLOAT),     SLOW(TOSTR),
        RUN(EQ),           RUN(NE),          RUN(LT),           RUN(LE),
        SLOW(CMP),         SLOW(SEQ),        SLOW(SNE),         SLOW(SLT),
        SLOW(SLE),         SLOW(SCMP),       RUN(NOT),          RUN_JUMPS(JEQ),
        RUN_JUMPS(JNE),    RUN_JUMPS(JLT),   RUN_JUMPS(JNLT),   RUN_JUMPS(JLE),
        RUN_JUMPS(JNLE),   RUN_BACK(JGT_RK), RUN_BACK(JNGT_RK), RUN_BACK(JGE_RK),
        RUN_BACK(JNGE_RK), RUN_BACK(JT),     RUN_BACK(JF),      RUN_BACK(JT_KEEP),
        RUN_BACK(JF_KEEP), RUN_BACK(JMP),    RUN(INCJLT_BACK),  RUN(INCJLT_RK_BACK),
        SLOW(CONCAT),      RUN(LEN),         SLOW(ARRAY),       SLOW(HASH),
        RUN(INDEX),        RUN(SETIDX),      SLOW(RANGE),       SLOW(RANGESTEP),
        SLOW(GETPATH),     SLOW(SETPATH),    SLOW(PUSHPATH),    SLOW(POPPATH),
        SLOW(SHIFTPATH),   SLOW(DELPATH),    SLOW(EXISTSPATH),  SLOW(KEYSPATH),
        SLOW(VALUESPATH),  SLOW(LENPATH),    RUN(CALL),         RUN(CALLDYN),
        SLOW(CALLB),       SLOW(EXT),        RUN(RET),          RUN(RETU),
        SLOW(ACCUMLOOP),   SLOW(CONCATLOOP), SLOW(PUSHLOOP),    RUN(DATA),
    };
    return table[op];
}

int interp_run(struct jitvm *vm, struct vm_function *function, struct jitvm_value *base,
               struct insn *ip)
{
    push_frame(vm, NULL, base, function);
    return ip->run(vm, ip, base, vm->slice);
}
