/* SPDX-License-Identifier: Apache-2.0 */
/* The arena: blocks of one size, a larger one for what does not fit. */
#include "guest/jitvm/lang/lang_arena.h"

#include <stdint.h>
#include <stdlib.h>

#define ARENA_BLOCK 32768u

struct lang_block {
    struct lang_block *next;
    max_align_t bytes[];
};

static void *arena_add_block(struct lang_arena *arena, size_t size)
{
    struct lang_block *block = calloc(1, sizeof *block + size);
    if (!block)
        return NULL;
    block->next = arena->blocks;
    arena->blocks = block;
    return block->bytes;
}

void *lang_arena_alloc(struct lang_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (size > ARENA_BLOCK / 4)
        return arena_add_block(arena, size);
    if (size > arena->left) {
        arena->at = arena_add_block(arena, ARENA_BLOCK);
        arena->left = arena->at ? ARENA_BLOCK : 0;
        if (!arena->at)
            return NULL;
    }
    void *piece = arena->at;
    arena->at += size;
    arena->left -= size;
    return piece;
}

void lang_arena_free(struct lang_arena *arena)
{
    while (arena->blocks) {
        struct lang_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    arena->left = 0;
}
