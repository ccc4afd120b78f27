/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of one compilation: taken in small pieces, given back at once. */
#ifndef JITVM_LANG_ARENA_H
#define JITVM_LANG_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t left;
    char *at;
};

/* Zeroed, aligned for any type; NULL when there is no memory. `size` may be 0. */
void *arena_alloc(struct arena *arena, size_t size);
void arena_free(struct arena *arena);

#endif
