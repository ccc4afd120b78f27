/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine code in the making: the buffer, labels, the pool of constants, the listing.
 *
 * A listing keeps only text and offsets while code is emitted; the bytes are read when it is
 * printed, as distances to labels ahead are not known before the end.
 */
#include "guest/jitvm/jit/asm.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/jitvm.h"

#define UNBOUND UINT32_MAX
#define NO_TEXT UINT32_MAX

void asm_init(struct assembler *a, uint32_t features, bool listing)
{
    *a = (struct assembler){.features_allowed = features, .listing = listing};
}

void asm_reset(struct assembler *a)
{
    a->len = a->place_count = a->fixup_count = a->constant_count = 0;
    a->line_count = a->text_len = 0;
    a->features_used = 0;
    a->error = 0;
}

void asm_free(struct assembler *a)
{
    free(a->bytes);
    free(a->places);
    free(a->fixups);
    free(a->constants);
    free(a->lines);
    free(a->text);
    asm_init(a, a->features_allowed, a->listing);
}

void asm_fail(struct assembler *a, int status)
{
    if (!a->error)
        a->error = status;
}

/* Room for `more` elements beyond `count`; false when that failed, now or before. */
static bool asm_grow(struct assembler *a, void *array, size_t *room, size_t count, size_t more,
                     size_t size)
{
    if (a->error)
        return false;
    if (count + more > ASM_SIZE_MAX) {
        asm_fail(a, JITVM_ERR_LIMIT);
        return false;
    }
    if (count + more <= *room)
        return true;
    size_t want = *room * 2 > count + more ? *room * 2 : count + more + 64;
    void *old;
    memcpy(&old, array, sizeof(old));
    void *grown = reallocarray(old, want, size);
    if (!grown) {
        asm_fail(a, JITVM_ERR_MEMORY);
        return false;
    }
    memcpy(array, &grown, sizeof(grown));
    *room = want;
    return true;
}

void asm_append(struct assembler *a, const void *bytes, size_t len)
{
    if (!asm_grow(a, &a->bytes, &a->room, a->len, len, 1))
        return;
    memcpy(a->bytes + a->len, bytes, len);
    a->len += len;
}

/* ---- labels ---------------------------------------------------------------------------------- */

struct asm_label asm_label_new(struct assembler *a)
{
    if (!asm_grow(a, &a->places, &a->place_room, a->place_count, 1, sizeof(*a->places)))
        return (struct asm_label){UINT32_MAX};
    a->places[a->place_count] = (struct asm_place){.offset = UNBOUND, .name = NO_TEXT};
    return (struct asm_label){(uint32_t)a->place_count++};
}

/* A label made after an error is no label; neither is one that was made up. */
static struct asm_place *asm_place_of(const struct assembler *a, struct asm_label label)
{
    return label.id < a->place_count ? &a->places[label.id] : NULL;
}

void asm_bind(struct assembler *a, struct asm_label label)
{
    struct asm_place *place = asm_place_of(a, label);
    if (!place || place->offset != UNBOUND)
        asm_fail(a, JITVM_ERR_VALUE);
    else
        place->offset = asm_position(a);
}

struct asm_label asm_here(struct assembler *a)
{
    struct asm_label label = asm_label_new(a);
    asm_bind(a, label);
    return label;
}

bool asm_bound(const struct assembler *a, struct asm_label label)
{
    const struct asm_place *place = asm_place_of(a, label);
    return place && place->offset != UNBOUND;
}

uint32_t asm_offset(const struct assembler *a, struct asm_label label)
{
    const struct asm_place *place = asm_place_of(a, label);
    return place ? place->offset : UNBOUND;
}

uint32_t asm_position(const struct assembler *a)
{
    return (uint32_t)a->len;
}

void asm_refer(struct assembler *a, uint32_t at, uint32_t from, struct asm_label label)
{
    if (!asm_grow(a, &a->fixups, &a->fixup_room, a->fixup_count, 1, sizeof(*a->fixups)))
        return;
    a->fixups[a->fixup_count++] = (struct asm_fixup){.at = at, .from = from, .label = label.id};
}

/* ---- constants ------------------------------------------------------------------------------- */

/* Only so many are compared with a new one, as a chunk may have any number of them. */
#define POOL_SEARCH 128

static struct asm_label asm_pool(struct assembler *a, struct asm_constant wanted)
{
    size_t first = a->constant_count > POOL_SEARCH ? a->constant_count - POOL_SEARCH : 0;
    for (size_t i = first; i < a->constant_count; i++) {
        const struct asm_constant *c = &a->constants[i];
        if (c->pair == wanted.pair && c->low == wanted.low && c->high == wanted.high)
            return (struct asm_label){c->label};
    }
    struct asm_label label = asm_label_new(a);
    wanted.label = label.id;
    if (asm_grow(a, &a->constants, &a->constant_room, a->constant_count, 1, sizeof(wanted)))
        a->constants[a->constant_count++] = wanted;
    return label;
}

struct asm_label asm_constant(struct assembler *a, uint64_t bits)
{
    return asm_pool(a, (struct asm_constant){.low = bits});
}

struct asm_label asm_constant_float(struct assembler *a, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return asm_constant(a, bits);
}

struct asm_label asm_constant_pair(struct assembler *a, uint64_t low, uint64_t high)
{
    return asm_pool(a, (struct asm_constant){.low = low, .high = high, .pair = true});
}

/* ---- the end --------------------------------------------------------------------------------- */

static void asm_pad(struct assembler *a, size_t align)
{
    static const uint8_t zeros[ASM_ALIGN];
    asm_append(a, zeros, -a->len & (align - 1));
}

static void asm_place_constants(struct assembler *a, bool pairs)
{
    for (size_t i = 0; i < a->constant_count; i++) {
        const struct asm_constant *c = &a->constants[i];
        if (c->pair != pairs)
            continue;
        asm_bind(a, (struct asm_label){c->label});
        asm_append(a, &c->low, sizeof(c->low));
        if (pairs)
            asm_append(a, &c->high, sizeof(c->high));
    }
}

/* Pairs first: what follows them is aligned to 8 without gaps. */
static void asm_place_pool(struct assembler *a)
{
    if (!a->constant_count)
        return;
    asm_pad(a, ASM_ALIGN);
    asm_place_constants(a, true);
    asm_place_constants(a, false);
}

static void asm_fix(struct assembler *a, const struct asm_fixup *fixup)
{
    struct asm_label label = {fixup->label};
    if (!asm_bound(a, label)) {
        asm_fail(a, JITVM_ERR_VALUE);
        return;
    }
    /* Wraps as the processor's own addition does; ASM_SIZE_MAX keeps it from being ambiguous. */
    uint32_t distance = asm_offset(a, label) - fixup->from;
    memcpy(a->bytes + fixup->at, &distance, sizeof(distance));
}

int asm_finish(struct assembler *a)
{
    asm_place_pool(a);
    for (size_t i = 0; i < a->fixup_count && !a->error; i++)
        asm_fix(a, &a->fixups[i]);
    return a->error;
}

/* ---- listing --------------------------------------------------------------------------------- */

/* Where the text is kept; NO_TEXT on failure. */
static uint32_t asm_keep(struct assembler *a, const char *text)
{
    size_t size = strlen(text) + 1;
    if (!asm_grow(a, &a->text, &a->text_room, a->text_len, size, 1))
        return NO_TEXT;
    size_t at = a->text_len;
    memcpy(a->text + at, text, size);
    a->text_len += size;
    return (uint32_t)at;
}

static void asm_add_line(struct assembler *a, uint32_t offset, const char *text)
{
    uint32_t kept = asm_keep(a, text);
    if (!asm_grow(a, &a->lines, &a->line_room, a->line_count, 1, sizeof(*a->lines)))
        return;
    a->lines[a->line_count++] =
        (struct asm_line){.offset = offset, .len = asm_position(a) - offset, .text = kept};
}

void asm_note(struct assembler *a, uint32_t offset, const char *text)
{
    if (a->listing)
        asm_add_line(a, offset, text);
}

void asm_comment(struct assembler *a, const char *format, ...)
{
    if (!a->listing)
        return;
    char text[160];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    asm_add_line(a, asm_position(a), text);
}

void asm_name(struct assembler *a, struct asm_label label, const char *format, ...)
{
    struct asm_place *place = asm_place_of(a, label);
    if (!a->listing || !place)
        return;
    char text[ASM_LABEL_TEXT];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    place->name = asm_keep(a, text);
}

void asm_label_text(const struct assembler *a, struct asm_label label, char *out)
{
    const struct asm_place *place = asm_place_of(a, label);
    if (place && place->name != NO_TEXT)
        (void)snprintf(out, ASM_LABEL_TEXT, "%s", a->text + place->name);
    else
        (void)snprintf(out, ASM_LABEL_TEXT, "L%u", label.id);
}

/* Looks at all labels for each instruction: good enough for what a person reads. */
static void asm_dump_labels(const struct assembler *a, uint32_t offset, FILE *to)
{
    for (size_t i = 0; i < a->place_count; i++) {
        if (a->places[i].offset != offset)
            continue;
        char name[ASM_LABEL_TEXT];
        asm_label_text(a, (struct asm_label){(uint32_t)i}, name);
        fprintf(to, "%s:\n", name);
    }
}

static void asm_dump_bytes(const struct assembler *a, uint64_t base, uint32_t offset, uint32_t len,
                           const char *text, FILE *to)
{
    fprintf(to, "%8llx  ", (unsigned long long)base + offset);
    uint32_t i = 0;
    for (; i < len; i++)
        fprintf(to, "%02x ", a->bytes[offset + i]);
    for (; i < 12; i++)
        fputs("   ", to);
    fprintf(to, " %s\n", text);
}

static void asm_dump_line(const struct assembler *a, uint64_t base, const struct asm_line *line,
                          FILE *to)
{
    if (line->len)
        asm_dump_bytes(a, base, line->offset, line->len, a->text + line->text, to);
    else
        fprintf(to, "%48s; %s\n", "", a->text + line->text);
}

static void asm_dump_pool(const struct assembler *a, uint64_t base, FILE *to)
{
    for (size_t i = 0; i < a->constant_count; i++) {
        const struct asm_constant *c = &a->constants[i];
        uint32_t offset = a->places[c->label].offset;
        char text[48];
        asm_dump_labels(a, offset, to);
        (void)snprintf(text, sizeof(text), ".quad 0x%llx", (unsigned long long)c->low);
        asm_dump_bytes(a, base, offset, 8, text, to);
        if (!c->pair)
            continue;
        (void)snprintf(text, sizeof(text), ".quad 0x%llx", (unsigned long long)c->high);
        asm_dump_bytes(a, base, offset + 8, 8, text, to);
    }
}

int asm_dump(const struct assembler *a, uint64_t base, FILE *to)
{
    uint32_t shown = UINT32_MAX;
    for (size_t i = 0; i < a->line_count && !a->error; i++) {
        const struct asm_line *line = &a->lines[i];
        if (line->offset != shown)
            asm_dump_labels(a, line->offset, to);
        shown = line->offset;
        asm_dump_line(a, base, line, to);
    }
    if (!a->error)
        asm_dump_pool(a, base, to);
    return ferror(to) ? JITVM_ERR_IO : 0;
}
