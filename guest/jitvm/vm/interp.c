/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter: moving values, containers, calls, and where all handlers are found. */
#include "guest/jitvm/vm/interp.h"

#include "guest/jitvm/jit/jit.h"

/* ---- errors --------------------------------------------------------------------------------- */

int interp_fail(struct jitvm *vm, struct insn *ip, struct jitvm_value *base, int status)
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

/* clang-format off */
SLOW_HANDLER(MOVE)
SLOW_HANDLER(TAKE)
SLOW_HANDLER(LOADK)
SLOW_HANDLER(DROP)
SLOW_HANDLER(GETG)
SLOW_HANDLER(SETG)
SLOW_HANDLER(CONCAT)
SLOW_HANDLER(LEN)
SLOW_HANDLER(ARRAY)
SLOW_HANDLER(HASH)
SLOW_HANDLER(INDEX)
SLOW_HANDLER(INDEXV)
SLOW_HANDLER(INDEX2)
SLOW_HANDLER(SETIDX)
SLOW_HANDLER(SETIDX2)
SLOW_HANDLER(RANGE)
SLOW_HANDLER(RANGESTEP)
SLOW_HANDLER(GETPATH)
SLOW_HANDLER(SETPATH)
SLOW_HANDLER(PUSHPATH)
SLOW_HANDLER(POPPATH)
SLOW_HANDLER(SHIFTPATH)
SLOW_HANDLER(DELPATH)
SLOW_HANDLER(EXISTSPATH)
SLOW_HANDLER(KEYSPATH)
SLOW_HANDLER(VALUESPATH)
SLOW_HANDLER(LENPATH)
SLOW_HANDLER(CALLB)
SLOW_HANDLER(EXT)
SLOW_HANDLER(ACCUMLOOP)
SLOW_HANDLER(CONCATLOOP)
SLOW_HANDLER(PUSHLOOP)
/* clang-format on */

/* ---- moving --------------------------------------------------------------------------------- */

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

/* ---- containers ----------------------------------------------------------------------------- */

/* a = slot b [c], of an array by an index that is inside. Each place settles on the kind of element
 * that it saw first; one that sees several does without. */
#define INDEX_OPERANDS                                                                             \
    RR_OPERANDS;                                                                                   \
    struct jitvm_value *d = &base[ip->a]

static inline const struct jitvm_array *array_inside(const struct jitvm_value *x,
                                                     const struct jitvm_value *y)
{
    if (UNLIKELY(x->kind != JITVM_ARRAY || y->kind != JITVM_INT ||
                 (uint64_t)y->as.i >= x->as.array->len))
        return NULL;
    return x->as.array;
}

static inline void put_element(struct jitvm_value *d, const struct jitvm_array *array, int64_t at)
{
    if (array->element == ARRAY_INT) {
        put_int(d, array->data.ints[at]);
    } else if (array->element == ARRAY_FLOAT) {
        put_float(d, array->data.floats[at]); /* its NaNs are the one there is */
    } else {
        const struct jitvm_value *element = &array->data.values[at];
        value_retain(*element);
        copy_cell(d, element);
    }
}

static int run_INDEX_any(HANDLER_ARGS)
{
    INDEX_OPERANDS;
    const struct jitvm_array *array = array_inside(x, y);
    if (UNLIKELY(!array || !plain(d)))
        INSTEAD(slow_INDEX);
    put_element(d, array, y->as.i);
    ip[1].kinds |= 1u << d->kind;
    GO_ON(2);
}

__attribute__((noinline)) static int unsettled_INDEX(HANDLER_ARGS)
{
    ip->run = run_INDEX_any;
    INSTEAD(run_INDEX_any);
}

#define INDEX_OF(element_kind, put)                                                                \
    static int run_INDEX_##element_kind(HANDLER_ARGS)                                              \
    {                                                                                              \
        INDEX_OPERANDS;                                                                            \
        const struct jitvm_array *array = array_inside(x, y);                                      \
        if (UNLIKELY(!array || array->element != ARRAY_##element_kind || !plain(d)))               \
            INSTEAD(unsettled_INDEX);                                                              \
        put;                                                                                       \
        GO_ON(2);                                                                                  \
    }
INDEX_OF(INT, put_int(d, array->data.ints[y->as.i]))
INDEX_OF(FLOAT, put_float(d, array->data.floats[y->as.i]))

static inline bool plain_key(const struct jitvm_value *key)
{
    return key->kind == JITVM_INT || key->kind == JITVM_STR;
}

/* The value of a key that hash `x` has. */
static inline struct jitvm_value *entry_of(const struct jitvm_value *x,
                                           const struct jitvm_value *key)
{
    return plain_key(key) ? hash_find_plain(x->as.hash, *key) : NULL;
}

static int run_INDEX_hash(HANDLER_ARGS)
{
    INDEX_OPERANDS;
    if (UNLIKELY(x->kind != JITVM_HASH))
        INSTEAD(unsettled_INDEX);
    const struct jitvm_value *found = entry_of(x, y);
    if (UNLIKELY(!found))
        INSTEAD(slow_INDEX);
    struct jitvm_value v = *found;
    value_retain(v);
    op_used(vm, base, ip->u, vm->frame->function->slots);
    cell_set(vm, d, v);
    ip[1].kinds |= 1u << v.kind;
    GO_ON(2);
}

static int run_INDEX(HANDLER_ARGS)
{
    const struct jitvm_value *x = &base[ip->b];
    if (x->kind == JITVM_HASH) {
        ip->run = run_INDEX_hash;
        INSTEAD(slow_INDEX);
    }
    if (x->kind != JITVM_ARRAY)
        INSTEAD(slow_INDEX);
    uint32_t element = x->as.array->element;
    ip->run = element == ARRAY_INT     ? run_INDEX_INT
              : element == ARRAY_FLOAT ? run_INDEX_FLOAT
                                       : run_INDEX_any;
    INSTEAD(run_INDEX_any);
}

/* a = slot b [c][d]. */
static int run_INDEX2(HANDLER_ARGS)
{
    INDEX_OPERANDS;
    const struct jitvm_value *z = &base[ip[1].a];
    const struct jitvm_array *rows = array_inside(x, y);
    if (UNLIKELY(!rows || rows->element != ARRAY_VALUE))
        INSTEAD(slow_INDEX2);
    const struct jitvm_array *row = array_inside(&rows->data.values[y->as.i], z);
    if (UNLIKELY(!row || !plain(d)))
        INSTEAD(slow_INDEX2);
    put_element(d, row, z->as.i);
    ip[1].kinds |= 1u << d->kind;
    GO_ON(2);
}

/* Stores an element of the array's kind inside it, if the array is ours alone. */
static inline bool store_element(struct jitvm_array *array, const struct jitvm_value *key,
                                 const struct jitvm_value *v)
{
    uint64_t at = (uint64_t)key->as.i;
    if (UNLIKELY(key->kind != JITVM_INT || at >= array->len || !object_is_mine(&array->object)))
        return false;
    if (array->element == ARRAY_INT && v->kind == JITVM_INT)
        array->data.ints[at] = v->as.i;
    else if (array->element == ARRAY_FLOAT && v->kind == JITVM_FLOAT)
        array->data.floats[at] = v->as.f;
    else if (array->element == ARRAY_VALUE && plain(v) && plain(&array->data.values[at]))
        copy_cell(&array->data.values[at], v);
    else
        return false;
    return true;
}

/* slot a [b] = c, of a hash that is ours alone and has the key. */
__attribute__((noinline)) static int run_SETIDX_hash(HANDLER_ARGS)
{
    const struct jitvm_value *place = &base[ip->a], *v = &base[ip->c];
    struct jitvm_value *found = entry_of(place, &base[ip->b]);
    if (UNLIKELY(!found || !plain(v) || !plain(found)))
        INSTEAD(slow_SETIDX);
    copy_cell(found, v);
    op_used(vm, base, ip->b, vm->frame->function->slots);
    GO_ON(1);
}

/* slot a [b] = c */
static int run_SETIDX(HANDLER_ARGS)
{
    const struct jitvm_value *place = &base[ip->a];
    if (place->kind == JITVM_HASH && object_is_mine(place->as.object))
        INSTEAD(run_SETIDX_hash);
    if (UNLIKELY(place->kind != JITVM_ARRAY ||
                 !store_element(place->as.array, &base[ip->b], &base[ip->c])))
        INSTEAD(slow_SETIDX);
    GO_ON(1);
}

/* slot a [b][c] = d */
static int run_SETIDX2(HANDLER_ARGS)
{
    const struct jitvm_array *rows = array_inside(&base[ip->a], &base[ip->b]);
    if (UNLIKELY(!rows || rows->element != ARRAY_VALUE || !object_is_mine(&rows->object)))
        INSTEAD(slow_SETIDX2);
    const struct jitvm_value *row = &rows->data.values[base[ip->b].as.i];
    if (UNLIKELY(row->kind != JITVM_ARRAY ||
                 !store_element(row->as.array, &base[ip->c], &base[ip[1].a])))
        INSTEAD(slow_SETIDX2);
    GO_ON(2);
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

/* ---- calls and returns ---------------------------------------------------------------------- */

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
        return status < 0 ? interp_fail(vm, ip, base, status) : 1;
    }
    if (status < 0)
        return interp_fail(vm, ip, base, status);
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
        return interp_fail(vm, ip, base, callee);
    if (callee == 0) {
        ip[1].kinds |= 1u << base[ip->a].kind;
        GO_ON(2);
    }
    ENTER((uint32_t)callee - 1);
}

/* The activation is over: on in its caller, or to the C code that called. */
#define GO_BACK(frame)                                                                             \
    do {                                                                                           \
        vm->frame = (frame)-1;                                                                     \
        vm->depth++;                                                                               \
        ip = (frame)->return_ip;                                                                   \
        base = (frame)->base;                                                                      \
        if (UNLIKELY(!ip)) {                                                                       \
            vm->slice = fuel;                                                                      \
            return 0;                                                                              \
        }                                                                                          \
        GO_ON(0);                                                                                  \
    } while (0)

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
    GO_BACK(frame);
}

static int run_RETU(HANDLER_ARGS)
{
    struct vm_frame *frame = vm->frame;
    struct vm_function *function = frame->function;
    function->result_kinds |= 1u << JITVM_UNDEF;
    for (unsigned i = 0; i < function->slots; i++)
        cell_clear(vm, &base[i]);
    base[0] = jitvm_undef();
    GO_BACK(frame);
}

/* Never reached: DATA is stepped over. */
static int run_DATA(HANDLER_ARGS)
{
    (void)base;
    (void)fuel;
    (void)ip;
    return jitvm_raise(vm, JITVM_ERR_INVALID, "data run as code");
}

/* ---- the table ------------------------------------------------------------------------------ */

#define RUN(name)  [CODE_##name] = run_##name
#define SLOW(name) [CODE_##name] = slow_##name

insn_fn interp_handler(unsigned op)
{
    static const insn_fn table[CODE_COUNT] = {
        RUN(MOVE),        RUN(TAKE),       RUN(LOADK),    RUN(DROP),        RUN(GETG),
        RUN(SETG),        SLOW(CONCAT),    RUN(LEN),      SLOW(ARRAY),      SLOW(HASH),
        RUN(INDEX),       SLOW(INDEXV),    RUN(INDEX2),   RUN(SETIDX),      RUN(SETIDX2),
        SLOW(RANGE),      SLOW(RANGESTEP), SLOW(GETPATH), SLOW(SETPATH),    SLOW(PUSHPATH),
        SLOW(POPPATH),    SLOW(SHIFTPATH), SLOW(DELPATH), SLOW(EXISTSPATH), SLOW(KEYSPATH),
        SLOW(VALUESPATH), SLOW(LENPATH),   RUN(CALL),     RUN(CALLDYN),     SLOW(CALLB),
        SLOW(EXT),        RUN(RET),        RUN(RETU),     SLOW(ACCUMLOOP),  SLOW(CONCATLOOP),
        SLOW(PUSHLOOP),   RUN(DATA),
    };
    insn_fn run = table[op];
    if (!run)
        run = interp_arithmetic(op);
    return run ? run : interp_branch(op);
}

int interp_resume(struct jitvm *vm, struct vm_function *function, struct jitvm_value *base,
                  struct insn *ip)
{
    push_frame(vm, NULL, base, function);
    return ip->run(vm, ip, base, vm->slice);
}

int interp_run(struct jitvm *vm, struct vm_function *function, struct jitvm_value *base,
               struct insn *ip)
{
    int status = interp_resume(vm, function, base, ip);
    if (status != VM_LOOP)
        return status;
    status = jit_loop_run(vm, vm->loop, base);
    if (status == 0)
        function->result_kinds |= (uint16_t)(1u << base->kind);
    return status;
}
