/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jitvm/value_rig.h"

TestSuite(value_array);

Test(value_array, elements_of_one_kind_are_kept_unboxed)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a = ints(&heap, 1, 100);
    cr_expect_eq(a.as.array->element, ARRAY_INT);
    cr_expect_eq(a.as.array->data.ints[41], 42);
    struct jitvm_value f = array_with(&heap, 2, jitvm_float(1.5), jitvm_float(2.5));
    cr_expect_eq(f.as.array->element, ARRAY_FLOAT);
    cr_expect_eq(f.as.array->data.floats[1], 2.5);
    value_release(&heap, a);
    expect_last(&heap, f, "[1.5, 2.5]");
    expect_empty(&heap);
}

Test(value_array, another_kind_widens_and_changes_no_element)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    for (int64_t len = 1; len < 40; len++) {
        struct jitvm_value a = ints(&heap, 1, len);
        cr_assert_eq(array_push(&heap, a.as.array, jitvm_float(0.5)), 0);
        cr_expect_eq(a.as.array->element, ARRAY_VALUE);
        for (int64_t i = 0; i < len; i++)
            cr_assert(value_same(array_at(a.as.array, (size_t)i), jitvm_int(i + 1)));
        cr_expect(value_same(array_at(a.as.array, (size_t)len), jitvm_float(0.5)));
        value_release(&heap, a);
    }
    struct jitvm_value f = array_with(&heap, 3, jitvm_float(1), jitvm_int(2), text(&heap, "x"));
    expect_last(&heap, f, "[1.0, 2, \"x\"]");
    f = array_with(&heap, 2, jitvm_float(1), jitvm_float(2));
    cr_assert_eq(array_set(&heap, f.as.array, 0, jitvm_int(7)), 0);
    expect_last(&heap, f, "[7, 2.0]");
    expect_empty(&heap);
}

Test(value_array, an_empty_one_takes_any_kind_anew)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a = array_with(&heap, 2, jitvm_int(1), jitvm_float(2));
    array_pop(a.as.array);
    array_shift(a.as.array);
    cr_assert_eq(array_push(&heap, a.as.array, jitvm_float(1)), 0);
    cr_expect_eq(a.as.array->element, ARRAY_FLOAT);
    array_remove(a.as.array, 0);
    cr_assert_eq(array_push(&heap, a.as.array, text(&heap, "x")), 0);
    cr_expect_eq(a.as.array->element, ARRAY_VALUE);
    value_release(&heap, array_pop(a.as.array));
    cr_assert_eq(array_push(&heap, a.as.array, jitvm_int(1)), 0);
    cr_expect_eq(a.as.array->element, ARRAY_INT);
    uint64_t bytes = heap.bytes;
    for (int i = 0; i < 100; i++) {
        array_pop(a.as.array);
        cr_assert_eq(array_push(&heap, a.as.array, i % 2 ? jitvm_undef() : jitvm_float(i)), 0);
    }
    cr_expect_eq(heap.bytes, bytes, "the block serves every kind");
    value_release(&heap, a);
    expect_empty(&heap);
}

Test(value_array, room_asked_for_is_there)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a = of_array(array_new(&heap, 101));
    const int64_t *data = a.as.array->data.ints;
    cr_expect_eq(a.as.array->len, 0);
    for (int64_t i = 0; i < 101; i++)
        cr_assert_eq(array_push(&heap, a.as.array, jitvm_int(i)), 0);
    cr_expect_eq(a.as.array->data.ints, data);
    value_release(&heap, a);
    cr_expect_null(array_new(&heap, ARRAY_MAX + 1));
    expect_empty(&heap);
}

Test(value_array, setting_beyond_the_end_fills_up_with_undef)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a = ints(&heap, 1, 2);
    cr_assert_eq(array_set(&heap, a.as.array, 2, jitvm_int(3)), 0);
    cr_expect_eq(a.as.array->element, ARRAY_INT, "the end itself is no gap");
    cr_assert_eq(array_set(&heap, a.as.array, 5, text(&heap, "x")), 0);
    expect_printed(a, "[1, 2, 3, undef, undef, \"x\"]");
    cr_assert_eq(array_set(&heap, a.as.array, 5, jitvm_int(6)), 0);
    expect_last(&heap, a, "[1, 2, 3, undef, undef, 6]");
    a = array_with(&heap, 0);
    cr_assert_eq(array_set(&heap, a.as.array, 1, jitvm_int(1)), 0);
    expect_last(&heap, a, "[undef, 1]");
    expect_empty(&heap);
}

Test(value_array, an_index_beyond_the_most_is_refused_and_the_value_released)
{
    struct heap heap;
    heap_init(&heap, 10000);
    struct jitvm_value a = ints(&heap, 1, 2), v = text(&heap, "x");
    value_retain(v);
    cr_expect_eq(array_set(&heap, a.as.array, ARRAY_MAX, v), -1);
    value_retain(v);
    cr_expect_eq(array_set(&heap, a.as.array, ARRAY_MAX - 1, v), -1);
    cr_expect_eq(v.as.object->refs, 1);
    cr_expect_null(array_place(&heap, a.as.array, ARRAY_MAX));
    cr_expect_null(array_place(&heap, a.as.array, SIZE_MAX));
    value_release(&heap, v);
    expect_last(&heap, a, "[1, 2]");
    expect_empty(&heap);
}

Test(value_array, pop_and_shift_of_an_empty_one_give_undef)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a = array_with(&heap, 0);
    cr_expect_eq(array_pop(a.as.array).kind, JITVM_UNDEF);
    cr_expect_eq(array_shift(a.as.array).kind, JITVM_UNDEF);
    cr_expect_eq(array_remove(a.as.array, 0).kind, JITVM_UNDEF);
    value_release(&heap, a);
    expect_empty(&heap);
}

Test(value_array, a_queue_of_any_kind_keeps_its_order_and_its_size)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    for (int kind = 0; kind < 3; kind++) {
        struct jitvm_value a = array_with(&heap, 0);
        for (int i = 0; i < 100000; i++) {
            struct jitvm_value v = kind == 0   ? jitvm_int(i)
                                   : kind == 1 ? jitvm_float(i)
                                               : array_with(&heap, 1, jitvm_int(i));
            cr_assert_eq(array_push(&heap, a.as.array, v), 0);
            if (i < 10)
                continue;
            struct jitvm_value got = array_shift(a.as.array);
            struct jitvm_value number = kind == 2 ? array_at(got.as.array, 0) : got;
            cr_assert_eq(value_to_int(number), i - 10);
            value_release(&heap, got);
        }
        cr_expect_eq(a.as.array->len, 10);
        cr_expect_leq(a.as.array->room + a.as.array->shifted, 64);
        value_release(&heap, a);
    }
    expect_empty(&heap);
}

Test(value_array, shifting_a_long_one_moves_nothing)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a = ints(&heap, 0, 999999);
    for (int64_t i = 0; i < 999999; i++) {
        const int64_t *data = a.as.array->data.ints;
        cr_assert_eq(array_shift(a.as.array).as.i, i);
        cr_assert_eq(a.as.array->data.ints, data + 1);
    }
    expect_last(&heap, a, "[999999]");
    expect_empty(&heap);
}

Test(value_array, a_shifted_one_can_be_widened_copied_and_filled)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a = ints(&heap, 1, 8);
    for (int i = 0; i < 3; i++)
        array_shift(a.as.array);
    struct jitvm_value copy = of_array(array_slice(&heap, a.as.array, 1, 3));
    expect_last(&heap, copy, "[5, 6, 7]");
    cr_assert_eq(array_push(&heap, a.as.array, text(&heap, "x")), 0);
    expect_printed(a, "[4, 5, 6, 7, 8, \"x\"]");
    array_shift(a.as.array);
    cr_assert_eq(array_set(&heap, a.as.array, 7, jitvm_bool(true)), 0);
    expect_last(&heap, a, "[5, 6, 7, 8, \"x\", undef, undef, true]");
    expect_empty(&heap);
}

Test(value_array, removing_closes_the_gap)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a = ints(&heap, 1, 4);
    cr_expect_eq(array_remove(a.as.array, 1).as.i, 2);
    cr_expect_eq(array_remove(a.as.array, 2).as.i, 4);
    cr_expect_eq(array_remove(a.as.array, 2).kind, JITVM_UNDEF);
    expect_last(&heap, a, "[1, 3]");
    a = array_with(&heap, 3, text(&heap, "a"), text(&heap, "b"), text(&heap, "c"));
    expect_last(&heap, array_remove(a.as.array, 0), "\"a\"");
    expect_last(&heap, a, "[\"b\", \"c\"]");
    expect_empty(&heap);
}

Test(value_array, a_shared_level_is_copied_before_a_write)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a = array_with(&heap, 2, ints(&heap, 1, 2), text(&heap, "x"));
    struct jitvm_array *mine = a.as.array;
    cr_expect_eq(array_own(&heap, &mine), 0);
    cr_expect_eq(mine, a.as.array, "nobody else has it");
    value_retain(a);
    cr_expect_eq(array_own(&heap, &mine), 0);
    cr_expect_neq(mine, a.as.array);
    cr_expect_eq(a.as.object->refs, 1);
    cr_expect_eq(array_at(mine, 0).as.array, array_at(a.as.array, 0).as.array);
    cr_expect_eq(array_at(mine, 0).as.object->refs, 2);
    cr_assert_eq(array_set(&heap, mine, 1, jitvm_int(5)), 0);
    expect_last(&heap, a, "[[1, 2], \"x\"]");
    expect_last(&heap, of_array(mine), "[[1, 2], 5]");
    expect_empty(&heap);
}

Test(value_array, an_empty_shared_one_is_copied_without_a_block)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a = array_with(&heap, 1, text(&heap, "x"));
    value_release(&heap, array_pop(a.as.array));
    value_retain(a);
    struct jitvm_array *mine = a.as.array;
    cr_expect_eq(array_own(&heap, &mine), 0);
    cr_expect_eq(mine->room, 0);
    cr_expect_eq(mine->element, ARRAY_INT);
    cr_assert_eq(array_push(&heap, mine, jitvm_int(1)), 0);
    expect_last(&heap, a, "[]");
    expect_last(&heap, of_array(mine), "[1]");
    expect_empty(&heap);
}

Test(value_array, a_place_can_be_changed_in_place)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a = ints(&heap, 1, 2);
    struct jitvm_value *place = array_place(&heap, a.as.array, 1);
    cr_assert_not_null(place);
    cr_expect_eq(place->as.i, 2);
    *place = text(&heap, "x");
    place = array_place(&heap, a.as.array, 3);
    cr_assert_not_null(place);
    cr_expect_eq(place->kind, JITVM_UNDEF);
    *place = jitvm_bool(true);
    expect_last(&heap, a, "[1, \"x\", undef, true]");
    expect_empty(&heap);
}

static bool push(struct heap *heap, struct jitvm_array *array, struct jitvm_value v)
{
    return array_push(heap, array, v) == 0;
}

static bool grow_widen_and_copy(struct heap *heap)
{
    struct jitvm_array *array = array_new(heap, 3), *copy = array;
    bool ok = array;
    for (int64_t i = 0; ok && i < 20; i++)
        ok = push(heap, array, jitvm_int(i));
    if (ok)
        array_shift(array);
    struct jitvm_str *str = ok ? str_new(heap, "x", 1) : NULL;
    ok = str && push(heap, array, (struct jitvm_value){.kind = JITVM_STR, .as.str = str});
    ok = ok && array_place(heap, array, 40);
    if (ok) {
        object_retain(&array->object);
        ok = array_own(heap, &copy) == 0;
        object_release(heap, &array->object);
    }
    if (copy)
        object_release(heap, &copy->object);
    return ok;
}

Test(value_array, at_a_full_heap_nothing_is_lost_or_kept)
{
    with_every_limit(grow_widen_and_copy);
}

Test(value_array, what_could_not_be_pushed_is_released_and_the_array_as_before)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value a = ints(&heap, 1, 8), v = text(&heap, "x");
    heap.limit = heap.bytes;
    value_retain(v);
    cr_expect_eq(array_push(&heap, a.as.array, v), -1);
    value_retain(v);
    cr_expect_eq(array_set(&heap, a.as.array, 0, v), -1);
    cr_expect_eq(v.as.object->refs, 1);
    cr_expect_eq(array_push(&heap, a.as.array, jitvm_int(9)), -1);
    value_release(&heap, v);
    expect_last(&heap, a, "[1, 2, 3, 4, 5, 6, 7, 8]");
    expect_empty(&heap);
}
