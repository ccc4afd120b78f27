/* SPDX-License-Identifier: Apache-2.0 */
/* A VM and its host: calls in and out, errors on the way, what is owned by whom, threads. */
#include <pthread.h>

#include "tests/jitvm/run_text.h"

/* ---- backtraces ------------------------------------------------------------------------------ */

static void frame_is(const struct run_rig *rig, unsigned n, const char *function, uint32_t line)
{
    const struct jitvm_frame *frame = &rig->vms[0].seen.err.frames[n];
    cr_assert_str_eq(frame->function, function);
    cr_assert_eq(frame->line, line, "line %u", frame->line);
}

Test(vm_host, an_error_names_the_way_to_it)
{
    struct run_rig rig;
    rig_begin(&rig,
              ".main 0\n.line 10\nInt 3\nCall outer, 1\nReturnValue\n"
              ".function outer, 1, 1\n.line 20\nGetSlot 0\n.line 21\nCall inner, 1\nReturnValue\n"
              ".function inner, 1, 1\n.line 30\nNop\n.line 31\nInt 0\nInt 1\nSetPath slot 0, 1\n"
              "Return\n",
              NULL);
    for (unsigned again = 0; again < 4; again++) {
        (void)rig_call(&rig, NULL, NULL, 0);
        rig_failed(&rig, JITVM_ERR_TYPE, "cannot set an element of int", 3);
        frame_is(&rig, 0, "inner", 31);
        frame_is(&rig, 1, "outer", 21);
        frame_is(&rig, 2, "main", 10);
        cr_assert_eq(rig.vms[0].seen.err.line, 31);
    }
    run_rig_free(&rig);
}

Test(vm_host, an_error_passes_through_map_and_sort)
{
    struct run_rig rig;
    rig_begin(
        &rig,
        ".main 0\nReturn\n.function by_map, 1, 1\nInt 1\nInt 9\nRange\nFunc f\n"
        "CallBuiltin map, 2\nReturnValue\n"
        ".function by_sort, 1, 1\nInt 1\nInt 9\nRange\nFunc g\nCallBuiltin sort, 2\nReturnValue\n"
        ".function f, 1, 2\nConst \"kept until the end\"\nGetSlot 0\nConcat\nSetSlot 1\n"
        "GetSlot 0\nInt 6\nLt\nJumpIfTrue L\nInt 1\nPushPath slot 0, 0\nL: GetSlot 1\nReturnValue\n"
        ".function g, 2, 2\nGetSlot 0\nConst \"x\"\nGetIndex\nPop\nGetSlot 0\nGetSlot "
        "1\nCmp\nReturnValue\n",
        NULL);
    struct jitvm_value n = jitvm_int(0);
    for (unsigned again = 0; again < 4; again++) {
        (void)rig_call(&rig, "by_map", &n, 1);
        rig_failed(&rig, JITVM_ERR_TYPE, "cannot push to int", 2);
        frame_is(&rig, 0, "f", 0);
        frame_is(&rig, 1, "by_map", 0);
        (void)rig_call(&rig, "by_sort", &n, 1);
        rig_failed(&rig, JITVM_ERR_TYPE, "cannot read an element of int", 2);
        cr_assert_eq(rig.vms[0].seen.heap, 0);
    }
    run_rig_free(&rig);
}

Test(vm_host, a_long_backtrace_is_counted_to_its_end)
{
    struct run_rig rig;
    rig_begin(
        &rig,
        ".main 0\nReturn\n.function f, 1, 1\nSlotLtIntJumpIfFalse 0, 1, L\nUndef\nCallDynamic 0\n"
        "ReturnValue\nL: GetSlot 0\nDec\nCall f, 1\nReturnValue\n",
        NULL);
    for (int64_t depth = 0; depth < 100; depth += 7) {
        struct jitvm_value n = jitvm_int(depth);
        (void)rig_call(&rig, "f", &n, 1);
        rig_failed(&rig, JITVM_ERR_TYPE, "cannot call undef", (unsigned)depth + 1);
    }
    run_rig_free(&rig);
}

Test(vm_host, what_was_printed_before_an_error_is_written)
{
    struct run_rig rig;
    rig_begin(&rig,
              ".main 0\nConst \"seen\"\nCallBuiltin print, 1\nPop\nUndef\nCallDynamic 0\nReturn\n",
              NULL);
    cr_assert_eq(rig_call(&rig, NULL, NULL, 0), JITVM_ERR_TYPE);
    for (unsigned t = 0; t < RUN_TIERS; t++) {
        cr_assert_eq(rig.vms[t].out_len, 4);
        cr_assert_arr_eq(rig.vms[t].out, "seen", 4);
    }
    run_rig_free(&rig);
}

/* ---- host functions -------------------------------------------------------------------------- */

/* apply(f, args...) */
static int host_apply(struct jitvm *vm, void *context, const struct jitvm_value *args,
                      unsigned count, struct jitvm_value *out)
{
    (void)context;
    return jitvm_apply(vm, args[0], args + 1, count - 1, out);
}

/* Calls and goes on whatever comes of it. */
static int host_try(struct jitvm *vm, void *context, const struct jitvm_value *args, unsigned count,
                    struct jitvm_value *out)
{
    (void)context;
    struct jitvm_value result;
    int rc = jitvm_apply(vm, args[0], args + 1, count - 1, &result);
    if (rc == 0)
        jitvm_release(vm, result);
    *out = jitvm_int(rc);
    return 0;
}

static int host_fail(struct jitvm *vm, void *context, const struct jitvm_value *args,
                     unsigned count, struct jitvm_value *out)
{
    (void)context;
    (void)args;
    /* What it made before it failed is the VM's to release. */
    return jitvm_str(vm, "lost", 4, out) < 0 || count ? -5 : -6;
}

static int with_host(struct jitvm *vm)
{
    const struct jitvm_native natives[] = {
        {"apply", host_apply, NULL, 1, JITVM_ANY_COUNT, 0, JITVM_KINDS},
        {"try", host_try, NULL, 1, JITVM_ANY_COUNT, 0, JITVM_INT},
        {"fail", host_fail, NULL, 0, 1, 0, JITVM_KINDS},
    };
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < sizeof natives / sizeof *natives; i++)
        rc = jitvm_register(vm, &natives[i], NULL);
    return rc;
}

static const char reentrant[] =
    ".main 0\nReturn\n"
    /* Each level through a host function, with values of its own on the stack meanwhile. */
    ".function down, 2, 3\nConst \"level \"\nGetSlot 0\nConcat\nSetSlot 2\n"
    "SlotLtIntJumpIfFalse 0, 1, L\nGetSlot 2\nReturnValue\n"
    "L: GetSlot 2\nFunc down\nGetSlot 0\nDec\nTakeSlot 1\nCallBuiltin apply, "
    "3\nConcat\nReturnValue\n"
    ".function wrong, 1, 1\nFunc down\nGetSlot 0\nCallBuiltin apply, 2\nReturnValue\n"
    ".function bad, 1, 1\nGetSlot 0\nCallBuiltin fail, 1\nReturnValue\n"
    ".function trying, 1, 1\nFunc bad\nGetSlot 0\nCallBuiltin try, 2\nFunc down\nGetSlot 0\n"
    "CallBuiltin try, 2\nFunc down\nInt 1\nGetSlot 0\nCallBuiltin try, 3\nMakeArray "
    "3\nReturnValue\n"
    ".function through, 1, 1\nFunc trying\nGetSlot 0\nCallBuiltin apply, 2\nReturnValue\n";

Test(vm_host, a_host_function_calls_back_as_deep_as_it_likes)
{
    struct run_rig rig;
    rig_begin(&rig, reentrant, with_host);
    const struct jitvm_value args[2] = {jitvm_int(3), jitvm_int(0)};
    for (unsigned again = 0; again < 4; again++) {
        cr_assert_eq(rig_call(&rig, "down", args, 2), 0);
        rig_gave(&rig, "\"level 3level 2level 1level 0\"");
    }
    const struct jitvm_value deep[2] = {jitvm_int(400), jitvm_undef()};
    cr_assert_eq(rig_call(&rig, "down", deep, 2), 0);
    run_rig_free(&rig);
}

Test(vm_host, errors_of_host_functions_and_of_what_they_call)
{
    struct run_rig rig;
    rig_begin(&rig, reentrant, with_host);
    struct jitvm_value n = jitvm_int(2);
    for (unsigned again = 0; again < 4; again++) {
        (void)rig_call(&rig, "wrong", &n, 1);
        rig_failed(&rig, JITVM_ERR_ARITY, "down does not take 1 arguments", 1);
        (void)rig_call(&rig, "bad", &n, 1);
        rig_failed(&rig, JITVM_ERR_HOST, "fail failed (-5)", 1);
        cr_assert_eq(rig.vms[0].seen.heap, 0);
        (void)rig_call(&rig, "through", &n, 1);
        rig_gave(&rig, "[-10, -2, 0]");
    }
    run_rig_free(&rig);
}

Test(vm_host, a_call_of_what_is_not_there_is_an_error_and_no_more)
{
    struct run_rig rig;
    rig_begin(&rig, reentrant, with_host);
    struct jitvm_value n = jitvm_int(2);
    cr_assert_eq(rig_call(&rig, "nothing", &n, 1), JITVM_ERR_UNDEFINED);
    cr_assert_eq(rig_call(&rig, "down", &n, 1), JITVM_ERR_ARITY);
    cr_assert_eq(rig.vms[0].seen.err.depth, 0);
    cr_assert_eq(rig_call(&rig, "trying", &n, 1), 0);
    run_rig_free(&rig);
}

/* ---- ownership ------------------------------------------------------------------------------- */

static struct jitvm_value ints_up_to(struct jitvm *vm, int64_t n)
{
    struct jitvm_value array;
    cr_assert_eq(jitvm_array(vm, &array), 0);
    for (int64_t i = 0; i < n; i++)
        cr_assert_eq(jitvm_array_push(vm, &array, jitvm_int(i)), 0);
    return array;
}

static const char owners[] =
    ".main 0\nReturn\n"
    ".function keep, 1, 1\nInt 7\nPushPath slot 0, 0\nGetSlot 0\nReturnValue\n"
    ".function pass, 1, 2\nTakeSlot 0\nCall keep, 1\nSetSlot 1\nGetSlot 1\nReturnValue\n"
    ".function twice, 1, 3\nGetSlot 0\nGetSlot 0\nCall second, 2\nPop\nGetSlot 0\nReturnValue\n"
    ".function second, 2, 2\nInt 0\nInt 9\nSetPath slot 1, 1\nReturn\n"
    ".function drop, 1, 1\nReturn\n"
    ".function fail, 1, 2\nGetSlot 0\nSetSlot 1\nGetSlot 0\nCallDynamic 0\nReturnValue\n"
    ".function wrong, 1, 1\nFunc keep\nGetSlot 0\nGetSlot 0\nCallDynamic 2\nReturnValue\n";

/* Whatever is done with it: the caller's array stays as it was, with one reference. */
static void call_with_array(struct run_rig *rig, const char *function, const char *want)
{
    struct jitvm_value args[RUN_TIERS];
    for (unsigned t = 0; t < RUN_TIERS; t++)
        args[t] = ints_up_to(rig->vms[t].vm, 3);
    for (unsigned again = 0; again < 4; again++) {
        cr_assert(run_rig_call(rig, function, args, 1), "%s: %s", function, rig->said);
        if (want)
            rig_gave(rig, want);
        else
            cr_assert_lt(rig->vms[0].seen.rc, 0);
        for (unsigned t = 0; t < RUN_TIERS; t++) {
            jitvm_release(rig->vms[t].vm, rig->vms[t].seen.value);
            rig->vms[t].seen.value = jitvm_undef();
            cr_assert_eq(args[t].as.array->object.refs, 1, "%s: %s", function, run_tier_name(t));
            cr_assert_eq(jitvm_length(args[t]), 3);
        }
    }
    for (unsigned t = 0; t < RUN_TIERS; t++) {
        jitvm_release(rig->vms[t].vm, args[t]);
        cr_assert_eq(rig->vms[t].vm->heap.bytes, 0, "%s: %s", function, run_tier_name(t));
    }
}

Test(vm_host, arguments_are_taken_and_released_once)
{
    struct run_rig rig;
    rig_begin(&rig, owners, NULL);
    call_with_array(&rig, "keep", "[0, 1, 2, 7]");
    call_with_array(&rig, "pass", "[0, 1, 2, 7]");
    call_with_array(&rig, "twice", "[0, 1, 2]");
    call_with_array(&rig, "drop", "undef");
    call_with_array(&rig, "fail", NULL);
    call_with_array(&rig, "wrong", NULL);
    run_rig_free(&rig);
}

Test(vm_host, a_taken_array_is_changed_in_place_not_copied)
{
    struct run_rig rig;
    rig_begin(&rig,
              ".main 3\nInt 1\nInt 1000\nRange\nSetSlot 0\nL: TakeSlot 0\nCall keep, 1\nSetSlot 0\n"
              "SlotIncLtIntJumpBack 1, 20, L\nLenPath slot 0, 0\nReturnValue\n"
              ".function keep, 1, 1\nInt 7\nPushPath slot 0, 0\nTakeSlot 0\nReturnValue\n",
              NULL);
    for (unsigned again = 0; again < 3; again++) {
        cr_assert_eq(rig_call(&rig, NULL, NULL, 0), 0);
        rig_gave(&rig, "1020");
    }
    for (unsigned t = 0; t < RUN_TIERS; t++) {
        struct jitvm_stats stats;
        jitvm_stats(rig.vms[t].vm, &stats);
        cr_assert_lt(stats.heap_peak, 3 * 8 * 1020, "%s", run_tier_name(t));
    }
    run_rig_free(&rig);
}

/* ---- threads --------------------------------------------------------------------------------- */

static const char shared_program[] =
    ".main 3\nL: GetSlot 0\nCall fib, 1\nPushPath slot 1, 0\nConst \"text \"\nGetSlot 0\nConcat\n"
    "PushPath slot 1, 0\nSlotIncLtIntJumpBack 0, 15, L\nGetSlot 1\nReturnValue\n"
    ".function fib, 1, 1\nSlotLtIntJumpIfFalse 0, 2, L\nGetSlot 0\nReturnValue\n"
    "L: GetSlot 0\nDec\nCall fib, 1\nGetSlot 0\nInt 2\nSub\nCall fib, 1\nAdd\nReturnValue\n";

static void *run_alone(void *chunk)
{
    struct run_rig rig;
    if (!run_rig_init(&rig, jitvm_chunk_ref(chunk), &run_no_limits, NULL))
        return "no VM";
    bool same = true;
    for (unsigned again = 0; same && again < 5; again++)
        same = run_rig_call(&rig, NULL, NULL, 0) && rig.vms[0].seen.rc == 0 &&
               jitvm_length(rig.vms[0].seen.value) == 30;
    run_rig_free(&rig);
    return same ? NULL : "differs";
}

Test(vm_host, threads_share_a_chunk)
{
    struct jitvm_chunk *chunk = chunk_in(shared_program);
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run_alone, chunk), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *said = NULL;
        cr_assert_eq(pthread_join(threads[i], &said), 0);
        cr_assert_null(said, "%s", (const char *)said);
    }
    cr_assert_eq(atomic_load(&chunk->refs), 1);
    jitvm_chunk_unref(chunk);
}

/* ---- loading --------------------------------------------------------------------------------- */

Test(vm_host, a_vm_has_one_chunk_and_none_cannot_run)
{
    struct jitvm_config config;
    struct jitvm *vm = NULL;
    struct jitvm_error err = {0};
    cr_assert_eq(jitvm_config_default(&config, NULL), 0);
    cr_assert_eq(jitvm_new(&config, &vm, NULL), 0);
    cr_assert_eq(jitvm_run(vm, NULL, &err), JITVM_ERR_INVALID);
    cr_assert_eq(jitvm_call(vm, "f", NULL, 0, NULL, NULL), JITVM_ERR_UNDEFINED);
    struct jitvm_chunk *chunk = chunk_in(".main 0\nReturn\n");
    cr_assert_eq(jitvm_load(vm, chunk, NULL), 0);
    cr_assert_eq(jitvm_load(vm, chunk, &err), JITVM_ERR_INVALID);
    cr_assert_eq(jitvm_run(vm, NULL, NULL), 0);
    jitvm_chunk_unref(chunk);
    jitvm_free(vm);
}

static int load(const char *text, struct jitvm_error *err)
{
    struct jitvm_config config;
    struct jitvm *vm = NULL;
    cr_assert_eq(jitvm_config_default(&config, NULL), 0);
    cr_assert_eq(jitvm_new(&config, &vm, NULL), 0);
    struct jitvm_chunk *chunk = chunk_in(text);
    int rc = jitvm_load(vm, chunk, err);
    jitvm_chunk_unref(chunk);
    jitvm_free(vm);
    return rc;
}

Test(vm_host, what_a_chunk_needs_must_be_there_when_it_is_loaded)
{
    struct jitvm_error err = {0};
    cr_assert_eq(load(".main 0\n.line 4\nCallBuiltin nothing, 0\nReturn\n", &err),
                 JITVM_ERR_UNDEFINED);
    cr_assert_str_eq(err.message, "no such function: nothing");
    cr_assert_eq(err.line, 4);
    cr_assert_eq(load(".main 0\nCallBuiltin len, 0\nReturn\n", &err), JITVM_ERR_ARITY);
    cr_assert_eq(load(".extension e, 0, 1\n.main 0\nReturn\n", &err), JITVM_ERR_UNDEFINED);
    cr_assert_str_eq(err.message, "no such extension op: e");
}
