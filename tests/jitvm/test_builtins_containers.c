/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jitvm/builtin_call.h"

/* ---- functions to call back ----------------------------------------------------------------- */

#define HOST(name)                                                                                 \
    static int name(struct jitvm *host, void *context, const struct jitvm_value *args,             \
                    unsigned count, struct jitvm_value *out)

HOST(twice)
{
    (void)host, (void)context, (void)count;
    *out = jitvm_int(2 * args[0].as.i);
    return 0;
}

HOST(as_text)
{
    (void)context, (void)count;
    return jitvm_to_str(host, args[0], out);
}

HOST(is_odd)
{
    (void)host, (void)context, (void)count;
    *out = jitvm_int(args[0].as.i & 1);
    return 0;
}

HOST(by_tens)
{
    (void)host, (void)context, (void)count;
    *out = jitvm_float((double)(args[0].as.i / 10) - (double)(args[1].as.i / 10));
    return 0;
}

HOST(never_sure)
{
    (void)host, (void)context, (void)args, (void)count;
    *out = jitvm_float(__builtin_nan(""));
    return 0;
}

/* Fails at its third call; what it gives before that is on the heap. */
HOST(fails_later)
{
    (void)args, (void)count;
    int *calls = context;
    if (++*calls == 3)
        return jitvm_raise(host, JITVM_ERR_VALUE, "enough");
    return jitvm_str(host, "a long enough text", 18, out);
}

HOST(joined)
{
    (void)context, (void)count;
    struct jitvm_value left;
    int rc = jitvm_to_str(host, args[0], &left);
    if (rc < 0)
        return rc;
    size_t len = 0;
    char text[64];
    const char *bytes = jitvm_str_bytes(left, &len);
    int n = snprintf(text, sizeof text, "(%.*s+%lld)", (int)len, bytes, (long long)args[1].as.i);
    jitvm_release(host, left);
    return jitvm_str(host, text, (size_t)n, out);
}

static int calls;

static void begin(void)
{
    vm_begin();
    calls = 0;
    add_native("twice", twice, NULL, 1);
    add_native("as_text", as_text, NULL, 1);
    add_native("is_odd", is_odd, NULL, 1);
    add_native("by_tens", by_tens, NULL, 2);
    add_native("never_sure", never_sure, NULL, 2);
    add_native("fails_later", fails_later, &calls, 1);
    add_native("fails_later_2", fails_later, &calls, 2);
    add_native("joined", joined, NULL, 2);
}

TestSuite(builtins_containers, .init = begin, .fini = vm_end);

/* ---- sort ----------------------------------------------------------------------------------- */

Test(builtins_containers, sort_orders_numbers_before_text)
{
    GIVES("[]", "sort", EMPTY);
    GIVES("[1]", "sort", A(I(1)));
    GIVES("[-3, 1, 2, 10]", "sort", A(I(10), I(-3), I(2), I(1)));
    GIVES("[0.5, 1.0, 2.5]", "sort", A(F(2.5), F(0.5), F(1)));
    GIVES("[undef, 1, 1.5, \"a\", \"b\"]", "sort", A(S("b"), F(1.5), S("a"), U, I(1)));
}

Test(builtins_containers, sort_is_stable)
{
    GIVES("[1, 0, 12, 11, 25, 21]", "sort", A(I(25), I(12), I(1), I(11), I(21), I(0)),
          native("by_tens"));
}

Test(builtins_containers, sort_keeps_the_order_of_what_cannot_be_compared)
{
    GIVES("[3, 1, 2]", "sort", A(I(3), I(1), I(2)), native("never_sure"));
}

static int compare_int64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Ints that have `bits` bits and a sign; as they are, or among them a text, which comes last. */
static void sort_many(size_t n, unsigned bits, bool with_text)
{
    int64_t wanted[1000];
    struct jitvm_value array = EMPTY, out;
    for (size_t i = 0; i < n; i++) {
        wanted[i] = (int64_t)vm_random(vm) >> (63 - bits);
        cr_assert_eq(jitvm_array_push(vm, &array, I(wanted[i])), 0);
    }
    if (with_text)
        cr_assert_eq(jitvm_array_push(vm, &array, S("text")), 0);
    qsort(wanted, n, sizeof(*wanted), compare_int64);
    cr_assert_eq(call("sort", &array, 1, &out), 0);
    cr_assert_eq(jitvm_length(out), n + with_text);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(jitvm_array_at(out, i).as.i, wanted[i], "%zu of %zu, %u bits", i, n, bits);
    jitvm_release(vm, out);
}

Test(builtins_containers, sort_of_many_agrees_with_the_c_library)
{
    static const size_t sizes[] = {1, 2, 3, 17, 255, 256, 257, 1000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (unsigned bits = 0; bits < 64; bits += 7)
            sort_many(sizes[i], bits, bits & 1);
        sort_many(sizes[i], 63, false);
        sort_many(sizes[i], 0, false);
        sort_many(sizes[i], 10, false);
    }
}

Test(builtins_containers, sort_leaves_its_argument_as_it_was)
{
    struct jitvm_value array = A(S("b"), S("a")), out;
    jitvm_retain(array);
    cr_assert_eq(call("sort", &array, 1, &out), 0);
    jitvm_release(vm, out);
    GIVES("\"b,a\"", "join", array, S(","));
}

Test(builtins_containers, an_error_of_the_function_ends_sort_and_keeps_nothing)
{
    FAILS(JITVM_ERR_VALUE, "sort", A(S("d"), S("c"), S("b"), S("a")), native("fails_later_2"));
    cr_assert_str_eq(vm->error.message, "enough");
    FAILS(JITVM_ERR_TYPE, "sort", I(1));
    FAILS(JITVM_ERR_TYPE, "sort", A(I(1), I(2)), I(3));
    FAILS(JITVM_ERR_ARITY, "sort", A(I(1), I(2)), native("twice"));
}

/* ---- map, grep, reduce ---------------------------------------------------------------------- */

Test(builtins_containers, map_grep_and_reduce_call_for_each_element)
{
    GIVES("[2, 4, 6]", "map", A(I(1), I(2), I(3)), native("twice"));
    GIVES("[\"1\", \"2\"]", "map", A(I(1), I(2)), native("as_text"));
    GIVES("[1, 3]", "grep", A(I(1), I(2), I(3)), native("is_odd"));
    GIVES("\"(((0+1)+2)+3)\"", "reduce", A(I(1), I(2), I(3)), native("joined"), I(0));
    GIVES("\"init\"", "reduce", EMPTY, native("joined"), S("init"));
    GIVES("[]", "map", EMPTY, native("twice"));
}

Test(builtins_containers, a_builtin_is_a_function_too)
{
    GIVES("[\"A\", \"B\"]", "map", A(S("a"), S("b")), native("upper"));
    GIVES("[1, 5]", "map", A(A(I(1)), A(I(2), I(3))), native("sum"));
}

Test(builtins_containers, an_error_of_the_function_ends_the_others_too)
{
    FAILS(JITVM_ERR_VALUE, "map", A(I(1), I(2), I(3), I(4)), native("fails_later"));
    calls = 0;
    FAILS(JITVM_ERR_VALUE, "grep", A(S("a"), S("b"), S("c")), native("fails_later"));
    calls = 0;
    FAILS(JITVM_ERR_VALUE, "reduce", A(I(1), I(2), I(3)), native("fails_later_2"), S("init"));
    FAILS(JITVM_ERR_TYPE, "map", S("abc"), native("twice"));
    FAILS(JITVM_ERR_TYPE, "grep", A(I(1)), S("is_odd"));
}

/* ---- the others ----------------------------------------------------------------------------- */

Test(builtins_containers, sum_is_of_ints_until_a_float_comes)
{
    GIVES("6", "sum", A(I(1), I(2), I(3)));
    GIVES("6.5", "sum", A(I(1), I(2), F(3.5)));
    GIVES("3", "sum", A(S("1"), I(2), U));
    GIVES("0", "sum", EMPTY);
    GIVES("-9223372036854775808", "sum", A(I(INT64_MAX), I(1)));
    FAILS(JITVM_ERR_TYPE, "sum", I(1));
}

Test(builtins_containers, sum_traps_where_the_ops_do)
{
    vm->overflow_traps = true;
    FAILS(JITVM_ERR_OVERFLOW, "sum", A(I(INT64_MAX), I(1)));
}

Test(builtins_containers, min_and_max_take_an_array_or_values)
{
    GIVES("1", "min", A(I(3), I(1), I(2)));
    GIVES("3", "max", A(I(3), I(1), I(2)));
    GIVES("1", "min", I(2), F(1.5), I(1));
    GIVES("\"b\"", "max", S("a"), S("b"), I(7));
    GIVES("5", "min", I(5));
    GIVES("undef", "max", EMPTY);
}

Test(builtins_containers, parts_of_arrays)
{
    GIVES("[3, 2, 1]", "reverse", A(I(1), I(2), I(3)));
    GIVES("[2, 3]", "slice", A(I(1), I(2), I(3)), I(1));
    GIVES("[2]", "slice", A(I(1), I(2), I(3)), I(-2), I(1));
    GIVES("[]", "slice", A(I(1)), I(7), I(7));
    GIVES("[\"a\", 1, 2.5]", "concat", A(S("a")), A(I(1)), A(F(2.5)));
    GIVES("[]", "concat", EMPTY, EMPTY);
    FAILS(JITVM_ERR_TYPE, "concat", A(I(1)), I(2));
}

Test(builtins_containers, insert_and_remove_give_new_arrays)
{
    GIVES("[0, 1, 2]", "insert", A(I(1), I(2)), I(0), I(0));
    GIVES("[1, 2, \"x\"]", "insert", A(I(1), I(2)), I(2), S("x"));
    GIVES("[1, 9, 2]", "insert", A(I(1), I(2)), I(-1), I(9));
    FAILS(JITVM_ERR_VALUE, "insert", A(I(1)), I(2), S("x"));
    FAILS(JITVM_ERR_VALUE, "insert", A(I(1)), I(-2), S("x"));
    GIVES("[1, 3]", "remove", A(I(1), I(2), I(3)), I(1));
    GIVES("[\"a\"]", "remove", A(S("a"), S("b")), I(-1));
    FAILS(JITVM_ERR_VALUE, "remove", EMPTY, I(0));
    FAILS(JITVM_ERR_VALUE, "remove", A(I(1)), I(INT64_MIN));
}

Test(builtins_containers, fill_checks_the_size_before_it_begins)
{
    GIVES("[7, 7, 7]", "fill", I(3), I(7));
    GIVES("[\"a\", \"a\"]", "fill", I(2), S("a"));
    GIVES("[]", "fill", I(0), I(7));
    FAILS(JITVM_ERR_VALUE, "fill", I(-1), I(7));
    FAILS(JITVM_ERR_HEAP, "fill", I(INT64_C(1) << 60), I(7));
    FAILS(JITVM_ERR_HEAP, "fill", I(1 << 20), S("x"));
}

Test(builtins_containers, range_includes_both_ends_and_checks_the_size)
{
    GIVES("[1, 2, 3]", "range", I(1), I(3));
    GIVES("[]", "range", I(3), I(1));
    GIVES("[3, 2, 1]", "range", I(3), I(1), I(-1));
    GIVES("[0, 5, 10]", "range", I(0), I(14), I(5));
    GIVES("[]", "range", I(0), I(9), I(0));
    GIVES("[9223372036854775806, 9223372036854775807]", "range", I(INT64_MAX - 1), I(INT64_MAX));
    GIVES("[-9223372036854775808]", "range", I(INT64_MIN), I(INT64_MIN), I(INT64_MIN));
    FAILS(JITVM_ERR_HEAP, "range", I(INT64_MIN), I(INT64_MAX));
    FAILS(JITVM_ERR_HEAP, "range", I(INT64_MAX), I(INT64_MIN), I(-1));
    FAILS(JITVM_ERR_HEAP, "range", I(0), I(1 << 20));
}

Test(builtins_containers, keys_values_and_exists_look_into_both_containers)
{
    struct jitvm_value hash;
    cr_assert_eq(jitvm_hash(vm, &hash), 0);
    cr_assert_eq(jitvm_hash_set(vm, &hash, I(1), S("one")), 0);
    struct jitvm_value key = S("b");
    cr_assert_eq(jitvm_hash_set(vm, &hash, key, I(2)), 0);
    jitvm_release(vm, key);
    for (int i = 0; i < 4; i++)
        jitvm_retain(hash);
    GIVES("[\"1\", \"b\"]", "keys", hash);
    GIVES("[\"one\", 2]", "values", hash);
    GIVES("true", "exists", hash, S("1"));
    GIVES("false", "exists", hash, S("c"));
    jitvm_release(vm, hash);
    GIVES("[0, 1]", "keys", A(S("a"), S("b")));
    GIVES("true", "exists", A(I(1), I(2)), I(1));
    GIVES("false", "exists", A(I(1), I(2)), I(2));
    GIVES("[]", "keys", U);
    FAILS(JITVM_ERR_TYPE, "keys", I(1));
    GIVES("true", "exists", S("abc"), I(2));
    GIVES("false", "exists", S("abc"), I(3));
    FAILS(JITVM_ERR_TYPE, "exists", I(1), I(1));
}
