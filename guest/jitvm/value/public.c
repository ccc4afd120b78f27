/* SPDX-License-Identifier: Apache-2.0 */
/* The part of jitvm.h about values that needs no VM. */
#include "guest/jitvm/jitvm.h"

#include "guest/jitvm/value/array.h"
#include "guest/jitvm/value/hash.h"
#include "guest/jitvm/value/value.h"

struct jitvm_value jitvm_float(double f)
{
    return (struct jitvm_value){.kind = JITVM_FLOAT, .as.f = number_canonical(f)};
}

void jitvm_retain(struct jitvm_value value)
{
    value_retain(value);
}

const char *jitvm_str_bytes(struct jitvm_value str, size_t *len)
{
    *len = str.kind == JITVM_STR ? str.as.str->len : 0;
    return str.kind == JITVM_STR ? str.as.str->bytes : NULL;
}

size_t jitvm_length(struct jitvm_value value)
{
    switch (value.kind) {
    case JITVM_STR:
        return value.as.str->len;
    case JITVM_ARRAY:
        return value.as.array->len;
    case JITVM_HASH:
        return value.as.hash->len;
    default:
        return 0;
    }
}

struct jitvm_value jitvm_array_at(struct jitvm_value array, size_t index)
{
    if (array.kind != JITVM_ARRAY || index >= array.as.array->len)
        return jitvm_undef();
    struct jitvm_value element = array_at(array.as.array, index);
    value_retain(element);
    return element;
}

struct jitvm_value jitvm_hash_get(struct jitvm_value hash, struct jitvm_value key)
{
    if (hash.kind != JITVM_HASH)
        return jitvm_undef();
    /* For the text of a key that is an array, and nothing else. */
    struct heap heap;
    heap_init(&heap, UINT64_MAX);
    const struct jitvm_value *found = hash_find(&heap, hash.as.hash, key);
    struct jitvm_value value = found ? *found : jitvm_undef();
    value_retain(value);
    heap_fini(&heap);
    return value;
}

bool jitvm_truthy(struct jitvm_value value)
{
    return value_truthy(value);
}

int64_t jitvm_to_int(struct jitvm_value value)
{
    return value_to_int(value);
}

double jitvm_to_float(struct jitvm_value value)
{
    return value_to_float(value);
}
