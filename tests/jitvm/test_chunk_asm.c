/* SPDX-License-Identifier: Apache-2.0 */
/* The text form: what is wrong and where, and that text and chunk say the same. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/chunk/builder.h"
#include "tests/jitvm/chunk_rig.h"

/* ---- errors --------------------------------------------------------------------------------- */

static void wrong(const char *text, uint32_t line, uint32_t column, const char *message)
{
    size_t len = strlen(text);
    char *copy = malloc(len > 0 ? len : 1); /* not one byte more */
    memcpy(copy, text, len);
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err = {0};
    cr_assert_lt(jitvm_assemble("test", copy, len, &chunk, &err), 0);
    cr_assert_str_eq(err.message, message);
    cr_assert_eq(err.line, line, "line %u", err.line);
    cr_assert_eq(err.column, column, "column %u", err.column);
    free(copy);
}

#define WRONG(sentence, text, line, column, message)                                               \
    Test(jasm, sentence)                                                                           \
    {                                                                                              \
        wrong(text, line, column, message);                                                        \
    }

WRONG(an_op_that_is_not_there, ".main 0\n  Foo\n", 2, 3, "no op is called Foo")
WRONG(a_directive_that_is_not_there, ".foo\n", 1, 1, "no directive is called .foo")
WRONG(a_byte_that_begins_nothing, ".main 0\nTrue %\n", 2, 6, "nothing begins with byte 0x25")
WRONG(more_than_one_op_on_a_line, ".main 0\nTrue False\n", 2, 6, "expected the end of the line")
WRONG(an_op_outside_of_a_function, "True\n", 1, 1,
      "outside of a function: .main or .function begins one")
WRONG(a_string_without_an_end, ".main 0\nConst \"abc\nReturn\n", 2, 7, "a string without an end")
WRONG(a_string_without_an_end_at_the_end, ".main 0\nConst \"abc", 2, 7, "a string without an end")
WRONG(a_backslash_at_the_end, ".main 0\nConst \"abc\\", 2, 7,
      "no such escape in a string: use \\n \\t \\r \\\\ \\\" \\xHH")
WRONG(an_escape_that_is_not_there, ".main 0\nConst \"\\q\"\n", 2, 7,
      "no such escape in a string: use \\n \\t \\r \\\\ \\\" \\xHH")
WRONG(an_escape_of_one_digit, ".main 0\nConst \"\\x1\"\n", 2, 7,
      "\\x in a string needs two hexadecimal digits")
WRONG(a_missing_comma, ".main 2\nAddAssignSlotVoid 0 1\n", 2, 21, "expected a comma")
WRONG(a_missing_operand, ".main 0\nInt\n", 2, 4, "expected an integer of 64 bits")
WRONG(an_int_of_too_many_digits, ".main 0\nInt 9223372036854775808\n", 2, 5,
      "expected an integer of 64 bits")
WRONG(an_int_constant_of_too_many_digits, ".main 0\nConst 9223372036854775808\n", 2, 7,
      "expected an integer of 64 bits")
WRONG(a_fraction_for_an_int, ".main 0\nInt 1.5\n", 2, 5, "expected an integer of 64 bits")
WRONG(a_word_for_a_number, ".main 0\nFloat x\n", 2, 7, "expected a number")
WRONG(a_float_that_is_none, ".main 0\nFloat 1.2.3\n", 2, 7, "expected a number")
WRONG(a_word_for_a_constant, ".main 0\nConst x\n", 2, 7, "expected a number or a string")
WRONG(a_negative_count, ".main 0\nMakeArray -1\n", 2, 11,
      "expected a number without sign or fraction")
WRONG(a_count_of_too_many_bits, ".main 0\nMakeArray 4294967296\n", 2, 11,
      "expected a number of at most 4294967295")
WRONG(a_slot_of_too_many_bits, ".main 0\nGetSlot 65536\n", 2, 9,
      "expected a number of at most 65535")
WRONG(a_slot_name_that_is_not_there, ".main 0\nGetSlot x\n", 2, 9,
      "no slot of this function is called x")
WRONG(a_slot_name_of_another_function,
      ".main 1\n.slot 0, x\nReturn\n.function f, 0, 1\nGetSlot x\n", 5, 9,
      "no slot of this function is called x")
WRONG(a_slot_that_the_function_has_not, ".main 1\n.slot 1, x\n", 2, 8, "slot 1 of 1")
WRONG(a_slot_outside_of_a_function, ".slot 0, x\n", 1, 7, "a slot outside of a function")
WRONG(a_function_that_is_not_there, ".main 0\nCall f, 0\n", 2, 6, "no function f")
WRONG(a_function_that_is_there_twice, ".function f, 0, 0\n.function f, 0, 0\n", 2, 11,
      "function f is there twice")
WRONG(a_main_that_is_there_twice, ".main 0\nReturn\n.main 0\n", 3, 7, ".main is there twice")
WRONG(a_main_of_too_many_slots, ".main 4097\n", 1, 7, "expected a number of at most 4096")
WRONG(fewer_slots_than_arguments, ".function f, 2, 1\n", 1, 18, "fewer slots than arguments")
WRONG(an_extension_that_is_not_declared, ".main 0\nExtended e, 0\n", 2, 10,
      "no extension e: .extension declares one")
WRONG(an_extension_that_is_there_twice, ".extension e, 0, 0\n.extension e, 0, 0\n", 2, 12,
      "extension e is there twice")
WRONG(an_extension_that_pushes_two, ".extension e, 0, 2\n", 1, 18, "expected a number of at most 1")
WRONG(a_place_of_neither_kind, ".main 1\nGetPath 0, 1\n", 2, 9, "expected `slot` or `global`")
WRONG(a_label_that_is_nowhere, ".main 0\nTrue\n  JumpIfTrue L\nReturn\n", 3, 14,
      "label L is nowhere in this function")
WRONG(a_label_of_another_function, ".main 0\nL: Return\n.function f, 0, 0\nJump L\n", 4, 6,
      "label L is nowhere in this function")
WRONG(a_label_that_is_there_twice, ".main 0\nL:\nL: Return\n", 3, 1,
      "label L is there twice in this function")
WRONG(a_number_for_a_label, ".main 0\nJump 3\n", 2, 6, "expected a label")
WRONG(a_flag_that_is_not_there, ".flags fast\n", 1, 8, "expected a flag: trap-overflow")
WRONG(a_source_without_quotes, ".source x\n", 1, 9, "expected the name of the source, in quotes")
WRONG(a_name_that_is_none, ".names 12\n", 1, 8, "expected a name")
WRONG(what_the_verifier_says_has_its_line_too,
      ".function f, 0, 0\nNop\n\nPop\nReturn\n.main 0\nReturn\n", 4, 1,
      "f: op 2 (Pop): takes 1 operands where there are 0")
WRONG(an_empty_text, "", 0, 0, "main: no ops")

Test(jasm, a_source_with_a_0_is_refused_where_it_stands)
{
    wrong("\n.source \"a\\x00b\"\n", 2, 1,
          "a name of the source of more than 4096 bytes, or with a 0");
}

/* ---- what may be written -------------------------------------------------------------------- */

Test(jasm, blanks_comments_and_line_ends_do_not_matter)
{
    struct jitvm_chunk *a = chunk_of(".main 1\nL:\nTrue\nJumpIfTrue L\nReturn\n");
    struct jitvm_chunk *b = chunk_of("; a comment\r\n\n  .main   1 ; slots\r\nL : True;x\n"
                                     "\tJumpIfTrue\tL\n  ; Nop\nReturn");
    expect_identical(a, b);
    jitvm_chunk_unref(a);
    jitvm_chunk_unref(b);
}

Test(jasm, functions_and_names_may_be_used_before_they_are_declared)
{
    struct jitvm_chunk *chunk = chunk_of(".function a, 0, 0\nCall b, 0\nReturnValue\n"
                                         ".main 0\nCall .main, 0\nCall a, 0\nReturn\n"
                                         ".function b, 0, 0\nReturn\n");
    cr_assert_eq(chunk_find_function(chunk, "a"), 1);
    cr_assert_eq(chunk_find_function(chunk, "b"), 2);
    cr_assert_eq(chunk->ops[0].b, 0);
    cr_assert_eq(chunk->ops[1].b, 1);
    cr_assert_eq(chunk->ops[3].b, 2);
    expect_round_trips(chunk);
    jitvm_chunk_unref(chunk);
}

/* ---- round trips ---------------------------------------------------------------------------- */

static void round_trips(const char *text)
{
    struct jitvm_chunk *chunk = chunk_of(text);
    expect_round_trips(chunk);
    jitvm_chunk_unref(chunk);
}

Test(jasm, floats_keep_all_their_bits)
{
    round_trips(
        ".main 0\nFloat 0.1\nFloat 1e300\nFloat -0.0\nFloat 0\nFloat inf\nFloat -inf\n"
        "Float nan\nFloat 5e-324\nFloat 1.7976931348623157e308\nFloat 3\nConst 3.0\nConst 3\n"
        "Const -0.0\nConst nan\nConst -inf\nConst 1e16\nConst 123456789012345680.0\nReturn\n");
}

Test(jasm, every_sort_of_float_is_the_same_bits_again)
{
    uint64_t random = 1;
    struct jitvm_builder *b = NULL;
    cr_assert_eq(jitvm_builder_new("floats", &b, NULL), 0);
    for (unsigned i = 0; i < 1000; i++) {
        double f;
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = random ^ random >> 29;
        memcpy(&f, &bits, sizeof(f));
        builder_emit(b, (struct jitvm_op){.code = OP_Const, .b = builder_const_float(b, f)});
    }
    struct jitvm_chunk *chunk = NULL;
    cr_assert_eq(builder_build(b, &chunk, NULL), 0);
    jitvm_builder_free(b);
    expect_round_trips(chunk);
    jitvm_chunk_unref(chunk);
}

Test(jasm, ints_keep_all_their_bits)
{
    round_trips(".extension e, 0, 0\n.main 0\nInt -9223372036854775808\nInt 9223372036854775807\n"
                "Const -9223372036854775808\nExtendedWide e, 18446744073709551615\nReturn\n");
}

Test(jasm, strings_of_any_bytes)
{
    struct jitvm_builder *b = NULL;
    char all[256];
    for (unsigned i = 0; i < 256; i++)
        all[i] = (char)i;
    cr_assert_eq(jitvm_builder_new("odd \"source\"\n", &b, NULL), 0);
    builder_emit(b, (struct jitvm_op){.code = OP_Const, .b = builder_const_str(b, all, 256)});
    builder_emit(b, (struct jitvm_op){.code = OP_Const, .b = builder_const_str(b, "", 0)});
    struct jitvm_chunk *chunk = NULL;
    cr_assert_eq(builder_build(b, &chunk, NULL), 0);
    jitvm_builder_free(b);
    cr_assert_eq(chunk->constants[0].as.str->len, 256);
    expect_round_trips(chunk);
    jitvm_chunk_unref(chunk);
}

Test(jasm, names_of_any_bytes)
{
    round_trips(".extension \"\", 1, 1\n.extension \"12\", 0, 0\n.main 3\n.slot 0, \"a b\"\n"
                ".slot 1, \"\\x00\\xff\"\n.slot 2, \"0\"\nGetSlot \"a b\"\nSetSlot \"\\x00\\xff\"\n"
                "GetSlot \"0\"\nGetSlot 0\nGetGlobal \".main\"\nCall \"main\", 0\nFunc .main\n"
                "CallBuiltin \"\\\"\", 1\nExtended \"\", 1\nExtended \"12\", 2\nReturn\n"
                ".function \"main\", 0, 0\nReturn\n");
}

Test(jasm, slots_of_one_name_are_told_apart)
{
    struct jitvm_chunk *chunk =
        chunk_of(".main 3\n.slot 0, x\n.slot 2, x\nGetSlot x\nSetSlot 2\nReturn\n");
    cr_assert_eq(chunk->ops[0].a, 0);
    cr_assert_eq(chunk->ops[1].a, 2);
    char *text = text_of(chunk);
    cr_assert(strstr(text, "GetSlot x\n    SetSlot 2\n"));
    free(text);
    expect_round_trips(chunk);
    jitvm_chunk_unref(chunk);
}

Test(jasm, tables_in_another_order_and_with_what_nobody_uses)
{
    round_trips(".names z, unused, \"odd name\", a\n.names f\n.constants 7, \"unused\", 1.5\n"
                ".constants \"x\"\n.main 1\n.slot 0, a\nGetGlobal z\nConst \"x\"\nConst 7\nReturn\n"
                ".function f, 0, 0\nReturn\n");
}

Test(jasm, lines_and_flags)
{
    round_trips(
        ".flags trap-overflow\n.main 0\nNop\n.line 3\nNop\nNop\n.line 2\nNop\n.line 0\nNop\n"
        ".line 4294967295\nLine 7\nReturn\n.function f, 0, 0\nNop\n.line 1\nReturn\n");
}

Test(jasm, every_op)
{
    round_trips(".extension e, 1, 0\n.main 4\n.slot 1, i\nL:\n"
                "SlotLtIntJumpIfFalse 0, -5, M\nSlotIncLtIntJumpBack i, 2147483647, L\n"
                "AccumSumLoop 0, i, -2147483648\nConcatConstLoop 0, i, 9, \"x\"\n"
                "PushIntRangeLoop 0, i, 9\nAddAssignSlotVoid 3, 3\nPreIncSlot i\nTrue\n"
                "MakeArray 2\nTrue\nGetPath slot i, 1\nSetPath global g, 1\nLenPath global g, 0\n"
                "CallDynamic 0\nExtended e, 255\nM: Return\n");
}

Test(jasm, a_chunk_in_the_usual_order_needs_no_tables)
{
    struct jitvm_chunk *chunk = chunk_of(".extension e, 0, 1\n.main 1\n.slot 0, i\nExtended e, 0\n"
                                         "CallBuiltin print, 1\nConst \"a\"\nCall f, 0\nReturn\n"
                                         ".function f, 0, 0\nConst 2\nReturn\n");
    char *text = text_of(chunk);
    cr_assert_not(strstr(text, ".names"), "%s", text);
    cr_assert_not(strstr(text, ".constants"));
    free(text);
    expect_round_trips(chunk);
    jitvm_chunk_unref(chunk);
}

Test(jasm, the_text_of_a_small_chunk)
{
    const char *expected = "\n.source \"fib.jv\"\n"
                           "\n.main 0\n"
                           "    .line 6\n"
                           "    Int 20\n"
                           "    Call half, 1\n"
                           "    ReturnValue\n"
                           "\n.function half, 1, 1\n"
                           "    .slot 0, n\n"
                           "    .line 2\n"
                           "    SlotLtIntJumpIfFalse n, 2, L1\n"
                           "    GetSlot n\n"
                           "    ReturnValue\n"
                           "L1:\n"
                           "    .line 3\n"
                           "    GetSlot n\n"
                           "    Float 2.0\n"
                           "    Div\n"
                           "    ReturnValue\n";
    struct jitvm_chunk *chunk = chunk_of(expected);
    char *text = text_of(chunk);
    cr_assert_str_eq(strchr(text, '\n'), expected, "behind the comment with the identity");
    free(text);
    jitvm_chunk_unref(chunk);
}

Test(jasm, text_that_cannot_be_written_is_a_failure)
{
    struct jitvm_chunk *chunk = chunk_of(".main 0\nReturn\n");
    FILE *full = fopen("/dev/full", "w");
    cr_assert(full);
    cr_assert_eq(jitvm_disassemble(chunk, full, NULL), JITVM_ERR_IO);
    (void)fclose(full);
    jitvm_chunk_unref(chunk);
}
