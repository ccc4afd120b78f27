/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jitvm/builtin_call.h"

#include <math.h>

TestSuite(builtins_math, .init = vm_begin, .fini = vm_end);

Test(builtins_math, rounding_gives_floats)
{
    GIVES("2.0", "floor", F(2.7));
    GIVES("-3.0", "floor", F(-2.1));
    GIVES("3.0", "ceil", F(2.1));
    GIVES("3.0", "round", F(2.5));
    GIVES("-3.0", "round", F(-2.5));
    GIVES("-2.0", "trunc", F(-2.9));
    GIVES("5.0", "floor", I(5));
}

Test(builtins_math, abs_of_an_int_is_an_int)
{
    GIVES("3", "abs", I(-3));
    GIVES("3.5", "abs", F(-3.5));
    GIVES("7", "abs", S("-7"));
    GIVES("-9223372036854775808", "abs", I(INT64_MIN));
}

Test(builtins_math, functions_of_the_reals_are_those_of_the_c_library)
{
    static const struct {
        const char *name;
        double (*fn)(double);
    } table[] = {{"sqrt", sqrt}, {"sin", sin},   {"cos", cos},   {"tan", tan},    {"asin", asin},
                 {"acos", acos}, {"atan", atan}, {"sinh", sinh}, {"cosh", cosh},  {"tanh", tanh},
                 {"exp", exp},   {"log", log},   {"log2", log2}, {"log10", log10}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct jitvm_value x = F(0.625), out;
        cr_assert_eq(call(table[i].name, &x, 1, &out), 0);
        cr_assert_eq(out.kind, JITVM_FLOAT);
        cr_assert_eq(out.as.f, table[i].fn(0.625), "%s", table[i].name);
    }
    GIVES("8.0", "pow", I(2), I(3));
    GIVES("0.7853981633974483", "atan2", I(1), I(1));
}

Test(builtins_math, every_nan_is_the_one_nan)
{
    static const char *const names[] = {"sqrt", "log", "acos"};
    for (size_t i = 0; i < 3; i++) {
        struct jitvm_value x = F(-2), out;
        cr_assert_eq(call(names[i], &x, 1, &out), 0);
        cr_assert_eq((uint64_t)out.as.i, NUMBER_NAN_BITS, "%s", names[i]);
    }
}

Test(builtins_math, gcd_and_lcm_saturate)
{
    GIVES("6", "gcd", I(12), I(-18));
    GIVES("5", "gcd", I(0), I(5));
    GIVES("0", "gcd", I(0), I(0));
    GIVES("9223372036854775807", "gcd", I(INT64_MIN), I(0));
    GIVES("36", "lcm", I(12), I(18));
    GIVES("0", "lcm", I(0), I(5));
    GIVES("9223372036854775807", "lcm", I(INT64_MAX), I(INT64_MAX - 1));
    GIVES("9223372036854775807", "lcm", I(INT64_MIN), I(INT64_MIN));
}

Test(builtins_math, mulmod_does_not_overflow_and_has_the_sign_of_the_modulus)
{
    GIVES("2", "mulmod", I(4), I(4), I(7));
    GIVES("5", "mulmod", I(-4), I(4), I(7));
    GIVES("-5", "mulmod", I(4), I(4), I(-7));
    GIVES("-2", "mulmod", I(-4), I(4), I(-7));
    GIVES("0", "mulmod", I(3), I(4), I(0));
    GIVES("1", "mulmod", I(INT64_MAX - 1), I(INT64_MAX - 1), I(INT64_MAX));
    GIVES("0", "mulmod", I(INT64_MIN), I(INT64_MIN), I(INT64_MIN));
    GIVES("0", "mulmod", I(INT64_MIN), I(INT64_MIN), I(-1));
}

Test(builtins_math, the_generator_gives_its_published_numbers)
{
    /* xoshiro256**, from the state 1, 2, 3, 4. */
    static const uint64_t wanted[] = {11520u, 0u, 1509978240u, 1215971899390074240u};
    for (unsigned i = 0; i < 4; i++)
        vm->rng[i] = i + 1;
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(vm_random(vm), wanted[i]);
}

static double next(void)
{
    struct jitvm_value out;
    cr_assert_eq(call("rand", NULL, 0, &out), 0);
    return out.as.f;
}

Test(builtins_math, the_same_seed_gives_the_same_numbers)
{
    GIVES("undef", "srand", I(42));
    double a = next(), b = next();
    GIVES("undef", "srand", I(42));
    cr_assert_eq(next(), a);
    cr_assert_eq(next(), b);
    cr_assert_neq(a, b);
    GIVES("undef", "srand", I(0));
    a = next();
    GIVES("undef", "srand", I(0));
    cr_assert_eq(next(), a);
}

Test(builtins_math, random_numbers_are_within_their_bounds)
{
    unsigned seen[3] = {0};
    for (int i = 0; i < 300; i++) {
        double f = next();
        cr_assert(f >= 0 && f < 1);
        struct jitvm_value n = I(3), out;
        cr_assert_eq(call("rand", &n, 1, &out), 0);
        cr_assert(out.kind == JITVM_INT && out.as.i >= 0 && out.as.i < 3);
        seen[out.as.i]++;
    }
    cr_assert(seen[0] > 50 && seen[1] > 50 && seen[2] > 50);
    GIVES("0", "rand", I(1));
    FAILS(JITVM_ERR_VALUE, "rand", I(0));
    FAILS(JITVM_ERR_VALUE, "rand", I(-1));
}

Test(builtins_math, without_a_seed_each_vm_has_numbers_of_its_own)
{
    vm_random_seed(vm, 0);
    uint64_t a = vm_random(vm);
    vm_random_seed(vm, 0);
    cr_assert_neq(vm_random(vm), a);
}
