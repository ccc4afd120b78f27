/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of values share: a heap that must be empty at the end, and short names to make
 * values by. Making one never fails: the heap has no limit then. */
#ifndef TESTS_JITVM_VALUE_RIG_H
#define TESTS_JITVM_VALUE_RIG_H

#include "guest/jitvm/value/array.h"
#include "guest/jitvm/value/hash.h"
#include "guest/jitvm/value/path.h"
#include "guest/jitvm/value/str.h"
#include "guest/jitvm/value/value.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAN_VALUE jitvm_float(__builtin_nan(""))

static inline struct jitvm_value of_str(struct jitvm_str *str)
{
    cr_assert_not_null(str);
    return (struct jitvm_value){.kind = JITVM_STR, .as.str = str};
}

static inline struct jitvm_value of_array(struct jitvm_array *array)
{
    cr_assert_not_null(array);
    return (struct jitvm_value){.kind = JITVM_ARRAY, .as.array = array};
}

static inline struct jitvm_value of_hash(struct jitvm_hash *hash)
{
    cr_assert_not_null(hash);
    return (struct jitvm_value){.kind = JITVM_HASH, .as.hash = hash};
}

static inline struct jitvm_value text(struct heap *heap, const char *bytes)
{
    return of_str(str_new(heap, bytes, strlen(bytes)));
}

/* Takes the values. */
static inline struct jitvm_value array_with(struct heap *heap, unsigned count, ...)
{
    struct jitvm_value array = of_array(array_new(heap, 0));
    va_list values;
    va_start(values, count);
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(array_push(heap, array.as.array, va_arg(values, struct jitvm_value)), 0);
    va_end(values);
    return array;
}

static inline struct jitvm_value ints(struct heap *heap, int64_t from, int64_t to)
{
    struct jitvm_value array = of_array(array_new(heap, 0));
    for (int64_t i = from; i <= to; i++)
        cr_assert_eq(array_push(heap, array.as.array, jitvm_int(i)), 0);
    return array;
}

/* Takes key and value. */
static inline void hash_put(struct heap *heap, struct jitvm_value hash, struct jitvm_value key,
                            struct jitvm_value value)
{
    struct jitvm_value *place = hash_place(heap, hash.as.hash, key);
    cr_assert_not_null(place);
    value_release(heap, *place);
    *place = value;
    value_release(heap, key);
}

/* As value_print prints it; the caller frees it. */
static inline char *printed(struct jitvm_value v)
{
    char *out = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&out, &len);
    cr_assert_not_null(to);
    cr_assert_eq(value_print(to, v), 0);
    fclose(to);
    return out;
}

static inline void expect_printed(struct jitvm_value v, const char *expected)
{
    char *got = printed(v);
    cr_expect_str_eq(got, expected);
    free(got);
}

/* Releases the value too. */
static inline void expect_last(struct heap *heap, struct jitvm_value v, const char *expected)
{
    expect_printed(v, expected);
    value_release(heap, v);
}

static inline void expect_empty(struct heap *heap)
{
    cr_expect_eq(heap->bytes, 0, "%lu bytes are left", (unsigned long)heap->bytes);
    heap_fini(heap);
}

/* Runs `work` with every limit up to what it needs, and once without any. It returns whether it got
 * through, and must have released everything in either case. */
static inline void with_every_limit(bool (*work)(struct heap *heap))
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    cr_assert(work(&heap), "it must succeed without a limit");
    uint64_t need = heap.peak;
    expect_empty(&heap);
    for (uint64_t limit = 0; limit < need; limit += 8) {
        heap_init(&heap, limit);
        cr_expect_not(work(&heap), "with %lu of %lu bytes", (unsigned long)limit,
                      (unsigned long)need);
        cr_expect_leq(heap.peak, limit);
        expect_empty(&heap);
    }
    heap_init(&heap, need);
    cr_expect(work(&heap), "with as much as was needed");
    expect_empty(&heap);
}

#endif
