/* SPDX-License-Identifier: Apache-2.0 */
/* Machine code of a function, block by block. */
#include "guest/jitvm/jit/x86_64/block_emit.h"

#include <string.h>

const struct places *arch_places(void)
{
    return &x86_places;
}

uint32_t arch_features(void)
{
    return x86_features();
}

/* ---- instructions ---------------------------------------------------------------------------- */

/* As op_slow does it, with everything that it reads in cells. */
void emit_slow(struct emit *e)
{
    struct operands o;
    operands_of(e->f->code, e->at, &o);
    for (unsigned i = 0; i < o.read_count; i++)
        box_before(e, o.reads[i]);
    for (unsigned i = 0; i < o.count; i++)
        box_before(e, (uint32_t)o.first + i);
    save_live(e, false);
    x86_mov_mr(e->a, X86_W64, VM_FIELD(slice), SLICE);
    x86_mov_mr(e->a, X86_W64, VM_FIELD(depth), DEPTH);
    x86_mov_rr(e->a, X86_W64, X86_RDI, VM);
    x86_mov_rr(e->a, X86_W64, X86_RSI, BASE);
    x86_mov_ri(e->a, X86_RDX, e->version->number);
    x86_mov_ri(e->a, X86_RCX, e->at);
    call_helper(e, e->f->code->ops[e->at] == CODE_CALLDYN ? JIT_CALL : JIT_OP);
    x86_mov_rm(e->a, X86_W64, SLICE, VM_FIELD(slice));
    x86_test_rr(e->a, X86_W32, X86_RAX, X86_RAX);
    x86_jcc(e->a, X86_NE, error_at(e));
    load_live(e, false);
    if (o.also_writes >= 0)
        unbox_slot(e, (uint32_t)o.also_writes);
    if (o.writes >= 0)
        unbox_result(e);
}

static void emit_insn(struct emit *e)
{
    unsigned op = e->f->code->ops[e->at];
    if (kinds_unseen(e->f, e->at)) {
        x86_jmp(e->a, exit_before(e));
        if (e->exit_before)
            e->version->exits[e->exit_before - 1].unseen = true;
    } else if (code_is_branch(op)) {
        emit_branch(e);
    } else if (op == CODE_CALL) {
        emit_call(e);
    } else if (op == CODE_RET || op == CODE_RETU) {
        emit_return(e);
    } else if (!emit_moving(e) && !emit_arithmetic(e) && !emit_compare(e) && !emit_array(e) &&
               !emit_math(e)) {
        emit_slow(e);
    }
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static bool needs_box(const struct emit *e, const struct block *to, uint32_t reg)
{
    return kinds_rep(to->in[reg]) == REP_BOXED && kinds_rep(e->kinds[reg]) != REP_BOXED;
}

bool edge_is_free(const struct emit *e, const struct block *to)
{
    for (uint32_t r = 0; r < e->f->registers; r++)
        if (flow_alive(to->live_in, r) && needs_box(e, to, r))
            return false;
    return true;
}

void emit_edge(struct emit *e, const struct block *to)
{
    for (uint32_t r = 0; r < e->f->registers; r++) {
        if (!flow_alive(to->live_in, r) || !needs_box(e, to, r))
            continue;
        struct boxing b = boxing_after(e, r);
        emit_boxing(e, &b);
    }
}

static void enter_block(struct emit *e, const struct block *b)
{
    memcpy(e->kinds, b->in, e->f->registers * sizeof *e->kinds);
    memset(e->clean, 0, e->f->registers);
    e->live = b->live_in;
    asm_bind(e->a, e->labels[b - e->f->blocks]);
    asm_comment(e->a, "block %u", (unsigned)(b - e->f->blocks));
}

static void emit_block(struct emit *e, const struct block *b)
{
    enter_block(e, b);
    kind_set result = 0;
    for (uint32_t at = b->first; at < b->end; at++) {
        unsigned op = e->f->code->ops[at];
        if (op == CODE_DATA)
            continue;
        e->at = at;
        e->live_after = e->f->live + (size_t)at * e->f->words;
        e->exit_before = e->exit_after = 0;
        struct operands o;
        operands_of(e->f->code, at, &o);
        bool stops = kinds_unseen(e->f, at);
        e->written = o.writes >= 0 && !stops ? kinds_written(e->f, at, e->kinds) : 0;
        asm_comment(e->a, "%u %s", at, code_op_name(op));
        emit_insn(e);
        if (!kinds_step(e->f, at, e->kinds, &result))
            return;
        e->live = e->live_after;
    }
    if (b->next[0] != BLOCK_NONE)
        emit_edge(e, &e->f->blocks[b->next[0]]);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool prepare(struct emit *e)
{
    struct flow *f = e->f;
    e->kinds = arena_alloc(f->arena, f->registers, sizeof *e->kinds);
    e->clean = arena_alloc(f->arena, f->registers, 1);
    e->labels = arena_alloc(f->arena, f->block_count, sizeof *e->labels);
    if (!e->kinds || !e->clean || !e->labels)
        return false;
    for (uint32_t i = 0; i < f->block_count; i++)
        e->labels[i] = asm_label_new(e->a);
    e->exit_common = asm_label_new(e->a);
    e->error_common = asm_label_new(e->a);
    asm_name(e->a, e->exit_common, "leave");
    asm_name(e->a, e->error_common, "fail");
    return true;
}

int arch_compile(struct jit *jit, struct jit_version *version, struct flow *f)
{
    struct emit e = {.f = f, .a = &jit->assembler, .jit = jit, .version = version};
    asm_reset(e.a);
    if (!prepare(&e))
        return JITVM_ERR_MEMORY;
    emit_entries(&e);
    for (uint32_t i = 0; i < f->block_count; i++)
        if (f->blocks[i].reached)
            emit_block(&e, &f->blocks[i]);
    emit_cold(&e);
    if (e.failed)
        return JITVM_ERR_MEMORY;
    int rc = asm_finish(e.a);
    version->boxed = asm_offset(e.a, e.boxed_entry);
    version->typed = asm_offset(e.a, e.typed_entry);
    return rc;
}
