/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic and comparison of values of any kind. This is the definition: the interpreter's fast
 * paths and the compilers do the same for the kinds they handle themselves.
 */
#include <string.h>

#include "guest/jitvm/vm/ops.h"

typedef int (*binary_fn)(struct jitvm *vm, struct jitvm_value x, struct jitvm_value y,
                         struct jitvm_value *out);

/* ---- what each operator does ---------------------------------------------------------------- */

static bool both_int(struct jitvm_value x, struct jitvm_value y)
{
    return x.kind == JITVM_INT && y.kind == JITVM_INT;
}

static double as_float(struct jitvm_value number)
{
    return number.kind == JITVM_INT ? (double)number.as.i : number.as.f;
}

/* Wraps, or fails where the chunk wants that. */
static int int_result(struct jitvm *vm, bool overflowed, int64_t i, struct jitvm_value *out)
{
    if (overflowed && vm->overflow_traps)
        return jitvm_raise(vm, JITVM_ERR_OVERFLOW, "integer overflow");
    *out = jitvm_int(i);
    return 0;
}

static int float_result(double f, struct jitvm_value *out)
{
    *out = jitvm_float(f);
    return 0;
}

int op_add_values(struct jitvm *vm, struct jitvm_value x, struct jitvm_value y,
                  struct jitvm_value *out)
{
    x = value_to_number(x), y = value_to_number(y);
    int64_t i;
    if (both_int(x, y)) {
        bool overflowed = __builtin_add_overflow(x.as.i, y.as.i, &i);
        return int_result(vm, overflowed, i, out);
    }
    return float_result(as_float(x) + as_float(y), out);
}

static int sub_values(struct jitvm *vm, struct jitvm_value x, struct jitvm_value y,
                      struct jitvm_value *out)
{
    x = value_to_number(x), y = value_to_number(y);
    int64_t i;
    if (both_int(x, y)) {
        bool overflowed = __builtin_sub_overflow(x.as.i, y.as.i, &i);
        return int_result(vm, overflowed, i, out);
    }
    return float_result(as_float(x) - as_float(y), out);
}

static int mul_values(struct jitvm *vm, struct jitvm_value x, struct jitvm_value y,
                      struct jitvm_value *out)
{
    x = value_to_number(x), y = value_to_number(y);
    int64_t i;
    if (both_int(x, y)) {
        bool overflowed = __builtin_mul_overflow(x.as.i, y.as.i, &i);
        return int_result(vm, overflowed, i, out);
    }
    return float_result(as_float(x) * as_float(y), out);
}

static int div_values(struct jitvm *vm, struct jitvm_value x, struct jitvm_value y,
                      struct jitvm_value *out)
{
    (void)vm;
    double divisor = value_to_float(value_to_number(y));
    *out = jitvm_undef();
    if (divisor == 0)
        return 0;
    return float_result(as_float(value_to_number(x)) / divisor, out);
}

static int int_div_values(struct jitvm *vm, struct jitvm_value x, struct jitvm_value y,
                          struct jitvm_value *out)
{
    (void)vm;
    int64_t divisor = value_to_int(y);
    *out = divisor ? jitvm_int(number_int_div(value_to_int(x), divisor)) : jitvm_undef();
    return 0;
}

static int mod_values(struct jitvm *vm, struct jitvm_value x, struct jitvm_value y,
                      struct jitvm_value *out)
{
    (void)vm;
    x = value_to_number(x), y = value_to_number(y);
    if (both_int(x, y)) {
        *out = jitvm_int(number_int_mod(x.as.i, y.as.i));
        return 0;
    }
    return float_result(number_float_mod(as_float(x), as_float(y)), out);
}

static int pow_values(struct jitvm *vm, struct jitvm_value x, struct jitvm_value y,
                      struct jitvm_value *out)
{
    (void)vm;
    return float_result(number_pow(as_float(value_to_number(x)), as_float(value_to_number(y))),
                        out);
}

#define INT_OPERATOR(name, expression)                                                             \
    static int name(struct jitvm *vm, struct jitvm_value vx, struct jitvm_value vy,                \
                    struct jitvm_value *out)                                                       \
    {                                                                                              \
        (void)vm;                                                                                  \
        int64_t x = value_to_int(vx), y = value_to_int(vy);                                        \
        *out = jitvm_int(expression);                                                              \
        return 0;                                                                                  \
    }
INT_OPERATOR(and_values, x &y)
INT_OPERATOR(or_values, x | y)
INT_OPERATOR(xor_values, x ^ y)
INT_OPERATOR(shl_values, (int64_t)((uint64_t)x << (y & 63)))
INT_OPERATOR(shr_values, x >> (y & 63))

#define RELATION(name, condition)                                                                  \
    static int name(struct jitvm *vm, struct jitvm_value x, struct jitvm_value y,                  \
                    struct jitvm_value *out)                                                       \
    {                                                                                              \
        (void)vm;                                                                                  \
        enum value_order order = value_compare_numbers(x, y);                                      \
        *out = jitvm_bool(condition);                                                              \
        return 0;                                                                                  \
    }
RELATION(eq_values, order == VALUE_EQUAL)
RELATION(ne_values, order != VALUE_EQUAL)
RELATION(lt_values, order == VALUE_LESS)
RELATION(le_values, order == VALUE_LESS || order == VALUE_EQUAL)

static int cmp_values(struct jitvm *vm, struct jitvm_value x, struct jitvm_value y,
                      struct jitvm_value *out)
{
    (void)vm;
    enum value_order order = value_compare_numbers(x, y);
    *out = order == VALUE_UNORDERED ? jitvm_undef() : jitvm_int(order);
    return 0;
}

#define TEXT_RELATION(name, result)                                                                \
    static int name(struct jitvm *vm, struct jitvm_value x, struct jitvm_value y,                  \
                    struct jitvm_value *out)                                                       \
    {                                                                                              \
        int order;                                                                                 \
        if (!value_compare_text(&vm->heap, x, y, &order))                                          \
            return vm_raise_heap(vm);                                                              \
        *out = result;                                                                             \
        return 0;                                                                                  \
    }
TEXT_RELATION(text_eq_values, jitvm_bool(order == 0))
TEXT_RELATION(text_ne_values, jitvm_bool(order != 0))
TEXT_RELATION(text_lt_values, jitvm_bool(order < 0))
TEXT_RELATION(text_le_values, jitvm_bool(order <= 0))
TEXT_RELATION(text_cmp_values, jitvm_int((order > 0) - (order < 0)))

/* ---- with operands from registers and literals ---------------------------------------------- */

#define NO_REGISTER 0u

static int finish(struct jitvm *vm, struct insn *ip, struct jitvm_value *base, int rc,
                  struct jitvm_value result)
{
    if (rc < 0)
        return rc;
    cell_set(vm, &base[ip->a], result);
    return 0;
}

static int registers(OP_ARGS_DECL, binary_fn fn)
{
    struct jitvm_value result = jitvm_undef();
    int rc = fn(vm, base[ip->b], base[ip->c], &result);
    op_used(vm, base, ip->b, slots);
    op_used(vm, base, ip->u, slots);
    return finish(vm, ip, base, rc, result);
}

static int register_literal(OP_ARGS_DECL, binary_fn fn)
{
    struct jitvm_value result = jitvm_undef();
    int rc = fn(vm, base[ip->b], vm->literals[ip->u], &result);
    op_used(vm, base, ip->b, slots);
    return finish(vm, ip, base, rc, result);
}

static int literal_register(OP_ARGS_DECL, binary_fn fn)
{
    struct jitvm_value result = jitvm_undef();
    int rc = fn(vm, vm->literals[ip->b], base[ip->c], &result);
    op_used(vm, base, ip->u, slots);
    return finish(vm, ip, base, rc, result);
}

#define OP_RR(name, fn)                                                                            \
    int op_##name(OP_ARGS_DECL)                                                                    \
    {                                                                                              \
        return registers(vm, ip, base, slots, fn);                                                 \
    }
#define OP_RK(name, fn)                                                                            \
    int op_##name(OP_ARGS_DECL)                                                                    \
    {                                                                                              \
        return register_literal(vm, ip, base, slots, fn);                                          \
    }
#define OP_KR(name, fn)                                                                            \
    int op_##name(OP_ARGS_DECL)                                                                    \
    {                                                                                              \
        return literal_register(vm, ip, base, slots, fn);                                          \
    }
#define OP_FORMS(name, fn)                                                                         \
    OP_RR(name, fn)                                                                                \
    OP_RK(name##_RK, fn)                                                                           \
    OP_KR(name##_KR, fn)
#define OP_FORMS_RK(name, fn)                                                                      \
    OP_RR(name, fn)                                                                                \
    OP_RK(name##_RK, fn)

OP_FORMS(ADD, op_add_values)
OP_FORMS(SUB, sub_values)
OP_FORMS(MUL, mul_values)
OP_FORMS(DIV, div_values)
OP_FORMS(IDIV, int_div_values)
OP_FORMS(MOD, mod_values)
OP_RR(POW, pow_values)
OP_FORMS_RK(BAND, and_values)
OP_FORMS_RK(BOR, or_values)
OP_FORMS_RK(BXOR, xor_values)
OP_FORMS_RK(SHL, shl_values)
OP_FORMS_RK(SHR, shr_values)
OP_RR(EQ, eq_values)
OP_RR(NE, ne_values)
OP_RR(LT, lt_values)
OP_RR(LE, le_values)
OP_RR(CMP, cmp_values)
OP_RR(SEQ, text_eq_values)
OP_RR(SNE, text_ne_values)
OP_RR(SLT, text_lt_values)
OP_RR(SLE, text_le_values)
OP_RR(SCMP, text_cmp_values)

int op_ADDI(OP_ARGS_DECL)
{
    struct jitvm_value result = jitvm_undef();
    int rc = op_add_values(vm, base[ip->b], jitvm_int(ip->c), &result);
    op_used(vm, base, ip->b, slots);
    return finish(vm, ip, base, rc, result);
}

int op_NEG(OP_ARGS_DECL)
{
    struct jitvm_value x = value_to_number(base[ip->b]), result;
    int64_t i;
    int rc = 0;
    if (x.kind == JITVM_INT) {
        bool overflowed = __builtin_sub_overflow((int64_t)0, x.as.i, &i);
        rc = int_result(vm, overflowed, i, &result);
    } else {
        result = jitvm_float(-x.as.f);
    }
    op_used(vm, base, ip->b, slots);
    return rc < 0 ? rc : finish(vm, ip, base, 0, result);
}

#define OP_UNARY(name, expression)                                                                 \
    int op_##name(OP_ARGS_DECL)                                                                    \
    {                                                                                              \
        struct jitvm_value x = base[ip->b];                                                        \
        struct jitvm_value result = (expression);                                                  \
        op_used(vm, base, ip->b, slots);                                                           \
        return finish(vm, ip, base, 0, result);                                                    \
    }
OP_UNARY(BNOT, jitvm_int(~value_to_int(x)))
OP_UNARY(TOINT, jitvm_int(value_to_int(x)))
OP_UNARY(TOFLOAT, jitvm_float(value_to_float(x)))
OP_UNARY(NOT, jitvm_bool(!value_truthy(x)))
