/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a chunk, and what one asks of it by name and by op. */
#include "guest/jitvm/chunk/chunk.h"

#include <stdlib.h>
#include <string.h>

struct jitvm_chunk *chunk_alloc(void)
{
    return calloc(1, sizeof(struct jitvm_chunk));
}

static void free_constants(struct jitvm_chunk *chunk)
{
    for (uint32_t i = 0; chunk->constants && i < chunk->constant_count; i++)
        if (chunk->constants[i].kind == JITVM_STR)
            free(chunk->constants[i].as.str);
    free(chunk->constants);
}

static void free_names(struct jitvm_chunk *chunk)
{
    for (uint32_t i = 0; chunk->names && i < chunk->name_count; i++)
        free(chunk->names[i]);
    free(chunk->names);
}

static void chunk_free(struct jitvm_chunk *chunk)
{
    free_constants(chunk);
    free_names(chunk);
    free(chunk->source);
    free(chunk->ops);
    free(chunk->functions);
    free(chunk->extensions);
    free(chunk->slot_names);
    free(chunk->lines);
    free(chunk);
}

int chunk_finish(struct jitvm_chunk *chunk, struct jitvm_chunk **out, struct jitvm_error *err)
{
    int rc = chunk_verify(chunk, err);
    if (rc == 0)
        rc = chunk_compute_identity(chunk, err);
    if (rc < 0) {
        chunk_free(chunk);
        return rc;
    }
    atomic_init(&chunk->refs, 1);
    *out = chunk;
    return 0;
}

struct jitvm_chunk *jitvm_chunk_ref(struct jitvm_chunk *chunk)
{
    atomic_fetch_add_explicit(&chunk->refs, 1, memory_order_relaxed);
    return chunk;
}

void jitvm_chunk_unref(struct jitvm_chunk *chunk)
{
    if (chunk && atomic_fetch_sub_explicit(&chunk->refs, 1, memory_order_acq_rel) == 1)
        chunk_free(chunk);
}

void jitvm_chunk_identity(const struct jitvm_chunk *chunk, uint8_t out[16])
{
    memcpy(out, chunk->identity, sizeof(chunk->identity));
}

const char *chunk_name(const struct jitvm_chunk *chunk, uint32_t name)
{
    return name < chunk->name_count ? chunk->names[name]->bytes : "";
}

const char *chunk_function_name(const struct jitvm_chunk *chunk, uint32_t function)
{
    return function == 0 ? "main" : chunk_name(chunk, chunk->functions[function].name);
}

int64_t chunk_find_function(const struct jitvm_chunk *chunk, const char *name)
{
    size_t len = strlen(name);
    for (uint32_t f = 1; f < chunk->function_count; f++) {
        const struct jitvm_str *found = chunk->names[chunk->functions[f].name];
        if (found->len == len && memcmp(found->bytes, name, len) == 0)
            return f;
    }
    return -1;
}

uint32_t chunk_function_at(const struct jitvm_chunk *chunk, uint32_t ip)
{
    uint32_t low = 0, high = chunk->function_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (chunk->functions[middle].first <= ip)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* How many entries of the line table are for ops up to `ip`. */
static uint32_t lines_up_to(const struct jitvm_chunk *chunk, uint32_t ip)
{
    uint32_t low = 0, high = chunk->line_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (chunk->lines[middle].ip <= ip)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t chunk_line_at(const struct jitvm_chunk *chunk, uint32_t ip)
{
    uint32_t found = lines_up_to(chunk, ip);
    if (found == 0)
        return 0;
    const struct chunk_line *line = &chunk->lines[found - 1];
    uint32_t first = chunk->functions[chunk_function_at(chunk, ip)].first;
    return line->ip >= first ? line->line : 0;
}
