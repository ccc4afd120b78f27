/* SPDX-License-Identifier: Apache-2.0 */
/* Values compared: as numbers, as text, for sorting, and all the way down. See value.h. */
#include "guest/jitvm/value/array.h"
#include "guest/jitvm/value/hash.h"
#include "guest/jitvm/value/value.h"

#include <stdlib.h>
#include <string.h>

/* ---- numbers -------------------------------------------------------------------------------- */

static enum value_order order_of(int less, int greater)
{
    return less ? VALUE_LESS : greater ? VALUE_GREATER : VALUE_EQUAL;
}

static enum value_order compare_floats(double a, double b)
{
    if (a != a || b != b)
        return VALUE_UNORDERED;
    return order_of(a<b, a> b);
}

static enum value_order compare_int_with_float(int64_t i, double f)
{
    if (f != f)
        return VALUE_UNORDERED;
    if (f >= 0x1p63)
        return VALUE_LESS;
    if (f < -0x1p63)
        return VALUE_GREATER;
    int64_t whole = (int64_t)f;
    if (i != whole)
        return order_of(i<whole, i> whole);
    /* Below 2^53 where there is a fraction, so this is exact too. */
    double fraction = f - (double)whole;
    return order_of(fraction > 0, fraction < 0);
}

enum value_order value_compare_numbers(struct jitvm_value a, struct jitvm_value b)
{
    a = value_to_number(a);
    b = value_to_number(b);
    if (a.kind == JITVM_INT && b.kind == JITVM_INT)
        return order_of(a.as.i<b.as.i, a.as.i> b.as.i);
    if (a.kind == JITVM_FLOAT && b.kind == JITVM_FLOAT)
        return compare_floats(a.as.f, b.as.f);
    if (a.kind == JITVM_INT)
        return compare_int_with_float(a.as.i, b.as.f);
    enum value_order order = compare_int_with_float(b.as.i, a.as.f);
    return order == VALUE_UNORDERED ? order : (enum value_order) - (int)order;
}

/* ---- text ----------------------------------------------------------------------------------- */

static int compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    if (!order)
        return (a_len > b_len) - (a_len < b_len);
    return order < 0 ? -1 : 1;
}

/* An array is replaced by its text, which is the caller's then. */
static bool text_of_array(struct heap *heap, struct jitvm_value *v)
{
    struct jitvm_str *str = value_to_str(heap, *v);
    if (str)
        *v = (struct jitvm_value){.kind = JITVM_STR, .as.str = str};
    return str;
}

bool value_compare_text(struct heap *heap, struct jitvm_value a, struct jitvm_value b, int *order)
{
    char a_room[NUMBER_TEXT_MAX], b_room[NUMBER_TEXT_MAX];
    bool a_made = a.kind == JITVM_ARRAY, b_made = b.kind == JITVM_ARRAY;
    if (a_made && !text_of_array(heap, &a))
        return false;
    bool ok = !b_made || text_of_array(heap, &b);
    if (ok) {
        size_t a_len, b_len;
        const char *a_text = value_text(&a, a_room, &a_len);
        const char *b_text = value_text(&b, b_room, &b_len);
        *order = compare_bytes(a_text, a_len, b_text, b_len);
    }
    if (a_made)
        value_release(heap, a);
    if (b_made && ok)
        value_release(heap, b);
    return ok;
}

/* ---- any ------------------------------------------------------------------------------------ */

static int sort_rank(struct jitvm_value v)
{
    static const int ranks[JITVM_KINDS] = {
        [JITVM_UNDEF] = 0, [JITVM_BOOL] = 1, [JITVM_INT] = 1,    [JITVM_FLOAT] = 1,
        [JITVM_STR] = 3,   [JITVM_FUNC] = 4, [JITVM_NATIVE] = 5, [JITVM_HANDLE] = 6,
        [JITVM_ARRAY] = 7, [JITVM_HASH] = 8,
    };
    return v.kind == JITVM_FLOAT && v.as.f != v.as.f ? 2 : ranks[v.kind];
}

int value_compare_any(struct jitvm_value a, struct jitvm_value b)
{
    int a_rank = sort_rank(a), b_rank = sort_rank(b);
    if (a_rank != b_rank)
        return a_rank < b_rank ? -1 : 1;
    switch (a.kind) {
    case JITVM_STR:
        return str_compare(a.as.str, b.as.str);
    case JITVM_FUNC:
    case JITVM_NATIVE:
        return (a.as.i > b.as.i) - (a.as.i < b.as.i);
    case JITVM_UNDEF:
    case JITVM_HANDLE:
        return 0;
    default:
        break;
    }
    enum value_order order = value_compare_numbers(a, b);
    return order == VALUE_UNORDERED ? 0 : (int)order;
}

/* ---- all the way down ----------------------------------------------------------------------- */

/* Containers still to be compared, from malloc: there may be more levels than stack. */
struct pairs {
    struct jitvm_value (*pair)[2];
    size_t count, room;
};

static bool pairs_add(struct pairs *pairs, struct jitvm_value a, struct jitvm_value b)
{
    if (pairs->count == pairs->room) {
        size_t room = pairs->room ? 2 * pairs->room : 16;
        void *grown = realloc(pairs->pair, room * sizeof *pairs->pair);
        if (!grown)
            return false;
        pairs->pair = grown;
        pairs->room = room;
    }
    pairs->pair[pairs->count][0] = a;
    pairs->pair[pairs->count++][1] = b;
    return true;
}

/* What does not fit here is left for later. */
static bool same_shallow(struct pairs *pairs, struct jitvm_value a, struct jitvm_value b)
{
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case JITVM_UNDEF:
        return true;
    case JITVM_STR:
        return str_equal(a.as.str, b.as.str);
    case JITVM_ARRAY:
    case JITVM_HASH:
        return a.as.object == b.as.object || pairs_add(pairs, a, b);
    default:
        return a.as.i == b.as.i;
    }
}

static bool same_elements(struct pairs *pairs, const struct jitvm_array *a,
                          const struct jitvm_array *b)
{
    bool same = a->len == b->len;
    for (size_t i = 0; same && i < a->len; i++)
        same = same_shallow(pairs, array_at(a, i), array_at(b, i));
    return same;
}

static bool same_entries(struct pairs *pairs, const struct jitvm_hash *a,
                         const struct jitvm_hash *b)
{
    size_t at_a = 0, at_b = 0;
    bool same = a->len == b->len;
    for (size_t i = 0; same && i < a->len; i++) {
        const struct hash_entry *x = hash_next(a, &at_a), *y = hash_next(b, &at_b);
        same = same_shallow(pairs, x->key, y->key) && same_shallow(pairs, x->value, y->value);
    }
    return same;
}

bool value_same(struct jitvm_value a, struct jitvm_value b)
{
    struct pairs pairs = {0};
    bool same = same_shallow(&pairs, a, b);
    while (same && pairs.count) {
        struct jitvm_value *pair = pairs.pair[--pairs.count];
        if (pair[0].kind == JITVM_ARRAY)
            same = same_elements(&pairs, pair[0].as.array, pair[1].as.array);
        else
            same = same_entries(&pairs, pair[0].as.hash, pair[1].as.hash);
    }
    free(pairs.pair);
    return same;
}
