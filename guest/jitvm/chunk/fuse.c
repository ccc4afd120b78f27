/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peephole pass: fused forms from plain ops.
 *
 * One pass over a function's ops, which are appended to an output list; after each, the end of the
 * list is reduced as long as a rule fits, so what one rule makes the next can use: an increment,
 * then a loop's end, then a whole loop. Only the first op of what a rule replaces may be a jump
 * target.
 *
 * Targets stay indices into the old list until the end. The output list overwrites the input, which
 * it never overtakes.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/chunk/builder.h"

struct fuser {
    struct jitvm_op *ops; /* [0, made): the output; from `next` on: the input that is left */
    uint32_t *lines;
    uint32_t *from;  /* of each op of the output: index of the first op that it stands for */
    uint32_t *jumps; /* to each old op, how many there are */
    uint32_t made, next, count;
    const struct jitvm_value *constants;
};

/* ---- matching the end of the output --------------------------------------------------------- */

static struct jitvm_op *from_end(const struct fuser *f, uint32_t back)
{
    return &f->ops[f->made - back];
}

/* Are the last ops these, and does no jump go to one behind the first? */
static bool ends_with(const struct fuser *f, const uint16_t *codes, uint32_t n)
{
    if (f->made < n)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (from_end(f, n - i)->code != codes[i])
            return false;
    for (uint32_t back = n - 1; back > 0; back--)
        if (f->jumps[f->from[f->made - back]] > 0)
            return false;
    return true;
}
#define ENDS_WITH(f, ...)                                                                          \
    ends_with(f, (const uint16_t[]){__VA_ARGS__},                                                  \
              sizeof((const uint16_t[]){__VA_ARGS__}) / sizeof(uint16_t))

static bool replace(struct fuser *f, uint32_t n, struct jitvm_op op)
{
    f->made -= n - 1;
    f->ops[f->made - 1] = op;
    return true;
}

static bool is_limit(const struct jitvm_op *op)
{
    return op->code == OP_Int && op->imm >= INT32_MIN && op->imm <= INT32_MAX;
}

/* ---- increments and sums -------------------------------------------------------------------- */

static struct jitvm_op slot_op(enum op_code code, uint16_t slot)
{
    return (struct jitvm_op){.code = (uint16_t)code, .a = slot};
}

/* GetSlot s, `two`, `three`, SetSlot s; taking the slot does as well when nobody looks at it. */
static bool fuse_step_value(struct fuser *f, enum op_code two, enum op_code three, enum op_code to)
{
    uint16_t slot = from_end(f, 1)->a;
    bool found = ENDS_WITH(f, OP_GetSlot, (uint16_t)two, (uint16_t)three, OP_SetSlot) ||
                 ENDS_WITH(f, OP_TakeSlot, (uint16_t)two, (uint16_t)three, OP_SetSlot);
    return found && from_end(f, 4)->a == slot && replace(f, 4, slot_op(to, slot));
}

static bool fuse_step(struct fuser *f)
{
    uint16_t slot = from_end(f, 1)->a;
    bool found = ENDS_WITH(f, OP_GetSlot, OP_Inc, OP_SetSlot) ||
                 ENDS_WITH(f, OP_TakeSlot, OP_Inc, OP_SetSlot);
    return found && from_end(f, 3)->a == slot && replace(f, 3, slot_op(OP_PreIncSlotVoid, slot));
}

static bool fuse_add_assign(struct fuser *f)
{
    bool taken = ENDS_WITH(f, OP_TakeSlot, OP_GetSlot, OP_Add, OP_SetSlot);
    if (!taken && !ENDS_WITH(f, OP_GetSlot, OP_GetSlot, OP_Add, OP_SetSlot))
        return false;
    uint16_t to = from_end(f, 4)->a, by = from_end(f, 3)->a;
    if (from_end(f, 1)->a != to || (taken && by == to))
        return false;
    return replace(f, 4, (struct jitvm_op){.code = OP_AddAssignSlotVoid, .a = to, .c = by});
}

static bool reduce_set_slot(struct fuser *f)
{
    return fuse_step(f) || fuse_add_assign(f) ||
           fuse_step_value(f, OP_Inc, OP_Dup, OP_PreIncSlot) ||
           fuse_step_value(f, OP_Dec, OP_Dup, OP_PreDecSlot) ||
           fuse_step_value(f, OP_Dup, OP_Inc, OP_PostIncSlot) ||
           fuse_step_value(f, OP_Dup, OP_Dec, OP_PostDecSlot);
}

/* The value of an assignment or increment that nobody wants. */
static bool reduce_pop(struct fuser *f)
{
    if (ENDS_WITH(f, OP_PreIncSlot, OP_Pop) || ENDS_WITH(f, OP_PostIncSlot, OP_Pop))
        return replace(f, 2, slot_op(OP_PreIncSlotVoid, from_end(f, 2)->a));
    if (ENDS_WITH(f, OP_Dup, OP_SetSlot, OP_Pop))
        return replace(f, 3, *from_end(f, 2));
    return false;
}

static bool reduce_add(struct fuser *f, enum op_code by_one)
{
    if (!ENDS_WITH(f, OP_Int, from_end(f, 1)->code) || from_end(f, 2)->imm != 1)
        return false;
    return replace(f, 2, (struct jitvm_op){.code = (uint16_t)by_one});
}

/* ---- loops ---------------------------------------------------------------------------------- */

/* Index in the output of the op that stands for an old one, which is a jump target. */
static uint32_t find_made(const struct fuser *f, uint32_t old)
{
    uint32_t low = 0, high = f->made;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (f->from[middle] <= old)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* A body of one effect, with the counter i, that has a whole-loop form. Its ops are [at, at+n). */
static bool whole_loop_of(const struct fuser *f, uint32_t at, uint32_t n, uint16_t i,
                          struct jitvm_op *out)
{
    const struct jitvm_op *op = &f->ops[at];
    if (n == 1 && op->code == OP_AddAssignSlotVoid && op->c == i) {
        *out = slot_op(OP_AccumSumLoop, op->a);
    } else if (n == 2 && op->code == OP_GetSlot && op->a == i && op[1].code == OP_PushPath &&
               op[1].a == 0 && op[1].c == 0 && op[1].b <= UINT16_MAX) {
        *out = slot_op(OP_PushIntRangeLoop, (uint16_t)op[1].b);
    } else if (n == 4 && (op->code == OP_GetSlot || op->code == OP_TakeSlot) &&
               op[1].code == OP_Const && f->constants[op[1].b].kind == JITVM_STR &&
               op[2].code == OP_Concat && op[3].code == OP_SetSlot && op[3].a == op->a) {
        *out = slot_op(OP_ConcatConstLoop, op->a);
        out->b = op[1].b;
    } else {
        return false;
    }
    out->c = i;
    return out->a != i;
}

static bool jumps_into(const struct fuser *f, uint32_t at, uint32_t end)
{
    for (; at < end; at++)
        if (f->jumps[f->from[at]] > 0)
            return true;
    return false;
}

/* At the end of the output: SlotLtIntJumpIfFalse i, k, behind; body; SlotIncLtIntJumpBack i, k,
 * body. */
static bool fuse_whole_loop(struct fuser *f)
{
    const struct jitvm_op *back = from_end(f, 1);
    uint32_t body = find_made(f, back->b), end = f->made - 1;
    if (f->from[body] != back->b || body == 0 || body >= end || end - body > 4)
        return false;
    const struct jitvm_op *head = &f->ops[body - 1];
    if (head->code != OP_SlotLtIntJumpIfFalse || head->a != back->a || head->imm != back->imm ||
        head->b != f->next || f->jumps[back->b] != 1 || jumps_into(f, body + 1, f->made))
        return false;
    struct jitvm_op loop;
    if (!whole_loop_of(f, body, end - body, back->a, &loop))
        return false;
    loop.imm = back->imm;
    f->jumps[back->b]--;
    f->jumps[head->b]--;
    return replace(f, f->made - (body - 1), loop);
}

static bool make_loop_end(struct fuser *f, uint32_t n, uint16_t slot, int64_t limit,
                          uint32_t target)
{
    struct jitvm_op op = slot_op(OP_SlotIncLtIntJumpBack, slot);
    op.imm = limit;
    op.b = target;
    (void)replace(f, n, op);
    return true;
}

/* A loop tested at its end: slot++; if slot < limit, back. */
static bool reduce_jump_if_true(struct fuser *f)
{
    if (!ENDS_WITH(f, OP_PreIncSlotVoid, OP_GetSlot, OP_Int, OP_Lt, OP_JumpIfTrue))
        return false;
    uint16_t slot = from_end(f, 5)->a;
    uint32_t target = from_end(f, 1)->b;
    if (from_end(f, 4)->a != slot || !is_limit(from_end(f, 3)) || target > f->from[f->made - 5])
        return false;
    return make_loop_end(f, 5, slot, from_end(f, 3)->imm, target);
}

/* A loop tested at its head, which this jumps to: the test is repeated here instead. */
static bool reduce_jump(struct fuser *f)
{
    if (!ENDS_WITH(f, OP_PreIncSlotVoid, OP_Jump) || from_end(f, 1)->b > f->from[f->made - 2])
        return false;
    uint32_t old_head = from_end(f, 1)->b, head = find_made(f, old_head);
    const struct jitvm_op *test = &f->ops[head];
    if (f->from[head] != old_head || test->code != OP_SlotLtIntJumpIfFalse ||
        test->a != from_end(f, 2)->a || test->b != f->next || head + 2 >= f->made)
        return false;
    uint32_t body = f->from[head + 1];
    f->jumps[old_head]--;
    f->jumps[body]++;
    return make_loop_end(f, 2, test->a, test->imm, body);
}

static bool reduce_jump_if_false(struct fuser *f)
{
    if (!ENDS_WITH(f, OP_GetSlot, OP_Int, OP_Lt, OP_JumpIfFalse) || !is_limit(from_end(f, 3)))
        return false;
    struct jitvm_op op = slot_op(OP_SlotLtIntJumpIfFalse, from_end(f, 4)->a);
    op.imm = from_end(f, 3)->imm;
    op.b = from_end(f, 1)->b;
    return replace(f, 4, op);
}

/* ---- the pass ------------------------------------------------------------------------------- */

static bool reduce(struct fuser *f)
{
    switch (from_end(f, 1)->code) {
    case OP_SetSlot:
        return reduce_set_slot(f);
    case OP_Pop:
        return reduce_pop(f);
    case OP_Add:
        return reduce_add(f, OP_Inc);
    case OP_Sub:
        return reduce_add(f, OP_Dec);
    case OP_JumpIfFalse:
        return reduce_jump_if_false(f);
    case OP_JumpIfTrue:
        return reduce_jump_if_true(f);
    case OP_Jump:
        return reduce_jump(f);
    case OP_SlotIncLtIntJumpBack:
        return fuse_whole_loop(f);
    default:
        return false;
    }
}

/* Loops as the .jv language makes them: Jump C; B: body; C: slot < limit; JumpIfTrue B. The first
 * jump becomes the test, so that C is a target no longer and the loop's end can fuse. */
static void test_at_entry(struct fuser *f, uint32_t jump)
{
    uint32_t c = f->ops[jump].b;
    if (c <= jump + 1 || c + 4 >= f->count)
        return;
    const struct jitvm_op *test = &f->ops[c];
    if (test[0].code != OP_GetSlot || !is_limit(&test[1]) || test[2].code != OP_Lt ||
        test[3].code != OP_JumpIfTrue || test[3].b != jump + 1)
        return;
    if (f->jumps[c + 1] > 0 || f->jumps[c + 2] > 0 || f->jumps[c + 3] > 0)
        return;
    struct jitvm_op op = slot_op(OP_SlotLtIntJumpIfFalse, test[0].a);
    op.imm = test[1].imm;
    op.b = c + 4;
    f->ops[jump] = op;
    f->jumps[c]--;
    f->jumps[c + 4]++;
}

static void count_jumps(struct fuser *f)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (op_is_jump(f->ops[i].code) && f->ops[i].b < f->count)
            f->jumps[f->ops[i].b]++;
}

static void pass(struct fuser *f)
{
    while (f->next < f->count) {
        f->from[f->made] = f->next;
        f->lines[f->made] = f->lines[f->next];
        f->ops[f->made++] = f->ops[f->next++];
        while (reduce(f))
            ;
    }
}

static void renumber_targets(struct fuser *f)
{
    for (uint32_t i = 0; i < f->made; i++)
        if (op_is_jump(f->ops[i].code))
            f->ops[i].b = find_made(f, f->ops[i].b);
}

bool fuse_ops(struct jitvm_op *ops, uint32_t *lines, uint32_t *count,
              const struct jitvm_value *constants)
{
    if (*count == 0)
        return true;
    struct fuser f = {.ops = ops, .lines = lines, .count = *count, .constants = constants};
    f.from = calloc(f.count, sizeof(*f.from));
    f.jumps = calloc(f.count, sizeof(*f.jumps));
    bool ok = f.from && f.jumps;
    if (ok) {
        count_jumps(&f);
        for (uint32_t i = 0; i < f.count; i++)
            if (ops[i].code == OP_Jump)
                test_at_entry(&f, i);
        pass(&f);
        renumber_targets(&f);
        *count = f.made;
    }
    free(f.from);
    free(f.jumps);
    return ok;
}
