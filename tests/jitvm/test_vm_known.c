/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes wrong in VMs with compiled code: cases that others met, and those that random programs
 * found here. Each in every tier.
 */
#include "guest/jitvm/chunk/builder.h"
#include "tests/jitvm/run_text.h"

/* Calls f with each of the values, several times over, as code that was compiled for one of them
 * meets the others. */
static void gives(const char *text, const struct jitvm_value *values, const char *const *want,
                  unsigned count)
{
    for (unsigned first = 0; first < count; first++) {
        struct run_rig rig;
        rig_begin(&rig, text, NULL);
        for (unsigned n = 0; n < 4 * count; n++) {
            unsigned i = n < 4 ? first : n % count;
            (void)rig_call(&rig, "f", &values[i], 1);
            rig_gave(&rig, want[i]);
        }
        cr_assert_gt(run_rig_entries(&rig, 2), 0);
        run_rig_free(&rig);
    }
}

#define F(slots, body) ".main 0\nReturn\n.function f, 1, " #slots "\n" body

static const struct jitvm_value kinds[] = {
    {.kind = JITVM_INT, .as.i = 3},      {.kind = JITVM_FLOAT, .as.f = 3},
    {.kind = JITVM_BOOL, .as.i = 1},     {.kind = JITVM_UNDEF},
    {.kind = JITVM_FLOAT, .as.f = -0.0}, {.kind = JITVM_INT, .as.i = INT64_MAX},
};
#define KINDS (sizeof kinds / sizeof *kinds)

/* ---- met by others --------------------------------------------------------------------------- */

Test(vm_known, what_is_no_number_survives_compiled_code)
{
    static const char *const want[KINDS] = {
        "[\"text\", [1], undef, true, 3, 10]",
        "[\"text\", [1], undef, true, 3.0, 10]",
        "[\"text\", [1], undef, true, true, 10]",
        "[\"text\", [1], undef, true, undef, 10]",
        "[\"text\", [1], undef, true, -0.0, 10]",
        "[\"text\", [1], undef, true, 9223372036854775807, 10]"};
    gives(F(6, "Const \"text\"\nSetSlot 1\nInt 1\nMakeArray 1\nSetSlot 2\nTrue\nSetSlot 4\n"
               "L: SlotIncLtIntJumpBack 5, 10, L\nGetSlot 1\nGetSlot 2\nGetSlot 3\nGetSlot 4\n"
               "GetSlot 0\nGetSlot 5\nMakeArray 6\nReturnValue\n"),
          kinds, want, KINDS);
}

Test(vm_known, what_is_no_int_does_not_pass_for_one)
{
    static const char *const want[KINDS] = {"[4, \"int\"]",     "[4.0, \"float\"]",
                                            "[2, \"bool\"]",    "[1, \"undef\"]",
                                            "[1.0, \"float\"]", "[-9223372036854775808, \"int\"]"};
    gives(F(2, "GetSlot 0\nInt 1\nAdd\nGetSlot 0\nCallBuiltin type, 1\nMakeArray 2\nReturnValue\n"),
          kinds, want, KINDS);
}

Test(vm_known, division_and_its_kin_keep_to_one_rule_when_compiled)
{
    static const char *const want[KINDS] = {
        "[undef, undef, 0, 0.0, 1.0, 0.125]", "[undef, undef, nan, 0.0, 1.0, 0.125]",
        "[undef, undef, 0, 0.0, 1.0, 0.5]",   "[undef, undef, 0, 0.0, 1.0, 1.0]",
        "[undef, undef, nan, 0.0, 1.0, 1.0]", "[undef, undef, 0, 0.0, 1.0, 0.0]",
    };
    gives(F(2, "GetSlot 0\nInt 0\nDiv\nGetSlot 0\nInt 0\nIntDiv\nGetSlot 0\nInt 0\nMod\n"
               "Int 0\nInt 3\nPow\nGetSlot 0\nInt 0\nPow\nInt 2\nGetSlot 0\nNeg\nPow\n"
               "MakeArray 6\nReturnValue\n"),
          kinds, want, KINDS);
}

Test(vm_known, the_smallest_int_by_minus_one_is_no_trap)
{
    static const struct jitvm_value values[] = {{.kind = JITVM_INT, .as.i = INT64_MIN},
                                                {.kind = JITVM_INT, .as.i = 7}};
    static const char *const want[] = {"[9.223372036854776e+18, -9223372036854775808, 0]",
                                       "[-7.0, -7, 0]"};
    gives(F(1, "GetSlot 0\nInt -1\nDiv\nGetSlot 0\nInt -1\nIntDiv\nGetSlot 0\nInt -1\nMod\n"
               "MakeArray 3\nReturnValue\n"),
          values, want, 2);
    gives(F(2, "Int -1\nSetSlot 1\nGetSlot 0\nGetSlot 1\nDiv\nGetSlot 0\nGetSlot 1\nIntDiv\n"
               "GetSlot 0\nGetSlot 1\nMod\nMakeArray 3\nReturnValue\n"),
          values, want, 2);
}

Test(vm_known, a_float_constant_without_a_fraction_stays_a_float)
{
    static const char *const want[KINDS] = {
        "[5.0, -0.0, 6.0]", "[5.0, -0.0, 6.0]",
        "[3.0, -0.0, 4.0]", "[2.0, -0.0, 3.0]",
        "[2.0, -0.0, 3.0]", "[9.223372036854776e+18, -0.0, 9.223372036854776e+18]"};
    gives(F(3, "Float 2\nGetSlot 0\nAdd\nDup\nSetSlot 1\nFloat -0.0\nGetSlot 1\nFloat 1\nAdd\n"
               "MakeArray 3\nReturnValue\n"),
          kinds, want, KINDS);
}

Test(vm_known, a_float_result_is_not_cut_short_once_code_is_warm)
{
    struct run_rig rig;
    rig_begin(&rig,
              ".main 0\nCall half, 0\nReturnValue\n.function half, 0, 0\nFloat 2.5\nReturnValue\n",
              NULL);
    for (unsigned again = 0; again < 10; again++) {
        (void)rig_call(&rig, NULL, NULL, 0);
        rig_gave(&rig, "2.5");
    }
    run_rig_free(&rig);
}

Test(vm_known, counting_wraps_in_fused_ops_too)
{
    static const struct jitvm_value most[] = {{.kind = JITVM_INT, .as.i = INT64_MAX}};
    static const char *const want[] = {
        "[-9223372036854775808, 9223372036854775807, -9223372036854775808, "
        "-9223372036854775808, 9223372036854775807]"};
    gives(F(1, "PreIncSlot 0\nPreDecSlot 0\nPreIncSlotVoid 0\nGetSlot 0\nPostDecSlot 0\nGetSlot 0\n"
               "MakeArray 5\nReturnValue\n"),
          most, want, 1);
}

Test(vm_known, the_identity_covers_entry_points_and_names)
{
    static const char *const different[] = {
        ".main 0\nReturn\n.function a, 0, 0\nReturn\n.function b, 0, 0\nReturn\n",
        ".main 0\nReturn\n.function a, 0, 0\nReturn\n.function c, 0, 0\nReturn\n",
        ".main 0\nReturn\nReturn\n.function a, 0, 0\nReturn\n",
        ".main 0\nReturn\n.function a, 0, 0\nReturn\nReturn\n",
        ".flags trap-overflow\n.main 0\nReturn\n.function a, 0, 0\nReturn\nReturn\n",
        ".main 0\nReturn\n.function a, 0, 1\nReturn\nReturn\n",
        ".main 0\nReturn\n.function a, 0, 0\n.line 3\nReturn\nReturn\n",
        ".constants 1\n.main 0\nReturn\n.function a, 0, 0\nReturn\nReturn\n",
    };
    uint8_t identity[sizeof different / sizeof *different][16];
    for (size_t i = 0; i < sizeof different / sizeof *different; i++) {
        struct jitvm_chunk *chunk = chunk_in(different[i]);
        jitvm_chunk_identity(chunk, identity[i]);
        jitvm_chunk_unref(chunk);
        for (size_t k = 0; k < i; k++)
            cr_assert_neq(memcmp(identity[i], identity[k], 16), 0, "%zu and %zu", i, k);
    }
}

static struct jitvm_builder *builder(void)
{
    struct jitvm_builder *b = NULL;
    cr_assert_eq(jitvm_builder_new("many", &b, NULL), 0);
    return b;
}

Test(vm_known, the_65537th_constant_and_name_are_themselves)
{
    struct jitvm_builder *b = builder();
    char name[16];
    for (int64_t i = 0; i < 65540; i++) {
        cr_assert_eq(builder_const_int(b, i * 3), (uint32_t)i);
        cr_assert_eq(builder_name(b, name, (size_t)snprintf(name, sizeof name, "n%d", (int)i)),
                     (uint32_t)i);
    }
    for (uint32_t i = 65530; i < 65540; i++) {
        builder_emit(b, (struct jitvm_op){.code = OP_Const, .b = i});
        builder_emit(b, (struct jitvm_op){.code = OP_SetGlobal, .b = i});
    }
    for (uint32_t i = 65530; i < 65540; i++)
        builder_emit(b, (struct jitvm_op){.code = OP_GetGlobal, .b = i});
    builder_emit(b, (struct jitvm_op){.code = OP_MakeArray, .b = 10});
    builder_op(b, OP_ReturnValue);
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err = {0};
    cr_assert_eq(builder_build(b, &chunk, &err), 0, "%s", err.message);
    jitvm_builder_free(b);
    struct run_rig rig;
    cr_assert(run_rig_init(&rig, chunk, &run_no_limits, NULL), "%s", rig.said);
    for (unsigned again = 0; again < 3; again++) {
        (void)rig_call(&rig, NULL, NULL, 0);
        rig_gave(&rig, "[196590, 196593, 196596, 196599, 196602, 196605, 196608, 196611, 196614, "
                       "196617]");
    }
    run_rig_free(&rig);
}

Test(vm_known, one_constant_too_many_is_an_error)
{
    struct jitvm_builder *b = builder();
    for (int64_t i = 0; i <= CHUNK_CONSTANTS_MAX; i++)
        (void)builder_const_int(b, i);
    builder_op(b, OP_Return);
    struct jitvm_chunk *chunk = NULL;
    cr_assert_eq(builder_build(b, &chunk, NULL), JITVM_ERR_LIMIT);
    cr_assert_null(chunk);
    jitvm_builder_free(b);
}

/* ---- found here ------------------------------------------------------------------------------ */

Test(vm_known, a_slot_taken_and_set_again_keeps_its_value)
{
    static const char *const want[KINDS] = {"3",     "3.0",  "true",
                                            "undef", "-0.0", "9223372036854775807"};
    gives(F(1, "TakeSlot 0\nSetSlot 0\nGetSlot 0\nReturnValue\n"), kinds, want, KINDS);
}

Test(vm_known, operands_left_at_a_return_are_released)
{
    struct run_rig rig;
    rig_begin(&rig,
              ".main 1\nL: Call f, 0\nPop\nCall g, 0\nPop\nSlotIncLtIntJumpBack 0, 5, L\nReturn\n"
              ".function f, 0, 1\nConst \"a\"\nGetSlot 0\nConcat\nInt 1\nMakeArray 1\nInt "
              "2\nReturnValue\n"
              ".function g, 0, 4\nConst \"b\"\nGetSlot 0\nConcat\nReturn\n",
              NULL);
    for (unsigned again = 0; again < 4; again++) {
        (void)rig_call(&rig, NULL, NULL, 0);
        rig_gave(&rig, "undef");
        cr_assert_eq(rig.vms[0].seen.heap, 0);
    }
    run_rig_free(&rig);
}

Test(vm_known, a_loop_around_the_whole_function_finds_undef_and_arguments)
{
    struct run_rig rig;
    rig_begin(&rig,
              ".main 5\nL: PreIncSlotVoid 3\nGetSlot 3\nInt 5\nLe\nJumpIfTrue L\nPreIncSlot 3\n"
              "ReturnValue\n",
              NULL);
    for (unsigned again = 0; again < 5; again++) {
        (void)rig_call(&rig, NULL, NULL, 0);
        rig_gave(&rig, "7");
    }
    run_rig_free(&rig);
    static const char *const want[KINDS] = {"[\"3xxx\", 3]",    "[\"3.0xxx\", 3]",
                                            "[\"1xxx\", 3]",    "[\"xxx\", 3]",
                                            "[\"-0.0xxx\", 3]", "[\"9223372036854775807xxx\", 3]"};
    gives(F(2, "L: GetSlot 0\nConst \"x\"\nConcat\nSetSlot 0\nPreIncSlotVoid 1\nGetSlot 1\nInt 3\n"
               "Lt\nJumpIfTrue L\nGetSlot 0\nGetSlot 1\nMakeArray 2\nReturnValue\n"),
          kinds, want, KINDS);
}

Test(vm_known, a_loop_over_another_kind_of_counter_goes_on)
{
    static const char *const want[KINDS - 1] = {"[5, 2]", "[5.0, 2]", "[5, 4]", "[5, 5]",
                                                "[5.0, 5]"};
    /* The last kind would count for ever. */
    gives(F(2, "L: PreIncSlotVoid 1\nSlotIncLtIntJumpBack 0, 5, L\nGetSlot 0\nGetSlot 1\n"
               "MakeArray 2\nReturnValue\n"),
          kinds, want, KINDS - 1);
}

Test(vm_known, an_element_outlives_the_array_that_it_is_read_from)
{
    static const char *const want[KINDS] = {"3",     "3.0",  "true",
                                            "undef", "-0.0", "9223372036854775807"};
    gives(F(1, "GetSlot 0\nConst \"other\"\nMakeArray 2\nInt 0\nGetIndex\nReturnValue\n"), kinds,
          want, KINDS);
}
