/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of arrays, and lengths: the usual case here, every other aside as op_slow does it. */
#include "guest/jitvm/jit/x86_64/block_emit.h"

#include "guest/jitvm/value/array.h"
#include "guest/jitvm/value/str.h"

#define ARRAY_FIELD(field) x86_at(X86_RAX, (int32_t)offsetof(struct jitvm_array, field))

struct cold *cold_whole(struct emit *e)
{
    struct operands o;
    operands_of(e->f->code, e->at, &o);
    enum code_format format = code_op_format(e->f->code->ops[e->at]);
    bool stores = format == CODE_FMT_SSS || format == CODE_FMT_SSSXS;
    uint32_t after = 0;
    if (!stores && kinds_single(e->written))
        after = exit_number_after(e);
    struct cold *c = cold_add(e, COLD_OP);
    if (!c)
        return NULL;
    for (unsigned i = 0; i < o.read_count; i++)
        if (kinds_rep(e->kinds[o.reads[i]]) != REP_BOXED)
            c->boxings[c->boxing_count++] = boxing_before(e, o.reads[i]);
    if (stores)
        return c;
    c->reg = (uint16_t)o.writes;
    c->written = e->written;
    c->exit = after;
    enum rep rep = kinds_rep(e->written);
    if (rep == REP_INT || rep == REP_FLOAT) {
        int place = place_after(e, c->reg, rep == REP_FLOAT);
        c->place = (int8_t)(place >= 0 && rep == REP_FLOAT ? place + 16 : place);
    }
    return c;
}

static void check_kind(struct emit *e, uint32_t reg, kind_set want, struct asm_label otherwise)
{
    if (e->kinds[reg] == want)
        return;
    x86_alu_mi(e->a, X86_CMP, X86_W32, cell_kind(reg), __builtin_ctz(want));
    x86_jcc(e->a, X86_NE, otherwise);
}

/* rax is an array: the index, which is inside, in the register returned. */
static enum x86_reg check_inside(struct emit *e, uint32_t index, struct asm_label otherwise)
{
    enum x86_reg at = use_int(e, index, X86_RCX);
    x86_alu_rm(e->a, X86_CMP, X86_W64, at, ARRAY_FIELD(len));
    x86_jcc(e->a, X86_AE, otherwise);
    return at;
}

/* rax becomes the array. */
static enum x86_reg check_index(struct emit *e, uint32_t array, uint32_t index,
                                struct asm_label otherwise)
{
    check_kind(e, array, KINDS_ARRAY, otherwise);
    x86_mov_rm(e->a, X86_W64, X86_RAX, cell_payload(array));
    return check_inside(e, index, otherwise);
}

/* May the array at rax be changed in place? */
static void check_mine(struct emit *e, struct asm_label otherwise)
{
    x86_alu_mi(e->a, X86_CMP, X86_W32, x86_at(X86_RAX, 0), 1);
    x86_jcc(e->a, X86_NE, otherwise);
}

static void check_element(struct emit *e, enum array_element element, struct asm_label otherwise)
{
    x86_alu_mi(e->a, X86_CMP, X86_W32, ARRAY_FIELD(element), (int32_t)element);
    x86_jcc(e->a, X86_NE, otherwise);
}

/* The container was an operand: used up. */
static void end_container(struct emit *e, uint32_t container, uint32_t result)
{
    if (container >= e->f->code->slots && container != result)
        release_old(e, container);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* rax becomes the address of the element, a whole value. */
static void address_of_value(struct emit *e, enum x86_reg at)
{
    if (at != X86_RCX)
        x86_mov_rr(e->a, X86_W64, X86_RCX, at);
    x86_shift_ri(e->a, X86_SHL, X86_W64, X86_RCX, 4);
    x86_alu_rm(e->a, X86_ADD, X86_W64, X86_RCX, ARRAY_FIELD(data));
    x86_mov_rr(e->a, X86_W64, X86_RAX, X86_RCX);
}

static void read_value(struct emit *e, enum x86_reg at, struct asm_label otherwise)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    check_element(e, ARRAY_VALUE, otherwise);
    address_of_value(e, at);
    struct x86_mem kind = x86_at(X86_RAX, 0), payload = x86_at(X86_RAX, 8);
    if (kinds_single(e->written)) {
        x86_alu_mi(e->a, X86_CMP, X86_W32, kind, __builtin_ctz(e->written));
        x86_jcc(e->a, X86_NE, otherwise);
    }
    retain_element(e, kind, payload, e->written);
    x86_movups_xm(e->a, SCRATCH_FLOAT, kind);
    release_old(e, insn->a);
    end_container(e, insn->b, insn->a);
    x86_movups_mx(e->a, cell_kind(insn->a), SCRATCH_FLOAT);
}

/* A bool: only arrays of any values have these. */
static void read_bool(struct emit *e, enum x86_reg at, struct asm_label otherwise)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    enum x86_reg to = result_int(e, X86_RAX);
    check_element(e, ARRAY_VALUE, otherwise);
    address_of_value(e, at);
    x86_alu_mi(e->a, X86_CMP, X86_W32, x86_at(X86_RAX, 0), JITVM_BOOL);
    x86_jcc(e->a, X86_NE, otherwise);
    x86_mov_rm(e->a, X86_W64, to, x86_at(X86_RAX, 8));
    put_int(e, to);
    end_container(e, insn->b, insn->a);
}

/* An int or float: of an array of these, or of any values. */
static void read_number(struct emit *e, enum x86_reg at, struct asm_label otherwise)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    bool is_float = e->written == KINDS_FLOAT;
    struct asm_label values = asm_label_new(e->a), done = asm_label_new(e->a);
    enum x86_reg to = is_float ? X86_RAX : result_int(e, X86_RAX);
    enum x86_xmm to_float = is_float ? result_float(e, SCRATCH_FLOAT) : SCRATCH_FLOAT;
    check_element(e, is_float ? ARRAY_FLOAT : ARRAY_INT, values);
    x86_mov_rm(e->a, X86_W64, X86_RAX, ARRAY_FIELD(data));
    struct x86_mem element = x86_at_index(X86_RAX, at, 8, 0);
    if (is_float)
        x86_movsd_xm(e->a, to_float, element);
    else
        x86_mov_rm(e->a, X86_W64, to, element);
    struct cold *c = cold_add(e, COLD_VALUES);
    if (!c)
        return;
    c->label = values;
    c->back = done;
    c->other = otherwise;
    c->index = (uint8_t)at;
    c->to = (uint8_t)(is_float ? (unsigned)to_float + 16 : (unsigned)to);
    asm_bind(e->a, done);
    if (is_float)
        put_float(e, to_float);
    else
        put_int(e, to);
    end_container(e, insn->b, insn->a);
}

void emit_values(struct emit *e, const struct cold *c)
{
    bool is_float = c->to >= 16;
    check_element(e, ARRAY_VALUE, c->other);
    address_of_value(e, (enum x86_reg)c->index);
    x86_alu_mi(e->a, X86_CMP, X86_W32, x86_at(X86_RAX, 0), is_float ? JITVM_FLOAT : JITVM_INT);
    x86_jcc(e->a, X86_NE, c->other);
    if (is_float)
        x86_movsd_xm(e->a, (enum x86_xmm)(c->to - 16), x86_at(X86_RAX, 8));
    else
        x86_mov_rm(e->a, X86_W64, (enum x86_reg)c->to, x86_at(X86_RAX, 8));
    x86_jmp(e->a, c->back);
}

/* rax, an array of rows: becomes the row at the index. */
static void go_to_row(struct emit *e, enum x86_reg at, struct asm_label otherwise)
{
    check_element(e, ARRAY_VALUE, otherwise);
    address_of_value(e, at);
    x86_alu_mi(e->a, X86_CMP, X86_W32, x86_at(X86_RAX, 0), JITVM_ARRAY);
    x86_jcc(e->a, X86_NE, otherwise);
    x86_mov_rm(e->a, X86_W64, X86_RAX, x86_at(X86_RAX, 8));
}

static bool emit_index(struct emit *e, bool rows)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    if (!(e->kinds[insn->b] & KINDS_ARRAY) || e->kinds[insn->u] != KINDS_INT ||
        (rows && e->kinds[insn[1].a] != KINDS_INT) || kinds_rep(e->written) == REP_NONE)
        return false;
    struct cold *c = cold_whole(e);
    if (!c)
        return true;
    struct asm_label otherwise = c->label, back = c->back;
    enum x86_reg at = check_index(e, insn->b, insn->u, otherwise);
    if (rows) {
        go_to_row(e, at, otherwise);
        at = check_inside(e, insn[1].a, otherwise);
    }
    if (kinds_rep(e->written) == REP_BOXED)
        read_value(e, at, otherwise);
    else if (e->written == KINDS_BOOL)
        read_bool(e, at, otherwise);
    else
        read_number(e, at, otherwise);
    asm_bind(e->a, back);
    return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The element at rax, that is not counted, becomes the value. */
static void overwrite(struct emit *e, const struct boxing *b, struct asm_label otherwise)
{
    x86_alu_mi(e->a, X86_CMP, X86_W32, x86_at(X86_RAX, 0), JITVM_STR);
    x86_jcc(e->a, X86_AE, otherwise);
    x86_mov_mi(e->a, X86_W64, x86_at(X86_RAX, 0), b->kind);
    if (b->kind == JITVM_FLOAT) {
        if (b->place >= 16)
            x86_movapd_xx(e->a, SCRATCH_FLOAT, (enum x86_xmm)(b->place - 16));
        else
            x86_movsd_xm(e->a, SCRATCH_FLOAT, cell_payload(b->reg));
        canonical(e, SCRATCH_FLOAT);
        x86_movsd_mx(e->a, x86_at(X86_RAX, 8), SCRATCH_FLOAT);
        return;
    }
    enum x86_reg from = b->place >= 0 ? (enum x86_reg)b->place : X86_RDX;
    if (b->place < 0)
        x86_mov_rm(e->a, X86_W64, X86_RDX, cell_payload(b->reg));
    x86_mov_mr(e->a, X86_W64, x86_at(X86_RAX, 8), from);
}

void emit_store(struct emit *e, const struct cold *c)
{
    check_element(e, ARRAY_VALUE, c->other);
    address_of_value(e, (enum x86_reg)c->index);
    overwrite(e, &c->boxings[1], c->other);
    x86_jmp(e->a, c->back);
}

static void write_number(struct emit *e, uint32_t source, enum x86_reg at,
                         struct asm_label otherwise, struct asm_label back)
{
    struct cold *c = cold_add(e, COLD_STORE);
    if (!c)
        return;
    c->back = back;
    c->other = otherwise;
    c->index = (uint8_t)at;
    c->boxings[1] = boxing_before(e, source);
    bool is_float = e->kinds[source] == KINDS_FLOAT;
    check_element(e, is_float ? ARRAY_FLOAT : ARRAY_INT, c->label);
    x86_mov_rm(e->a, X86_W64, X86_RAX, ARRAY_FIELD(data));
    struct x86_mem element = x86_at_index(X86_RAX, at, 8, 0);
    if (!is_float) {
        x86_mov_mr(e->a, X86_W64, element, use_int(e, source, X86_RDX));
        return;
    }
    enum x86_xmm from = use_float(e, source, SCRATCH_FLOAT);
    if (from != SCRATCH_FLOAT)
        x86_movapd_xx(e->a, SCRATCH_FLOAT, from);
    canonical(e, SCRATCH_FLOAT);
    x86_movsd_mx(e->a, element, SCRATCH_FLOAT);
}

static bool emit_set_index(struct emit *e, bool rows)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    uint32_t source = rows ? insn[1].a : insn->u;
    enum rep rep = kinds_rep(e->kinds[source]);
    if (!(e->kinds[insn->a] & KINDS_ARRAY) || e->kinds[insn->b] != KINDS_INT ||
        (rows && e->kinds[insn->u] != KINDS_INT) || (rep != REP_INT && rep != REP_FLOAT))
        return false;
    struct cold *c = cold_whole(e);
    if (!c)
        return true;
    struct asm_label otherwise = c->label, back = c->back;
    enum x86_reg at = check_index(e, insn->a, insn->b, otherwise);
    check_mine(e, otherwise);
    if (rows) {
        go_to_row(e, at, otherwise);
        at = check_inside(e, insn->u, otherwise);
        check_mine(e, otherwise);
    }
    if (e->kinds[source] == KINDS_BOOL) {
        struct boxing b = boxing_before(e, source);
        check_element(e, ARRAY_VALUE, otherwise);
        address_of_value(e, at);
        overwrite(e, &b, otherwise);
    } else {
        write_number(e, source, at, otherwise, back);
    }
    asm_bind(e->a, back);
    return true;
}

static bool emit_len(struct emit *e)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    kind_set kinds = e->kinds[insn->b];
    kind_set want = kinds & KINDS_ARRAY ? KINDS_ARRAY : KINDS_STR;
    if (!(kinds & want))
        return false;
    struct cold *c = cold_whole(e);
    if (!c)
        return true;
    struct asm_label otherwise = c->label, back = c->back;
    check_kind(e, insn->b, want, otherwise);
    enum x86_reg to = result_int(e, X86_RAX);
    x86_mov_rm(e->a, X86_W64, X86_RAX, cell_payload(insn->b));
    if (want == KINDS_ARRAY)
        x86_mov_rm(e->a, X86_W64, to, ARRAY_FIELD(len));
    else
        x86_mov_rm(e->a, X86_W64, to, x86_at(X86_RAX, (int32_t)offsetof(struct jitvm_str, len)));
    put_int(e, to);
    end_container(e, insn->b, insn->a);
    asm_bind(e->a, back);
    return true;
}

bool emit_array(struct emit *e)
{
    switch (e->f->code->ops[e->at]) {
    case CODE_INDEX:
    case CODE_INDEXV:
        return emit_index(e, false);
    case CODE_INDEX2:
        return emit_index(e, true);
    case CODE_SETIDX:
        return emit_set_index(e, false);
    case CODE_SETIDX2:
        return emit_set_index(e, true);
    case CODE_LEN:
        return emit_len(e);
    default:
        return false;
    }
}
