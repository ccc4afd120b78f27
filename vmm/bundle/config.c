/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * OCI has properties of type uint64 (RLIM_INFINITY is one's usual value) and jansson keeps
 * integers in an int64_t. Before parsing, an integer above INT64_MAX is therefore rewritten, in as
 * many bytes as it had so that columns stay right, as a string: WIDE_MARK and WIDE_DIGITS digits
 * of base 32, then spaces. The shortest such integer has 19 digits, which is room enough.
 */
#define WIDE_MARK       '\x7f'
#define WIDE_DIGITS     13
#define WIDE_BASE       32
#define WIDE_LENGTH_MIN 19

static void wide_write(char *token, size_t length, uint64_t value)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    memset(token, ' ', length);
    token[0] = '"';
    token[1] = WIDE_MARK;
    for (size_t i = WIDE_DIGITS; i > 0; i--, value /= WIDE_BASE)
        token[1 + i] = digits[value % WIDE_BASE];
    token[2 + WIDE_DIGITS] = '"';
}

static bool wide_read(const json_t *json, uint64_t *value)
{
    if (!json_is_string(json) || json_string_length(json) != 1 + WIDE_DIGITS)
        return false;
    const char *text = json_string_value(json);
    char *end;
    *value = strtoull(text + 1, &end, WIDE_BASE);
    return text[0] == WIDE_MARK && *end == '\0';
}

/* Length of the digits at `at`, when they are a whole integer token; a fraction or an exponent
 * makes it something else. */
static size_t integer_length(const char *at, const char *end)
{
    size_t length = 0;
    while (at + length < end && at[length] >= '0' && at[length] <= '9')
        length++;
    bool real = at + length < end && strchr(".eE", at[length]) && at[length] != '\0';
    return real ? 0 : length;
}

static void rewrite_wide_integer(char *token, size_t length)
{
    if (length < WIDE_LENGTH_MIN || length > WIDE_LENGTH_MIN + 1 || token[0] == '0')
        return;

    char digits[WIDE_LENGTH_MIN + 2] = {0};
    memcpy(digits, token, length);
    errno = 0;
    uint64_t value = strtoull(digits, NULL, 10);
    if (errno == 0 && value > INT64_MAX)
        wide_write(token, length, value);
}

static char *skip_string(char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\' && at + 1 < end)
            at++;
    }
    return at < end ? at + 1 : at;
}

static void rewrite_wide_integers(char *text, size_t size)
{
    const char *end = text + size;
    for (char *at = text; at < end;) {
        if (*at == '"') {
            at = skip_string(at, end);
            continue;
        }
        bool starts = at == text || !strchr("0123456789.eE+-", at[-1]) || at[-1] == '\0';
        size_t length = starts ? integer_length(at, end) : 0;
        rewrite_wide_integer(at, length);
        at += length > 0 ? length : 1;
    }
}

/* Text from the file goes into messages: one line, whatever it holds. */
static void make_printable(char *message)
{
    for (char *at = message; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == WIDE_MARK)
            *at = '?';
    }
}

int config_parse(char *text, size_t size, json_t **root, struct thaw_error *err)
{
    rewrite_wide_integers(text, size);

    json_error_t error;
    *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (*root)
        return 0;

    bool nul = json_error_code(&error) == json_error_null_character;
    thaw_fail_as(err, THAW_FAIL_CONFIG, EINVAL, "config.json:%d:%d: %s", error.line, error.column,
                 nul ? "a string must not contain \\u0000" : error.text);
    make_printable(err->message);
    return thaw_error_code(err);
}

struct config_value config_root(json_t *json)
{
    return (struct config_value){.json = json};
}

struct config_value config_member(const struct config_value *object, const char *key)
{
    json_t *json = json_object_get(object->json, key);
    return (struct config_value){
        .json = json_is_null(json) ? NULL : json, .parent = object, .key = key};
}

struct config_value config_element(const struct config_value *array, size_t index)
{
    json_t *json = json_array_get(array->json, index);
    return (struct config_value){
        .json = json_is_null(json) ? NULL : json, .parent = array, .index = index};
}

size_t config_count(const struct config_value *value)
{
    return json_is_array(value->json) ? json_array_size(value->json)
                                      : json_object_size(value->json);
}

/* Writes "process.user.additionalGids[2]"; what does not fit is cut off. */
static size_t write_path(const struct config_value *value, char *path, size_t size)
{
    if (!value->parent)
        return 0;

    size_t used = write_path(value->parent, path, size);
    int n;
    if (value->key)
        n = snprintf(path + used, size - used, "%s%s", used > 0 ? "." : "", value->key);
    else
        n = snprintf(path + used, size - used, "[%zu]", value->index);
    if (n < 0)
        return used;
    return used + (size_t)n < size ? used + (size_t)n : size - 1;
}

int config_fail(const struct config_value *value, struct thaw_error *err, const char *why, ...)
{
    char path[THAW_ERROR_MESSAGE_MAX / 2] = "";
    size_t length = write_path(value, path, sizeof(path));

    char sentence[THAW_ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, why);
    vsnprintf(sentence, sizeof(sentence), why, args);
    va_end(args);

    thaw_fail_as(err, THAW_FAIL_CONFIG, EINVAL, "config.json: %s%s%s", path, length ? ": " : "",
                 sentence);
    make_printable(err->message);
    return -EINVAL;
}

static const char *type_name(const json_t *json)
{
    uint64_t wide;
    if (wide_read(json, &wide))
        return "a number";
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a number";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

static int fail_type(const struct config_value *value, const char *wanted, struct thaw_error *err)
{
    if (!config_given(value))
        return config_fail(value, err, "is required");
    return config_fail(value, err, "must be %s, not %s", wanted, type_name(value->json));
}

int config_as_object(const struct config_value *value, struct thaw_error *err)
{
    return json_is_object(value->json) ? 0 : fail_type(value, "an object", err);
}

int config_as_array(const struct config_value *value, struct thaw_error *err)
{
    return json_is_array(value->json) ? 0 : fail_type(value, "an array", err);
}

int config_as_string(const struct config_value *value, const char **out, struct thaw_error *err)
{
    uint64_t wide;
    if (!json_is_string(value->json) || wide_read(value->json, &wide))
        return fail_type(value, "a string", err);
    *out = json_string_value(value->json);
    return 0;
}

int config_as_bool(const struct config_value *value, bool *out, struct thaw_error *err)
{
    if (!json_is_boolean(value->json))
        return fail_type(value, "a boolean", err);
    *out = json_is_true(value->json);
    return 0;
}

int config_as_int(const struct config_value *value, int64_t min, int64_t max, int64_t *out,
                  struct thaw_error *err)
{
    uint64_t wide;
    bool is_wide = wide_read(value->json, &wide);
    if (!json_is_integer(value->json) && !is_wide)
        return fail_type(value, "an integer", err);

    int64_t number = json_integer_value(value->json);
    if (is_wide || number < min || number > max)
        return config_fail(value, err, "must be between %lld and %lld", (long long)min,
                           (long long)max);
    *out = number;
    return 0;
}

int config_as_uint(const struct config_value *value, uint64_t max, uint64_t *out,
                   struct thaw_error *err)
{
    uint64_t number;
    bool is_wide = wide_read(value->json, &number);
    if (!json_is_integer(value->json) && !is_wide)
        return fail_type(value, "an integer", err);

    bool negative = !is_wide && json_integer_value(value->json) < 0;
    if (!is_wide)
        number = (uint64_t)json_integer_value(value->json);
    if (negative || number > max)
        return config_fail(value, err, "must be between 0 and %llu", (unsigned long long)max);
    *out = number;
    return 0;
}

int config_as_u32(const struct config_value *value, uint32_t *out, struct thaw_error *err)
{
    uint64_t number = 0;
    int rc = config_as_uint(value, UINT32_MAX, &number, err);
    if (rc == 0)
        *out = (uint32_t)number;
    return rc;
}

int config_object(const struct config_value *object, const char *key, struct config_value *out,
                  struct thaw_error *err)
{
    *out = config_member(object, key);
    return config_given(out) ? config_as_object(out, err) : 0;
}

int config_array(const struct config_value *object, const char *key, struct config_value *out,
                 struct thaw_error *err)
{
    *out = config_member(object, key);
    return config_given(out) ? config_as_array(out, err) : 0;
}

int config_string(const struct config_value *object, const char *key, const char **out,
                  struct thaw_error *err)
{
    struct config_value value = config_member(object, key);
    return config_given(&value) ? config_as_string(&value, out, err) : 0;
}

int config_bool(const struct config_value *object, const char *key, bool *out,
                struct thaw_error *err)
{
    struct config_value value = config_member(object, key);
    return config_given(&value) ? config_as_bool(&value, out, err) : 0;
}

int config_int(const struct config_value *object, const char *key, int64_t min, int64_t max,
               int64_t *out, struct thaw_error *err)
{
    struct config_value value = config_member(object, key);
    return config_given(&value) ? config_as_int(&value, min, max, out, err) : 0;
}

int config_uint(const struct config_value *object, const char *key, uint64_t max, uint64_t *out,
                struct thaw_error *err)
{
    struct config_value value = config_member(object, key);
    return config_given(&value) ? config_as_uint(&value, max, out, err) : 0;
}

int config_u32(const struct config_value *object, const char *key, uint32_t *out,
               struct thaw_error *err)
{
    struct config_value value = config_member(object, key);
    return config_given(&value) ? config_as_u32(&value, out, err) : 0;
}

int config_need_string(const struct config_value *object, const char *key, const char **out,
                       struct thaw_error *err)
{
    struct config_value value = config_member(object, key);
    return config_as_string(&value, out, err);
}

int config_need_u32(const struct config_value *object, const char *key, uint32_t *out,
                    struct thaw_error *err)
{
    struct config_value value = config_member(object, key);
    return config_as_u32(&value, out, err);
}

int config_strings(const struct config_value *object, const char *key,
                   int (*each)(void *context, const struct config_value *value, const char *string,
                               struct thaw_error *err),
                   void *context, struct thaw_error *err)
{
    struct config_value array;
    int rc = config_array(object, key, &array, err);
    for (size_t i = 0; rc == 0 && i < config_count(&array); i++) {
        struct config_value value = config_element(&array, i);
        const char *string = NULL;
        rc = config_as_string(&value, &string, err);
        if (rc == 0)
            rc = each(context, &value, string, err);
    }
    return rc;
}

int config_string_map(const struct config_value *object, const char *key,
                      int (*each)(void *context, const struct config_value *value,
                                  const char *string, struct thaw_error *err),
                      void *context, struct thaw_error *err)
{
    struct config_value map;
    int rc = config_object(object, key, &map, err);
    for (void *at = json_object_iter(map.json); rc == 0 && at;
         at = json_object_iter_next(map.json, at)) {
        struct config_value value = config_member(&map, json_object_iter_key(at));
        const char *string = NULL;
        rc = config_as_string(&value, &string, err);
        if (rc == 0)
            rc = each(context, &value, string, err);
    }
    return rc;
}

int config_refuse(const struct config_value *object, const char *key, const char *why,
                  struct thaw_error *err)
{
    struct config_value value = config_member(object, key);
    const json_t *json = value.json;
    bool empty = !config_given(&value) || json_is_false(json) ||
                 (json_is_integer(json) && json_integer_value(json) == 0) ||
                 (json_is_string(json) && json_string_length(json) == 0) ||
                 ((json_is_array(json) || json_is_object(json)) && config_count(&value) == 0);
    return empty ? 0 : config_fail(&value, err, "%s", why);
}

const struct config_name *config_find_name(const struct config_name *table, size_t count,
                                           const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    }
    return NULL;
}

int config_as_name(const struct config_value *value, const char *what,
                   const struct config_name *table, size_t count, uint64_t *out,
                   struct thaw_error *err)
{
    const char *name = "";
    int rc = config_as_string(value, &name, err);
    if (rc < 0)
        return rc;
    const struct config_name *row = config_find_name(table, count, name);
    if (!row)
        return config_fail(value, err, "unknown %s %s", what, name);
    *out = row->value;
    return 0;
}
