/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sort(): a merge sort from the bottom up, in two blocks of the heap's. The values in them are the
 * array's: it is an argument, so that it stays, whatever the function does meanwhile.
 */
#include "guest/jitvm/vm/builtins_sort.h"

#include <string.h>

struct sorting {
    struct jitvm *vm;
    struct jitvm_value function;
    /* Below, at, above 0 in *order; fails with what the function failed with. */
    int (*compare)(struct sorting *sorting, struct jitvm_value a, struct jitvm_value b, int *order);
};

static int compare_ints(BUILTIN_UNUSED struct sorting *s, struct jitvm_value a,
                        struct jitvm_value b, int *order)
{
    *order = (a.as.i > b.as.i) - (a.as.i < b.as.i);
    return 0;
}

static int compare_any(BUILTIN_UNUSED struct sorting *s, struct jitvm_value a, struct jitvm_value b,
                       int *order)
{
    *order = value_compare_any(a, b);
    return 0;
}

static int compare_by_function(struct sorting *s, struct jitvm_value a, struct jitvm_value b,
                               int *order)
{
    struct jitvm_value both[2] = {a, b}, result = jitvm_undef();
    int rc = jitvm_apply(s->vm, s->function, both, 2, &result);
    if (rc < 0)
        return rc;
    enum value_order to_zero = value_compare_numbers(result, jitvm_int(0));
    *order = to_zero == VALUE_UNORDERED ? 0 : (int)to_zero;
    value_release(&s->vm->heap, result);
    return 0;
}

/* A run is from[left, middle), the other from[middle, right); both are in order. */
static int merge(struct sorting *s, const struct jitvm_value *from, struct jitvm_value *to,
                 size_t left, size_t middle, size_t right)
{
    size_t i = left, j = middle;
    for (size_t k = left; k < right; k++) {
        int order = i == middle ? 1 : -1;
        if (i < middle && j < right) {
            int rc = s->compare(s, from[i], from[j], &order);
            if (rc < 0)
                return rc;
        }
        to[k] = order <= 0 ? from[i++] : from[j++];
    }
    return 0;
}

static int merge_pair(struct sorting *s, const struct jitvm_value *from, struct jitvm_value *to,
                      size_t left, size_t middle, size_t right)
{
    int order = -1;
    if (middle < right) {
        int rc = s->compare(s, from[middle - 1], from[middle], &order);
        if (rc < 0)
            return rc;
    }
    if (order > 0)
        return merge(s, from, to, left, middle, right);
    memcpy(to + left, from + left, (right - left) * sizeof(*to));
    return 0;
}

static size_t lesser(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* blocks[0] is to be sorted, n values; *sorted is the block that they are in afterwards. */
static int sort_blocks(struct sorting *s, struct jitvm_value *blocks[2], size_t n,
                       struct jitvm_value **sorted)
{
    struct jitvm_value *from = blocks[0], *to = blocks[1];
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t left = 0; left < n; left += 2 * width) {
            int rc =
                merge_pair(s, from, to, left, lesser(left + width, n), lesser(left + 2 * width, n));
            if (rc < 0)
                return rc;
        }
        struct jitvm_value *swap = from;
        from = to;
        to = swap;
    }
    *sorted = from;
    return 0;
}

static int array_of(struct jitvm *vm, const struct jitvm_value *values, size_t n,
                    struct jitvm_value *out)
{
    int rc = give_array(vm, array_new(&vm->heap, n), out);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        value_retain(values[i]);
        if (array_push(&vm->heap, out->as.array, values[i]) < 0)
            rc = vm_raise_heap(vm);
    }
    return give_or_drop(vm, rc, out);
}

static int sort_array(struct sorting *s, const struct jitvm_array *array, struct jitvm_value *out)
{
    size_t n = array->len, bytes = 2 * n * sizeof(struct jitvm_value);
    struct jitvm_value *block = heap_alloc(&s->vm->heap, bytes), *sorted;
    if (!block)
        return vm_raise_heap(s->vm);
    for (size_t i = 0; i < n; i++)
        block[i] = array_at(array, i);
    struct jitvm_value *blocks[2] = {block, block + n};
    int rc = sort_blocks(s, blocks, n, &sorted);
    if (rc == 0)
        rc = array_of(s->vm, sorted, n, out);
    heap_free(&s->vm->heap, block, bytes);
    return rc;
}

int builtin_sort(BUILTIN_ARGS)
{
    struct jitvm_array *array = array_argument(vm, "sort", args[0]);
    if (!array)
        return JITVM_ERR_TYPE;
    struct sorting sorting = {.vm = vm, .compare = compare_any};
    if (array->element == ARRAY_INT)
        sorting.compare = compare_ints;
    if (count > 1) {
        int rc = function_argument(vm, "sort", args[1]);
        if (rc < 0)
            return rc;
        sorting.compare = compare_by_function;
        sorting.function = args[1];
    }
    if (array->len == 0)
        return give_array(vm, array_new(&vm->heap, 0), out);
    return sort_array(&sorting, array, out);
}
