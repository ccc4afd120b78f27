/* SPDX-License-Identifier: Apache-2.0 */
/* What compiled code calls. The table says how: internal.h. */
#include "guest/jitvm/jit/internal.h"

/* Entries that refused their arguments, before the function is compiled for these too. */
#define MISSES_MAX 8u

static struct jit_version *version_at(const struct jitvm *vm, uint32_t version)
{
    return vm->jit->versions[version];
}

/* The activation has ended: its result, for a caller that is compiled code. */
static struct jit_result give_result(int status, struct jitvm_value *base)
{
    if (status < 0)
        return (struct jit_result){.kind = JIT_FAILED};
    struct jitvm_value v = cell_take(&base[0]);
    return (struct jit_result){.payload = (uint64_t)v.as.i, .kind = v.kind};
}

/* ---- instructions ---------------------------------------------------------------------------- */

/* A value of a hash by a plain key that it has. */
static struct jitvm_value *entry_of(const struct jitvm_value *hash, const struct jitvm_value *key)
{
    if (hash->kind != JITVM_HASH || (key->kind != JITVM_INT && key->kind != JITVM_STR))
        return NULL;
    return hash_find_plain(hash->as.hash, *key);
}

static bool read_entry(struct jitvm *vm, struct insn *ip, struct jitvm_value *base, unsigned slots)
{
    const struct jitvm_value *found = entry_of(&base[ip->b], &base[ip->c]);
    if (!found)
        return false;
    struct jitvm_value v = *found;
    value_retain(v);
    if (ip->u >= slots)
        cell_clear(vm, &base[ip->u]);
    ip[1].kinds |= 1u << v.kind;
    cell_set(vm, &base[ip->a], v);
    return true;
}

/* Of a hash that is the slot's alone, by a value that is not counted. */
static bool write_entry(struct jitvm *vm, const struct insn *ip, struct jitvm_value *base,
                        unsigned slots)
{
    const struct jitvm_value *place = &base[ip->a], *v = &base[ip->c];
    if (place->kind != JITVM_HASH || !object_is_mine(place->as.object) || value_on_heap(*v))
        return false;
    struct jitvm_value *found = entry_of(place, &base[ip->b]);
    if (!found || value_on_heap(*found))
        return false;
    *found = *v;
    if (ip->b >= slots)
        cell_clear(vm, &base[ip->b]);
    return true;
}

static int help_op(struct jitvm *vm, struct jitvm_value *base, uint32_t version, uint32_t insn)
{
    const struct vm_function *function = version_at(vm, version)->code->function;
    const struct code *code = function->code;
    struct insn *ip = &code->insns[insn];
    unsigned op = code->ops[insn], slots = function->slots;
    if (op == CODE_INDEX && read_entry(vm, ip, base, slots))
        return 0;
    if (op == CODE_SETIDX && write_entry(vm, ip, base, slots))
        return 0;
    return op_slow(op)(vm, ip, base, slots);
}

static int help_branch(struct jitvm *vm, struct jitvm_value *base, uint32_t version, uint32_t insn)
{
    const struct vm_function *function = version_at(vm, version)->code->function;
    const struct code *code = function->code;
    return op_branch(vm, code->ops[insn], &code->insns[insn], base, function->slots);
}

static int help_call(struct jitvm *vm, struct jitvm_value *base, uint32_t version, uint32_t insn)
{
    const struct insn *ip = &version_at(vm, version)->code->function->code->insns[insn];
    int callee = vm_resolve_callee(vm, base + ip->a, ip->b);
    return callee > 0 ? vm_invoke(vm, &vm->functions[callee - 1], base + ip->a) : callee;
}

static void help_error(struct jitvm *vm, struct jitvm_value *base, uint32_t version, uint32_t insn)
{
    vm_unwind_frame(vm, version_at(vm, version)->code->function, insn, base);
}

/* ---- entries --------------------------------------------------------------------------------- */

static int help_pay(struct jitvm *vm, struct jitvm_value *base, uint32_t version)
{
    return vm_pay_for_call(vm, version_at(vm, version)->code->function, base);
}

static int interpret(struct jitvm *vm, struct vm_function *function, struct jitvm_value *base)
{
    int rc = vm_pay_for_call(vm, function, base);
    if (rc < 0)
        return rc;
    for (unsigned i = function->arity; i < function->slots; i++)
        base[i] = jitvm_undef();
    return interp_run(vm, function, base, function->code->insns);
}

static int help_entry_miss(struct jitvm *vm, struct jitvm_value *base, uint32_t version)
{
    struct jit_version *missed = version_at(vm, version);
    struct jit_code *code = missed->code;
    vm->stats.entry_misses++;
    if (missed == code->current && !code->refused) {
        for (unsigned i = 0; i < code->function->arity; i++)
            code->args[i] |= (kind_set)(1u << base[i].kind);
        if (++code->misses > MISSES_MAX) {
            code->misses = 0;
            jit_compile(vm, code);
        }
    }
    return interpret(vm, code->function, base);
}

/* ---- exits ----------------------------------------------------------------------------------- */

static void restore(struct jitvm_value *cell, const struct jit_restore *r,
                    const struct jit_registers *registers)
{
    cell->kind = r->kind;
    cell->reserved = 0;
    if (r->place == -2)
        cell->as.i = 0;
    else if (r->place >= 16)
        cell->as.f = registers->floats[r->place - 16].low;
    else if (r->place >= 0)
        cell->as.i = (int64_t)registers->ints[r->place];
    if (r->kind == JITVM_FLOAT)
        cell->as.f = number_canonical(cell->as.f);
}

static void help_exit_save(struct jitvm *vm, struct jitvm_value *base, uint32_t version,
                           uint32_t exit, const struct jit_registers *registers)
{
    const struct jit_version *left = version_at(vm, version);
    const struct jit_exit *e = &left->exits[exit];
    for (uint32_t i = 0; i < e->count; i++) {
        const struct jit_restore *r = &left->restores[e->first + i];
        restore(&base[r->reg], r, registers);
    }
}

/* The loop's code takes the place of the code that left. */
static struct jit_result go_on_in(struct jitvm *vm, const struct jit_version *loop)
{
    vm->stats.entries++;
    if (kinds_single(loop->result))
        loop->code->function->result_kinds |= loop->result;
    return (struct jit_result){.payload = (uintptr_t)(loop->start + loop->typed),
                               .kind = JIT_GOES_ON};
}

static struct jit_result help_exit_run(struct jitvm *vm, struct jitvm_value *base, uint32_t version,
                                       uint32_t exit)
{
    struct jit_version *left = version_at(vm, version);
    uint32_t insn = left->exits[exit].insn;
    vm->stats.exits++;
    /* Before it goes on: that may take long, and come here again. */
    exits_count(vm, left, &left->exits[exit]);
    int status = vm_resume(vm, left->code->function, base, insn);
    return status == VM_LOOP ? go_on_in(vm, vm->loop) : give_result(status, base);
}

/* ---- calls that are not linked --------------------------------------------------------------- */

static void box_argument(struct jitvm_value *cell, kind_set kinds, double f, int64_t i, bool loaded)
{
    cell->kind = (uint32_t)__builtin_ctz(kinds);
    cell->reserved = 0;
    if (loaded && kinds == KINDS_FLOAT)
        cell->as.f = f;
    else if (loaded)
        cell->as.i = i;
    if (kinds == KINDS_FLOAT)
        cell->as.f = number_canonical(cell->as.f);
}

static void help_box_args(struct jitvm *vm, struct jitvm_value *base, uint32_t slot,
                          const struct jit_registers *registers)
{
    const struct jit_link *link = &vm->jit->link[slot - JIT_HELPERS];
    const struct places *places = vm->jit->places;
    unsigned ints = 0, floats = 0, arity = vm->functions[link->function].arity;
    for (unsigned i = 0; i < arity; i++) {
        enum rep rep = kinds_rep(link->args[i]);
        if (rep == REP_NONE)
            base[i] = jitvm_undef();
        if (rep == REP_INT) {
            bool loaded = ints < places->int_arg_count;
            int64_t v = loaded ? (int64_t)registers->ints[places->int_args[ints]] : 0;
            box_argument(&base[i], link->args[i], 0, v, loaded);
            ints++;
        }
        if (rep == REP_FLOAT) {
            bool loaded = floats < places->float_arg_count;
            double v = loaded ? registers->floats[places->float_args[floats]].low : 0;
            box_argument(&base[i], link->args[i], v, 0, loaded);
            floats++;
        }
    }
}

static struct jit_result help_invoke(struct jitvm *vm, struct jitvm_value *base, uint32_t slot)
{
    const struct jit_link *link = &vm->jit->link[slot - JIT_HELPERS];
    return give_result(vm_invoke(vm, &vm->functions[link->function], base), base);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static int help_refuel(struct jitvm *vm)
{
    return vm_refuel(vm);
}

static void help_release(struct jitvm *vm, struct jitvm_value *cell)
{
    cell_clear(vm, cell);
}

/* Compiled code calls each with the types that it has here. */
#define HELPER(index, function) links[index] = (const void *)(uintptr_t)(function)

void helpers_fill(const void **links)
{
    HELPER(JIT_OP, help_op);
    HELPER(JIT_BRANCH, help_branch);
    HELPER(JIT_CALL, help_call);
    HELPER(JIT_ERROR, help_error);
    HELPER(JIT_ENTRY_MISS, help_entry_miss);
    HELPER(JIT_EXIT_SAVE, help_exit_save);
    HELPER(JIT_EXIT_RUN, help_exit_run);
    HELPER(JIT_BOX_ARGS, help_box_args);
    HELPER(JIT_INVOKE, help_invoke);
    HELPER(JIT_REFUEL, help_refuel);
    HELPER(JIT_RELEASE, help_release);
    HELPER(JIT_PAY, help_pay);
    HELPER(JIT_POW, number_pow);
    HELPER(JIT_FMOD, number_float_mod);
    HELPER(JIT_FLOAT_TO_INT, number_float_to_int);
}
