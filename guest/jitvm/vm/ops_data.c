/* SPDX-License-Identifier: Apache-2.0 */
/* Moving values, strings, containers, natives, extensions: the cases that are not simple ones. */
#include "guest/jitvm/vm/ops.h"

/* ---- moving --------------------------------------------------------------------------------- */

int op_MOVE(OP_ARGS_DECL)
{
    (void)slots;
    struct jitvm_value v = base[ip->b];
    value_retain(v);
    cell_set(vm, &base[ip->a], v);
    return 0;
}

int op_TAKE(OP_ARGS_DECL)
{
    (void)slots;
    struct jitvm_value v = base[ip->b];
    base[ip->b] = jitvm_undef();
    cell_set(vm, &base[ip->a], v);
    return 0;
}

int op_LOADK(OP_ARGS_DECL)
{
    (void)slots;
    cell_set(vm, &base[ip->a], vm->literals[ip->u]); /* its strings are immortal */
    return 0;
}

int op_DROP(OP_ARGS_DECL)
{
    (void)slots;
    cell_clear(vm, &base[ip->a]);
    return 0;
}

int op_GETG(OP_ARGS_DECL)
{
    (void)slots;
    struct jitvm_value v = vm->globals[ip->u];
    value_retain(v);
    op_note(ip, v);
    cell_set(vm, &base[ip->a], v);
    return 0;
}

int op_SETG(OP_ARGS_DECL)
{
    cell_set(vm, &vm->globals[ip->u], op_own(base, ip->a, slots));
    return 0;
}

/* ---- strings -------------------------------------------------------------------------------- */

int op_TOSTR(OP_ARGS_DECL)
{
    struct jitvm_str *str = value_to_str(&vm->heap, base[ip->b]);
    if (!str)
        return vm_raise_heap(vm);
    op_used(vm, base, ip->b, slots);
    cell_set(vm, &base[ip->a], (struct jitvm_value){.kind = JITVM_STR, .as.str = str});
    return 0;
}

/* The left side as a string of ours: moved out of its register when nobody looks there again, so
 * that what is appended to may be the only reference. */
static struct jitvm_str *left_side(OP_ARGS_DECL)
{
    struct jitvm_value *cell = &base[ip->b];
    if (cell->kind == JITVM_STR && (ip->b >= slots || ip->a == ip->b))
        return cell_take(cell).as.str;
    struct jitvm_str *str = value_to_str(&vm->heap, *cell);
    op_used(vm, base, ip->b, slots);
    return str;
}

static int give_joined(struct jitvm *vm, struct insn *ip, struct jitvm_value *base,
                       struct jitvm_str *left, const char *bytes, size_t len)
{
    struct jitvm_str *both = left ? str_append(&vm->heap, left, bytes, len) : NULL;
    if (!both)
        return vm_raise_heap(vm);
    cell_set(vm, &base[ip->a], (struct jitvm_value){.kind = JITVM_STR, .as.str = both});
    return 0;
}

int op_CONCAT(OP_ARGS_DECL)
{
    char room[NUMBER_TEXT_MAX];
    size_t len;
    if (!value_on_heap(base[ip->c])) {
        const char *bytes = value_text(&base[ip->c], room, &len);
        return give_joined(vm, ip, base, left_side(vm, ip, base, slots), bytes, len);
    }
    /* First the right side: it may be the same slot as the left one. */
    struct jitvm_str *right = value_to_str(&vm->heap, base[ip->c]);
    if (!right)
        return vm_raise_heap(vm);
    op_used(vm, base, ip->u, slots);
    struct jitvm_str *left = left_side(vm, ip, base, slots);
    int rc = give_joined(vm, ip, base, left, right->bytes, right->len);
    object_release(&vm->heap, &right->object);
    return rc;
}

int op_LEN(OP_ARGS_DECL)
{
    int64_t len = (int64_t)jitvm_length(base[ip->b]);
    op_used(vm, base, ip->b, slots);
    cell_set(vm, &base[ip->a], jitvm_int(len));
    return 0;
}

/* ---- making containers ---------------------------------------------------------------------- */

int op_ARRAY(OP_ARGS_DECL)
{
    (void)slots;
    struct jitvm_array *array = array_new(&vm->heap, ip->u);
    if (!array)
        return vm_raise_heap(vm);
    for (uint32_t i = 0; i < ip->u; i++)
        if (array_push(&vm->heap, array, cell_take(&base[ip->b + i])) < 0) {
            object_release(&vm->heap, &array->object);
            return vm_raise_heap(vm);
        }
    cell_set(vm, &base[ip->a], (struct jitvm_value){.kind = JITVM_ARRAY, .as.array = array});
    return 0;
}

static int put_pair(struct jitvm *vm, struct jitvm_hash *hash, struct jitvm_value *pair)
{
    struct jitvm_value *place = hash_place(&vm->heap, hash, pair[0]);
    if (!place)
        return -1;
    cell_clear(vm, &pair[0]);
    cell_set(vm, place, cell_take(&pair[1]));
    return 0;
}

int op_HASH(OP_ARGS_DECL)
{
    (void)slots;
    struct jitvm_hash *hash = hash_new(&vm->heap);
    if (!hash)
        return vm_raise_heap(vm);
    for (uint32_t i = 0; i < ip->u; i += 2)
        if (put_pair(vm, hash, &base[ip->b + i]) < 0) {
            object_release(&vm->heap, &hash->object);
            return vm_raise_heap(vm);
        }
    cell_set(vm, &base[ip->a], (struct jitvm_value){.kind = JITVM_HASH, .as.hash = hash});
    return 0;
}

/* How many of from, from + step, ... do not pass `to`. */
static uint64_t range_count(int64_t from, int64_t to, int64_t step)
{
    if (step == 0 || (step > 0 && from > to) || (step < 0 && from < to))
        return 0;
    uint64_t span = step > 0 ? (uint64_t)to - (uint64_t)from : (uint64_t)from - (uint64_t)to;
    uint64_t stride = step > 0 ? (uint64_t)step : (uint64_t)0 - (uint64_t)step;
    uint64_t n = span / stride;
    return n == UINT64_MAX ? n : n + 1;
}

int op_range_array(struct jitvm *vm, int64_t from, int64_t to, int64_t step,
                   struct jitvm_value *out)
{
    uint64_t count = range_count(from, to, step);
    struct jitvm_array *array = count <= ARRAY_MAX ? array_new(&vm->heap, (size_t)count) : NULL;
    if (!array)
        return vm_raise_heap(vm);
    uint64_t i = (uint64_t)from;
    for (uint64_t n = 0; n < count; n++, i += (uint64_t)step)
        if (array_push(&vm->heap, array, jitvm_int((int64_t)i)) < 0) {
            object_release(&vm->heap, &array->object);
            return vm_raise_heap(vm);
        }
    *out = (struct jitvm_value){.kind = JITVM_ARRAY, .as.array = array};
    return 0;
}

int op_RANGE(OP_ARGS_DECL)
{
    struct jitvm_value range;
    int rc = op_range_array(vm, value_to_int(base[ip->b]), value_to_int(base[ip->c]), 1, &range);
    op_used(vm, base, ip->b, slots);
    op_used(vm, base, ip->u, slots);
    if (rc == 0)
        cell_set(vm, &base[ip->a], range);
    return rc;
}

int op_RANGESTEP(OP_ARGS_DECL)
{
    struct jitvm_value *from = &base[ip->b], range;
    int rc = op_range_array(vm, value_to_int(from[0]), value_to_int(from[1]), value_to_int(from[2]),
                            &range);
    for (unsigned i = 0; i < 3; i++)
        op_used(vm, base, ip->b + i, slots);
    if (rc == 0)
        cell_set(vm, &base[ip->a], range);
    return rc;
}

/* ---- by key and path ------------------------------------------------------------------------ */

int op_INDEX(OP_ARGS_DECL)
{
    struct jitvm_value v = jitvm_undef();
    int rc = path_index(&vm->heap, base[ip->b], base[ip->c], &v);
    if (rc < 0)
        return vm_raise_path(vm, rc, "read an element of", base[ip->b]);
    op_used(vm, base, ip->b, slots);
    op_used(vm, base, ip->u, slots);
    op_note(ip, v);
    cell_set(vm, &base[ip->a], v);
    return 0;
}

int op_INDEXV(OP_ARGS_DECL)
{
    return op_INDEX(vm, ip, base, slots);
}

int op_INDEX2(OP_ARGS_DECL)
{
    const struct jitvm_value keys[2] = {base[ip->c], base[ip[1].a]};
    struct jitvm_value v = jitvm_undef();
    int rc = path_get(&vm->heap, base[ip->b], keys, 2, &v);
    if (rc < 0)
        return vm_raise_path(vm, rc, "read an element of", base[ip->b]);
    op_used(vm, base, ip->u, slots);
    op_used(vm, base, ip[1].a, slots);
    op_note(ip, v);
    cell_set(vm, &base[ip->a], v);
    return 0;
}

int op_SETIDX2(OP_ARGS_DECL)
{
    const struct jitvm_value keys[2] = {base[ip->b], base[ip->c]};
    struct jitvm_value v = op_own(base, ip[1].a, slots);
    int rc = path_set(&vm->heap, &base[ip->a], keys, 2, v);
    if (rc < 0)
        return vm_raise_path(vm, rc, "set an element of", base[ip->a]);
    op_used(vm, base, ip->b, slots);
    op_used(vm, base, ip->u, slots);
    return 0;
}

int op_SETIDX(OP_ARGS_DECL)
{
    struct jitvm_value v = op_own(base, ip->u, slots);
    int rc = path_set(&vm->heap, &base[ip->a], &base[ip->b], 1, v);
    if (rc < 0)
        return vm_raise_path(vm, rc, "set an element of", base[ip->a]);
    op_used(vm, base, ip->b, slots);
    return 0;
}

static struct jitvm_value *path_root(struct jitvm *vm, struct insn *ip, struct jitvm_value *base)
{
    return ip[1].b ? &vm->globals[ip->u] : &base[ip->u];
}

/* Ends an op by path: the keys are used up, the result, if any, goes to its register. */
static int path_done(struct jitvm *vm, struct insn *ip, struct jitvm_value *base, int rc,
                     const char *what, struct jitvm_value *result)
{
    if (rc < 0)
        return vm_raise_path(vm, rc, what, *path_root(vm, ip, base));
    for (unsigned i = 0; i < ip[1].a; i++)
        cell_clear(vm, &base[ip->b + i]);
    if (result) {
        op_note(ip, *result);
        cell_set(vm, &base[ip->a], *result);
    }
    return 0;
}

#define PATH_READER(name, fn, what)                                                                \
    int op_##name(OP_ARGS_DECL)                                                                    \
    {                                                                                              \
        (void)slots;                                                                               \
        struct jitvm_value v = jitvm_undef();                                                      \
        int rc = fn(&vm->heap, *path_root(vm, ip, base), &base[ip->b], ip[1].a, &v);               \
        return path_done(vm, ip, base, rc, what, &v);                                              \
    }
PATH_READER(GETPATH, path_get, "read an element of")
PATH_READER(KEYSPATH, path_keys, "take the keys of")
PATH_READER(VALUESPATH, path_values, "take the values of")

#define PATH_TAKER(name, fn, what)                                                                 \
    int op_##name(OP_ARGS_DECL)                                                                    \
    {                                                                                              \
        (void)slots;                                                                               \
        struct jitvm_value v = jitvm_undef();                                                      \
        int rc = fn(&vm->heap, path_root(vm, ip, base), &base[ip->b], ip[1].a, &v);                \
        return path_done(vm, ip, base, rc, what, &v);                                              \
    }
PATH_TAKER(POPPATH, path_pop, "pop from")
PATH_TAKER(SHIFTPATH, path_shift, "shift from")
PATH_TAKER(DELPATH, path_delete, "delete from")

#define PATH_WRITER(name, fn, what)                                                                \
    int op_##name(OP_ARGS_DECL)                                                                    \
    {                                                                                              \
        (void)slots;                                                                               \
        struct jitvm_value v = cell_take(&base[ip->b + ip[1].a]);                                  \
        int rc = fn(&vm->heap, path_root(vm, ip, base), &base[ip->b], ip[1].a, v);                 \
        return path_done(vm, ip, base, rc, what, NULL);                                            \
    }
PATH_WRITER(SETPATH, path_set, "set an element of")
PATH_WRITER(PUSHPATH, path_push, "push to")

int op_EXISTSPATH(OP_ARGS_DECL)
{
    (void)slots;
    bool exists = false;
    int rc = path_exists(&vm->heap, *path_root(vm, ip, base), &base[ip->b], ip[1].a, &exists);
    struct jitvm_value v = jitvm_bool(exists);
    return path_done(vm, ip, base, rc, "look into", &v);
}

int op_LENPATH(OP_ARGS_DECL)
{
    (void)slots;
    struct jitvm_value v = jitvm_undef();
    int rc = path_get(&vm->heap, *path_root(vm, ip, base), &base[ip->b], ip[1].a, &v);
    struct jitvm_value len = jitvm_int((int64_t)jitvm_length(v));
    value_release(&vm->heap, v);
    return path_done(vm, ip, base, rc, "look into", &len);
}

/* ---- natives and extensions ----------------------------------------------------------------- */

int op_CALLB(OP_ARGS_DECL)
{
    (void)slots;
    int rc = vm_call_native(vm, ip->u, &base[ip->a], ip->b);
    if (rc == 0)
        op_note(ip, base[ip->a]);
    return rc;
}

/* The argument's literal is in b and, above 16 bits, in the a of DATA; DATA's b: values it takes.
 */
int op_EXT(OP_ARGS_DECL)
{
    (void)slots;
    const struct jitvm_extension *e = &vm->extensions[ip->u];
    uint64_t arg = (uint64_t)vm->literals[ip->b | (uint32_t)ip[1].a << 16].as.i;
    struct jitvm_value *args = &base[ip->a], *top = vm->top, out = jitvm_undef();
    vm->top = args + ip[1].b;
    vm->error.status = JITVM_OK;
    int rc = e->fn(vm, e->context, arg, args, &out);
    vm->top = top;
    for (unsigned i = 0; i < ip[1].b; i++)
        cell_clear(vm, &args[i]);
    if (rc < 0 || !e->pushes) {
        value_release(&vm->heap, out);
        return rc < 0 ? vm_native_failed(vm, e->name, rc) : 0;
    }
    op_note(ip, out);
    cell_set(vm, &args[0], out);
    return 0;
}
