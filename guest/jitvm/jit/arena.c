/* SPDX-License-Identifier: Apache-2.0 */
/* A list of blocks, filled one after the other; a compilation rarely needs the second. */
#include "guest/jitvm/jit/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK ((size_t)64 << 10)

struct arena_block {
    struct arena_block *next;
    size_t room;
    _Alignas(16) char bytes[];
};

static struct arena_block *arena_block_new(size_t room)
{
    struct arena_block *block = malloc(sizeof *block + room);
    if (block) {
        block->next = NULL;
        block->room = room;
    }
    return block;
}

/* The next block with that much room: one from an earlier compilation, or a new one. */
static bool arena_advance(struct arena *arena, size_t len)
{
    struct arena_block **at = arena->current ? &arena->current->next : &arena->first;
    while (*at && (*at)->room < len)
        at = &(*at)->next;
    if (!*at)
        *at = arena_block_new(len > ARENA_BLOCK ? len : ARENA_BLOCK);
    if (!*at)
        return false;
    arena->current = *at;
    arena->used = 0;
    return true;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size)
{
    if (size && count > (SIZE_MAX - 16) / size)
        return NULL;
    size_t len = (count * size + 15) & ~(size_t)15;
    if ((!arena->current || arena->current->room - arena->used < len) && !arena_advance(arena, len))
        return NULL;
    void *block = arena->current->bytes + arena->used;
    arena->used += len;
    memset(block, 0, len);
    return block;
}

void arena_reset(struct arena *arena)
{
    arena->current = arena->first;
    arena->used = 0;
}

void arena_free(struct arena *arena)
{
    while (arena->first) {
        struct arena_block *block = arena->first;
        arena->first = block->next;
        free(block);
    }
    *arena = (struct arena){0};
}
