/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed access to config.json. Every value knows how it was reached, so that each message names
 * the property: `config.json: mounts[3].options[1]: must be a string, not a number`.
 *
 * The file is written by whoever made the bundle and is not trusted: types, ranges and missing
 * properties are errors here, in one place. `null` counts as not given, as Go's encoders write
 * it for empty slices and maps. All failures are THAW_FAIL_CONFIG with -EINVAL.
 */
#ifndef THAW_BUNDLE_CONFIG_H
#define THAW_BUNDLE_CONFIG_H

#include "vmm/base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Largest config.json that is read, in bytes. */
#define CONFIG_SIZE_MAX (4u << 20)

struct config_value {
    json_t *json;                      /* borrowed; NULL: not given */
    const struct config_value *parent; /* NULL: config.json itself. Must outlive this value */
    const char *key;                   /* name in the parent; NULL for an element of an array */
    size_t index;                      /* which element, when key is NULL */
};

/* Parses `size` bytes at `text`, which is changed in place. `*root` gets a reference that the
 * caller drops with json_decref(). Malformed JSON, duplicate keys and \u0000 are errors that give
 * line and column. */
int config_parse(char *text, size_t size, json_t **root, struct thaw_error *err);

/* config.json itself. */
struct config_value config_root(json_t *json);

/* Property `key` of an object, or element `index` of an array. Any value that is not there (no
 * such key, `null`, a parent that is not an object) has json == NULL. */
struct config_value config_member(const struct config_value *object, const char *key);
struct config_value config_element(const struct config_value *array, size_t index);

static inline bool config_given(const struct config_value *value)
{
    return value->json;
}

/* Elements of an array or properties of an object; 0 when it is not given. */
size_t config_count(const struct config_value *value);

/* Fills `err` with "config.json: <path of value>: <why>", on one line whatever the file holds.
 * Returns -EINVAL. */
__attribute__((format(printf, 3, 4))) int config_fail(const struct config_value *value,
                                                      struct thaw_error *err, const char *why, ...);

/* What the value must be. A value that is not given fails with "is required". */
int config_as_object(const struct config_value *value, struct thaw_error *err);
int config_as_array(const struct config_value *value, struct thaw_error *err);
int config_as_string(const struct config_value *value, const char **out, struct thaw_error *err);
int config_as_bool(const struct config_value *value, bool *out, struct thaw_error *err);
int config_as_int(const struct config_value *value, int64_t min, int64_t max, int64_t *out,
                  struct thaw_error *err);
int config_as_uint(const struct config_value *value, uint64_t max, uint64_t *out,
                   struct thaw_error *err);
int config_as_u32(const struct config_value *value, uint32_t *out, struct thaw_error *err);

/* Optional properties: not given is success and leaves `*out` as it was (an object or array gets
 * json == NULL). */
int config_object(const struct config_value *object, const char *key, struct config_value *out,
                  struct thaw_error *err);
int config_array(const struct config_value *object, const char *key, struct config_value *out,
                 struct thaw_error *err);
int config_string(const struct config_value *object, const char *key, const char **out,
                  struct thaw_error *err);
int config_bool(const struct config_value *object, const char *key, bool *out,
                struct thaw_error *err);
int config_int(const struct config_value *object, const char *key, int64_t min, int64_t max,
               int64_t *out, struct thaw_error *err);
int config_uint(const struct config_value *object, const char *key, uint64_t max, uint64_t *out,
                struct thaw_error *err);
int config_u32(const struct config_value *object, const char *key, uint32_t *out,
               struct thaw_error *err);

/* Required properties. */
int config_need_string(const struct config_value *object, const char *key, const char **out,
                       struct thaw_error *err);
int config_need_u32(const struct config_value *object, const char *key, uint32_t *out,
                    struct thaw_error *err);

/* Calls `each` for every element of the array of strings at `key`, in order, until one fails. */
int config_strings(const struct config_value *object, const char *key,
                   int (*each)(void *context, const struct config_value *value, const char *string,
                               struct thaw_error *err),
                   void *context, struct thaw_error *err);

/* The same for an object whose values are strings; `value->key` is the name. */
int config_string_map(const struct config_value *object, const char *key,
                      int (*each)(void *context, const struct config_value *value,
                                  const char *string, struct thaw_error *err),
                      void *context, struct thaw_error *err);

/* A property that cannot be honoured: fails with `why` when it holds anything, that is when it is
 * given and is not false, 0, "", [] or {}. */
int config_refuse(const struct config_value *object, const char *key, const char *why,
                  struct thaw_error *err);

/* Names that stand for numbers. */
struct config_name {
    const char *name;
    uint64_t value;
};

/* Looks `name` up in a table of `count` rows; NULL when it is not there. */
const struct config_name *config_find_name(const struct config_name *table, size_t count,
                                           const char *name);

/* The string at `value` as its number in the table, or "unknown <what> <string>". */
int config_as_name(const struct config_value *value, const char *what,
                   const struct config_name *table, size_t count, uint64_t *out,
                   struct thaw_error *err);

#define CONFIG_COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

#endif
