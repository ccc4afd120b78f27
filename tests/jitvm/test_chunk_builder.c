/* SPDX-License-Identifier: Apache-2.0 */
/* The builder: what it makes, and what it says when it was used wrongly. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/chunk/builder.h"
#include "tests/jitvm/chunk_rig.h"

static struct jitvm_builder *new_builder(void)
{
    struct jitvm_builder *b = NULL;
    cr_assert_eq(jitvm_builder_new("test", &b, NULL), 0);
    return b;
}

static struct jitvm_chunk *built(struct jitvm_builder *b)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err = {0};
    cr_assert_eq(builder_build(b, &chunk, &err), 0, "%s", err.message);
    jitvm_builder_free(b);
    return chunk;
}

static void expect_failure(struct jitvm_builder *b, int status, const char *message)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err = {0};
    cr_assert_eq(builder_build(b, &chunk, &err), status);
    cr_assert_str_eq(err.message, message);
    jitvm_builder_free(b);
}

static void expect_text(struct jitvm_chunk *chunk, const char *text)
{
    struct jitvm_chunk *expected = chunk_of(text);
    char *is = text_of(chunk);
    cr_assert_arr_eq(chunk->identity, expected->identity, 16, "%s", is);
    free(is);
    jitvm_chunk_unref(chunk);
    jitvm_chunk_unref(expected);
}

#define SLOT(op, slot) ((struct jitvm_op){.code = OP_##op, .a = (uint16_t)(slot)})

Test(builder, a_function_with_a_loop)
{
    struct jitvm_builder *b = new_builder();
    uint32_t f = builder_function(b, "f", 1, 1);
    builder_begin(b, f);
    builder_name_slot(b, 0, "n", 1);
    builder_line(b, 3);
    uint32_t top = builder_label(b), out = builder_label(b);
    builder_place(b, top);
    builder_emit(b, SLOT(GetSlot, 0));
    builder_jump(b, OP_JumpIfFalse, out);
    builder_emit(b, SLOT(GetSlot, 0));
    builder_op(b, OP_Dec);
    builder_emit(b, SLOT(SetSlot, 0));
    builder_jump(b, OP_Jump, top);
    builder_place(b, out);
    builder_line(b, 4);
    builder_op(b, OP_Return);
    builder_begin(b, 0);
    builder_line(b, 6);
    builder_emit(b, (struct jitvm_op){.code = OP_Int, .imm = 10});
    builder_emit(b, (struct jitvm_op){.code = OP_Call, .a = 1, .b = f});
    builder_op(b, OP_ReturnValue);
    expect_text(built(b), ".source \"test\"\n.main 0\n.line 6\nInt 10\nCall f, 1\nReturnValue\n"
                          ".function f, 1, 1\n.slot 0, n\n.line 3\nA: GetSlot n\nJumpIfFalse B\n"
                          "GetSlot n\nDec\nSetSlot n\nJump A\nB:\n.line 4\nReturn\n");
}

Test(builder, a_body_that_comes_to_its_end_returns)
{
    struct jitvm_builder *b = new_builder();
    builder_op(b, OP_Nop);
    expect_text(built(b), ".main 0\nNop\nReturn\n");

    b = new_builder();
    builder_begin(b, 0);
    expect_text(built(b), ".main 0\nReturn\n");

    b = new_builder();
    uint32_t end = builder_label(b);
    builder_op(b, OP_True);
    builder_jump(b, OP_JumpIfTrue, end);
    builder_op(b, OP_Return);
    builder_place(b, end);
    expect_text(built(b), ".main 0\nTrue\nJumpIfTrue L\nReturn\nL: Return\n");
}

Test(builder, the_same_contents_have_the_same_index)
{
    struct jitvm_builder *b = new_builder();
    cr_assert_eq(builder_name(b, "a", 1), builder_name(b, "a", 1));
    cr_assert_neq(builder_name(b, "a", 1), builder_name(b, "b", 1));
    cr_assert_eq(builder_const_int(b, 5), builder_const_int(b, 5));
    cr_assert_neq(builder_const_int(b, 5), builder_const_float(b, 5));
    cr_assert_neq(builder_const_float(b, 0.0), builder_const_float(b, -0.0));
    cr_assert_eq(builder_const_float(b, __builtin_nan("1")),
                 builder_const_float(b, -__builtin_nan("2")));
    cr_assert_eq(builder_const_str(b, "long enough to be one", 21),
                 builder_const_str(b, "long enough to be one", 21));
    cr_assert_neq(builder_const_str(b, "", 0), builder_const_str(b, "\0", 1));
    cr_assert_eq(builder_extension(b, "e", 1, 2, 1), builder_extension(b, "e", 1, 2, 1));
    builder_op(b, OP_Return);
    jitvm_chunk_unref(built(b));
}

Test(builder, ten_thousand_names_and_constants_are_found_again)
{
    struct jitvm_builder *b = new_builder();
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < 10000; i++) {
            char name[16];
            size_t len = (size_t)snprintf(name, sizeof(name), "name%u", i);
            cr_assert_eq(builder_name(b, name, len), i);
            cr_assert_eq(builder_const_int(b, i), i);
        }
    }
    builder_op(b, OP_Return);
    jitvm_chunk_unref(built(b));
}

Test(builder, names_and_constants_are_put_in_the_order_of_the_text_and_unused_ones_left_out)
{
    struct jitvm_builder *b = new_builder();
    (void)builder_name(b, "unused", 6);
    uint32_t z = builder_name(b, "z", 1);
    (void)builder_const_str(b, "unused", 6);
    uint32_t two = builder_const_int(b, 2), one = builder_const_int(b, 1);
    uint32_t f = builder_function(b, "f", 1, 0);
    builder_begin(b, f);
    builder_emit(b, (struct jitvm_op){.code = OP_Const, .b = two});
    builder_op(b, OP_ReturnValue);
    builder_begin(b, 0);
    builder_emit(b, (struct jitvm_op){.code = OP_Const, .b = one});
    builder_emit(b, (struct jitvm_op){.code = OP_SetGlobal, .b = z});
    (void)builder_slot(b, "y", 1);
    builder_op(b, OP_Return);
    struct jitvm_chunk *chunk = built(b);
    cr_assert_eq(chunk->name_count, 3);
    cr_assert_eq(chunk->constant_count, 2);
    char *text = text_of(chunk);
    cr_assert_not(strstr(text, ".names"), "%s", text);
    cr_assert_not(strstr(text, ".constants"), "%s", text);
    free(text);
    expect_text(chunk, ".source \"test\"\n.main 1\n.slot 0, y\nConst 1\nSetGlobal z\nReturn\n"
                       ".function f, 0, 0\nConst 2\nReturnValue\n");
}

Test(builder, fused_forms_are_found)
{
    struct jitvm_builder *b = new_builder();
    uint32_t i = builder_slot(b, "i", 1);
    builder_emit(b, SLOT(GetSlot, i));
    builder_op(b, OP_Inc);
    builder_emit(b, SLOT(SetSlot, i));
    builder_op(b, OP_Return);
    struct jitvm_chunk *chunk = built(b);
    cr_assert_eq(chunk->ops[0].code, OP_PreIncSlotVoid);
    jitvm_chunk_unref(chunk);
}

/* ---- failures ------------------------------------------------------------------------------- */

#define FAILS(sentence, status, message, ...)                                                      \
    Test(builder, sentence)                                                                        \
    {                                                                                              \
        struct jitvm_builder *b = new_builder();                                                   \
        __VA_ARGS__;                                                                               \
        expect_failure(b, status, message);                                                        \
    }

FAILS(a_function_that_is_there_twice, JITVM_ERR_INVALID, "function f is there twice",
      builder_function(b, "f", 1, 0), builder_function(b, "f", 1, 0))
FAILS(a_function_of_too_many_arguments, JITVM_ERR_LIMIT, "f: more than 250 arguments",
      builder_function(b, "f", 1, 251))
FAILS(a_function_without_a_body, JITVM_ERR_INVALID, "f: no ops", builder_function(b, "f", 1, 0),
      builder_op(b, OP_Return))
FAILS(a_body_that_is_begun_twice, JITVM_ERR_INVALID, "function 0 is begun twice, or not there",
      builder_begin(b, 0), builder_op(b, OP_Return), builder_begin(b, 0))
FAILS(a_body_of_no_function, JITVM_ERR_INVALID, "function 1 is begun twice, or not there",
      builder_begin(b, 1))
FAILS(a_label_that_is_never_placed, JITVM_ERR_INVALID, "main: a jump to a label that is nowhere",
      builder_jump(b, OP_Jump, builder_label(b)))
FAILS(a_label_that_is_placed_twice, JITVM_ERR_INVALID,
      "main: a label that is not there or placed twice", builder_label(b), builder_place(b, 0),
      builder_place(b, 0))
FAILS(a_jump_to_no_label, JITVM_ERR_INVALID, "a jump that is none, or to a label that is not there",
      builder_jump(b, OP_Jump, 0))
FAILS(a_jump_by_an_op_that_is_none, JITVM_ERR_INVALID,
      "a jump that is none, or to a label that is not there",
      builder_jump(b, OP_Nop, builder_label(b)))
FAILS(a_jump_without_a_label, JITVM_ERR_INVALID, "Jump without a label", builder_op(b, OP_Jump))
FAILS(an_op_that_is_not_there, JITVM_ERR_INVALID, "no op has the number 9999",
      builder_emit(b, (struct jitvm_op){.code = 9999}))
FAILS(a_constant_that_is_not_there, JITVM_ERR_INVALID, "Const: constant 0 is not there",
      builder_emit(b, (struct jitvm_op){.code = OP_Const}))
FAILS(a_slot_that_is_not_there, JITVM_ERR_INVALID, "main: slot 0 of 0",
      builder_name_slot(b, 0, "x", 1))
FAILS(an_extension_with_two_effects, JITVM_ERR_INVALID, "extension e with two effects",
      builder_extension(b, "e", 1, 1, 1), builder_extension(b, "e", 1, 2, 1))
FAILS(an_extension_that_pushes_two, JITVM_ERR_LIMIT,
      "extension e takes more than 255 values or pushes more than 1",
      builder_extension(b, "e", 1, 0, 2))
FAILS(what_the_verifier_refuses, JITVM_ERR_INVALID,
      "main: op 0 (Pop): takes 1 operands where there are 0", builder_op(b, OP_Pop))

Test(builder, more_slots_than_a_function_may_have)
{
    struct jitvm_builder *b = new_builder();
    for (unsigned i = 0; i <= CHUNK_SLOTS_MAX; i++)
        (void)builder_slot(b, NULL, 0);
    expect_failure(b, JITVM_ERR_LIMIT, "main: more than 4096 slots");
}

Test(builder, only_the_first_failure_is_told)
{
    struct jitvm_builder *b = new_builder();
    builder_begin(b, 7);
    builder_op(b, OP_Jump);
    builder_place(b, 3);
    (void)builder_slot(b, "x", 1);
    cr_assert(builder_failed(b));
    expect_failure(b, JITVM_ERR_INVALID, "function 7 is begun twice, or not there");
}

Test(builder, one_that_never_builds_is_freed)
{
    struct jitvm_builder *b = new_builder();
    (void)builder_const_str(b, "something", 9);
    builder_op(b, OP_Nop);
    jitvm_builder_free(b);
    jitvm_builder_free(NULL);
}
