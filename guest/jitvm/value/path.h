/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers by path: `a[i][j]` as one operation. Keys are borrowed. Reading outside gives undef.
 * Writing makes what is missing: a level that is undef becomes an array when its key is an int that
 * is not negative, otherwise a hash; each level is copied first only when it is shared. A negative
 * int counts from an array's end. A string read by an int gives the one byte there, as a string.
 *
 * Results: 0, or a negative jitvm_status: TYPE when a level is neither container nor undef, VALUE
 * for an index below the start or beyond ARRAY_MAX, HEAP. No message: the op knows what it did.
 */
#ifndef JITVM_VALUE_PATH_H
#define JITVM_VALUE_PATH_H

#include "guest/jitvm/value/array.h"
#include "guest/jitvm/value/hash.h"
#include "guest/jitvm/value/value.h"

/* *out is a new reference. Only a string's byte needs memory. */
int path_get(struct heap *heap, struct jitvm_value from, const struct jitvm_value *keys,
             unsigned count, struct jitvm_value *out);
static inline int path_index(struct heap *heap, struct jitvm_value from, struct jitvm_value key,
                             struct jitvm_value *out)
{
    return path_get(heap, from, &key, 1, out);
}

/* Takes `value`, also when it fails. count >= 1. */
int path_set(struct heap *heap, struct jitvm_value *root, const struct jitvm_value *keys,
             unsigned count, struct jitvm_value value);

/* These work on the container at the path; count may be 0: the root itself. Push makes an array
 * of undef; the others find nothing there. */
int path_push(struct heap *heap, struct jitvm_value *root, const struct jitvm_value *keys,
              unsigned count, struct jitvm_value value);
int path_pop(struct heap *heap, struct jitvm_value *root, const struct jitvm_value *keys,
             unsigned count, struct jitvm_value *out);
int path_shift(struct heap *heap, struct jitvm_value *root, const struct jitvm_value *keys,
               unsigned count, struct jitvm_value *out);

/* The last key names the entry; count >= 1. *out: what was there, undef if nothing. */
int path_delete(struct heap *heap, struct jitvm_value *root, const struct jitvm_value *keys,
                unsigned count, struct jitvm_value *out);
/* Is there an entry (undef counts as one)? count >= 1. */
int path_exists(struct heap *heap, struct jitvm_value root, const struct jitvm_value *keys,
                unsigned count, bool *out);

/* A hash's keys as text, an array's as ints; its values. Of undef: an empty array. */
int path_keys(struct heap *heap, struct jitvm_value root, const struct jitvm_value *keys,
              unsigned count, struct jitvm_value *out);
int path_values(struct heap *heap, struct jitvm_value root, const struct jitvm_value *keys,
                unsigned count, struct jitvm_value *out);

#endif
