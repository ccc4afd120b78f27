/* SPDX-License-Identifier: Apache-2.0 */
/* Finds again what a builder has already: names, constants, functions, extensions, by contents. */
#ifndef JITVM_CHUNK_INTERN_H
#define JITVM_CHUNK_INTERN_H

#include "guest/jitvm/jitvm.h"

enum intern_kind {
    INTERN_NAME,
    INTERN_STR,
    INTERN_INT,       /* key: the int64_t */
    INTERN_FLOAT,     /* key: the double */
    INTERN_FUNCTION,  /* key: index of the name */
    INTERN_EXTENSION, /* key: index of the name */
};

struct intern_entry {
    uint64_t hash;
    const char *bytes; /* of a key longer than `small` */
    size_t len;
    char small[8];
    uint32_t kind, index;
};

/* All zero: empty. */
struct intern {
    struct intern_entry *entries;
    size_t count, room;
    uint32_t *cells;   /* open addressing: index into entries + 1, 0: free */
    size_t cell_count; /* a power of two, or 0 */
};

/* The index that the key was added with; -1: not there. */
int64_t intern_find(const struct intern *intern, enum intern_kind kind, const void *key,
                    size_t len);

/* The key must not be there; when longer than 8 bytes it is borrowed for the table's life. False
 * without memory. */
bool intern_add(struct intern *intern, enum intern_kind kind, const void *key, size_t len,
                uint32_t index);

void intern_free(struct intern *intern);

#endif
