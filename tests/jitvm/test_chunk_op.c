/* SPDX-License-Identifier: Apache-2.0 */
/* The op tables, and the names of statuses. */
#include <criterion/criterion.h>
#include <string.h>

#include "guest/jitvm/chunk/chunk.h"

Test(op, each_is_found_by_its_name)
{
    for (unsigned code = 0; code < OP_COUNT; code++)
        cr_assert_eq(op_find(op_name(code), strlen(op_name(code))), (int)code);
    cr_assert_eq(op_find("Addd", 4), -1);
    cr_assert_eq(op_find("Add", 2), -1);
    cr_assert_eq(op_find("", 0), -1);
}

static void expect_effect(struct jitvm_op op, uint32_t pops, uint32_t pushes)
{
    static const struct chunk_extension extension = {.pops = 4, .pushes = 1};
    struct op_effect effect = op_effect(&op, &extension);
    cr_assert_eq(effect.pops, pops, "%s pops %u", op_name(op.code), effect.pops);
    cr_assert_eq(effect.pushes, pushes, "%s pushes %u", op_name(op.code), effect.pushes);
}

#define OP(name, ...) ((struct jitvm_op){.code = OP_##name, __VA_ARGS__})

Test(op, effects_that_follow_from_the_operands)
{
    expect_effect(OP(MakeArray, .b = 3), 3, 1);
    expect_effect(OP(MakeHash, .b = 3), 6, 1);
    expect_effect(OP(GetPath, .c = 2), 2, 1);
    expect_effect(OP(SetPath, .c = 2), 3, 0);
    expect_effect(OP(PushPath, .c = 2), 3, 0);
    expect_effect(OP(PopPath, .c = 2), 2, 1);
    expect_effect(OP(ValuesPath, .c = 0), 0, 1);
    expect_effect(OP(Call, .a = 3), 3, 1);
    expect_effect(OP(CallDynamic, .a = 3), 4, 1);
    expect_effect(OP(CallBuiltin, .a = 3), 3, 1);
    expect_effect(OP(Extended, .a = 3), 4, 1);
    expect_effect(OP(ExtendedWide, .imm = 3), 4, 1);
}

Test(op, jumps_and_ends_are_told_apart)
{
    cr_assert(op_is_jump(OP_JumpIfFalseKeep) && op_is_jump(OP_SlotIncLtIntJumpBack));
    cr_assert_not(op_is_jump(OP_Return) || op_is_jump(OP_AccumSumLoop));
    cr_assert(op_ends_flow(OP_Jump) && op_ends_flow(OP_Return) && op_ends_flow(OP_ReturnValue));
    cr_assert_not(op_ends_flow(OP_JumpIfTrue));
}

Test(status, each_has_a_name)
{
    cr_assert_str_eq(jitvm_status_name(JITVM_OK), "ok");
    cr_assert_str_eq(jitvm_status_name(JITVM_ERR_TYPE), "type");
    cr_assert_str_eq(jitvm_status_name(JITVM_ERR_INTERRUPTED), "interrupted");
    cr_assert_str_eq(jitvm_status_name(JITVM_ERR_MEMORY), "memory");
    cr_assert_str_eq(jitvm_status_name((enum jitvm_status)(-16)), "unknown");
    cr_assert_str_eq(jitvm_status_name((enum jitvm_status)1), "unknown");
}
