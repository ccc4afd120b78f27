/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier: each test is one malformed chunk and what is said of it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/chunk/chunk.h"
#include "tests/jitvm/chunk_rig.h"

static void expect_message(const struct jitvm_error *err, const char *message)
{
    cr_assert_str_eq(err->message, message);
    cr_assert(err->status == JITVM_ERR_INVALID || err->status == JITVM_ERR_LIMIT);
}

/* The text is well-formed but for what the verifier looks at. */
static void refused(const char *text, const char *message)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err = {0};
    cr_assert_lt(jitvm_assemble("test", text, strlen(text), &chunk, &err), 0);
    expect_message(&err, message);
}

/* For what text cannot say: a good chunk, then changed. It must be freed as it was. */
static void refused_as_it_is(struct jitvm_chunk *chunk, const char *message)
{
    struct jitvm_error err = {0};
    cr_assert_lt(chunk_verify(chunk, &err), 0);
    expect_message(&err, message);
}

#define GOOD                                                                                       \
    ".extension ext, 2, 1\n"                                                                       \
    ".main 2\n"                                                                                    \
    ".slot 0, s\n"                                                                                 \
    ".line 1\nConst 1.5\nConst 2.5\n"                                                              \
    ".line 2\nExtended ext, 7\nSetSlot s\nReturn\n"                                                \
    ".function f, 1, 2\n"                                                                          \
    ".slot 1, s\n"                                                                                 \
    ".line 9\nGetSlot 0\nReturnValue\n"

/* Changes one field of GOOD, and puts it back. */
#define REFUSED_WITH(sentence, field, value, message)                                              \
    Test(verify, sentence)                                                                         \
    {                                                                                              \
        struct jitvm_chunk *chunk = chunk_of(GOOD);                                                \
        __typeof__(chunk->field) before = chunk->field;                                            \
        chunk->field = (value);                                                                    \
        refused_as_it_is(chunk, message);                                                          \
        chunk->field = before;                                                                     \
        cr_assert_eq(chunk_verify(chunk, NULL), 0);                                                \
        jitvm_chunk_unref(chunk);                                                                  \
    }

#define REFUSED(sentence, text, message)                                                           \
    Test(verify, sentence)                                                                         \
    {                                                                                              \
        refused(text, message);                                                                    \
    }

/* ---- the chunk as a whole ------------------------------------------------------------------- */

REFUSED_WITH(a_flag_that_nobody_knows, flags, 6u, "unknown flags 0x6")
REFUSED_WITH(a_chunk_without_a_source, source, NULL, "no name of the source")
REFUSED_WITH(a_chunk_without_functions, function_count, 0, "no top level")
REFUSED_WITH(too_many_ops, op_count, CHUNK_OPS_MAX + 1, "16777217 ops, more than 16777216")
REFUSED_WITH(too_many_functions, function_count, 65537, "65537 functions, more than 65536")
REFUSED_WITH(too_many_names, name_count, 1048577, "1048577 names, more than 1048576")
REFUSED_WITH(too_many_constants, constant_count, 1048577, "1048577 constants, more than 1048576")
REFUSED_WITH(a_name_that_is_there_twice, names[0], chunk->names[1],
             "the name \"ext\" is there twice")

Test(verify, a_source_whose_name_is_too_long)
{
    struct jitvm_chunk *chunk = chunk_of(GOOD);
    char *before = chunk->source;
    chunk->source = malloc(CHUNK_SOURCE_MAX + 2);
    memset(chunk->source, 'x', CHUNK_SOURCE_MAX + 1);
    chunk->source[CHUNK_SOURCE_MAX + 1] = '\0';
    refused_as_it_is(chunk, "the name of the source is longer than 4096 bytes");
    free(chunk->source);
    chunk->source = before;
    jitvm_chunk_unref(chunk);
}

/* ---- constants ------------------------------------------------------------------------------ */

REFUSED_WITH(a_constant_of_a_kind_that_none_can_be, constants[0].kind, JITVM_ARRAY,
             "constant 0 is of kind 8, which none can be")
REFUSED_WITH(a_constant_with_a_reserved_field_that_is_not_0, constants[0].reserved, 1,
             "constant 0: a field is not 0")
REFUSED_WITH(a_constant_NaN_with_other_bits, constants[1].as.i, 0x7ff8000000000001,
             "constant 1 is a NaN that is not the canonical one")
REFUSED_WITH(a_constant_that_is_there_twice, constants[1].as.f, 1.5, "a constant is there twice")

Test(verify, zero_and_minus_zero_are_two_constants)
{
    jitvm_chunk_unref(chunk_of(".constants 0.0, -0.0\n.main 0\nReturn\n"));
}

/* ---- extensions ----------------------------------------------------------------------------- */

REFUSED_WITH(an_extension_whose_name_is_not_there, extensions[0].name, 3,
             "extension 0: name 3 of 3")
REFUSED_WITH(an_extension_that_pushes_two, extensions[0].pushes, 2,
             "extension ext pushes 2, more than 1")

Test(verify, an_extension_that_is_there_twice)
{
    struct jitvm_chunk *chunk = chunk_of(".extension a, 0, 0\n.extension b, 0, 0\n.main 0\nReturn");
    chunk->extensions[1].name = 0;
    refused_as_it_is(chunk, "extension a is there twice");
    jitvm_chunk_unref(chunk);
}

Test(verify, a_function_and_an_extension_may_share_a_name)
{
    jitvm_chunk_unref(chunk_of(".extension f, 0, 0\n.main 0\nReturn\n.function f, 0, 0\nReturn\n"));
}

/* ---- functions ------------------------------------------------------------------------------ */

REFUSED_WITH(a_top_level_with_a_name, functions[0].name, 0, "the top level has a name")
REFUSED_WITH(a_top_level_with_arguments, functions[0].arity, 1,
             "main: takes 1 arguments, more than 0")
REFUSED_WITH(a_function_whose_name_is_not_there, functions[1].name, 3, "function 1: name 3 of 3")
REFUSED_WITH(a_function_with_too_many_arguments, functions[1].arity, 251,
             "f: takes 251 arguments, more than 250")
REFUSED_WITH(a_function_with_too_many_slots, functions[1].slots, 4097,
             "f: 4097 slots, more than 4096")
REFUSED_WITH(a_function_with_fewer_slots_than_arguments, functions[1].slots, 0,
             "f: 0 slots for 1 arguments")
REFUSED_WITH(a_function_that_begins_among_anothers_ops, functions[1].first, 4,
             "f: ops 4 to 6 are not its own")
REFUSED_WITH(a_function_that_ends_behind_all_ops, functions[1].count, 3,
             "f: ops 5 to 8 are not its own")
REFUSED_WITH(a_function_so_long_that_the_sum_overflows, functions[1].count, UINT32_MAX - 1,
             "f: ops 5 to 3 are not its own")
REFUSED_WITH(a_function_without_ops, functions[1].count, 0, "f: no ops")
REFUSED_WITH(ops_that_are_not_of_any_function, functions[1].count, 1,
             "1 ops are not in any function")

Test(verify, a_function_that_is_there_twice)
{
    struct jitvm_chunk *chunk =
        chunk_of(".main 0\nReturn\n.function f, 0, 0\nReturn\n.function g, 0, 0\nReturn\n");
    chunk->functions[2].name = chunk->functions[1].name;
    refused_as_it_is(chunk, "function f is there twice");
    jitvm_chunk_unref(chunk);
}

/* ---- slot names, lines ---------------------------------------------------------------------- */

REFUSED_WITH(slot_names_of_another_function, functions[1].slot_names, 0,
             "f: slot names that are not its own")
REFUSED_WITH(slot_names_that_are_not_of_any_function, functions[1].slot_names, UINT32_MAX,
             "2 slot names are not of any function")
REFUSED_WITH(fewer_slot_names_than_slots, slot_name_count, 3, "f: slot names that are not its own")
REFUSED_WITH(a_slot_name_that_is_not_there, slot_names[3], 3, "f: slot 1: name 3 of 3")
REFUSED_WITH(a_table_of_slot_names_without_a_name, slot_names[3], UINT32_MAX,
             "f: slot names without a name")
REFUSED_WITH(a_line_of_an_op_that_is_not_there, lines[2].ip, 7, "line table: op 7 of 7")
REFUSED_WITH(lines_that_do_not_rise, lines[1].ip, 0, "line table: op 0 after op 0")
REFUSED_WITH(a_line_that_is_no_change, lines[1].line, 1, "line table: line 1 again at op 2")
REFUSED_WITH(a_line_0_at_the_start_of_a_function, lines[2].line, 0,
             "line table: line 0 again at op 5")

/* ---- operands ------------------------------------------------------------------------------- */

REFUSED_WITH(an_op_that_is_not_there, ops[0].code, 9999,
             "main: op 0 (?): no op has the number 9999")
REFUSED_WITH(a_field_a_that_the_op_does_not_use, ops[0].a, 1,
             "main: op 0 (Const): a field that it does not use is not 0")
REFUSED_WITH(a_field_b_that_the_op_does_not_use, ops[4].b, 1,
             "main: op 4 (Return): a field that it does not use is not 0")
REFUSED_WITH(a_field_c_that_the_op_does_not_use, ops[0].c, 1,
             "main: op 0 (Const): a field that it does not use is not 0")
REFUSED_WITH(an_imm_that_the_op_does_not_use, ops[0].imm, 1,
             "main: op 0 (Const): a field that it does not use is not 0")
REFUSED_WITH(a_reserved_field_of_an_op, ops[0].reserved, 1,
             "main: op 0 (Const): a field that it does not use is not 0")
REFUSED_WITH(a_constant_that_is_not_there, ops[0].b, 2, "main: op 0 (Const): constant 2 of 2")
REFUSED_WITH(an_extension_that_is_not_there, ops[2].b, 1, "main: op 2 (Extended): extension 1 of 1")
REFUSED_WITH(an_extension_argument_of_more_than_8_bits, ops[2].a, 256,
             "main: op 2 (Extended): argument 256, more than 255")
REFUSED_WITH(a_slot_of_another_function, ops[5].a, 2, "f: op 5 (GetSlot): slot 2 of 2")

/* One op of GOOD becomes another one. */
#define REFUSED_OP(sentence, message, ...)                                                         \
    REFUSED_WITH(sentence, ops[0], ((struct jitvm_op){__VA_ARGS__}), message)

REFUSED_OP(a_float_NaN_with_other_bits, "main: op 0 (Float): a NaN that is not the canonical one",
           .code = OP_Float, .imm = -1)
REFUSED_OP(a_function_value_that_is_not_there, "main: op 0 (Func): function 2 of 2",
           .code = OP_Func, .b = 2)
REFUSED_OP(a_global_that_is_not_there, "main: op 0 (GetGlobal): name 3 of 3", .code = OP_GetGlobal,
           .b = 3)
REFUSED_OP(an_array_of_too_many, "main: op 0 (MakeArray): a count of 4097, more than 4096",
           .code = OP_MakeArray, .b = 4097)
REFUSED_OP(a_hash_of_too_many, "main: op 0 (MakeHash): a count of 2049, more than 2048",
           .code = OP_MakeHash, .b = 2049)
REFUSED_OP(a_place_of_neither_kind,
           "main: op 0 (GetPath): a place of kind 2: neither slot nor global", .code = OP_GetPath,
           .a = 2)
REFUSED_OP(a_place_in_a_slot_that_is_not_there, "main: op 0 (GetPath): slot 2 of 2",
           .code = OP_GetPath, .b = 2)
REFUSED_OP(a_place_in_a_global_that_is_not_there, "main: op 0 (GetPath): name 3 of 3",
           .code = OP_GetPath, .a = 1, .b = 3)
REFUSED_OP(a_path_of_too_many_keys, "main: op 0 (GetPath): 17 keys, more than 16",
           .code = OP_GetPath, .c = 17)
REFUSED_OP(setting_without_a_key, "main: op 0 (SetPath): needs a key", .code = OP_SetPath)
REFUSED_OP(deleting_without_a_key, "main: op 0 (DeletePath): needs a key", .code = OP_DeletePath)
REFUSED_OP(asking_for_existence_without_a_key, "main: op 0 (ExistsPath): needs a key",
           .code = OP_ExistsPath)
REFUSED_OP(a_jump_into_another_function,
           "main: op 0 (Jump): jumps to op 5, outside of the function", .code = OP_Jump, .b = 5)
REFUSED_OP(a_jump_behind_everything, "main: op 0 (Jump): jumps to op 7, outside of the function",
           .code = OP_Jump, .b = 7)
REFUSED_OP(a_call_of_what_is_not_there, "main: op 0 (Call): function 2 of 2", .code = OP_Call,
           .b = 2)
REFUSED_OP(a_call_with_another_number_of_arguments,
           "main: op 0 (Call): 0 arguments for a function that takes 1", .code = OP_Call, .b = 1)
REFUSED_OP(a_dynamic_call_with_too_many_arguments,
           "main: op 0 (CallDynamic): 251 arguments, more than 250", .code = OP_CallDynamic,
           .a = 251)
REFUSED_OP(a_builtin_with_too_many_arguments,
           "main: op 0 (CallBuiltin): 251 arguments, more than 250", .code = OP_CallBuiltin,
           .a = 251)
REFUSED_OP(a_builtin_whose_name_is_not_there, "main: op 0 (CallBuiltin): name 3 of 3",
           .code = OP_CallBuiltin, .b = 3)
REFUSED_OP(a_wide_extension_that_is_not_there, "main: op 0 (ExtendedWide): extension 1 of 1",
           .code = OP_ExtendedWide, .b = 1)
REFUSED_OP(a_line_0, "main: op 0 (Line): line 0", .code = OP_Line)
REFUSED_OP(a_second_slot_that_is_not_there, "main: op 0 (AddAssignSlotVoid): slot 2 of 2",
           .code = OP_AddAssignSlotVoid, .c = 2)
REFUSED_OP(a_limit_above_32_bits, "main: op 0 (AccumSumLoop): a limit of more than 32 bits",
           .code = OP_AccumSumLoop, .c = 1, .imm = INT64_C(2147483648))
REFUSED_OP(a_limit_below_32_bits, "main: op 0 (SlotLtIntJumpIfFalse): a limit of more than 32 bits",
           .code = OP_SlotLtIntJumpIfFalse, .imm = INT64_C(-2147483649))
REFUSED_OP(a_fused_jump_into_another_function,
           "main: op 0 (SlotLtIntJumpIfFalse): jumps to op 6, outside of the function",
           .code = OP_SlotLtIntJumpIfFalse, .b = 6)
REFUSED_OP(a_loop_end_that_jumps_forward,
           "main: op 0 (SlotIncLtIntJumpBack): jumps forward, to op 1",
           .code = OP_SlotIncLtIntJumpBack, .b = 1)
REFUSED_OP(a_sum_that_is_its_own_counter, "main: op 0 (AccumSumLoop): slot 1 twice",
           .code = OP_AccumSumLoop, .a = 1, .c = 1)
REFUSED_OP(an_array_that_is_its_own_counter, "main: op 0 (PushIntRangeLoop): slot 0 twice",
           .code = OP_PushIntRangeLoop)
REFUSED_OP(a_loop_whose_constant_is_not_there, "main: op 0 (ConcatConstLoop): constant 2 of 2",
           .code = OP_ConcatConstLoop, .c = 1, .b = 2)
REFUSED_OP(a_loop_whose_constant_is_not_a_string,
           "main: op 0 (ConcatConstLoop): constant 0 is not a string", .code = OP_ConcatConstLoop,
           .c = 1)

/* ---- the flow of control -------------------------------------------------------------------- */

REFUSED(taking_from_an_empty_stack, ".main 0\nAdd\nReturn\n",
        "main: op 0 (Add): takes 2 operands where there are 0")
REFUSED(taking_one_too_many, ".main 0\nTrue\nAdd\nReturn\n",
        "main: op 1 (Add): takes 2 operands where there are 1")
REFUSED(returning_what_is_not_there, ".main 0\nReturnValue\n",
        "main: op 0 (ReturnValue): takes 1 operands where there are 0")
REFUSED(too_few_arguments_for_a_call, ".main 0\nCall f, 1\nReturn\n.function f, 1, 1\nReturn\n",
        "main: op 0 (Call): takes 1 operands where there are 0")
REFUSED(a_dynamic_call_without_its_function, ".main 0\nTrue\nCallDynamic 1\nReturn\n",
        "main: op 1 (CallDynamic): takes 2 operands where there are 1")
REFUSED(too_few_keys_for_a_path, ".main 1\nTrue\nSetPath slot 0, 1\nReturn\n",
        "main: op 1 (SetPath): takes 2 operands where there are 1")
REFUSED(too_few_pairs_for_a_hash, ".main 0\nTrue\nMakeHash 1\nReturn\n",
        "main: op 1 (MakeHash): takes 2 operands where there are 1")
REFUSED(too_few_operands_for_an_extension,
        ".extension e, 2, 0\n.main 0\nTrue\nExtended e, 0\nReturn\n",
        "main: op 1 (Extended): takes 2 operands where there are 1")
REFUSED(falling_out_of_a_function, ".main 0\nTrue\nPop\n",
        "main: op 1 (Pop): the function ends behind it")
REFUSED(falling_out_where_nothing_comes, ".main 0\nReturn\nNop\n",
        "main: op 1 (Nop): the function ends behind it")
REFUSED(falling_out_behind_a_branch, ".main 0\nL: True\nJumpIfTrue L\n",
        "main: op 1 (JumpIfTrue): the function ends behind it")
REFUSED(two_depths_where_ways_join, ".main 0\nTrue\nJumpIfTrue L\nTrue\nL: Return\n",
        "main: op 3 (Return): 1 operands when reached from op 2, 0 otherwise")
REFUSED(a_loop_that_grows_the_stack, ".main 0\nL: True\nJump L\n",
        "main: op 0 (True): 1 operands when reached from op 1, 0 otherwise")
REFUSED(a_branch_that_keeps_its_value_on_one_way_only,
        ".main 0\nTrue\nJumpIfTrueKeep L\nPop\nL: Return\n",
        "main: op 3 (Return): 0 operands when reached from op 2, 1 otherwise")

Test(verify, more_operands_than_there_may_be)
{
    enum { OPS = CHUNK_STACK_MAX + 1 };
    char *text = calloc(1, 32 + OPS * 5), *at = text + sprintf(text, ".main 0\n");
    for (unsigned i = 0; i < OPS; i++, at += 5)
        memcpy(at, "True\n", 5);
    (void)strcpy(at, "Return\n");
    refused(text, "main: op 8192 (True): more than 8192 operands");
    free(text);
}

/* ---- what is allowed ------------------------------------------------------------------------ */

Test(verify, ops_that_nothing_reaches_are_allowed_but_their_operands_are_checked)
{
    jitvm_chunk_unref(chunk_of(".main 0\nReturn\nAdd\nPop\nReturn\n"));
    refused(".main 0\nReturn\nGetSlot 0\nReturn\n", "main: op 1 (GetSlot): slot 0 of 0");
}

Test(verify, the_most_operands_of_each_function_are_noted)
{
    struct jitvm_chunk *chunk = chunk_of(".main 0\nTrue\nTrue\nDup2\nReturn\n"
                                         ".function f, 0, 0\nReturn\n");
    cr_assert_eq(chunk->functions[0].max_stack, 4);
    cr_assert_eq(chunk->functions[1].max_stack, 0);
    jitvm_chunk_unref(chunk);
}

Test(verify, an_error_says_which_op_of_which_function_on_which_line)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err = {0};
    const char *text = ".main 0\nReturn\n.function f, 0, 0\n.line 70\nNop\nPop\nReturn\n";
    cr_assert_lt(jitvm_assemble("test", text, strlen(text), &chunk, &err), 0);
    cr_assert_eq(err.depth, 1);
    cr_assert_str_eq(err.frames[0].function, "f");
    cr_assert_eq(err.frames[0].ip, 2);
    cr_assert_eq(err.frames[0].line, 70);
    cr_assert_eq(err.line, 6, "the line of the text");
}

Test(verify, a_failure_without_anybody_to_tell_is_a_failure_all_the_same)
{
    struct jitvm_chunk *chunk = NULL;
    cr_assert_eq(jitvm_assemble("test", ".main 0\nPop\nReturn\n", 19, &chunk, NULL),
                 JITVM_ERR_INVALID);
}
