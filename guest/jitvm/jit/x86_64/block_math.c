/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of numbers: a few as instructions, others as direct calls. */
#include "guest/jitvm/jit/x86_64/block_emit.h"

#include <string.h>

/* Is it the builtin of that name, not a host's function that took its place? */
static bool is_builtin(const struct jitvm_native *native, const char *name)
{
    unsigned count;
    const struct jitvm_native *table = builtins_math(&count);
    if (strcmp(native->name, name) != 0)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].fn == native->fn;
    return false;
}

static bool is_number(const struct emit *e, uint32_t reg)
{
    return e->kinds[reg] == KINDS_FLOAT || kinds_rep(e->kinds[reg]) == REP_INT;
}

/* ---- direct calls ---------------------------------------------------------------------------- */

/* double helper(double x, double y); NaNs come out in their one form. */
static void call_with_two(struct emit *e, enum x86_xmm x, enum x86_xmm y, enum jit_helper helper)
{
    if (x != SCRATCH_FLOAT)
        x86_movapd_xx(e->a, SCRATCH_FLOAT, x);
    if (y != SCRATCH_FLOAT2)
        x86_movapd_xx(e->a, SCRATCH_FLOAT2, y);
    save_live(e, false);
    x86_movapd_xx(e->a, X86_XMM0, SCRATCH_FLOAT);
    x86_movapd_xx(e->a, X86_XMM1, SCRATCH_FLOAT2);
    call_helper(e, helper);
    x86_movapd_xx(e->a, SCRATCH_FLOAT, X86_XMM0);
    load_live(e, false);
    put_float(e, SCRATCH_FLOAT);
}

static void literal_or_number(struct emit *e, bool literal, uint32_t index, enum x86_xmm to)
{
    enum x86_xmm from = to;
    if (literal)
        load_literal_float(e, index, to);
    else
        from = use_number(e, index, to);
    if (from != to)
        x86_movapd_xx(e->a, to, from);
}

static bool emit_two(struct emit *e, enum jit_helper helper)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    enum code_format format = code_op_format(e->f->code->ops[e->at]);
    bool literal_b = format == CODE_FMT_DKS, literal_c = format == CODE_FMT_DSK;
    if (e->written != KINDS_FLOAT || (!literal_b && !is_number(e, insn->b)) ||
        (!literal_c && !is_number(e, insn->u)))
        return false;
    literal_or_number(e, literal_b, insn->b, SCRATCH_FLOAT);
    literal_or_number(e, literal_c, insn->u, SCRATCH_FLOAT2);
    call_with_two(e, SCRATCH_FLOAT, SCRATCH_FLOAT2, helper);
    return true;
}

/* ---- builtins -------------------------------------------------------------------------------- */

static bool emit_sqrt(struct emit *e, uint32_t arg)
{
    enum x86_xmm to = result_float(e, SCRATCH_FLOAT);
    x86_sse_xx(e->a, X86_SQRTSD, to, use_number(e, arg, SCRATCH_FLOAT2));
    put_float(e, to);
    return true;
}

static bool emit_round(struct emit *e, uint32_t arg, enum x86_round mode)
{
    if (!(e->a->features_allowed & X86_SSE41))
        return false;
    enum x86_xmm to = result_float(e, SCRATCH_FLOAT);
    x86_roundsd_xx(e->a, mode, to, use_number(e, arg, SCRATCH_FLOAT2));
    put_float(e, to);
    return true;
}

static bool emit_abs_float(struct emit *e, uint32_t arg)
{
    enum x86_xmm to = result_float(e, SCRATCH_FLOAT), from = use_float(e, arg, SCRATCH_FLOAT2);
    if (to != from)
        x86_movapd_xx(e->a, to, from);
    struct asm_label mask = asm_constant_pair(e->a, INT64_MAX, 0);
    x86_bits_xm(e->a, X86_ANDPD, to, x86_at_label(mask));
    put_float(e, to);
    return true;
}

static bool emit_abs(struct emit *e, uint32_t arg)
{
    if (e->kinds[arg] == KINDS_FLOAT && e->written == KINDS_FLOAT)
        return emit_abs_float(e, arg);
    if (e->kinds[arg] != KINDS_INT || e->written != KINDS_INT)
        return false;
    enum x86_reg from = use_int(e, arg, X86_RCX);
    x86_mov_rr(e->a, X86_W64, X86_RAX, from);
    x86_unary_r(e->a, X86_NEG, X86_W64, X86_RAX);
    x86_cmov_rr(e->a, X86_S, X86_W64, X86_RAX, from);
    put_int(e, X86_RAX);
    return true;
}

static bool emit_pow(struct emit *e, uint32_t x, uint32_t y)
{
    literal_or_number(e, false, x, SCRATCH_FLOAT);
    literal_or_number(e, false, y, SCRATCH_FLOAT2);
    call_with_two(e, SCRATCH_FLOAT, SCRATCH_FLOAT2, JIT_POW);
    return true;
}

static bool emit_builtin(struct emit *e)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    const struct jitvm_native *native = &e->f->vm->natives[insn->u];
    uint32_t arg = insn->a;
    if (!(native->flags & JITVM_PURE) || insn->b == 0 || !is_number(e, arg))
        return false;
    if (insn->b == 1 && is_builtin(native, "abs"))
        return emit_abs(e, arg);
    if (e->written != KINDS_FLOAT)
        return false;
    if (insn->b == 1 && is_builtin(native, "sqrt"))
        return emit_sqrt(e, arg);
    if (insn->b == 1 && is_builtin(native, "floor"))
        return emit_round(e, arg, X86_FLOOR);
    if (insn->b == 1 && is_builtin(native, "ceil"))
        return emit_round(e, arg, X86_CEIL);
    if (insn->b == 1 && is_builtin(native, "trunc"))
        return emit_round(e, arg, X86_TRUNC);
    if (insn->b == 2 && is_number(e, arg + 1) && is_builtin(native, "pow"))
        return emit_pow(e, arg, arg + 1);
    return false;
}

bool emit_math(struct emit *e)
{
    switch (e->f->code->ops[e->at]) {
    case CODE_POW:
        return emit_two(e, JIT_POW);
    case CODE_MOD:
    case CODE_MOD_RK:
    case CODE_MOD_KR:
        return emit_two(e, JIT_FMOD);
    case CODE_CALLB:
        return emit_builtin(e);
    default:
        return false;
    }
}
