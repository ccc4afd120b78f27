/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers. Functions of the reals work on floats and give floats; floor(3) is 3.0. Only abs, sum's
 * kin and the functions of integers give ints. Every tier calls these: none is ever folded.
 */
#include "guest/jitvm/vm/builtins.h"

#include <math.h>

/* ---- functions of the reals ----------------------------------------------------------------- */

#define REAL(name, call)                                                                           \
    static int math_##name(BUILTIN_ARGS)                                                           \
    {                                                                                              \
        double x = value_to_float(args[0]);                                                        \
        *out = jitvm_float(call);                                                                  \
        return 0;                                                                                  \
    }

REAL(floor, floor(x))
REAL(ceil, ceil(x))
REAL(round, round(x)) /* halves away from zero */
REAL(trunc, trunc(x))
REAL(sqrt, sqrt(x))
REAL(sin, sin(x))
REAL(cos, cos(x))
REAL(tan, tan(x))
REAL(asin, asin(x))
REAL(acos, acos(x))
REAL(atan, atan(x))
REAL(atan2, atan2(x, value_to_float(args[1])))
REAL(sinh, sinh(x))
REAL(cosh, cosh(x))
REAL(tanh, tanh(x))
REAL(exp, exp(x))
REAL(log, log(x))
REAL(log2, log2(x))
REAL(log10, log10(x))
REAL(pow, number_pow(x, value_to_float(args[1])))

/* ---- of integers ---------------------------------------------------------------------------- */

/* Of an int an int, wrapping as Neg does. */
static int math_abs(BUILTIN_ARGS)
{
    struct jitvm_value v = value_to_number(args[0]);
    if (v.kind == JITVM_FLOAT)
        *out = jitvm_float(fabs(v.as.f));
    else
        *out = jitvm_int(v.as.i < 0 ? (int64_t)(0 - (uint64_t)v.as.i) : v.as.i);
    return 0;
}

static uint64_t magnitude(int64_t i)
{
    return i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static struct jitvm_value saturated(unsigned __int128 n)
{
    return jitvm_int(n > INT64_MAX ? INT64_MAX : (int64_t)n);
}

static int math_gcd(BUILTIN_ARGS)
{
    *out = saturated(gcd(magnitude(value_to_int(args[0])), magnitude(value_to_int(args[1]))));
    return 0;
}

static int math_lcm(BUILTIN_ARGS)
{
    uint64_t a = magnitude(value_to_int(args[0]));
    uint64_t b = magnitude(value_to_int(args[1]));
    *out = a && b ? saturated((unsigned __int128)(a / gcd(a, b)) * b) : jitvm_int(0);
    return 0;
}

/* a * b modulo k without overflow; the result has k's sign. */
static int math_mulmod(BUILTIN_ARGS)
{
    __int128 k = value_to_int(args[2]);
    if (k == 0) {
        *out = jitvm_int(0);
        return 0;
    }
    __int128 rest = (__int128)value_to_int(args[0]) * value_to_int(args[1]) % k;
    if (rest != 0 && (rest < 0) != (k < 0))
        rest += k;
    *out = jitvm_int((int64_t)rest);
    return 0;
}

/* ---- random numbers ------------------------------------------------------------------------- */

/* Below n, each with the same chance (Lemire: multiply, and try again where a few would be more
 * likely than others). */
static uint64_t random_below(struct jitvm *vm, uint64_t n)
{
    unsigned __int128 product = (unsigned __int128)vm_random(vm) * n;
    if ((uint64_t)product < n) {
        uint64_t uneven = (0 - n) % n;
        while ((uint64_t)product < uneven)
            product = (unsigned __int128)vm_random(vm) * n;
    }
    return (uint64_t)(product >> 64);
}

static int math_rand(BUILTIN_ARGS)
{
    if (count == 0) {
        *out = jitvm_float((double)(vm_random(vm) >> 11) * 0x1p-53);
        return 0;
    }
    int64_t n = value_to_int(args[0]);
    if (n <= 0)
        return jitvm_raise(vm, JITVM_ERR_VALUE, "rand: takes a number above 0, not %lld",
                           (long long)n);
    *out = jitvm_int((int64_t)random_below(vm, (uint64_t)n));
    return 0;
}

static int math_srand(BUILTIN_ARGS)
{
    /* To the generator, 0 means a seed from the system; a program that says 0 wants that one. */
    uint64_t seed = (uint64_t)value_to_int(args[0]);
    vm_random_seed(vm, seed ? seed : UINT64_C(0xd1b54a32d192ed03));
    return 0;
}

const struct jitvm_native *builtins_math(unsigned *count)
{
#define PURE(name, args, result)                                                                   \
    {                                                                                              \
#name, math_##name, NULL, args, args, JITVM_PURE | JITVM_NO_REENTER, result                \
    }
    static const struct jitvm_native table[] = {
        PURE(abs, 1, JITVM_KINDS),
        PURE(floor, 1, JITVM_FLOAT),
        PURE(ceil, 1, JITVM_FLOAT),
        PURE(round, 1, JITVM_FLOAT),
        PURE(trunc, 1, JITVM_FLOAT),
        PURE(sqrt, 1, JITVM_FLOAT),
        PURE(sin, 1, JITVM_FLOAT),
        PURE(cos, 1, JITVM_FLOAT),
        PURE(tan, 1, JITVM_FLOAT),
        PURE(asin, 1, JITVM_FLOAT),
        PURE(acos, 1, JITVM_FLOAT),
        PURE(atan, 1, JITVM_FLOAT),
        PURE(atan2, 2, JITVM_FLOAT),
        PURE(sinh, 1, JITVM_FLOAT),
        PURE(cosh, 1, JITVM_FLOAT),
        PURE(tanh, 1, JITVM_FLOAT),
        PURE(exp, 1, JITVM_FLOAT),
        PURE(log, 1, JITVM_FLOAT),
        PURE(log2, 1, JITVM_FLOAT),
        PURE(log10, 1, JITVM_FLOAT),
        PURE(pow, 2, JITVM_FLOAT),
        PURE(gcd, 2, JITVM_INT),
        PURE(lcm, 2, JITVM_INT),
        PURE(mulmod, 3, JITVM_INT),
        {"rand", math_rand, NULL, 0, 1, JITVM_NO_REENTER, JITVM_KINDS},
        {"srand", math_srand, NULL, 1, 1, JITVM_NO_REENTER, JITVM_UNDEF},
    };
#undef PURE
    *count = sizeof(table) / sizeof(table[0]);
    return table;
}
