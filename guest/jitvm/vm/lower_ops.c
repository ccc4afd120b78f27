/* SPDX-License-Identifier: Apache-2.0 */
/* Each stack op as register code. */
#include "guest/jitvm/vm/lower.h"

/* ---- results and operands -------------------------------------------------------------------- */

/* Pops n operands that are in registers now; the first of these. */
static uint16_t pop_settled(struct lower *l, uint32_t n)
{
    lower_settle_from(l, l->depth - n);
    l->depth -= n;
    return lower_top(l);
}

/* ---- slots and globals ---------------------------------------------------------------------- */

static bool stands_for(const struct lower *l, uint32_t slot)
{
    for (uint32_t p = 0; p + 1 < l->depth; p++)
        if (l->stack[p].kind == OPERAND_SLOT && l->stack[p].index == slot)
            return true;
    return false;
}

/* Taking a slot and putting the value back cannot be one instruction: it would end as undef. */
static bool takes(const struct lower *l, uint32_t insn, uint32_t slot)
{
    return l->code->ops[insn] == CODE_TAKE && l->code->insns[insn].b == slot;
}

static void set_slot(struct lower *l, uint32_t slot)
{
    /* What was just computed may as well go straight to the slot. */
    uint32_t last = l->code->count - 1;
    if (l->has_result && l->code->ops[last] == CODE_DATA)
        last--;
    if (l->has_result && l->stack[l->depth - 1].kind == OPERAND_REGISTER &&
        l->code->insns[last].a == lower_register(l, l->depth - 1) && !stands_for(l, slot) &&
        !takes(l, last, slot)) {
        l->code->insns[last].a = (uint16_t)slot;
        lower_pop(l);
        l->has_result = false;
        return;
    }
    uint32_t from = l->depth - 1;
    struct operand o = lower_pop(l);
    lower_settle_slot(l, slot);
    if (o.kind == OPERAND_LITERAL)
        lower_emit(l, CODE_LOADK, slot, 0, o.index);
    else if (o.kind == OPERAND_REGISTER)
        lower_emit(l, CODE_TAKE, slot, lower_register(l, from), 0);
    else if (o.index != slot)
        lower_emit(l, CODE_MOVE, slot, o.index, 0);
}

static void take_slot(struct lower *l, uint32_t slot)
{
    lower_settle_slot(l, slot);
    lower_emit(l, CODE_TAKE, lower_top(l), slot, 0);
    lower_push_result(l);
}

static void set_global(struct lower *l, uint32_t global)
{
    uint16_t from = lower_use(l, l->depth - 1);
    lower_pop(l);
    lower_emit(l, CODE_SETG, from, 0, global);
}

/* slot += n */
static void add_to_slot(struct lower *l, uint32_t slot, int32_t n)
{
    lower_settle_slot(l, slot);
    lower_emit(l, CODE_ADDI, slot, slot, (uint32_t)n);
}

static void push_slot(struct lower *l, uint32_t slot)
{
    lower_push(l, (struct operand){.kind = OPERAND_SLOT, .index = slot});
}

static void post_add(struct lower *l, uint32_t slot, int32_t n)
{
    push_slot(l, slot);
    add_to_slot(l, slot, n);
}

static void pre_add(struct lower *l, uint32_t slot, int32_t n)
{
    add_to_slot(l, slot, n);
    push_slot(l, slot);
}

/* ---- the stack ------------------------------------------------------------------------------ */

static void drop(struct lower *l)
{
    uint32_t p = l->depth - 1;
    if (lower_pop(l).kind == OPERAND_REGISTER)
        lower_emit(l, CODE_DROP, lower_register(l, p), 0, 0);
}

static void dup(struct lower *l, uint32_t position)
{
    struct operand o = l->stack[position];
    if (o.kind == OPERAND_REGISTER)
        lower_emit(l, CODE_MOVE, lower_top(l), lower_register(l, position), 0);
    lower_push(l, o);
    l->has_result = false;
}

/* The last n operands, each one down, the first to the end; through the register above them. */
static void rotate(struct lower *l, uint32_t n)
{
    uint32_t first = l->depth - n;
    lower_settle_from(l, first);
    lower_emit(l, CODE_TAKE, lower_top(l), lower_register(l, first), 0);
    for (uint32_t i = 0; i + 1 < n; i++)
        lower_emit(l, CODE_TAKE, lower_register(l, first + i), lower_register(l, first + i + 1), 0);
    lower_emit(l, CODE_TAKE, lower_register(l, l->depth - 1), lower_top(l), 0);
}

/* ---- arithmetic ----------------------------------------------------------------------------- */

static bool is_int_literal(const struct lower *l, struct operand o, int32_t *out)
{
    if (o.kind != OPERAND_LITERAL || l->vm->literals[o.index].kind != JITVM_INT)
        return false;
    int64_t i = l->vm->literals[o.index].as.i;
    *out = (int32_t)i;
    return i > -INT32_MAX && i < INT32_MAX;
}

struct arithmetic {
    uint8_t rr, rk, kr; /* enum code_op; CODE_DATA: there is no such form */
};

static void binary(struct lower *l, struct arithmetic forms)
{
    uint32_t x = l->depth - 2, y = l->depth - 1;
    struct operand ox = l->stack[x], oy = l->stack[y];
    enum code_op op = forms.rr;
    uint32_t b, c;
    if (forms.rk != CODE_DATA && lower_is_number(l, oy)) {
        op = forms.rk;
        b = lower_use(l, x);
        c = oy.index;
    } else if (forms.kr != CODE_DATA && lower_is_number(l, ox) && ox.index <= UINT16_MAX) {
        op = forms.kr;
        b = ox.index;
        c = lower_use(l, y);
    } else {
        b = lower_use(l, x);
        c = lower_use(l, y);
    }
    l->depth -= 2;
    lower_emit(l, op, lower_top(l), b, c);
    lower_push_result(l);
}

static void add_int(struct lower *l, int32_t n)
{
    uint16_t b = lower_use(l, l->depth - 1);
    lower_pop(l);
    lower_emit(l, CODE_ADDI, lower_top(l), b, (uint32_t)n);
    lower_push_result(l);
}

/* x + n and x - n are the same instruction: subtracting is adding the negative, for floats too. */
static void add_or_sub(struct lower *l, struct arithmetic forms, int32_t sign)
{
    int32_t n;
    /* But for x - 0, which keeps a -0.0 that x + 0 does not. */
    if (!is_int_literal(l, l->stack[l->depth - 1], &n) || (n == 0 && sign < 0)) {
        binary(l, forms);
        return;
    }
    lower_pop(l);
    add_int(l, sign * n);
}

static void unary(struct lower *l, enum code_op op)
{
    uint16_t b = lower_use(l, l->depth - 1);
    lower_pop(l);
    lower_emit(l, op, lower_top(l), b, 0);
    lower_push_result(l);
}

static void swap_operands(struct lower *l)
{
    /* The registers stay: only a pair that stands for slots and literals can change places so. */
    struct operand *x = &l->stack[l->depth - 2], *y = &l->stack[l->depth - 1];
    if (x->kind == OPERAND_REGISTER || y->kind == OPERAND_REGISTER) {
        rotate(l, 2);
        return;
    }
    struct operand t = *x;
    *x = *y;
    *y = t;
}

/* ---- containers ----------------------------------------------------------------------------- */

static void make_container(struct lower *l, enum code_op op, uint32_t n)
{
    uint16_t first = pop_settled(l, n);
    lower_emit(l, op, lower_top(l), first, n);
    lower_push_result(l);
}

static void index_value(struct lower *l, uint16_t container, uint16_t key)
{
    enum code_op op = container < l->code->slots ? CODE_INDEX : CODE_INDEXV;
    lower_emit(l, op, lower_top(l), container, key);
    lower_push_result(l);
    lower_emit_data(l, 0, 0, 0);
}

static void get_index(struct lower *l)
{
    uint16_t b = lower_use(l, l->depth - 2), c = lower_use(l, l->depth - 1);
    l->depth -= 2;
    index_value(l, b, c);
}

/* Ops by place, with `extra` operands behind the keys. */
static void by_path(struct lower *l, const struct jitvm_op *op, enum code_op code, uint32_t extra,
                    bool writes, bool result)
{
    if (writes && op->a == 0)
        lower_settle_slot(l, op->b);
    uint16_t first = pop_settled(l, op->c + extra);
    lower_emit(l, code, lower_top(l), first, op->b);
    if (result)
        lower_push_result(l);
    lower_emit_data(l, op->c, op->a, 0);
}

/* slot[c][d], keys wherever they are. */
static void index_twice(struct lower *l, uint32_t slot)
{
    uint16_t c = lower_use(l, l->depth - 2), d = lower_use(l, l->depth - 1);
    l->depth -= 2;
    lower_emit(l, CODE_INDEX2, lower_top(l), slot, c);
    lower_push_result(l);
    lower_emit_data(l, d, 0, 0);
}

static void set_twice(struct lower *l, uint32_t slot)
{
    lower_settle_slot(l, slot);
    uint16_t b = lower_use(l, l->depth - 3), c = lower_use(l, l->depth - 2);
    uint16_t d = lower_use(l, l->depth - 1);
    l->depth -= 3;
    lower_emit(l, CODE_SETIDX2, slot, b, c);
    lower_emit_data(l, d, 0, 0);
}

static void get_path(struct lower *l, const struct jitvm_op *op)
{
    if (op->a == 0 && op->c == 1) {
        uint16_t key = lower_use(l, l->depth - 1);
        lower_pop(l);
        index_value(l, (uint16_t)op->b, key);
    } else if (op->a == 0 && op->c == 2) {
        index_twice(l, op->b);
    } else if (op->a == 0 && op->c == 0) {
        push_slot(l, op->b);
    } else {
        by_path(l, op, CODE_GETPATH, 0, false, true);
    }
}

static void set_path(struct lower *l, const struct jitvm_op *op)
{
    if (op->a == 0 && op->c == 2)
        return set_twice(l, op->b);
    if (op->a == 1 || op->c != 1)
        return by_path(l, op, CODE_SETPATH, 1, true, false);
    uint32_t key = l->depth - 2, value = l->depth - 1;
    lower_settle_slot(l, op->b);
    uint16_t b = lower_use(l, key), c = lower_use(l, value);
    l->depth -= 2;
    lower_emit(l, CODE_SETIDX, op->b, b, c);
}

static void len_path(struct lower *l, const struct jitvm_op *op)
{
    if (op->a == 1 || op->c != 0) {
        by_path(l, op, CODE_LENPATH, 0, false, true);
        return;
    }
    lower_emit(l, CODE_LEN, lower_top(l), op->b, 0);
    lower_push_result(l);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static void call(struct lower *l, enum code_op op, uint32_t count, uint32_t callee)
{
    uint32_t window = count + (op == CODE_CALLDYN);
    uint16_t first = pop_settled(l, window);
    lower_emit(l, op, first, count, callee);
    lower_push_register(l);
    lower_emit_data(l, 0, 0, 0);
}

static void extended(struct lower *l, const struct jitvm_op *op, uint64_t arg)
{
    const struct chunk_extension *e = &l->vm->chunk->extensions[op->b];
    uint16_t first = pop_settled(l, e->pops);
    uint32_t literal = lower_int_literal(l, (int64_t)arg);
    lower_emit(l, CODE_EXT, first, literal & 0xffff, l->vm->extension_bindings[op->b]);
    if (e->pushes)
        lower_push_register(l);
    lower_emit_data(l, literal >> 16, e->pops, 0);
}

/* A function may end with operands on its stack, but nothing may be left in their registers. */
static void drop_all(struct lower *l)
{
    while (l->depth)
        drop(l);
}

static void give_back(struct lower *l)
{
    uint16_t a = lower_use(l, l->depth - 1);
    lower_pop(l);
    drop_all(l);
    lower_emit(l, CODE_RET, a, 0, 0);
}

static void whole_loop(struct lower *l, const struct jitvm_op *op, enum code_op code, uint32_t c)
{
    lower_settle_slot(l, op->a);
    lower_settle_slot(l, op->c);
    lower_emit(l, code, op->a, op->c, c);
    lower_emit_data(l, 0, 0, (uint32_t)op->imm);
}

static void push_constant(struct lower *l, struct jitvm_value v)
{
    lower_push_literal(l, v);
}

static void add_assign(struct lower *l, const struct jitvm_op *op)
{
    lower_settle_slot(l, op->a);
    lower_emit(l, CODE_ADD, op->a, op->a, op->c);
}

static uint32_t constant_literal(struct lower *l, uint32_t constant)
{
    lower_push_literal(l, l->vm->chunk->constants[constant]);
    return lower_pop(l).index;
}

static struct jitvm_value float_of_bits(int64_t bits)
{
    struct jitvm_value v = {.kind = JITVM_FLOAT};
    v.as.i = bits;
    return v;
}

/* ---- the switch ----------------------------------------------------------------------------- */

#define FORMS(name)    ((struct arithmetic){CODE_##name, CODE_##name##_RK, CODE_##name##_KR})
#define FORMS_RK(name) ((struct arithmetic){CODE_##name, CODE_##name##_RK, CODE_DATA})
#define FORMS_RR(name) ((struct arithmetic){CODE_##name, CODE_DATA, CODE_DATA})

static bool lower_pushing(struct lower *l, const struct jitvm_op *op)
{
    switch (op->code) {
    case OP_Undef:
        return push_constant(l, jitvm_undef()), true;
    case OP_True:
        return push_constant(l, jitvm_bool(true)), true;
    case OP_False:
        return push_constant(l, jitvm_bool(false)), true;
    case OP_Int:
        return push_constant(l, jitvm_int(op->imm)), true;
    case OP_Float:
        return push_constant(l, float_of_bits(op->imm)), true;
    case OP_Const:
        return push_constant(l, l->vm->chunk->constants[op->b]), true;
    case OP_Func:
        return push_constant(l, (struct jitvm_value){.kind = JITVM_FUNC, .as.i = op->b}), true;
    case OP_GetSlot:
        return push_slot(l, op->a), true;
    case OP_SetSlot:
        return set_slot(l, op->a), true;
    case OP_TakeSlot:
        return take_slot(l, op->a), true;
    case OP_GetGlobal:
        lower_emit(l, CODE_GETG, lower_top(l), 0, op->b);
        lower_push_result(l);
        return lower_emit_data(l, 0, 0, 0), true;
    case OP_SetGlobal:
        return set_global(l, op->b), true;
    case OP_Pop:
        return drop(l), true;
    case OP_Dup:
        return dup(l, l->depth - 1), true;
    case OP_Dup2:
        dup(l, l->depth - 2);
        return dup(l, l->depth - 2), true;
    case OP_Swap:
        return swap_operands(l), true;
    case OP_Rot:
        return rotate(l, 3), true;
    default:
        return false;
    }
}

static bool lower_arithmetic(struct lower *l, const struct jitvm_op *op)
{
    switch (op->code) {
    case OP_Add:
        return add_or_sub(l, FORMS(ADD), 1), true;
    case OP_Sub:
        return add_or_sub(l, FORMS(SUB), -1), true;
    case OP_Mul:
        return binary(l, FORMS(MUL)), true;
    case OP_Div:
        return binary(l, FORMS(DIV)), true;
    case OP_IntDiv:
        return binary(l, FORMS(IDIV)), true;
    case OP_Mod:
        return binary(l, FORMS(MOD)), true;
    case OP_Pow:
        return binary(l, FORMS_RR(POW)), true;
    case OP_BitAnd:
        return binary(l, FORMS_RK(BAND)), true;
    case OP_BitOr:
        return binary(l, FORMS_RK(BOR)), true;
    case OP_BitXor:
        return binary(l, FORMS_RK(BXOR)), true;
    case OP_Shl:
        return binary(l, FORMS_RK(SHL)), true;
    case OP_Shr:
        return binary(l, FORMS_RK(SHR)), true;
    case OP_Concat:
        return binary(l, FORMS_RR(CONCAT)), true;
    case OP_Range:
        return binary(l, FORMS_RR(RANGE)), true;
    case OP_Inc:
        return add_int(l, 1), true;
    case OP_Dec:
        return add_int(l, -1), true;
    case OP_Neg:
        return unary(l, CODE_NEG), true;
    case OP_BitNot:
        return unary(l, CODE_BNOT), true;
    case OP_ToInt:
        return unary(l, CODE_TOINT), true;
    case OP_ToFloat:
        return unary(l, CODE_TOFLOAT), true;
    case OP_ToStr:
        return unary(l, CODE_TOSTR), true;
    case OP_Not:
        return unary(l, CODE_NOT), true;
    case OP_Len:
        return unary(l, CODE_LEN), true;
    default:
        return false;
    }
}

static void compare_text(struct lower *l, enum code_op op, bool swapped)
{
    uint16_t x = lower_use(l, l->depth - 2), y = lower_use(l, l->depth - 1);
    l->depth -= 2;
    lower_emit(l, op, lower_top(l), swapped ? y : x, swapped ? x : y);
    lower_push_result(l);
}

static bool lower_comparison(struct lower *l, const struct jitvm_op *op)
{
    switch (op->code) {
    case OP_Eq:
        return lower_compare(l, REL_EQ, false, CODE_EQ), true;
    case OP_Ne:
        return lower_compare(l, REL_NE, false, CODE_NE), true;
    case OP_Lt:
        return lower_compare(l, REL_LT, false, CODE_LT), true;
    case OP_Le:
        return lower_compare(l, REL_LE, false, CODE_LE), true;
    case OP_Gt:
        return lower_compare(l, REL_LT, true, CODE_LT), true;
    case OP_Ge:
        return lower_compare(l, REL_LE, true, CODE_LE), true;
    case OP_Cmp:
        return binary(l, FORMS_RR(CMP)), true;
    case OP_StrEq:
        return compare_text(l, CODE_SEQ, false), true;
    case OP_StrNe:
        return compare_text(l, CODE_SNE, false), true;
    case OP_StrLt:
        return compare_text(l, CODE_SLT, false), true;
    case OP_StrLe:
        return compare_text(l, CODE_SLE, false), true;
    case OP_StrGt:
        return compare_text(l, CODE_SLT, true), true;
    case OP_StrGe:
        return compare_text(l, CODE_SLE, true), true;
    case OP_StrCmp:
        return compare_text(l, CODE_SCMP, false), true;
    default:
        return false;
    }
}

static bool lower_container(struct lower *l, const struct jitvm_op *op)
{
    switch (op->code) {
    case OP_MakeArray:
        return make_container(l, CODE_ARRAY, op->b), true;
    case OP_MakeHash:
        return make_container(l, CODE_HASH, op->b * 2), true;
    case OP_RangeStep:
        return make_container(l, CODE_RANGESTEP, 3), true;
    case OP_GetIndex:
        return get_index(l), true;
    case OP_GetPath:
        return get_path(l, op), true;
    case OP_SetPath:
        return set_path(l, op), true;
    case OP_PushPath:
        return by_path(l, op, CODE_PUSHPATH, 1, true, false), true;
    case OP_PopPath:
        return by_path(l, op, CODE_POPPATH, 0, true, true), true;
    case OP_ShiftPath:
        return by_path(l, op, CODE_SHIFTPATH, 0, true, true), true;
    case OP_DeletePath:
        return by_path(l, op, CODE_DELPATH, 0, true, true), true;
    case OP_ExistsPath:
        return by_path(l, op, CODE_EXISTSPATH, 0, false, true), true;
    case OP_KeysPath:
        return by_path(l, op, CODE_KEYSPATH, 0, false, true), true;
    case OP_ValuesPath:
        return by_path(l, op, CODE_VALUESPATH, 0, false, true), true;
    case OP_LenPath:
        return len_path(l, op), true;
    default:
        return false;
    }
}

static bool lower_fused(struct lower *l, const struct jitvm_op *op)
{
    switch (op->code) {
    case OP_PreIncSlot:
        return pre_add(l, op->a, 1), true;
    case OP_PreIncSlotVoid:
        return add_to_slot(l, op->a, 1), true;
    case OP_PreDecSlot:
        return pre_add(l, op->a, -1), true;
    case OP_PostIncSlot:
        return post_add(l, op->a, 1), true;
    case OP_PostDecSlot:
        return post_add(l, op->a, -1), true;
    case OP_AddAssignSlotVoid:
        return add_assign(l, op), true;
    case OP_SlotLtIntJumpIfFalse:
        return lower_slot_int_jump(l, op, CODE_JNLT_RK), true;
    case OP_SlotIncLtIntJumpBack:
        return lower_slot_inc_jump(l, op), true;
    case OP_AccumSumLoop:
        return whole_loop(l, op, CODE_ACCUMLOOP, 0), true;
    case OP_PushIntRangeLoop:
        return whole_loop(l, op, CODE_PUSHLOOP, 0), true;
    case OP_ConcatConstLoop:
        return whole_loop(l, op, CODE_CONCATLOOP, constant_literal(l, op->b)), true;
    default:
        return false;
    }
}

static void lower_control(struct lower *l, const struct jitvm_op *op)
{
    switch (op->code) {
    case OP_Jump:
        return lower_jump(l, op->b);
    case OP_JumpIfTrue:
        return lower_jump_if(l, CODE_JT, op->b);
    case OP_JumpIfFalse:
        return lower_jump_if(l, CODE_JF, op->b);
    case OP_JumpIfTrueKeep:
        return lower_jump_keep(l, CODE_JT_KEEP, op->b);
    case OP_JumpIfFalseKeep:
        return lower_jump_keep(l, CODE_JF_KEEP, op->b);
    case OP_Call:
        return call(l, CODE_CALL, op->a, op->b);
    case OP_CallDynamic:
        return call(l, CODE_CALLDYN, op->a, 0);
    case OP_CallBuiltin:
        return call(l, CODE_CALLB, op->a, l->vm->bindings[op->b]);
    case OP_Extended:
        return extended(l, op, op->a);
    case OP_ExtendedWide:
        return extended(l, op, (uint64_t)op->imm);
    case OP_ReturnValue:
        return give_back(l);
    case OP_Return:
        drop_all(l);
        lower_emit(l, CODE_RETU, 0, 0, 0);
        return;
    default: /* Line, Nop */
        return;
    }
}

void lower_op(struct lower *l, const struct jitvm_op *op)
{
    if (lower_pushing(l, op) || lower_arithmetic(l, op) || lower_comparison(l, op) ||
        lower_container(l, op) || lower_fused(l, op))
        return;
    lower_control(l, op);
}
