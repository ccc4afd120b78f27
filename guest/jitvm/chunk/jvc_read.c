/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .jvc to chunks. The bytes are hostile: nothing is allocated that is larger than what is left of
 * them justifies, and whatever the verifier looks at is checked there, not here. Here: that there
 * is nothing but the one form, so that writing the chunk gives these bytes again.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/chunk/jvc.h"

struct reader {
    const uint8_t *at;
    size_t left;
    struct jitvm_chunk *chunk;
    struct jitvm_error *err;
};

static int fail_short(const struct reader *r)
{
    (void)chunk_fail(r->err, JITVM_ERR_INVALID, "a .jvc file that ends early");
    return JITVM_ERR_INVALID;
}

static int fail_memory(const struct reader *r)
{
    (void)chunk_fail(r->err, JITVM_ERR_MEMORY, "no memory to read a chunk");
    return JITVM_ERR_MEMORY;
}

/* The caller has made sure that they are there. */
static uint64_t take_le(struct reader *r, unsigned len)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < len; i++)
        value |= (uint64_t)r->at[i] << (8 * i);
    r->at += len;
    r->left -= len;
    return value;
}

static uint8_t take_u8(struct reader *r)
{
    return (uint8_t)take_le(r, 1);
}

static uint16_t take_u16(struct reader *r)
{
    return (uint16_t)take_le(r, 2);
}

static uint32_t take_u32(struct reader *r)
{
    return (uint32_t)take_le(r, 4);
}

/* A count of things that take at least `size` bytes each and are at most `most`; *array has
 * room for them, zeroed, of `element` bytes each. */
static int take_count(struct reader *r, size_t size, uint32_t most, size_t element, uint32_t *count,
                      void **array)
{
    if (r->left < 4)
        return fail_short(r);
    uint32_t n = take_u32(r);
    if (n > most) {
        (void)chunk_fail(r->err, JITVM_ERR_LIMIT, "a .jvc file with a table of %u, more than %u", n,
                         most);
        return JITVM_ERR_LIMIT;
    }
    if (r->left / size < n)
        return fail_short(r);
    *array = calloc((size_t)n + 1, element);
    if (!*array)
        return fail_memory(r);
    *count = n;
    return 0;
}

static int take_str(struct reader *r, struct jitvm_str **out)
{
    if (r->left < 4)
        return fail_short(r);
    uint32_t len = take_u32(r);
    if (len > r->left)
        return fail_short(r);
    *out = str_new_immortal(r->at, len);
    if (!*out)
        return fail_memory(r);
    r->at += len;
    r->left -= len;
    return 0;
}

/* ---- sections: each is given its own bytes -------------------------------------------------- */

static int read_source(struct reader *r)
{
    if (r->left > CHUNK_SOURCE_MAX)
        return chunk_fail(r->err, JITVM_ERR_LIMIT, "the name of the source is longer than %u bytes",
                          CHUNK_SOURCE_MAX);
    if (memchr(r->at, '\0', r->left))
        return chunk_fail(r->err, JITVM_ERR_INVALID, "a 0 in the name of the source");
    r->chunk->source = malloc(r->left + 1);
    if (!r->chunk->source)
        return fail_memory(r);
    memcpy(r->chunk->source, r->at, r->left);
    r->chunk->source[r->left] = '\0';
    r->left = 0;
    return 0;
}

static int read_names(struct reader *r)
{
    void *array = NULL;
    struct jitvm_chunk *chunk = r->chunk;
    int rc =
        take_count(r, 4, CHUNK_NAMES_MAX, sizeof(struct jitvm_str *), &chunk->name_count, &array);
    chunk->names = array;
    for (uint32_t i = 0; rc == 0 && i < chunk->name_count; i++)
        rc = take_str(r, &chunk->names[i]);
    return rc;
}

static int read_constant(struct reader *r, struct jitvm_value *out)
{
    if (r->left < 1)
        return fail_short(r);
    uint32_t kind = take_u8(r);
    if (kind == JITVM_STR) {
        int rc = take_str(r, &out->as.str);
        out->kind = rc == 0 ? kind : JITVM_UNDEF;
        return rc;
    }
    if (r->left < 8)
        return fail_short(r);
    out->kind = kind;
    out->as.i = (int64_t)take_le(r, 8);
    return 0;
}

static int read_constants(struct reader *r)
{
    void *array = NULL;
    struct jitvm_chunk *chunk = r->chunk;
    int rc = take_count(r, 5, CHUNK_CONSTANTS_MAX, sizeof(*chunk->constants),
                        &chunk->constant_count, &array);
    chunk->constants = array;
    for (uint32_t i = 0; rc == 0 && i < chunk->constant_count; i++)
        rc = read_constant(r, &chunk->constants[i]);
    return rc;
}

static int read_extensions(struct reader *r)
{
    void *array = NULL;
    struct jitvm_chunk *chunk = r->chunk;
    int rc = take_count(r, 6, CHUNK_NAMES_MAX, sizeof(*chunk->extensions), &chunk->extension_count,
                        &array);
    chunk->extensions = array;
    for (uint32_t i = 0; rc == 0 && i < chunk->extension_count; i++) {
        chunk->extensions[i].name = take_u32(r);
        chunk->extensions[i].pops = take_u8(r);
        chunk->extensions[i].pushes = take_u8(r);
    }
    return rc;
}

/* `first` and `slot_names` follow from those before; sums that overflow do not get past the
 * verifier, which counts for itself. */
static int read_functions(struct reader *r)
{
    void *array = NULL;
    struct jitvm_chunk *chunk = r->chunk;
    int rc = take_count(r, 13, CHUNK_FUNCTIONS_MAX, sizeof(*chunk->functions),
                        &chunk->function_count, &array);
    chunk->functions = array;
    uint32_t ops = 0, slot_names = 0;
    for (uint32_t i = 0; rc == 0 && i < chunk->function_count; i++) {
        struct chunk_function *function = &chunk->functions[i];
        function->name = take_u32(r);
        function->first = ops;
        function->count = take_u32(r);
        function->arity = take_u16(r);
        function->slots = take_u16(r);
        uint8_t named = take_u8(r);
        function->slot_names = named == 1 ? slot_names : UINT32_MAX;
        if (named > 1)
            rc = chunk_fail(r->err, JITVM_ERR_INVALID, "function %u: %u is not 0 or 1", i, named);
        ops += function->count;
        slot_names += named == 1 ? function->slots : 0;
    }
    return rc;
}

static int read_slot_names(struct reader *r)
{
    void *array = NULL;
    struct jitvm_chunk *chunk = r->chunk;
    int rc = take_count(r, 4, UINT32_MAX - 1, sizeof(*chunk->slot_names), &chunk->slot_name_count,
                        &array);
    chunk->slot_names = array;
    for (uint32_t i = 0; rc == 0 && i < chunk->slot_name_count; i++)
        chunk->slot_names[i] = take_u32(r);
    return rc;
}

static int read_code(struct reader *r)
{
    void *array = NULL;
    struct jitvm_chunk *chunk = r->chunk;
    int rc = take_count(r, 20, CHUNK_OPS_MAX, sizeof(*chunk->ops), &chunk->op_count, &array);
    chunk->ops = array;
    for (uint32_t i = 0; rc == 0 && i < chunk->op_count; i++) {
        struct jitvm_op *op = &chunk->ops[i];
        op->code = take_u16(r);
        op->a = take_u16(r);
        op->b = take_u32(r);
        op->c = take_u32(r);
        op->imm = (int64_t)take_le(r, 8);
    }
    return rc;
}

static int read_lines(struct reader *r)
{
    void *array = NULL;
    struct jitvm_chunk *chunk = r->chunk;
    int rc = take_count(r, 8, CHUNK_OPS_MAX, sizeof(*chunk->lines), &chunk->line_count, &array);
    chunk->lines = array;
    for (uint32_t i = 0; rc == 0 && i < chunk->line_count; i++) {
        chunk->lines[i].ip = take_u32(r);
        chunk->lines[i].line = take_u32(r);
    }
    return rc;
}

/* ---- the file ------------------------------------------------------------------------------- */

static int read_section(struct reader *r, enum jvc_section section)
{
    static int (*const read_contents[JVC_SECTIONS])(struct reader *) = {
        read_source,    read_names,      read_constants, read_extensions,
        read_functions, read_slot_names, read_code,      read_lines};
    if (r->left < 12)
        return fail_short(r);
    uint32_t tag = take_u32(r);
    uint64_t len = take_le(r, 8);
    if (tag != jvc_tag(section))
        return chunk_fail(r->err, JITVM_ERR_INVALID, "a .jvc file without section %u in its place",
                          section);
    if (len > r->left)
        return fail_short(r);
    struct reader own = {.at = r->at, .left = (size_t)len, .chunk = r->chunk, .err = r->err};
    int rc = read_contents[section](&own);
    if (rc == 0 && own.left > 0)
        rc = chunk_fail(r->err, JITVM_ERR_INVALID,
                        "%zu bytes too many in section %u of a .jvc file", own.left, section);
    r->at += len;
    r->left -= (size_t)len;
    return rc;
}

static int read_header(struct reader *r, const uint8_t *bytes, size_t len)
{
    if (len < JVC_HEADER_SIZE || memcmp(bytes, JVC_MAGIC, JVC_MAGIC_SIZE) != 0)
        return chunk_fail(r->err, JITVM_ERR_INVALID, "not a .jvc file");
    r->at += JVC_MAGIC_SIZE;
    r->left -= JVC_MAGIC_SIZE;
    uint32_t version = take_u32(r);
    if (version != JVC_VERSION)
        return chunk_fail(r->err, JITVM_ERR_INVALID, "a .jvc file of version %u, not %u", version,
                          JVC_VERSION);
    r->chunk->flags = take_u32(r);
    if (take_le(r, 8) != chunk_abi_hash())
        return chunk_fail(r->err, JITVM_ERR_INVALID, "a .jvc file made for another list of ops");
    uint8_t identity[16];
    jvc_identity(bytes, len, identity);
    if (memcmp(identity, r->at, sizeof(identity)) != 0)
        return chunk_fail(r->err, JITVM_ERR_INVALID,
                          "a damaged .jvc file: its contents have another identity");
    r->at += sizeof(identity);
    r->left -= sizeof(identity);
    return 0;
}

static int read_file(struct reader *r, const uint8_t *bytes, size_t len)
{
    int rc = read_header(r, bytes, len);
    for (unsigned section = 0; rc == 0 && section < JVC_SECTIONS; section++)
        rc = read_section(r, section);
    if (rc == 0 && r->left > 0)
        rc = chunk_fail(r->err, JITVM_ERR_INVALID, "%zu bytes behind the end of a .jvc file",
                        r->left);
    return rc;
}

int jitvm_chunk_read(const void *bytes, size_t len, struct jitvm_chunk **out,
                     struct jitvm_error *err)
{
    struct jitvm_chunk *chunk = chunk_alloc();
    if (!chunk)
        return chunk_fail(err, JITVM_ERR_MEMORY, "no memory to read a chunk");
    atomic_init(&chunk->refs, 1);
    struct reader r = {.at = bytes, .left = len, .chunk = chunk, .err = err};
    int rc = read_file(&r, bytes, len);
    if (rc < 0) {
        jitvm_chunk_unref(chunk);
        return rc;
    }
    return chunk_finish(chunk, out, err);
}
