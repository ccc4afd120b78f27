/* SPDX-License-Identifier: Apache-2.0 */
/* The context of one compilation: errors, memory, symbols. */
#include "guest/jitvm/lang/lang.h"

#include <stdarg.h>
#include <string.h>

#include "guest/jitvm/chunk/chunk.h"

__attribute__((format(printf, 4, 0))) static void lang_describe(struct jitvm_error *err,
                                                                uint32_t line, uint32_t column,
                                                                const char *format, va_list args)
{
    memset(err, 0, sizeof *err);
    err->status = JITVM_ERR_SYNTAX;
    err->line = line;
    err->column = column;
    int n = snprintf(err->message, sizeof err->message, "line %u:%u: ", line, column);
    if (n > 0 && (size_t)n < sizeof err->message)
        (void)vsnprintf(err->message + n, sizeof err->message - (size_t)n, format, args);
}

int lang_fail(struct lang *lang, uint32_t line, uint32_t column, const char *format, ...)
{
    if (lang->status != 0)
        return lang->status;
    lang->status = JITVM_ERR_SYNTAX;
    if (lang->err) {
        va_list args;
        va_start(args, format);
        lang_describe(lang->err, line, column, format, args);
        va_end(args);
    }
    return lang->status;
}

int lang_no_memory(struct lang *lang)
{
    if (lang->status == 0)
        lang->status = chunk_fail(lang->err, JITVM_ERR_MEMORY, "no memory to compile in");
    return lang->status;
}

void *lang_alloc(struct lang *lang, size_t size)
{
    void *piece = lang_arena_alloc(&lang->arena, size);
    if (!piece)
        (void)lang_no_memory(lang);
    return piece;
}

/* ---- symbols -------------------------------------------------------------------------------- */

static uint32_t symbol_hash(const char *text, size_t len)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash ^ (hash >> 15);
}

static void symbols_move(struct lang *lang, struct lang_symbol **to, uint32_t count)
{
    for (uint32_t i = 0; i < lang->bucket_count; i++) {
        struct lang_symbol *symbol = lang->buckets[i];
        while (symbol) {
            struct lang_symbol *next = symbol->next;
            symbol->next = to[symbol->hash & (count - 1)];
            to[symbol->hash & (count - 1)] = symbol;
            symbol = next;
        }
    }
    lang->buckets = to;
    lang->bucket_count = count;
}

static bool symbols_grow(struct lang *lang)
{
    if (lang->symbol_count < lang->bucket_count)
        return true;
    uint32_t count = lang->bucket_count ? lang->bucket_count * 4 : 64;
    struct lang_symbol **to = lang_alloc(lang, count * sizeof(struct lang_symbol *));
    if (!to)
        return false;
    symbols_move(lang, to, count);
    return true;
}

static struct lang_symbol *symbol_add(struct lang *lang, const char *text, uint32_t len,
                                      uint32_t hash)
{
    struct lang_symbol *symbol = lang_alloc(lang, sizeof *symbol);
    if (!symbol)
        return NULL;
    struct lang_symbol **bucket = &lang->buckets[hash & (lang->bucket_count - 1)];
    *symbol = (struct lang_symbol){.next = *bucket, .text = text, .len = len, .hash = hash};
    *bucket = symbol;
    lang->symbol_count++;
    return symbol;
}

struct lang_symbol *lang_symbol(struct lang *lang, const char *text, size_t len)
{
    if (!symbols_grow(lang))
        return NULL;
    uint32_t hash = symbol_hash(text, len);
    struct lang_symbol *symbol = lang->buckets[hash & (lang->bucket_count - 1)];
    for (; symbol; symbol = symbol->next)
        if (symbol->hash == hash && symbol->len == len && memcmp(symbol->text, text, len) == 0)
            return symbol;
    return symbol_add(lang, text, (uint32_t)len, hash);
}

/* ---- names that look alike ------------------------------------------------------------------ */

#define NEAREST_LEN 32u

static uint32_t min3(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Letters to change, add or take away; both at most NEAREST_LEN long. */
static uint32_t edit_distance(const struct lang_symbol *a, const struct lang_symbol *b)
{
    uint32_t row[NEAREST_LEN + 1];
    for (uint32_t j = 0; j <= b->len; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a->len; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b->len; j++) {
            uint32_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1,
                          diagonal + (a->text[i - 1] != b->text[j - 1] ? 1 : 0));
            diagonal = above;
        }
    }
    return row[b->len];
}

static bool symbol_is_visible(const struct lang_symbol *symbol)
{
    return symbol->len <= NEAREST_LEN && (symbol->binding || symbol->file || symbol->function);
}

const struct lang_symbol *lang_nearest(const struct lang *lang, const struct lang_symbol *name)
{
    const struct lang_symbol *best = NULL;
    uint32_t least = name->len < 3 ? 2 : name->len / 3 + 2;
    if (name->len > NEAREST_LEN)
        return NULL;
    for (uint32_t i = 0; i < lang->bucket_count; i++)
        for (const struct lang_symbol *s = lang->buckets[i]; s; s = s->next) {
            if (s == name || !symbol_is_visible(s))
                continue;
            uint32_t distance = edit_distance(name, s);
            if (distance < least && distance < name->len) {
                least = distance;
                best = s;
            }
        }
    return best;
}
