/* SPDX-License-Identifier: Apache-2.0 */
/* Calls, returns, and the two entries of a function. */
#include "guest/jitvm/jit/x86_64/block_emit.h"

#define MOVES_MAX 16

/* Moves that happen at once: registers may be sources and targets. A target is not there twice. */
struct moves {
    int8_t from[MOVES_MAX], to[MOVES_MAX];
    unsigned count;
};

static void moves_add(struct moves *m, int from, int to)
{
    if (from == to)
        return;
    m->from[m->count] = (int8_t)from;
    m->to[m->count++] = (int8_t)to;
}

static bool is_source(const struct moves *m, int reg)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->from[i] == reg)
            return true;
    return false;
}

static void move_one(struct emit *e, bool is_float, int to, int from)
{
    if (is_float)
        x86_movapd_xx(e->a, (enum x86_xmm)to, (enum x86_xmm)from);
    else
        x86_mov_rr(e->a, X86_W64, (enum x86_reg)to, (enum x86_reg)from);
}

/* First what nobody waits for; what is left are circles, broken through a scratch register. */
static void moves_emit(struct emit *e, struct moves *m, bool is_float)
{
    int scratch = is_float ? (int)SCRATCH_FLOAT : (int)X86_RAX;
    while (m->count) {
        unsigned i = 0;
        while (i < m->count && is_source(m, m->to[i]))
            i++;
        if (i < m->count) {
            move_one(e, is_float, m->to[i], m->from[i]);
            m->count--;
            m->from[i] = m->from[m->count];
            m->to[i] = m->to[m->count];
            continue;
        }
        int first = m->from[0];
        move_one(e, is_float, scratch, first);
        for (unsigned k = 0; k < m->count; k++)
            if (m->from[k] == first)
                m->from[k] = (int8_t)scratch;
    }
}

/* The register of the convention for the next argument of this representation, -1: none left. */
static int argument_register(bool is_float, unsigned next[2])
{
    unsigned n = next[is_float]++;
    if (is_float)
        return n < x86_places.float_arg_count ? x86_places.float_args[n] : -1;
    return n < x86_places.int_arg_count ? x86_places.int_args[n] : -1;
}

static void load_payload(struct emit *e, bool is_float, int to, uint32_t reg)
{
    if (is_float)
        x86_movsd_xm(e->a, (enum x86_xmm)to, cell_payload(reg));
    else
        x86_mov_rm(e->a, X86_W64, (enum x86_reg)to, cell_payload(reg));
}

static void store_payload(struct emit *e, bool is_float, uint32_t reg, int from)
{
    if (is_float)
        x86_movsd_mx(e->a, cell_payload(reg), (enum x86_xmm)from);
    else
        x86_mov_mr(e->a, X86_W64, cell_payload(reg), (enum x86_reg)from);
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* What goes in cells first, then what is in registers already, then what must be loaded. */
static void pass_arguments(struct emit *e, const kind_set *passed)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    struct moves moves[2] = {{.count = 0}, {.count = 0}};
    struct {
        uint32_t reg;
        int to;
        bool is_float;
    } loads[MOVES_MAX];
    unsigned load_count = 0, next[2] = {0, 0};
    for (uint32_t i = 0; i < insn->b; i++) {
        uint32_t reg = insn->a + i;
        enum rep rep = kinds_rep(passed[i]);
        if (rep == REP_BOXED)
            box_before(e, reg);
        if (rep == REP_BOXED || rep == REP_NONE)
            continue;
        bool is_float = rep == REP_FLOAT;
        int to = argument_register(is_float, next), from = place_before(e, reg, is_float);
        if (to < 0 && from >= 0) {
            store_payload(e, is_float, reg, from);
        } else if (to >= 0 && from >= 0) {
            moves_add(&moves[is_float], from, to);
        } else if (to >= 0) {
            loads[load_count].reg = reg;
            loads[load_count].to = to;
            loads[load_count++].is_float = is_float;
        }
    }
    moves_emit(e, &moves[0], false);
    moves_emit(e, &moves[1], true);
    for (unsigned i = 0; i < load_count; i++)
        load_payload(e, loads[i].is_float, loads[i].to, loads[i].reg);
}

static void take_result(struct emit *e)
{
    uint32_t reg = e->f->code->insns[e->at].a;
    if (kinds_single(e->written)) {
        uint32_t number = exit_number_after(e);
        struct cold *c = cold_add(e, COLD_RESULT);
        if (!c)
            return;
        c->exit = number;
        c->reg = (uint16_t)reg;
        x86_alu_ri(e->a, X86_CMP, X86_W32, X86_RDX, __builtin_ctz(e->written));
        x86_jcc(e->a, X86_NE, c->label);
    } else {
        x86_alu_ri(e->a, X86_CMP, X86_W32, X86_RDX, JIT_FAILED);
        x86_jcc(e->a, X86_E, error_at(e));
    }
    enum rep rep = kinds_rep(e->written);
    int place = rep == REP_FLOAT || rep == REP_INT ? place_after(e, reg, rep == REP_FLOAT) : -1;
    e->clean[reg] = 0;
    if (rep == REP_BOXED)
        x86_mov_mr(e->a, X86_W64, cell_kind(reg), X86_RDX);
    if (rep != REP_NONE && place < 0)
        x86_mov_mr(e->a, X86_W64, cell_payload(reg), X86_RAX);
    else if (rep == REP_INT)
        x86_mov_rr(e->a, X86_W64, (enum x86_reg)place, X86_RAX);
    else if (rep == REP_FLOAT)
        x86_movq_xr(e->a, (enum x86_xmm)place, X86_RAX);
}

void emit_call(struct emit *e)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    kind_set passed[OP_ARGS_MAX + 1];
    uint32_t link = calls_link(e->f, insn->u, e->kinds + insn->a, passed);
    if (link == UINT32_MAX) {
        e->failed = true;
        return;
    }
    save_live(e, true);
    pass_arguments(e, passed);
    if (insn->a)
        x86_alu_ri(e->a, X86_ADD, X86_W64, BASE, insn->a * 16);
    x86_mov_rm(e->a, X86_W64, X86_RCX, VM_FIELD(links));
    x86_mov_ri(e->a, X86_RAX, link);
    x86_call_m(e->a, x86_at(X86_RCX, (int32_t)(link * sizeof(void *))));
    if (insn->a)
        x86_alu_ri(e->a, X86_SUB, X86_W64, BASE, insn->a * 16);
    load_live(e, true);
    take_result(e);
}

/* ---- returns --------------------------------------------------------------------------------- */

static void release_slots(struct emit *e, uint32_t except)
{
    for (uint32_t r = 0; r < e->f->code->slots; r++)
        if (r != except)
            release_old(e, r);
}

static void load_result(struct emit *e, uint32_t reg)
{
    kind_set kinds = e->kinds[reg];
    switch (kinds_rep(kinds)) {
    case REP_NONE:
        x86_zero(e->a, X86_RAX);
        x86_zero(e->a, X86_RDX);
        return;
    case REP_INT: {
        enum x86_reg from = use_int(e, reg, X86_RAX);
        if (from != X86_RAX)
            x86_mov_rr(e->a, X86_W64, X86_RAX, from);
        break;
    }
    case REP_FLOAT: {
        enum x86_xmm from = use_float(e, reg, SCRATCH_FLOAT);
        canonical(e, from);
        x86_movq_rx(e->a, X86_RAX, from);
        break;
    }
    case REP_BOXED:
        x86_mov_rm(e->a, X86_W32, X86_RDX, cell_kind(reg));
        x86_mov_rm(e->a, X86_W64, X86_RAX, cell_payload(reg));
        if (kinds & KINDS_HEAP)
            x86_mov_mi(e->a, X86_W64, cell_kind(reg), JITVM_UNDEF);
        return;
    }
    x86_mov_ri(e->a, X86_RDX, __builtin_ctz(kinds));
}

void emit_return(struct emit *e)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    if (e->f->code->ops[e->at] == CODE_RET) {
        release_slots(e, insn->a);
        load_result(e, insn->a);
    } else {
        release_slots(e, UINT32_MAX);
        x86_zero(e->a, X86_RAX);
        x86_zero(e->a, X86_RDX);
    }
    x86_alu_ri(e->a, X86_ADD, X86_W64, DEPTH, 1);
    x86_alu_ri(e->a, X86_ADD, X86_W64, X86_RSP, 8);
    x86_ret(e->a);
}

/* ---- entries --------------------------------------------------------------------------------- */

/* Fuel, then depth, then stack: as the interpreter pays. */
static void pay(struct emit *e)
{
    struct asm_label back;
    struct cold *fuel = cold_add(e, COLD_ENTER);
    if (!fuel)
        return;
    fuel->number = 1;
    struct asm_label no_fuel = fuel->label;
    back = fuel->back;
    struct cold *depth = cold_add(e, COLD_ENTER);
    if (!depth)
        return;
    depth->number = 2;
    depth->back = back;
    x86_alu_ri(e->a, X86_SUB, X86_W64, SLICE, 1);
    x86_jcc(e->a, X86_S, no_fuel);
    x86_alu_ri(e->a, X86_SUB, X86_W64, DEPTH, 1);
    x86_jcc(e->a, X86_S, depth->label);
    x86_lea(e->a, X86_RAX, x86_at(BASE, (int32_t)e->f->function->registers * 16));
    x86_alu_rm(e->a, X86_CMP, X86_W64, X86_RAX, VM_FIELD(stack_end));
    x86_jcc(e->a, X86_A, depth->label);
    asm_bind(e->a, back);
}

/* From the registers of the convention to where the body has them. */
static void settle_arguments(struct emit *e)
{
    struct moves moves[2] = {{.count = 0}, {.count = 0}};
    struct {
        uint32_t reg;
        int to;
        bool is_float;
    } loads[32];
    unsigned load_count = 0, next[2] = {0, 0};
    for (uint32_t r = 0; r < e->f->function->arity; r++) {
        enum rep rep = kinds_rep(e->f->args[r]);
        if (rep != REP_INT && rep != REP_FLOAT)
            continue;
        bool is_float = rep == REP_FLOAT;
        int from = argument_register(is_float, next);
        const struct span *span = flow_span(e->f, r, is_float, 0);
        if (!span)
            continue;
        if (from >= 0 && span->place >= 0) {
            moves_add(&moves[is_float], from, span->place);
        } else if (from >= 0) {
            store_payload(e, is_float, r, from);
        } else if (span->place >= 0) {
            loads[load_count].reg = r;
            loads[load_count].to = span->place;
            loads[load_count++].is_float = is_float;
        }
    }
    moves_emit(e, &moves[0], false);
    moves_emit(e, &moves[1], true);
    for (unsigned i = 0; i < load_count; i++)
        load_payload(e, loads[i].is_float, loads[i].to, loads[i].reg);
}

/* Where a loop leads back to the first block, a register may be of several kinds there, and so be
 * in its cell, though an argument came in a register and another slot is undef. */
static void box_entry(struct emit *e)
{
    const struct block *head = &e->f->blocks[e->f->entry];
    unsigned next[2] = {0, 0};
    for (uint32_t r = 0; r < e->f->function->slots; r++) {
        kind_set kinds = r < e->f->function->arity ? e->f->args[r] : KINDS_UNDEF;
        enum rep rep = kinds_rep(kinds);
        struct boxing b = {.reg = (uint16_t)r, .place = -2};
        if (rep == REP_INT || rep == REP_FLOAT) {
            int from = argument_register(rep == REP_FLOAT, next);
            b.kind = (uint8_t)__builtin_ctz(kinds);
            b.place = (int8_t)(from >= 0 && rep == REP_FLOAT ? from + 16 : from);
        }
        if (rep != REP_BOXED && kinds_rep(head->in[r]) == REP_BOXED && flow_alive(head->live_in, r))
            emit_boxing(e, &b);
    }
}

/* From cells to where the loop has them: whoever called has looked at the kinds. What was single
 * there may be several kinds at the head, where ways meet: then it is in its cell already. */
static void settle_loop(struct emit *e)
{
    const struct block *head = &e->f->blocks[e->f->entry];
    for (uint32_t r = 0; r < e->f->registers; r++) {
        enum rep rep = kinds_rep(head->in[r]);
        if (!flow_alive(head->live_in, r) || (rep != REP_INT && rep != REP_FLOAT))
            continue;
        int place = flow_place(e->f, r, rep == REP_FLOAT, 2 * head->first);
        if (place >= 0)
            load_payload(e, rep == REP_FLOAT, place, r);
    }
    x86_jmp(e->a, e->labels[e->f->entry]);
}

static const enum x86_reg saved_by_c[] = {X86_RBX, X86_RBP, X86_R12, X86_R13, X86_R14, X86_R15};
#define SAVED_BY_C (sizeof saved_by_c / sizeof *saved_by_c)

static void leave_c(struct emit *e)
{
    x86_alu_ri(e->a, X86_ADD, X86_W64, X86_RSP, 8);
    for (size_t i = SAVED_BY_C; i-- > 0;)
        x86_pop_r(e->a, saved_by_c[i]);
    x86_ret(e->a);
}

static void guard_arguments(struct emit *e, struct asm_label miss)
{
    for (uint32_t r = 0; !e->f->is_loop && r < e->f->function->arity; r++) {
        if (!kinds_single(e->f->args[r]))
            continue;
        x86_alu_mi(e->a, X86_CMP, X86_W32, cell_kind(r), __builtin_ctz(e->f->args[r]));
        x86_jcc(e->a, X86_NE, miss);
    }
}

static void load_arguments(struct emit *e)
{
    unsigned next[2] = {0, 0};
    for (uint32_t r = 0; !e->f->is_loop && r < e->f->function->arity; r++) {
        enum rep rep = kinds_rep(e->f->args[r]);
        if (rep != REP_INT && rep != REP_FLOAT)
            continue;
        int to = argument_register(rep == REP_FLOAT, next);
        if (to >= 0)
            load_payload(e, rep == REP_FLOAT, to, r);
    }
}

/* int entry(struct jitvm *, struct jitvm_value *base) */
static void emit_boxed_entry(struct emit *e)
{
    struct asm_label miss = asm_label_new(e->a), failed = asm_label_new(e->a);
    asm_bind(e->a, e->boxed_entry);
    for (size_t i = 0; i < SAVED_BY_C; i++)
        x86_push_r(e->a, saved_by_c[i]);
    x86_alu_ri(e->a, X86_SUB, X86_W64, X86_RSP, 8);
    x86_mov_rr(e->a, X86_W64, VM, X86_RDI);
    x86_mov_rr(e->a, X86_W64, BASE, X86_RSI);
    guard_arguments(e, miss);
    x86_unary_m(e->a, X86_INC, X86_W64, VM_FIELD(stats.entries));
    x86_mov_rm(e->a, X86_W64, SLICE, VM_FIELD(slice));
    x86_mov_rm(e->a, X86_W64, DEPTH, VM_FIELD(depth));
    load_arguments(e);
    x86_call(e->a, e->typed_entry);
    x86_mov_mr(e->a, X86_W64, VM_FIELD(slice), SLICE);
    x86_mov_mr(e->a, X86_W64, VM_FIELD(depth), DEPTH);
    x86_alu_ri(e->a, X86_CMP, X86_W32, X86_RDX, JIT_FAILED);
    x86_jcc(e->a, X86_E, failed);
    x86_mov_mr(e->a, X86_W64, cell_kind(0), X86_RDX);
    x86_mov_mr(e->a, X86_W64, cell_payload(0), X86_RAX);
    x86_zero(e->a, X86_RAX);
    leave_c(e);
    asm_bind(e->a, failed);
    x86_mov_rm(e->a, X86_W32, X86_RAX, VM_FIELD(error.status));
    leave_c(e);
    asm_bind(e->a, miss);
    x86_mov_rr(e->a, X86_W64, X86_RDI, VM);
    x86_mov_rr(e->a, X86_W64, X86_RSI, BASE);
    x86_mov_ri(e->a, X86_RDX, e->version->number);
    call_helper(e, JIT_ENTRY_MISS);
    leave_c(e);
}

void emit_entries(struct emit *e)
{
    e->boxed_entry = asm_label_new(e->a);
    e->typed_entry = asm_label_new(e->a);
    asm_name(e->a, e->boxed_entry, "boxed");
    asm_name(e->a, e->typed_entry, "typed");
    emit_boxed_entry(e);
    x86_align(e->a, 16);
    asm_bind(e->a, e->typed_entry);
    x86_alu_ri(e->a, X86_SUB, X86_W64, X86_RSP, 8);
    if (e->f->is_loop) {
        settle_loop(e);
        return;
    }
    pay(e);
    box_entry(e);
    settle_arguments(e);
}
