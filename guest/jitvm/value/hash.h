/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashes: text to value, in insertion order. A key is the text of the value given (value_to_str);
 * text that is the usual form of an int64_t ("12", "-3") is kept as that integer, so that h[12] and
 * h["12"] are the same entry and neither costs an allocation.
 *
 * Functions that change a hash need the only reference to it: see hash_own.
 */
#ifndef JITVM_VALUE_HASH_H
#define JITVM_VALUE_HASH_H

#include "guest/jitvm/value/heap.h"

struct hash_entry {
    struct jitvm_value key; /* int or str; JITVM_UNDEF: deleted */
    struct jitvm_value value;
    uint64_t hash;
};

struct jitvm_hash {
    struct jitvm_object object;
    size_t len;     /* entries alive */
    size_t used;    /* of `entries`, with those deleted */
    size_t room;    /* of `entries` */
    size_t buckets; /* a power of two, or 0 */
    struct hash_entry *entries;
    uint32_t *index; /* by hash, open addressing: index into entries + 1, 0: free */
};

#define HASH_MAX ((size_t)1 << 31)

struct jitvm_hash *hash_new(struct heap *heap); /* NULL: heap full */
void hash_free(struct heap *heap, struct jitvm_hash *hash);
int hash_own(struct heap *heap, struct jitvm_hash **hash); /* as array_own */

/* Where the value of the key is, or NULL. `key` of any kind, borrowed; only a container as a key
 * needs memory, and is not found when there is none. */
struct jitvm_value *hash_find(struct heap *heap, const struct jitvm_hash *hash,
                              struct jitvm_value key);
/* Likewise, for an int or a string: what most keys are, without a detour. */
struct jitvm_value *hash_find_plain(const struct jitvm_hash *hash, struct jitvm_value key);
/* As hash_find, made (undef) when it is not there. NULL: heap full, or HASH_MAX. */
struct jitvm_value *hash_place(struct heap *heap, struct jitvm_hash *hash, struct jitvm_value key);

/* Takes the entry out; the value is the caller's, undef when there was none. */
struct jitvm_value hash_delete(struct heap *heap, struct jitvm_hash *hash, struct jitvm_value key);

/* The next entry at or after *at, which it advances; NULL at the end. Start with 0. Borrowed. */
struct hash_entry *hash_next(const struct jitvm_hash *hash, size_t *at);

/* New arrays, of the keys as text or of the values. NULL: heap full. */
struct jitvm_array *hash_keys(struct heap *heap, const struct jitvm_hash *hash);
struct jitvm_array *hash_values(struct heap *heap, const struct jitvm_hash *hash);

#endif
