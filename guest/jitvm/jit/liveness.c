/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which registers are still to be read, after each instruction. Ways that compiled code does not
 * take count too: the interpreter may, after an exit.
 */
#include <string.h>

#include "guest/jitvm/jit/block.h"

static void set_bit(uint64_t *set, uint32_t reg)
{
    set[reg / 64] |= UINT64_C(1) << (reg % 64);
}

static void clear_bit(uint64_t *set, int32_t reg)
{
    if (reg >= 0)
        set[reg / 64] &= ~(UINT64_C(1) << (reg % 64));
}

/* From after the instruction to before it. */
static void step_back(const struct flow *f, uint32_t at, uint64_t *live)
{
    struct operands o;
    operands_of(f->code, at, &o);
    clear_bit(live, o.writes);
    clear_bit(live, o.also_writes);
    for (unsigned i = 0; i < o.read_count; i++)
        set_bit(live, o.reads[i]);
    for (unsigned i = 0; i < o.count; i++)
        set_bit(live, (uint32_t)o.first + i);
}

/* What is alive at the end of the block, of what is at the start of those it goes to. */
static void gather_out(const struct flow *f, struct block *b)
{
    for (unsigned n = 0; n < 2; n++) {
        if (b->next[n] == BLOCK_NONE)
            continue;
        for (uint32_t w = 0; w < f->words; w++)
            b->live_out[w] |= f->blocks[b->next[n]].live_in[w];
    }
}

static bool walk_back(const struct flow *f, struct block *b, uint64_t *live)
{
    gather_out(f, b);
    memcpy(live, b->live_out, f->words * sizeof *live);
    for (uint32_t i = b->end; i-- > b->first;) {
        memcpy(f->live + (size_t)i * f->words, live, f->words * sizeof *live);
        if (f->code->ops[i] != CODE_DATA)
            step_back(f, i, live);
    }
    bool changed = memcmp(live, b->live_in, f->words * sizeof *live) != 0;
    memcpy(b->live_in, live, f->words * sizeof *live);
    return changed;
}

int flow_liveness(struct flow *f)
{
    f->live = arena_alloc(f->arena, (size_t)f->count * f->words, sizeof *f->live);
    uint64_t *live = arena_alloc(f->arena, f->words, sizeof *live);
    if (!f->live || !live)
        return JITVM_ERR_MEMORY;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = f->block_count; i-- > 0;)
            changed |= walk_back(f, &f->blocks[i], live);
    }
    return 0;
}

/* ---- calls of C ------------------------------------------------------------------------------ */

/* Does the instruction call C on its usual way? What is alive across is better kept where C does.
 */
static bool calls_c(unsigned op)
{
    switch (op) {
    case CODE_POW:
    case CODE_TOSTR:
    case CODE_CMP:
    case CODE_CONCAT:
    case CODE_CALLDYN:
    case CODE_CALLB:
    case CODE_EXT:
    case CODE_ACCUMLOOP:
    case CODE_CONCATLOOP:
    case CODE_PUSHLOOP:
        return true;
    default:
        return (op >= CODE_SEQ && op <= CODE_SCMP) || (op >= CODE_ARRAY && op <= CODE_HASH) ||
               (op >= CODE_RANGE && op <= CODE_LENPATH);
    }
}

int flow_helpers(struct flow *f)
{
    f->helpers = arena_alloc(f->arena, (size_t)f->count + 1, sizeof *f->helpers);
    if (!f->helpers)
        return JITVM_ERR_MEMORY;
    for (uint32_t i = 0; i < f->count; i++)
        f->helpers[i + 1] = f->helpers[i] + calls_c(f->code->ops[i]);
    return 0;
}
