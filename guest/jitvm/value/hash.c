/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashes, see hash.h. Entries lie in insertion order; up to SMALL_ROOM of them are looked through,
 * more are found by the index (linear probing, at most half full). A deleted entry stays, and the
 * index goes on naming it, until the entries are full: then those alive move together.
 */
#include "guest/jitvm/value/hash.h"

#include "guest/jitvm/value/array.h"
#include "guest/jitvm/value/value.h"

#include <string.h>

#define FIRST_ROOM ((size_t)4)
#define SMALL_ROOM ((size_t)8)

/* ---- keys ----------------------------------------------------------------------------------- */

/* What a key of any kind is looked up by. */
struct lookup {
    bool is_int;
    int64_t i;
    uint64_t hash;
    const char *bytes;
    size_t len;
    struct jitvm_str *str;  /* the text as an object, where there is one */
    struct jitvm_str *made; /* that object, when it was made for this: ended by lookup_end */
    char room[NUMBER_TEXT_MAX];
};

static uint64_t hash_int(int64_t i)
{
    uint64_t mixed = (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15);
    return mixed ^ mixed >> 32;
}

#define INT_TEXT_MAX 20

/* Is it the text that number_format_int makes of an int? */
static bool is_int_text(const char *bytes, size_t len, int64_t *out)
{
    size_t sign = len && bytes[0] == '-';
    if (len == sign || len > INT_TEXT_MAX || bytes[sign] < '0' || bytes[sign] > '9')
        return false;
    if (bytes[sign] == '0' && len > 1)
        return false;
    /* A blank at the end is the only thing still wrong that the parser takes. */
    return bytes[len - 1] >= '0' && bytes[len - 1] <= '9' && number_parse_int(bytes, len, out);
}

static void lookup_int(struct lookup *l, int64_t i)
{
    l->is_int = true;
    l->i = i;
    l->hash = hash_int(i);
}

static void lookup_text(struct lookup *l, const char *bytes, size_t len)
{
    int64_t i;
    if (is_int_text(bytes, len, &i)) {
        lookup_int(l, i);
        return;
    }
    l->is_int = false;
    l->bytes = bytes;
    l->len = len;
    l->hash = l->str ? str_hash(l->str) : str_hash_bytes(bytes, len);
}

static bool lookup_begin(struct heap *heap, struct lookup *l, const struct jitvm_value *key)
{
    l->str = l->made = NULL;
    if (key->kind == JITVM_INT) {
        lookup_int(l, key->as.i);
        return true;
    }
    if (key->kind == JITVM_ARRAY) {
        l->str = l->made = value_to_str(heap, *key);
        if (!l->str)
            return false;
        lookup_text(l, l->str->bytes, l->str->len);
        return true;
    }
    if (key->kind == JITVM_STR)
        l->str = key->as.str;
    size_t len;
    const char *bytes = value_text(key, l->room, &len);
    lookup_text(l, bytes, len);
    return true;
}

static void lookup_end(struct heap *heap, struct lookup *l)
{
    if (l->made)
        object_release(heap, &l->made->object);
}

static bool key_is(const struct jitvm_value *key, const struct lookup *l)
{
    if (l->is_int)
        return key->kind == JITVM_INT && key->as.i == l->i;
    return key->kind == JITVM_STR &&
           (key->as.str == l->str ||
            (key->as.str->len == l->len && memcmp(key->as.str->bytes, l->bytes, l->len) == 0));
}

/* A new reference, in *key. */
static int key_make(struct heap *heap, const struct lookup *l, struct jitvm_value *key)
{
    if (l->is_int) {
        *key = jitvm_int(l->i);
        return 0;
    }
    struct jitvm_str *str = l->str;
    if (str)
        object_retain(&str->object);
    else
        str = str_new(heap, l->bytes, l->len);
    *key = (struct jitvm_value){.kind = JITVM_STR, .as.str = str};
    return str ? 0 : -1;
}

/* ---- entries -------------------------------------------------------------------------------- */

static struct hash_entry *find_small(const struct jitvm_hash *hash, const struct lookup *l)
{
    for (size_t i = 0; i < hash->used; i++) {
        struct hash_entry *entry = &hash->entries[i];
        if (entry->hash == l->hash && key_is(&entry->key, l))
            return entry;
    }
    return NULL;
}

static struct hash_entry *find(const struct jitvm_hash *hash, const struct lookup *l)
{
    if (!hash->buckets)
        return find_small(hash, l);
    size_t mask = hash->buckets - 1;
    for (size_t at = l->hash & mask;; at = (at + 1) & mask) {
        uint32_t number = hash->index[at];
        if (!number)
            return NULL;
        struct hash_entry *entry = &hash->entries[number - 1];
        if (entry->hash == l->hash && key_is(&entry->key, l))
            return entry;
    }
}

static void index_add(struct jitvm_hash *hash, size_t entry)
{
    size_t mask = hash->buckets - 1;
    size_t at = hash->entries[entry].hash & mask;
    while (hash->index[at])
        at = (at + 1) & mask;
    hash->index[at] = (uint32_t)(entry + 1);
}

static void index_rebuild(struct jitvm_hash *hash)
{
    if (!hash->buckets)
        return;
    memset(hash->index, 0, hash->buckets * sizeof *hash->index);
    for (size_t i = 0; i < hash->used; i++)
        index_add(hash, i);
}

/* Those alive move together; the index is wrong afterwards. */
static void compact(struct jitvm_hash *hash)
{
    if (hash->used == hash->len)
        return;
    size_t used = 0;
    for (size_t i = 0; i < hash->used; i++) {
        if (hash->entries[i].key.kind != JITVM_UNDEF)
            hash->entries[used++] = hash->entries[i];
    }
    hash->used = used;
}

static size_t buckets_for(size_t room)
{
    return room > SMALL_ROOM ? 2 * room : 0;
}

static void free_index(struct heap *heap, struct jitvm_hash *hash)
{
    if (hash->buckets)
        heap_free(heap, hash->index, hash->buckets * sizeof *hash->index);
}

/* `room` is a power of two. On failure the hash is as it was. */
static int resize_index(struct heap *heap, struct jitvm_hash *hash, size_t room)
{
    size_t buckets = buckets_for(room);
    if (buckets == hash->buckets)
        return 0;
    uint32_t *index = NULL;
    if (buckets && !(index = heap_alloc(heap, buckets * sizeof *index)))
        return -1;
    free_index(heap, hash);
    hash->index = index;
    hash->buckets = buckets;
    return 0;
}

static int resize_entries(struct heap *heap, struct jitvm_hash *hash, size_t room)
{
    size_t size = sizeof *hash->entries;
    struct hash_entry *entries = heap_realloc(heap, hash->entries, hash->room * size, room * size);
    if (!entries)
        return -1;
    hash->entries = entries;
    hash->room = room;
    return 0;
}

/* A quarter is free afterwards, so that the next time is that many entries away. */
static size_t room_for(size_t len)
{
    size_t room = FIRST_ROOM;
    while (len > room / 4 * 3)
        room *= 2;
    return room;
}

/* For one more entry. */
static int make_room(struct heap *heap, struct jitvm_hash *hash)
{
    size_t room = room_for(hash->len + 1);
    if (room > HASH_MAX)
        return -1;
    compact(hash);
    int rc = 0;
    /* The larger index first: with entries that it has no room for, the hash would be broken. */
    if (room > hash->room && (rc = resize_index(heap, hash, room)) == 0)
        rc = resize_entries(heap, hash, room);
    else if (room < hash->room && (rc = resize_entries(heap, hash, room)) == 0)
        rc = resize_index(heap, hash, room);
    index_rebuild(hash);
    return hash->used < hash->room ? 0 : rc;
}

static struct hash_entry *add(struct heap *heap, struct jitvm_hash *hash, const struct lookup *l)
{
    struct jitvm_value key;
    if (hash->used == hash->room && make_room(heap, hash) < 0)
        return NULL;
    if (key_make(heap, l, &key) < 0)
        return NULL;
    struct hash_entry *entry = &hash->entries[hash->used++];
    *entry = (struct hash_entry){.key = key, .hash = l->hash};
    hash->len++;
    if (hash->buckets)
        index_add(hash, hash->used - 1);
    return entry;
}

/* ---- made, copied, ended -------------------------------------------------------------------- */

struct jitvm_hash *hash_new(struct heap *heap)
{
    struct jitvm_hash *hash = heap_alloc(heap, sizeof *hash);
    if (hash)
        *hash = (struct jitvm_hash){.object = {.refs = 1, .kind = JITVM_HASH}};
    return hash;
}

static void free_blocks(struct heap *heap, struct jitvm_hash *hash)
{
    free_index(heap, hash);
    if (hash->room)
        heap_free(heap, hash->entries, hash->room * sizeof *hash->entries);
    heap_free(heap, hash, sizeof *hash);
}

void hash_free(struct heap *heap, struct jitvm_hash *hash)
{
    for (size_t i = 0; i < hash->used; i++) {
        value_release(heap, hash->entries[i].key);
        value_release(heap, hash->entries[i].value);
    }
    free_blocks(heap, hash);
}

static void copy_entries(struct jitvm_hash *copy, const struct jitvm_hash *hash)
{
    size_t at = 0;
    const struct hash_entry *entry;
    while ((entry = hash_next(hash, &at))) {
        value_retain(entry->key);
        value_retain(entry->value);
        copy->entries[copy->used++] = *entry;
    }
    copy->len = copy->used;
    index_rebuild(copy);
}

static struct jitvm_hash *hash_copy(struct heap *heap, const struct jitvm_hash *hash)
{
    struct jitvm_hash *copy = hash_new(heap);
    if (!copy || !hash->len)
        return copy;
    size_t room = room_for(hash->len);
    if (resize_entries(heap, copy, room) < 0 || resize_index(heap, copy, room) < 0) {
        free_blocks(heap, copy);
        return NULL;
    }
    copy_entries(copy, hash);
    return copy;
}

int hash_own(struct heap *heap, struct jitvm_hash **hash)
{
    if (object_is_mine(&(*hash)->object))
        return 0;
    struct jitvm_hash *copy = hash_copy(heap, *hash);
    if (!copy)
        return -1;
    object_release(heap, &(*hash)->object);
    *hash = copy;
    return 0;
}

/* ---- by key --------------------------------------------------------------------------------- */

struct jitvm_value *hash_find(struct heap *heap, const struct jitvm_hash *hash,
                              struct jitvm_value key)
{
    struct lookup l;
    if (!lookup_begin(heap, &l, &key))
        return NULL;
    struct hash_entry *entry = find(hash, &l);
    lookup_end(heap, &l);
    return entry ? &entry->value : NULL;
}

static bool starts_like_int(const struct jitvm_str *str)
{
    return str->len && (str->bytes[0] <= '9' && str->bytes[0] >= '-');
}

struct jitvm_value *hash_find_plain(const struct jitvm_hash *hash, struct jitvm_value key)
{
    struct lookup l;
    l.str = NULL;
    if (key.kind == JITVM_INT) {
        lookup_int(&l, key.as.i);
    } else {
        l.str = key.as.str;
        if (starts_like_int(l.str)) {
            lookup_text(&l, l.str->bytes, l.str->len);
        } else {
            l.is_int = false;
            l.bytes = l.str->bytes;
            l.len = l.str->len;
            l.hash = str_hash(l.str);
        }
    }
    struct hash_entry *entry = find(hash, &l);
    return entry ? &entry->value : NULL;
}

struct jitvm_value *hash_place(struct heap *heap, struct jitvm_hash *hash, struct jitvm_value key)
{
    struct lookup l;
    if (!lookup_begin(heap, &l, &key))
        return NULL;
    struct hash_entry *entry = find(hash, &l);
    if (!entry)
        entry = add(heap, hash, &l);
    lookup_end(heap, &l);
    return entry ? &entry->value : NULL;
}

struct jitvm_value hash_delete(struct heap *heap, struct jitvm_hash *hash, struct jitvm_value key)
{
    struct lookup l;
    if (!lookup_begin(heap, &l, &key))
        return jitvm_undef();
    struct hash_entry *entry = find(hash, &l);
    lookup_end(heap, &l);
    if (!entry)
        return jitvm_undef();
    struct jitvm_value value = entry->value;
    struct jitvm_value stored = entry->key;
    entry->key = entry->value = jitvm_undef();
    hash->len--;
    value_release(heap, stored);
    return value;
}

/* ---- all of them ---------------------------------------------------------------------------- */

struct hash_entry *hash_next(const struct jitvm_hash *hash, size_t *at)
{
    while (*at < hash->used) {
        struct hash_entry *entry = &hash->entries[(*at)++];
        if (entry->key.kind != JITVM_UNDEF)
            return entry;
    }
    return NULL;
}

static int push_text(struct heap *heap, struct jitvm_array *array, struct jitvm_value v)
{
    struct jitvm_str *str = value_to_str(heap, v);
    if (!str)
        return -1;
    return array_push(heap, array, (struct jitvm_value){.kind = JITVM_STR, .as.str = str});
}

struct jitvm_array *hash_keys(struct heap *heap, const struct jitvm_hash *hash)
{
    size_t at = 0;
    const struct hash_entry *entry;
    struct jitvm_array *array = array_new(heap, hash->len);
    while (array && (entry = hash_next(hash, &at))) {
        if (push_text(heap, array, entry->key) < 0) {
            object_release(heap, &array->object);
            return NULL;
        }
    }
    return array;
}

struct jitvm_array *hash_values(struct heap *heap, const struct jitvm_hash *hash)
{
    size_t at = 0;
    const struct hash_entry *entry;
    struct jitvm_array *array = array_new(heap, hash->len);
    while (array && (entry = hash_next(hash, &at))) {
        value_retain(entry->value);
        if (array_push(heap, array, entry->value) < 0) {
            object_release(heap, &array->object);
            return NULL;
        }
    }
    return array;
}
