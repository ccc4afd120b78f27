/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jitvm/value_rig.h"

#include <math.h>

TestSuite(value_coerce);

struct row {
    const char *name;
    struct jitvm_value v; /* released by run_row */
    bool truthy;
    int64_t to_int;
    double to_float;
    struct jitvm_value number;
    const char *text;
};

static void run_row(struct heap *heap, struct row row)
{
    cr_expect_eq(value_truthy(row.v), row.truthy, "truth of %s", row.name);
    cr_expect_eq(jitvm_truthy(row.v), row.truthy);
    cr_expect_eq(value_to_int(row.v), row.to_int, "int of %s", row.name);
    cr_expect_eq(jitvm_to_int(row.v), row.to_int);
    cr_expect(value_same(jitvm_float(value_to_float(row.v)), jitvm_float(row.to_float)),
              "float of %s", row.name);
    cr_expect(value_same(jitvm_float(jitvm_to_float(row.v)), jitvm_float(row.to_float)));
    cr_expect(value_same(value_to_number(row.v), row.number), "number of %s", row.name);
    struct jitvm_str *str = value_to_str(heap, row.v);
    cr_assert_not_null(str);
    cr_expect(str->len == strlen(row.text) && !memcmp(str->bytes, row.text, str->len), "text of %s",
              row.name);
    value_release(heap, of_str(str));
    value_release(heap, row.v);
}

Test(value_coerce, of_plain_kinds)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value zero = jitvm_int(0), one = jitvm_int(1);
    const struct row rows[] = {
        {"undef", jitvm_undef(), false, 0, 0, zero, ""},
        {"false", jitvm_bool(false), false, 0, 0, zero, ""},
        {"true", jitvm_bool(true), true, 1, 1, one, "1"},
        {"0", zero, false, 0, 0, zero, "0"},
        {"-7", jitvm_int(-7), true, -7, -7, jitvm_int(-7), "-7"},
        {"2^53+1", jitvm_int(9007199254740993), true, 9007199254740993, 0x1p53,
         jitvm_int(9007199254740993), "9007199254740993"},
        {"0.0", jitvm_float(0), false, 0, 0, jitvm_float(0), "0.0"},
        {"-0.0", jitvm_float(-0.0), false, 0, -0.0, jitvm_float(-0.0), "-0.0"},
        {"-2.75", jitvm_float(-2.75), true, -2, -2.75, jitvm_float(-2.75), "-2.75"},
        {"1e300", jitvm_float(1e300), true, INT64_MAX, 1e300, jitvm_float(1e300), "1e+300"},
        {"nan", NAN_VALUE, true, 0, (double)NAN, NAN_VALUE, "nan"},
        {"inf", jitvm_float(HUGE_VAL), true, INT64_MAX, HUGE_VAL, jitvm_float(HUGE_VAL), "inf"},
        {"func", {.kind = JITVM_FUNC, .as.i = 3}, true, 0, 0, zero, "(function)"},
        {"native", {.kind = JITVM_NATIVE, .as.i = 3}, true, 0, 0, zero, "(function)"},
        {"handle", jitvm_handle(NULL), true, 0, 0, zero, "(handle)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        run_row(&heap, rows[i]);
    expect_empty(&heap);
}

Test(value_coerce, of_strings)
{
    static const struct {
        const char *text;
        bool truthy;
        int64_t to_int;
        double to_float;
        bool is_float;
    } rows[] = {
        {"", false, 0, 0, false},
        {"0", false, 0, 0, false},
        {"00", true, 0, 0, false},
        {"0.0", true, 0, 0, true},
        {" ", true, 0, 0, false},
        {"12", true, 12, 12, false},
        {" -12 ", true, -12, -12, false},
        {"12abc", true, 0, 0, false},
        {"3.7", true, 3, 3.7, true},
        {"1e3", true, 1000, 1000, true},
        {"9223372036854775808", true, INT64_MAX, 0x1p63, true},
        {"-9223372036854775808", true, INT64_MIN, -0x1p63, false},
        {"inf", true, INT64_MAX, HUGE_VAL, true},
        {"text", true, 0, 0, false},
    };
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct jitvm_value number =
            rows[i].is_float ? jitvm_float(rows[i].to_float) : jitvm_int(rows[i].to_int);
        run_row(&heap, (struct row){rows[i].text, text(&heap, rows[i].text), rows[i].truthy,
                                    rows[i].to_int, rows[i].to_float, number, rows[i].text});
    }
    expect_empty(&heap);
}

Test(value_coerce, of_containers)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value hash = of_hash(hash_new(&heap));
    hash_put(&heap, hash, jitvm_int(1), jitvm_int(2));
    struct jitvm_value mixed =
        array_with(&heap, 5, jitvm_float(1.5), jitvm_undef(), text(&heap, "x y"),
                   array_with(&heap, 3, ints(&heap, 1, 2), array_with(&heap, 0), jitvm_bool(true)),
                   of_hash(hash_new(&heap)));
    const struct row rows[] = {
        {"[]", array_with(&heap, 0), false, 0, 0, jitvm_int(0), ""},
        {"[0]", ints(&heap, 0, 0), true, 1, 0, jitvm_int(1), "0"},
        {"[1, 2, 3]", ints(&heap, 1, 3), true, 3, 0, jitvm_int(3), "1 2 3"},
        {"mixed", mixed, true, 5, 0, jitvm_int(5), "1.5  x y 1 2  1 (hash)"},
        {"{}", of_hash(hash_new(&heap)), false, 0, 0, jitvm_int(0), "(hash)"},
        {"{1: 2}", hash, true, 1, 0, jitvm_int(1), "(hash)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        run_row(&heap, rows[i]);
    expect_empty(&heap);
}

Test(value_coerce, the_text_of_a_string_is_the_string)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value v = text(&heap, "same");
    cr_expect_eq(value_to_str(&heap, v), v.as.str);
    cr_expect_eq(v.as.object->refs, 2);
    value_release(&heap, v);
    value_release(&heap, v);
    expect_empty(&heap);
}

Test(value_coerce, an_array_as_deep_as_can_be_has_a_text)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value top = ints(&heap, 1, 2);
    for (int i = 0; i < 300000; i++)
        top = array_with(&heap, 1, top);
    struct jitvm_value v = of_str(value_to_str(&heap, top));
    expect_last(&heap, v, "\"1 2\"");
    value_release(&heap, top);
    expect_empty(&heap);
}

static bool text_of_nested(struct heap *heap)
{
    struct heap other;
    heap_init(&other, UINT64_MAX);
    struct jitvm_value top = ints(&other, 1, 30);
    for (int i = 0; i < 20; i++)
        top = array_with(&other, 2, text(&other, "level"), top);
    struct jitvm_str *str = value_to_str(heap, top);
    value_release(&other, top);
    expect_empty(&other);
    if (str)
        value_release(heap, of_str(str));
    return str;
}

Test(value_coerce, text_at_a_full_heap_leaves_nothing_behind)
{
    struct heap heap;
    for (uint64_t limit = 0; limit < 1500; limit += 8) {
        heap_init(&heap, limit);
        bool made = text_of_nested(&heap);
        cr_expect(limit > 300 || !made);
        expect_empty(&heap);
    }
    heap_init(&heap, UINT64_MAX);
    cr_expect(text_of_nested(&heap));
    expect_empty(&heap);
}

Test(value_coerce, every_kind_has_a_name)
{
    static const char *const names[] = {"undef",  "bool",   "int", "float", "function",
                                        "native", "handle", "str", "array", "hash"};
    for (uint32_t kind = 0; kind < JITVM_KINDS; kind++)
        cr_expect_str_eq(value_kind_name(kind), names[kind]);
    cr_expect_str_eq(value_kind_name(JITVM_KINDS), "?");
    cr_expect_str_eq(value_kind_name(UINT32_MAX), "?");
}

Test(value_coerce, from_outside_a_value_can_be_read)
{
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    struct jitvm_value str = text(&heap, "abc"), array = array_with(&heap, 2, jitvm_int(1), str);
    struct jitvm_value hash = of_hash(hash_new(&heap));
    hash_put(&heap, hash, text(&heap, "1 abc"), jitvm_int(5));

    size_t len;
    cr_expect_arr_eq(jitvm_str_bytes(str, &len), "abc", 3);
    cr_expect_eq(len, 3);
    cr_expect_null(jitvm_str_bytes(array, &len));
    cr_expect_eq(len, 0);
    cr_expect_eq(jitvm_length(str), 3);
    cr_expect_eq(jitvm_length(array), 2);
    cr_expect_eq(jitvm_length(hash), 1);
    cr_expect_eq(jitvm_length(jitvm_int(5)), 0);
    expect_last(&heap, jitvm_array_at(array, 1), "\"abc\"");
    cr_expect_eq(jitvm_array_at(array, 2).kind, JITVM_UNDEF);
    cr_expect_eq(jitvm_array_at(str, 0).kind, JITVM_UNDEF);
    cr_expect_eq(jitvm_hash_get(hash, array).as.i, 5, "an array's text is a key");
    cr_expect_eq(jitvm_hash_get(hash, str).kind, JITVM_UNDEF);
    cr_expect_eq(jitvm_hash_get(array, jitvm_int(0)).kind, JITVM_UNDEF);
    jitvm_retain(array);
    cr_expect_eq(array.as.object->refs, 2);
    value_release(&heap, array);
    value_release(&heap, array);
    value_release(&heap, hash);
    expect_empty(&heap);
}
