/* SPDX-License-Identifier: Apache-2.0 */
/* Strings: immutable bytes, of any value, counted. Lengths are in bytes. */
#ifndef JITVM_VALUE_STR_H
#define JITVM_VALUE_STR_H

#include "guest/jitvm/value/heap.h"

struct jitvm_str {
    struct jitvm_object object;
    size_t len;
    size_t room;   /* bytes that fit, at least len */
    uint64_t hash; /* 0: not computed yet. Never set in an immortal one after it was made */
    char bytes[];
};

#define STR_MAX ((size_t)1 << 31)

/* NULL when the heap is full. `bytes` NULL: the caller fills in all `len` bytes at once. */
struct jitvm_str *str_new(struct heap *heap, const void *bytes, size_t len);

/* One that outlives every heap, with a 0 behind it, from malloc; freed with free(). NULL without
 * memory, or longer than STR_MAX. */
struct jitvm_str *str_new_immortal(const void *bytes, size_t len);

void str_free(struct heap *heap, struct jitvm_str *str); /* heap_free_object's part */

/* a . b. Takes the reference to `a`: when it is the only one and there is room, b is appended in
 * place, and room grows so that n appends cost O(n). Borrows b. NULL when the heap is full; then
 * the reference to `a` has ended too. a and b may be the same. */
struct jitvm_str *str_append(struct heap *heap, struct jitvm_str *a, const void *b, size_t len);

/* By bytes, unsigned, the shorter first: -1, 0 or 1. */
int str_compare(const struct jitvm_str *a, const struct jitvm_str *b);
bool str_equal(const struct jitvm_str *a, const struct jitvm_str *b);
uint64_t str_hash(struct jitvm_str *str);               /* never 0 */
uint64_t str_hash_bytes(const void *bytes, size_t len); /* what str_hash gives for them */

#endif
