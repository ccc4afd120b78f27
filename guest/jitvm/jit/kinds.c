/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of registers, by following the code forward until nothing changes. Sets only grow on the
 * way, so it ends. What an operation gives is deduced, or guessed from what the interpreter saw;
 * compiled code looks whether a guess was right.
 */
#include "guest/jitvm/jit/block.h"

#include <string.h>

#include "guest/jitvm/jit/calls.h"

/* ---- results --------------------------------------------------------------------------------- */

/* Of value_to_number. */
static kind_set as_number(kind_set set)
{
    kind_set number = 0;
    if (set & (kind_set)~KINDS_FLOAT)
        number |= KINDS_INT;
    if (set & (KINDS_FLOAT | KINDS_STR))
        number |= KINDS_FLOAT;
    return number;
}

/* Of two values of which one may be anything, the sum is an int more often than not. */
static bool guesses(const struct flow *f, uint32_t at)
{
    return !f->generic && !(f->slow && f->slow[at]);
}

static kind_set sum(kind_set b, kind_set c)
{
    b = as_number(b);
    c = as_number(c);
    if (b == KINDS_INT && c == KINDS_INT)
        return KINDS_INT;
    return b == KINDS_FLOAT || c == KINDS_FLOAT ? KINDS_FLOAT : KINDS_NUMBER;
}

static kind_set arithmetic(const struct flow *f, uint32_t at, kind_set b, kind_set c)
{
    kind_set known = sum(b, c);
    return known == KINDS_NUMBER && guesses(f, at) ? KINDS_INT : known;
}

static kind_set literal_kind(const struct flow *f, uint32_t literal)
{
    return (kind_set)(1u << f->vm->literals[literal].kind);
}

static kind_set operand_b(const struct flow *f, uint32_t at, const kind_set *kinds)
{
    const struct insn *insn = &f->code->insns[at];
    bool literal = code_op_format(f->code->ops[at]) == CODE_FMT_DKS;
    return literal ? literal_kind(f, insn->b) : kinds[insn->b];
}

static kind_set operand_c(const struct flow *f, uint32_t at, const kind_set *kinds)
{
    const struct insn *insn = &f->code->insns[at];
    switch (code_op_format(f->code->ops[at])) {
    case CODE_FMT_DSK:
        return literal_kind(f, insn->u);
    case CODE_FMT_DSI:
        return KINDS_INT;
    default:
        return kinds[insn->u];
    }
}

/* One kind seen is a guess; several are none. */
static kind_set guess(const struct flow *f, uint32_t at, kind_set seen)
{
    if (!guesses(f, at) || !kinds_single(seen))
        return KINDS_ALL;
    return seen;
}

/* Seen or known before; 0: nothing is. */
static kind_set seen_at(const struct flow *f, uint32_t at)
{
    const struct insn *insn = &f->code->insns[at];
    kind_set seen = (kind_set)(insn[1].kinds & KINDS_ALL);
    switch (f->code->ops[at]) {
    case CODE_CALL:
        return calls_result(f, insn->u);
    case CODE_CALLB:
        if (f->vm->natives[insn->u].result < JITVM_KINDS)
            seen |= (kind_set)(1u << f->vm->natives[insn->u].result);
        return seen;
    case CODE_GETG:
        return seen ? seen : (kind_set)(1u << f->vm->globals[insn->u].kind);
    case CODE_INDEX:
    case CODE_INDEXV:
    case CODE_INDEX2:
    case CODE_GETPATH:
        return seen;
    default:
        return seen ? seen : KINDS_ALL;
    }
}

bool kinds_unseen(const struct flow *f, uint32_t at)
{
    switch (f->code->ops[at]) {
    case CODE_CALL:
    case CODE_CALLB:
    case CODE_GETG:
    case CODE_INDEX:
    case CODE_INDEXV:
    case CODE_INDEX2:
    case CODE_GETPATH:
        return guesses(f, at) && !seen_at(f, at);
    default:
        return false;
    }
}

/* A division whose divisor is not 0 gives a number. That it is 0 is taken for an accident. */
static kind_set quotient(const struct flow *f, uint32_t at, const kind_set *kinds, kind_set set)
{
    kind_set b = operand_b(f, at, kinds), c = operand_c(f, at, kinds);
    bool plain = kinds_single(b) && kinds_single(c) && !((b | c) & (kind_set)~KINDS_NUMBER);
    if (!guesses(f, at) || !plain)
        return set | KINDS_UNDEF;
    return set;
}

static kind_set compared(const struct flow *f, uint32_t at, const kind_set *kinds)
{
    kind_set both = operand_b(f, at, kinds) | operand_c(f, at, kinds);
    return as_number(both) == KINDS_INT ? KINDS_INT : (kind_set)(KINDS_INT | KINDS_UNDEF);
}

static kind_set written_by_arithmetic(const struct flow *f, uint32_t at, const kind_set *kinds)
{
    switch (f->code->ops[at]) {
    case CODE_DIV:
    case CODE_DIV_RK:
    case CODE_DIV_KR:
        return quotient(f, at, kinds, KINDS_FLOAT);
    case CODE_IDIV:
    case CODE_IDIV_RK:
    case CODE_IDIV_KR:
        return quotient(f, at, kinds, KINDS_INT);
    case CODE_POW:
    case CODE_TOFLOAT:
        return KINDS_FLOAT;
    case CODE_NEG:
        return as_number(kinds[f->code->insns[at].b]);
    case CODE_ADD:
    case CODE_ADD_RK:
    case CODE_ADD_KR:
    case CODE_ADDI:
    case CODE_SUB:
    case CODE_SUB_RK:
    case CODE_SUB_KR:
    case CODE_MUL:
    case CODE_MUL_RK:
    case CODE_MUL_KR:
    case CODE_MOD:
    case CODE_MOD_RK:
    case CODE_MOD_KR:
        return arithmetic(f, at, operand_b(f, at, kinds), operand_c(f, at, kinds));
    case CODE_CMP:
        return compared(f, at, kinds);
    default:
        return KINDS_INT; /* of bits; TOINT */
    }
}

/* A table of all ops. */
kind_set kinds_written(const struct flow *f, uint32_t at, /* NOLINT(readability-function-size) */
                       const kind_set *kinds)
{
    const struct insn *insn = &f->code->insns[at];
    switch (f->code->ops[at]) {
    case CODE_MOVE:
    case CODE_TAKE:
        return kinds[insn->b];
    case CODE_LOADK:
        return literal_kind(f, insn->u);
    case CODE_TOSTR:
    case CODE_CONCAT:
        return KINDS_STR;
    case CODE_EQ:
    case CODE_NE:
    case CODE_LT:
    case CODE_LE:
    case CODE_SEQ:
    case CODE_SNE:
    case CODE_SLT:
    case CODE_SLE:
    case CODE_NOT:
    case CODE_EXISTSPATH:
        return KINDS_BOOL;
    case CODE_SCMP:
    case CODE_LEN:
    case CODE_LENPATH:
        return KINDS_INT;
    case CODE_ARRAY:
    case CODE_RANGE:
    case CODE_RANGESTEP:
        return KINDS_ARRAY;
    case CODE_HASH:
        return KINDS_HASH;
    case CODE_INCJLT_BACK:
    case CODE_INCJLT_RK_BACK:
        /* No guess: an exit behind it would not know whether it branched. */
        return sum(kinds[insn->a], KINDS_INT);
    case CODE_SETIDX:
    case CODE_SETIDX2:
        return kinds[insn->a] == KINDS_ARRAY || kinds[insn->a] == KINDS_HASH ? kinds[insn->a]
                                                                             : KINDS_ALL;
    case CODE_INDEX:
    case CODE_INDEXV:
    case CODE_INDEX2:
    case CODE_GETG:
    case CODE_GETPATH:
    case CODE_CALL:
    case CODE_CALLDYN:
    case CODE_CALLB:
    case CODE_POPPATH:
    case CODE_SHIFTPATH:
    case CODE_DELPATH:
        return guess(f, at, seen_at(f, at));
    case CODE_EXT:
    case CODE_KEYSPATH:
    case CODE_VALUESPATH:
    case CODE_ACCUMLOOP:
    case CODE_CONCATLOOP:
    case CODE_PUSHLOOP:
        return KINDS_ALL;
    default:
        return written_by_arithmetic(f, at, kinds);
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Of a slot that an op by place, or a whole loop, changed. */
static kind_set changed_slot(const struct flow *f, uint32_t at, kind_set before)
{
    switch (f->code->ops[at]) {
    case CODE_TAKE:
        return KINDS_UNDEF;
    case CODE_ACCUMLOOP:
    case CODE_CONCATLOOP:
    case CODE_PUSHLOOP:
        return before == KINDS_INT ? KINDS_INT : KINDS_ALL;
    default:
        return before == KINDS_ARRAY || before == KINDS_HASH ? before : KINDS_ALL;
    }
}

static void use_up(const struct flow *f, const struct operands *o, kind_set *kinds)
{
    for (unsigned i = 0; i < o->read_count; i++)
        if (o->reads[i] >= f->code->slots)
            kinds[o->reads[i]] = 0;
    for (unsigned i = 0; i < o->count; i++)
        kinds[o->first + i] = 0;
}

bool kinds_step(const struct flow *f, uint32_t at, kind_set *kinds, kind_set *result)
{
    unsigned op = f->code->ops[at];
    const struct insn *insn = &f->code->insns[at];
    if (op == CODE_RET || op == CODE_RETU) {
        *result |= op == CODE_RET ? kinds[insn->a] : KINDS_UNDEF;
        return false;
    }
    if (kinds_unseen(f, at))
        return false;
    struct operands o;
    operands_of(f->code, at, &o);
    kind_set written = o.writes >= 0 ? kinds_written(f, at, kinds) : 0;
    kind_set changed = 0;
    if (o.also_writes >= 0)
        changed = changed_slot(f, at, kinds[o.also_writes]);
    if (!o.keeps)
        use_up(f, &o, kinds);
    if (o.also_writes >= 0)
        kinds[o.also_writes] = (uint32_t)o.also_writes < f->code->slots ? changed : 0;
    if (o.writes >= 0)
        kinds[o.writes] = written;
    return true;
}

/* Kinds that crawl through many moves around a loop, one at a time, take as many rounds. */
#define KINDS_STEPS_MAX (UINT64_C(1) << 24)

/* ---- to the fixed point ---------------------------------------------------------------------- */

static void flow_into(struct flow *f, uint32_t block, const kind_set *kinds)
{
    if (block == BLOCK_NONE)
        return;
    struct block *b = &f->blocks[block];
    for (uint32_t r = 0; r < f->registers; r++) {
        kind_set joined = b->in[r] | kinds[r];
        if (joined != b->in[r] || !b->reached)
            b->pending = true;
        b->in[r] = joined;
    }
    b->reached = true;
}

static void walk_block(struct flow *f, struct block *b, kind_set *kinds)
{
    memcpy(kinds, b->in, f->registers * sizeof *kinds);
    f->steps += 2 * (uint64_t)f->registers + 4 * (uint64_t)(b->end - b->first);
    for (uint32_t i = b->first; i < b->end; i++) {
        if (f->code->ops[i] == CODE_DATA)
            continue;
        if (!kinds_step(f, i, kinds, &f->result))
            return;
    }
    flow_into(f, b->next[0], kinds);
    flow_into(f, b->next[1], kinds);
}

static bool walk_pending(struct flow *f, kind_set *kinds)
{
    for (bool again = true; again && f->steps < KINDS_STEPS_MAX;) {
        again = false;
        for (uint32_t i = 0; i < f->block_count; i++)
            if (f->blocks[i].pending) {
                f->blocks[i].pending = false;
                walk_block(f, &f->blocks[i], kinds);
                again = true;
            }
    }
    return f->steps < KINDS_STEPS_MAX;
}

static void enter(struct flow *f, kind_set *kinds)
{
    if (f->is_loop)
        memcpy(kinds, f->args, f->registers * sizeof *kinds);
    for (uint32_t r = 0; !f->is_loop && r < f->code->slots; r++)
        kinds[r] = r < f->function->arity ? f->args[r] : KINDS_UNDEF;
    flow_into(f, f->entry, kinds);
}

int flow_kinds(struct flow *f)
{
    kind_set *kinds = arena_alloc(f->arena, f->registers, sizeof *kinds);
    if (!kinds)
        return JITVM_ERR_MEMORY;
    enter(f, kinds);
    for (kind_set before = 0;;) {
        if (!walk_pending(f, kinds))
            return JITVM_ERR_LIMIT;
        if (before == f->result)
            return 0;
        /* A function that calls itself gets what it is now known to give: again. */
        before = f->result;
        for (uint32_t i = 0; i < f->block_count; i++)
            f->blocks[i].pending = f->blocks[i].reached;
    }
}
