/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jitvm/value_rig.h"

TestSuite(value_str);

static void expect_bytes(const struct jitvm_str *str, const char *bytes)
{
    cr_assert_not_null(str);
    cr_expect_eq(str->len, strlen(bytes));
    cr_expect(str->room >= str->len);
    cr_expect_arr_eq(str->bytes, bytes, str->len);
}

Test(value_str, holds_any_bytes)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_str *str = str_new(&heap, "a\0b\xff", 4);
    cr_expect_eq(str->len, 4);
    cr_expect_arr_eq(str->bytes, "a\0b\xff", 4);
    value_release(&heap, of_str(str));
    str = str_new(&heap, NULL, 3);
    memcpy(str->bytes, "xyz", 3);
    expect_bytes(str, "xyz");
    value_release(&heap, of_str(str));
    value_release(&heap, of_str(str_new(&heap, NULL, 0)));
    cr_expect_null(str_new(&heap, NULL, STR_MAX + 1));
    expect_empty(&heap);
}

Test(value_str, an_immortal_one_is_never_freed_by_a_heap)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_str *str = str_new_immortal("constant", 8);
    cr_expect_eq(str->hash, str_hash_bytes("constant", 8));
    for (int i = 0; i < 3; i++)
        value_release(&heap, of_str(str));
    struct jitvm_str *sum = str_append(&heap, str, "s", 1);
    expect_bytes(sum, "constants");
    expect_bytes(str, "constant");
    value_release(&heap, of_str(sum));
    free(str);
    expect_empty(&heap);
}

Test(value_str, appending_in_place_needs_the_only_reference)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_str *a = str_new(&heap, "ab", 2);
    cr_expect_eq(str_append(&heap, a, "c", 1), a, "there is room behind it");
    expect_bytes(a, "abc");
    object_retain(&a->object);
    struct jitvm_str *b = str_append(&heap, a, "d", 1);
    cr_expect_neq(a, b);
    expect_bytes(a, "abc");
    expect_bytes(b, "abcd");
    cr_expect_eq(a->object.refs, 1);
    value_release(&heap, of_str(a));
    value_release(&heap, of_str(b));
    expect_empty(&heap);
}

Test(value_str, n_appends_cost_few_moves)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_str *str = str_new(&heap, "", 0);
    unsigned grown = 0;
    for (unsigned i = 0; i < 1000000; i++) {
        size_t room = str->room;
        char byte = (char)('a' + i % 26);
        str = str_append(&heap, str, &byte, 1);
        grown += str->room != room;
    }
    cr_expect_eq(str->len, 1000000);
    for (unsigned i = 0; i < 1000000; i += 997)
        cr_assert_eq(str->bytes[i], (char)('a' + i % 26));
    cr_expect_leq(grown, 20);
    value_release(&heap, of_str(str));
    expect_empty(&heap);
}

Test(value_str, can_be_appended_to_itself)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_str *str = str_new(&heap, "abc", 3);
    for (int i = 0; i < 10; i++)
        str = str_append(&heap, str, str->bytes, str->len);
    cr_expect_eq(str->len, 3 << 10);
    for (size_t i = 0; i < str->len; i++)
        cr_assert_eq(str->bytes[i], "abc"[i % 3]);
    value_release(&heap, of_str(str));
    expect_empty(&heap);
}

Test(value_str, appending_forgets_the_hash)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_str *str = str_new(&heap, "a", 1);
    cr_expect_eq(str_hash(str), str_hash_bytes("a", 1));
    str = str_append(&heap, str, "b", 1);
    cr_expect_eq(str_hash(str), str_hash_bytes("ab", 2));
    str = str_append(&heap, str, "cdefghijklmnopqrstuvwxyz", 24);
    cr_expect_eq(str_hash(str), str_hash_bytes("abcdefghijklmnopqrstuvwxyz", 26));
    value_release(&heap, of_str(str));
    expect_empty(&heap);
}

static bool append_up_to_1000(struct heap *heap)
{
    struct jitvm_str *str = str_new(heap, "start", 5);
    for (int i = 0; str && i < 100; i++)
        str = str_append(heap, str, "0123456789", 10);
    if (!str)
        return false;
    value_release(heap, of_str(str));
    return true;
}

Test(value_str, appending_at_a_full_heap_ends_the_reference)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    cr_assert(append_up_to_1000(&heap));
    uint64_t need = heap.peak;
    expect_empty(&heap);
    for (uint64_t limit = 0; limit < need; limit += 8) {
        heap_init(&heap, limit);
        /* Doubling may be refused where what is needed still fits. */
        if (limit < 1005 + sizeof(struct jitvm_str))
            cr_expect_not(append_up_to_1000(&heap));
        else
            append_up_to_1000(&heap);
        expect_empty(&heap);
    }
}

Test(value_str, grows_to_what_is_needed_where_twice_is_too_much)
{
    struct heap heap;
    heap_init(&heap, sizeof(struct jitvm_str) + 1008);
    struct jitvm_str *str = str_new(&heap, NULL, 992);
    memset(str->bytes, 'x', 992);
    str = str_append(&heap, str, "0123456789", 10);
    cr_assert_not_null(str);
    cr_expect_eq(str->len, 1002);
    cr_expect_null(str_append(&heap, str, "0123456789", 10));
    expect_empty(&heap);
}

Test(value_str, order_is_by_unsigned_bytes_then_by_length)
{
    static const char *const in_order[] = {"",  "\x01", "a",    "ab",  "abc",
                                           "b", "\x7f", "\x80", "\xff"};
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    for (int i = 0; i < 9; i++) {
        for (int j = 0; j < 9; j++) {
            struct jitvm_value a = text(&heap, in_order[i]), b = text(&heap, in_order[j]);
            cr_expect_eq(str_compare(a.as.str, b.as.str), (i > j) - (i < j));
            cr_expect_eq(str_equal(a.as.str, b.as.str), i == j);
            value_release(&heap, a);
            value_release(&heap, b);
        }
    }
    expect_empty(&heap);
}

Test(value_str, texts_that_differ_in_one_bit_hash_apart)
{
    unsigned char bytes[70] = {0};
    for (size_t len = 1; len <= sizeof bytes; len++) {
        uint64_t plain = str_hash_bytes(bytes, len);
        for (size_t bit = 0; bit < 8 * len; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            cr_assert_neq(str_hash_bytes(bytes, len), plain);
            bytes[bit / 8] = 0;
        }
        cr_assert_neq(str_hash_bytes(bytes, len - 1), plain);
    }
}
