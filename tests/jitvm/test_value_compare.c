/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jitvm/value_rig.h"

#include <math.h>

TestSuite(value_compare);

/* In both directions. */
static void expect_numbers(struct jitvm_value a, struct jitvm_value b, enum value_order order)
{
    enum value_order back = order == VALUE_UNORDERED ? order : (enum value_order) - (int)order;
    cr_expect_eq(value_compare_numbers(a, b), order);
    cr_expect_eq(value_compare_numbers(b, a), back);
}

Test(value_compare, int_and_float_compare_exactly)
{
    struct jitvm_value max = jitvm_int(INT64_MAX), min = jitvm_int(INT64_MIN);
    expect_numbers(jitvm_int(1), jitvm_int(2), VALUE_LESS);
    expect_numbers(jitvm_int(2), jitvm_float(2), VALUE_EQUAL);
    expect_numbers(jitvm_int(2), jitvm_float(2.5), VALUE_LESS);
    expect_numbers(jitvm_int(-2), jitvm_float(-2.5), VALUE_GREATER);
    expect_numbers(jitvm_int(0), jitvm_float(-0.0), VALUE_EQUAL);
    expect_numbers(jitvm_int(0), jitvm_float(0x1p-1074), VALUE_LESS);
    expect_numbers(jitvm_int(0), jitvm_float(-0x1p-1074), VALUE_GREATER);
    expect_numbers(jitvm_int(9007199254740993), jitvm_float(0x1p53), VALUE_GREATER);
    expect_numbers(jitvm_int(9007199254740993), jitvm_float(0x1p53 + 2), VALUE_LESS);
    expect_numbers(max, jitvm_float(0x1p63), VALUE_LESS);
    expect_numbers(max, jitvm_float(0x1.fffffffffffffp62), VALUE_GREATER);
    expect_numbers(min, jitvm_float(-0x1p63), VALUE_EQUAL);
    expect_numbers(min, jitvm_float(-0x1.0000000000001p63), VALUE_GREATER);
    expect_numbers(max, jitvm_float(HUGE_VAL), VALUE_LESS);
    expect_numbers(min, jitvm_float(-HUGE_VAL), VALUE_GREATER);
    expect_numbers(jitvm_int(0), NAN_VALUE, VALUE_UNORDERED);
    expect_numbers(jitvm_float(0), NAN_VALUE, VALUE_UNORDERED);
    expect_numbers(NAN_VALUE, NAN_VALUE, VALUE_UNORDERED);
    expect_numbers(jitvm_float(1.5), jitvm_float(2.5), VALUE_LESS);
    expect_numbers(jitvm_float(0), jitvm_float(-0.0), VALUE_EQUAL);
}

Test(value_compare, other_kinds_compare_by_their_number)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value str = text(&heap, "2.5"), array = ints(&heap, 1, 3);
    expect_numbers(str, jitvm_int(2), VALUE_GREATER);
    expect_numbers(str, jitvm_float(2.5), VALUE_EQUAL);
    expect_numbers(array, jitvm_int(3), VALUE_EQUAL);
    expect_numbers(jitvm_undef(), jitvm_bool(true), VALUE_LESS);
    value_release(&heap, str);
    value_release(&heap, array);
    expect_empty(&heap);
}

static void expect_text_order(struct heap *heap, struct jitvm_value a, struct jitvm_value b,
                              int expected)
{
    int order = 5;
    cr_expect(value_compare_text(heap, a, b, &order));
    cr_expect_eq(order, expected);
    cr_expect(value_compare_text(heap, b, a, &order));
    cr_expect_eq(order, -expected);
}

Test(value_compare, as_text_numbers_need_no_memory)
{
    struct heap heap, none;
    heap_init(&heap, UINT64_MAX);
    heap_init(&none, 0);
    struct jitvm_value ten = text(&heap, "10"), array = ints(&heap, 1, 2);
    expect_text_order(&none, jitvm_int(10), jitvm_int(9), -1);
    expect_text_order(&none, jitvm_int(10), ten, 0);
    expect_text_order(&none, jitvm_float(0.5), jitvm_float(-0.5), 1);
    expect_text_order(&none, jitvm_undef(), jitvm_bool(false), 0);
    expect_text_order(&none, jitvm_bool(true), ten, -1);
    int order;
    cr_expect_not(value_compare_text(&none, array, ten, &order));
    cr_expect_not(value_compare_text(&none, ten, array, &order));
    expect_text_order(&heap, array, ten, -1);
    expect_text_order(&heap, array, array, 0);
    value_release(&heap, ten);
    value_release(&heap, array);
    expect_empty(&none);
    expect_empty(&heap);
}

Test(value_compare, for_sorting_there_is_one_order_of_all)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value in_order[] = {
        jitvm_undef(),
        jitvm_float(-HUGE_VAL),
        jitvm_int(INT64_MIN),
        jitvm_int(-1),
        jitvm_bool(false),
        jitvm_float(0.5),
        jitvm_bool(true),
        jitvm_float(0x1p53),
        jitvm_int(9007199254740993),
        jitvm_int(INT64_MAX),
        jitvm_float(HUGE_VAL),
        NAN_VALUE,
        text(&heap, ""),
        text(&heap, "10"),
        text(&heap, "9"),
        {.kind = JITVM_FUNC, .as.i = 1},
        {.kind = JITVM_FUNC, .as.i = 2},
        {.kind = JITVM_NATIVE, .as.i = 0},
        jitvm_handle(NULL),
        array_with(&heap, 0),
        ints(&heap, 1, 1),
        of_hash(hash_new(&heap)),
    };
    int count = (int)(sizeof in_order / sizeof in_order[0]);
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++)
            cr_expect_eq(value_compare_any(in_order[i], in_order[j]), (i > j) - (i < j),
                         "%d beside %d", i, j);
    }
    cr_expect_eq(value_compare_any(jitvm_int(2), jitvm_float(2)), 0);
    for (int i = 0; i < count; i++)
        value_release(&heap, in_order[i]);
    expect_empty(&heap);
}

Test(value_compare, the_same_is_the_same_all_the_way_down)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a[4], b;
    for (int i = 0; i < 4; i++) {
        struct jitvm_value hash = of_hash(hash_new(&heap));
        hash_put(&heap, hash, text(&heap, "key"), array_with(&heap, 1, jitvm_int(i == 1)));
        if (i == 2)
            hash_put(&heap, hash, text(&heap, "more"), jitvm_undef());
        a[i] = array_with(&heap, 3, jitvm_float(0), hash, text(&heap, "x"));
    }
    cr_expect(value_same(a[0], a[0]));
    cr_expect(value_same(a[0], a[3]));
    cr_expect_not(value_same(a[0], a[1]));
    cr_expect_not(value_same(a[0], a[2]));
    for (int i = 0; i < 4; i++)
        value_release(&heap, a[i]);

    cr_expect(value_same(NAN_VALUE, NAN_VALUE));
    cr_expect_not(value_same(jitvm_float(0), jitvm_float(-0.0)));
    cr_expect_not(value_same(jitvm_int(0), jitvm_float(0)));
    cr_expect_not(value_same(jitvm_int(0), jitvm_bool(false)));
    a[0] = ints(&heap, 1, 2);
    b = array_with(&heap, 2, text(&heap, "1"), jitvm_int(2));
    cr_assert_eq(array_set(&heap, b.as.array, 0, jitvm_int(1)), 0);
    cr_expect(value_same(a[0], b), "however the elements are kept");
    value_release(&heap, a[0]);
    value_release(&heap, b);
    expect_empty(&heap);
}

Test(value_compare, deep_arrays_need_no_stack)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a = ints(&heap, 1, 2), b = ints(&heap, 1, 2);
    for (int i = 0; i < 300000; i++) {
        a = array_with(&heap, 1, a);
        b = array_with(&heap, 1, b);
    }
    cr_expect(value_same(a, b));
    value_release(&heap, a);
    value_release(&heap, b);
    expect_empty(&heap);
}

Test(value_compare, printed_values_read_like_source)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value hash = of_hash(hash_new(&heap));
    hash_put(&heap, hash, text(&heap, "a"), jitvm_undef());
    hash_put(&heap, hash, text(&heap, "7"), jitvm_bool(true));
    expect_last(&heap,
                array_with(&heap, 5, jitvm_float(3), jitvm_bool(false), hash,
                           text(&heap, "\"q\" \\ \n\t\r\x01 \x7f \xc3\xa9"), jitvm_handle(NULL)),
                "[3.0, false, {\"a\": undef, 7: true}, "
                "\"\\\"q\\\" \\\\ \\n\\t\\r\\x01 \\x7f \xc3\xa9\", (handle)]");
    struct jitvm_value deep = array_with(&heap, 0);
    for (int i = 0; i < 1000; i++)
        deep = array_with(&heap, 1, deep);
    char *got = printed(deep);
    cr_expect_eq(strlen(got), 2 * 100 + 3, "levels below the 100th are left out");
    free(got);
    value_release(&heap, deep);
    expect_empty(&heap);
}

Test(value_compare, a_print_that_cannot_be_written_fails)
{
    FILE *full = fopen("/dev/full", "w");
    cr_assert_not_null(full);
    setvbuf(full, NULL, _IONBF, 0);
    cr_expect_eq(value_print(full, jitvm_int(5)), -1);
    fclose(full);
}
