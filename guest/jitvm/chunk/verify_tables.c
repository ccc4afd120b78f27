/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verifier, everything but the ops. Repetitions are found by sorting: with a hash table, names
 * that are made to collide would take quadratic time.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/chunk/verify.h"
#include "guest/jitvm/value/number.h"

static int fail_memory(struct jitvm_error *err)
{
    return chunk_fail(err, JITVM_ERR_MEMORY, "no memory to verify a chunk");
}

static int check_limit(const char *what, uint32_t count, uint32_t most, struct jitvm_error *err)
{
    if (count > most)
        return chunk_fail(err, JITVM_ERR_LIMIT, "%u %s, more than %u", count, what, most);
    return 0;
}

static int check_header(const struct jitvm_chunk *chunk, struct jitvm_error *err)
{
    if (chunk->flags & ~(uint32_t)CHUNK_TRAP_OVERFLOW)
        return chunk_fail(err, JITVM_ERR_INVALID, "unknown flags 0x%x", chunk->flags);
    if (!chunk->source)
        return chunk_fail(err, JITVM_ERR_INVALID, "no name of the source");
    if (strlen(chunk->source) > CHUNK_SOURCE_MAX)
        return chunk_fail(err, JITVM_ERR_LIMIT, "the name of the source is longer than %u bytes",
                          CHUNK_SOURCE_MAX);
    if (chunk->function_count == 0)
        return chunk_fail(err, JITVM_ERR_INVALID, "no top level");
    int rc = check_limit("ops", chunk->op_count, CHUNK_OPS_MAX, err);
    if (rc == 0)
        rc = check_limit("functions", chunk->function_count, CHUNK_FUNCTIONS_MAX, err);
    if (rc == 0)
        rc = check_limit("names", chunk->name_count, CHUNK_NAMES_MAX, err);
    if (rc == 0)
        rc = check_limit("constants", chunk->constant_count, CHUNK_CONSTANTS_MAX, err);
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return str_compare(*(struct jitvm_str *const *)a, *(struct jitvm_str *const *)b);
}

static int find_repeated_name(struct jitvm_str *const *sorted, uint32_t count,
                              struct jitvm_error *err)
{
    for (uint32_t i = 1; i < count; i++)
        if (str_equal(sorted[i - 1], sorted[i]))
            return chunk_fail(err, JITVM_ERR_INVALID, "the name \"%.47s\" is there twice",
                              sorted[i]->bytes);
    return 0;
}

static int check_names(const struct jitvm_chunk *chunk, struct jitvm_error *err)
{
    if (chunk->name_count == 0)
        return 0;
    size_t size = chunk->name_count * sizeof(struct jitvm_str *);
    struct jitvm_str **sorted = malloc(size);
    if (!sorted)
        return fail_memory(err);
    memcpy(sorted, chunk->names, size);
    qsort(sorted, chunk->name_count, sizeof(struct jitvm_str *), compare_names);
    int rc = find_repeated_name(sorted, chunk->name_count, err);
    free(sorted);
    return rc;
}

static int check_constant(const struct jitvm_value *constant, uint32_t index,
                          struct jitvm_error *err)
{
    if (constant->kind != JITVM_INT && constant->kind != JITVM_FLOAT && constant->kind != JITVM_STR)
        return chunk_fail(err, JITVM_ERR_INVALID, "constant %u is of kind %u, which none can be",
                          index, constant->kind);
    if (constant->reserved != 0)
        return chunk_fail(err, JITVM_ERR_INVALID, "constant %u: a field is not 0", index);
    if (constant->kind == JITVM_FLOAT && constant->as.f != constant->as.f &&
        (uint64_t)constant->as.i != NUMBER_NAN_BITS)
        return chunk_fail(err, JITVM_ERR_INVALID,
                          "constant %u is a NaN that is not the canonical one", index);
    return 0;
}

/* Any total order will do. Floats by bits: 0.0 and -0.0 are two constants. */
static int compare_constants(const void *left, const void *right)
{
    const struct jitvm_value *a = left, *b = right;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->kind == JITVM_STR)
        return str_compare(a->as.str, b->as.str);
    return (a->as.i > b->as.i) - (a->as.i < b->as.i);
}

static int check_unlike(const struct jitvm_chunk *chunk, struct jitvm_error *err)
{
    size_t size = chunk->constant_count * sizeof(struct jitvm_value);
    struct jitvm_value *sorted = malloc(size);
    if (!sorted)
        return fail_memory(err);
    memcpy(sorted, chunk->constants, size);
    qsort(sorted, chunk->constant_count, sizeof(struct jitvm_value), compare_constants);
    int rc = 0;
    for (uint32_t i = 1; rc == 0 && i < chunk->constant_count; i++)
        if (compare_constants(&sorted[i - 1], &sorted[i]) == 0)
            rc = chunk_fail(err, JITVM_ERR_INVALID, "a constant is there twice");
    free(sorted);
    return rc;
}

static int check_constants(const struct jitvm_chunk *chunk, struct jitvm_error *err)
{
    for (uint32_t i = 0; i < chunk->constant_count; i++) {
        int rc = check_constant(&chunk->constants[i], i, err);
        if (rc < 0)
            return rc;
    }
    return chunk->constant_count == 0 ? 0 : check_unlike(chunk, err);
}

static int check_extensions(const struct jitvm_chunk *chunk, uint8_t *seen, struct jitvm_error *err)
{
    for (uint32_t i = 0; i < chunk->extension_count; i++) {
        const struct chunk_extension *extension = &chunk->extensions[i];
        if (extension->name >= chunk->name_count)
            return chunk_fail(err, JITVM_ERR_INVALID, "extension %u: name %u of %u", i,
                              extension->name, chunk->name_count);
        if (extension->pushes > 1)
            return chunk_fail(err, JITVM_ERR_INVALID, "extension %.47s pushes %u, more than 1",
                              chunk_name(chunk, extension->name), extension->pushes);
        if (seen[extension->name])
            return chunk_fail(err, JITVM_ERR_INVALID, "extension %.47s is there twice",
                              chunk_name(chunk, extension->name));
        seen[extension->name] = 1;
    }
    return 0;
}

static int check_function_name(const struct jitvm_chunk *chunk, uint32_t f, uint8_t *seen,
                               struct jitvm_error *err)
{
    uint32_t name = chunk->functions[f].name;
    if (f == 0)
        return name == UINT32_MAX ? 0
                                  : chunk_fail(err, JITVM_ERR_INVALID, "the top level has a name");
    if (name >= chunk->name_count)
        return chunk_fail(err, JITVM_ERR_INVALID, "function %u: name %u of %u", f, name,
                          chunk->name_count);
    if (seen[name])
        return chunk_fail(err, JITVM_ERR_INVALID, "function %.47s is there twice",
                          chunk_name(chunk, name));
    seen[name] = 1;
    return 0;
}

/* Ops follow each other, function by function: `ops` are those of the functions before. */
static int check_function(const struct jitvm_chunk *chunk, uint32_t f, uint32_t ops,
                          struct jitvm_error *err)
{
    const struct chunk_function *function = &chunk->functions[f];
    const char *name = chunk_function_name(chunk, f);
    if (function->first != ops || function->count > chunk->op_count - ops)
        return chunk_fail(err, JITVM_ERR_INVALID, "%.47s: ops %u to %u are not its own", name,
                          function->first, function->first + function->count);
    if (function->count == 0)
        return chunk_fail(err, JITVM_ERR_INVALID, "%.47s: no ops", name);
    if (function->arity > (f == 0 ? 0 : OP_ARGS_MAX))
        return chunk_fail(err, JITVM_ERR_INVALID, "%.47s: takes %u arguments, more than %u", name,
                          function->arity, f == 0 ? 0 : OP_ARGS_MAX);
    if (function->slots > CHUNK_SLOTS_MAX)
        return chunk_fail(err, JITVM_ERR_LIMIT, "%.47s: %u slots, more than %u", name,
                          function->slots, CHUNK_SLOTS_MAX);
    if (function->slots < function->arity)
        return chunk_fail(err, JITVM_ERR_INVALID, "%.47s: %u slots for %u arguments", name,
                          function->slots, function->arity);
    return 0;
}

static int check_functions(const struct jitvm_chunk *chunk, uint8_t *seen, struct jitvm_error *err)
{
    uint32_t ops = 0;
    for (uint32_t f = 0; f < chunk->function_count; f++) {
        int rc = check_function_name(chunk, f, seen, err);
        if (rc == 0)
            rc = check_function(chunk, f, ops, err);
        if (rc < 0)
            return rc;
        ops += chunk->functions[f].count;
    }
    if (ops != chunk->op_count)
        return chunk_fail(err, JITVM_ERR_INVALID, "%u ops are not in any function",
                          chunk->op_count - ops);
    return 0;
}

/* One of them at least is a name: a function without names has no table. */
static int check_slot_names_of(const struct jitvm_chunk *chunk, uint32_t f, struct jitvm_error *err)
{
    const struct chunk_function *function = &chunk->functions[f];
    bool named = false;
    for (uint32_t i = 0; i < function->slots; i++) {
        uint32_t name = chunk->slot_names[function->slot_names + i];
        if (name != UINT32_MAX && name >= chunk->name_count)
            return chunk_fail(err, JITVM_ERR_INVALID, "%.47s: slot %u: name %u of %u",
                              chunk_function_name(chunk, f), i, name, chunk->name_count);
        named |= name != UINT32_MAX;
    }
    if (!named)
        return chunk_fail(err, JITVM_ERR_INVALID, "%.47s: slot names without a name",
                          chunk_function_name(chunk, f));
    return 0;
}

static int check_slot_names(const struct jitvm_chunk *chunk, struct jitvm_error *err)
{
    uint32_t used = 0;
    for (uint32_t f = 0; f < chunk->function_count; f++) {
        const struct chunk_function *function = &chunk->functions[f];
        if (function->slot_names == UINT32_MAX)
            continue;
        if (function->slot_names != used || function->slots > chunk->slot_name_count - used)
            return chunk_fail(err, JITVM_ERR_INVALID, "%.47s: slot names that are not its own",
                              chunk_function_name(chunk, f));
        int rc = check_slot_names_of(chunk, f, err);
        if (rc < 0)
            return rc;
        used += function->slots;
    }
    if (used != chunk->slot_name_count)
        return chunk_fail(err, JITVM_ERR_INVALID, "%u slot names are not of any function",
                          chunk->slot_name_count - used);
    return 0;
}

/* Each entry is a change of line within its function, in the order of the ops. */
static int check_lines(const struct jitvm_chunk *chunk, struct jitvm_error *err)
{
    uint32_t f = 0, line = 0;
    for (uint32_t i = 0; i < chunk->line_count; i++) {
        const struct chunk_line *entry = &chunk->lines[i];
        if (entry->ip >= chunk->op_count)
            return chunk_fail(err, JITVM_ERR_INVALID, "line table: op %u of %u", entry->ip,
                              chunk->op_count);
        if (i > 0 && entry->ip <= chunk->lines[i - 1].ip)
            return chunk_fail(err, JITVM_ERR_INVALID, "line table: op %u after op %u", entry->ip,
                              chunk->lines[i - 1].ip);
        for (; entry->ip - chunk->functions[f].first >= chunk->functions[f].count; line = 0)
            f++;
        if (entry->line == line)
            return chunk_fail(err, JITVM_ERR_INVALID, "line table: line %u again at op %u", line,
                              entry->ip);
        line = entry->line;
    }
    return 0;
}

/* Functions and extensions are apart: one name may be of both. */
static int check_named(const struct jitvm_chunk *chunk, struct jitvm_error *err)
{
    uint8_t *seen = calloc((size_t)chunk->name_count + 1, 1);
    if (!seen)
        return fail_memory(err);
    int rc = check_functions(chunk, seen, err);
    memset(seen, 0, chunk->name_count);
    if (rc == 0)
        rc = check_extensions(chunk, seen, err);
    free(seen);
    return rc;
}

int verify_tables(const struct jitvm_chunk *chunk, struct jitvm_error *err)
{
    int rc = check_header(chunk, err);
    if (rc == 0)
        rc = check_names(chunk, err);
    if (rc == 0)
        rc = check_constants(chunk, err);
    if (rc == 0)
        rc = check_named(chunk, err);
    if (rc == 0)
        rc = check_slot_names(chunk, err);
    if (rc == 0)
        rc = check_lines(chunk, err);
    return rc;
}
