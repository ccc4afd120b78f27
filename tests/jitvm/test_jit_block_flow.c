/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block compiler on programs made to mislead it: registers written twice by one instruction,
 * loops that leave again and again, functions that take long to look through, thresholds that
 * change on the way.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/jit/jit.h"
#include "tests/jitvm/run_text.h"

#define LAST (RUN_TIERS - 1)

static struct jitvm_stats stats_of(const struct run_rig *rig)
{
    struct jitvm_stats stats;
    jitvm_stats(rig->vms[LAST].vm, &stats);
    return stats;
}

/* ---- registers that are written twice -------------------------------------------------------- */

Test(jit_flow, a_slot_that_gets_what_was_taken_out_of_it)
{
    struct run_rig rig =
        rig_with("fn last(n) { if n == 99 { return 0 }\n"
                 "  let x = [1, 2, n]; x = pop(x); let y = n + 1; return x + n * y + x }\n"
                 "fn first(n) { if n == 99 { return 0 }\n"
                 "  let x = [n, 2.5]; x = shift(x); let y = n + 1; return x + n * y + x }\n"
                 "fn float(n) { if n == 99 { return 0 }\n"
                 "  let x = [n, n + 0.5]; x = pop(x); let y = n + 1.5; return x + n * y + x }\n"
                 "fn loop(n) { let s = 0\n"
                 "  for i in 0..n { let x = [i, n]; x = pop(x); s = s + x * i }\n"
                 "  return s }",
                 NULL);
    for (int i = 0; i < 20; i++) {
        rig_call_int(&rig, "last", i);
        rig_call_int(&rig, "first", i);
        rig_call_int(&rig, "float", i);
        rig_call_int(&rig, "loop", i);
    }
    run_rig_free(&rig);
}

Test(jit_flow, a_slot_that_gets_an_element_of_itself)
{
    struct run_rig rig =
        rig_with("fn one(n) { if n == 99 { return 0 }\n"
                 "  let x = [n, n * 2]; x = x[1]; let y = n + 1; return x + n * y + x }\n"
                 "fn two(n) { if n == 99 { return 0 }\n"
                 "  let x = [[n, 1.5], [n]]; x = x[0][1]; let y = n + 1; return x + n * y + x }\n"
                 "fn size(n) { if n == 99 { return 0 }\n"
                 "  let x = [n, n]; x = len(x); let y = n + 1; return x + n * y + x }\n"
                 "fn text(n) { if n == 99 { return 0 }\n"
                 "  let x = \"a\" ~ n; x = [x, x]; x = x[0]; return x ~ n ~ x }\n"
                 "fn same(n) { if n == 99 { return 0 }\n"
                 "  let x = [n]; x[0] = x; x = x[0]; return x }",
                 NULL);
    for (int i = 0; i < 20; i++) {
        rig_call_int(&rig, "one", i);
        rig_call_int(&rig, "two", i);
        rig_call_int(&rig, "size", i);
        rig_call_int(&rig, "text", i);
        rig_call_int(&rig, "same", i);
    }
    run_rig_free(&rig);
}

/* ---- loops that leave ------------------------------------------------------------------------ */

static int where(struct jitvm *vm, void *context, const struct jitvm_value *args, unsigned count,
                 struct jitvm_value *out)
{
    (void)vm;
    (void)args;
    (void)count;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t *least = context;
    if (here < *least)
        *least = here;
    *out = jitvm_int(0);
    return 0;
}

static uintptr_t deepest;

static int give_where(struct jitvm *vm)
{
    const struct jitvm_native native = {
        .name = "where", .fn = where, .context = &deepest, .result = JITVM_INT};
    struct jitvm_error err;
    return jitvm_register(vm, &native, &err);
}

static void set_exits(struct run_rig *rig, uint32_t max)
{
    struct jitvm_config config;
    struct jitvm_error err;
    cr_assert_eq(jitvm_config_default(&config, &err), 0);
    config.trace.max_side_exits = max;
    for (unsigned tier = 0; tier < RUN_TIERS; tier++)
        jitvm_set_config(rig->vms[tier].vm, &config.trace);
}

Test(jit_flow, a_loop_that_leaves_and_comes_back_needs_no_more_of_the_threads_stack)
{
    struct run_rig rig = rig_with("fn shallow(n) { return where() }\n"
                                  "fn loop(n) { let list = [1, 2.5]; let s = 0.0; let i = 0\n"
                                  "  while i < n * 5000 { s += list[i % 5000 // 4999]; i += 1 }\n"
                                  "  where(); return s }\n"
                                  "fn calls(n) { return loop(n) + 1 }",
                                  give_where);
    set_exits(&rig, 1000000);
    deepest = UINTPTR_MAX;
    rig_call_int(&rig, "shallow", 0);
    uintptr_t before = deepest;
    rig_call_int(&rig, "loop", 300);
    rig_call_int(&rig, "calls", 300);
    cr_assert_geq(stats_of(&rig).exits, 300);
    cr_assert_lt(before - deepest, 16384, "%zu bytes", (size_t)(before - deepest));
    run_rig_free(&rig);
}

Test(jit_flow, a_loop_that_leaves_and_comes_back_may_fail)
{
    struct run_rig rig =
        rig_with("fn loop(n) { let list = [1, 2.5]; let text = \"t\" ~ n; let s = 0.0; let i = 0\n"
                 "  while i < 50000 { s += list[i % 5000 // 4999]; i += 1\n"
                 "    if i == n { error(text ~ s) } }\n"
                 "  return text ~ s }\n"
                 "fn calls(n) { let t = [n]; let r = loop(n); return r ~ t }",
                 NULL);
    set_exits(&rig, 1000000);
    rig_call_int(&rig, "calls", 0);
    for (int i = 0; i < 10; i++)
        rig_call_int(&rig, "calls", 4995 * i + 20);
    const struct jitvm_limits little = {100000, JITVM_HEAP_DEFAULT, 20};
    run_rig_set_limits(&rig, &little);
    for (int i = 0; i < 3; i++)
        rig_call_int(&rig, "calls", 0);
    run_rig_free(&rig);
}

Test(jit_flow, fewer_exits_allowed_than_there_were_still_end_a_guess)
{
    struct run_rig rig = rig_with("let list = [1, 2.5]\n"
                                  "fn pick(n) { if n == 99 { return 0 } return list[n] + n }",
                                  NULL);
    cr_assert(run_rig_call(&rig, NULL, NULL, 0), "%s", rig.said);
    for (int i = 0; i < 4; i++)
        rig_call_int(&rig, "pick", 0);
    set_exits(&rig, 100);
    for (int i = 0; i < 20; i++)
        rig_call_int(&rig, "pick", 1);
    set_exits(&rig, 5);
    for (int i = 0; i < 20; i++)
        rig_call_int(&rig, "pick", 1);
    uint64_t exits = stats_of(&rig).exits;
    for (int i = 0; i < 200; i++)
        rig_call_int(&rig, "pick", 1);
    cr_assert_lt(stats_of(&rig).exits - exits, 50);
    run_rig_free(&rig);
}

/* ---- functions that are long to look through ------------------------------------------------- */

static char *program(const char *(*part)(unsigned i, char *room), unsigned slots, unsigned parts)
{
    size_t room = 1 << 18, len = 0;
    char *text = malloc(room), line[128];
    cr_assert_not_null(text);
    len += (size_t)snprintf(text, room, "fn f(n) {\n");
    for (unsigned i = 0; i < slots; i++)
        len += (size_t)snprintf(text + len, room - len, "let v%u = n + %u\n", i, i);
    len += (size_t)snprintf(text + len, room - len, "let k = 0\nwhile k < 3 {\n");
    for (unsigned i = 0; i < parts; i++)
        len += (size_t)snprintf(text + len, room - len, "%s\n", part(i, line));
    len += (size_t)snprintf(text + len, room - len, "k += 1 }\nlet s = 0\n");
    for (unsigned i = 0; i < slots; i++)
        len += (size_t)snprintf(text + len, room - len, "s = s ~ v%u\n", i);
    snprintf(text + len, room - len, "return s }");
    return text;
}

#define SLOTS 90u

static const char *divide(unsigned i, char *room)
{
    snprintf(room, 128, "if v%u < %u { v%u = v%u // v%u }", i % SLOTS, i, (i + 1) % SLOTS,
             i % SLOTS, (i + 2) % SLOTS);
    return room;
}

static const char *pass_on(unsigned i, char *room)
{
    if (i < SLOTS - 1)
        snprintf(room, 128, "v%u = v%u", SLOTS - 1 - i, SLOTS - 2 - i);
    else
        snprintf(room, 128, "if k == %u { v0 = %s }", i,
                 i % 3 == 0   ? "1.5"
                 : i % 3 == 1 ? "2"
                              : "\"s\"");
    return room;
}

static void check_time(char *text)
{
    struct run_rig rig = rig_with(text, NULL);
    for (int i = 0; i < 4; i++)
        rig_call_int(&rig, "f", i);
    cr_assert_lt(stats_of(&rig).compile_ns_max, 1000000000u);
    run_rig_free(&rig);
    free(text);
}

Test(jit_flow, many_branches_among_many_variables_are_compiled_in_time)
{
    check_time(program(divide, SLOTS, 720));
}

Test(jit_flow, kinds_that_crawl_through_variables_are_followed_in_time)
{
    check_time(program(pass_on, SLOTS, 620));
}
