/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arrays. Elements are all int, all float, or any values; the kind is widened when an element of
 * another kind comes in, never narrowed but by becoming empty. A float array is not widened by an
 * int and does not turn it into a float: the array becomes one of values.
 *
 * Functions that change an array need the only reference to it: see array_own.
 */
#ifndef JITVM_VALUE_ARRAY_H
#define JITVM_VALUE_ARRAY_H

#include "guest/jitvm/value/heap.h"

enum array_element { ARRAY_INT = 0, ARRAY_FLOAT = 1, ARRAY_VALUE = 2 };

/* Compiled code reads object, len, data and element. */
struct jitvm_array {
    struct jitvm_object object;
    size_t len;
    union {
        int64_t *ints;
        double *floats;
        struct jitvm_value *values;
        char *bytes;
    } data;           /* the first element; not the start of the block once something was shifted */
    uint32_t element; /* enum array_element; of an empty array without room: ARRAY_INT */
    size_t room;      /* elements from `data` on */
    size_t shifted;   /* elements in the block before `data` */
};

#define ARRAY_MAX ((size_t)1 << 32)

struct jitvm_array *array_new(struct heap *heap, size_t room); /* empty. NULL: heap full */
void array_free(struct heap *heap, struct jitvm_array *array); /* heap_free_object's part */

/* Makes *array the caller's alone, by a copy of this level if it is shared; the elements get one
 * more reference. -1 when the heap is full, and *array is as before. */
int array_own(struct heap *heap, struct jitvm_array **array);

/* A copy of [from, from+count), which must be within. */
struct jitvm_array *array_slice(struct heap *heap, const struct jitvm_array *array, size_t from,
                                size_t count);

/* Borrowed. `index` must be within. */
static inline struct jitvm_value array_at(const struct jitvm_array *array, size_t index)
{
    switch (array->element) {
    case ARRAY_INT:
        return jitvm_int(array->data.ints[index]);
    case ARRAY_FLOAT:
        return (struct jitvm_value){.kind = JITVM_FLOAT, .as.f = array->data.floats[index]};
    default:
        return array->data.values[index];
    }
}

/* These take `value`, also when they fail (-1: heap full, or ARRAY_MAX). array_set beyond the end
 * fills up with undef. */
int array_set(struct heap *heap, struct jitvm_array *array, size_t index, struct jitvm_value value);
int array_push(struct heap *heap, struct jitvm_array *array, struct jitvm_value value);

/* The element is the caller's; undef when empty. */
struct jitvm_value array_pop(struct jitvm_array *array);
struct jitvm_value array_shift(struct jitvm_array *array); /* O(1) */
/* Takes the element out; those after it move down. Undef when outside. */
struct jitvm_value array_remove(struct jitvm_array *array, size_t index);

/* Where the element is, as a value that can be changed in place: widens to ARRAY_VALUE and fills up
 * with undef. NULL: heap full. */
struct jitvm_value *array_place(struct heap *heap, struct jitvm_array *array, size_t index);

#endif
