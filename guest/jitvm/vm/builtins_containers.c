/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arrays and hashes as values: arguments stay as they are, results are new. What changes a
 * container in place is an op with a path, not a builtin.
 */
#include "guest/jitvm/vm/builtins.h"
#include "guest/jitvm/vm/builtins_sort.h"
#include "guest/jitvm/vm/ops.h"

#include <string.h>

/* One more reference to `v`, at the end of the array. */
static int push(struct jitvm *vm, struct jitvm_array *array, struct jitvm_value v)
{
    value_retain(v);
    return array_push(&vm->heap, array, v) < 0 ? vm_raise_heap(vm) : 0;
}

static int push_part(struct jitvm *vm, struct jitvm_array *to, const struct jitvm_array *from,
                     size_t at, size_t end)
{
    for (; at < end; at++) {
        int rc = push(vm, to, array_at(from, at));
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* An empty array with room for n elements, in *out. */
static int begin_array(struct jitvm *vm, uint64_t n, struct jitvm_value *out)
{
    if (n > ARRAY_MAX)
        return vm_raise_heap(vm);
    return give_array(vm, array_new(&vm->heap, (size_t)n), out);
}

/* ---- with a function ------------------------------------------------------------------------ */

/* The arguments of map and grep. */
static int check_mapping(struct jitvm *vm, const char *builtin, const struct jitvm_value *args)
{
    if (!array_argument(vm, builtin, args[0]))
        return JITVM_ERR_TYPE;
    return function_argument(vm, builtin, args[1]);
}

static int map_element(struct jitvm *vm, struct jitvm_value function, struct jitvm_value element,
                       struct jitvm_array *to)
{
    struct jitvm_value result = jitvm_undef();
    int rc = jitvm_apply(vm, function, &element, 1, &result);
    if (rc < 0)
        return rc;
    return array_push(&vm->heap, to, result) < 0 ? vm_raise_heap(vm) : 0;
}

static int list_map(BUILTIN_ARGS)
{
    int rc = check_mapping(vm, "map", args);
    if (rc == 0)
        rc = begin_array(vm, args[0].as.array->len, out);
    for (size_t i = 0; rc == 0 && i < args[0].as.array->len; i++)
        rc = map_element(vm, args[1], array_at(args[0].as.array, i), out->as.array);
    return give_or_drop(vm, rc, out);
}

static int grep_element(struct jitvm *vm, struct jitvm_value function, struct jitvm_value element,
                        struct jitvm_array *to)
{
    struct jitvm_value result = jitvm_undef();
    int rc = jitvm_apply(vm, function, &element, 1, &result);
    if (rc < 0)
        return rc;
    bool wanted = value_truthy(result);
    value_release(&vm->heap, result);
    return wanted ? push(vm, to, element) : 0;
}

static int list_grep(BUILTIN_ARGS)
{
    int rc = check_mapping(vm, "grep", args);
    if (rc == 0)
        rc = begin_array(vm, 0, out);
    for (size_t i = 0; rc == 0 && i < args[0].as.array->len; i++)
        rc = grep_element(vm, args[1], array_at(args[0].as.array, i), out->as.array);
    return give_or_drop(vm, rc, out);
}

static int list_reduce(BUILTIN_ARGS)
{
    int rc = check_mapping(vm, "reduce", args);
    if (rc < 0)
        return rc;
    value_retain(args[2]);
    *out = args[2];
    for (size_t i = 0; rc == 0 && i < args[0].as.array->len; i++) {
        struct jitvm_value both[2] = {*out, array_at(args[0].as.array, i)};
        value_retain(both[1]);
        rc = vm_apply_taking(vm, args[1], both, 2, out);
    }
    return give_or_drop(vm, rc, out);
}

/* ---- one value of many ---------------------------------------------------------------------- */

static int add(struct jitvm *vm, struct jitvm_value *sum, struct jitvm_value v)
{
    v = value_to_number(v);
    if (sum->kind == JITVM_INT && v.kind == JITVM_INT) {
        if (__builtin_add_overflow(sum->as.i, v.as.i, &sum->as.i) && vm->overflow_traps)
            return jitvm_raise(vm, JITVM_ERR_OVERFLOW, "sum: integer overflow");
        return 0;
    }
    *sum = jitvm_float(value_to_float(*sum) + value_to_float(v));
    return 0;
}

static int list_sum(BUILTIN_ARGS)
{
    struct jitvm_array *array = array_argument(vm, "sum", args[0]);
    if (!array)
        return JITVM_ERR_TYPE;
    struct jitvm_value sum = jitvm_int(0);
    for (size_t i = 0; i < array->len; i++) {
        int rc = add(vm, &sum, array_at(array, i));
        if (rc < 0)
            return rc;
    }
    *out = sum;
    return 0;
}

/* The element that comes first when `sign` is 1, last when -1, as sort() orders them; the first of
 * equal ones. Of the arguments, or of the array that is the only argument. */
static int extreme(const struct jitvm_value *args, unsigned count, int sign,
                   struct jitvm_value *out)
{
    const struct jitvm_array *array =
        count == 1 && args[0].kind == JITVM_ARRAY ? args[0].as.array : NULL;
    size_t n = array ? array->len : count;
    struct jitvm_value best = jitvm_undef();
    for (size_t i = 0; i < n; i++) {
        struct jitvm_value v = array ? array_at(array, i) : args[i];
        if (i == 0 || sign * value_compare_any(v, best) < 0)
            best = v;
    }
    value_retain(best);
    *out = best;
    return 0;
}

static int list_min(BUILTIN_ARGS)
{
    return extreme(args, count, 1, out);
}

static int list_max(BUILTIN_ARGS)
{
    return extreme(args, count, -1, out);
}

/* ---- other arrays --------------------------------------------------------------------------- */

static int list_reverse(BUILTIN_ARGS)
{
    struct jitvm_array *array = array_argument(vm, "reverse", args[0]);
    int rc = array ? begin_array(vm, array->len, out) : JITVM_ERR_TYPE;
    for (size_t i = array ? array->len : 0; rc == 0 && i > 0; i--)
        rc = push(vm, out->as.array, array_at(array, i - 1));
    return give_or_drop(vm, rc, out);
}

static int list_slice(BUILTIN_ARGS)
{
    struct jitvm_array *array = array_argument(vm, "slice", args[0]);
    if (!array)
        return JITVM_ERR_TYPE;
    struct part part = part_of(array->len, args + 1, count - 1);
    return give_array(vm, array_slice(&vm->heap, array, part.from, part.count), out);
}

static int list_concat(BUILTIN_ARGS)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < count; i++) {
        struct jitvm_array *array = array_argument(vm, "concat", args[i]);
        if (!array)
            return JITVM_ERR_TYPE;
        total += array->len;
    }
    int rc = begin_array(vm, total, out);
    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = push_part(vm, out->as.array, args[i].as.array, 0, args[i].as.array->len);
    return give_or_drop(vm, rc, out);
}

static int list_fill(BUILTIN_ARGS)
{
    int64_t n = value_to_int(args[0]);
    if (n < 0)
        return jitvm_raise(vm, JITVM_ERR_VALUE, "fill: %lld elements", (long long)n);
    int rc = begin_array(vm, (uint64_t)n, out);
    for (int64_t i = 0; rc == 0 && i < n; i++)
        rc = push(vm, out->as.array, args[1]);
    return give_or_drop(vm, rc, out);
}

static int list_range(BUILTIN_ARGS)
{
    return op_range_array(vm, value_to_int(args[0]), value_to_int(args[1]),
                          count > 2 ? value_to_int(args[2]) : 1, out);
}

/* Where an index points, below 0 counting from the end; -1 when that is before the first element or
 * behind `last`. */
static int64_t index_of(int64_t index, size_t len, size_t last)
{
    if (index < 0)
        index += (int64_t)len;
    return index < 0 || index > (int64_t)last ? -1 : index;
}

static int list_insert(BUILTIN_ARGS)
{
    struct jitvm_array *array = array_argument(vm, "insert", args[0]);
    if (!array)
        return JITVM_ERR_TYPE;
    int64_t at = index_of(value_to_int(args[1]), array->len, array->len);
    if (at < 0)
        return jitvm_raise(vm, JITVM_ERR_VALUE, "insert: index %lld of %zu elements",
                           (long long)value_to_int(args[1]), array->len);
    int rc = begin_array(vm, (uint64_t)array->len + 1, out);
    if (rc == 0)
        rc = push_part(vm, out->as.array, array, 0, (size_t)at);
    if (rc == 0)
        rc = push(vm, out->as.array, args[2]);
    if (rc == 0)
        rc = push_part(vm, out->as.array, array, (size_t)at, array->len);
    return give_or_drop(vm, rc, out);
}

static int list_remove(BUILTIN_ARGS)
{
    struct jitvm_array *array = array_argument(vm, "remove", args[0]);
    if (!array)
        return JITVM_ERR_TYPE;
    int64_t at = array->len ? index_of(value_to_int(args[1]), array->len, array->len - 1) : -1;
    if (at < 0)
        return jitvm_raise(vm, JITVM_ERR_VALUE, "remove: index %lld of %zu elements",
                           (long long)value_to_int(args[1]), array->len);
    int rc = give_array(vm, array_slice(&vm->heap, array, 0, array->len), out);
    if (rc == 0)
        value_release(&vm->heap, array_remove(out->as.array, (size_t)at));
    return rc;
}

/* ---- arrays and hashes ---------------------------------------------------------------------- */

static int list_keys(BUILTIN_ARGS)
{
    int rc = path_keys(&vm->heap, args[0], NULL, 0, out);
    return rc < 0 ? vm_raise_path(vm, rc, "take the keys of", args[0]) : 0;
}

static int list_values(BUILTIN_ARGS)
{
    int rc = path_values(&vm->heap, args[0], NULL, 0, out);
    return rc < 0 ? vm_raise_path(vm, rc, "take the values of", args[0]) : 0;
}

static int list_exists(BUILTIN_ARGS)
{
    bool there = false;
    int rc = path_exists(&vm->heap, args[0], &args[1], 1, &there);
    if (rc < 0)
        return vm_raise_path(vm, rc, "look into", args[0]);
    *out = jitvm_bool(there);
    return 0;
}

const struct jitvm_native *builtins_containers(unsigned *count)
{
#define CALLING(name, min, max, result)                                                            \
    {                                                                                              \
#name, list_##name, NULL, min, max, 0, result                                              \
    }
#define PURE(name, min, max, result)                                                               \
    {                                                                                              \
#name, list_##name, NULL, min, max, JITVM_PURE | JITVM_NO_REENTER, result                  \
    }
    static const struct jitvm_native table[] = {
        {"sort", builtin_sort, NULL, 1, 2, 0, JITVM_ARRAY},
        CALLING(map, 2, 2, JITVM_ARRAY),
        CALLING(grep, 2, 2, JITVM_ARRAY),
        CALLING(reduce, 3, 3, JITVM_KINDS),
        PURE(sum, 1, 1, JITVM_KINDS),
        PURE(min, 1, JITVM_ANY_COUNT, JITVM_KINDS),
        PURE(max, 1, JITVM_ANY_COUNT, JITVM_KINDS),
        PURE(reverse, 1, 1, JITVM_ARRAY),
        PURE(slice, 2, 3, JITVM_ARRAY),
        PURE(concat, 1, JITVM_ANY_COUNT, JITVM_ARRAY),
        PURE(fill, 2, 2, JITVM_ARRAY),
        PURE(range, 2, 3, JITVM_ARRAY),
        PURE(insert, 3, 3, JITVM_ARRAY),
        PURE(remove, 2, 2, JITVM_ARRAY),
        PURE(keys, 1, 1, JITVM_ARRAY),
        PURE(values, 1, 1, JITVM_ARRAY),
        PURE(exists, 2, 2, JITVM_BOOL),
    };
#undef CALLING
#undef PURE
    *count = sizeof(table) / sizeof(table[0]);
    return table;
}
