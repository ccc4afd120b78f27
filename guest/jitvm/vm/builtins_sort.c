/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sort(): a merge sort from the bottom up, in two blocks of the heap's. The values in them are the
 * array's: it is an argument, so that it stays, whatever the function does meanwhile. Many ints,
 * without a function, go by their bytes instead, which takes a tenth of the time.
 */
#include "guest/jitvm/vm/builtins_sort.h"

#include <string.h>

struct sorting {
    struct jitvm *vm;
    struct jitvm_value function;
    /* Below, at, above 0 in *order; fails with what the function failed with. */
    int (*compare)(struct sorting *sorting, struct jitvm_value a, struct jitvm_value b, int *order);
};

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

/* ---- ints, byte by byte --------------------------------------------------------------------- */

#define DIGITS    8
#define RADIX_MIN 256 /* below it, counting costs more than comparing */

/* The sign bit is turned over, so that as unsigned numbers they have the same order. */
static unsigned digit_of(int64_t i, unsigned digit)
{
    return (unsigned)(((uint64_t)i ^ (UINT64_C(1) << 63)) >> (8 * digit)) & 255;
}

static void count_digits(const int64_t *ints, size_t n, size_t counts[DIGITS][256])
{
    memset(counts, 0, DIGITS * sizeof(counts[0]));
    for (size_t i = 0; i < n; i++) {
        for (unsigned d = 0; d < DIGITS; d++)
            counts[d][digit_of(ints[i], d)]++;
    }
}

static void order_by_digit(const int64_t *from, int64_t *to, size_t n, unsigned digit,
                           size_t counts[256])
{
    size_t start = 0;
    for (unsigned value = 0; value < 256; value++) {
        size_t count = counts[value];
        counts[value] = start;
        start += count;
    }
    for (size_t i = 0; i < n; i++)
        to[counts[digit_of(from[i], digit)]++] = from[i];
}

/* In place; `spare` has room for as many. */
static void sort_ints(int64_t *ints, int64_t *spare, size_t n)
{
    size_t counts[DIGITS][256];
    count_digits(ints, n, counts);
    int64_t *from = ints, *to = spare;
    for (unsigned d = 0; d < DIGITS; d++) {
        if (counts[d][digit_of(from[0], d)] == n) /* the same in all of them */
            continue;
        order_by_digit(from, to, n, d, counts[d]);
        int64_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != ints)
        memcpy(ints, from, n * sizeof(*ints));
}

static int sort_int_array(struct jitvm *vm, const struct jitvm_array *array,
                          struct jitvm_value *out)
{
    size_t n = array->len;
    int64_t *spare = heap_alloc(&vm->heap, n * sizeof(*spare));
    if (!spare)
        return vm_raise_heap(vm);
    int rc = give_array(vm, array_slice(&vm->heap, array, 0, n), out);
    if (rc == 0)
        sort_ints(out->as.array->data.ints, spare, n);
    heap_free(&vm->heap, spare, n * sizeof(*spare));
    return rc;
}

/* ---- the builtin ---------------------------------------------------------------------------- */

int builtin_sort(BUILTIN_ARGS)
{
    struct jitvm_array *array = array_argument(vm, "sort", args[0]);
    if (!array)
        return JITVM_ERR_TYPE;
    struct sorting sorting = {.vm = vm, .compare = compare_any};
    if (count > 1) {
        int rc = function_argument(vm, "sort", args[1]);
        if (rc < 0)
            return rc;
        sorting.compare = compare_by_function;
        sorting.function = args[1];
    }
    if (array->len == 0)
        return give_array(vm, array_new(&vm->heap, 0), out);
    if (count == 1 && array->element == ARRAY_INT && array->len >= RADIX_MIN)
        return sort_int_array(vm, array, out);
    return sort_array(&sorting, array, out);
}
