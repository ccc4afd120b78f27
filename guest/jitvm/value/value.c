/* SPDX-License-Identifier: Apache-2.0 */
/* What every op may do with a value: truth, numbers and text of any kind. See value.h. */
#include "guest/jitvm/value/value.h"

#include "guest/jitvm/value/array.h"
#include "guest/jitvm/value/hash.h"

#include <string.h>

const char *value_kind_name(uint32_t kind)
{
    static const char *const names[JITVM_KINDS] = {
        [JITVM_UNDEF] = "undef",   [JITVM_BOOL] = "bool",     [JITVM_INT] = "int",
        [JITVM_FLOAT] = "float",   [JITVM_FUNC] = "function", [JITVM_NATIVE] = "native",
        [JITVM_HANDLE] = "handle", [JITVM_STR] = "str",       [JITVM_ARRAY] = "array",
        [JITVM_HASH] = "hash",
    };
    return kind < JITVM_KINDS ? names[kind] : "?";
}

/* ---- truth and numbers ---------------------------------------------------------------------- */

bool value_truthy(struct jitvm_value v)
{
    switch (v.kind) {
    case JITVM_UNDEF:
        return false;
    case JITVM_BOOL:
    case JITVM_INT:
        return v.as.i != 0;
    case JITVM_FLOAT:
        return v.as.f != 0;
    case JITVM_STR:
        return v.as.str->len > 1 || (v.as.str->len == 1 && v.as.str->bytes[0] != '0');
    case JITVM_ARRAY:
        return v.as.array->len != 0;
    case JITVM_HASH:
        return v.as.hash->len != 0;
    default:
        return true;
    }
}

static struct jitvm_value number_in(const struct jitvm_str *str)
{
    int64_t i;
    double f;
    if (number_parse_int(str->bytes, str->len, &i))
        return jitvm_int(i);
    if (number_parse_float(str->bytes, str->len, &f))
        return (struct jitvm_value){.kind = JITVM_FLOAT, .as.f = f};
    return jitvm_int(0);
}

struct jitvm_value value_to_number(struct jitvm_value v)
{
    switch (v.kind) {
    case JITVM_INT:
    case JITVM_FLOAT:
        return v;
    case JITVM_BOOL:
        return jitvm_int(v.as.i);
    case JITVM_STR:
        return number_in(v.as.str);
    case JITVM_ARRAY:
        return jitvm_int((int64_t)v.as.array->len);
    case JITVM_HASH:
        return jitvm_int((int64_t)v.as.hash->len);
    default:
        return jitvm_int(0);
    }
}

int64_t value_to_int(struct jitvm_value v)
{
    struct jitvm_value number = value_to_number(v);
    return number.kind == JITVM_INT ? number.as.i : number_float_to_int(number.as.f);
}

double value_to_float(struct jitvm_value v)
{
    if (v.kind == JITVM_ARRAY || v.kind == JITVM_HASH)
        return 0.0;
    struct jitvm_value number = value_to_number(v);
    return number.kind == JITVM_INT ? (double)number.as.i : number.as.f;
}

/* ---- text ----------------------------------------------------------------------------------- */

static const char *fixed_text(const char *text, size_t *len)
{
    *len = strlen(text);
    return text;
}

const char *value_text(const struct jitvm_value *v, char room[NUMBER_TEXT_MAX], size_t *len)
{
    switch (v->kind) {
    case JITVM_STR:
        *len = v->as.str->len;
        return v->as.str->bytes;
    case JITVM_INT:
        *len = number_format_int(v->as.i, room);
        return room;
    case JITVM_FLOAT:
        *len = number_format_float(v->as.f, room);
        return room;
    case JITVM_UNDEF:
        return fixed_text("", len);
    case JITVM_BOOL:
        return fixed_text(v->as.i ? "1" : "", len);
    case JITVM_HANDLE:
        return fixed_text("(handle)", len);
    case JITVM_HASH:
        return fixed_text("(hash)", len);
    case JITVM_ARRAY:
        return NULL;
    default:
        return fixed_text("(function)", len);
    }
}

/* Where the text of nested arrays stands: one step per level, on the heap, since levels may be as
 * many as memory allows. */
struct step {
    const struct jitvm_array *array;
    size_t next;
};

struct joining {
    struct heap *heap;
    struct jitvm_str *text; /* NULL: the heap is full */
    struct step *steps;
    size_t depth, room;
};

static bool join_enter(struct joining *j, const struct jitvm_array *array)
{
    if (j->depth == j->room) {
        size_t room = j->room ? 2 * j->room : 8;
        struct step *steps =
            heap_realloc(j->heap, j->steps, j->room * sizeof *steps, room * sizeof *steps);
        if (!steps)
            return false;
        j->steps = steps;
        j->room = room;
    }
    j->steps[j->depth++] = (struct step){.array = array};
    return true;
}

static bool join_text(struct joining *j, const char *bytes, size_t len)
{
    j->text = str_append(j->heap, j->text, bytes, len);
    return j->text;
}

static bool join_next(struct joining *j)
{
    struct step *step = &j->steps[j->depth - 1];
    if (step->next == step->array->len) {
        j->depth--;
        return true;
    }
    if (step->next && !join_text(j, " ", 1))
        return false;
    struct jitvm_value element = array_at(step->array, step->next++);
    if (element.kind == JITVM_ARRAY)
        return join_enter(j, element.as.array);
    char room[NUMBER_TEXT_MAX];
    size_t len;
    const char *text = value_text(&element, room, &len);
    return join_text(j, text, len);
}

static struct jitvm_str *array_text(struct heap *heap, const struct jitvm_array *array)
{
    struct joining j = {.heap = heap, .text = str_new(heap, "", 0)};
    bool ok = j.text && join_enter(&j, array);
    while (ok && j.depth)
        ok = join_next(&j);
    if (j.steps)
        heap_free(heap, j.steps, j.room * sizeof *j.steps);
    if (!ok && j.text)
        object_release(heap, &j.text->object);
    return ok ? j.text : NULL;
}

struct jitvm_str *value_to_str(struct heap *heap, struct jitvm_value v)
{
    if (v.kind == JITVM_STR) {
        object_retain(&v.as.str->object);
        return v.as.str;
    }
    if (v.kind == JITVM_ARRAY)
        return array_text(heap, v.as.array);
    char room[NUMBER_TEXT_MAX];
    size_t len;
    const char *text = value_text(&v, room, &len);
    return str_new(heap, text, len);
}
