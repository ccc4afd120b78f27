/* SPDX-License-Identifier: Apache-2.0 */
/* What hosts do wrong, or late, or from within their own functions. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "guest/jitvm/jitvm.h"

static struct jitvm_chunk *compiled(const char *text)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err;
    cr_assert_eq(jitvm_compile("test", text, strlen(text), &chunk, &err), 0, "%s", err.message);
    return chunk;
}

static struct jitvm *empty_vm(enum jitvm_jit jit)
{
    struct jitvm *vm = NULL;
    struct jitvm_config config;
    cr_assert_eq(jitvm_config_default(&config, NULL), 0);
    config.jit = jit;
    cr_assert_eq(jitvm_new(&config, &vm, NULL), 0);
    return vm;
}

static struct jitvm *vm_of(const char *text, enum jitvm_jit jit)
{
    struct jitvm *vm = empty_vm(jit);
    struct jitvm_chunk *chunk = compiled(text);
    cr_assert_eq(jitvm_load(vm, chunk, NULL), 0);
    jitvm_chunk_unref(chunk);
    return vm;
}

static int answer(struct jitvm *vm, void *context, const struct jitvm_value *args, unsigned count,
                  struct jitvm_value *out)
{
    (void)vm, (void)context, (void)args, (void)count;
    *out = jitvm_int(42);
    return 0;
}

static const struct jitvm_native answer_native = {
    .name = "answer", .fn = answer, .result = JITVM_INT, .flags = JITVM_NO_REENTER};

/* ---- loading -------------------------------------------------------------------------------- */

Test(host, a_chunk_that_does_not_load_is_not_run)
{
    struct jitvm_chunk *chunk = compiled("return answer()");
    struct jitvm *vm = empty_vm(JITVM_JIT_BLOCK);
    struct jitvm_error err;
    cr_assert_eq(jitvm_load(vm, chunk, &err), JITVM_ERR_UNDEFINED);
    cr_assert_eq(jitvm_run(vm, NULL, &err), JITVM_ERR_INVALID);
    cr_assert_eq(jitvm_call(vm, "f", NULL, 0, NULL, &err), JITVM_ERR_UNDEFINED);
    jitvm_free(vm);
    jitvm_chunk_unref(chunk);
}

Test(host, what_a_chunk_lacked_can_be_registered_and_the_chunk_loaded_then)
{
    struct jitvm_chunk *chunk = compiled("return answer()");
    struct jitvm *vm = empty_vm(JITVM_JIT_BLOCK);
    struct jitvm_value out;
    cr_assert_eq(jitvm_load(vm, chunk, NULL), JITVM_ERR_UNDEFINED);
    cr_assert_eq(jitvm_register(vm, &answer_native, NULL), 0);
    cr_assert_eq(jitvm_load(vm, chunk, NULL), 0);
    cr_assert_eq(jitvm_run(vm, &out, NULL), 0);
    cr_assert_eq(out.as.i, 42);
    cr_assert_eq(jitvm_load(vm, chunk, NULL), JITVM_ERR_INVALID, "once");
    cr_assert_eq(jitvm_register(vm, &answer_native, NULL), JITVM_ERR_VALUE, "too late");
    jitvm_free(vm);
    jitvm_chunk_unref(chunk);
}

/* ---- function values ------------------------------------------------------------------------ */

/* Calls what context points to. */
static int call_it(struct jitvm *vm, void *context, const struct jitvm_value *args, unsigned count,
                   struct jitvm_value *out)
{
    const struct jitvm_value *function = context;
    return jitvm_apply(vm, *function, args, count, out);
}

Test(host, a_function_of_another_vm_is_not_called)
{
    struct jitvm_value foreign[] = {{.kind = JITVM_FUNC, .as.i = 7},
                                    {.kind = JITVM_FUNC, .as.i = -1},
                                    {.kind = JITVM_NATIVE, .as.i = 100000}};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        struct jitvm *vm = empty_vm(JITVM_JIT_OFF);
        struct jitvm_native native = {
            .name = "it", .fn = call_it, .context = &foreign[i], .result = JITVM_KINDS};
        struct jitvm_chunk *chunk = compiled("it()");
        struct jitvm_value out;
        cr_assert_eq(jitvm_register(vm, &native, NULL), 0);
        cr_assert_eq(jitvm_apply(vm, foreign[i], NULL, 0, &out), JITVM_ERR_UNDEFINED);
        cr_assert_eq(jitvm_load(vm, chunk, NULL), 0);
        cr_assert_eq(jitvm_run(vm, NULL, NULL), JITVM_ERR_UNDEFINED);
        jitvm_chunk_unref(chunk);
        jitvm_free(vm);
    }
}

/* ---- limits --------------------------------------------------------------------------------- */

static int set_limits(struct jitvm *vm, void *context, const struct jitvm_value *args,
                      unsigned count, struct jitvm_value *out)
{
    (void)args, (void)count, (void)out;
    jitvm_set_limits(vm, context);
    return 0;
}

Test(host, limits_set_from_within_a_run_leave_the_stack_where_it_is)
{
    for (unsigned jit = JITVM_JIT_OFF; jit <= JITVM_JIT_BLOCK; jit++) {
        struct jitvm_limits limits = {100000, JITVM_HEAP_DEFAULT, 1000000};
        struct jitvm_native native = {
            .name = "more", .fn = set_limits, .context = &limits, .result = JITVM_UNDEF};
        struct jitvm_chunk *chunk = compiled("fn f(n) { if n == 0 { more(); return [n] }\n"
                                             "let a = f(n - 1); push(a, n); return a }\n"
                                             "return len(f(100))");
        struct jitvm *vm = empty_vm((enum jitvm_jit)jit);
        struct jitvm_value out;
        cr_assert_eq(jitvm_register(vm, &native, NULL), 0);
        cr_assert_eq(jitvm_load(vm, chunk, NULL), 0);
        cr_assert_eq(jitvm_run(vm, &out, NULL), 0);
        cr_assert_eq(out.as.i, 101);
        cr_assert_leq(jitvm_fuel_left(vm), 100000);
        cr_assert_gt(jitvm_fuel_left(vm), 99000);
        jitvm_chunk_unref(chunk);
        jitvm_free(vm);
    }
}

/* ---- interrupts ----------------------------------------------------------------------------- */

static void *interrupt_soon(void *vm)
{
    (void)usleep(20000);
    jitvm_interrupt(vm);
    return NULL;
}

/* Each is a loop that the builder makes one op of, and that would not end by itself. */
Test(host, a_whole_loop_is_interrupted, .timeout = 30)
{
    static const char *const loops[] = {
        "fn f() { let s = 0; let i = -1e17; while i < 9 { s += i; i++ } return s }",
        "fn f() { let s = 0; let i = -1e17; while i < 9 { s ~= ''; i++ } return s }",
    };
    for (size_t i = 0; i < 2 * sizeof loops / sizeof *loops; i++) {
        struct jitvm *vm = vm_of(loops[i / 2], i % 2 ? JITVM_JIT_BLOCK : JITVM_JIT_OFF);
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, interrupt_soon, vm), 0);
        cr_assert_eq(jitvm_call(vm, "f", NULL, 0, NULL, NULL), JITVM_ERR_INTERRUPTED);
        (void)pthread_join(thread, NULL);
        jitvm_free(vm);
    }
}

Test(host, a_whole_loop_takes_its_fuel_to_the_unit)
{
    static const char *const text =
        "fn f() { let s = 0; let i = 0; while i < 100000 { s += i; i++ } return s }\n"
        "fn g() { let s = 0.5; let i = 0; while i < 100000 { s += i; i++ } return s }\n";
    static const char *const functions[] = {"f", "g"};
    for (size_t i = 0; i < 4; i++) {
        struct jitvm *vm = vm_of(text, i / 2 ? JITVM_JIT_BLOCK : JITVM_JIT_OFF);
        struct jitvm_limits limits = {200000, JITVM_HEAP_DEFAULT, JITVM_DEPTH_DEFAULT};
        jitvm_set_limits(vm, &limits);
        cr_assert_eq(jitvm_call(vm, functions[i % 2], NULL, 0, NULL, NULL), 0);
        uint64_t used = 200000 - jitvm_fuel_left(vm);
        limits.fuel = used;
        jitvm_set_limits(vm, &limits);
        cr_assert_eq(jitvm_call(vm, functions[i % 2], NULL, 0, NULL, NULL), 0);
        cr_assert_eq(jitvm_fuel_left(vm), 0);
        limits.fuel = used - 1;
        jitvm_set_limits(vm, &limits);
        cr_assert_eq(jitvm_call(vm, functions[i % 2], NULL, 0, NULL, NULL), JITVM_ERR_FUEL);
        jitvm_free(vm);
    }
}

/* ---- errors --------------------------------------------------------------------------------- */

static int try_it(struct jitvm *vm, void *context, const struct jitvm_value *args, unsigned count,
                  struct jitvm_value *out)
{
    (void)context;
    (void)jitvm_apply(vm, args[0], args + 1, count - 1, out);
    return 0;
}

static int fail_silently(struct jitvm *vm, void *context, const struct jitvm_value *args,
                         unsigned count, struct jitvm_value *out)
{
    (void)vm, (void)context, (void)args, (void)count, (void)out;
    return -99;
}

Test(host, an_error_that_a_host_function_kept_to_itself_is_not_that_of_the_next_one)
{
    struct jitvm_chunk *chunk =
        compiled("try(fn() { return 1 % keys(5) })\nfn f() { silent() }\nf()");
    struct jitvm_native natives[] = {
        {.name = "try", .fn = try_it, .min_args = 1, .max_args = 9, .result = JITVM_KINDS},
        {.name = "silent", .fn = fail_silently, .result = JITVM_KINDS}};
    struct jitvm *vm = empty_vm(JITVM_JIT_BLOCK);
    struct jitvm_error err;
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(jitvm_register(vm, &natives[i], NULL), 0);
    cr_assert_eq(jitvm_load(vm, chunk, NULL), 0);
    cr_assert_eq(jitvm_run(vm, NULL, &err), JITVM_ERR_HOST);
    cr_assert_str_eq(err.message, "silent failed (-99)");
    cr_assert_eq(err.depth, 2);
    jitvm_chunk_unref(chunk);
    jitvm_free(vm);
}

Test(host, calls_that_do_not_fit_on_the_stack_say_so)
{
    char text[8192], *at = stpcpy(text, "fn f(n) { return [");
    struct jitvm_error err;
    for (unsigned i = 0; i < 2000; i++)
        at = stpcpy(at, "n, ");
    (void)stpcpy(at, "f(n)] }");
    struct jitvm *vm = vm_of(text, JITVM_JIT_BLOCK);
    struct jitvm_value arg = jitvm_int(1);
    cr_assert_eq(jitvm_call(vm, "f", &arg, 1, NULL, &err), JITVM_ERR_DEPTH);
    cr_assert(strstr(err.message, "of functions with many variables"), "%s", err.message);
    cr_assert_eq(jitvm_call(vm, "f", &arg, 1, NULL, &err), JITVM_ERR_DEPTH, "again");
    jitvm_free(vm);
}

/* ---- output ---------------------------------------------------------------------------------- */

static int append_to(void *context, const void *bytes, size_t len)
{
    (void)strncat(context, bytes, len);
    return 0;
}

static int switch_output(struct jitvm *vm, void *context, const struct jitvm_value *args,
                         unsigned count, struct jitvm_value *out)
{
    (void)args, (void)count, (void)out;
    jitvm_set_output(vm, append_to, context);
    return 0;
}

Test(host, what_was_printed_goes_where_the_output_went_then)
{
    char before[32] = "", after[32] = "";
    struct jitvm_chunk *chunk = compiled("print('one')\nswitch()\nprint('two')");
    struct jitvm_native native = {
        .name = "switch", .fn = switch_output, .context = after, .result = JITVM_UNDEF};
    struct jitvm *vm = empty_vm(JITVM_JIT_BLOCK);
    jitvm_set_output(vm, append_to, before);
    cr_assert_eq(jitvm_register(vm, &native, NULL), 0);
    cr_assert_eq(jitvm_load(vm, chunk, NULL), 0);
    cr_assert_eq(jitvm_run(vm, NULL, NULL), 0);
    cr_assert_str_eq(before, "one");
    cr_assert_str_eq(after, "two");
    jitvm_chunk_unref(chunk);
    jitvm_free(vm);
}

/* ---- keys ------------------------------------------------------------------------------------ */

Test(host, a_hash_is_asked_by_keys_of_every_kind)
{
    struct jitvm *vm = vm_of("return {'': 1, '1': 2, 'a 1': 3, '(hash)': 4, '0.5': 5,\n"
                             "'(handle)': 6, '(function)': 7}",
                             JITVM_JIT_OFF);
    struct jitvm_value hash, array, text, empty;
    cr_assert_eq(jitvm_run(vm, &hash, NULL), 0);
    cr_assert_eq(jitvm_hash(vm, &empty), 0);
    cr_assert_eq(jitvm_array(vm, &array), 0);
    cr_assert_eq(jitvm_str(vm, "a", 1, &text), 0);
    cr_assert_eq(jitvm_array_push(vm, &array, text), 0);
    cr_assert_eq(jitvm_array_push(vm, &array, jitvm_int(1)), 0);
    const struct {
        struct jitvm_value key;
        int64_t value; /* 0: nothing there */
    } keys[] = {{jitvm_undef(), 1},
                {jitvm_bool(false), 1},
                {jitvm_bool(true), 2},
                {jitvm_int(1), 2},
                {array, 3},
                {empty, 4},
                {jitvm_float(0.5), 5},
                {jitvm_handle(vm), 6},
                {{.kind = JITVM_FUNC}, 7},
                {jitvm_int(-1), 0},
                {jitvm_float(1), 0}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct jitvm_value v = jitvm_hash_get(hash, keys[i].key);
        cr_assert_eq(v.kind, keys[i].value ? JITVM_INT : JITVM_UNDEF, "key %zu", i);
        cr_assert_eq(jitvm_to_int(v), keys[i].value, "key %zu", i);
    }
    cr_assert_eq(jitvm_hash_get(array, jitvm_int(0)).kind, JITVM_UNDEF, "no hash");
    cr_assert_eq(jitvm_array_at(hash, 0).kind, JITVM_UNDEF, "no array");
    jitvm_release(vm, hash);
    jitvm_release(vm, array);
    jitvm_release(vm, empty);
    jitvm_free(vm);
}
