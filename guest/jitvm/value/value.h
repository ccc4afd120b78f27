/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every op may do with a value: coercion, comparison, text.
 *
 * Truth: all but undef, false, 0, 0.0, "", "0", and empty containers; NaN, functions, handles are
 * true. To int: a string that is a number as a whole (else 0), an array's or hash's length, a float
 * toward zero, saturating; 0 of functions and handles. To float: likewise, but a container gives
 * 0.0. To text: "1" and "" for true and false, "" for undef, an array's elements with a space
 * between, "(hash)", "(function)", "(handle)".
 */
#ifndef JITVM_VALUE_VALUE_H
#define JITVM_VALUE_VALUE_H

#include "guest/jitvm/value/heap.h"
#include "guest/jitvm/value/number.h"
#include "guest/jitvm/value/str.h"

const char *value_kind_name(uint32_t kind); /* "int", "array", ... */

bool value_truthy(struct jitvm_value v);
int64_t value_to_int(struct jitvm_value v);
double value_to_float(struct jitvm_value v);

/* Of a string that is a number, that number; of ints and floats themselves; otherwise the int that
 * value_to_int gives. Always int or float: what arithmetic works on. */
struct jitvm_value value_to_number(struct jitvm_value v);

/* The text of anything but an array, without memory: it is in v, in static storage or in `room`.
 * NULL for an array. */
const char *value_text(const struct jitvm_value *v, char room[NUMBER_TEXT_MAX], size_t *len);

/* A new reference; a string's own is one more. NULL when the heap is full. */
struct jitvm_str *value_to_str(struct heap *heap, struct jitvm_value v);

/* As numbers (value_to_number), exact also between int and float: 2^53+1 is not 2^53. */
enum value_order { VALUE_LESS = -1, VALUE_EQUAL = 0, VALUE_GREATER = 1, VALUE_UNORDERED = 2 };
enum value_order value_compare_numbers(struct jitvm_value a, struct jitvm_value b);

/* As text. No memory is needed for numbers: their text fits on the stack. Fails (false) when the
 * heap is full, which only a container's text can do. */
bool value_compare_text(struct heap *heap, struct jitvm_value a, struct jitvm_value b, int *order);

/* What sort() without a function uses: numbers (bools too) by size before text by bytes; undef
 * first. NaN comes after all other numbers. Last come functions by index, handles (all equal), and
 * arrays and hashes by length. A total order, but for what is equal in it. */
int value_compare_any(struct jitvm_value a, struct jitvm_value b);

/* The same kind and the same contents, all the way down; floats by bits. For tests and tools. */
bool value_same(struct jitvm_value a, struct jitvm_value b);

/* As .jv would write it, strings quoted, to depth 100 ("..." below): for dumps, tests and
 * `jitvm run --print`. 0, or -1 when writing fails. */
int value_print(FILE *to, struct jitvm_value v);

#endif
