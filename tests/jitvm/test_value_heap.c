/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jitvm/value_rig.h"

TestSuite(value_heap);

Test(value_heap, counts_the_bytes_asked_for)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    static const size_t lengths[] = {1, 15, 16, 17, 100, 511, 512, 513, 4096, 1000000};
    void *blocks[10];
    uint64_t sum = 0;
    for (size_t i = 0; i < 10; i++) {
        blocks[i] = heap_alloc(&heap, lengths[i]);
        cr_assert_not_null(blocks[i]);
        cr_expect_eq((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], 0xa5, lengths[i]);
        sum += lengths[i];
        cr_expect_eq(heap.bytes, sum);
    }
    for (size_t i = 0; i < 10; i++)
        heap_free(&heap, blocks[i], lengths[i]);
    cr_expect_eq(heap.peak, sum);
    expect_empty(&heap);
}

Test(value_heap, blocks_of_one_class_do_not_overlap_and_are_used_again)
{
    enum { COUNT = 20000 };
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    uint32_t **blocks = malloc(COUNT * sizeof *blocks);
    for (unsigned round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            size_t len = 4 + i % 600;
            cr_assert_not_null(blocks[i] = heap_alloc(&heap, len));
            memset(blocks[i], 0, len);
            *blocks[i] = i ^ round;
        }
        for (uint32_t i = 0; i < COUNT; i++) {
            cr_assert_eq(*blocks[i], i ^ round);
            heap_free(&heap, blocks[i], 4 + i % 600);
        }
    }
    free(blocks);
    expect_empty(&heap);
}

Test(value_heap, allows_the_limit_and_not_a_byte_more)
{
    struct heap heap;
    for (size_t len = 1; len < 2000; len += 37) {
        heap_init(&heap, len);
        cr_expect_null(heap_alloc(&heap, len + 1));
        void *block = heap_alloc(&heap, len);
        cr_assert_not_null(block);
        cr_expect_null(heap_alloc(&heap, 1));
        heap_free(&heap, block, len);
        cr_assert_not_null(block = heap_alloc(&heap, len));
        heap_free(&heap, block, len);
        expect_empty(&heap);
    }
}

Test(value_heap, a_length_that_would_overflow_the_count_is_refused)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    void *block = heap_alloc(&heap, 100);
    cr_expect_null(heap_alloc(&heap, SIZE_MAX - 8));
    cr_expect_null(heap_realloc(&heap, block, 100, SIZE_MAX - 8));
    cr_expect_eq(heap.bytes, 100);
    heap_free(&heap, block, 100);
    expect_empty(&heap);
}

Test(value_heap, a_limit_lowered_below_what_is_in_use_refuses_more)
{
    struct heap heap;
    heap_init(&heap, 1000);
    void *block = heap_alloc(&heap, 400);
    heap.limit = 100;
    cr_expect_null(heap_alloc(&heap, 1));
    cr_expect_null(heap_realloc(&heap, block, 400, 401));
    cr_assert_not_null(block = heap_realloc(&heap, block, 400, 50));
    void *other = heap_alloc(&heap, 50);
    cr_assert_not_null(other);
    heap_free(&heap, block, 50);
    heap_free(&heap, other, 50);
    expect_empty(&heap);
}

Test(value_heap, realloc_keeps_the_contents_across_small_and_large)
{
    static const size_t lengths[] = {1, 16, 17, 512, 513, 5000, 100000, 600, 512, 40, 41, 3};
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    unsigned char *block = NULL;
    size_t old = 0;
    for (size_t i = 0; i < 12; i++) {
        block = heap_realloc(&heap, block, old, lengths[i]);
        cr_assert_not_null(block);
        size_t kept = old < lengths[i] ? old : lengths[i];
        for (size_t at = 0; at < kept; at++)
            cr_assert_eq(block[at], (unsigned char)(at * 7));
        for (size_t at = 0; at < lengths[i]; at++)
            block[at] = (unsigned char)(at * 7);
        old = lengths[i];
        cr_expect_eq(heap.bytes, old);
    }
    heap_free(&heap, block, old);
    expect_empty(&heap);
}

Test(value_heap, realloc_needs_only_the_difference)
{
    struct heap heap;
    heap_init(&heap, 1000);
    char *block = heap_alloc(&heap, 600);
    memset(block, 1, 600);
    cr_expect_null(heap_realloc(&heap, block, 600, 1001));
    cr_expect_eq(block[599], 1);
    cr_assert_not_null(block = heap_realloc(&heap, block, 600, 1000));
    cr_expect_eq(heap.peak, 1000);
    heap_free(&heap, block, 1000);
    expect_empty(&heap);
}

Test(value_heap, a_count_that_is_full_stays_full)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value v = text(&heap, "for ever");
    v.as.object->refs = HEAP_IMMORTAL - 1;
    value_retain(v);
    cr_expect_eq(v.as.object->refs, HEAP_IMMORTAL);
    value_retain(v);
    value_release(&heap, v);
    cr_expect_eq(v.as.object->refs, HEAP_IMMORTAL);
    v.as.object->refs = 1;
    value_release(&heap, v);
    expect_empty(&heap);
}

Test(value_heap, an_array_a_million_levels_deep_is_freed)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value top = array_with(&heap, 1, text(&heap, "the bottom"));
    for (int i = 0; i < 1000000; i++)
        top = array_with(&heap, 1, top);
    value_release(&heap, top);
    expect_empty(&heap);
}

Test(value_heap, hashes_and_shifted_arrays_in_turn_are_freed_to_any_depth)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value top = jitvm_undef();
    for (int i = 0; i < 100000; i++) {
        struct jitvm_value hash = of_hash(hash_new(&heap));
        hash_put(&heap, hash, text(&heap, "below"), top);
        hash_put(&heap, hash, text(&heap, "text"), text(&heap, "beside"));
        top = array_with(&heap, 4, jitvm_bool(true), text(&heap, "first"), hash, ints(&heap, 1, 3));
        array_shift(top.as.array);
        value_release(&heap, array_shift(top.as.array));
    }
    value_release(&heap, top);
    expect_empty(&heap);
}

Test(value_heap, what_somebody_else_holds_survives_its_container)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value inner = ints(&heap, 1, 3);
    value_retain(inner);
    value_release(&heap, array_with(&heap, 2, array_with(&heap, 1, inner), jitvm_int(2)));
    cr_expect_eq(inner.as.object->refs, 1);
    expect_last(&heap, inner, "[1, 2, 3]");
    expect_empty(&heap);
}
