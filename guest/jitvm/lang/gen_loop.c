/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emitting loops, all tested at the bottom. `while` jumps to its test; `for` tests once more before
 * the first pass instead, so that step and test of its counter stand side by side and can be fused.
 */
#include "guest/jitvm/lang/gen.h"

static void loop_open(struct gen *g, struct gen_loop *loop)
{
    *loop = (struct gen_loop){.outer = g->loop, .next = gen_label(g), .end = gen_label(g)};
    g->loop = loop;
}

static void loop_close(struct gen *g, struct gen_loop *loop)
{
    gen_label_here(g, &loop->end);
    g->loop = loop->outer;
}

/* ---- while ---------------------------------------------------------------------------------- */

static void gen_while_loop(struct gen *g, struct node *node, bool endless)
{
    struct gen_loop loop;
    struct gen_label body = gen_label(g);
    loop_open(g, &loop);
    if (!endless)
        gen_jump(g, node, OP_Jump, &loop.next);
    gen_loop_here(g, &body);
    gen_statement(g, node->b);
    gen_label_here(g, &loop.next);
    gen_condition(g, node->a, true, &body);
    loop_close(g, &loop);
}

void gen_while(struct gen *g, struct node *node)
{
    bool truth = false;
    bool known = node_truth(node->a, &truth);
    if (!g->dead && !(known && !truth))
        gen_while_loop(g, node, known);
}

/* ---- for, over a range ---------------------------------------------------------------------- */

struct range_loop {
    const struct node *node;
    uint32_t counter, limit_slot, step_slot;
    bool limit_known, step_known;
    int64_t limit, step; /* the limit is not included, unless step is not known */
    bool included;       /* likewise */
};

static void range_known_step(struct gen *g, struct range_loop *loop, const struct node *step)
{
    loop->step = 1;
    loop->step_known = !step || step->kind == NODE_INT;
    if (!step)
        return;
    if (step->kind == NODE_FLOAT || step->kind == NODE_STR || (loop->step_known && !step->as.i))
        (void)lang_fail(g->lang, step->line, step->column,
                        "the step of a range is an int other than 0");
    else if (loop->step_known)
        loop->step = step->as.i;
}

static void range_step(struct gen *g, struct range_loop *loop, struct node *step)
{
    if (loop->step_known)
        return;
    loop->step_slot = gen_slot(g);
    gen_to_int(g, step);
    gen_set_slot(g, step, loop->step_slot);
}

/* The furthest limit that no step wraps around on its way past. */
static int64_t furthest_limit(const struct range_loop *loop)
{
    int64_t spare = loop->included ? 0 : 1;
    return loop->step > 0 ? INT64_MAX - loop->step + spare : INT64_MIN - loop->step - spare;
}

/* One further than an included limit. */
static void range_known_limit(struct gen *g, struct range_loop *loop, const struct node *to)
{
    loop->limit_known = true;
    loop->limit = to->as.i;
    if (!loop->step_known)
        return;
    int64_t last = furthest_limit(loop);
    if (loop->step > 0 ? loop->limit > last : loop->limit < last)
        (void)lang_fail(g->lang, to->line, to->column,
                        "this end is so near the last int that a step past it wraps around");
    else if (loop->included)
        loop->limit += loop->step > 0 ? 1 : -1;
    loop->included = false;
}

/* Fails when a step past the limit may wrap around. */
static void gen_range_check(struct gen *g, const struct range_loop *loop)
{
    if (loop->limit_known)
        gen_int(g, loop->node, loop->limit);
    else
        gen_get_slot(g, loop->node, loop->limit_slot);
    if (loop->step_known)
        gen_int(g, loop->node, loop->step);
    else
        gen_get_slot(g, loop->node, loop->step_slot);
    gen_op(g, loop->node, loop->included ? OP_True : OP_False);
    gen_builtin(g, loop->node, "for", 3);
    gen_op(g, loop->node, OP_Pop);
}

/* What costs a call is left to the case that fails. */
static void gen_known_step_check(struct gen *g, const struct range_loop *loop)
{
    struct gen_label near_enough = gen_label(g);
    gen_get_slot(g, loop->node, loop->limit_slot);
    gen_int(g, loop->node, furthest_limit(loop));
    gen_op(g, loop->node, loop->step > 0 ? OP_Gt : OP_Lt);
    gen_jump(g, loop->node, OP_JumpIfFalse, &near_enough);
    gen_range_check(g, loop);
    gen_label_here(g, &near_enough);
}

static void gen_include_limit(struct gen *g, struct range_loop *loop)
{
    loop->included = false;
    gen_get_slot(g, loop->node, loop->limit_slot);
    gen_int(g, loop->node, 1);
    gen_op(g, loop->node, loop->step > 0 ? OP_Add : OP_Sub);
    gen_set_slot(g, loop->node, loop->limit_slot);
}

static void range_limit(struct gen *g, struct range_loop *loop, struct node *to)
{
    if (to->kind == NODE_INT)
        return range_known_limit(g, loop, to);
    loop->limit_slot = gen_slot(g);
    gen_to_int(g, to);
    gen_set_slot(g, to, loop->limit_slot);
    if (!loop->step_known)
        return;
    if (loop->included || (loop->step != 1 && loop->step != -1))
        gen_known_step_check(g, loop);
    if (loop->included)
        gen_include_limit(g, loop);
}

static void gen_compare(struct gen *g, const struct range_loop *loop, enum op_code code)
{
    gen_get_slot(g, loop->node, loop->counter);
    if (loop->limit_known)
        gen_int(g, loop->node, loop->limit);
    else
        gen_get_slot(g, loop->node, loop->limit_slot);
    gen_op(g, loop->node, code);
}

/* Which way a step from a slot goes is seen at each test; 0 ends the loop. */
static void gen_test_either_way(struct gen *g, const struct range_loop *loop, bool sense,
                                struct gen_label *label)
{
    struct gen_label down = gen_label(g), not_met = gen_label(g);
    const struct node *node = loop->node;
    struct gen_label *if_false = sense ? &not_met : label;
    gen_get_slot(g, node, loop->step_slot);
    gen_int(g, node, 0);
    gen_op(g, node, OP_Gt);
    gen_jump(g, node, OP_JumpIfFalse, &down);
    gen_compare(g, loop, loop->included ? OP_Le : OP_Lt);
    gen_jump(g, node, sense ? OP_JumpIfTrue : OP_JumpIfFalse, label);
    gen_jump(g, node, OP_Jump, &not_met);
    gen_label_here(g, &down);
    gen_get_slot(g, node, loop->step_slot);
    gen_int(g, node, 0);
    gen_op(g, node, OP_Lt);
    gen_jump(g, node, OP_JumpIfFalse, if_false);
    gen_compare(g, loop, loop->included ? OP_Ge : OP_Gt);
    gen_jump(g, node, sense ? OP_JumpIfTrue : OP_JumpIfFalse, label);
    gen_label_here(g, &not_met);
}

static void gen_test(struct gen *g, const struct range_loop *loop, bool sense,
                     struct gen_label *label)
{
    if (!loop->step_known)
        return gen_test_either_way(g, loop, sense, label);
    gen_compare(g, loop, loop->step > 0 ? OP_Lt : OP_Gt);
    gen_jump(g, loop->node, sense ? OP_JumpIfTrue : OP_JumpIfFalse, label);
}

static void gen_step(struct gen *g, const struct range_loop *loop)
{
    bool down = loop->step_known && loop->step < 0 && loop->step != INT64_MIN;
    gen_get_slot(g, loop->node, loop->counter);
    if (loop->step_known)
        gen_int(g, loop->node, down ? -loop->step : loop->step);
    else
        gen_get_slot(g, loop->node, loop->step_slot);
    gen_op(g, loop->node, down ? OP_Sub : OP_Add);
    gen_set_slot(g, loop->node, loop->counter);
}

/* It is known that there is no pass at all. */
static bool is_empty(const struct range_loop *loop, const struct node *from)
{
    return from->kind == NODE_INT && loop->limit_known && loop->step_known &&
           (loop->step > 0 ? from->as.i >= loop->limit : from->as.i <= loop->limit);
}

/* A first test that is known to hold is made all the same: with it, the builder can make one op of
 * a whole loop. */
static void gen_range_passes(struct gen *g, struct node *node, const struct range_loop *range_loop)
{
    struct gen_loop loop;
    struct gen_label body = gen_label(g);
    loop_open(g, &loop);
    gen_test(g, range_loop, false, &loop.end);
    gen_loop_here(g, &body);
    gen_statement(g, node->b);
    gen_label_here(g, &loop.next);
    gen_step(g, range_loop);
    gen_test(g, range_loop, true, &body);
    loop_close(g, &loop);
}

static void gen_for_range(struct gen *g, struct node *node)
{
    struct node *range = node->a;
    struct range_loop loop = {.node = node, .included = range->flag};
    loop.counter = gen_variable(g, node->list->as.name.variable);
    gen_to_int(g, range->a);
    gen_set_slot(g, node, loop.counter);
    range_known_step(g, &loop, range->c);
    range_limit(g, &loop, range->b);
    range_step(g, &loop, range->c);
    if (!loop.step_known)
        gen_range_check(g, &loop);
    if (!is_empty(&loop, range->a))
        gen_range_passes(g, node, &loop);
}

/* ---- for, over a container ------------------------------------------------------------------ */

struct walk {
    const struct node *node;
    uint32_t keys, values, counter, count; /* slots */
};

static void walk_test(struct gen *g, const struct walk *walk, bool sense, struct gen_label *label)
{
    gen_get_slot(g, walk->node, walk->counter);
    gen_get_slot(g, walk->node, walk->count);
    gen_op(g, walk->node, OP_Lt);
    gen_jump(g, walk->node, sense ? OP_JumpIfTrue : OP_JumpIfFalse, label);
}

static void walk_set(struct gen *g, const struct walk *walk, const struct node *name, uint32_t from)
{
    gen_get_slot(g, walk->node, walk->counter);
    gen_path_slot(g, walk->node, OP_GetPath, from, 1);
    gen_set(g, walk->node, name->as.name.variable);
}

static void walk_next(struct gen *g, const struct walk *walk)
{
    gen_get_slot(g, walk->node, walk->counter);
    gen_int(g, walk->node, 1);
    gen_op(g, walk->node, OP_Add);
    gen_set_slot(g, walk->node, walk->counter);
}

/* Both lists are of the container as it is now, whatever the body does to it. */
static void walk_begin(struct gen *g, struct walk *walk, struct node *container)
{
    struct gen_place place;
    uint32_t slot = gen_slot(g);
    *walk = (struct walk){walk->node, slot, gen_slot(g), gen_slot(g), gen_slot(g)};
    if (walk->node->count == 1 || gen_place_of(container, &place)) {
        gen_walked(g, container, OP_ValuesPath);
        gen_set_slot(g, container, walk->values);
        if (walk->node->count == 2) {
            gen_walked(g, container, OP_KeysPath);
            gen_set_slot(g, container, walk->keys);
        }
    } else {
        gen_value(g, container);
        gen_set_slot(g, container, slot);
        gen_path_slot(g, container, OP_ValuesPath, slot, 0);
        gen_set_slot(g, container, walk->values);
        gen_path_slot(g, container, OP_KeysPath, slot, 0);
        gen_set_slot(g, container, slot);
    }
    gen_path_slot(g, container, OP_LenPath, walk->values, 0);
    gen_set_slot(g, container, walk->count);
    gen_int(g, container, 0);
    gen_set_slot(g, container, walk->counter);
}

static void gen_empty(struct gen *g, const struct node *node, uint32_t slot)
{
    gen_op(g, node, OP_Undef);
    gen_set_slot(g, node, slot);
}

static void gen_for_container(struct gen *g, struct node *node)
{
    struct gen_loop loop;
    struct gen_label body = gen_label(g);
    const struct node *value = node->count == 2 ? node->list->next : node->list;
    struct walk walk = {.node = node};
    walk_begin(g, &walk, node->a);
    loop_open(g, &loop);
    walk_test(g, &walk, false, &loop.end);
    gen_loop_here(g, &body);
    if (node->count == 2)
        walk_set(g, &walk, node->list, walk.keys);
    walk_set(g, &walk, value, walk.values);
    gen_statement(g, node->b);
    gen_label_here(g, &loop.next);
    walk_next(g, &walk);
    walk_test(g, &walk, true, &body);
    loop_close(g, &loop);
    gen_empty(g, node, walk.values);
    if (node->count == 2)
        gen_empty(g, node, walk.keys);
}

void gen_for(struct gen *g, struct node *node)
{
    if (g->dead)
        return;
    if (node->a->kind == NODE_RANGE)
        gen_for_range(g, node);
    else
        gen_for_container(g, node);
}
