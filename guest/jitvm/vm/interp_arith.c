/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter: numbers and comparisons. */
#include "guest/jitvm/vm/interp.h"

/* clang-format off */
SLOW_HANDLER(ADD)
SLOW_HANDLER(ADD_RK)
SLOW_HANDLER(ADD_KR)
SLOW_HANDLER(ADDI)
SLOW_HANDLER(SUB)
SLOW_HANDLER(SUB_RK)
SLOW_HANDLER(SUB_KR)
SLOW_HANDLER(MUL)
SLOW_HANDLER(MUL_RK)
SLOW_HANDLER(MUL_KR)
SLOW_HANDLER(DIV)
SLOW_HANDLER(DIV_RK)
SLOW_HANDLER(DIV_KR)
SLOW_HANDLER(IDIV)
SLOW_HANDLER(IDIV_RK)
SLOW_HANDLER(IDIV_KR)
SLOW_HANDLER(MOD)
SLOW_HANDLER(MOD_RK)
SLOW_HANDLER(MOD_KR)
SLOW_HANDLER(POW)
SLOW_HANDLER(NEG)
SLOW_HANDLER(BAND)
SLOW_HANDLER(BAND_RK)
SLOW_HANDLER(BOR)
SLOW_HANDLER(BOR_RK)
SLOW_HANDLER(BXOR)
SLOW_HANDLER(BXOR_RK)
SLOW_HANDLER(SHL)
SLOW_HANDLER(SHL_RK)
SLOW_HANDLER(SHR)
SLOW_HANDLER(SHR_RK)
SLOW_HANDLER(BNOT)
SLOW_HANDLER(TOINT)
SLOW_HANDLER(TOFLOAT)
SLOW_HANDLER(TOSTR)
SLOW_HANDLER(EQ)
SLOW_HANDLER(NE)
SLOW_HANDLER(LT)
SLOW_HANDLER(LE)
SLOW_HANDLER(CMP)
SLOW_HANDLER(SEQ)
SLOW_HANDLER(SNE)
SLOW_HANDLER(SLT)
SLOW_HANDLER(SLE)
SLOW_HANDLER(SCMP)
SLOW_HANDLER(NOT)
/* clang-format on */

/* ---- arithmetic ----------------------------------------------------------------------------- */

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
            double f = x->as.f operator y->as.f;                                                   \
            if (is_nan(f))                                                                         \
                INSTEAD(slow_##name);                                                              \
            put_float(d, f);                                                                       \
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
    if (LIKELY(x->kind == JITVM_FLOAT && plain(d) && !is_nan(x->as.f))) {
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
            double f = x->as.f / y->as.f;                                                          \
            if (is_nan(f))                                                                         \
                INSTEAD(slow_##name);                                                              \
            put_float(d, f);                                                                       \
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
    if (LIKELY(x->kind == JITVM_FLOAT && plain(d) && !is_nan(x->as.f))) {
        put_float(d, -x->as.f);
        GO_ON(1);
    }
    if (LIKELY(x->kind == JITVM_INT && plain(d) && x->as.i != INT64_MIN)) {
        put_int(d, -x->as.i);
        GO_ON(1);
    }
    INSTEAD(slow_NEG);
}

/* ---- comparisons ---------------------------------------------------------------------------- */

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

#define RUN(name)       [CODE_##name] = run_##name
#define SLOW(name)      [CODE_##name] = slow_##name
#define RUN_FORMS(name) RUN(name), RUN(name##_RK), RUN(name##_KR)
#define RUN_RK(name)    RUN(name), RUN(name##_RK)

insn_fn interp_arithmetic(unsigned op)
{
    static const insn_fn table[CODE_COUNT] = {
        RUN_FORMS(ADD),  RUN(ADDI),      RUN_FORMS(SUB), RUN_FORMS(MUL), RUN_FORMS(DIV),
        RUN_FORMS(IDIV), RUN_FORMS(MOD), SLOW(POW),      RUN(NEG),       RUN_RK(BAND),
        RUN_RK(BOR),     RUN_RK(BXOR),   RUN_RK(SHL),    RUN_RK(SHR),    SLOW(BNOT),
        SLOW(TOINT),     SLOW(TOFLOAT),  SLOW(TOSTR),    RUN(EQ),        RUN(NE),
        RUN(LT),         RUN(LE),        SLOW(CMP),      SLOW(SEQ),      SLOW(SNE),
        SLOW(SLT),       SLOW(SLE),      SLOW(SCMP),     RUN(NOT),
    };
    return table[op];
}
