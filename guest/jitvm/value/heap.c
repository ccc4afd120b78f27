/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks by size class, the count of their bytes, and the end of objects. See heap.h. */
#include "guest/jitvm/value/heap.h"

#include "guest/jitvm/value/array.h"
#include "guest/jitvm/value/hash.h"
#include "guest/jitvm/value/str.h"

#include <stdlib.h>
#include <string.h>

#define SLAB_SIZE ((size_t)64 * 1024)

/* Blocks of all classes are cut from the newest slab, and are in no list before they are freed:
 * what is allocated in turn lies side by side. */
struct heap_slab {
    struct heap_slab *next;
    size_t used; /* bytes of `room` given out, a multiple of 16 */
    char room[SLAB_SIZE - 2 * sizeof(size_t)] __attribute__((aligned(16)));
};

void heap_init(struct heap *heap, uint64_t limit)
{
    *heap = (struct heap){.limit = limit};
}

void heap_fini(struct heap *heap)
{
    struct heap_slab *slab = heap->slabs;
    while (slab) {
        struct heap_slab *next = slab->next;
        free(slab);
        slab = next;
    }
    *heap = (struct heap){.limit = heap->limit, .peak = heap->peak};
}

/* ---- blocks --------------------------------------------------------------------------------- */

static bool is_small(size_t len)
{
    return HEAP_SLABS && len <= HEAP_SMALL_MAX;
}

static void *cut_from_slab(struct heap *heap, size_t size)
{
    struct heap_slab *slab = heap->slabs;
    if (!slab || slab->used + size > sizeof slab->room) {
        slab = malloc(sizeof *slab);
        if (!slab)
            return NULL;
        slab->next = heap->slabs;
        slab->used = 0;
        heap->slabs = slab;
    }
    void *block = slab->room + slab->used;
    slab->used += size;
    return block;
}

/* The block alone, not counted. */
static void *take_block(struct heap *heap, size_t len)
{
    if (!is_small(len))
        return malloc(len);

    size_t size_class = (len - 1) / 16;
    void *block = heap->free[size_class];
    if (!block)
        return cut_from_slab(heap, (size_class + 1) * 16);
    heap->free[size_class] = *(void **)block;
    return block;
}

static void give_block(struct heap *heap, void *block, size_t len)
{
    if (!is_small(len)) {
        free(block);
        return;
    }
    size_t size_class = (len - 1) / 16;
    *(void **)block = heap->free[size_class];
    heap->free[size_class] = block;
}

/* The limit may have been lowered below what is in use. */
static bool admits(const struct heap *heap, size_t old, size_t len)
{
    uint64_t others = heap->bytes - old;
    if (len <= old)
        return true;
    return len <= PTRDIFF_MAX && len <= heap->limit && others <= heap->limit - len;
}

static void count(struct heap *heap, size_t old, size_t len)
{
    heap->bytes = heap->bytes - old + len;
    if (heap->bytes > heap->peak)
        heap->peak = heap->bytes;
}

void *heap_alloc_slow(struct heap *heap, size_t len)
{
    void *block = admits(heap, 0, len) ? take_block(heap, len) : NULL;
    if (block)
        count(heap, 0, len);
    return block;
}

void heap_free_slow(struct heap *heap, void *block, size_t len)
{
    give_block(heap, block, len);
    heap->bytes -= len;
}

static void *move_block(struct heap *heap, void *block, size_t old, size_t len)
{
    void *moved = take_block(heap, len);
    if (!moved)
        return NULL;
    memcpy(moved, block, old < len ? old : len);
    give_block(heap, block, old);
    return moved;
}

void *heap_realloc(struct heap *heap, void *block, size_t old, size_t len)
{
    if (!old)
        return heap_alloc(heap, len);
    if (!admits(heap, old, len))
        return NULL;

    void *moved;
    if (!is_small(old) && !is_small(len))
        moved = realloc(block, len);
    else if (is_small(old) && is_small(len) && (old - 1) / 16 == (len - 1) / 16)
        moved = block;
    else
        moved = move_block(heap, block, old, len);
    if (moved)
        count(heap, old, len);
    return moved;
}

/* ---- objects -------------------------------------------------------------------------------- */

static bool holds_values(const struct jitvm_object *object)
{
    if (object->kind == JITVM_ARRAY)
        return ((const struct jitvm_array *)object)->element == ARRAY_VALUE;
    return object->kind == JITVM_HASH;
}

/* The link takes the place of a word that ending the object can do without: a hash's `len`, and an
 * array's `shifted`, after the elements shifted out were made undef and part of it again. */
static void queue(struct heap *heap, struct jitvm_object *object)
{
    if (object->kind == JITVM_HASH) {
        ((struct jitvm_hash *)object)->len = (uintptr_t)heap->pending;
    } else {
        struct jitvm_array *array = (struct jitvm_array *)object;
        if (array->shifted) {
            array->data.values -= array->shifted;
            memset(array->data.values, 0, array->shifted * sizeof *array->data.values);
        }
        array->len += array->shifted;
        array->room += array->shifted;
        array->shifted = (uintptr_t)heap->pending;
    }
    heap->pending = object;
}

static struct jitvm_object *unqueue(struct heap *heap)
{
    struct jitvm_object *object = heap->pending;
    if (!object)
        return NULL;
    if (object->kind == JITVM_HASH) {
        heap->pending = (struct jitvm_object *)((struct jitvm_hash *)object)->len;
    } else {
        struct jitvm_array *array = (struct jitvm_array *)object;
        heap->pending = (struct jitvm_object *)array->shifted;
        array->shifted = 0;
    }
    return object;
}

static void end_object(struct heap *heap, struct jitvm_object *object)
{
    if (object->kind == JITVM_STR)
        str_free(heap, (struct jitvm_str *)object);
    else if (object->kind == JITVM_ARRAY)
        array_free(heap, (struct jitvm_array *)object);
    else
        hash_free(heap, (struct jitvm_hash *)object);
}

void heap_free_object(struct heap *heap, struct jitvm_object *object)
{
    if (!holds_values(object)) {
        end_object(heap, object);
        return;
    }
    if (heap->freeing) {
        queue(heap, object);
        return;
    }
    heap->freeing = true;
    while (object) {
        end_object(heap, object);
        object = unqueue(heap);
    }
    heap->freeing = false;
}
