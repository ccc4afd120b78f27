/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers by path, see path.h. Reading borrows level by level; writing goes from place to place,
 * each level made the caller's alone before the next one is looked for, so that a pointer into it
 * stays good.
 */
#include "guest/jitvm/value/path.h"

/* A negative index counts from the end; false below the start. */
static bool element_index(size_t len, struct jitvm_value key, size_t *index)
{
    int64_t i = key.kind == JITVM_INT ? key.as.i : value_to_int(key);
    if (i < 0)
        i += (int64_t)len;
    *index = (size_t)i;
    return i >= 0;
}

static bool element_within(size_t len, struct jitvm_value key, size_t *index)
{
    return element_index(len, key, index) && *index < len;
}

/* What most steps of most paths are: an int within an array. */
static inline bool plain_step(struct jitvm_value from, struct jitvm_value key)
{
    return from.kind == JITVM_ARRAY && key.kind == JITVM_INT &&
           (uint64_t)key.as.i < from.as.array->len;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Borrowed. A level that is undef, or nothing there: undef. */
static int read_level(struct heap *heap, struct jitvm_value from, struct jitvm_value key,
                      struct jitvm_value *out)
{
    size_t index;
    *out = jitvm_undef();
    if (from.kind == JITVM_ARRAY) {
        if (element_within(from.as.array->len, key, &index))
            *out = array_at(from.as.array, index);
        return 0;
    }
    if (from.kind == JITVM_HASH) {
        const struct jitvm_value *value = hash_find(heap, from.as.hash, key);
        if (value)
            *out = *value;
        return 0;
    }
    return from.kind == JITVM_UNDEF ? 0 : JITVM_ERR_TYPE;
}

/* The byte of a string, by one key; by further ones, a byte of that byte. */
static int read_byte(struct heap *heap, const struct jitvm_str *str, const struct jitvm_value *keys,
                     unsigned count, struct jitvm_value *out)
{
    size_t index, same;
    *out = jitvm_undef();
    if (!element_within(str->len, keys[0], &index))
        return 0;
    for (unsigned i = 1; i < count; i++) {
        if (!element_within(1, keys[i], &same))
            return 0;
    }
    struct jitvm_str *byte = str_new(heap, str->bytes + index, 1);
    if (!byte)
        return JITVM_ERR_HEAP;
    *out = (struct jitvm_value){.kind = JITVM_STR, .as.str = byte};
    return 0;
}

int path_get(struct heap *heap, struct jitvm_value from, const struct jitvm_value *keys,
             unsigned count, struct jitvm_value *out)
{
    for (unsigned i = 0; i < count; i++) {
        if (plain_step(from, keys[i])) {
            from = array_at(from.as.array, (size_t)keys[i].as.i);
            continue;
        }
        if (from.kind == JITVM_STR)
            return read_byte(heap, from.as.str, keys + i, count - i, out);
        int rc = read_level(heap, from, keys[i], &from);
        if (rc < 0)
            return rc;
    }
    value_retain(from);
    *out = from;
    return 0;
}

/* Borrowed, and not a byte of a string: what a container operation looks at. */
static int read_container(struct heap *heap, struct jitvm_value from,
                          const struct jitvm_value *keys, unsigned count, struct jitvm_value *out)
{
    int rc = 0;
    for (unsigned i = 0; i < count && rc == 0; i++)
        rc = read_level(heap, from, keys[i], &from);
    *out = from;
    return rc;
}

int path_exists(struct heap *heap, struct jitvm_value root, const struct jitvm_value *keys,
                unsigned count, bool *out)
{
    struct jitvm_value level;
    size_t index;
    *out = false;
    int rc = read_container(heap, root, keys, count - 1, &level);
    if (rc < 0 || level.kind == JITVM_UNDEF)
        return rc;
    struct jitvm_value key = keys[count - 1];
    if (level.kind == JITVM_HASH)
        *out = hash_find(heap, level.as.hash, key);
    else if (level.kind == JITVM_ARRAY)
        *out = element_within(level.as.array->len, key, &index);
    else if (level.kind == JITVM_STR)
        *out = element_within(level.as.str->len, key, &index);
    else
        return JITVM_ERR_TYPE;
    return 0;
}

static struct jitvm_array *array_keys(struct heap *heap, size_t len)
{
    struct jitvm_array *keys = array_new(heap, len);
    for (size_t i = 0; keys && i < len; i++)
        array_push(heap, keys, jitvm_int((int64_t)i)); /* there is room */
    return keys;
}

static int new_array(struct jitvm_array *array, struct jitvm_value *out)
{
    if (!array)
        return JITVM_ERR_HEAP;
    *out = (struct jitvm_value){.kind = JITVM_ARRAY, .as.array = array};
    return 0;
}

int path_keys(struct heap *heap, struct jitvm_value root, const struct jitvm_value *keys,
              unsigned count, struct jitvm_value *out)
{
    struct jitvm_value level;
    *out = jitvm_undef();
    int rc = read_container(heap, root, keys, count, &level);
    if (rc < 0)
        return rc;
    if (level.kind == JITVM_HASH)
        return new_array(hash_keys(heap, level.as.hash), out);
    if (level.kind == JITVM_ARRAY)
        return new_array(array_keys(heap, level.as.array->len), out);
    return level.kind == JITVM_UNDEF ? new_array(array_new(heap, 0), out) : JITVM_ERR_TYPE;
}

int path_values(struct heap *heap, struct jitvm_value root, const struct jitvm_value *keys,
                unsigned count, struct jitvm_value *out)
{
    struct jitvm_value level;
    *out = jitvm_undef();
    int rc = read_container(heap, root, keys, count, &level);
    if (rc < 0)
        return rc;
    if (level.kind == JITVM_HASH)
        return new_array(hash_values(heap, level.as.hash), out);
    if (level.kind == JITVM_ARRAY) {
        value_retain(level); /* a value: whoever changes it copies it first */
        *out = level;
        return 0;
    }
    return level.kind == JITVM_UNDEF ? new_array(array_new(heap, 0), out) : JITVM_ERR_TYPE;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Makes the container at the place the caller's alone. */
static int own(struct heap *heap, struct jitvm_value *place)
{
    int rc = JITVM_ERR_TYPE;
    if (place->kind == JITVM_ARRAY)
        rc = array_own(heap, &place->as.array) < 0 ? JITVM_ERR_HEAP : 0;
    else if (place->kind == JITVM_HASH)
        rc = hash_own(heap, &place->as.hash) < 0 ? JITVM_ERR_HEAP : 0;
    return rc;
}

static int make_array(struct heap *heap, struct jitvm_value *place)
{
    return new_array(array_new(heap, 0), place);
}

/* Likewise, made for the key where there is none. */
static int own_or_make(struct heap *heap, struct jitvm_value *place, struct jitvm_value key)
{
    if (place->kind != JITVM_UNDEF)
        return own(heap, place);
    if (key.kind == JITVM_INT && key.as.i >= 0)
        return make_array(heap, place);
    struct jitvm_hash *hash = hash_new(heap);
    if (!hash)
        return JITVM_ERR_HEAP;
    *place = (struct jitvm_value){.kind = JITVM_HASH, .as.hash = hash};
    return 0;
}

static int writable_index(const struct jitvm_array *array, struct jitvm_value key, size_t *index)
{
    return element_index(array->len, key, index) && *index < ARRAY_MAX ? 0 : JITVM_ERR_VALUE;
}

/* An element that is there, in an array that is the caller's alone: a case of make_entry. */
static struct jitvm_value *plain_entry(struct jitvm_value level, struct jitvm_value key)
{
    if (!plain_step(level, key) || !object_is_mine(level.as.object) ||
        level.as.array->element != ARRAY_VALUE)
        return NULL;
    return &level.as.array->data.values[key.as.i];
}

static int make_element(struct heap *heap, struct jitvm_array *array, struct jitvm_value key,
                        struct jitvm_value **place)
{
    size_t index;
    int rc = writable_index(array, key, &index);
    if (rc < 0)
        return rc;
    *place = array_place(heap, array, index);
    return *place ? 0 : JITVM_ERR_HEAP;
}

/* The place of the entry in the container at *place, made when it is not there. */
static int make_entry(struct heap *heap, struct jitvm_value **place, struct jitvm_value key)
{
    struct jitvm_value *level = *place;
    if ((*place = plain_entry(*level, key)))
        return 0;
    int rc = own_or_make(heap, level, key);
    if (rc < 0)
        return rc;
    if (level->kind == JITVM_ARRAY)
        return make_element(heap, level->as.array, key, place);
    *place = hash_place(heap, level->as.hash, key);
    return *place ? 0 : JITVM_ERR_HEAP;
}

static int make_path(struct heap *heap, struct jitvm_value **place, const struct jitvm_value *keys,
                     unsigned count)
{
    int rc = 0;
    for (unsigned i = 0; i < count && rc == 0; i++)
        rc = make_entry(heap, place, keys[i]);
    return rc;
}

/* These take the value, also when they fail. */
static int set_element(struct heap *heap, struct jitvm_array *array, struct jitvm_value key,
                       struct jitvm_value value)
{
    size_t index;
    int rc = writable_index(array, key, &index);
    if (rc < 0) {
        value_release(heap, value);
        return rc;
    }
    return array_set(heap, array, index, value) < 0 ? JITVM_ERR_HEAP : 0;
}

static int set_entry(struct heap *heap, struct jitvm_hash *hash, struct jitvm_value key,
                     struct jitvm_value value)
{
    struct jitvm_value *entry = hash_place(heap, hash, key);
    if (!entry) {
        value_release(heap, value);
        return JITVM_ERR_HEAP;
    }
    struct jitvm_value before = *entry;
    *entry = value;
    value_release(heap, before);
    return 0;
}

int path_set(struct heap *heap, struct jitvm_value *root, const struct jitvm_value *keys,
             unsigned count, struct jitvm_value value)
{
    struct jitvm_value key = keys[count - 1];
    int rc = make_path(heap, &root, keys, count - 1);
    if (rc == 0 && plain_step(*root, key) && object_is_mine(root->as.object))
        return array_set(heap, root->as.array, (size_t)key.as.i, value) < 0 ? JITVM_ERR_HEAP : 0;
    if (rc == 0)
        rc = own_or_make(heap, root, key);
    if (rc < 0) {
        value_release(heap, value);
        return rc;
    }
    if (root->kind == JITVM_ARRAY)
        return set_element(heap, root->as.array, key, value);
    return set_entry(heap, root->as.hash, key, value);
}

int path_push(struct heap *heap, struct jitvm_value *root, const struct jitvm_value *keys,
              unsigned count, struct jitvm_value value)
{
    int rc = make_path(heap, &root, keys, count);
    if (rc == 0 && root->kind == JITVM_UNDEF)
        rc = make_array(heap, root);
    else if (rc == 0)
        rc = root->kind == JITVM_ARRAY ? own(heap, root) : JITVM_ERR_TYPE;
    if (rc < 0) {
        value_release(heap, value);
        return rc;
    }
    return array_push(heap, root->as.array, value) < 0 ? JITVM_ERR_HEAP : 0;
}

/* ---- taking out ----------------------------------------------------------------------------- */

/* The place of an entry that is there, in a container made the caller's alone; otherwise *place
 * becomes NULL, and nothing was copied at this level. */
static int find_entry(struct heap *heap, struct jitvm_value **place, struct jitvm_value key)
{
    struct jitvm_value level = **place;
    struct jitvm_value found;
    int rc = read_level(heap, level, key, &found);
    if (rc < 0)
        return rc;
    if (found.kind == JITVM_UNDEF) {
        *place = NULL;
        return 0;
    }
    if (!value_on_heap(found))
        return JITVM_ERR_TYPE;
    rc = own(heap, *place);
    return rc < 0 ? rc : make_entry(heap, place, key);
}

static int find_path(struct heap *heap, struct jitvm_value **place, const struct jitvm_value *keys,
                     unsigned count)
{
    int rc = 0;
    for (unsigned i = 0; i < count && rc == 0 && *place; i++)
        rc = find_entry(heap, place, keys[i]);
    return rc;
}

/* The array at the path, the caller's alone; NULL when there is nothing. */
static int find_array(struct heap *heap, struct jitvm_value *root, const struct jitvm_value *keys,
                      unsigned count, struct jitvm_array **out)
{
    *out = NULL;
    int rc = find_path(heap, &root, keys, count);
    if (rc < 0 || !root || root->kind == JITVM_UNDEF)
        return rc;
    if (root->kind != JITVM_ARRAY)
        return JITVM_ERR_TYPE;
    rc = own(heap, root);
    *out = root->as.array;
    return rc;
}

int path_pop(struct heap *heap, struct jitvm_value *root, const struct jitvm_value *keys,
             unsigned count, struct jitvm_value *out)
{
    struct jitvm_array *array;
    int rc = find_array(heap, root, keys, count, &array);
    *out = rc == 0 && array ? array_pop(array) : jitvm_undef();
    return rc;
}

int path_shift(struct heap *heap, struct jitvm_value *root, const struct jitvm_value *keys,
               unsigned count, struct jitvm_value *out)
{
    struct jitvm_array *array;
    int rc = find_array(heap, root, keys, count, &array);
    *out = rc == 0 && array ? array_shift(array) : jitvm_undef();
    return rc;
}

static int delete_entry(struct heap *heap, struct jitvm_value *place, struct jitvm_value key,
                        struct jitvm_value *out)
{
    size_t index;
    int rc = own(heap, place);
    if (rc < 0)
        return rc;
    if (place->kind == JITVM_HASH)
        *out = hash_delete(heap, place->as.hash, key);
    else if (element_within(place->as.array->len, key, &index))
        *out = array_remove(place->as.array, index);
    return 0;
}

int path_delete(struct heap *heap, struct jitvm_value *root, const struct jitvm_value *keys,
                unsigned count, struct jitvm_value *out)
{
    *out = jitvm_undef();
    int rc = find_path(heap, &root, keys, count - 1);
    if (rc < 0 || !root || root->kind == JITVM_UNDEF)
        return rc;
    return delete_entry(heap, root, keys[count - 1], out);
}
