/* SPDX-License-Identifier: Apache-2.0 */
/* Ways out of a function's usual course: exits, errors, and what is done aside. */
#include "guest/jitvm/jit/x86_64/block_emit.h"

#include <string.h>

struct cold *cold_add(struct emit *e, enum cold_what what)
{
    if (e->cold_count == e->cold_room) {
        uint32_t room = e->cold_room ? e->cold_room * 2 : 64;
        struct cold *colds = arena_alloc(e->f->arena, room, sizeof *colds);
        if (!colds) {
            e->failed = true;
            return NULL;
        }
        if (e->cold_count)
            memcpy(colds, e->colds, e->cold_count * sizeof *colds);
        e->colds = colds;
        e->cold_room = room;
    }
    struct cold *c = &e->colds[e->cold_count++];
    *c = (struct cold){.what = what, .number = e->at};
    c->place = -1;
    c->label = asm_label_new(e->a);
    c->back = asm_label_new(e->a);
    return c;
}

uint32_t insn_length(const struct emit *e, uint32_t at)
{
    const struct code *code = e->f->code;
    return at + 1 < code->count && code->ops[at + 1] == CODE_DATA ? 2 : 1;
}

/* ---- exits ----------------------------------------------------------------------------------- */

static void restore_one(struct emit *e, uint32_t reg, uint32_t point)
{
    kind_set kinds = e->kinds[reg];
    if (kinds_rep(kinds) == REP_BOXED)
        return;
    struct jit_restore r = {.reg = (uint16_t)reg, .place = -2};
    if (kinds && kinds != KINDS_UNDEF) {
        bool is_float = kinds == KINDS_FLOAT;
        int place = flow_place(e->f, reg, is_float, point);
        r.kind = (uint8_t)__builtin_ctz(kinds);
        r.place = (int8_t)(place >= 0 && is_float ? place + 16 : place);
    }
    if (exits_restore(e->version, r) < 0)
        e->failed = true;
}

static void restore_live(struct emit *e, const uint64_t *live, uint32_t point, int32_t except,
                         int32_t also_except)
{
    for (uint32_t w = 0; w < e->f->words; w++)
        for (uint64_t bits = live[w]; bits; bits &= bits - 1) {
            uint32_t reg = w * 64 + (uint32_t)__builtin_ctzll(bits);
            if ((int32_t)reg != except && (int32_t)reg != also_except)
                restore_one(e, reg, point);
        }
}

static uint32_t exit_number_before(struct emit *e)
{
    if (!e->exit_before) {
        e->exit_before = exits_add(e->version, e->at, e->at) + 1;
        e->failed |= !e->exit_before;
        restore_live(e, e->live, 2 * e->at, -1, -1);
    }
    return e->exit_before - 1;
}

uint32_t exit_number_after(struct emit *e)
{
    if (!e->exit_after) {
        struct operands o;
        operands_of(e->f->code, e->at, &o);
        e->exit_after = exits_add(e->version, e->at + insn_length(e, e->at), e->at) + 1;
        e->failed |= !e->exit_after;
        restore_live(e, e->live_after, 2 * e->at + 1, o.writes, o.also_writes);
    }
    return e->exit_after - 1;
}

static struct asm_label exit_label(struct emit *e, uint32_t number)
{
    for (uint32_t i = e->cold_count; i-- > 0 && e->colds[i].number == e->at;)
        if (e->colds[i].what == COLD_EXIT && e->colds[i].exit == number)
            return e->colds[i].label;
    struct cold *c = cold_add(e, COLD_EXIT);
    if (!c)
        return asm_label_new(e->a);
    c->exit = number;
    return c->label;
}

struct asm_label exit_before(struct emit *e)
{
    return exit_label(e, exit_number_before(e));
}

struct asm_label exit_after(struct emit *e)
{
    return exit_label(e, exit_number_after(e));
}

struct asm_label error_at(struct emit *e)
{
    if (e->cold_count && e->colds[e->cold_count - 1].what == COLD_ERROR &&
        e->colds[e->cold_count - 1].number == e->at)
        return e->colds[e->cold_count - 1].label;
    struct cold *c = cold_add(e, COLD_ERROR);
    return c ? c->label : asm_label_new(e->a);
}

/* ---- calls of C ------------------------------------------------------------------------------ */

/* Through rax. */
void call_helper(struct emit *e, enum jit_helper helper)
{
    x86_mov_rm(e->a, X86_W64, X86_RAX, VM_FIELD(links));
    x86_call_m(e->a, x86_at(X86_RAX, (int32_t)(helper * sizeof(void *))));
}

/* Through rcx. */
static void call_stub(struct emit *e, enum jit_helper helper)
{
    x86_mov_rm(e->a, X86_W64, X86_RCX, VM_FIELD(links));
    x86_call_m(e->a, x86_at(X86_RCX, (int32_t)(helper * sizeof(void *))));
}

void jump_helper(struct emit *e, enum jit_helper helper)
{
    x86_mov_rm(e->a, X86_W64, X86_RCX, VM_FIELD(links));
    x86_jmp_m(e->a, x86_at(X86_RCX, (int32_t)(helper * sizeof(void *))));
}

/* ---- aside ----------------------------------------------------------------------------------- */

static void emit_error(struct emit *e, uint32_t insn)
{
    x86_mov_ri(e->a, X86_RCX, insn);
    x86_jmp(e->a, e->error_common);
}

static void cold_exit(struct emit *e, uint32_t exit)
{
    x86_mov_ri(e->a, X86_RAX, exit);
    x86_jmp(e->a, e->exit_common);
}

static void cold_release(struct emit *e, const struct cold *c)
{
    x86_lea(e->a, X86_RDX, cell_kind(c->reg));
    call_stub(e, JIT_DO_RELEASE);
    x86_jmp(e->a, c->back);
}

static void cold_refuel(struct emit *e, const struct cold *c)
{
    call_stub(e, JIT_DO_REFUEL);
    x86_jcc(e->a, X86_E, c->back);
    emit_error(e, c->number);
}

/* The kind is in rdx, the payload in rax. */
static void cold_result(struct emit *e, const struct cold *c)
{
    struct asm_label other = asm_label_new(e->a);
    x86_alu_ri(e->a, X86_CMP, X86_W32, X86_RDX, JIT_FAILED);
    x86_jcc(e->a, X86_NE, other);
    emit_error(e, c->number);
    asm_bind(e->a, other);
    x86_mov_mr(e->a, X86_W64, cell_kind(c->reg), X86_RDX);
    x86_mov_mr(e->a, X86_W64, cell_payload(c->reg), X86_RAX);
    cold_exit(e, c->exit);
}

/* What was expected is looked at as after the usual way; the machine's registers are kept. */
static void cold_unbox(struct emit *e, const struct cold *c)
{
    if (!kinds_single(c->written))
        return;
    struct asm_label fine = asm_label_new(e->a);
    x86_alu_mi(e->a, X86_CMP, X86_W32, cell_kind(c->reg), __builtin_ctz(c->written));
    x86_jcc(e->a, X86_E, fine);
    cold_exit(e, c->exit);
    asm_bind(e->a, fine);
    if (c->place >= 16)
        x86_movsd_xm(e->a, (enum x86_xmm)(c->place - 16), cell_payload(c->reg));
    else if (c->place >= 0)
        x86_mov_rm(e->a, X86_W64, (enum x86_reg)c->place, cell_payload(c->reg));
}

static void cold_op(struct emit *e, const struct cold *c)
{
    for (unsigned i = 0; i < c->boxing_count; i++)
        emit_boxing(e, &c->boxings[i]);
    x86_mov_ri(e->a, X86_RDX, e->version->number);
    x86_mov_ri(e->a, X86_RAX, c->number);
    call_stub(e, JIT_DO_OP);
    struct asm_label fine = asm_label_new(e->a);
    x86_jcc(e->a, X86_E, fine);
    emit_error(e, c->number);
    asm_bind(e->a, fine);
    cold_unbox(e, c);
    x86_jmp(e->a, c->back);
}

static void cold_branch(struct emit *e, const struct cold *c)
{
    for (unsigned i = 0; i < c->boxing_count; i++)
        emit_boxing(e, &c->boxings[i]);
    x86_mov_ri(e->a, X86_RDX, e->version->number);
    x86_mov_ri(e->a, X86_RAX, c->number);
    call_stub(e, JIT_DO_BRANCH);
    x86_jcc(e->a, X86_NE, c->back);
    x86_jmp(e->a, c->other);
}

/* Nothing of the activation exists yet: its caller has what is in the window. What was paid already
 * is given back, so that it is paid as a whole. */
static void cold_enter(struct emit *e, const struct cold *c)
{
    if (c->number == 2)
        x86_alu_ri(e->a, X86_ADD, X86_W64, DEPTH, 1);
    x86_alu_ri(e->a, X86_ADD, X86_W64, SLICE, 1);
    x86_mov_ri(e->a, X86_RDX, e->version->number);
    call_stub(e, JIT_DO_PAY);
    x86_jcc(e->a, X86_E, c->back);
    x86_mov_ri(e->a, X86_RDX, JIT_FAILED);
    x86_alu_ri(e->a, X86_ADD, X86_W64, X86_RSP, 8);
    x86_ret(e->a);
}

static void emit_one(struct emit *e, const struct cold *c)
{
    asm_bind(e->a, c->label);
    switch (c->what) {
    case COLD_EXIT:
        cold_exit(e, c->exit);
        break;
    case COLD_ERROR:
        emit_error(e, c->number);
        break;
    case COLD_RELEASE:
        cold_release(e, c);
        break;
    case COLD_REFUEL:
        cold_refuel(e, c);
        break;
    case COLD_RESULT:
        cold_result(e, c);
        break;
    case COLD_OP:
        cold_op(e, c);
        break;
    case COLD_ENTER:
        cold_enter(e, c);
        break;
    case COLD_VALUES:
        emit_values(e, c);
        break;
    case COLD_BRANCH:
        cold_branch(e, c);
        break;
    case COLD_STORE:
        emit_store(e, c);
        break;
    }
}

/* What all exits and all errors of the function share. */
static void emit_common(struct emit *e)
{
    asm_bind(e->a, e->exit_common);
    x86_mov_ri(e->a, X86_RDX, e->version->number);
    jump_helper(e, JIT_DO_EXIT);

    asm_bind(e->a, e->error_common);
    x86_mov_rr(e->a, X86_W64, X86_RDI, VM);
    x86_mov_rr(e->a, X86_W64, X86_RSI, BASE);
    x86_mov_ri(e->a, X86_RDX, e->version->number);
    call_helper(e, JIT_ERROR);
    x86_mov_ri(e->a, X86_RDX, JIT_FAILED);
    x86_alu_ri(e->a, X86_ADD, X86_W64, DEPTH, 1);
    x86_alu_ri(e->a, X86_ADD, X86_W64, X86_RSP, 8);
    x86_ret(e->a);
}

void emit_cold(struct emit *e)
{
    for (uint32_t i = 0; i < e->cold_count; i++) {
        struct cold c = e->colds[i];
        emit_one(e, &c);
    }
    emit_common(e);
}
