/* SPDX-License-Identifier: Apache-2.0 */
/* Strings: made, appended to, compared, hashed. See str.h. */
#include "guest/jitvm/value/str.h"

#include "guest/jitvm/value/bytes.h"

#include <stdlib.h>
#include <string.h>

/* What there is room for in the block that `len` bytes need anyway. */
static size_t room_for(size_t len)
{
    return ((sizeof(struct jitvm_str) + len + 15) & ~(size_t)15) - sizeof(struct jitvm_str);
}

static void str_init(struct jitvm_str *str, uint32_t refs, const void *bytes, size_t len)
{
    str->object = (struct jitvm_object){.refs = refs, .kind = JITVM_STR};
    str->len = len;
    str->hash = 0;
    if (bytes && len)
        bytes_copy(str->bytes, bytes, len);
}

struct jitvm_str *str_new(struct heap *heap, const void *bytes, size_t len)
{
    if (len > STR_MAX)
        return NULL;
    size_t room = room_for(len);
    struct jitvm_str *str = heap_alloc(heap, sizeof *str + room);
    if (!str)
        return NULL;
    str->room = room;
    str_init(str, 1, bytes, len);
    return str;
}

struct jitvm_str *str_new_immortal(const void *bytes, size_t len)
{
    struct jitvm_str *str = len <= STR_MAX ? malloc(sizeof *str + len + 1) : NULL;
    if (!str)
        return NULL;
    str->room = len;
    str_init(str, HEAP_IMMORTAL, bytes, len);
    str->bytes[len] = '\0';
    /* Now: threads share it from here on. */
    str->hash = str_hash_bytes(str->bytes, len);
    return str;
}

void str_free(struct heap *heap, struct jitvm_str *str)
{
    heap_free(heap, str, sizeof *str + str->room);
}

/* ---- appending ------------------------------------------------------------------------------ */

/* Twice the room, or as much as is needed when that is more than there is. */
static struct jitvm_str *grow(struct heap *heap, struct jitvm_str *str, size_t need)
{
    size_t twice = 2 * str->room > need ? 2 * str->room : need;
    size_t room = room_for(twice < STR_MAX ? twice : STR_MAX);
    size_t old = sizeof *str + str->room;
    struct jitvm_str *grown = heap_realloc(heap, str, old, sizeof *str + room);
    if (!grown) {
        room = room_for(need);
        grown = heap_realloc(heap, str, old, sizeof *str + room);
    }
    if (grown)
        grown->room = room;
    return grown;
}

static struct jitvm_str *append_to_copy(struct heap *heap, struct jitvm_str *a, const void *b,
                                        size_t len)
{
    struct jitvm_str *sum = str_new(heap, NULL, a->len + len);
    if (sum) {
        bytes_copy(sum->bytes, a->bytes, a->len);
        bytes_copy(sum->bytes + a->len, b, len);
    }
    object_release(heap, &a->object);
    return sum;
}

static struct jitvm_str *append_after_growing(struct heap *heap, struct jitvm_str *a, const void *b,
                                              size_t len)
{
    /* b may be bytes of a itself, which move. */
    uintptr_t offset = (uintptr_t)b - (uintptr_t)a->bytes;
    bool inside = offset < a->room;
    struct jitvm_str *grown = grow(heap, a, a->len + len);
    if (!grown) {
        object_release(heap, &a->object);
        return NULL;
    }
    bytes_copy(grown->bytes + grown->len, inside ? grown->bytes + offset : b, len);
    grown->len += len;
    grown->hash = 0;
    return grown;
}

struct jitvm_str *str_append(struct heap *heap, struct jitvm_str *a, const void *b, size_t len)
{
    if (!len)
        return a;
    if (len > STR_MAX - a->len) {
        object_release(heap, &a->object);
        return NULL;
    }
    if (!object_is_mine(&a->object))
        return append_to_copy(heap, a, b, len);
    if (len > a->room - a->len)
        return append_after_growing(heap, a, b, len);

    bytes_copy(a->bytes + a->len, b, len);
    a->len += len;
    a->hash = 0;
    return a;
}

/* ---- comparing and hashing ------------------------------------------------------------------ */

int str_compare(const struct jitvm_str *a, const struct jitvm_str *b)
{
    int order = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);
    if (!order)
        return (a->len > b->len) - (a->len < b->len);
    return order < 0 ? -1 : 1;
}

bool str_equal(const struct jitvm_str *a, const struct jitvm_str *b)
{
    return a == b || (a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0);
}

__extension__ typedef unsigned __int128 product;

static uint64_t fold(uint64_t a, uint64_t b)
{
    product p = (product)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* Little-endian on every machine this runs on. */
static uint64_t read_up_to_8(const char *at, size_t len)
{
    uint64_t word = 0;
    memcpy(&word, at, len);
    return word;
}

static uint64_t read_8(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Odd, as many ones as zeros: digits of pi, e and the golden ratio would do as well. */
#define K1 UINT64_C(0x9e3779b97f4a7c15)
#define K2 UINT64_C(0xd1b54a32d192ed03)
#define K3 UINT64_C(0x8bb84b93962eacc9)

uint64_t str_hash_bytes(const void *bytes, size_t len)
{
    const char *at = bytes;
    uint64_t hash = K1 ^ len;
    for (; len > 16; at += 16, len -= 16)
        hash = fold(read_8(at) ^ K2, read_8(at + 8) ^ hash);

    uint64_t low, high = 0;
    if (len >= 8) {
        low = read_8(at);
        high = read_8(at + len - 8);
    } else {
        low = read_up_to_8(at, len);
    }
    hash = fold(fold(low ^ K2, high ^ hash), K3);
    return hash ? hash : 1;
}

uint64_t str_hash(struct jitvm_str *str)
{
    if (!str->hash)
        str->hash = str_hash_bytes(str->bytes, str->len);
    return str->hash;
}
