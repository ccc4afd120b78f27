/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks to .jvc, and their identity. */
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "guest/jitvm/chunk/jvc.h"
#include "guest/jitvm/value/grow.h"

/* ---- identity ------------------------------------------------------------------------------- */

/* Everything that gives a chunk's bytes their meaning. */
static const char abi_text[] = "jvc 1;u16 u16 u32 u32 i64;undef bool int float func native handle "
                               "str array hash;trap-overflow;"
#define X(name, operands, pops, pushes) #name " " #operands " " #pops " " #pushes ";"
#include "guest/jitvm/chunk/op.def"
#undef X
    ;

uint64_t chunk_abi_hash(void)
{
    return XXH3_64bits(abi_text, sizeof(abi_text) - 1);
}

void jvc_identity(const uint8_t *bytes, size_t len, uint8_t out[16])
{
    XXH3_state_t state;
    size_t behind = JVC_IDENTITY_AT + 16;
    (void)XXH3_128bits_reset(&state);
    (void)XXH3_128bits_update(&state, bytes, JVC_IDENTITY_AT);
    (void)XXH3_128bits_update(&state, bytes + behind, len - behind);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    memcpy(out, canonical.digest, 16);
}

/* ---- bytes ---------------------------------------------------------------------------------- */

struct writer {
    uint8_t *bytes;
    size_t len, room;
    bool failed; /* no memory */
};

static void put(struct writer *w, const void *from, size_t len)
{
    uint8_t *bytes = w->failed ? NULL : grow(w->bytes, &w->room, w->len + len, 1);
    if (!bytes) {
        w->failed = true;
        return;
    }
    w->bytes = bytes;
    if (len > 0)
        memcpy(bytes + w->len, from, len);
    w->len += len;
}

static void put_le(struct writer *w, uint64_t value, unsigned len)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < len; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    put(w, bytes, len);
}

static void set_le(uint8_t *to, uint64_t value, unsigned len)
{
    for (unsigned i = 0; i < len; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

void jvc_seal(uint8_t *bytes, size_t len)
{
    set_le(bytes + JVC_ABI_AT, chunk_abi_hash(), 8);
    jvc_identity(bytes, len, bytes + JVC_IDENTITY_AT);
}

/* ---- sections ------------------------------------------------------------------------------- */

uint32_t jvc_tag(enum jvc_section section)
{
    static const char tags[JVC_SECTIONS][5] = {"SRCE", "NAME", "CNST", "EXTN",
                                               "FUNC", "SLOT", "CODE", "LINE"};
    const uint8_t *tag = (const uint8_t *)tags[section];
    return tag[0] | (uint32_t)tag[1] << 8 | (uint32_t)tag[2] << 16 | (uint32_t)tag[3] << 24;
}

static void put_source(struct writer *w, const struct jitvm_chunk *chunk)
{
    put(w, chunk->source, strlen(chunk->source));
}

static void put_str(struct writer *w, const struct jitvm_str *str)
{
    put_le(w, str->len, 4);
    put(w, str->bytes, str->len);
}

static void put_names(struct writer *w, const struct jitvm_chunk *chunk)
{
    put_le(w, chunk->name_count, 4);
    for (uint32_t i = 0; i < chunk->name_count; i++)
        put_str(w, chunk->names[i]);
}

static void put_constants(struct writer *w, const struct jitvm_chunk *chunk)
{
    put_le(w, chunk->constant_count, 4);
    for (uint32_t i = 0; i < chunk->constant_count; i++) {
        const struct jitvm_value *constant = &chunk->constants[i];
        put_le(w, constant->kind, 1);
        if (constant->kind == JITVM_STR)
            put_str(w, constant->as.str);
        else
            put_le(w, (uint64_t)constant->as.i, 8);
    }
}

static void put_extensions(struct writer *w, const struct jitvm_chunk *chunk)
{
    put_le(w, chunk->extension_count, 4);
    for (uint32_t i = 0; i < chunk->extension_count; i++) {
        put_le(w, chunk->extensions[i].name, 4);
        put_le(w, chunk->extensions[i].pops, 1);
        put_le(w, chunk->extensions[i].pushes, 1);
    }
}

static void put_functions(struct writer *w, const struct jitvm_chunk *chunk)
{
    put_le(w, chunk->function_count, 4);
    for (uint32_t i = 0; i < chunk->function_count; i++) {
        const struct chunk_function *function = &chunk->functions[i];
        put_le(w, function->name, 4);
        put_le(w, function->count, 4);
        put_le(w, function->arity, 2);
        put_le(w, function->slots, 2);
        put_le(w, function->slot_names != UINT32_MAX, 1);
    }
}

static void put_slot_names(struct writer *w, const struct jitvm_chunk *chunk)
{
    put_le(w, chunk->slot_name_count, 4);
    for (uint32_t i = 0; i < chunk->slot_name_count; i++)
        put_le(w, chunk->slot_names[i], 4);
}

static void put_code(struct writer *w, const struct jitvm_chunk *chunk)
{
    put_le(w, chunk->op_count, 4);
    for (uint32_t i = 0; i < chunk->op_count; i++) {
        const struct jitvm_op *op = &chunk->ops[i];
        put_le(w, op->code, 2);
        put_le(w, op->a, 2);
        put_le(w, op->b, 4);
        put_le(w, op->c, 4);
        put_le(w, (uint64_t)op->imm, 8);
    }
}

static void put_lines(struct writer *w, const struct jitvm_chunk *chunk)
{
    put_le(w, chunk->line_count, 4);
    for (uint32_t i = 0; i < chunk->line_count; i++) {
        put_le(w, chunk->lines[i].ip, 4);
        put_le(w, chunk->lines[i].line, 4);
    }
}

static void put_header(struct writer *w, const struct jitvm_chunk *chunk)
{
    static const uint8_t abi_and_identity[8 + 16];
    put(w, JVC_MAGIC, JVC_MAGIC_SIZE);
    put_le(w, JVC_VERSION, 4);
    put_le(w, chunk->flags, 4);
    put(w, abi_and_identity, sizeof(abi_and_identity));
}

static void put_section(struct writer *w, const struct jitvm_chunk *chunk, enum jvc_section section)
{
    static void (*const put_contents[JVC_SECTIONS])(struct writer *, const struct jitvm_chunk *) = {
        put_source,    put_names,      put_constants, put_extensions,
        put_functions, put_slot_names, put_code,      put_lines};
    put_le(w, jvc_tag(section), 4);
    size_t length_at = w->len;
    put_le(w, 0, 8);
    put_contents[section](w, chunk);
    if (!w->failed)
        set_le(w->bytes + length_at, w->len - length_at - 8, 8);
}

/* ---- the functions themselves --------------------------------------------------------------- */

int jitvm_chunk_write(const struct jitvm_chunk *chunk, void **bytes, size_t *len,
                      struct jitvm_error *err)
{
    struct writer w = {0};
    put_header(&w, chunk);
    for (unsigned section = 0; section < JVC_SECTIONS; section++)
        put_section(&w, chunk, section);
    if (w.failed) {
        free(w.bytes);
        return chunk_fail(err, JITVM_ERR_MEMORY, "no memory to write a chunk");
    }
    jvc_seal(w.bytes, w.len);
    *bytes = w.bytes;
    *len = w.len;
    return 0;
}

int chunk_compute_identity(struct jitvm_chunk *chunk, struct jitvm_error *err)
{
    void *bytes = NULL;
    size_t len = 0;
    int rc = jitvm_chunk_write(chunk, &bytes, &len, err);
    if (rc < 0)
        return rc;
    memcpy(chunk->identity, (uint8_t *)bytes + JVC_IDENTITY_AT, sizeof(chunk->identity));
    free(bytes);
    return 0;
}
