/* SPDX-License-Identifier: Apache-2.0 */
/* Moving values: between registers, of literals, of globals. */
#include "guest/jitvm/jit/x86_64/block_emit.h"

/* One more reference to what is at [rax] or in the cell: kind there, payload in rcx. Uses rcx, rdx.
 */
void retain_element(struct emit *e, struct x86_mem kind, struct x86_mem payload, kind_set kinds)
{
    if (!(kinds & KINDS_HEAP))
        return;
    struct asm_label done = asm_label_new(e->a);
    if (kinds & (kind_set)~KINDS_HEAP) {
        x86_alu_mi(e->a, X86_CMP, X86_W32, kind, JITVM_STR);
        x86_jcc(e->a, X86_B, done);
    }
    x86_mov_rm(e->a, X86_W64, X86_RCX, payload);
    x86_mov_rm(e->a, X86_W32, X86_RDX, x86_at(X86_RCX, 0));
    /* An immortal one has all bits set. */
    x86_alu_ri(e->a, X86_ADD, X86_W32, X86_RDX, 1);
    x86_jcc(e->a, X86_E, done);
    x86_mov_mr(e->a, X86_W32, x86_at(X86_RCX, 0), X86_RDX);
    asm_bind(e->a, done);
}

/* ---- copies ---------------------------------------------------------------------------------- */

static void copy_boxed(struct emit *e, bool take)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    if (!take)
        retain_element(e, cell_kind(insn->b), cell_payload(insn->b), e->kinds[insn->b]);
    if (insn->a == insn->b)
        return;
    release_old(e, insn->a);
    x86_mov_rm(e->a, X86_W64, X86_RAX, cell_kind(insn->b));
    x86_mov_rm(e->a, X86_W64, X86_RCX, cell_payload(insn->b));
    x86_mov_mr(e->a, X86_W64, cell_kind(insn->a), X86_RAX);
    x86_mov_mr(e->a, X86_W64, cell_payload(insn->a), X86_RCX);
    if (take && (e->kinds[insn->b] & KINDS_HEAP))
        x86_mov_mi(e->a, X86_W64, cell_kind(insn->b), JITVM_UNDEF);
}

static bool emit_copy(struct emit *e, bool take)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    if (insn->a == insn->b)
        return false;
    switch (kinds_rep(e->kinds[insn->b])) {
    case REP_NONE:
        release_old(e, insn->a);
        return true;
    case REP_INT:
        put_int(e, use_int(e, insn->b, result_int(e, X86_RAX)));
        return true;
    case REP_FLOAT:
        put_float(e, use_float(e, insn->b, result_float(e, SCRATCH_FLOAT)));
        return true;
    case REP_BOXED:
        copy_boxed(e, take);
        return true;
    }
    return false;
}

static bool emit_literal(struct emit *e)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    struct jitvm_value v = e->f->vm->literals[insn->u];
    switch (kinds_rep(e->written)) {
    case REP_NONE:
        release_old(e, insn->a);
        break;
    case REP_INT: {
        enum x86_reg to = result_int(e, X86_RAX);
        x86_mov_ri(e->a, to, v.as.i);
        put_int(e, to);
        break;
    }
    case REP_FLOAT: {
        enum x86_xmm to = result_float(e, SCRATCH_FLOAT);
        if (v.as.i == 0)
            x86_bits_xx(e->a, X86_PXOR, to, to);
        else
            load_literal_float(e, insn->u, to);
        put_float(e, to);
        break;
    }
    case REP_BOXED: /* its strings are immortal */
        release_old(e, insn->a);
        x86_mov_rm(e->a, X86_W64, X86_RAX, VM_FIELD(literals));
        x86_movups_xm(e->a, SCRATCH_FLOAT, x86_at(X86_RAX, (int32_t)(insn->u * 16)));
        x86_movups_mx(e->a, cell_kind(insn->a), SCRATCH_FLOAT);
        break;
    }
    return true;
}

/* ---- globals --------------------------------------------------------------------------------- */

static struct x86_mem global_at(uint32_t global, int32_t offset)
{
    return x86_at(X86_RAX, (int32_t)(global * 16) + offset);
}

void put_boxed(struct emit *e, struct x86_mem kind, struct x86_mem payload)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    retain_element(e, kind, payload, e->written);
    x86_movups_xm(e->a, SCRATCH_FLOAT, kind);
    release_old(e, insn->a);
    x86_movups_mx(e->a, cell_kind(insn->a), SCRATCH_FLOAT);
}

/* Of a global that the chunk does not number too high for an address. */
static bool near_global(const struct emit *e)
{
    return e->f->code->insns[e->at].u < 1u << 24;
}

static bool emit_get_global(struct emit *e)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    if (!near_global(e))
        return false;
    x86_mov_rm(e->a, X86_W64, X86_RAX, VM_FIELD(globals));
    struct x86_mem kind = global_at(insn->u, 0), payload = global_at(insn->u, 8);
    if (kinds_single(e->written)) {
        x86_alu_mi(e->a, X86_CMP, X86_W32, kind, __builtin_ctz(e->written));
        x86_jcc(e->a, X86_NE, exit_before(e));
    }
    switch (kinds_rep(e->written)) {
    case REP_NONE:
        release_old(e, insn->a);
        break;
    case REP_INT: {
        enum x86_reg to = result_int(e, X86_RAX);
        x86_mov_rm(e->a, X86_W64, to, payload);
        put_int(e, to);
        break;
    }
    case REP_FLOAT: {
        enum x86_xmm to = result_float(e, SCRATCH_FLOAT);
        x86_movsd_xm(e->a, to, payload);
        put_float(e, to);
        break;
    }
    case REP_BOXED:
        put_boxed(e, kind, payload);
        break;
    }
    return true;
}

static bool emit_set_global(struct emit *e)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    enum rep rep = kinds_rep(e->kinds[insn->a]);
    if (!near_global(e) || (rep != REP_INT && rep != REP_FLOAT))
        return false;
    struct cold *c = cold_add(e, COLD_OP);
    if (!c)
        return true;
    c->boxings[c->boxing_count++] = boxing_before(e, insn->a);
    x86_mov_rm(e->a, X86_W64, X86_RAX, VM_FIELD(globals));
    x86_alu_mi(e->a, X86_CMP, X86_W32, global_at(insn->u, 0), JITVM_STR);
    x86_jcc(e->a, X86_AE, c->label);
    x86_mov_mi(e->a, X86_W64, global_at(insn->u, 0), __builtin_ctz(e->kinds[insn->a]));
    if (rep == REP_INT) {
        x86_mov_mr(e->a, X86_W64, global_at(insn->u, 8), use_int(e, insn->a, X86_RCX));
    } else {
        enum x86_xmm from = use_float(e, insn->a, SCRATCH_FLOAT);
        if (from != SCRATCH_FLOAT)
            x86_movapd_xx(e->a, SCRATCH_FLOAT, from);
        canonical(e, SCRATCH_FLOAT);
        x86_movsd_mx(e->a, global_at(insn->u, 8), SCRATCH_FLOAT);
    }
    asm_bind(e->a, c->back);
    return true;
}

bool emit_moving(struct emit *e)
{
    switch (e->f->code->ops[e->at]) {
    case CODE_MOVE:
        return emit_copy(e, false);
    case CODE_TAKE:
        return emit_copy(e, true);
    case CODE_LOADK:
        return emit_literal(e);
    case CODE_DROP:
        release_old(e, e->f->code->insns[e->at].a);
        return true;
    case CODE_GETG:
        return emit_get_global(e);
    case CODE_SETG:
        return emit_set_global(e);
    default:
        return false;
    }
}
