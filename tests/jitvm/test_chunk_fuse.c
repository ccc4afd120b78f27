/* SPDX-License-Identifier: Apache-2.0 */
/* The peephole pass: each test is a body, plain and as it shall be. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/chunk/builder.h"
#include "tests/jitvm/chunk_rig.h"

#define BODY(text) ".main 4\n.slot 0, i\n.slot 1, s\n.slot 2, a\n" text

static void expect_same_ops(const struct jitvm_op *ops, uint32_t count,
                            const struct jitvm_chunk *expected)
{
    cr_assert_eq(count, expected->op_count, "%u ops, not %u", count, expected->op_count);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(memcmp(&ops[i], &expected->ops[i], sizeof(ops[i])), 0,
                     "op %u is %s %u, to %u, not %s", i, op_name(ops[i].code), ops[i].a, ops[i].b,
                     op_name(expected->ops[i].code));
}

/* Both must have their constants in one order. */
static void fuses(const char *plain, const char *fused)
{
    struct jitvm_chunk *from = chunk_of(plain), *to = chunk_of(fused);
    uint32_t count = from->op_count;
    uint32_t *lines = calloc(count, sizeof(*lines));
    cr_assert(fuse_ops(from->ops, lines, &count, from->constants));
    expect_same_ops(from->ops, count, to);
    free(lines);
    jitvm_chunk_unref(from);
    jitvm_chunk_unref(to);
}

#define FUSES(sentence, plain, fused)                                                              \
    Test(fuse, sentence)                                                                           \
    {                                                                                              \
        fuses(BODY(plain), BODY(fused));                                                           \
    }
#define STAYS(sentence, plain) FUSES(sentence, plain, plain)

/* ---- steps ---------------------------------------------------------------------------------- */

FUSES(one_more, "GetSlot i\nInc\nSetSlot i\nReturn\n", "PreIncSlotVoid i\nReturn\n")
FUSES(one_more_of_a_slot_that_is_taken, "TakeSlot i\nInc\nSetSlot i\nReturn\n",
      "PreIncSlotVoid i\nReturn\n")
FUSES(one_more_by_adding, "GetSlot i\nInt 1\nAdd\nSetSlot i\nReturn\n",
      "PreIncSlotVoid i\nReturn\n")
FUSES(one_less_by_subtracting, "GetSlot i\nInt 1\nSub\nReturn\n", "GetSlot i\nDec\nReturn\n")
STAYS(two_more, "GetSlot i\nInt 2\nAdd\nSetSlot i\nReturn\n")
STAYS(one_more_in_another_slot, "GetSlot i\nInc\nSetSlot s\nReturn\n")
FUSES(the_new_value_of_one_more, "GetSlot i\nInc\nDup\nSetSlot i\nReturnValue\n",
      "PreIncSlot i\nReturnValue\n")
FUSES(the_new_value_of_one_less, "GetSlot i\nDec\nDup\nSetSlot i\nReturnValue\n",
      "PreDecSlot i\nReturnValue\n")
FUSES(the_old_value_of_one_more, "GetSlot i\nDup\nInc\nSetSlot i\nReturnValue\n",
      "PostIncSlot i\nReturnValue\n")
FUSES(the_old_value_of_one_less, "GetSlot i\nDup\nDec\nSetSlot i\nReturnValue\n",
      "PostDecSlot i\nReturnValue\n")
FUSES(a_new_value_that_nobody_wants, "GetSlot i\nInc\nDup\nSetSlot i\nPop\nReturn\n",
      "PreIncSlotVoid i\nReturn\n")
FUSES(an_old_value_that_nobody_wants, "GetSlot i\nDup\nInc\nSetSlot i\nPop\nReturn\n",
      "PreIncSlotVoid i\nReturn\n")
FUSES(an_assigned_value_that_nobody_wants, "Int 5\nDup\nSetSlot s\nPop\nReturn\n",
      "Int 5\nSetSlot s\nReturn\n")
STAYS(an_assigned_value_that_somebody_wants, "Int 5\nDup\nSetSlot s\nReturnValue\n")

/* ---- sums ----------------------------------------------------------------------------------- */

FUSES(a_sum, "GetSlot s\nGetSlot i\nAdd\nSetSlot s\nReturn\n", "AddAssignSlotVoid s, i\nReturn\n")
FUSES(a_sum_whose_slot_is_taken, "TakeSlot s\nGetSlot i\nAdd\nSetSlot s\nReturn\n",
      "AddAssignSlotVoid s, i\nReturn\n")
FUSES(twice_a_slot, "GetSlot s\nGetSlot s\nAdd\nSetSlot s\nReturn\n",
      "AddAssignSlotVoid s, s\nReturn\n")
STAYS(a_slot_that_is_gone_when_it_is_added, "TakeSlot s\nGetSlot s\nAdd\nSetSlot s\nReturn\n")
STAYS(a_sum_in_a_third_slot, "GetSlot s\nGetSlot i\nAdd\nSetSlot a\nReturn\n")

/* ---- jump targets --------------------------------------------------------------------------- */

STAYS(nothing_across_a_jump_target, "True\nJumpIfTrue L\nGetSlot i\nPop\nGetSlot i\nJump M\nL: "
                                    "GetSlot i\nM: Inc\nSetSlot i\nReturn\n")
FUSES(what_begins_with_a_jump_target,
      "True\nJumpIfTrue L\nNop\nL: GetSlot i\nInc\nSetSlot i\nReturn\n",
      "True\nJumpIfTrue L\nNop\nL: PreIncSlotVoid i\nReturn\n")
FUSES(jumps_over_what_became_shorter, "True\nJumpIfFalse L\nGetSlot i\nInc\nSetSlot i\nL: Return\n",
      "True\nJumpIfFalse L\nPreIncSlotVoid i\nL: Return\n")

/* ---- branches and loops --------------------------------------------------------------------- */

FUSES(a_branch_on_a_limit, "GetSlot i\nInt 9\nLt\nJumpIfFalse L\nNop\nL: Return\n",
      "SlotLtIntJumpIfFalse i, 9, L\nNop\nL: Return\n")
STAYS(a_limit_of_more_than_32_bits,
      "GetSlot i\nInt 2147483648\nLt\nJumpIfFalse L\nNop\nL: Return\n")
STAYS(a_branch_on_another_comparison, "GetSlot i\nInt 9\nLe\nJumpIfFalse L\nNop\nL: Return\n")

FUSES(a_loop_tested_at_its_end,
      "B: Nop\nGetSlot i\nInc\nSetSlot i\nGetSlot i\nInt 9\nLt\n"
      "JumpIfTrue B\nReturn\n",
      "B: Nop\nSlotIncLtIntJumpBack i, 9, B\nReturn\n")
FUSES(a_while_loop,
      "Jump C\nB: Nop\nGetSlot i\nInc\nSetSlot i\nC: GetSlot i\nInt 9\nLt\n"
      "JumpIfTrue B\nReturn\n",
      "SlotLtIntJumpIfFalse i, 9, E\nB: Nop\nSlotIncLtIntJumpBack i, 9, B\nE: Return\n")
FUSES(a_while_loop_that_goes_on_from_its_middle,
      "Jump C\nB: True\nJumpIfTrue C\nNop\nGetSlot i\nInc\nSetSlot i\nC: GetSlot i\nInt 9\nLt\n"
      "JumpIfTrue B\nReturn\n",
      "SlotLtIntJumpIfFalse i, 9, E\nB: True\nJumpIfTrue C\nNop\nPreIncSlotVoid i\n"
      "C: GetSlot i\nInt 9\nLt\nJumpIfTrue B\nE: Return\n")
FUSES(a_loop_tested_at_its_head,
      "H: GetSlot i\nInt 9\nLt\nJumpIfFalse E\nNop\nGetSlot i\nInc\nSetSlot i\nJump H\nE: Return\n",
      "SlotLtIntJumpIfFalse i, 9, E\nB: Nop\nSlotIncLtIntJumpBack i, 9, B\nE: Return\n")
STAYS(a_loop_whose_counter_is_another,
      "B: Nop\nPreIncSlotVoid s\nGetSlot i\nInt 9\nLt\nJumpIfTrue B\nReturn\n")
STAYS(a_step_and_a_branch_that_goes_on,
      "PreIncSlotVoid i\nGetSlot i\nInt 9\nLt\nJumpIfTrue B\nNop\nB: Return\n")

/* ---- whole loops ---------------------------------------------------------------------------- */

#define WHILE(body)                                                                                \
    "Jump C\nB: " body "GetSlot i\nInc\nSetSlot i\nC: GetSlot i\nInt 9\nLt\nJumpIfTrue "           \
    "B\nReturn\n"
#define FOR(body)                                                                                  \
    "GetSlot i\nInt 9\nLt\nJumpIfFalse E\nB: " body                                                \
    "GetSlot i\nInc\nSetSlot i\nGetSlot i\nInt 9\nLt\nJumpIfTrue B\nE: Return\n"
#define TOP_TESTED(body)                                                                           \
    "H: GetSlot i\nInt 9\nLt\nJumpIfFalse E\n" body "GetSlot i\nInc\nSetSlot i\nJump H\nE: "       \
    "Return\n"
#define SUM    "GetSlot s\nGetSlot i\nAdd\nSetSlot s\n"
#define CONCAT "TakeSlot s\nConst \"x\"\nConcat\nSetSlot s\n"
#define PUSH   "GetSlot i\nPushPath slot a, 0\n"

FUSES(a_while_loop_of_sums, WHILE(SUM), "AccumSumLoop s, i, 9\nReturn\n")
FUSES(a_for_loop_of_sums, FOR(SUM), "AccumSumLoop s, i, 9\nReturn\n")
FUSES(a_top_tested_loop_of_sums, TOP_TESTED(SUM), "AccumSumLoop s, i, 9\nReturn\n")
FUSES(a_while_loop_of_strings, WHILE(CONCAT), "ConcatConstLoop s, i, 9, \"x\"\nReturn\n")
FUSES(a_for_loop_of_strings, FOR(CONCAT), "ConcatConstLoop s, i, 9, \"x\"\nReturn\n")
FUSES(a_while_loop_of_pushes, WHILE(PUSH), "PushIntRangeLoop a, i, 9\nReturn\n")
FUSES(a_for_loop_of_pushes, FOR(PUSH), "PushIntRangeLoop a, i, 9\nReturn\n")
FUSES(a_loop_in_a_loop, "Int 0\nSetSlot 3\nO: Int 0\nSetSlot i\n" FOR(SUM) "Nop\nReturn\n",
      "Int 0\nSetSlot 3\nO: Int 0\nSetSlot i\nAccumSumLoop s, i, 9\nReturn\nNop\nReturn\n")

FUSES(a_loop_of_two_sums_is_no_whole_loop, FOR(SUM SUM),
      "SlotLtIntJumpIfFalse i, 9, E\nB: AddAssignSlotVoid s, i\nAddAssignSlotVoid s, i\n"
      "SlotIncLtIntJumpBack i, 9, B\nE: Return\n")
FUSES(a_sum_of_its_own_counter_is_no_whole_loop, FOR("GetSlot i\nGetSlot i\nAdd\nSetSlot i\n"),
      "SlotLtIntJumpIfFalse i, 9, E\nB: AddAssignSlotVoid i, i\nSlotIncLtIntJumpBack i, 9, B\n"
      "E: Return\n")
FUSES(a_string_of_numbers_is_no_whole_loop, FOR("GetSlot s\nConst 5\nConcat\nSetSlot s\n"),
      "SlotLtIntJumpIfFalse i, 9, E\nB: GetSlot s\nConst 5\nConcat\nSetSlot s\n"
      "SlotIncLtIntJumpBack i, 9, B\nE: Return\n")
FUSES(a_push_by_path_is_no_whole_loop, FOR("Int 1\nGetSlot i\nPushPath slot a, 1\n"),
      "SlotLtIntJumpIfFalse i, 9, E\nB: Int 1\nGetSlot i\nPushPath slot a, 1\n"
      "SlotIncLtIntJumpBack i, 9, B\nE: Return\n")
FUSES(a_push_to_a_global_is_no_whole_loop, FOR("GetSlot i\nPushPath global a, 0\n"),
      "SlotLtIntJumpIfFalse i, 9, E\nB: GetSlot i\nPushPath global a, 0\n"
      "SlotIncLtIntJumpBack i, 9, B\nE: Return\n")
FUSES(a_test_with_another_limit_is_no_whole_loop,
      "GetSlot i\nInt 8\nLt\nJumpIfFalse E\nB: " SUM
      "GetSlot i\nInc\nSetSlot i\nGetSlot i\nInt 9\nLt\nJumpIfTrue B\nE: Return\n",
      "SlotLtIntJumpIfFalse i, 8, E\nB: AddAssignSlotVoid s, i\nSlotIncLtIntJumpBack i, 9, B\n"
      "E: Return\n")
FUSES(a_test_that_goes_elsewhere_is_no_whole_loop,
      "GetSlot i\nInt 9\nLt\nJumpIfFalse F\nB: " SUM
      "GetSlot i\nInc\nSetSlot i\nGetSlot i\nInt 9\nLt\nJumpIfTrue B\nReturn\nF: Return\n",
      "SlotLtIntJumpIfFalse i, 9, F\nB: AddAssignSlotVoid s, i\nSlotIncLtIntJumpBack i, 9, B\n"
      "Return\nF: Return\n")
FUSES(a_loop_that_something_jumps_into_is_no_whole_loop, FOR(SUM) "True\nJumpIfTrue B\nReturn\n",
      "SlotLtIntJumpIfFalse i, 9, E\nB: AddAssignSlotVoid s, i\nSlotIncLtIntJumpBack i, 9, B\n"
      "E: Return\nTrue\nJumpIfTrue B\nReturn\n")
FUSES(a_loop_that_something_leaves_for_is_a_whole_loop, "True\nJumpIfTrue E\n" FOR(SUM),
      "True\nJumpIfTrue E\nAccumSumLoop s, i, 9\nE: Return\n")

/* ---- the pass as a whole -------------------------------------------------------------------- */

Test(fuse, each_op_keeps_the_line_of_the_first_that_it_stands_for)
{
    struct jitvm_chunk *chunk = chunk_of(BODY("Nop\nGetSlot i\nInc\nSetSlot i\nReturn\n"));
    uint32_t lines[] = {1, 2, 3, 4, 5}, count = 5;
    cr_assert(fuse_ops(chunk->ops, lines, &count, chunk->constants));
    cr_assert_eq(count, 3);
    cr_assert_eq(lines[0], 1);
    cr_assert_eq(lines[1], 2);
    cr_assert_eq(lines[2], 5);
    jitvm_chunk_unref(chunk);
}

Test(fuse, what_is_fused_is_not_changed_again)
{
    fuses(BODY("SlotLtIntJumpIfFalse i, 9, E\nB: Nop\nSlotIncLtIntJumpBack i, 9, B\nE: Return\n"),
          BODY("SlotLtIntJumpIfFalse i, 9, E\nB: Nop\nSlotIncLtIntJumpBack i, 9, B\nE: Return\n"));
}

Test(fuse, nothing_is_nothing)
{
    uint32_t count = 0;
    cr_assert(fuse_ops(NULL, NULL, &count, NULL));
    cr_assert_eq(count, 0);
}
