/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table from contents to index. */
#include "guest/jitvm/chunk/intern.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "guest/jitvm/value/grow.h"

static const char *entry_key(const struct intern_entry *entry)
{
    return entry->len <= sizeof(entry->small) ? entry->small : entry->bytes;
}

static bool entry_is(const struct intern_entry *entry, enum intern_kind kind, uint64_t hash,
                     const void *key, size_t len)
{
    return entry->hash == hash && entry->kind == kind && entry->len == len &&
           (len == 0 || memcmp(entry_key(entry), key, len) == 0);
}

int64_t intern_find(const struct intern *intern, enum intern_kind kind, const void *key, size_t len)
{
    if (intern->cell_count == 0)
        return -1;
    uint64_t hash = XXH3_64bits_withSeed(len > 0 ? key : "", len, kind);
    size_t mask = intern->cell_count - 1;
    for (size_t at = hash & mask; intern->cells[at] != 0; at = (at + 1) & mask) {
        const struct intern_entry *entry = &intern->entries[intern->cells[at] - 1];
        if (entry_is(entry, kind, hash, key, len))
            return entry->index;
    }
    return -1;
}

static void put_cell(struct intern *intern, uint64_t hash, uint32_t cell)
{
    size_t mask = intern->cell_count - 1, at = hash & mask;
    while (intern->cells[at] != 0)
        at = (at + 1) & mask;
    intern->cells[at] = cell;
}

/* At most half of the cells are taken. */
static bool make_cells(struct intern *intern)
{
    if (2 * (intern->count + 1) <= intern->cell_count)
        return true;
    size_t wanted = intern->cell_count == 0 ? 32 : 2 * intern->cell_count;
    uint32_t *cells = calloc(wanted, sizeof(*cells));
    if (!cells)
        return false;
    free(intern->cells);
    intern->cells = cells;
    intern->cell_count = wanted;
    for (size_t i = 0; i < intern->count; i++)
        put_cell(intern, intern->entries[i].hash, (uint32_t)i + 1);
    return true;
}

bool intern_add(struct intern *intern, enum intern_kind kind, const void *key, size_t len,
                uint32_t index)
{
    struct intern_entry *entries =
        grow(intern->entries, &intern->room, intern->count + 1, sizeof(*entries));
    if (!entries)
        return false;
    intern->entries = entries;

    uint64_t hash = XXH3_64bits_withSeed(len > 0 ? key : "", len, kind);
    struct intern_entry *entry = &entries[intern->count];
    *entry =
        (struct intern_entry){.hash = hash, .bytes = key, .len = len, .kind = kind, .index = index};
    if (len > 0 && len <= sizeof(entry->small))
        memcpy(entry->small, key, len);
    if (!make_cells(intern))
        return false;
    put_cell(intern, hash, (uint32_t)++intern->count);
    return true;
}

void intern_free(struct intern *intern)
{
    free(intern->entries);
    free(intern->cells);
    *intern = (struct intern){0};
}
