/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stack ops to register code.
 *
 * The operand stack is followed at lowering time. An operand that is a slot or a constant is not
 * moved until somebody needs it in a register, so most ops name slots and literals directly. Where
 * ways meet, every operand is in its own register: slots + its position.
 */
#include "guest/jitvm/vm/lower.h"

#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/vm/literals.h"

/* ---- output --------------------------------------------------------------------------------- */

static bool lower_grow(struct lower *l)
{
    uint32_t room = l->room ? l->room * 2 : 64;
    struct insn *insns = realloc(l->code->insns, room * sizeof *insns);
    if (insns)
        l->code->insns = insns;
    uint8_t *ops = realloc(l->code->ops, room);
    if (ops)
        l->code->ops = ops;
    uint32_t *ips = realloc(l->code->ips, room * sizeof *ips);
    if (ips)
        l->code->ips = ips;
    if (!insns || !ops || !ips) {
        l->failed = true;
        return false;
    }
    l->room = room;
    return true;
}

uint32_t lower_emit(struct lower *l, enum code_op op, uint32_t a, uint32_t b, uint32_t c)
{
    if (l->code->count == l->room && !lower_grow(l))
        return 0;
    uint32_t at = l->code->count++;
    l->code->ops[at] = (uint8_t)op;
    l->code->ips[at] = l->ip;
    l->code->insns[at] =
        (struct insn){.run = interp_handler(op), .a = (uint16_t)a, .b = (uint16_t)b, .u = c};
    l->has_result = false;
    return at;
}

void lower_emit_data(struct lower *l, uint32_t a, uint32_t b, uint32_t c)
{
    bool has_result = l->has_result;
    lower_emit(l, CODE_DATA, a, b, c);
    l->has_result = has_result;
}

/* ---- operands ------------------------------------------------------------------------------- */

uint16_t lower_register(const struct lower *l, uint32_t position)
{
    return (uint16_t)(l->code->slots + position);
}

uint16_t lower_top(const struct lower *l)
{
    return lower_register(l, l->depth);
}

void lower_push(struct lower *l, struct operand operand)
{
    l->stack[l->depth++] = operand;
}

struct operand lower_pop(struct lower *l)
{
    return l->stack[--l->depth];
}

void lower_push_register(struct lower *l)
{
    lower_push(l, (struct operand){.kind = OPERAND_REGISTER});
}

void lower_push_result(struct lower *l)
{
    lower_push_register(l);
    l->has_result = true;
}

void lower_push_literal(struct lower *l, struct jitvm_value v)
{
    uint32_t literal = 0;
    if (literals_add(l->vm, v, &literal) < 0)
        l->failed = true;
    lower_push(l, (struct operand){.kind = OPERAND_LITERAL, .index = literal});
}

uint32_t lower_int_literal(struct lower *l, int64_t i)
{
    lower_push_literal(l, jitvm_int(i));
    return lower_pop(l).index;
}

bool lower_is_number(const struct lower *l, struct operand o)
{
    if (o.kind != OPERAND_LITERAL)
        return false;
    uint32_t kind = l->vm->literals[o.index].kind;
    return kind == JITVM_INT || kind == JITVM_FLOAT;
}

/* Puts the operand at `position` into its own register. */
void lower_settle(struct lower *l, uint32_t position)
{
    struct operand *o = &l->stack[position];
    if (o->kind == OPERAND_SLOT)
        lower_emit(l, CODE_MOVE, lower_register(l, position), o->index, 0);
    else if (o->kind == OPERAND_LITERAL)
        lower_emit(l, CODE_LOADK, lower_register(l, position), 0, o->index);
    o->kind = OPERAND_REGISTER;
}

void lower_settle_from(struct lower *l, uint32_t from)
{
    for (uint32_t p = from; p < l->depth; p++)
        if (l->stack[p].kind != OPERAND_REGISTER)
            lower_settle(l, p);
}

/* The slot is about to change: whoever still stands for its value gets a copy first. */
void lower_settle_slot(struct lower *l, uint32_t slot)
{
    for (uint32_t p = 0; p < l->depth; p++)
        if (l->stack[p].kind == OPERAND_SLOT && l->stack[p].index == slot)
            lower_settle(l, p);
}

/* The register that has the operand; a constant is loaded into its own. */
uint16_t lower_use(struct lower *l, uint32_t position)
{
    struct operand *o = &l->stack[position];
    if (o->kind == OPERAND_SLOT)
        return (uint16_t)o->index;
    if (o->kind == OPERAND_LITERAL)
        lower_settle(l, position);
    return lower_register(l, position);
}

/* ---- the walk ------------------------------------------------------------------------------- */

/* Depth of the operand stack before each op; the verifier has seen to it that there is one. What
 * cannot be reached keeps DEPTH_UNKNOWN. */
static void lower_depths(struct lower *l, uint32_t *work)
{
    const struct jitvm_chunk *chunk = l->vm->chunk;
    const struct chunk_function *f = l->function;
    uint32_t pending = 0;
    l->depths[0] = 0;
    work[pending++] = 0;
    while (pending) {
        uint32_t at = work[--pending];
        const struct jitvm_op *op = &chunk->ops[f->first + at];
        bool extended = op->code == OP_Extended || op->code == OP_ExtendedWide;
        struct op_effect e = op_effect(op, extended ? &chunk->extensions[op->b] : NULL);
        uint32_t after = l->depths[at] - e.pops + e.pushes;
        uint32_t next[2], count = 0;
        if (!op_ends_flow(op->code))
            next[count++] = at + 1;
        if (op_is_jump(op->code)) {
            next[count++] = op->b - f->first;
            l->targets[op->b - f->first] = true;
        }
        for (uint32_t i = 0; i < count; i++)
            if (l->depths[next[i]] == DEPTH_UNKNOWN) {
                l->depths[next[i]] = after;
                work[pending++] = next[i];
            }
    }
}

/* Everything in its register where ways meet. `reached`: the op before falls through to here. */
static void lower_join(struct lower *l, uint32_t at, bool reached)
{
    if (reached) {
        lower_settle_from(l, 0);
    } else {
        l->depth = l->depths[at];
        for (uint32_t p = 0; p < l->depth; p++)
            l->stack[p].kind = OPERAND_REGISTER;
    }
    l->has_result = false;
}

static void lower_walk(struct lower *l)
{
    const struct chunk_function *f = l->function;
    const struct jitvm_op *ops = l->vm->chunk->ops;
    bool reached = true;
    for (uint32_t at = 0; at < f->count && !l->failed; at += l->taken) {
        l->taken = 1;
        if (l->depths[at] == DEPTH_UNKNOWN) {
            reached = false;
            continue;
        }
        l->ip = f->first + at;
        l->at = at;
        if (l->targets[at] || !reached)
            lower_join(l, at, reached);
        l->starts[at] = l->code->count;
        lower_op(l, &ops[f->first + at]);
        reached = !op_ends_flow(ops[f->first + at + l->taken - 1].code);
    }
}

/* Branches were emitted with the op they go to; now it is known where that begins. */
static void lower_resolve(struct lower *l)
{
    for (uint32_t i = 0; i < l->code->count; i++)
        if (code_is_branch(l->code->ops[i])) {
            struct insn *insn = &l->code->insns[i];
            insn->c = (int32_t)l->starts[insn->u - l->function->first] - (int32_t)i;
        }
}

static bool lower_alloc(struct lower *l, uint32_t **work)
{
    uint32_t count = l->function->count;
    l->code = calloc(1, sizeof *l->code);
    l->depths = malloc(count * sizeof *l->depths);
    l->starts = calloc(count, sizeof *l->starts);
    l->targets = calloc(count, sizeof *l->targets);
    l->stack = calloc((size_t)l->function->max_stack + 4, sizeof *l->stack);
    *work = malloc(count * sizeof **work);
    return l->code && l->depths && l->starts && l->targets && l->stack && *work;
}

static int lower_run(struct lower *l, uint32_t *work)
{
    const struct chunk_function *f = l->function;
    memset(l->depths, 0xff, f->count * sizeof *l->depths);
    l->code->slots = f->slots;
    /* One more than there are operands, to swap through; and one for a result without arguments. */
    l->code->registers = (uint16_t)(f->slots + f->max_stack + 2);
    lower_depths(l, work);
    lower_walk(l);
    if (l->failed)
        return -1;
    lower_resolve(l);
    return 0;
}

int code_lower(struct jitvm *vm, uint32_t index, struct code **out, struct jitvm_error *err)
{
    struct lower l = {.vm = vm, .function = &vm->chunk->functions[index]};
    uint32_t *work = NULL;
    int rc = lower_alloc(&l, &work) ? lower_run(&l, work) : -1;
    free(work);
    free(l.depths);
    free(l.starts);
    free(l.targets);
    free(l.stack);
    if (rc < 0) {
        code_free(l.code);
        return chunk_fail(err, JITVM_ERR_MEMORY, "no memory to lower a function");
    }
    *out = l.code;
    return 0;
}

void code_free(struct code *code)
{
    if (!code)
        return;
    free(code->insns);
    free(code->ops);
    free(code->ips);
    free(code);
}
