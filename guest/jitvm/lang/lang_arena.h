/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of one compilation: taken in small pieces, given back at once. */
#ifndef JITVM_LANG_LANG_ARENA_H
#define JITVM_LANG_LANG_ARENA_H

#include <stddef.h>

struct lang_block;

struct lang_arena {
    struct lang_block *blocks;
    size_t left;
    char *at;
};

/* Zeroed, aligned for any type; NULL when there is no memory. `size` may be 0. */
void *lang_arena_alloc(struct lang_arena *arena, size_t size);
void lang_arena_free(struct lang_arena *arena);

#endif
