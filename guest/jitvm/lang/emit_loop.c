/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emitting loops, all tested at the bottom. `while` jumps to its test; `for` tests once more before
 * the first pass instead, so that step and test of its counter stand side by side and can be fused.
 */
#include "guest/jitvm/lang/emit.h"

static void loop_open(struct emitter *e, struct emit_loop *loop)
{
    *loop = (struct emit_loop){.outer = e->loop, .next = emit_label(e), .end = emit_label(e)};
    e->loop = loop;
}

static void loop_close(struct emitter *e, struct emit_loop *loop)
{
    emit_label_here(e, &loop->end);
    e->loop = loop->outer;
}

/* ---- while ---------------------------------------------------------------------------------- */

static void emit_while_loop(struct emitter *e, struct node *node, bool endless)
{
    struct emit_loop loop;
    struct emit_label body = emit_label(e);
    loop_open(e, &loop);
    if (!endless)
        emit_jump(e, node, OP_Jump, &loop.next);
    emit_loop_here(e, &body);
    emit_statement(e, node->b);
    emit_label_here(e, &loop.next);
    emit_condition(e, node->a, true, &body);
    loop_close(e, &loop);
}

void emit_while(struct emitter *e, struct node *node)
{
    bool truth = false;
    bool known = node_truth(node->a, &truth);
    if (!e->dead && !(known && !truth))
        emit_while_loop(e, node, known);
}

/* ---- for, over a range ---------------------------------------------------------------------- */

struct range_loop {
    const struct node *node;
    uint32_t counter, limit_slot, step_slot;
    bool limit_known, step_known;
    int64_t limit, step; /* the limit is not included, unless step is not known */
    bool included;       /* likewise */
};

static void emit_to_int(struct emitter *e, struct node *node)
{
    emit_value(e, node);
    if (node->kind != NODE_INT)
        emit_op(e, node, OP_ToInt);
}

static void range_step(struct emitter *e, struct range_loop *loop, struct node *step)
{
    loop->step = 1;
    loop->step_known = !step || step->kind == NODE_INT;
    if (!step)
        return;
    if (step->kind == NODE_INT)
        loop->step = step->as.i;
    if (loop->step == 0 || step->kind == NODE_FLOAT || step->kind == NODE_STR)
        (void)lang_fail(e->lang, step->line, step->column,
                        "the step of a range is an int other than 0");
    if (loop->step_known)
        return;
    loop->step_slot = emit_slot(e);
    emit_to_int(e, step);
    emit_set_slot(e, step, loop->step_slot);
}

/* One further than an included limit. */
static void range_known_limit(struct emitter *e, struct range_loop *loop, const struct node *to)
{
    loop->limit_known = true;
    loop->limit = to->as.i;
    if (!loop->included || !loop->step_known)
        return;
    loop->included = false;
    if (loop->limit == (loop->step > 0 ? INT64_MAX : INT64_MIN))
        (void)lang_fail(e->lang, to->line, to->column,
                        "a range cannot include the last of all ints");
    else
        loop->limit += loop->step > 0 ? 1 : -1;
}

static void range_limit(struct emitter *e, struct range_loop *loop, struct node *to)
{
    if (to->kind == NODE_INT)
        return range_known_limit(e, loop, to);
    loop->limit_slot = emit_slot(e);
    emit_to_int(e, to);
    if (loop->included && loop->step_known) {
        loop->included = false;
        emit_int(e, to, 1);
        emit_op(e, to, loop->step > 0 ? OP_Add : OP_Sub);
    }
    emit_set_slot(e, to, loop->limit_slot);
}

static void emit_compare(struct emitter *e, const struct range_loop *loop, enum op_code code)
{
    emit_get_slot(e, loop->node, loop->counter);
    if (loop->limit_known)
        emit_int(e, loop->node, loop->limit);
    else
        emit_get_slot(e, loop->node, loop->limit_slot);
    emit_op(e, loop->node, code);
}

/* Which way a step from a slot goes is seen at each test; 0 ends the loop. */
static void emit_test_either_way(struct emitter *e, const struct range_loop *loop, bool sense,
                                 struct emit_label *label)
{
    struct emit_label down = emit_label(e), not_met = emit_label(e);
    const struct node *node = loop->node;
    struct emit_label *if_false = sense ? &not_met : label;
    emit_get_slot(e, node, loop->step_slot);
    emit_int(e, node, 0);
    emit_op(e, node, OP_Gt);
    emit_jump(e, node, OP_JumpIfFalse, &down);
    emit_compare(e, loop, loop->included ? OP_Le : OP_Lt);
    emit_jump(e, node, sense ? OP_JumpIfTrue : OP_JumpIfFalse, label);
    emit_jump(e, node, OP_Jump, &not_met);
    emit_label_here(e, &down);
    emit_get_slot(e, node, loop->step_slot);
    emit_int(e, node, 0);
    emit_op(e, node, OP_Lt);
    emit_jump(e, node, OP_JumpIfFalse, if_false);
    emit_compare(e, loop, loop->included ? OP_Ge : OP_Gt);
    emit_jump(e, node, sense ? OP_JumpIfTrue : OP_JumpIfFalse, label);
    emit_label_here(e, &not_met);
}

static void emit_test(struct emitter *e, const struct range_loop *loop, bool sense,
                      struct emit_label *label)
{
    if (!loop->step_known)
        return emit_test_either_way(e, loop, sense, label);
    emit_compare(e, loop, loop->step > 0 ? OP_Lt : OP_Gt);
    emit_jump(e, loop->node, sense ? OP_JumpIfTrue : OP_JumpIfFalse, label);
}

static void emit_step(struct emitter *e, const struct range_loop *loop)
{
    bool down = loop->step_known && loop->step < 0 && loop->step != INT64_MIN;
    emit_get_slot(e, loop->node, loop->counter);
    if (loop->step_known)
        emit_int(e, loop->node, down ? -loop->step : loop->step);
    else
        emit_get_slot(e, loop->node, loop->step_slot);
    emit_op(e, loop->node, down ? OP_Sub : OP_Add);
    emit_set_slot(e, loop->node, loop->counter);
}

/* Where it is known that there is no pass at all, the loop is left out. A test that is known to
 * hold stays: with it, the builder can make one op of a whole loop. */
static void emit_first_test(struct emitter *e, const struct range_loop *loop,
                            const struct node *from, struct emit_label *end)
{
    bool known = from->kind == NODE_INT && loop->limit_known && loop->step_known;
    if (known && (loop->step > 0 ? from->as.i >= loop->limit : from->as.i <= loop->limit))
        emit_jump(e, loop->node, OP_Jump, end);
    else
        emit_test(e, loop, false, end);
}

static void emit_for_range(struct emitter *e, struct node *node)
{
    struct node *range = node->a;
    struct range_loop range_loop = {.node = node, .included = range->flag};
    struct emit_loop loop;
    struct emit_label body = emit_label(e);
    range_loop.counter = emit_variable(e, node->list->as.name.variable);
    emit_to_int(e, range->a);
    emit_set_slot(e, node, range_loop.counter);
    range_step(e, &range_loop, range->c);
    range_limit(e, &range_loop, range->b);
    loop_open(e, &loop);
    emit_first_test(e, &range_loop, range->a, &loop.end);
    if (!e->dead) {
        emit_loop_here(e, &body);
        emit_statement(e, node->b);
        emit_label_here(e, &loop.next);
        emit_step(e, &range_loop);
        emit_test(e, &range_loop, true, &body);
    }
    loop_close(e, &loop);
}

/* ---- for, over a container ------------------------------------------------------------------ */

struct walk {
    const struct node *node;
    uint32_t keys, values, counter, count; /* slots */
};

static void walk_test(struct emitter *e, const struct walk *walk, bool sense,
                      struct emit_label *label)
{
    emit_get_slot(e, walk->node, walk->counter);
    emit_get_slot(e, walk->node, walk->count);
    emit_op(e, walk->node, OP_Lt);
    emit_jump(e, walk->node, sense ? OP_JumpIfTrue : OP_JumpIfFalse, label);
}

static void walk_set(struct emitter *e, const struct walk *walk, const struct node *name,
                     uint32_t from)
{
    emit_get_slot(e, walk->node, walk->counter);
    emit_path_slot(e, walk->node, OP_GetPath, from, 1);
    emit_set(e, walk->node, name->as.name.variable);
}

static void walk_next(struct emitter *e, const struct walk *walk)
{
    emit_get_slot(e, walk->node, walk->counter);
    emit_int(e, walk->node, 1);
    emit_op(e, walk->node, OP_Add);
    emit_set_slot(e, walk->node, walk->counter);
}

/* Both lists are of the container as it is now, whatever the body does to it. */
static void walk_begin(struct emitter *e, struct walk *walk, struct node *container)
{
    struct emit_place place;
    uint32_t slot = emit_slot(e);
    *walk = (struct walk){walk->node, slot, emit_slot(e), emit_slot(e), emit_slot(e)};
    if (walk->node->count == 1 || emit_place_of(container, &place)) {
        emit_walked(e, container, OP_ValuesPath);
        emit_set_slot(e, container, walk->values);
        if (walk->node->count == 2) {
            emit_walked(e, container, OP_KeysPath);
            emit_set_slot(e, container, walk->keys);
        }
    } else {
        emit_value(e, container);
        emit_set_slot(e, container, slot);
        emit_path_slot(e, container, OP_ValuesPath, slot, 0);
        emit_set_slot(e, container, walk->values);
        emit_path_slot(e, container, OP_KeysPath, slot, 0);
        emit_set_slot(e, container, slot);
    }
    emit_path_slot(e, container, OP_LenPath, walk->values, 0);
    emit_set_slot(e, container, walk->count);
    emit_int(e, container, 0);
    emit_set_slot(e, container, walk->counter);
}

static void emit_empty(struct emitter *e, const struct node *node, uint32_t slot)
{
    emit_op(e, node, OP_Undef);
    emit_set_slot(e, node, slot);
}

static void emit_for_container(struct emitter *e, struct node *node)
{
    struct emit_loop loop;
    struct emit_label body = emit_label(e);
    const struct node *value = node->count == 2 ? node->list->next : node->list;
    struct walk walk = {.node = node};
    walk_begin(e, &walk, node->a);
    loop_open(e, &loop);
    walk_test(e, &walk, false, &loop.end);
    emit_loop_here(e, &body);
    if (node->count == 2)
        walk_set(e, &walk, node->list, walk.keys);
    walk_set(e, &walk, value, walk.values);
    emit_statement(e, node->b);
    emit_label_here(e, &loop.next);
    walk_next(e, &walk);
    walk_test(e, &walk, true, &body);
    loop_close(e, &loop);
    emit_empty(e, node, walk.values);
    if (node->count == 2)
        emit_empty(e, node, walk.keys);
}

void emit_for(struct emitter *e, struct node *node)
{
    if (e->dead)
        return;
    if (node->a->kind == NODE_RANGE)
        emit_for_range(e, node);
    else
        emit_for_container(e, node);
}
