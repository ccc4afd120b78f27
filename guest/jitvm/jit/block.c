/* SPDX-License-Identifier: Apache-2.0 */
/* The flow of control of a function: its basic blocks, and what each instruction touches. */
#include "guest/jitvm/jit/block.h"

/* Beyond this, compiling takes longer than is worth it. */
#define FLOW_INSNS_MAX 4096u
#define FLOW_CELLS_MAX (1u << 20) /* instructions by registers */

/* ---- operands -------------------------------------------------------------------------------- */

static void reads(struct operands *o, unsigned reg)
{
    o->reads[o->read_count++] = (uint16_t)reg;
}

static void reads_range(struct operands *o, unsigned first, unsigned count)
{
    o->first = (uint16_t)first;
    o->count = (uint16_t)count;
}

/* By path: keys, maybe a value, and the place if it is a slot. */
static void operands_by_path(const struct code *code, uint32_t at, struct operands *o)
{
    const struct insn *insn = &code->insns[at], *data = insn + 1;
    unsigned op = code->ops[at];
    bool value = op == CODE_SETPATH || op == CODE_PUSHPATH;
    bool changes = value || op == CODE_POPPATH || op == CODE_SHIFTPATH || op == CODE_DELPATH;
    reads_range(o, insn->b, data->a + (value ? 1u : 0u));
    if (!value)
        o->writes = insn->a;
    if (data->b == 1)
        return;
    reads(o, insn->u);
    if (changes)
        o->also_writes = (int32_t)insn->u;
}

static void operands_of_call(const struct code *code, uint32_t at, struct operands *o)
{
    const struct insn *insn = &code->insns[at];
    switch (code->ops[at]) {
    case CODE_CALLDYN:
        reads_range(o, insn->a, insn->b + 1u);
        break;
    case CODE_EXT:
        reads_range(o, insn->a, insn[1].b);
        break;
    default:
        reads_range(o, insn->a, insn->b);
        break;
    }
    o->writes = insn->a;
}

static void operands_of_branch(unsigned op, const struct insn *insn, struct operands *o)
{
    reads(o, insn->a);
    if (code_op_format(op) == CODE_FMT_SSJ)
        reads(o, insn->b);
    if (op == CODE_INCJLT_BACK || op == CODE_INCJLT_RK_BACK)
        o->writes = insn->a;
    o->keeps = op == CODE_JT_KEEP || op == CODE_JF_KEEP || op == CODE_JT_KEEP_BACK ||
               op == CODE_JF_KEEP_BACK;
}

/* A table of all formats. */
void operands_of(const struct code *code, uint32_t at, /* NOLINT(readability-function-size) */
                 struct operands *o)
{
    const struct insn *insn = &code->insns[at];
    unsigned op = code->ops[at];
    *o = (struct operands){.writes = -1, .also_writes = -1};
    switch (code_op_format(op)) {
    case CODE_FMT_NONE:
    case CODE_FMT_J:
        break;
    case CODE_FMT_S:
    case CODE_FMT_SG:
        reads(o, insn->a);
        break;
    case CODE_FMT_SJ:
    case CODE_FMT_SSJ:
    case CODE_FMT_SKJ:
        operands_of_branch(op, insn, o);
        break;
    case CODE_FMT_DS:
        reads(o, insn->b);
        o->writes = insn->a;
        o->keeps = op == CODE_MOVE;
        o->also_writes = op == CODE_TAKE ? (int32_t)insn->b : -1;
        break;
    case CODE_FMT_DK:
    case CODE_FMT_DG:
        o->writes = insn->a;
        break;
    case CODE_FMT_DSK:
    case CODE_FMT_DSI:
        reads(o, insn->b);
        o->writes = insn->a;
        break;
    case CODE_FMT_DKS:
        reads(o, insn->u);
        o->writes = insn->a;
        break;
    case CODE_FMT_DSSXS:
        reads(o, insn[1].a);
        reads(o, insn->b);
        reads(o, insn->u);
        o->writes = insn->a;
        break;
    case CODE_FMT_SSSXS:
        reads(o, insn->a);
        reads(o, insn->b);
        reads(o, insn->u);
        reads(o, insn[1].a);
        o->writes = insn->a;
        break;
    case CODE_FMT_DSS:
    case CODE_FMT_DSSX:
        reads(o, insn->b);
        reads(o, insn->u);
        o->writes = insn->a;
        break;
    case CODE_FMT_SSS:
        reads(o, insn->a);
        reads(o, insn->b);
        reads(o, insn->u);
        o->writes = insn->a;
        break;
    case CODE_FMT_DRN:
        reads_range(o, insn->b, insn->u);
        o->writes = insn->a;
        break;
    case CODE_FMT_DRP:
    case CODE_FMT_RP:
        operands_by_path(code, at, o);
        break;
    case CODE_FMT_CALL:
        operands_of_call(code, at, o);
        break;
    case CODE_FMT_LOOP:
        reads(o, insn->a);
        reads(o, insn->b);
        o->writes = insn->a;
        o->also_writes = insn->b;
        break;
    }
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static uint32_t after(const struct code *code, uint32_t at)
{
    at++;
    return at < code->count && code->ops[at] == CODE_DATA ? at + 1 : at;
}

/* Marks the first instruction of every block. */
static void mark_leaders(struct flow *f)
{
    const struct code *code = f->code;
    f->block_at[0] = 1;
    for (uint32_t i = 0; i < f->count; i = after(code, i)) {
        unsigned op = code->ops[i];
        if (code_is_branch(op))
            f->block_at[(int64_t)i + code->insns[i].c] = 1;
        if ((code_is_branch(op) || code_ends_flow(op)) && after(code, i) < f->count)
            f->block_at[after(code, i)] = 1;
    }
}

/* Numbers the blocks: the marks become the block of each instruction. */
static void number_blocks(struct flow *f)
{
    uint32_t block = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        block += f->block_at[i];
        f->block_at[i] = block - 1;
    }
    f->block_count = block;
}

static uint32_t last_of(const struct flow *f, const struct block *b)
{
    uint32_t last = b->end - 1;
    return last > b->first && f->code->ops[last] == CODE_DATA ? last - 1 : last;
}

static bool fill_block(struct flow *f, struct block *b)
{
    uint32_t last = last_of(f, b);
    unsigned op = f->code->ops[last];
    b->next[0] = code_ends_flow(op) ? BLOCK_NONE : f->block_at[b->end];
    b->next[1] =
        code_is_branch(op) ? f->block_at[(int64_t)last + f->code->insns[last].c] : BLOCK_NONE;
    b->weight = 1;
    b->in = arena_alloc(f->arena, f->registers, sizeof *b->in);
    b->live_in = arena_alloc(f->arena, (size_t)f->words * 2, sizeof *b->live_in);
    b->live_out = b->live_in + f->words;
    b->spans_in = arena_alloc(f->arena, (size_t)f->registers * 2, sizeof *b->spans_in);
    b->spans_out = b->spans_in + f->registers;
    return b->in && b->live_in && b->spans_in;
}

/* What a jump back spans is a loop, more or less: uses in it count for more. */
static void weigh_blocks(struct flow *f)
{
    for (uint32_t i = 0; i < f->block_count; i++) {
        uint32_t head = f->blocks[i].next[1];
        if (head == BLOCK_NONE || head > i)
            continue;
        for (uint32_t k = head; k <= i; k++)
            if (f->blocks[k].weight < 8 * 8 * 8 * 8)
                f->blocks[k].weight *= 8;
    }
}

int flow_build(struct flow *f)
{
    f->count = f->code->count;
    f->registers = f->code->registers;
    f->words = (f->registers + 63) / 64;
    if (f->count > FLOW_INSNS_MAX || f->count * f->registers > FLOW_CELLS_MAX)
        return JITVM_ERR_LIMIT;
    f->block_at = arena_alloc(f->arena, f->count + 1, sizeof *f->block_at);
    if (!f->block_at)
        return JITVM_ERR_MEMORY;
    mark_leaders(f);
    number_blocks(f);
    f->blocks = arena_alloc(f->arena, f->block_count, sizeof *f->blocks);
    if (!f->blocks || (uint64_t)f->block_count * f->registers > FLOW_CELLS_MAX / 4)
        return f->blocks ? JITVM_ERR_LIMIT : JITVM_ERR_MEMORY;
    for (uint32_t i = 0; i < f->count; i++) {
        f->blocks[f->block_at[i]].end = i + 1;
        if (i && f->block_at[i] != f->block_at[i - 1])
            f->blocks[f->block_at[i]].first = i;
    }
    for (uint32_t i = 0; i < f->block_count; i++)
        if (!fill_block(f, &f->blocks[i]))
            return JITVM_ERR_MEMORY;
    weigh_blocks(f);
    return 0;
}
