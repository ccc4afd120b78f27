/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jitvm/value_rig.h"

TestSuite(value_path);

#define KEYS_MAX 4

/* The path as a list of values; strings among them are released by path_end. */
struct path {
    struct jitvm_value keys[KEYS_MAX];
    unsigned count;
};

/* "i.j.name": ints where they look like ints. */
static struct path path_of(struct heap *heap, const char *dotted)
{
    struct path path = {.count = 0};
    while (*dotted) {
        size_t len = strcspn(dotted, ".");
        int64_t i;
        cr_assert_lt(path.count, KEYS_MAX);
        path.keys[path.count++] =
            number_parse_int(dotted, len, &i) ? jitvm_int(i) : of_str(str_new(heap, dotted, len));
        dotted += len + (dotted[len] == '.');
    }
    return path;
}

static void path_end(struct heap *heap, struct path *path)
{
    for (unsigned i = 0; i < path->count; i++)
        value_release(heap, path->keys[i]);
}

static int set_at(struct heap *heap, struct jitvm_value *root, const char *dotted,
                  struct jitvm_value value)
{
    struct path path = path_of(heap, dotted);
    int rc = path_set(heap, root, path.keys, path.count, value);
    path_end(heap, &path);
    return rc;
}

static void expect_at(struct heap *heap, struct jitvm_value root, const char *dotted,
                      const char *expected)
{
    struct path path = path_of(heap, dotted);
    struct jitvm_value got;
    cr_assert_eq(path_get(heap, root, path.keys, path.count, &got), 0, "%s", dotted);
    expect_last(heap, got, expected);
    path_end(heap, &path);
}

static int status_at(struct heap *heap, struct jitvm_value root, const char *dotted)
{
    struct path path = path_of(heap, dotted);
    struct jitvm_value got = jitvm_undef();
    int rc = path_get(heap, root, path.keys, path.count, &got);
    value_release(heap, got);
    path_end(heap, &path);
    return rc;
}

typedef int (*taking)(struct heap *heap, struct jitvm_value *root, const struct jitvm_value *keys,
                      unsigned count, struct jitvm_value *out);

static void expect_taken(struct heap *heap, taking take, struct jitvm_value *root,
                         const char *dotted, const char *expected)
{
    struct path path = path_of(heap, dotted);
    struct jitvm_value got;
    cr_assert_eq(take(heap, root, path.keys, path.count, &got), 0, "%s", dotted);
    expect_last(heap, got, expected);
    path_end(heap, &path);
}

static void expect_refused(struct heap *heap, taking take, struct jitvm_value *root,
                           const char *dotted)
{
    struct path path = path_of(heap, dotted);
    struct jitvm_value got;
    cr_expect_eq(take(heap, root, path.keys, path.count, &got), JITVM_ERR_TYPE, "%s", dotted);
    cr_expect_eq(got.kind, JITVM_UNDEF);
    path_end(heap, &path);
}

static int push_at(struct heap *heap, struct jitvm_value *root, const char *dotted,
                   struct jitvm_value value)
{
    struct path path = path_of(heap, dotted);
    int rc = path_push(heap, root, path.keys, path.count, value);
    path_end(heap, &path);
    return rc;
}

/* 1, 0, or a negative status. */
static int exists_at(struct heap *heap, struct jitvm_value root, const char *dotted)
{
    struct path path = path_of(heap, dotted);
    bool there;
    int rc = path_exists(heap, root, path.keys, path.count, &there);
    path_end(heap, &path);
    return rc < 0 ? rc : there;
}

/* {"list": [10, 20, [30]], "map": {"k": "text"}, "n": 5} */
static struct jitvm_value sample(struct heap *heap)
{
    struct jitvm_value root = jitvm_undef();
    cr_assert_eq(set_at(heap, &root, "list.0", jitvm_int(10)), 0);
    cr_assert_eq(set_at(heap, &root, "list.1", jitvm_int(20)), 0);
    cr_assert_eq(set_at(heap, &root, "list.2.0", jitvm_int(30)), 0);
    cr_assert_eq(set_at(heap, &root, "map.k", text(heap, "text")), 0);
    cr_assert_eq(set_at(heap, &root, "n", jitvm_int(5)), 0);
    return root;
}

#define SAMPLE "{\"list\": [10, 20, [30]], \"map\": {\"k\": \"text\"}, \"n\": 5}"

Test(value_path, writing_makes_what_is_missing)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    expect_last(&heap, sample(&heap), SAMPLE);
    struct jitvm_value root = jitvm_undef();
    cr_expect_eq(set_at(&heap, &root, "1.-1.2", jitvm_int(7)), 0);
    expect_last(&heap, root, "[undef, {-1: [undef, undef, 7]}]");
    expect_empty(&heap);
}

Test(value_path, reading_outside_gives_undef)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value root = sample(&heap);
    expect_at(&heap, root, "", SAMPLE);
    expect_at(&heap, root, "list.1", "20");
    expect_at(&heap, root, "list.2.0", "30");
    expect_at(&heap, root, "list.3", "undef");
    expect_at(&heap, root, "list.3.4.x", "undef");
    expect_at(&heap, root, "list.-4", "undef");
    expect_at(&heap, root, "map.k", "\"text\"");
    expect_at(&heap, root, "map.none.more", "undef");
    expect_at(&heap, jitvm_undef(), "1.x", "undef");
    value_release(&heap, root);
    expect_empty(&heap);
}

Test(value_path, a_negative_index_counts_from_the_end)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value root = ints(&heap, 1, 3);
    expect_at(&heap, root, "-1", "3");
    expect_at(&heap, root, "-3", "1");
    cr_expect_eq(set_at(&heap, &root, "-2", jitvm_int(20)), 0);
    cr_expect_eq(set_at(&heap, &root, "-4", text(&heap, "x")), JITVM_ERR_VALUE);
    cr_expect_eq(set_at(&heap, &root, "-4.0", text(&heap, "x")), JITVM_ERR_VALUE);
    expect_last(&heap, root, "[1, 20, 3]");
    expect_empty(&heap);
}

Test(value_path, an_index_is_the_int_of_its_key)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value root = ints(&heap, 10, 12), got;
    cr_assert_eq(path_index(&heap, root, jitvm_float(1.9), &got), 0);
    cr_expect_eq(got.as.i, 11);
    struct jitvm_value two = text(&heap, "2");
    cr_assert_eq(path_index(&heap, root, two, &got), 0);
    cr_expect_eq(got.as.i, 12);
    value_release(&heap, two);
    cr_assert_eq(path_index(&heap, root, jitvm_int(INT64_MIN), &got), 0);
    cr_expect_eq(got.kind, JITVM_UNDEF);
    cr_assert_eq(path_index(&heap, root, jitvm_int(INT64_MAX), &got), 0);
    cr_expect_eq(got.kind, JITVM_UNDEF);
    value_release(&heap, root);
    expect_empty(&heap);
}

Test(value_path, a_string_gives_its_bytes)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value root = text(&heap, "abc");
    expect_at(&heap, root, "0", "\"a\"");
    expect_at(&heap, root, "-1", "\"c\"");
    expect_at(&heap, root, "3", "undef");
    expect_at(&heap, root, "-4", "undef");
    expect_at(&heap, root, "1.0.-1", "\"b\"");
    expect_at(&heap, root, "1.1", "undef");
    cr_expect_eq(set_at(&heap, &root, "0", jitvm_int(1)), JITVM_ERR_TYPE);
    cr_expect_eq(exists_at(&heap, root, "2"), 1);
    cr_expect_eq(exists_at(&heap, root, "3"), 0);
    heap.limit = heap.bytes;
    cr_expect_eq(status_at(&heap, root, "0"), JITVM_ERR_HEAP);
    value_release(&heap, root);
    expect_empty(&heap);
}

Test(value_path, a_level_that_is_no_container_is_refused)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value root = sample(&heap);
    cr_expect_eq(status_at(&heap, root, "n.0"), JITVM_ERR_TYPE);
    cr_expect_eq(status_at(&heap, root, "list.0.0"), JITVM_ERR_TYPE);
    cr_expect_eq(set_at(&heap, &root, "n.0", text(&heap, "x")), JITVM_ERR_TYPE);
    cr_expect_eq(set_at(&heap, &root, "list.0.0", text(&heap, "x")), JITVM_ERR_TYPE);
    cr_expect_eq(set_at(&heap, &root, "map.k.0", text(&heap, "x")), JITVM_ERR_TYPE);
    cr_expect_eq(push_at(&heap, &root, "map", text(&heap, "x")), JITVM_ERR_TYPE);
    cr_expect_eq(push_at(&heap, &root, "n", text(&heap, "x")), JITVM_ERR_TYPE);
    cr_expect_eq(exists_at(&heap, root, "n.0"), JITVM_ERR_TYPE);
    static const taking all[] = {path_pop, path_shift, path_delete};
    for (int i = 0; i < 3; i++) {
        expect_refused(&heap, all[i], &root, "n.0");
        expect_refused(&heap, all[i], &root, "list.0.0");
        expect_refused(&heap, all[i], &root, "map.k.0");
    }
    expect_refused(&heap, path_pop, &root, "map");
    expect_refused(&heap, path_shift, &root, "map.k");
    expect_last(&heap, root, SAMPLE);
    expect_empty(&heap);
}

Test(value_path, an_index_beyond_the_most_is_refused)
{
    struct heap heap;
    heap_init(&heap, 100000);
    struct jitvm_value root = ints(&heap, 1, 2);
    cr_expect_eq(set_at(&heap, &root, "4294967296", text(&heap, "x")), JITVM_ERR_VALUE);
    cr_expect_eq(set_at(&heap, &root, "9223372036854775807", text(&heap, "x")), JITVM_ERR_VALUE);
    cr_expect_eq(set_at(&heap, &root, "4294967295", text(&heap, "x")), JITVM_ERR_HEAP);
    expect_last(&heap, root, "[1, 2]");
    expect_empty(&heap);
}

Test(value_path, only_shared_levels_are_copied)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value root = sample(&heap), before = root;
    const struct jitvm_hash *unshared = root.as.hash;
    cr_assert_eq(set_at(&heap, &root, "list.2.1", jitvm_int(31)), 0);
    cr_expect_eq(root.as.hash, unshared);

    value_retain(before);
    cr_assert_eq(set_at(&heap, &root, "list.2.0", text(&heap, "new")), 0);
    cr_expect_neq(root.as.hash, before.as.hash);
    expect_at(&heap, root, "list", "[10, 20, [\"new\", 31]]");
    expect_at(&heap, before, "list", "[10, 20, [30, 31]]");
    struct jitvm_value key = text(&heap, "map");
    cr_expect_eq(hash_find(&heap, root.as.hash, key)->as.hash,
                 hash_find(&heap, before.as.hash, key)->as.hash, "beside the path nothing is");
    value_release(&heap, key);
    value_release(&heap, root);
    value_release(&heap, before);
    expect_empty(&heap);
}

Test(value_path, a_container_stored_in_itself_is_a_copy)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value root = ints(&heap, 1, 2);
    for (int i = 0; i < 2; i++) {
        value_retain(root);
        cr_assert_eq(set_at(&heap, &root, "0", root), 0);
    }
    expect_last(&heap, root, "[[[1, 2], 2], 2]");
    expect_empty(&heap);
}

Test(value_path, push_pop_and_shift_work_at_any_depth)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value root = jitvm_undef();
    for (int64_t i = 1; i <= 4; i++)
        cr_expect_eq(push_at(&heap, &root, "", jitvm_int(i)), 0);
    expect_taken(&heap, path_pop, &root, "", "4");
    expect_taken(&heap, path_shift, &root, "", "1");
    expect_printed(root, "[2, 3]");
    cr_expect_eq(push_at(&heap, &root, "3.q", text(&heap, "x")), 0);
    cr_expect_eq(push_at(&heap, &root, "3.q", text(&heap, "y")), 0);
    expect_printed(root, "[2, 3, undef, {\"q\": [\"x\", \"y\"]}]");
    expect_taken(&heap, path_shift, &root, "3.q", "\"x\"");
    expect_taken(&heap, path_pop, &root, "-1.q", "\"y\"");
    expect_taken(&heap, path_pop, &root, "3.q", "undef");
    expect_last(&heap, root, "[2, 3, undef, {\"q\": []}]");
    expect_empty(&heap);
}

Test(value_path, taking_out_leaves_another_reference_as_it_was)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value root = sample(&heap), before = root;
    value_retain(before);
    expect_taken(&heap, path_pop, &root, "list.2", "30");
    expect_taken(&heap, path_shift, &root, "list", "10");
    expect_taken(&heap, path_delete, &root, "map.k", "\"text\"");
    expect_taken(&heap, path_delete, &root, "list.0", "20");
    expect_last(&heap, before, SAMPLE);
    expect_last(&heap, root, "{\"list\": [[]], \"map\": {}, \"n\": 5}");
    expect_empty(&heap);
}

Test(value_path, taking_out_finds_nothing_where_nothing_is)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value root = sample(&heap), undef = jitvm_undef();
    static const taking all[] = {path_pop, path_shift, path_delete};
    for (int i = 0; i < 3; i++) {
        expect_taken(&heap, all[i], &root, "none.more", "undef");
        expect_taken(&heap, all[i], &root, "list.9", "undef");
        expect_taken(&heap, all[i], &root, "list.-9", "undef");
        expect_taken(&heap, all[i], &undef, "0", "undef");
    }
    expect_taken(&heap, path_pop, &undef, "", "undef");
    cr_expect_eq(undef.kind, JITVM_UNDEF);
    expect_last(&heap, root, SAMPLE);
    expect_empty(&heap);
}

Test(value_path, an_undef_entry_exists)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value root = sample(&heap);
    cr_assert_eq(set_at(&heap, &root, "u", jitvm_undef()), 0);
    cr_assert_eq(set_at(&heap, &root, "list.5", jitvm_int(1)), 0);
    cr_expect_eq(exists_at(&heap, root, "u"), 1);
    cr_expect_eq(exists_at(&heap, root, "u.x"), 0);
    cr_expect_eq(exists_at(&heap, root, "list.4"), 1);
    cr_expect_eq(exists_at(&heap, root, "list.-6"), 1);
    cr_expect_eq(exists_at(&heap, root, "list.-7"), 0);
    cr_expect_eq(exists_at(&heap, root, "list.6"), 0);
    cr_expect_eq(exists_at(&heap, root, "none"), 0);
    cr_expect_eq(exists_at(&heap, jitvm_undef(), "x"), 0);
    value_release(&heap, root);
    expect_empty(&heap);
}

static void expect_listed(struct heap *heap, struct jitvm_value root, const char *dotted,
                          const char *keys, const char *values)
{
    struct path path = path_of(heap, dotted);
    struct jitvm_value got;
    cr_assert_eq(path_keys(heap, root, path.keys, path.count, &got), 0);
    expect_last(heap, got, keys);
    cr_assert_eq(path_values(heap, root, path.keys, path.count, &got), 0);
    expect_last(heap, got, values);
    path_end(heap, &path);
}

Test(value_path, the_values_of_an_array_are_the_array_until_one_of_the_two_is_changed)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value root = jitvm_undef(), got;
    cr_assert_eq(path_push(&heap, &root, NULL, 0, jitvm_int(1)), 0);
    cr_assert_eq(path_values(&heap, root, NULL, 0, &got), 0);
    cr_expect_eq(got.as.array, root.as.array);
    cr_assert_eq(path_push(&heap, &root, NULL, 0, jitvm_int(2)), 0);
    cr_expect_eq(jitvm_length(got), 1);
    cr_expect_eq(jitvm_length(root), 2);
    value_release(&heap, got);
    value_release(&heap, root);
    cr_expect_eq(heap.bytes, 0);
    heap_fini(&heap);
}

Test(value_path, keys_and_values_of_every_container)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value root = sample(&heap), got;
    expect_listed(&heap, root, "", "[\"list\", \"map\", \"n\"]",
                  "[[10, 20, [30]], {\"k\": \"text\"}, 5]");
    expect_listed(&heap, root, "list", "[0, 1, 2]", "[10, 20, [30]]");
    expect_listed(&heap, root, "none", "[]", "[]");
    expect_listed(&heap, jitvm_undef(), "", "[]", "[]");
    cr_expect_eq(path_keys(&heap, jitvm_int(1), NULL, 0, &got), JITVM_ERR_TYPE);
    cr_expect_eq(path_values(&heap, jitvm_int(1), NULL, 0, &got), JITVM_ERR_TYPE);
    value_release(&heap, root);
    expect_empty(&heap);
}

static bool everything(struct heap *heap)
{
    /* Keys and what is stored come from elsewhere, so that each refusal is one of a path's own. */
    struct heap keys;
    heap_init(&keys, UINT64_MAX);
    struct jitvm_value root = jitvm_undef(), before, got = jitvm_undef();
    bool ok = set_at(heap, &root, "2.3", jitvm_int(1)) == 0 &&
              set_at(heap, &root, "0.-1.1", jitvm_float(1)) == 0 &&
              push_at(heap, &root, "2.0", jitvm_int(2)) == 0;
    value_retain(before = root);
    struct path path = path_of(&keys, "2.0");
    ok = ok && set_at(heap, &root, "2.0.5", jitvm_int(3)) == 0;
    ok = ok && path_pop(heap, &root, path.keys, 2, &got) == 0;
    ok = ok && path_delete(heap, &root, path.keys, 2, &got) == 0;
    value_release(heap, got);
    got = jitvm_undef();
    ok = ok && path_keys(heap, root, NULL, 0, &got) == 0;
    value_release(heap, got);
    got = jitvm_undef();
    ok = ok && path_values(heap, root, path.keys, 1, &got) == 0;
    value_release(heap, got);
    value_release(heap, before);
    value_release(heap, root);
    path_end(&keys, &path);
    expect_empty(&keys);
    return ok;
}

Test(value_path, at_a_full_heap_nothing_is_lost_or_kept)
{
    with_every_limit(everything);
}
