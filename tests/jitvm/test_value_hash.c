/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jitvm/value_rig.h"

TestSuite(value_hash);

static int64_t int_at(struct heap *heap, struct jitvm_value hash, struct jitvm_value key)
{
    const struct jitvm_value *found = hash_find(heap, hash.as.hash, key);
    return found ? found->as.i : INT64_MIN;
}

/* Takes the key. */
static int64_t take_int_at(struct heap *heap, struct jitvm_value hash, struct jitvm_value key)
{
    int64_t found = int_at(heap, hash, key);
    value_release(heap, key);
    return found;
}

Test(value_hash, text_that_is_an_int_is_that_int)
{
    static const struct {
        const char *text;
        int64_t i;
    } same[] = {{"0", 0},
                {"12", 12},
                {"-3", -3},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        struct jitvm_value hash = of_hash(hash_new(&heap));
        hash_put(&heap, hash, text(&heap, same[i].text), jitvm_int(77));
        cr_expect_eq(int_at(&heap, hash, jitvm_int(same[i].i)), 77);
        cr_expect_eq(hash.as.hash->entries[0].key.kind, JITVM_INT);
        hash_put(&heap, hash, jitvm_int(same[i].i), jitvm_int(78));
        cr_expect_eq(take_int_at(&heap, hash, text(&heap, same[i].text)), 78);
        cr_expect_eq(hash.as.hash->len, 1);
        value_release(&heap, hash);
    }
    expect_empty(&heap);
}

Test(value_hash, text_that_is_an_int_in_another_form_is_a_text)
{
    static const char *const keys[] = {"00",
                                       "01",
                                       "-0",
                                       "+1",
                                       " 1",
                                       "1 ",
                                       "1.0",
                                       "",
                                       "-",
                                       "x",
                                       "1x",
                                       "--1",
                                       "0x1",
                                       "9223372036854775808",
                                       "-9223372036854775809"};
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value hash = of_hash(hash_new(&heap));
    int64_t count = (int64_t)(sizeof keys / sizeof keys[0]);
    for (int64_t i = 0; i < count; i++)
        hash_put(&heap, hash, text(&heap, keys[i]), jitvm_int(i));
    cr_expect_eq(hash.as.hash->len, (size_t)count);
    for (int64_t i = 0; i < count; i++) {
        cr_expect_eq(take_int_at(&heap, hash, text(&heap, keys[i])), i);
        cr_expect_eq(hash.as.hash->entries[i].key.kind, JITVM_STR);
    }
    value_release(&heap, hash);
    expect_empty(&heap);
}

Test(value_hash, a_key_of_any_kind_is_its_text)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value hash = of_hash(hash_new(&heap));
    hash_put(&heap, hash, jitvm_undef(), jitvm_int(1));
    cr_expect_eq(int_at(&heap, hash, jitvm_bool(false)), 1);
    hash_put(&heap, hash, jitvm_bool(true), jitvm_int(2));
    cr_expect_eq(int_at(&heap, hash, jitvm_int(1)), 2);
    hash_put(&heap, hash, jitvm_float(2.5), jitvm_int(3));
    cr_expect_eq(take_int_at(&heap, hash, text(&heap, "2.5")), 3);
    hash_put(&heap, hash, ints(&heap, 1, 2), jitvm_int(4));
    cr_expect_eq(take_int_at(&heap, hash, text(&heap, "1 2")), 4);
    hash_put(&heap, hash, ints(&heap, 7, 7), jitvm_int(5));
    cr_expect_eq(int_at(&heap, hash, jitvm_int(7)), 5);
    hash_put(&heap, hash, of_hash(hash_new(&heap)), jitvm_int(6));
    cr_expect_eq(take_int_at(&heap, hash, text(&heap, "(hash)")), 6);
    expect_last(&heap, hash, "{\"\": 1, 1: 2, \"2.5\": 3, \"1 2\": 4, 7: 5, \"(hash)\": 6}");
    expect_empty(&heap);
}

Test(value_hash, order_is_that_of_insertion)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value hash = of_hash(hash_new(&heap));
    hash_put(&heap, hash, text(&heap, "b"), jitvm_int(1));
    hash_put(&heap, hash, jitvm_int(3), jitvm_int(2));
    hash_put(&heap, hash, text(&heap, "a"), jitvm_int(3));
    hash_put(&heap, hash, text(&heap, "b"), jitvm_int(4));
    expect_printed(hash, "{\"b\": 4, 3: 2, \"a\": 3}");
    struct jitvm_value key = text(&heap, "b");
    cr_expect_eq(hash_delete(&heap, hash.as.hash, key).as.i, 4);
    cr_expect_eq(hash_delete(&heap, hash.as.hash, key).kind, JITVM_UNDEF);
    hash_put(&heap, hash, key, jitvm_int(5));
    expect_printed(hash, "{3: 2, \"a\": 3, \"b\": 5}");
    expect_last(&heap, of_array(hash_keys(&heap, hash.as.hash)), "[\"3\", \"a\", \"b\"]");
    expect_last(&heap, of_array(hash_values(&heap, hash.as.hash)), "[2, 3, 5]");
    value_release(&heap, hash);
    expect_empty(&heap);
}

Test(value_hash, a_million_ints_of_any_spacing_are_found)
{
    static const int64_t spacings[] = {1, 1024, (int64_t)1 << 32, (int64_t)1 << 43, -3};
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    for (size_t s = 0; s < 5; s++) {
        struct jitvm_value hash = of_hash(hash_new(&heap));
        for (int64_t i = 0; i < 200000; i++)
            hash_put(&heap, hash, jitvm_int(i * spacings[s]), jitvm_int(i));
        cr_expect_eq(hash.as.hash->len, 200000);
        for (int64_t i = 0; i < 200000; i++)
            cr_assert_eq(int_at(&heap, hash, jitvm_int(i * spacings[s])), i);
        cr_expect_null(hash_find(&heap, hash.as.hash, jitvm_int(7 + 200000 * 1024)));
        value_release(&heap, hash);
    }
    expect_empty(&heap);
}

Test(value_hash, many_texts_are_found_with_and_without_their_object)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value hash = of_hash(hash_new(&heap));
    char key[32];
    for (int i = 0; i < 50000; i++) {
        snprintf(key, sizeof key, "key number %d", i);
        hash_put(&heap, hash, text(&heap, key), jitvm_int(i));
    }
    for (int i = 0; i < 50000; i++) {
        snprintf(key, sizeof key, "key number %d", i);
        cr_assert_eq(take_int_at(&heap, hash, text(&heap, key)), i);
        cr_assert_eq(int_at(&heap, hash, hash.as.hash->entries[i].key), i);
    }
    value_release(&heap, hash);
    expect_empty(&heap);
}

Test(value_hash, agrees_with_a_plain_table_through_random_changes)
{
    enum { KEYS = 300 };
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value hash = of_hash(hash_new(&heap));
    int64_t model[KEYS];
    size_t alive = 0;
    uint32_t state = 12345;
    for (int i = 0; i < KEYS; i++)
        model[i] = INT64_MIN;
    for (int i = 0; i < 200000; i++) {
        state = state * 1664525 + 1013904223;
        uint32_t phase = (uint32_t)i / 5000 % 3, key = (state >> 8) % KEYS;
        struct jitvm_value k = key % 2 ? jitvm_int(key) : jitvm_float(key + 0.5);
        if (phase == 0 || (phase == 1 && state >> 31)) {
            alive += model[key] == INT64_MIN;
            model[key] = i;
            hash_put(&heap, hash, k, jitvm_int(i));
        } else {
            alive -= model[key] != INT64_MIN;
            hash_delete(&heap, hash.as.hash, k);
            model[key] = INT64_MIN;
        }
        cr_assert_eq(hash.as.hash->len, alive);
        cr_assert_eq(int_at(&heap, hash, k), model[key]);
    }
    for (int i = 0; i < KEYS; i++) {
        struct jitvm_value k = i % 2 ? jitvm_int(i) : jitvm_float(i + 0.5);
        cr_assert_eq(int_at(&heap, hash, k), model[i]);
    }
    value_release(&heap, hash);
    expect_empty(&heap);
}

Test(value_hash, one_in_one_out_does_not_grow_it)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value hash = of_hash(hash_new(&heap));
    for (int64_t i = 0; i < 100000; i++) {
        hash_put(&heap, hash, jitvm_int(i), jitvm_int(i));
        if (i >= 20)
            cr_assert_eq(hash_delete(&heap, hash.as.hash, jitvm_int(i - 20)).as.i, i - 20);
    }
    cr_expect_eq(hash.as.hash->len, 20);
    cr_expect_leq(hash.as.hash->room, 64);
    value_release(&heap, hash);
    expect_empty(&heap);
}

Test(value_hash, gives_room_back_once_most_is_deleted)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value hash = of_hash(hash_new(&heap));
    for (int64_t i = 0; i < 10000; i++)
        hash_put(&heap, hash, jitvm_int(i), jitvm_int(i));
    for (int64_t i = 3; i < 10000; i++)
        hash_delete(&heap, hash.as.hash, jitvm_int(i));
    for (int64_t i = 0; i < 10000; i++) {
        hash_put(&heap, hash, text(&heap, "x"), jitvm_int(i));
        struct jitvm_value key = text(&heap, "x");
        hash_delete(&heap, hash.as.hash, key);
        value_release(&heap, key);
    }
    cr_expect_leq(hash.as.hash->room, 8);
    cr_expect_eq(hash.as.hash->buckets, 0);
    expect_last(&heap, hash, "{0: 0, 1: 1, 2: 2}");
    expect_empty(&heap);
}

Test(value_hash, a_shared_one_is_copied_before_a_write)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    for (int64_t count = 0; count < 40; count++) {
        struct jitvm_value hash = of_hash(hash_new(&heap));
        for (int64_t i = 0; i < count; i++)
            hash_put(&heap, hash, jitvm_float((double)i), ints(&heap, i, i + 1));
        value_release(&heap, hash_delete(&heap, hash.as.hash, jitvm_float(3)));
        struct jitvm_hash *mine = hash.as.hash;
        cr_expect_eq(hash_own(&heap, &mine), 0);
        cr_expect_eq(mine, hash.as.hash);
        value_retain(hash);
        cr_assert_eq(hash_own(&heap, &mine), 0);
        cr_expect_neq(mine, hash.as.hash);
        cr_expect(value_same(of_hash(mine), hash));
        cr_assert_not_null(hash_place(&heap, mine, jitvm_int(-1)));
        cr_expect_eq(mine->len, hash.as.hash->len + 1);
        cr_expect_null(hash_find(&heap, hash.as.hash, jitvm_int(-1)));
        value_release(&heap, of_hash(mine));
        value_release(&heap, hash);
    }
    expect_empty(&heap);
}

Test(value_hash, next_passes_over_what_was_deleted)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value hash = of_hash(hash_new(&heap));
    size_t at = 0;
    cr_expect_null(hash_next(hash.as.hash, &at));
    for (int64_t i = 0; i < 6; i++)
        hash_put(&heap, hash, jitvm_int(i), jitvm_int(10 * i));
    hash_delete(&heap, hash.as.hash, jitvm_int(0));
    hash_delete(&heap, hash.as.hash, jitvm_int(3));
    hash_delete(&heap, hash.as.hash, jitvm_int(5));
    static const int64_t expected[] = {1, 2, 4};
    for (int i = 0; i < 3; i++) {
        const struct hash_entry *entry = hash_next(hash.as.hash, &at);
        cr_assert_not_null(entry);
        cr_expect_eq(entry->key.as.i, expected[i]);
        cr_expect_eq(entry->value.as.i, 10 * expected[i]);
    }
    cr_expect_null(hash_next(hash.as.hash, &at));
    value_release(&heap, hash);
    expect_empty(&heap);
}

static bool fill_copy_and_list(struct heap *heap)
{
    struct jitvm_hash *hash = hash_new(heap), *copy = hash;
    struct jitvm_array *keys = NULL, *values = NULL;
    bool ok = hash;
    for (int i = 0; ok && i < 30; i++)
        ok = hash_place(heap, hash, i % 2 ? jitvm_int(i) : jitvm_float(i));
    if (ok) {
        object_retain(&hash->object);
        ok = hash_own(heap, &copy) == 0;
        object_release(heap, &hash->object);
    }
    ok = ok && (keys = hash_keys(heap, copy)) && (values = hash_values(heap, copy));
    if (keys)
        object_release(heap, &keys->object);
    if (values)
        object_release(heap, &values->object);
    if (copy)
        object_release(heap, &copy->object);
    return ok;
}

Test(value_hash, at_a_full_heap_nothing_is_lost_or_kept)
{
    with_every_limit(fill_copy_and_list);
}

Test(value_hash, a_refused_entry_leaves_the_others_as_they_were)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value hash = of_hash(hash_new(&heap));
    for (int64_t i = 0; i < 16; i++)
        hash_put(&heap, hash, jitvm_int(i), jitvm_int(i));
    /* First no index, then an index but no entries. */
    for (uint64_t more = 0; more < 600; more += 8) {
        heap.limit = heap.bytes + more;
        cr_expect_null(hash_place(&heap, hash.as.hash, jitvm_int(16)));
        cr_expect_eq(hash.as.hash->len, 16);
        for (int64_t i = 0; i < 16; i++)
            cr_assert_eq(int_at(&heap, hash, jitvm_int(i)), i);
    }
    heap.limit = UINT64_MAX;
    hash_put(&heap, hash, jitvm_int(16), jitvm_int(16));
    cr_expect_eq(int_at(&heap, hash, jitvm_int(16)), 16);
    value_release(&heap, hash);
    expect_empty(&heap);
}

Test(value_hash, an_array_as_a_key_is_not_found_without_memory)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value hash = of_hash(hash_new(&heap)), key = ints(&heap, 1, 1);
    hash_put(&heap, hash, jitvm_int(1), jitvm_int(5));
    cr_expect_eq(int_at(&heap, hash, key), 5);
    heap.limit = heap.bytes;
    cr_expect_null(hash_find(&heap, hash.as.hash, key));
    cr_expect_null(hash_place(&heap, hash.as.hash, key));
    cr_expect_eq(hash_delete(&heap, hash.as.hash, key).kind, JITVM_UNDEF);
    cr_expect_eq(int_at(&heap, hash, jitvm_int(1)), 5);
    value_release(&heap, key);
    value_release(&heap, hash);
    expect_empty(&heap);
}
