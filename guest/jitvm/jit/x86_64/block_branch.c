/* SPDX-License-Identifier: Apache-2.0 */
/* Comparisons, as values and as branches; jumps. */
#include "guest/jitvm/jit/x86_64/block_emit.h"

enum relation { REL_EQ, REL_NE, REL_LT, REL_LE, REL_GT, REL_GE };

struct condition {
    enum relation relation;
    bool negated; /* true when it is not so */
    bool literal; /* the second is a literal */
};

/* Two values, and what is known of them. */
struct sides {
    uint32_t x, y;
    kind_set kx, ky;
    bool literal;
};

static struct condition condition_of(unsigned op)
{
    static const struct condition table[] = {
        {REL_EQ, false, false}, {REL_NE, false, false}, {REL_LT, false, false},
        {REL_LT, true, false},  {REL_LE, false, false}, {REL_LE, true, false},
        {REL_EQ, false, true},  {REL_NE, false, true},  {REL_LT, false, true},
        {REL_LT, true, true},   {REL_LE, false, true},  {REL_LE, true, true},
        {REL_GT, false, true},  {REL_GT, true, true},   {REL_GE, false, true},
        {REL_GE, true, true},
    };
    _Static_assert(sizeof table / sizeof *table == CODE_JNGE_RK - CODE_JEQ + 1, "one for each");
    return table[op >= CODE_JEQ_BACK ? op - CODE_JEQ_BACK : op - CODE_JEQ];
}

static bool compares(unsigned op)
{
    return op >= CODE_JEQ && op <= CODE_JNGE_RK_BACK;
}

/* ---- flags ----------------------------------------------------------------------------------- */

static enum x86_cond int_cond(enum relation r)
{
    static const enum x86_cond table[] = {X86_E, X86_NE, X86_L, X86_LE, X86_G, X86_GE};
    return table[r];
}

static bool fits_32(int64_t i)
{
    return i >= INT32_MIN && i <= INT32_MAX;
}

static void compare_with(struct emit *e, enum x86_reg x, const struct sides *s)
{
    if (!s->literal) {
        int py = place_before(e, s->y, false);
        if (py < 0)
            x86_alu_rm(e->a, X86_CMP, X86_W64, x, cell_payload(s->y));
        else
            x86_alu_rr(e->a, X86_CMP, X86_W64, x, (enum x86_reg)py);
        return;
    }
    int64_t i = e->f->vm->literals[s->y].as.i;
    if (i == 0) {
        x86_test_rr(e->a, X86_W64, x, x);
    } else if (fits_32(i)) {
        x86_alu_ri(e->a, X86_CMP, X86_W64, x, (int32_t)i);
    } else {
        x86_mov_ri(e->a, X86_RCX, i);
        x86_alu_rr(e->a, X86_CMP, X86_W64, x, X86_RCX);
    }
}

static void compare_ints(struct emit *e, const struct sides *s)
{
    compare_with(e, use_int(e, s->x, X86_RAX), s);
}

/* Floats; `swap` so that "above" and "above or equal" say it: they are false for a NaN. */
static void compare_floats(struct emit *e, const struct sides *s, bool swap)
{
    enum x86_xmm x = use_number(e, s->x, SCRATCH_FLOAT), y = SCRATCH_FLOAT2;
    if (s->literal)
        load_literal_float(e, s->y, y);
    else
        y = use_number(e, s->y, SCRATCH_FLOAT2);
    if (swap)
        x86_sse_xx(e->a, X86_UCOMISD, y, x);
    else
        x86_sse_xx(e->a, X86_UCOMISD, x, y);
}

enum form { FORM_INT, FORM_FLOAT, FORM_NONE };

/* An int among floats must not be rounded: only a literal is known to be small enough. */
static enum form form_of(const struct emit *e, const struct sides *s)
{
    bool x_int = kinds_rep(s->kx) == REP_INT, y_int = kinds_rep(s->ky) == REP_INT;
    if (x_int && y_int)
        return FORM_INT;
    if (s->kx == KINDS_FLOAT && s->ky == KINDS_FLOAT)
        return FORM_FLOAT;
    if (s->kx == KINDS_FLOAT && s->literal && s->ky == KINDS_INT) {
        int64_t i = e->f->vm->literals[s->y].as.i;
        if (i > -(INT64_C(1) << 53) && i < INT64_C(1) << 53)
            return FORM_FLOAT;
    }
    return FORM_NONE;
}

static void jump_float(struct emit *e, const struct sides *s, enum relation r, bool when,
                       struct asm_label to)
{
    bool swap = r == REL_LT || r == REL_LE;
    compare_floats(e, s, swap);
    if (r == REL_EQ || r == REL_NE) {
        bool equal = (r == REL_EQ) == when;
        if (equal) {
            struct asm_label no = asm_label_new(e->a);
            x86_jcc(e->a, X86_P, no);
            x86_jcc(e->a, X86_E, to);
            asm_bind(e->a, no);
        } else {
            x86_jcc(e->a, X86_P, to);
            x86_jcc(e->a, X86_NE, to);
        }
        return;
    }
    enum x86_cond cond = r == REL_LT || r == REL_GT ? X86_A : X86_AE;
    x86_jcc(e->a, when ? cond : x86_not_cond(cond), to);
}

/* To the label when the relation is as `when` says. */
static void jump_on(struct emit *e, const struct sides *s, enum form form, enum relation r,
                    bool when, struct asm_label to)
{
    if (form == FORM_FLOAT) {
        jump_float(e, s, r, when, to);
        return;
    }
    compare_ints(e, s);
    enum x86_cond cond = int_cond(r);
    x86_jcc(e->a, when ? cond : x86_not_cond(cond), to);
}

/* ---- where a branch goes --------------------------------------------------------------------- */

static struct block *target_of(const struct emit *e)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    return &e->f->blocks[e->f->block_at[(int64_t)e->at + insn->c]];
}

static struct asm_label label_of(const struct emit *e, const struct block *b)
{
    return e->labels[b - e->f->blocks];
}

/* The branch is taken, from here. */
static void go_there(struct emit *e)
{
    struct block *to = target_of(e);
    if (code_is_back(e->f->code->ops[e->at])) {
        struct cold *c = cold_add(e, COLD_REFUEL);
        if (!c)
            return;
        struct asm_label out = c->label;
        bool free = edge_is_free(e, to);
        if (free)
            c->back = label_of(e, to);
        struct asm_label back = c->back;
        x86_alu_ri(e->a, X86_SUB, X86_W64, SLICE, 1);
        if (free) {
            x86_jcc(e->a, X86_NS, label_of(e, to));
            x86_jmp(e->a, out);
            return;
        }
        x86_jcc(e->a, X86_S, out);
        asm_bind(e->a, back);
    }
    emit_edge(e, to);
    x86_jmp(e->a, label_of(e, to));
}

static bool goes_straight(const struct emit *e)
{
    return !code_is_back(e->f->code->ops[e->at]) && edge_is_free(e, target_of(e));
}

static void branch_on(struct emit *e, const struct sides *s, enum form form, enum relation r,
                      bool when)
{
    if (goes_straight(e)) {
        jump_on(e, s, form, r, when, label_of(e, target_of(e)));
        return;
    }
    struct asm_label past = asm_label_new(e->a);
    jump_on(e, s, form, r, !when, past);
    go_there(e);
    asm_bind(e->a, past);
}

/* Whatever the operands are. */
static void branch_slowly(struct emit *e)
{
    struct operands o;
    operands_of(e->f->code, e->at, &o);
    for (unsigned i = 0; i < o.read_count; i++)
        box_before(e, o.reads[i]);
    save_live(e, false);
    x86_mov_rr(e->a, X86_W64, X86_RDI, VM);
    x86_mov_rr(e->a, X86_W64, X86_RSI, BASE);
    x86_mov_ri(e->a, X86_RDX, e->version->number);
    x86_mov_ri(e->a, X86_RCX, e->at);
    call_helper(e, JIT_BRANCH);
    load_live(e, false);
    if (o.writes >= 0) {
        unbox_result(e);
        e->kinds[o.writes] = e->written;
    }
    struct asm_label past = asm_label_new(e->a);
    x86_test_rr(e->a, X86_W32, X86_RAX, X86_RAX);
    x86_jcc(e->a, X86_E, past);
    go_there(e);
    asm_bind(e->a, past);
}

/* ---- truth ----------------------------------------------------------------------------------- */

static bool may_be_int(kind_set kinds, bool literal)
{
    return kinds == KINDS_INT || (!literal && kinds_rep(kinds) == REP_BOXED && (kinds & KINDS_INT));
}

/* The branch as op_branch does it, aside. */
static struct cold *branch_aside(struct emit *e)
{
    struct operands o;
    operands_of(e->f->code, e->at, &o);
    struct cold *c = cold_add(e, COLD_BRANCH);
    if (!c)
        return NULL;
    for (unsigned i = 0; i < o.read_count; i++)
        if (kinds_rep(e->kinds[o.reads[i]]) != REP_BOXED)
            c->boxings[c->boxing_count++] = boxing_before(e, o.reads[i]);
    c->other = asm_label_new(e->a);
    return c;
}

static void unless_int(struct emit *e, uint32_t reg, kind_set kinds, struct asm_label otherwise)
{
    if (kinds == KINDS_INT)
        return;
    x86_alu_mi(e->a, X86_CMP, X86_W32, cell_kind(reg), JITVM_INT);
    x86_jcc(e->a, X86_NE, otherwise);
}

/* Of values that may be ints: if they are. */
static bool branch_on_any(struct emit *e, const struct sides *s, enum relation r, bool when)
{
    if (!may_be_int(s->kx, false) || !may_be_int(s->ky, s->literal))
        return false;
    struct cold *c = branch_aside(e);
    if (!c)
        return true;
    struct asm_label aside = c->label, taken = c->back, past = c->other;
    unless_int(e, s->x, s->kx, aside);
    if (!s->literal)
        unless_int(e, s->y, s->ky, aside);
    jump_on(e, s, FORM_INT, r, !when, past);
    asm_bind(e->a, taken);
    go_there(e);
    asm_bind(e->a, past);
    return true;
}

static bool on_true(unsigned op)
{
    return op == CODE_JT || op == CODE_JT_BACK || op == CODE_JT_KEEP || op == CODE_JT_KEEP_BACK;
}

/* A NaN is true. */
static void truth_of_float(struct emit *e, uint32_t reg, bool when, struct asm_label to)
{
    enum x86_xmm x = use_float(e, reg, SCRATCH_FLOAT2);
    x86_bits_xx(e->a, X86_PXOR, SCRATCH_FLOAT, SCRATCH_FLOAT);
    x86_sse_xx(e->a, X86_UCOMISD, x, SCRATCH_FLOAT);
    if (when) {
        x86_jcc(e->a, X86_P, to);
        x86_jcc(e->a, X86_NE, to);
        return;
    }
    struct asm_label no = asm_label_new(e->a);
    x86_jcc(e->a, X86_P, no);
    x86_jcc(e->a, X86_E, to);
    asm_bind(e->a, no);
}

static void jump_if_truth(struct emit *e, uint32_t reg, bool when, struct asm_label to)
{
    if (kinds_rep(e->kinds[reg]) == REP_FLOAT) {
        truth_of_float(e, reg, when, to);
        return;
    }
    enum x86_reg x = use_int(e, reg, X86_RAX);
    x86_test_rr(e->a, X86_W64, x, x);
    x86_jcc(e->a, when ? X86_NE : X86_E, to);
}

/* Bools and ints here, the others aside. */
static void branch_on_any_truth(struct emit *e, uint32_t reg, bool when)
{
    struct cold *c = branch_aside(e);
    if (!c)
        return;
    struct asm_label aside = c->label, taken = c->back, past = c->other;
    x86_mov_rm(e->a, X86_W32, X86_RAX, cell_kind(reg));
    x86_alu_ri(e->a, X86_SUB, X86_W32, X86_RAX, JITVM_BOOL);
    x86_alu_ri(e->a, X86_CMP, X86_W32, X86_RAX, JITVM_INT - JITVM_BOOL);
    x86_jcc(e->a, X86_A, aside);
    x86_alu_mi(e->a, X86_CMP, X86_W64, cell_payload(reg), 0);
    x86_jcc(e->a, when ? X86_E : X86_NE, past);
    asm_bind(e->a, taken);
    go_there(e);
    asm_bind(e->a, past);
}

static void branch_on_truth(struct emit *e)
{
    uint32_t reg = e->f->code->insns[e->at].a;
    bool when = on_true(e->f->code->ops[e->at]);
    enum rep rep = kinds_rep(e->kinds[reg]);
    if (rep == REP_BOXED) {
        branch_on_any_truth(e, reg, when);
        return;
    }
    if (rep == REP_NONE) {
        if (!when)
            go_there(e);
        return;
    }
    if (goes_straight(e)) {
        jump_if_truth(e, reg, when, label_of(e, target_of(e)));
        return;
    }
    struct asm_label past = asm_label_new(e->a);
    jump_if_truth(e, reg, !when, past);
    go_there(e);
    asm_bind(e->a, past);
}

/* ---- counting -------------------------------------------------------------------------------- */

static void count_and_branch(struct emit *e)
{
    const struct insn *insn = &e->f->code->insns[e->at];
    bool literal = e->f->code->ops[e->at] == CODE_INCJLT_RK_BACK;
    struct sides s = {.x = insn->a, .y = insn->b, .kx = e->kinds[insn->a], .literal = literal};
    s.ky = literal ? (kind_set)(1u << e->f->vm->literals[s.y].kind) : e->kinds[s.y];
    bool itself = !literal && s.y == s.x;
    if (form_of(e, &s) != FORM_INT || s.kx != KINDS_INT || itself) {
        branch_slowly(e);
        return;
    }
    int before = place_before(e, insn->a, false), after = place_after(e, insn->a, false);
    enum x86_reg x = before >= 0 && before == after ? (enum x86_reg)after : X86_RAX;
    enum x86_reg from = use_int(e, insn->a, x);
    if (from != x)
        x86_lea(e->a, x, x86_at(from, 1));
    else
        x86_alu_ri(e->a, X86_ADD, X86_W64, x, 1);
    compare_with(e, x, &s);
    put_int(e, x);
    struct asm_label past = asm_label_new(e->a);
    x86_jcc(e->a, X86_GE, past);
    go_there(e);
    asm_bind(e->a, past);
}

void emit_branch(struct emit *e)
{
    unsigned op = e->f->code->ops[e->at];
    const struct insn *insn = &e->f->code->insns[e->at];
    if (op == CODE_JMP || op == CODE_JMP_BACK) {
        go_there(e);
    } else if (op == CODE_INCJLT_BACK || op == CODE_INCJLT_RK_BACK) {
        count_and_branch(e);
    } else if (compares(op)) {
        struct condition c = condition_of(op);
        struct sides s = {
            .x = insn->a, .y = insn->b, .kx = e->kinds[insn->a], .literal = c.literal};
        s.ky = c.literal ? (kind_set)(1u << e->f->vm->literals[s.y].kind) : e->kinds[s.y];
        enum form form = form_of(e, &s);
        if (form == FORM_NONE && !branch_on_any(e, &s, c.relation, !c.negated))
            branch_slowly(e);
        else if (form != FORM_NONE)
            branch_on(e, &s, form, c.relation, !c.negated);
    } else {
        branch_on_truth(e);
    }
}

/* ---- as values ------------------------------------------------------------------------------- */

static bool relation_of_value(unsigned op, enum relation *r)
{
    switch (op) {
    case CODE_EQ:
        *r = REL_EQ;
        return true;
    case CODE_NE:
        *r = REL_NE;
        return true;
    case CODE_LT:
        *r = REL_LT;
        return true;
    case CODE_LE:
        *r = REL_LE;
        return true;
    default:
        return false;
    }
}

static void put_truth(struct emit *e, enum x86_cond cond)
{
    x86_setcc_r(e->a, cond, X86_RAX);
    x86_movzx_rr(e->a, X86_W8, X86_RAX, X86_RAX);
    put_int(e, X86_RAX);
}

static void put_by_jump(struct emit *e, const struct sides *s, enum relation r)
{
    struct asm_label yes = asm_label_new(e->a);
    x86_mov_ri(e->a, X86_RAX, 1);
    jump_on(e, s, FORM_FLOAT, r, true, yes);
    x86_zero(e->a, X86_RAX);
    asm_bind(e->a, yes);
    put_int(e, X86_RAX);
}

static bool emit_not(struct emit *e)
{
    uint32_t reg = e->f->code->insns[e->at].b;
    if (kinds_rep(e->kinds[reg]) != REP_INT)
        return false;
    enum x86_reg x = use_int(e, reg, X86_RAX);
    x86_test_rr(e->a, X86_W64, x, x);
    put_truth(e, X86_E);
    return true;
}

bool emit_compare(struct emit *e)
{
    unsigned op = e->f->code->ops[e->at];
    const struct insn *insn = &e->f->code->insns[e->at];
    enum relation r;
    if (op == CODE_NOT)
        return emit_not(e);
    if (!relation_of_value(op, &r))
        return false;
    struct sides s = {.x = insn->b, .y = insn->u, .kx = e->kinds[insn->b], .ky = e->kinds[insn->u]};
    switch (form_of(e, &s)) {
    case FORM_INT:
        compare_ints(e, &s);
        put_truth(e, int_cond(r));
        return true;
    case FORM_FLOAT:
        put_by_jump(e, &s, r);
        return true;
    default:
        return false;
    }
}
