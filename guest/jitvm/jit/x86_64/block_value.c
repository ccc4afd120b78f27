/* SPDX-License-Identifier: Apache-2.0 */
/* Unboxed registers: where they are, how they get into their cells and out of them. */
#include "guest/jitvm/jit/x86_64/block_emit.h"

/* ---- the machine's registers ----------------------------------------------------------------- */

/* rbp and r15 survive calls of C. */
static const int8_t int_order[] = {X86_RBP, X86_R15, X86_R11, X86_R10,
                                   X86_R9,  X86_R8,  X86_RDI, X86_RSI};
static const int8_t float_order[] = {13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
static const int8_t int_args[] = {X86_RSI, X86_RDI, X86_R8, X86_R9, X86_R10, X86_R11};
static const int8_t float_args[] = {0, 1, 2, 3, 4, 5, 6, 7};

const struct places x86_places = {
    .ints = int_order,
    .floats = float_order,
    .int_count = sizeof int_order,
    .float_count = sizeof float_order,
    .int_args = int_args,
    .float_args = float_args,
    .int_arg_count = sizeof int_args,
    .float_arg_count = sizeof float_args,
};

static bool survives_c(int place)
{
    return place == X86_RBP || place == X86_R15;
}

/* ---- operands -------------------------------------------------------------------------------- */

int place_before(const struct emit *e, uint32_t reg, bool is_float)
{
    return flow_place(e->f, reg, is_float, 2 * e->at);
}

int place_after(const struct emit *e, uint32_t reg, bool is_float)
{
    return flow_place(e->f, reg, is_float, 2 * e->at + 1);
}

enum x86_reg use_int(struct emit *e, uint32_t reg, enum x86_reg scratch)
{
    int place = place_before(e, reg, false);
    if (place >= 0)
        return (enum x86_reg)place;
    x86_mov_rm(e->a, X86_W64, scratch, cell_payload(reg));
    return scratch;
}

enum x86_xmm use_float(struct emit *e, uint32_t reg, enum x86_xmm scratch)
{
    int place = place_before(e, reg, true);
    if (place >= 0)
        return (enum x86_xmm)place;
    x86_movsd_xm(e->a, scratch, cell_payload(reg));
    return scratch;
}

enum x86_xmm use_number(struct emit *e, uint32_t reg, enum x86_xmm scratch)
{
    if (e->kinds[reg] == KINDS_FLOAT)
        return use_float(e, reg, scratch);
    int place = place_before(e, reg, false);
    if (place >= 0)
        x86_cvtsi2sd_xr(e->a, X86_W64, scratch, (enum x86_reg)place);
    else
        x86_cvtsi2sd_xm(e->a, X86_W64, scratch, cell_payload(reg));
    return scratch;
}

void load_literal_float(struct emit *e, uint32_t literal, enum x86_xmm to)
{
    struct jitvm_value v = e->f->vm->literals[literal];
    double f = v.kind == JITVM_INT ? (double)v.as.i : v.as.f;
    x86_movsd_xm(e->a, to, x86_at_label(asm_constant_float(e->a, f)));
}

/* ---- results --------------------------------------------------------------------------------- */

static uint32_t result_register(const struct emit *e)
{
    return e->f->code->insns[e->at].a;
}

enum x86_reg result_int(const struct emit *e, enum x86_reg scratch)
{
    int place = place_after(e, result_register(e), false);
    return place >= 0 ? (enum x86_reg)place : scratch;
}

enum x86_xmm result_float(const struct emit *e, enum x86_xmm scratch)
{
    int place = place_after(e, result_register(e), true);
    return place >= 0 ? (enum x86_xmm)place : scratch;
}

void release_old(struct emit *e, uint32_t reg)
{
    if (!(e->kinds[reg] & KINDS_HEAP))
        return;
    struct cold *c = cold_add(e, COLD_RELEASE);
    if (!c)
        return;
    c->reg = (uint16_t)reg;
    x86_alu_mi(e->a, X86_CMP, X86_W32, cell_kind(reg), JITVM_STR);
    x86_jcc(e->a, X86_AE, c->label);
    asm_bind(e->a, c->back);
}

void put_int(struct emit *e, enum x86_reg from)
{
    uint32_t reg = result_register(e);
    release_old(e, reg);
    int place = place_after(e, reg, false);
    e->clean[reg] = 0;
    if (place < 0)
        x86_mov_mr(e->a, X86_W64, cell_payload(reg), from);
    else if (place != (int)from)
        x86_mov_rr(e->a, X86_W64, (enum x86_reg)place, from);
}

void put_float(struct emit *e, enum x86_xmm from)
{
    uint32_t reg = result_register(e);
    release_old(e, reg);
    int place = place_after(e, reg, true);
    e->clean[reg] = 0;
    if (place < 0)
        x86_movsd_mx(e->a, cell_payload(reg), from);
    else if (place != (int)from)
        x86_movapd_xx(e->a, (enum x86_xmm)place, from);
}

/* NaNs have one form where others can see them. Sets no register but the one given. */
void canonical(struct emit *e, enum x86_xmm reg)
{
    struct asm_label fine = asm_label_new(e->a);
    x86_sse_xx(e->a, X86_UCOMISD, reg, reg);
    x86_jcc(e->a, X86_NP, fine);
    x86_movsd_xm(e->a, reg, x86_at_label(asm_constant(e->a, NUMBER_NAN_BITS)));
    asm_bind(e->a, fine);
}

/* ---- boxing ---------------------------------------------------------------------------------- */

static uint8_t kind_of(kind_set kinds)
{
    return (uint8_t)__builtin_ctz(kinds);
}

static struct boxing boxing_of(const struct emit *e, uint32_t reg, uint32_t point)
{
    kind_set kinds = e->kinds[reg];
    struct boxing b = {.reg = (uint16_t)reg, .place = -2};
    if (kinds == 0 || kinds == KINDS_UNDEF)
        return b;
    b.kind = kind_of(kinds);
    bool is_float = kinds == KINDS_FLOAT;
    int place = flow_place(e->f, reg, is_float, point);
    b.place = (int8_t)(place >= 0 && is_float ? place + 16 : place);
    return b;
}

struct boxing boxing_before(const struct emit *e, uint32_t reg)
{
    return boxing_of(e, reg, 2 * e->at);
}

struct boxing boxing_after(const struct emit *e, uint32_t reg)
{
    return boxing_of(e, reg, 2 * e->at + 1);
}

/* Changes nothing but the cell: the register keeps its NaN as it is. */
static void box_float(struct emit *e, const struct boxing *b)
{
    enum x86_xmm from = b->place >= 16 ? (enum x86_xmm)(b->place - 16) : SCRATCH_FLOAT;
    if (b->place < 16)
        x86_movsd_xm(e->a, from, cell_payload(b->reg));
    struct asm_label fine = asm_label_new(e->a);
    if (b->place >= 16)
        x86_movsd_mx(e->a, cell_payload(b->reg), from);
    x86_sse_xx(e->a, X86_UCOMISD, from, from);
    x86_jcc(e->a, X86_NP, fine);
    x86_movsd_xm(e->a, SCRATCH_FLOAT, x86_at_label(asm_constant(e->a, NUMBER_NAN_BITS)));
    x86_movsd_mx(e->a, cell_payload(b->reg), SCRATCH_FLOAT);
    asm_bind(e->a, fine);
}

void emit_boxing(struct emit *e, const struct boxing *b)
{
    x86_mov_mi(e->a, X86_W64, cell_kind(b->reg), b->kind);
    if (b->place == -2)
        x86_mov_mi(e->a, X86_W64, cell_payload(b->reg), 0);
    else if (b->kind == JITVM_FLOAT)
        box_float(e, b);
    else if (b->place >= 0)
        x86_mov_mr(e->a, X86_W64, cell_payload(b->reg), (enum x86_reg)b->place);
}

void box_before(struct emit *e, uint32_t reg)
{
    if (kinds_rep(e->kinds[reg]) == REP_BOXED)
        return;
    struct boxing b = boxing_before(e, reg);
    if (b.place >= 0 && e->clean[reg])
        b.place = -1;
    emit_boxing(e, &b);
    e->clean[reg] = 1;
}

/* Of operations whose result was guessed, or that is wanted unboxed. */
static bool wants_look(const struct emit *e)
{
    if (kinds_rep(e->written) != REP_BOXED)
        return true;
    if (!kinds_single(e->written))
        return false;
    switch (e->f->code->ops[e->at]) {
    case CODE_INDEX:
    case CODE_INDEXV:
    case CODE_INDEX2:
    case CODE_GETG:
    case CODE_GETPATH:
    case CODE_CALLB:
    case CODE_CALLDYN:
    case CODE_POPPATH:
    case CODE_SHIFTPATH:
    case CODE_DELPATH:
        return true;
    default:
        return false;
    }
}

void unbox_result(struct emit *e)
{
    uint32_t reg = result_register(e);
    if (!wants_look(e))
        return;
    x86_alu_mi(e->a, X86_CMP, X86_W32, cell_kind(reg), kind_of(e->written));
    x86_jcc(e->a, X86_NE, exit_after(e));
    enum rep rep = kinds_rep(e->written);
    if (rep != REP_INT && rep != REP_FLOAT)
        return;
    int place = place_after(e, reg, rep == REP_FLOAT);
    e->clean[reg] = 1;
    if (place < 0)
        return;
    if (rep == REP_FLOAT)
        x86_movsd_xm(e->a, (enum x86_xmm)place, cell_payload(reg));
    else
        x86_mov_rm(e->a, X86_W64, (enum x86_reg)place, cell_payload(reg));
}

void unbox_slot(struct emit *e, uint32_t reg)
{
    if (e->kinds[reg] != KINDS_INT)
        return;
    int place = place_after(e, reg, false);
    if (place >= 0)
        x86_mov_rm(e->a, X86_W64, (enum x86_reg)place, cell_payload(reg));
    e->clean[reg] = 1;
}

/* ---- across calls ---------------------------------------------------------------------------- */

static void save_one(struct emit *e, uint32_t reg, bool load, bool typed)
{
    enum rep rep = kinds_rep(e->kinds[reg]);
    if (rep != REP_INT && rep != REP_FLOAT)
        return;
    int place = place_after(e, reg, rep == REP_FLOAT);
    if (place < 0 || (rep == REP_INT && !typed && survives_c(place)))
        return;
    if (!load && e->clean[reg])
        return;
    e->clean[reg] = 1;
    if (load && rep == REP_INT)
        x86_mov_rm(e->a, X86_W64, (enum x86_reg)place, cell_payload(reg));
    else if (load)
        x86_movsd_xm(e->a, (enum x86_xmm)place, cell_payload(reg));
    else if (rep == REP_INT)
        x86_mov_mr(e->a, X86_W64, cell_payload(reg), (enum x86_reg)place);
    else
        x86_movsd_mx(e->a, cell_payload(reg), (enum x86_xmm)place);
}

static void for_live(struct emit *e, bool load, bool typed)
{
    struct operands o;
    operands_of(e->f->code, e->at, &o);
    for (uint32_t w = 0; w < e->f->words; w++)
        for (uint64_t bits = e->live_after[w]; bits; bits &= bits - 1) {
            uint32_t reg = w * 64 + (uint32_t)__builtin_ctzll(bits);
            if ((int32_t)reg != o.writes && (int32_t)reg != o.also_writes)
                save_one(e, reg, load, typed);
        }
}

void save_live(struct emit *e, bool typed)
{
    for_live(e, false, typed);
}

void load_live(struct emit *e, bool typed)
{
    for_live(e, true, typed);
}
