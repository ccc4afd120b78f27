/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions as the block compiler makes them, beside the interpreter: what is guessed and turns out
 * otherwise, calls between compiled functions, and running out of fuel, depth and heap anywhere.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/jit/jit.h"
#include "tests/jitvm/run_rig.h"

#define LAST (RUN_TIERS - 1)

static const struct jitvm_limits plenty = {JITVM_FUEL_UNLIMITED, JITVM_HEAP_DEFAULT, 200};

static struct run_rig rig_of(const char *text, const struct jitvm_limits *limits)
{
    struct jitvm_chunk *chunk;
    struct jitvm_error err = {0};
    struct run_rig rig;
    cr_assert_eq(jitvm_compile("test", text, strlen(text), &chunk, &err), 0, "%s at %u",
                 err.message, err.line);
    cr_assert(run_rig_init(&rig, chunk, limits, NULL), "%s", rig.said);
    return rig;
}

/* Numbers only: these are the same value in every VM. */
static void call(struct run_rig *rig, const char *function, unsigned count,
                 const struct jitvm_value *args)
{
    struct jitvm_value all[RUN_TIERS * 16];
    for (unsigned tier = 0; count && tier < RUN_TIERS; tier++)
        memcpy(all + tier * count, args, count * sizeof *args);
    cr_assert(run_rig_call(rig, function, all, count), "%s: %s", function, rig->said);
}

static void call_int(struct run_rig *rig, const char *function, int64_t i)
{
    struct jitvm_value arg = jitvm_int(i);
    call(rig, function, 1, &arg);
}

static struct jitvm_stats stats_of(const struct run_rig *rig)
{
    struct jitvm_stats stats;
    jitvm_stats(rig->vms[2].vm, &stats);
    return stats;
}

static size_t compilations(const struct run_rig *rig)
{
    return jitvm_compile_times(rig->vms[2].vm, NULL, 0);
}

/* ---- kinds that were guessed ----------------------------------------------------------------- */

Test(jit_block, an_argument_of_another_kind_is_interpreted_and_then_compiled_for)
{
    struct run_rig rig = rig_of("fn twice(x) { if x { return x + x } return x }", &plenty);
    for (int i = 0; i < 5; i++)
        call_int(&rig, "twice", i);
    cr_assert_eq(compilations(&rig), 1);
    for (int i = 0; i < 20; i++) {
        struct jitvm_value f = jitvm_float(i + 0.5);
        call(&rig, "twice", 1, &f);
    }
    struct jitvm_stats stats = stats_of(&rig);
    cr_assert_gt(stats.entry_misses, 0);
    cr_assert_lt(stats.entry_misses, 15, "the function is compiled for both kinds");
    cr_assert_geq(compilations(&rig), 2);
    run_rig_free(&rig);
}

Test(jit_block, an_element_of_another_kind_leaves_with_everything_in_place)
{
    struct run_rig rig = rig_of("fn sum(n) {\n"
                                "  let list = [1, 2, 3]\n"
                                "  let text = \"text\" ~ n\n"
                                "  let f = 0.5\n"
                                "  if n > 5 { list[1] = \"7\" }\n"
                                "  if n > 6 { list[2] = 2.25 }\n"
                                "  let s = 0\n"
                                "  for i in 0..3 { s += list[i]; f *= 2.0 }\n"
                                "  return text ~ s ~ \" \" ~ f\n"
                                "}",
                                &plenty);
    for (int i = 0; i < 12; i++)
        call_int(&rig, "sum", i);
    cr_assert_gt(stats_of(&rig).exits, 0);
    run_rig_free(&rig);
}

Test(jit_block, a_guess_that_is_often_wrong_is_not_made_again)
{
    struct run_rig rig = rig_of("let list = [1, 2.5, \"3\"]\n"
                                "fn pick(n) { let v = list[n % 3]; if v == n { return 0 }\n"
                                "             return v + n }",
                                &plenty);
    call(&rig, NULL, 0, NULL);
    for (int i = 0; i < 600; i++)
        call_int(&rig, "pick", i < 200 ? 0 : i);
    struct jitvm_stats before = stats_of(&rig);
    for (int i = 0; i < 300; i++)
        call_int(&rig, "pick", i);
    cr_assert_eq(stats_of(&rig).exits, before.exits, "no more exits once the kinds are known");
    cr_assert_lt(compilations(&rig), 8);
    run_rig_free(&rig);
}

Test(jit_block, a_divisor_of_zero_gives_undef_natively_called_or_not)
{
    struct run_rig rig = rig_of("fn q(a, b) { if a == 1000 { return 0 } return a / b }\n"
                                "fn d(a, b) { if a == 1000 { return 0 } return a // b }\n"
                                "fn m(a, b) { if a == 1000 { return 0 } return a % b }",
                                &plenty);
    static const int64_t numbers[] = {7, -7, 1, 0, -1, 2, 64, INT64_MIN, INT64_MAX, 1 << 30};
    const size_t count = sizeof numbers / sizeof *numbers;
    for (size_t round = 0; round < 3; round++)
        for (size_t i = 0; i < count * count; i++) {
            struct jitvm_value args[2] = {jitvm_int(numbers[i / count]),
                                          jitvm_int(numbers[i % count])};
            call(&rig, "q", 2, args);
            call(&rig, "d", 2, args);
            call(&rig, "m", 2, args);
        }
    run_rig_free(&rig);
}

Test(jit_block, divisors_in_the_text_give_what_registers_do)
{
    struct run_rig rig = rig_of("fn f(a) { if a == 1000 { return 0 }\n"
                                "  return [a // 1, a // 2, a // 8, a // 7, a // -3, a // 4096,\n"
                                "          a % 1, a % 2, a % 8, a % 7, a % -3, a % 4096,\n"
                                "          a // 0, a % 0, a // -1, a % -1, a / 0, a / 4] }",
                                &plenty);
    static const int64_t numbers[] = {
        0, 1, -1, 7, -7, 8, -8, 4095, -4097, 1 << 30, INT64_MIN, INT64_MAX, INT64_MIN + 1};
    for (size_t round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            call_int(&rig, "f", numbers[i]);
    run_rig_free(&rig);
}

/* ---- registers ------------------------------------------------------------------------------- */

Test(jit_block, more_numbers_than_the_machine_has_registers)
{
    struct run_rig rig =
        rig_of("fn many(n) {\n"
               "  let a = n; let b = n + 1; let c = n + 2; let d = n + 3; let e = n + 4\n"
               "  let f = n * 2; let g = n * 3; let h = n * 4; let i = n * 5; let j = n * 6\n"
               "  let k = n - 1; let l = n - 2\n"
               "  let x0 = n * 0.5; let x1 = n + 0.25; let x2 = x0 * x1; let x3 = x1 - x0\n"
               "  let x4 = x2 + 1.0; let x5 = x3 * 3.0; let x6 = x4 - x5; let x7 = x6 * x0\n"
               "  let x8 = x7 + x1; let x9 = x8 - x2; let y0 = x9 * 0.125; let y1 = y0 + x3\n"
               "  let y2 = y1 - x4; let y3 = y2 + x5; let y4 = y3 * 0.5; let y5 = y4 + x7\n"
               "  for q in 0..4 {\n"
               "    a += b; b -= c; c += d; d += e; e += f; f -= g; g += h; h += i\n"
               "    i -= j; j += k; k += l; l += a\n"
               "    x0 += x1; x1 -= x2; x2 += x3; x3 += x4; x4 -= x5; x5 += x6; x6 += x7\n"
               "    x7 -= x8; x8 += x9; x9 += y0; y0 -= y1; y1 += y2; y2 += y3; y3 -= y4\n"
               "    y4 += y5; y5 += x0\n"
               "  }\n"
               "  return [a, b, c, d, e, f, g, h, i, j, k, l, x0, x1, x2, x3, x4, x5, x6, x7, x8,\n"
               "          x9, y0, y1, y2, y3, y4, y5]\n"
               "}",
               &plenty);
    for (int i = 0; i < 5; i++)
        call_int(&rig, "many", i * 3 - 4);
    cr_assert_eq(stats_of(&rig).exits, 0);
    run_rig_free(&rig);
}

Test(jit_block, arguments_change_places_on_the_way_to_a_call)
{
    struct run_rig rig = rig_of("fn turn(n, a, b, c, x, y, z) {\n"
                                "  if n == 0 { return [a, b, c, x, y, z] }\n"
                                "  if n % 2 == 0 { return turn(n - 1, b, a, c, y, x, z) }\n"
                                "  return turn(n - 1, b, c, a, y, z, x)\n"
                                "}\n"
                                "fn f(n) { return turn(n, 1, 2, 3, 0.5, 1.5, 2.5) }",
                                &plenty);
    for (int i = 0; i < 12; i++)
        call_int(&rig, "f", i);
    run_rig_free(&rig);
}

Test(jit_block, more_arguments_than_the_convention_has_registers)
{
    struct run_rig rig = rig_of(
        "fn wide(a, b, c, d, e, f, g, h, i, p, q, r, s, t, u, v, w, x, y) {\n"
        "  if a == 0 { return [a, b, c, d, e, f, g, h, i, p, q, r, s, t, u, v, w, x, y] }\n"
        "  return wide(a - 1, c, d, e, f, g, h, i, b, q, r, s, t, u, v, w, x, y, p)\n"
        "}\n"
        "fn f(n) { return wide(n, 2, 3, 4, 5, 6, 7, 8, 9, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5,\n"
        "                      7.5, 8.5, 9.5) }",
        &plenty);
    for (int i = 0; i < 12; i++)
        call_int(&rig, "f", i);
    run_rig_free(&rig);
}

/* ---- calls ----------------------------------------------------------------------------------- */

Test(jit_block, functions_that_call_each_other)
{
    struct run_rig rig = rig_of("fn even(n) { if n == 0 { return true } return odd(n - 1) }\n"
                                "fn odd(n) { if n == 0 { return false } return even(n - 1) }\n"
                                "fn both(n) { return [even(n), odd(n)] }",
                                &plenty);
    for (int i = 0; i < 60; i++)
        call_int(&rig, "both", i);
    run_rig_free(&rig);
}

Test(jit_block, strings_and_arrays_are_passed_given_and_released)
{
    struct run_rig rig =
        rig_of("fn grow(list, n) { if n == 0 { return list }\n"
               "  push(list, \"x\" ~ n); return grow(take list, n - 1) }\n"
               "fn last(list) { if len(list) == 0 { return \"\" } return list[len(list) - 1] }\n"
               "fn f(n) { let l = grow([], n); let k = l; k[0] = 1\n"
               "          return last(l) ~ len(grow(l, 3)) ~ k[0] }",
               &plenty);
    for (int i = 0; i < 40; i++)
        call_int(&rig, "f", i % 9);
    run_rig_free(&rig);
}

Test(jit_block, a_function_value_and_a_builtin_that_calls_back)
{
    struct run_rig rig = rig_of(
        "fn square(x) { if x < 0 { return 0 } return x * x }\n"
        "fn apply(g, x) { if x == 99 { return 0 } return g(x) }\n"
        "fn f(n) { let s = 0; for i in 0..n { s += apply(square, i) }\n"
        "          return [s, map([n, n + 1], square), apply(fn(x) { return sqrt(x) }, n)] }",
        &plenty);
    for (int i = 0; i < 20; i++)
        call_int(&rig, "f", i);
    run_rig_free(&rig);
}

/* ---- loops that run for long ----------------------------------------------------------------- */

Test(jit_block, a_loop_of_a_function_called_once_goes_on_compiled)
{
    struct run_rig rig = rig_of("fn count(n) { let s = 0; let t = \"a\"; let f = 0.5\n"
                                "  for i in 0..n { s += i & 7; f += 0.25\n"
                                "    if i == n - 2 { t = t ~ s } }\n"
                                "  return t ~ s ~ f }",
                                &plenty);
    call_int(&rig, "count", 30000);
    struct jitvm_stats stats;
    jitvm_stats(rig.vms[LAST].vm, &stats);
    cr_assert_eq(stats.compiled_block, 0);
    cr_assert_gt(stats.entries, 0, "it was entered in the middle");
    run_rig_free(&rig);
}

Test(jit_block, a_compiled_loop_meets_another_kind)
{
    struct run_rig rig = rig_of("fn mixed(n) { let s = 0; let list = [1, 2, 3, 4]\n"
                                "  for i in 0..n { s += list[i & 3]\n"
                                "    if i == 15000 { list[2] = 0.5 }\n"
                                "    if i == 22000 { list[1] = \"9\" } }\n"
                                "  return s }",
                                &plenty);
    call_int(&rig, "mixed", 40000);
    run_rig_free(&rig);
}

Test(jit_block, a_loop_within_a_call_within_a_loop)
{
    struct run_rig rig = rig_of("fn inner(n, m) { let s = 0; for i in 0..n { s += i % m }\n"
                                "                 return s }\n"
                                "fn outer(n) { let s = 0\n"
                                "  for i in 1..n { if i < 3 || i > 5 { s += inner(9000, i) } }\n"
                                "  return s }",
                                &plenty);
    call_int(&rig, "outer", 8);
    call_int(&rig, "outer", 9);
    run_rig_free(&rig);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static const char limited[] = "fn leaf(x, list) { if x % 5 == 4 { push(list, x) }\n"
                              "  return x * 2 }\n"
                              "fn tree(n, list) {\n"
                              "  if n < 2 { return leaf(n, take list) }\n"
                              "  let s = 0\n"
                              "  for i in 0..3 { s += leaf(i + n, list) }\n"
                              "  return s + tree(n - 1, list) + tree(n - 2, list)\n"
                              "}\n"
                              "fn run(n) { return tree(n, [\"a\" ~ n]) }";

Test(jit_block, fuel_ends_at_the_same_instruction)
{
    for (uint64_t fuel = 0; fuel < 160; fuel++) {
        struct jitvm_limits limits = {1000, JITVM_HEAP_DEFAULT, 200};
        struct run_rig rig = rig_of(limited, &limits);
        call_int(&rig, "run", 4);
        call_int(&rig, "run", 4);
        limits.fuel = fuel;
        run_rig_set_limits(&rig, &limits);
        call_int(&rig, "run", 5);
        run_rig_free(&rig);
    }
}

Test(jit_block, depth_ends_at_the_same_call)
{
    for (uint32_t depth = 1; depth < 14; depth++) {
        struct jitvm_limits limits = {JITVM_FUEL_UNLIMITED, JITVM_HEAP_DEFAULT, depth};
        struct run_rig rig = rig_of(limited, &limits);
        for (int n = 1; n < 12; n++)
            call_int(&rig, "run", n);
        run_rig_free(&rig);
    }
}

Test(jit_block, an_error_unwinds_through_compiled_functions)
{
    struct run_rig rig =
        rig_of("fn bad(n, t) { let u = t ~ \"!\"; if n == 0 { let x = 5; return x[0][1] }\n"
               "  return bad(n - 1, u) + 1 }\n"
               "fn run(n) { if n == 3 { return bad(n, \"t\") } return n }",
               &plenty);
    for (int i = 0; i < 8; i++)
        call_int(&rig, "run", i);
    call_int(&rig, "run", 3);
    run_rig_free(&rig);
}

Test(jit_block, overflow_fails_where_the_chunk_wants_it)
{
    struct jitvm_builder *b;
    struct jitvm_chunk *chunk;
    struct jitvm_error err = {0};
    struct run_rig rig;
    cr_assert_eq(jitvm_builder_new("trap", &b, &err), 0);
    builder_set_flags(b, CHUNK_TRAP_OVERFLOW);
    uint32_t f = builder_function(b, "add", 3, 2);
    builder_begin(b, 0);
    builder_op(b, OP_Return);
    builder_begin(b, f);
    builder_emit(b, (struct jitvm_op){.code = OP_GetSlot, .a = 0});
    builder_emit(b, (struct jitvm_op){.code = OP_GetSlot, .a = 1});
    builder_op(b, OP_Add);
    builder_emit(b, (struct jitvm_op){.code = OP_GetSlot, .a = 1});
    builder_op(b, OP_Mul);
    builder_op(b, OP_ReturnValue);
    cr_assert_eq(builder_build(b, &chunk, &err), 0, "%s", err.message);
    jitvm_builder_free(b);
    cr_assert(run_rig_init(&rig, chunk, &plenty, NULL), "%s", rig.said);
    static const int64_t numbers[] = {1, 2, INT64_MAX, INT64_MIN, -1, INT64_C(1) << 62};
    for (size_t i = 0; i < 36; i++) {
        struct jitvm_value args[2] = {jitvm_int(numbers[i / 6]), jitvm_int(numbers[i % 6])};
        call(&rig, "add", 2, args);
    }
    run_rig_free(&rig);
}

/* ---- when ------------------------------------------------------------------------------------ */

Test(jit_block, a_threshold_says_how_many_calls_are_interpreted)
{
    struct jitvm_chunk *chunk;
    struct jitvm_config config;
    struct jitvm *vm;
    static const char text[] = "fn f(n) { if n { return 1 } return 2 }";
    cr_assert_eq(jitvm_compile("t", text, sizeof text - 1, &chunk, NULL), 0);
    cr_assert_eq(jitvm_config_default(&config, NULL), 0);
    config.trace.block_threshold = 5;
    cr_assert_eq(jitvm_new(&config, &vm, NULL), 0);
    cr_assert_eq(jitvm_load(vm, chunk, NULL), 0);
    struct jitvm_value arg = jitvm_int(1), out;
    for (unsigned i = 0; i < 8; i++) {
        struct jitvm_stats stats;
        jitvm_stats(vm, &stats);
        cr_assert_eq(stats.compiled_block, i > 5, "call %u", i);
        cr_assert_eq(jitvm_call(vm, "f", &arg, 1, &out, NULL), 0);
    }
    jitvm_free(vm);
    jitvm_chunk_unref(chunk);
}

Test(jit_block, a_function_too_large_is_refused_and_interpreted)
{
    size_t room = 200000, len = 0;
    char *text = malloc(room);
    cr_assert_not_null(text);
    len += (size_t)snprintf(text, room, "fn big(n) { if n == 0 { return 1 }\n");
    for (unsigned i = 0; i < 3000; i++)
        len += (size_t)snprintf(text + len, room - len, "n = n * %u + 1 ^ n\n", i);
    snprintf(text + len, room - len, "return n }");
    struct run_rig rig = rig_of(text, &plenty);
    for (int i = 0; i < 6; i++)
        call_int(&rig, "big", i);
    cr_assert_eq(stats_of(&rig).refused, 1);
    cr_assert_eq(stats_of(&rig).compiled_block, 0);
    run_rig_free(&rig);
    free(text);
}

Test(jit_block, deep_recursion_whose_every_activation_leaves)
{
    struct jitvm_limits limits = {JITVM_FUEL_UNLIMITED, JITVM_HEAP_DEFAULT, 2000};
    struct run_rig rig = rig_of("let list = [1, 1]\n"
                                "fn x(n) { if n == 0 { return 0 }\n"
                                "          let v = list[n % 2]; return v + x(n - 1) }\n"
                                "fn turn(n) { if n { list[1] = 2.5 } return 0 }",
                                &limits);
    call(&rig, NULL, 0, NULL);
    call_int(&rig, "x", 50);
    call_int(&rig, "turn", 1);
    call_int(&rig, "x", 1900);
    call_int(&rig, "x", 2100);
    call_int(&rig, "x", 1900);
    run_rig_free(&rig);
}
