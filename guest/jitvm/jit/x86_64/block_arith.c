/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on unboxed numbers. */
#include "guest/jitvm/jit/x86_64/block_emit.h"

/* An operand: an unboxed register or a literal. */
struct operand {
    bool literal;
    uint32_t index;
    kind_set kinds;
};

static struct operand operand_at(const struct emit *e, bool second)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    enum code_format format = code_op_format(e->f->code->ops[e->at]);
    bool literal = second ? format == CODE_FMT_DSK : format == CODE_FMT_DKS;
    struct operand o = {.literal = literal, .index = second ? insn->u : insn->b};
    if (second && format == CODE_FMT_DSI)
        o = (struct operand){.literal = true, .index = BLOCK_NONE, .kinds = KINDS_INT};
    else if (literal)
        o.kinds = (kind_set)(1u << e->f->vm->literals[o.index].kind);
    else
        o.kinds = e->kinds[o.index];
    return o;
}

static bool is_int(struct operand o)
{
    return kinds_rep(o.kinds) == REP_INT;
}

static bool may_be_int(struct operand o)
{
    return is_int(o) || (kinds_rep(o.kinds) == REP_BOXED && (o.kinds & KINDS_INT));
}

/* Two ints, or values that the result was guessed for: then those that are none go aside. */
static bool ints_or_aside(struct emit *e, struct operand b, struct operand c,
                          struct asm_label *back)
{
    if (!may_be_int(b) || !may_be_int(c) || e->written != KINDS_INT)
        return false;
    *back = asm_label_new(e->a);
    if (is_int(b) && is_int(c))
        return true;
    struct cold *aside = cold_whole(e);
    if (!aside)
        return true;
    aside->back = *back;
    const struct operand *operands[2] = {&b, &c};
    for (unsigned i = 0; i < 2; i++) {
        if (is_int(*operands[i]))
            continue;
        x86_alu_mi(e->a, X86_CMP, X86_W32, cell_kind(operands[i]->index), JITVM_INT);
        x86_jcc(e->a, X86_NE, aside->label);
    }
    return true;
}

static bool is_number(struct operand o)
{
    return is_int(o) || o.kinds == KINDS_FLOAT;
}

static int64_t literal_int(const struct emit *e, struct operand o)
{
    if (o.index == BLOCK_NONE)
        return e->f->code->insns[e->at].c;
    return e->f->vm->literals[o.index].as.i;
}

static bool fits_32(int64_t i)
{
    return i >= INT32_MIN && i <= INT32_MAX;
}

static enum x86_reg load_int(struct emit *e, struct operand o, enum x86_reg scratch)
{
    if (!o.literal)
        return use_int(e, o.index, scratch);
    x86_mov_ri(e->a, scratch, literal_int(e, o));
    return scratch;
}

static enum x86_xmm load_float(struct emit *e, struct operand o, enum x86_xmm scratch)
{
    if (!o.literal)
        return use_number(e, o.index, scratch);
    if (o.index == BLOCK_NONE)
        x86_movsd_xm(e->a, scratch,
                     x86_at_label(asm_constant_float(e->a, (double)literal_int(e, o))));
    else
        load_literal_float(e, o.index, scratch);
    return scratch;
}

/* ---- ints ------------------------------------------------------------------------------------ */

static enum x86_alu alu_of(unsigned op)
{
    switch (op) {
    case CODE_ADD:
    case CODE_ADD_RK:
    case CODE_ADD_KR:
    case CODE_ADDI:
        return X86_ADD;
    case CODE_SUB:
    case CODE_SUB_RK:
    case CODE_SUB_KR:
        return X86_SUB;
    case CODE_BAND:
    case CODE_BAND_RK:
        return X86_AND;
    case CODE_BOR:
    case CODE_BOR_RK:
        return X86_OR;
    default:
        return X86_XOR;
    }
}

/* to = to op o */
static void alu_operand(struct emit *e, enum x86_alu op, enum x86_reg to, struct operand o)
{
    if (o.literal && fits_32(literal_int(e, o))) {
        x86_alu_ri(e->a, op, X86_W64, to, (int32_t)literal_int(e, o));
        return;
    }
    int place = o.literal ? -1 : place_before(e, o.index, false);
    if (!o.literal && place < 0)
        x86_alu_rm(e->a, op, X86_W64, to, cell_payload(o.index));
    else
        x86_alu_rr(e->a, op, X86_W64, to, load_int(e, o, X86_RCX));
}

static void move_int(struct emit *e, enum x86_reg to, struct operand o)
{
    enum x86_reg from = load_int(e, o, to);
    if (from != to)
        x86_mov_rr(e->a, X86_W64, to, from);
}

static bool in_place(const struct emit *e, struct operand o, enum x86_reg reg)
{
    return !o.literal && place_before(e, o.index, false) == (int)reg;
}

/* Where to compute: the result's own place, unless the second operand is still needed from there,
 * or the operation may be undone. */
static enum x86_reg target_for(const struct emit *e, struct operand c, bool may_leave)
{
    enum x86_reg to = result_int(e, X86_RAX);
    return may_leave || in_place(e, c, to) ? X86_RAX : to;
}

static bool traps(const struct emit *e)
{
    return e->f->vm->overflow_traps;
}

static void trap_overflow(struct emit *e)
{
    if (traps(e))
        x86_jcc(e->a, X86_O, exit_before(e));
}

static bool lea_sum(struct emit *e, struct operand b, struct operand c)
{
    enum x86_reg to = result_int(e, X86_RAX);
    int pb = b.literal ? -1 : place_before(e, b.index, false);
    if (traps(e) || pb < 0 || pb == (int)to)
        return false;
    if (c.literal && fits_32(literal_int(e, c))) {
        x86_lea(e->a, to, x86_at((enum x86_reg)pb, (int32_t)literal_int(e, c)));
    } else {
        int pc = c.literal ? -1 : place_before(e, c.index, false);
        if (pc < 0 || pc == (int)to)
            return false;
        x86_lea(e->a, to, x86_at_index((enum x86_reg)pb, (enum x86_reg)pc, 1, 0));
    }
    put_int(e, to);
    return true;
}

static bool emit_alu(struct emit *e, enum x86_alu op)
{
    struct operand b = operand_at(e, false), c = operand_at(e, true);
    bool bits = op != X86_ADD && op != X86_SUB;
    struct asm_label back;
    if (!ints_or_aside(e, b, c, &back))
        return false;
    if (op != X86_SUB && !c.literal && in_place(e, c, result_int(e, X86_RAX))) {
        struct operand t = b;
        b = c;
        c = t;
    }
    if (op != X86_ADD || !lea_sum(e, b, c)) {
        enum x86_reg to = target_for(e, c, traps(e) && !bits);
        move_int(e, to, b);
        alu_operand(e, op, to, c);
        if (!bits)
            trap_overflow(e);
        put_int(e, to);
    }
    asm_bind(e->a, back);
    return true;
}

static bool emit_multiply(struct emit *e)
{
    struct operand b = operand_at(e, false), c = operand_at(e, true);
    struct asm_label back;
    if (!ints_or_aside(e, b, c, &back))
        return false;
    if (b.literal || (!c.literal && in_place(e, c, result_int(e, X86_RAX)))) {
        struct operand t = b;
        b = c;
        c = t;
    }
    if (c.literal && fits_32(literal_int(e, c)) && !b.literal) {
        enum x86_reg to = traps(e) ? X86_RAX : result_int(e, X86_RAX);
        x86_imul_rri(e->a, X86_W64, to, load_int(e, b, X86_RAX), (int32_t)literal_int(e, c));
        trap_overflow(e);
        put_int(e, to);
    } else {
        enum x86_reg to = target_for(e, c, traps(e));
        move_int(e, to, b);
        x86_imul_rr(e->a, X86_W64, to, load_int(e, c, X86_RCX));
        trap_overflow(e);
        put_int(e, to);
    }
    asm_bind(e->a, back);
    return true;
}

static bool emit_shift(struct emit *e, enum x86_shift op)
{
    struct operand b = operand_at(e, false), c = operand_at(e, true);
    if (!is_int(b) || !is_int(c))
        return false;
    if (c.literal) {
        enum x86_reg to = result_int(e, X86_RAX);
        move_int(e, to, b);
        if (literal_int(e, c) & 63)
            x86_shift_ri(e->a, op, X86_W64, to, (unsigned)(literal_int(e, c) & 63));
        put_int(e, to);
        return true;
    }
    enum x86_reg count = load_int(e, c, X86_RCX);
    if (count != X86_RCX)
        x86_mov_rr(e->a, X86_W64, X86_RCX, count);
    enum x86_reg to = target_for(e, c, false);
    move_int(e, to, b);
    x86_shift_rcl(e->a, op, X86_W64, to);
    put_int(e, to);
    return true;
}

static bool emit_unary(struct emit *e, enum x86_unary op)
{
    struct operand b = operand_at(e, false);
    if (!is_int(b))
        return false;
    bool may_leave = op == X86_NEG && traps(e);
    enum x86_reg to = may_leave ? X86_RAX : result_int(e, X86_RAX);
    move_int(e, to, b);
    x86_unary_r(e->a, op, X86_W64, to);
    if (op == X86_NEG)
        trap_overflow(e);
    put_int(e, to);
    return true;
}

/* ---- dividing ints --------------------------------------------------------------------------- */

static bool power_of_two(int64_t i)
{
    return i > 0 && (i & (i - 1)) == 0;
}

/* Toward zero: a negative dividend gets divisor - 1 first. rax = b / 2^n, or b % 2^n. */
static void divide_by_power(struct emit *e, struct operand b, int64_t divisor, bool remainder)
{
    unsigned n = (unsigned)__builtin_ctzll((uint64_t)divisor);
    enum x86_reg from = load_int(e, b, X86_RCX);
    if (n == 0) {
        if (remainder)
            x86_zero(e->a, X86_RAX);
        else
            x86_mov_rr(e->a, X86_W64, X86_RAX, from);
        return;
    }
    x86_mov_rr(e->a, X86_W64, X86_RAX, from);
    x86_shift_ri(e->a, X86_SAR, X86_W64, X86_RAX, 63);
    x86_shift_ri(e->a, X86_SHR, X86_W64, X86_RAX, 64 - n);
    x86_mov_rr(e->a, X86_W64, X86_RDX, X86_RAX);
    x86_alu_rr(e->a, X86_ADD, X86_W64, X86_RAX, from);
    if (!remainder) {
        x86_shift_ri(e->a, X86_SAR, X86_W64, X86_RAX, n);
        return;
    }
    x86_shift_ri(e->a, X86_SHL, X86_W64, X86_RAX, 64 - n);
    x86_shift_ri(e->a, X86_SHR, X86_W64, X86_RAX, 64 - n);
    x86_alu_rr(e->a, X86_SUB, X86_W64, X86_RAX, X86_RDX);
}

/* rax / rcx; a division of 32 bits takes a third of the time, and does when both are small. */
static void divide_registers(struct emit *e, bool remainder)
{
    struct asm_label wide = asm_label_new(e->a), done = asm_label_new(e->a);
    x86_mov_rr(e->a, X86_W64, X86_RDX, X86_RAX);
    x86_alu_rr(e->a, X86_OR, X86_W64, X86_RDX, X86_RCX);
    x86_shift_ri(e->a, X86_SHR, X86_W64, X86_RDX, 31);
    x86_jcc(e->a, X86_NE, wide);
    x86_cqo(e->a, X86_W32);
    x86_idiv_r(e->a, X86_W32, X86_RCX);
    x86_jmp(e->a, done);
    asm_bind(e->a, wide);
    x86_cqo(e->a, X86_W64);
    x86_idiv_r(e->a, X86_W64, X86_RCX);
    asm_bind(e->a, done);
    if (remainder)
        x86_mov_rr(e->a, X86_W64, X86_RAX, X86_RDX);
}

/* Divisors 0 and -1 cannot be given to the processor. */
static void divide_checked(struct emit *e, struct operand b, struct operand c, bool remainder)
{
    move_int(e, X86_RCX, c);
    struct asm_label done = asm_label_new(e->a), usual = asm_label_new(e->a);
    move_int(e, X86_RAX, b);
    if (!c.literal) {
        struct asm_label minus = asm_label_new(e->a);
        x86_lea(e->a, X86_RDX, x86_at(X86_RCX, 1));
        x86_alu_ri(e->a, X86_CMP, X86_W64, X86_RDX, 1);
        x86_jcc(e->a, X86_A, usual);
        x86_jcc(e->a, X86_B, minus);
        if (remainder) {
            x86_zero(e->a, X86_RAX);
            x86_jmp(e->a, done);
        } else {
            x86_jmp(e->a, exit_before(e));
        }
        asm_bind(e->a, minus);
        if (remainder)
            x86_zero(e->a, X86_RAX);
        else
            x86_unary_r(e->a, X86_NEG, X86_W64, X86_RAX);
        x86_jmp(e->a, done);
    }
    asm_bind(e->a, usual);
    divide_registers(e, remainder);
    asm_bind(e->a, done);
}

static bool emit_int_divide(struct emit *e, bool remainder)
{
    struct operand b = operand_at(e, false), c = operand_at(e, true);
    if (!is_int(b) || !is_int(c) || e->written != KINDS_INT)
        return false;
    int64_t divisor = c.literal ? literal_int(e, c) : 1;
    if (divisor == 0 || divisor == -1)
        return false;
    if (c.literal && power_of_two(divisor))
        divide_by_power(e, b, divisor, remainder);
    else
        divide_checked(e, b, c, remainder);
    put_int(e, X86_RAX);
    return true;
}

/* ---- floats ---------------------------------------------------------------------------------- */

static bool emit_float_op(struct emit *e, enum x86_sse op)
{
    struct operand b = operand_at(e, false), c = operand_at(e, true);
    if (!is_number(b) || !is_number(c) || (is_int(b) && is_int(c) && op != X86_DIVSD) ||
        e->written != KINDS_FLOAT)
        return false;
    enum x86_xmm to = result_float(e, SCRATCH_FLOAT);
    enum x86_xmm y = load_float(e, c, SCRATCH_FLOAT2);
    if (op == X86_DIVSD && !c.literal) {
        /* By zero it gives undef. A NaN is not zero. */
        struct asm_label fine = asm_label_new(e->a);
        x86_bits_xx(e->a, X86_PXOR, SCRATCH_FLOAT, SCRATCH_FLOAT);
        x86_sse_xx(e->a, X86_UCOMISD, y, SCRATCH_FLOAT);
        x86_jcc(e->a, X86_P, fine);
        x86_jcc(e->a, X86_E, exit_before(e));
        asm_bind(e->a, fine);
    }
    if (to == y)
        to = SCRATCH_FLOAT;
    enum x86_xmm x = load_float(e, b, to);
    if (x != to)
        x86_movapd_xx(e->a, to, x);
    x86_sse_xx(e->a, op, to, y);
    put_float(e, to);
    return true;
}

static bool literal_zero(const struct emit *e, struct operand c)
{
    if (!c.literal || c.index == BLOCK_NONE)
        return false;
    struct jitvm_value v = e->f->vm->literals[c.index];
    return v.kind == JITVM_INT ? v.as.i == 0 : v.as.f == 0;
}

static bool emit_float_divide(struct emit *e)
{
    return !literal_zero(e, operand_at(e, true)) && emit_float_op(e, X86_DIVSD);
}

static bool emit_float_negate(struct emit *e)
{
    struct operand b = operand_at(e, false);
    if (b.kinds != KINDS_FLOAT)
        return false;
    enum x86_xmm to = result_float(e, SCRATCH_FLOAT);
    enum x86_xmm from = load_float(e, b, SCRATCH_FLOAT);
    if (from != to)
        x86_movapd_xx(e->a, to, from);
    struct asm_label sign = asm_constant_pair(e->a, UINT64_C(1) << 63, 0);
    x86_bits_xm(e->a, X86_XORPD, to, x86_at_label(sign));
    put_float(e, to);
    return true;
}

/* ---- conversions ----------------------------------------------------------------------------- */

static bool emit_to_float(struct emit *e)
{
    struct operand b = operand_at(e, false);
    if (!is_number(b))
        return false;
    enum x86_xmm to = result_float(e, SCRATCH_FLOAT);
    put_float(e, load_float(e, b, to));
    return true;
}

/* What does not fit comes out as the smallest int: then C says what it is. */
static bool emit_to_int(struct emit *e)
{
    struct operand b = operand_at(e, false);
    if (is_int(b)) {
        put_int(e, load_int(e, b, X86_RAX));
        return true;
    }
    if (b.kinds != KINDS_FLOAT)
        return false;
    enum x86_xmm from = load_float(e, b, SCRATCH_FLOAT);
    struct asm_label fine = asm_label_new(e->a);
    x86_cvttsd2si_rx(e->a, X86_W64, X86_RAX, from);
    x86_mov_rr(e->a, X86_W64, X86_RCX, X86_RAX);
    x86_alu_ri(e->a, X86_SUB, X86_W64, X86_RCX, 1);
    x86_jcc(e->a, X86_NO, fine);
    if (from != SCRATCH_FLOAT)
        x86_movapd_xx(e->a, SCRATCH_FLOAT, from);
    x86_mov_rm(e->a, X86_W64, X86_RCX, VM_FIELD(links));
    x86_call_m(e->a, x86_at(X86_RCX, JIT_DO_FLOAT_TO_INT * 8));
    asm_bind(e->a, fine);
    put_int(e, X86_RAX);
    return true;
}

bool emit_arithmetic(struct emit *e)
{
    unsigned op = e->f->code->ops[e->at];
    switch (op) {
    case CODE_ADD:
    case CODE_ADD_RK:
    case CODE_ADD_KR:
    case CODE_ADDI:
        return emit_alu(e, X86_ADD) || emit_float_op(e, X86_ADDSD);
    case CODE_SUB:
    case CODE_SUB_RK:
    case CODE_SUB_KR:
        return emit_alu(e, X86_SUB) || emit_float_op(e, X86_SUBSD);
    case CODE_MUL:
    case CODE_MUL_RK:
    case CODE_MUL_KR:
        return emit_multiply(e) || emit_float_op(e, X86_MULSD);
    case CODE_DIV:
    case CODE_DIV_RK:
    case CODE_DIV_KR:
        return emit_float_divide(e);
    case CODE_IDIV:
    case CODE_IDIV_RK:
    case CODE_IDIV_KR:
        return emit_int_divide(e, false);
    case CODE_MOD:
    case CODE_MOD_RK:
    case CODE_MOD_KR:
        return emit_int_divide(e, true);
    case CODE_NEG:
        return emit_unary(e, X86_NEG) || emit_float_negate(e);
    case CODE_BAND:
    case CODE_BAND_RK:
    case CODE_BOR:
    case CODE_BOR_RK:
    case CODE_BXOR:
    case CODE_BXOR_RK:
        return emit_alu(e, alu_of(op));
    case CODE_SHL:
    case CODE_SHL_RK:
        return emit_shift(e, X86_SHL);
    case CODE_SHR:
    case CODE_SHR_RK:
        return emit_shift(e, X86_SAR);
    case CODE_BNOT:
        return emit_unary(e, X86_NOT);
    case CODE_TOINT:
        return emit_to_int(e);
    case CODE_TOFLOAT:
        return emit_to_float(e);
    default:
        return false;
    }
}
