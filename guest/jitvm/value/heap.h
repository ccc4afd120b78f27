/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap of one VM: counted objects, and how many bytes of them there may be.
 *
 * Small sizes come from free lists in slabs of the heap's own, large ones from malloc. Containers
 * are values: there are no cycles, so counting references is all the collecting there is. An object
 * whose count has reached IMMORTAL is never freed nor counted again: constants of a chunk, which
 * threads share, are made so.
 *
 * One thread, that of the VM.
 */
#ifndef JITVM_VALUE_HEAP_H
#define JITVM_VALUE_HEAP_H

#include "guest/jitvm/jitvm.h"

#define HEAP_IMMORTAL UINT32_MAX

/* The head of every str, array and hash. */
struct jitvm_object {
    uint32_t refs;
    uint32_t kind; /* enum jitvm_kind: JITVM_STR and above */
};

#define HEAP_CLASSES 32 /* of 16 bytes each: up to 512 */

struct heap_slab;
struct heap {
    uint64_t bytes, peak, limit;
    void *free[HEAP_CLASSES]; /* lists of free blocks, linked through their first word */
    struct heap_slab *slabs;
    bool freeing;                 /* heap_free_object is under way: nested ones are queued */
    struct jitvm_object *pending; /* dead objects whose contents are still to be released */
};

void heap_init(struct heap *heap, uint64_t limit);
/* Everything must have been released, or is lost with the slabs. */
void heap_fini(struct heap *heap);

/* Under AddressSanitizer every block is one of malloc's, so that it sees what is used too late. */
#if defined(__SANITIZE_ADDRESS__)
#define HEAP_SLABS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEAP_SLABS 0
#endif
#endif
#ifndef HEAP_SLABS
#define HEAP_SLABS 1
#endif
#define HEAP_SMALL_MAX ((size_t)HEAP_CLASSES * 16)

/* The whole of what the two below do, without their short cuts. */
void *heap_alloc_slow(struct heap *heap, size_t len);
void heap_free_slow(struct heap *heap, void *block, size_t len);

/* 16-byte aligned, not zeroed. NULL when the limit or the host's memory is reached; `len` > 0.
 * A block is freed with the length it was asked for with. */
static inline void *heap_alloc(struct heap *heap, size_t len)
{
    size_t size_class = (len - 1) / 16;
    if (size_class >= HEAP_CLASSES || !heap->free[size_class] || heap->bytes + len > heap->limit)
        return heap_alloc_slow(heap, len);

    void *block = heap->free[size_class];
    heap->free[size_class] = *(void **)block;
    heap->bytes += len;
    if (heap->bytes > heap->peak)
        heap->peak = heap->bytes;
    return block;
}

static inline void heap_free(struct heap *heap, void *block, size_t len)
{
    if (!HEAP_SLABS || len > HEAP_SMALL_MAX) {
        heap_free_slow(heap, block, len);
        return;
    }
    size_t size_class = (len - 1) / 16;
    *(void **)block = heap->free[size_class];
    heap->free[size_class] = block;
    heap->bytes -= len;
}

/* Keeps the contents up to the shorter length; `block` may be NULL when old is 0. On failure NULL,
 * and the block is as it was. */
void *heap_realloc(struct heap *heap, void *block, size_t old, size_t len);

/* Ends the object, whose count has reached 0, and releases what it holds, without recursion: a tree
 * may be as deep as memory allows. */
void heap_free_object(struct heap *heap, struct jitvm_object *object);

static inline void object_retain(struct jitvm_object *object)
{
    if (object->refs != HEAP_IMMORTAL)
        object->refs++;
}

static inline void object_release(struct heap *heap, struct jitvm_object *object)
{
    if (object->refs != HEAP_IMMORTAL && --object->refs == 0)
        heap_free_object(heap, object);
}

static inline bool value_on_heap(struct jitvm_value v)
{
    return v.kind >= JITVM_STR;
}

static inline void value_retain(struct jitvm_value v)
{
    if (value_on_heap(v))
        object_retain(v.as.object);
}

static inline void value_release(struct heap *heap, struct jitvm_value v)
{
    if (value_on_heap(v))
        object_release(heap, v.as.object);
}

/* May it be changed in place? Not when somebody else has a reference too. */
static inline bool object_is_mine(const struct jitvm_object *object)
{
    return object->refs == 1;
}

#endif
