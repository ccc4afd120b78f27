/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of one compilation, kept for the next one. */
#ifndef JITVM_JIT_ARENA_H
#define JITVM_JIT_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *first, *current;
    size_t used; /* of current */
};

/* Zeroed, aligned to 16. NULL: no memory. Valid until the next arena_reset. */
void *arena_alloc(struct arena *arena, size_t count, size_t size);
void arena_reset(struct arena *arena);
void arena_free(struct arena *arena);

#endif
