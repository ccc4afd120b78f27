/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled code and its host: functions that are not what they say, that call back and have their
 * callers compiled anew, the thread's stack, and systems where no code may be made.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/jitvm/jit/jit.h"
#include "tests/jitvm/run_text.h"

#define LAST (RUN_TIERS - 1)

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED 0
#endif
/* A sanitizer's own frames are larger: then it is only seen that there is a bound. */
#define LEVELS       (SANITIZED ? 100 : 1000)
#define TIMES_LARGER (SANITIZED ? 64u : 1u)

/* ---- functions that are not what they say ---------------------------------------------------- */

/* int(n) below 10, then a float, a bool, a string, undef and an array, in turns. */
static int liar(struct jitvm *vm, void *context, const struct jitvm_value *args, unsigned count,
                struct jitvm_value *out)
{
    (void)context;
    (void)count;
    int64_t n = args[0].as.i;
    *out = jitvm_int(n);
    if (n < 10)
        return 0;
    switch (n % 5) {
    case 0:
        *out = jitvm_float((double)n + 0.5);
        return 0;
    case 1:
        *out = jitvm_bool(true);
        return 0;
    case 2:
        return jitvm_str(vm, "12 monkeys", 10, out);
    case 3:
        return jitvm_array(vm, out);
    default:
        *out = jitvm_undef();
        return 0;
    }
}

static int give_liar(struct jitvm *vm)
{
    struct jitvm_native native = {
        .name = "liar", .fn = liar, .min_args = 1, .max_args = 1, .result = JITVM_INT};
    struct jitvm_error err;
    int rc = jitvm_register(vm, &native, &err);
    native.name = "pure_liar";
    native.flags = JITVM_PURE | JITVM_NO_REENTER;
    return rc < 0 ? rc : jitvm_register(vm, &native, &err);
}

Test(jit_host, a_function_that_gives_another_kind_than_it_says)
{
    struct run_rig rig = rig_of("fn once(n) { if n == 999 { return 0 }\n"
                                "  let t = \"t\" ~ n; let v = liar(n); return t ~ (v + 1) }\n"
                                "fn kept(n) { if n == 999 { return 0 }\n"
                                "  let v = pure_liar(n); if v == n { return v } return v ~ n }\n"
                                "fn loop(n) { let s = 0; let i = n\n"
                                "  while i < n + 6000 { s += liar(i); i += 1 } return s }",
                                100, give_liar);
    for (int i = 0; i < 60; i++) {
        rig_call_int(&rig, "once", i);
        rig_call_int(&rig, "kept", i);
    }
    rig_call_int(&rig, "loop", 0);
    rig_call_int(&rig, "loop", -5000);
    run_rig_free(&rig);
}

/* ---- functions that call back ---------------------------------------------------------------- */

static int back(struct jitvm *vm, void *context, const struct jitvm_value *args, unsigned count,
                struct jitvm_value *out)
{
    (void)context;
    return jitvm_apply(vm, args[0], args + 1, count - 1, out);
}

static int give_back_caller(struct jitvm *vm)
{
    const struct jitvm_native native = {.name = "back",
                                        .fn = back,
                                        .min_args = 1,
                                        .max_args = JITVM_ANY_COUNT,
                                        .result = JITVM_KINDS};
    struct jitvm_error err;
    return jitvm_register(vm, &native, &err);
}

Test(jit_host, a_function_is_compiled_anew_while_older_code_of_it_runs)
{
    /* Each level is of another kind than the one above: entries are missed and guesses fail in the
     * middle of activations of every version there was. */
    struct run_rig rig =
        rig_of("let kinds = [1, 2.5, \"3\", true, [4]]\n"
               "let calls = 0\n"
               "fn deep(n, v) {\n"
               "  if n == 0 { return v }\n"
               "  calls += 1\n"
               "  let mine = kinds[calls * 7 % 5]\n"
               "  let text = \"x\" ~ n\n"
               "  let below = 0\n"
               "  if n % 3 == 0 { below = back(deep, n - 1, mine) }\n"
               "  else { below = deep(n - 1, mine) }\n"
               "  if calls % 11 == 0 { kinds[calls % 5] = kinds[(calls + 1) % 5] }\n"
               "  return text ~ len(\"\" ~ below ~ v ~ mine)\n"
               "}\n"
               "fn go(n) { kinds = [1, 2.5, \"3\", true, [4]]; return deep(n, n) }",
               400, give_back_caller);
    cr_assert(run_rig_call(&rig, NULL, NULL, 0), "%s", rig.said);
    for (int i = 0; i < 120; i++)
        rig_call_int(&rig, "go", i * 37 % 300);
    cr_assert(run_rig_globals(&rig), "%s", rig.said);
    run_rig_free(&rig);
}

Test(jit_host, a_loop_runs_on_while_its_function_is_compiled)
{
    struct run_rig rig =
        rig_of("let odd = [1, 2]\n"
               "fn f(n, m) {\n"
               "  let s = m\n"
               "  let list = [n, m]\n"
               "  for i in 0..n {\n"
               "    if n > 50 && i % 500 == 0 { s += back(f, i % 7, odd[i % 2]) }\n"
               "    if i % 2999 == 2998 { odd[i % 2] = odd[i % 2] + 0.5 }\n"
               "    list[i % 2] = s; s += odd[i % 2] - 1\n"
               "  }\n"
               "  return s + list[0] + list[1]\n"
               "}\n"
               "fn go(n) { odd = [1, 2]; return f(n, 0) ~ f(n, 0.5) ~ f(3, \"7\") }",
               400, give_back_caller);
    cr_assert(run_rig_call(&rig, NULL, NULL, 0), "%s", rig.said);
    for (int i = 0; i < 8; i++)
        rig_call_int(&rig, "go", 9000 + i);
    rig_call_int(&rig, "go", 10);
    run_rig_free(&rig);
}

/* ---- the thread's stack ---------------------------------------------------------------------- */

static uintptr_t deepest;

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

static int give_where(struct jitvm *vm)
{
    const struct jitvm_native native = {
        .name = "where", .fn = where, .context = &deepest, .result = JITVM_INT};
    struct jitvm_error err;
    int rc = jitvm_register(vm, &native, &err);
    return rc < 0 ? rc : give_back_caller(vm);
}

/* Bytes for each of many levels, of the tier that takes most. `turn` makes every guess wrong. */
static unsigned bytes_per_level(const char *text)
{
    struct run_rig rig = rig_of(text, 2500, give_where);
    cr_assert(run_rig_call(&rig, NULL, NULL, 0), "%s", rig.said);
    rig_call_int(&rig, "f", 3);
    rig_call_int(&rig, "f", 30);
    rig_call_int(&rig, "turn", 1);
    deepest = UINTPTR_MAX;
    rig_call_int(&rig, "f", 0);
    uintptr_t before = deepest;
    rig_call_int(&rig, "f", LEVELS);
    run_rig_free(&rig);
    return (unsigned)((before - deepest) / LEVELS);
}

#define TURN "fn turn(n) { list[0] = 1.5; list[1] = 2.5; return 0 }\nlet list = [1, 1]\n"

Test(jit_host, a_level_takes_at_most_512_bytes_of_the_threads_stack)
{
    const char *const programs[] = {
        TURN "fn f(n) { if n == 0 { return where() } let v = list[n % 2]; return v + f(n - 1) }",
        TURN "fn f(n) { if n == 0 { return where() } let v = list[n % 2]; let g = f\n"
             "          return v + g(n - 1) }",
        TURN
        "fn f(n) { if n == 0 { return where() } let v = g(n - 1, n); return v + list[n % 2] }\n"
        "fn g(n, m) { if m == 0 { return 0 } let v = list[m % 2]; return v + f(n) }",
    };
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        unsigned bytes = bytes_per_level(programs[i]);
        /* The last one calls twice in each. */
        unsigned most = (i == 2 ? 1024u : 512u) * TIMES_LARGER;
        cr_assert_leq(bytes, most, "program %zu: %u bytes", i, bytes);
    }
}

Test(jit_host, a_level_through_a_builtin_takes_at_most_1024_bytes)
{
    const char *const programs[] = {
        TURN "fn f(n) { if n == 0 { return where() } let v = list[n % 2]\n"
             "          let r = map([n - 1], f); return r[0] + v }",
        TURN "let left = 0\n"
             "fn g(a, b) { if left == 0 { return where() } left -= 1; let v = list[left % 2]\n"
             "             let r = sort([2, 1], g); return v + len(r) }\n"
             "fn f(n) { left = n; return g(1, 2) }",
    };
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        unsigned bytes = bytes_per_level(programs[i]);
        cr_assert_leq(bytes, 1024u * TIMES_LARGER, "program %zu: %u bytes", i, bytes);
    }
}

/* ---- where no code may be made --------------------------------------------------------------- */

static const char *const sums = "fn f(n) { if n < 2 { return n } return f(n - 1) + f(n - 2) }\n"
                                "let s = 0\nfor i in 0..20000 { s += i }\n";

/* Runs `sums` in a VM; 0, or a number that says what went wrong. */
static int run_sums(void (*before_load)(void), void (*before_run)(void), bool expect_code)
{
    struct jitvm_config config;
    struct jitvm_error err;
    struct jitvm_chunk *chunk;
    struct jitvm *vm;
    struct jitvm_value arg = jitvm_int(15), out;
    if (jitvm_config_default(&config, &err) < 0 ||
        jitvm_compile("test", sums, strlen(sums), &chunk, &err) < 0)
        return 1;
    config.limits.depth = 100;
    if (jitvm_new(&config, &vm, &err) < 0)
        return 2;
    if (before_load)
        before_load();
    if (jitvm_load(vm, chunk, &err) < 0)
        return 3;
    if (before_run)
        before_run();
    if (jitvm_run(vm, NULL, &err) < 0 || jitvm_call(vm, "f", &arg, 1, &out, &err) < 0)
        return 4;
    struct jitvm_stats stats;
    jitvm_stats(vm, &stats);
    if (out.kind != JITVM_INT || out.as.i != 610)
        return 5;
    if ((stats.native_bytes > 0) != expect_code)
        return 6;
    jitvm_free(vm);
    jitvm_chunk_unref(chunk);
    return 0;
}

static int in_child(void (*before_load)(void), void (*before_run)(void))
{
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        _exit(run_sums(before_load, before_run, false));
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

/* Of calls that make memory executable. */
#define REFUSE(call, error)                                                                        \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),                         \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),                                           \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),                \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),                                     \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void install(struct sock_filter *filter, size_t count)
{
    struct sock_fprog program = {(unsigned short)count, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(99);
}

static void forbid_code(void)
{
    struct sock_filter filter[] = {REFUSE(SYS_mprotect, EACCES), REFUSE(SYS_mmap, EACCES), ALLOW};
    install(filter, sizeof filter / sizeof *filter);
}

/* As with a limit of address space: what code is kept in is the only mapping that is made so. */
static void leave_no_room(void)
{
    struct sock_filter filter[] = {REFUSE(SYS_mmap, ENOMEM), ALLOW};
    install(filter, sizeof filter / sizeof *filter);
}

Test(jit_host, a_system_that_runs_no_new_code_interprets)
{
    cr_assert_eq(run_sums(NULL, NULL, true), 0);
    cr_assert_eq(in_child(forbid_code, NULL), 0);
    cr_assert_eq(in_child(NULL, forbid_code), 0);
}

Test(jit_host, a_system_without_room_for_code_interprets)
{
    cr_assert_eq(in_child(leave_no_room, NULL), 0);
}
