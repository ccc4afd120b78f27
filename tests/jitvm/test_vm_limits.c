/* SPDX-License-Identifier: Apache-2.0 */
/* Fuel, heap and depth: exact, the same in every tier, and not the end of the VM. */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "tests/jitvm/run_text.h"

/* ---- fuel ------------------------------------------------------------------------------------ */

static const char *const spenders[] = {
    /* loops in loops, by op and by jump */
    ".main 3\nL: PreIncSlotVoid 0\nInt 0\nSetSlot 1\nM: PreIncSlotVoid 2\nGetSlot 1\nInc\nSetSlot "
    "1\n"
    "GetSlot 1\nInt 7\nLt\nJumpIfTrue M\nGetSlot 0\nInt 9\nGe\nJumpIfFalse L\nGetSlot "
    "2\nReturnValue\n",
    ".main 2\nL: GetSlot 1\nGetSlot 0\nAdd\nSetSlot 1\nSlotIncLtIntJumpBack 0, 50, L\nGetSlot 1\n"
    "ReturnValue\n",
    ".main 2\nFloat 0.5\nSetSlot 0\nL: SlotLtIntJumpIfFalse 0, 30, M\nPreIncSlotVoid 0\nJump L\n"
    "M: GetSlot 0\nReturnValue\n",
    /* calls */
    ".main 0\nInt 7\nCall fib, 1\nReturnValue\n.function fib, 1, 1\nSlotLtIntJumpIfFalse 0, 2, L\n"
    "GetSlot 0\nReturnValue\nL: GetSlot 0\nDec\nCall fib, 1\nGetSlot 0\nInt 2\nSub\nCall fib, "
    "1\nAdd\n"
    "ReturnValue\n",
    ".main 1\nL: Func half\nGetSlot 0\nCallDynamic 1\nPop\nGetSlot 0\nCall half, 1\nPop\n"
    "SlotIncLtIntJumpBack 0, 9, L\nReturn\n.function half, 1, 1\nGetSlot 0\nInt "
    "2\nDiv\nReturnValue\n",
    ".main 0\nInt 1\nInt 20\nRange\nFunc twice\nCallBuiltin map, 2\nReturnValue\n"
    ".function twice, 1, 1\nL: GetSlot 0\nDup\nAdd\nSetSlot 0\nSlotLtIntJumpIfFalse 0, 5, M\nJump "
    "L\n"
    "M: GetSlot 0\nReturnValue\n",
    /* whole loops, of ints and of others */
    ".main 2\nAccumSumLoop 0, 1, 40\nGetSlot 0\nReturnValue\n",
    ".main 2\nFloat 0.5\nSetSlot 1\nAccumSumLoop 0, 1, 40\nGetSlot 0\nReturnValue\n",
    ".main 2\nConcatConstLoop 0, 1, 40, \"x\"\nGetSlot 0\nReturnValue\n",
    ".main 2\nPushIntRangeLoop 0, 1, 40\nGetSlot 0\nReturnValue\n",
};

static void with_fuel(struct run_rig *rig, uint64_t fuel, uint64_t need)
{
    struct jitvm_limits limits = run_no_limits;
    limits.fuel = fuel;
    run_rig_set_limits(rig, &limits);
    int rc = rig_call(rig, NULL, NULL, 0);
    cr_assert_eq(rc, fuel < need ? JITVM_ERR_FUEL : 0, "with %llu of %llu",
                 (unsigned long long)fuel, (unsigned long long)need);
    cr_assert_eq(rig->vms[0].seen.fuel, fuel < need ? 0 : fuel - need);
    if (rc < 0)
        cr_assert_eq(rig->vms[0].seen.heap, 0);
}

static uint64_t fuel_needed(struct run_rig *rig)
{
    struct jitvm_limits limits = run_no_limits;
    limits.fuel = 1 << 20;
    run_rig_set_limits(rig, &limits);
    cr_assert_eq(rig_call(rig, NULL, NULL, 0), 0);
    return limits.fuel - rig->vms[0].seen.fuel;
}

Test(vm_limits, fuel_is_exact_whatever_there_is_of_it)
{
    for (size_t i = 0; i < sizeof spenders / sizeof *spenders; i++) {
        struct run_rig rig;
        rig_begin(&rig, spenders[i], NULL);
        uint64_t need = fuel_needed(&rig);
        cr_assert_gt(need, 10);
        for (uint64_t fuel = 0; fuel <= need + 2; fuel++)
            with_fuel(&rig, fuel, need);
        run_rig_free(&rig);
    }
}

Test(vm_limits, fuel_is_exact_when_code_is_new)
{
    for (size_t i = 0; i < sizeof spenders / sizeof *spenders; i++)
        for (uint64_t fuel = 0; fuel < 30; fuel++) {
            struct run_rig rig;
            rig_begin(&rig, spenders[i], NULL);
            struct jitvm_limits limits = run_no_limits;
            limits.fuel = fuel;
            run_rig_set_limits(&rig, &limits);
            for (unsigned again = 0; again < 3; again++)
                (void)rig_call(&rig, NULL, NULL, 0);
            run_rig_free(&rig);
        }
}

Test(vm_limits, fuel_is_exact_across_slices)
{
    static const char *const long_loops[] = {
        ".main 1\nL: SlotIncLtIntJumpBack 0, 9000, L\nGetSlot 0\nReturnValue\n",
        ".main 2\nFloat 0.5\nSetSlot 1\nAccumSumLoop 0, 1, 9000\nGetSlot 0\nReturnValue\n",
        ".main 2\nAccumSumLoop 0, 1, 9000\nGetSlot 0\nReturnValue\n",
        ".main 1\nL: GetSlot 0\nCall same, 1\nSetSlot 0\nSlotIncLtIntJumpBack 0, 4500, L\nGetSlot "
        "0\n"
        "ReturnValue\n.function same, 1, 1\nGetSlot 0\nReturnValue\n",
    };
    for (size_t i = 0; i < sizeof long_loops / sizeof *long_loops; i++) {
        struct run_rig rig;
        rig_begin(&rig, long_loops[i], NULL);
        uint64_t need = fuel_needed(&rig);
        for (uint64_t edge = VM_SLICE; edge < need + VM_SLICE; edge += VM_SLICE)
            for (uint64_t fuel = edge - 3; fuel < edge + 3; fuel++)
                with_fuel(&rig, fuel, need);
        for (uint64_t fuel = need - 3; fuel < need + 3; fuel++)
            with_fuel(&rig, fuel, need);
        run_rig_free(&rig);
    }
}

Test(vm_limits, what_is_left_of_fuel_serves_the_next_run)
{
    struct run_rig rig;
    rig_begin(&rig, ".main 1\nL: SlotIncLtIntJumpBack 0, 4, L\nReturn\n", NULL);
    struct jitvm_limits limits = run_no_limits;
    limits.fuel = 11;
    run_rig_set_limits(&rig, &limits);
    const uint64_t left[] = {7, 3};
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(rig_call(&rig, NULL, NULL, 0), 0);
        cr_assert_eq(rig.vms[0].seen.fuel, left[i]);
    }
    cr_assert_eq(rig_call(&rig, NULL, NULL, 0), JITVM_ERR_FUEL);
    run_rig_set_limits(&rig, &run_no_limits);
    cr_assert_eq(rig_call(&rig, NULL, NULL, 0), 0);
    cr_assert_eq(rig.vms[0].seen.fuel, JITVM_FUEL_UNLIMITED);
    run_rig_free(&rig);
}

/* ---- heap ------------------------------------------------------------------------------------ */

static const char *const allocators[] = {
    ".main 4\nL: GetSlot 0\nConst \"longer than nothing\"\nConcat\nSetSlot 0\nGetSlot 0\n"
    "PushPath slot 1, 0\nGetSlot 2\nGetSlot 0\nSetPath slot 3, 1\nSlotIncLtIntJumpBack 2, 9, L\n"
    "GetSlot 1\nGetSlot 3\nMakeArray 2\nReturnValue\n",
    ".main 3\nInt 0\nInt 9\nRange\nSetSlot 0\nL: GetSlot 0\nSetSlot 1\nGetSlot 2\nFloat 0.5\n"
    "SetPath slot 1, 1\nGetSlot 2\nInt 11\nAdd\nConst \"k\"\nGetSlot 1\nSetPath slot 1, 2\n"
    "SlotIncLtIntJumpBack 2, 4, L\nGetSlot 1\nReturnValue\n",
    ".main 1\nInt 1\nInt 6\nRange\nFunc f\nCallBuiltin map, 2\nFunc order\nCallBuiltin sort, 2\n"
    "ReturnValue\n.function f, 1, 1\nConst \"number \"\nGetSlot 0\nConcat\nGetSlot 0\nMakeArray 2\n"
    "ReturnValue\n.function order, 2, 2\nGetSlot 1\nToStr\nGetSlot 0\nToStr\nStrCmp\nReturnValue\n",
    ".main 2\nConcatConstLoop 0, 1, 30, \"some text\"\nGetSlot 0\nUndef\nSetSlot 0\nInt 0\n"
    "SetSlot 1\nPushIntRangeLoop 0, 1, 30\nGetSlot 0\nMakeArray 2\nReturnValue\n",
    ".main 3\nInt 5\nCall nest, 1\nSetSlot 0\nKeysPath slot 0, 0\nValuesPath slot 0, 0\nMakeArray "
    "2\n"
    "ToStr\nReturnValue\n.function nest, 1, 2\nSlotLtIntJumpIfFalse 0, 1, L\nMakeHash "
    "0\nReturnValue\n"
    "L: GetSlot 0\nDec\nCall nest, 1\nSetSlot 1\nConst \"k\"\nGetSlot 0\nConcat\nGetSlot 1\n"
    "Const \"more\"\nGetSlot 0\nMakeHash 2\nReturnValue\n",
};

/* In each tier for itself: how much is in use at a moment is its own business. */
static void with_heap(struct run_rig *rig, unsigned tier, uint64_t bytes)
{
    struct jitvm *vm = rig->vms[tier].vm;
    struct jitvm_limits limits = run_no_limits;
    limits.heap_bytes = bytes;
    jitvm_set_limits(vm, &limits);
    struct jitvm_error err = {0};
    struct jitvm_value result = jitvm_undef();
    int rc = jitvm_run(vm, &result, &err);
    cr_assert(rc == 0 || rc == JITVM_ERR_HEAP, "%s", err.message);
    jitvm_release(vm, result);
    cr_assert_eq(vm->heap.bytes, 0, "%s, with %llu bytes: %llu are lost", run_tier_name(tier),
                 (unsigned long long)bytes, (unsigned long long)vm->heap.bytes);
    cr_assert_leq(vm->heap.peak, run_no_limits.heap_bytes);
}

Test(vm_limits, a_heap_of_any_size_is_given_back)
{
    for (size_t i = 0; i < sizeof allocators / sizeof *allocators; i++) {
        struct run_rig rig;
        rig_begin(&rig, allocators[i], NULL);
        for (unsigned again = 0; again < 3; again++)
            (void)rig_call(&rig, NULL, NULL, 0);
        for (unsigned tier = 0; tier < RUN_TIERS; tier++) {
            struct jitvm_stats stats;
            jitvm_stats(rig.vms[tier].vm, &stats);
            jitvm_release(rig.vms[tier].vm, rig.vms[tier].seen.value);
            rig.vms[tier].seen.value = jitvm_undef();
            for (uint64_t bytes = 0; bytes <= stats.heap_peak + 16; bytes += 8)
                with_heap(&rig, tier, bytes);
        }
        run_rig_set_limits(&rig, &run_no_limits);
        (void)rig_call(&rig, NULL, NULL, 0);
        run_rig_free(&rig);
    }
}

/* ---- depth ----------------------------------------------------------------------------------- */

static const char recursion[] =
    ".main 0\nReturn\n.function down, 1, 2\nSlotLtIntJumpIfFalse 0, 1, L\nInt 0\nReturnValue\n"
    "L: GetSlot 0\nDec\nCall down, 1\nInc\nReturnValue\n"
    ".function by_map, 1, 2\nSlotLtIntJumpIfFalse 0, 1, L\nInt 0\nReturnValue\n"
    "L: GetSlot 0\nDec\nMakeArray 1\nFunc by_map\nCallBuiltin map, 2\nInt 0\nGetIndex\nInc\n"
    "ReturnValue\n";

static void nested(const char *function)
{
    struct run_rig rig;
    rig_begin(&rig, recursion, NULL);
    struct jitvm_value n = jitvm_int(5);
    (void)rig_call(&rig, function, &n, 1);
    for (uint32_t depth = 1; depth < 30; depth++) {
        struct jitvm_limits limits = run_no_limits;
        limits.depth = depth;
        run_rig_set_limits(&rig, &limits);
        n = jitvm_int(depth - 1);
        cr_assert_eq(rig_call(&rig, function, &n, 1), 0);
        n = jitvm_int(depth);
        cr_assert_eq(rig_call(&rig, function, &n, 1), JITVM_ERR_DEPTH);
        cr_assert_eq(rig.vms[0].seen.err.depth, depth);
        cr_assert_eq(rig.vms[0].seen.heap, 0);
    }
    run_rig_free(&rig);
}

Test(vm_limits, depth_is_exact)
{
    nested("down");
    nested("by_map");
}

Test(vm_limits, no_depth_at_all_allows_no_call)
{
    struct run_rig rig;
    rig_begin(&rig, ".main 0\nReturn\n", NULL);
    struct jitvm_limits limits = run_no_limits;
    limits.depth = 0;
    run_rig_set_limits(&rig, &limits);
    cr_assert_eq(rig_call(&rig, NULL, NULL, 0), JITVM_ERR_DEPTH);
    run_rig_set_limits(&rig, &run_no_limits);
    cr_assert_eq(rig_call(&rig, NULL, NULL, 0), 0);
    run_rig_free(&rig);
}

Test(vm_limits, the_usual_depth_is_there_also_through_natives)
{
    struct run_rig rig;
    rig_begin(&rig, recursion, NULL);
    struct jitvm_limits limits = run_no_limits;
    limits.depth = JITVM_DEPTH_DEFAULT;
    run_rig_set_limits(&rig, &limits);
    static const char *const functions[] = {"down", "by_map"};
    for (unsigned f = 0; f < 2; f++)
        for (unsigned again = 0; again < 3; again++) {
            struct jitvm_value n = jitvm_int(JITVM_DEPTH_DEFAULT - 1);
            cr_assert_eq(rig_call(&rig, functions[f], &n, 1), 0);
            rig_gave(&rig, "3999");
            n = jitvm_int(JITVM_DEPTH_DEFAULT);
            cr_assert_eq(rig_call(&rig, functions[f], &n, 1), JITVM_ERR_DEPTH);
            cr_assert_eq(rig.vms[0].seen.err.depth, JITVM_DEPTH_DEFAULT);
        }
    run_rig_free(&rig);
}

/* ---- interrupts ------------------------------------------------------------------------------ */

static const char *const endless[] = {
    ".main 1\nL: Jump L\n",
    ".main 1\nL: PreIncSlotVoid 0\nGetSlot 0\nInt 0\nGe\nJumpIfTrue L\nJump L\n",
    ".main 0\nL: Call f, 0\nPop\nJump L\n.function f, 0, 0\nReturn\n",
    /* -1e300 + 1 is -1e300 */
    ".main 2\nFloat -1e300\nSetSlot 1\nAccumSumLoop 0, 1, 5\nReturn\n",
    ".main 2\nFloat -1e300\nSetSlot 1\nL: SlotIncLtIntJumpBack 1, 5, L\nReturn\n",
    (".main 0\nL: Int 1\nInt 9\nRange\nFunc f\nCallBuiltin map, 2\nPop\nJump L\n"
     ".function f, 1, 1\nGetSlot 0\nReturnValue\n"),
};

static void *interrupt_soon(void *vm)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    nanosleep(&pause, NULL);
    jitvm_interrupt(vm);
    return NULL;
}

static void ends_interrupted(struct jitvm *vm)
{
    struct jitvm_error err = {0};
    cr_assert_eq(jitvm_run(vm, NULL, &err), JITVM_ERR_INTERRUPTED, "%s", err.message);
    cr_assert_eq(vm->heap.bytes, 0);
}

Test(vm_limits, another_thread_ends_what_has_no_end, .timeout = 60)
{
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        struct run_rig rig;
        rig_begin(&rig, endless[i], NULL);
        for (unsigned tier = 0; tier < RUN_TIERS * 2; tier++) {
            pthread_t thread;
            struct jitvm *vm = rig.vms[tier / 2].vm;
            cr_assert_eq(pthread_create(&thread, NULL, interrupt_soon, vm), 0);
            ends_interrupted(vm);
            pthread_join(thread, NULL);
        }
        run_rig_free(&rig);
    }
}

static struct jitvm *interrupted_by_signal;

static void on_alarm(int number)
{
    (void)number;
    jitvm_interrupt(interrupted_by_signal);
}

Test(vm_limits, a_signal_ends_what_has_no_end, .timeout = 60)
{
    struct sigaction action = {.sa_handler = on_alarm};
    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        struct run_rig rig;
        rig_begin(&rig, endless[i], NULL);
        for (unsigned tier = 0; tier < RUN_TIERS; tier++) {
            const struct itimerval soon = {.it_value.tv_usec = 2000};
            interrupted_by_signal = rig.vms[tier].vm;
            cr_assert_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
            ends_interrupted(rig.vms[tier].vm);
        }
        run_rig_free(&rig);
    }
}

Test(vm_limits, an_interrupt_between_runs_ends_the_next_one_soon)
{
    struct run_rig rig;
    rig_begin(&rig, ".main 1\nL: SlotIncLtIntJumpBack 0, 10000, L\nGetSlot 0\nReturnValue\n", NULL);
    for (unsigned again = 0; again < 3; again++) {
        for (unsigned tier = 0; tier < RUN_TIERS; tier++)
            jitvm_interrupt(rig.vms[tier].vm);
        cr_assert_eq(rig_call(&rig, NULL, NULL, 0), JITVM_ERR_INTERRUPTED);
        cr_assert_eq(rig_call(&rig, NULL, NULL, 0), 0);
    }
    run_rig_free(&rig);
}
