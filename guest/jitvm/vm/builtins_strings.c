/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings, which are bytes: offsets and lengths count these, upper and lower know ASCII alone. What
 * is not a string is taken as its text. format() is in builtins_format.c.
 */
#include "guest/jitvm/vm/builtins.h"
#include "guest/jitvm/vm/builtins_format.h"

#include <string.h>

/* The texts of the first arguments, at most three. */
struct texts {
    struct text of[3];
    unsigned count;
};

static void texts_end(struct jitvm *vm, struct texts *texts)
{
    while (texts->count > 0)
        text_end(vm, &texts->of[--texts->count]);
}

static int texts_of(struct jitvm *vm, const struct jitvm_value *args, unsigned count,
                    struct texts *texts)
{
    texts->count = 0;
    for (unsigned i = 0; i < count; i++) {
        int rc = text_of(vm, args[i], &texts->of[i]);
        if (rc < 0) {
            texts_end(vm, texts);
            return rc;
        }
        texts->count++;
    }
    return 0;
}

/* ---- parts ---------------------------------------------------------------------------------- */

static int str_substr(BUILTIN_ARGS)
{
    struct text s;
    int rc = text_of(vm, args[0], &s);
    if (rc < 0)
        return rc;
    struct part part = part_of(s.len, args + 1, count - 1);
    rc = give_str(vm, str_new(&vm->heap, s.bytes + part.from, part.count), out);
    text_end(vm, &s);
    return rc;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int str_trim(BUILTIN_ARGS)
{
    struct text s;
    int rc = text_of(vm, args[0], &s);
    if (rc < 0)
        return rc;
    const char *from = s.bytes, *to = s.bytes + s.len;
    while (from < to && is_blank(*from))
        from++;
    while (to > from && is_blank(to[-1]))
        to--;
    rc = give_str(vm, str_new(&vm->heap, from, (size_t)(to - from)), out);
    text_end(vm, &s);
    return rc;
}

/* ---- searching ------------------------------------------------------------------------------ */

static int64_t find_first(const struct text *s, const struct text *t, size_t from)
{
    const char *at = memmem(s->bytes + from, s->len - from, t->bytes, t->len);
    return at ? at - s->bytes : -1;
}

static int64_t find_last(const struct text *s, const struct text *t)
{
    if (t->len > s->len)
        return -1;
    for (size_t at = s->len - t->len + 1; at-- > 0;) {
        if (memcmp(s->bytes + at, t->bytes, t->len) == 0)
            return (int64_t)at;
    }
    return -1;
}

static int str_find(BUILTIN_ARGS)
{
    struct texts texts;
    int rc = texts_of(vm, args, 2, &texts);
    if (rc < 0)
        return rc;
    size_t from = count > 2 ? part_of(texts.of[0].len, args + 2, 1).from : 0;
    *out = jitvm_int(find_first(&texts.of[0], &texts.of[1], from));
    texts_end(vm, &texts);
    return 0;
}

static int str_rfind(BUILTIN_ARGS)
{
    struct texts texts;
    int rc = texts_of(vm, args, 2, &texts);
    if (rc < 0)
        return rc;
    *out = jitvm_int(find_last(&texts.of[0], &texts.of[1]));
    texts_end(vm, &texts);
    return 0;
}

static int str_starts_with(BUILTIN_ARGS)
{
    struct texts texts;
    int rc = texts_of(vm, args, 2, &texts);
    if (rc < 0)
        return rc;
    const struct text *s = &texts.of[0], *t = &texts.of[1];
    *out = jitvm_bool(t->len <= s->len && memcmp(s->bytes, t->bytes, t->len) == 0);
    texts_end(vm, &texts);
    return 0;
}

static int str_ends_with(BUILTIN_ARGS)
{
    struct texts texts;
    int rc = texts_of(vm, args, 2, &texts);
    if (rc < 0)
        return rc;
    const struct text *s = &texts.of[0], *t = &texts.of[1];
    *out =
        jitvm_bool(t->len <= s->len && memcmp(s->bytes + (s->len - t->len), t->bytes, t->len) == 0);
    texts_end(vm, &texts);
    return 0;
}

/* ---- taking apart and putting together ------------------------------------------------------ */

static int push_piece(struct jitvm *vm, struct jitvm_array *pieces, const char *bytes, size_t len)
{
    struct jitvm_value piece;
    int rc = give_str(vm, str_new(&vm->heap, bytes, len), &piece);
    if (rc == 0 && array_push(&vm->heap, pieces, piece) < 0)
        rc = vm_raise_heap(vm);
    return rc;
}

static int split_bytes(struct jitvm *vm, struct jitvm_array *pieces, const struct text *s)
{
    for (size_t i = 0; i < s->len; i++) {
        int rc = push_piece(vm, pieces, s->bytes + i, 1);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int split_at(struct jitvm *vm, struct jitvm_array *pieces, const struct text *s,
                    const struct text *separator)
{
    const char *from = s->bytes, *end = s->bytes + s->len;
    for (;;) {
        const char *at = memmem(from, (size_t)(end - from), separator->bytes, separator->len);
        int rc = push_piece(vm, pieces, from, (size_t)((at ? at : end) - from));
        if (rc < 0 || !at)
            return rc;
        from = at + separator->len;
    }
}

/* One piece more than there are separators. Of "" by "": none. */
static int str_split(BUILTIN_ARGS)
{
    struct texts texts;
    int rc = texts_of(vm, args, 2, &texts);
    if (rc < 0)
        return rc;
    rc = give_array(vm, array_new(&vm->heap, 0), out);
    if (rc == 0 && texts.of[1].len == 0)
        rc = split_bytes(vm, out->as.array, &texts.of[0]);
    else if (rc == 0)
        rc = split_at(vm, out->as.array, &texts.of[0], &texts.of[1]);
    texts_end(vm, &texts);
    return give_or_drop(vm, rc, out);
}

static int join_element(struct jitvm *vm, struct joining *joining, struct jitvm_value element)
{
    struct text text;
    int rc = text_of(vm, element, &text);
    if (rc < 0)
        return rc;
    rc = joining_add(vm, joining, text.bytes, text.len);
    text_end(vm, &text);
    return rc;
}

static int join_all(struct jitvm *vm, struct joining *joining, const struct jitvm_array *array,
                    const struct text *separator)
{
    for (size_t i = 0; i < array->len; i++) {
        int rc = i ? joining_add(vm, joining, separator->bytes, separator->len) : 0;
        if (rc == 0)
            rc = join_element(vm, joining, array_at(array, i));
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int str_join(BUILTIN_ARGS)
{
    struct jitvm_array *array = array_argument(vm, "join", args[0]);
    struct text separator;
    int rc = array ? text_of(vm, args[1], &separator) : JITVM_ERR_TYPE;
    if (rc < 0)
        return rc;
    struct joining joining = {NULL};
    rc = joining_begin(vm, &joining);
    if (rc == 0)
        rc = join_all(vm, &joining, array, &separator);
    text_end(vm, &separator);
    if (rc == 0)
        return give_str(vm, joining.str, out);
    joining_end(vm, &joining);
    return rc;
}

/* ---- making others of them ------------------------------------------------------------------ */

static char upper(char c)
{
    if (c >= 'a' && c <= 'z')
        return (char)(c - 'a' + 'A');
    return c;
}

static char lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c;
}

static int map_bytes(struct jitvm *vm, struct jitvm_value v, char (*map)(char),
                     struct jitvm_value *out)
{
    struct text s;
    int rc = text_of(vm, v, &s);
    if (rc < 0)
        return rc;
    struct jitvm_str *mapped = str_new(&vm->heap, NULL, s.len);
    for (size_t i = 0; mapped && i < s.len; i++)
        mapped->bytes[i] = map(s.bytes[i]);
    text_end(vm, &s);
    return give_str(vm, mapped, out);
}

static int str_upper(BUILTIN_ARGS)
{
    return map_bytes(vm, args[0], upper, out);
}

static int str_lower(BUILTIN_ARGS)
{
    return map_bytes(vm, args[0], lower, out);
}

/* Doubles what is there already, so that a short string costs few copies. */
static void fill_repeated(char *to, size_t total, const struct text *s)
{
    memcpy(to, s->bytes, s->len);
    for (size_t have = s->len; have < total;) {
        size_t n = have < total - have ? have : total - have;
        memcpy(to + have, to, n);
        have += n;
    }
}

static int str_repeat(BUILTIN_ARGS)
{
    struct text s;
    int rc = text_of(vm, args[0], &s);
    if (rc < 0)
        return rc;
    int64_t n = value_to_int(args[1]);
    size_t times = n < 0 || s.len == 0 ? 0 : (size_t)n;
    if (times > 0 && times > STR_MAX / s.len) {
        rc = vm_raise_heap(vm);
    } else {
        rc = give_str(vm, str_new(&vm->heap, times ? NULL : "", times * s.len), out);
        if (rc == 0 && times > 0)
            fill_repeated(out->as.str->bytes, times * s.len, &s);
    }
    text_end(vm, &s);
    return rc;
}

/* All occurrences of `old`, from the left, none overlapping. */
static int replace_all(struct jitvm *vm, struct joining *joining, const struct text *s,
                       const struct text *old, const struct text *by)
{
    const char *from = s->bytes, *end = s->bytes + s->len, *at;
    while (old->len && (at = memmem(from, (size_t)(end - from), old->bytes, old->len))) {
        int rc = joining_add(vm, joining, from, (size_t)(at - from));
        if (rc == 0)
            rc = joining_add(vm, joining, by->bytes, by->len);
        if (rc < 0)
            return rc;
        from = at + old->len;
    }
    return joining_add(vm, joining, from, (size_t)(end - from));
}

static int str_replace(BUILTIN_ARGS)
{
    struct texts texts;
    int rc = texts_of(vm, args, 3, &texts);
    if (rc < 0)
        return rc;
    struct joining joining = {NULL};
    rc = joining_begin(vm, &joining);
    if (rc == 0)
        rc = replace_all(vm, &joining, &texts.of[0], &texts.of[1], &texts.of[2]);
    texts_end(vm, &texts);
    if (rc == 0)
        return give_str(vm, joining.str, out);
    joining_end(vm, &joining);
    return rc;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static int str_chr(BUILTIN_ARGS)
{
    int64_t code = value_to_int(args[0]);
    if (code < 0 || code > 255)
        return jitvm_raise(vm, JITVM_ERR_VALUE, "chr: %lld is not a byte, 0 to 255",
                           (long long)code);
    char byte = (char)code;
    return give_str(vm, str_new(&vm->heap, &byte, 1), out);
}

static int str_ord(BUILTIN_ARGS)
{
    struct text s;
    int rc = text_of(vm, args[0], &s);
    if (rc < 0)
        return rc;
    *out = jitvm_int(s.len ? (unsigned char)s.bytes[0] : 0);
    text_end(vm, &s);
    return 0;
}

const struct jitvm_native *builtins_strings(unsigned *count)
{
#define PURE(name, min, max, result)                                                               \
    {                                                                                              \
#name, str_##name, NULL, min, max, JITVM_PURE | JITVM_NO_REENTER, result                   \
    }
    static const struct jitvm_native table[] = {
        PURE(substr, 2, 3, JITVM_STR),
        PURE(find, 2, 3, JITVM_INT),
        PURE(rfind, 2, 2, JITVM_INT),
        PURE(split, 2, 2, JITVM_ARRAY),
        PURE(join, 2, 2, JITVM_STR),
        PURE(upper, 1, 1, JITVM_STR),
        PURE(lower, 1, 1, JITVM_STR),
        PURE(trim, 1, 1, JITVM_STR),
        PURE(repeat, 2, 2, JITVM_STR),
        PURE(replace, 3, 3, JITVM_STR),
        PURE(starts_with, 2, 2, JITVM_BOOL),
        PURE(ends_with, 2, 2, JITVM_BOOL),
        PURE(chr, 1, 1, JITVM_STR),
        PURE(ord, 1, 1, JITVM_INT),
        {"format", builtin_format, NULL, 1, JITVM_ANY_COUNT, JITVM_PURE | JITVM_NO_REENTER,
         JITVM_STR},
    };
#undef PURE
    *count = sizeof(table) / sizeof(table[0]);
    return table;
}
