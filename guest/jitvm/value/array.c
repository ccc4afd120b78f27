/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arrays, see array.h. The block has room for a whole number of values (16 bytes), so that an empty
 * array can change its element kind without another block: (shifted + room) times the size of an
 * element is always the block's length.
 */
#include "guest/jitvm/value/array.h"

#include <string.h>

#define VALUE_SIZE sizeof(struct jitvm_value)
#define FIRST_ROOM ((size_t)4) /* values */

static size_t element_size(const struct jitvm_array *array)
{
    return array->element == ARRAY_VALUE ? VALUE_SIZE : sizeof(int64_t);
}

static size_t block_size(const struct jitvm_array *array)
{
    return (array->shifted + array->room) * element_size(array);
}

static char *block_of(const struct jitvm_array *array)
{
    return array->shifted ? array->data.bytes - array->shifted * element_size(array)
                          : array->data.bytes;
}

static size_t round_up(size_t bytes)
{
    return (bytes + VALUE_SIZE - 1) & ~(VALUE_SIZE - 1);
}

static uint32_t element_for(struct jitvm_value v)
{
    if (v.kind == JITVM_INT)
        return ARRAY_INT;
    return v.kind == JITVM_FLOAT ? ARRAY_FLOAT : ARRAY_VALUE;
}

/* ---- made and ended ------------------------------------------------------------------------- */

static struct jitvm_array *array_of(struct heap *heap, uint32_t element, size_t room)
{
    if (room > ARRAY_MAX)
        return NULL;
    struct jitvm_array *array = heap_alloc(heap, sizeof *array);
    if (!array)
        return NULL;
    *array = (struct jitvm_array){
        .object = {.refs = 1, .kind = JITVM_ARRAY},
        .element = element,
    };
    size_t bytes = round_up(room * element_size(array));
    if (!bytes)
        return array;
    array->data.bytes = heap_alloc(heap, bytes);
    if (!array->data.bytes) {
        heap_free(heap, array, sizeof *array);
        return NULL;
    }
    array->room = bytes / element_size(array);
    return array;
}

struct jitvm_array *array_new(struct heap *heap, size_t room)
{
    return array_of(heap, ARRAY_INT, room);
}

void array_free(struct heap *heap, struct jitvm_array *array)
{
    if (array->element == ARRAY_VALUE) {
        for (size_t i = 0; i < array->len; i++)
            value_release(heap, array->data.values[i]);
    }
    size_t bytes = block_size(array);
    if (bytes)
        heap_free(heap, block_of(array), bytes);
    heap_free(heap, array, sizeof *array);
}

struct jitvm_array *array_slice(struct heap *heap, const struct jitvm_array *array, size_t from,
                                size_t count)
{
    struct jitvm_array *copy = array_of(heap, count ? array->element : ARRAY_INT, count);
    if (!copy || !count)
        return copy;
    size_t size = element_size(array);
    memcpy(copy->data.bytes, array->data.bytes + from * size, count * size);
    copy->len = count;
    if (copy->element == ARRAY_VALUE) {
        for (size_t i = 0; i < count; i++)
            value_retain(copy->data.values[i]);
    }
    return copy;
}

int array_own(struct heap *heap, struct jitvm_array **array)
{
    if (object_is_mine(&(*array)->object))
        return 0;
    struct jitvm_array *copy = array_slice(heap, *array, 0, (*array)->len);
    if (!copy)
        return -1;
    object_release(heap, &(*array)->object);
    *array = copy;
    return 0;
}

/* ---- room ----------------------------------------------------------------------------------- */

/* An empty array holds elements of any kind. */
static void become_empty_of(struct jitvm_array *array, uint32_t element)
{
    size_t bytes = block_size(array);
    array->data.bytes = block_of(array);
    array->shifted = 0;
    array->element = element;
    array->room = bytes / element_size(array);
}

static void move_to_start(struct jitvm_array *array)
{
    size_t size = element_size(array);
    if (!array->shifted)
        return;
    char *start = block_of(array);
    memmove(start, array->data.bytes, array->len * size);
    array->data.bytes = start;
    array->room += array->shifted;
    array->shifted = 0;
}

static int resize_block(struct heap *heap, struct jitvm_array *array, size_t bytes)
{
    char *block = heap_realloc(heap, array->data.bytes, block_size(array), bytes);
    if (!block)
        return -1;
    array->data.bytes = block;
    array->room = bytes / element_size(array);
    return 0;
}

/* For `need` elements, which are more than there is room for. */
static int make_room(struct heap *heap, struct jitvm_array *array, size_t need)
{
    size_t size = element_size(array), shifted = array->shifted;
    if (need > ARRAY_MAX)
        return -1;
    move_to_start(array);
    /* Moving down is paid for by the shifts before it, if they were as many as the elements. */
    if (need <= array->room && shifted >= array->len)
        return 0;

    size_t twice = 2 * array->room * size, least = round_up(need * size);
    if (twice < FIRST_ROOM * VALUE_SIZE)
        twice = FIRST_ROOM * VALUE_SIZE;
    if (resize_block(heap, array, twice > least ? twice : least) == 0)
        return 0;
    return need <= array->room ? 0 : resize_block(heap, array, least);
}

/* ---- element kinds -------------------------------------------------------------------------- */

static void spread_out(struct jitvm_array *array)
{
    /* From the end: a value lies where two elements lay, behind those still to be read. */
    for (size_t i = array->len; i-- > 0;) {
        struct jitvm_value v = array_at(array, i);
        memcpy(array->data.bytes + i * VALUE_SIZE, &v, VALUE_SIZE);
    }
    array->element = ARRAY_VALUE;
}

static int widen(struct heap *heap, struct jitvm_array *array)
{
    if (array->element == ARRAY_VALUE)
        return 0;
    if (!array->len) {
        become_empty_of(array, ARRAY_VALUE);
        return 0;
    }
    move_to_start(array);
    size_t most = array->room * VALUE_SIZE, least = array->len * VALUE_SIZE;
    if (block_size(array) < least && resize_block(heap, array, most) < 0 &&
        resize_block(heap, array, least) < 0)
        return -1;
    size_t bytes = block_size(array);
    spread_out(array);
    array->room = bytes / VALUE_SIZE;
    return 0;
}

/* Makes the array one that can hold v. */
static int admit(struct heap *heap, struct jitvm_array *array, struct jitvm_value v)
{
    uint32_t element = element_for(v);
    if (array->element == element || array->element == ARRAY_VALUE)
        return 0;
    if (array->len)
        return widen(heap, array);
    become_empty_of(array, element);
    return 0;
}

/* v is of the array's element kind, and there is room. */
static void store(struct jitvm_array *array, size_t index, struct jitvm_value v)
{
    if (array->element == ARRAY_VALUE)
        array->data.values[index] = v;
    else
        memcpy(&array->data.ints[index], &v.as, sizeof v.as);
}

/* ---- elements ------------------------------------------------------------------------------- */

static int push_slowly(struct heap *heap, struct jitvm_array *array, struct jitvm_value value)
{
    if (admit(heap, array, value) < 0 ||
        (array->len == array->room && make_room(heap, array, array->len + 1) < 0)) {
        value_release(heap, value);
        return -1;
    }
    store(array, array->len++, value);
    return 0;
}

int array_push(struct heap *heap, struct jitvm_array *array, struct jitvm_value value)
{
    size_t len = array->len;
    if (len < array->room) {
        if (array->element == ARRAY_VALUE) {
            array->data.values[len] = value;
            array->len = len + 1;
            return 0;
        }
        /* The kinds of elements are those of values, but for where they begin. */
        if (array->element + JITVM_INT == value.kind) {
            memcpy(&array->data.ints[len], &value.as, sizeof value.as);
            array->len = len + 1;
            return 0;
        }
    }
    return push_slowly(heap, array, value);
}

static int fill_up(struct heap *heap, struct jitvm_array *array, size_t len)
{
    if (widen(heap, array) < 0 || (len > array->room && make_room(heap, array, len) < 0))
        return -1;
    memset(array->data.values + array->len, 0, (len - array->len) * VALUE_SIZE);
    array->len = len;
    return 0;
}

static int set_slowly(struct heap *heap, struct jitvm_array *array, size_t index,
                      struct jitvm_value value)
{
    if (index == array->len)
        return array_push(heap, array, value);
    bool ok = index < array->len ? widen(heap, array) == 0
                                 : index < ARRAY_MAX && fill_up(heap, array, index + 1) == 0;
    if (!ok) {
        value_release(heap, value);
        return -1;
    }
    array->data.values[index] = value;
    return 0;
}

int array_set(struct heap *heap, struct jitvm_array *array, size_t index, struct jitvm_value value)
{
    if (index < array->len) {
        if (array->element == ARRAY_VALUE) {
            struct jitvm_value before = array->data.values[index];
            array->data.values[index] = value;
            value_release(heap, before);
            return 0;
        }
        if (array->element + JITVM_INT == value.kind) {
            memcpy(&array->data.ints[index], &value.as, sizeof value.as);
            return 0;
        }
    }
    return set_slowly(heap, array, index, value);
}

struct jitvm_value *array_place(struct heap *heap, struct jitvm_array *array, size_t index)
{
    if (array->element != ARRAY_VALUE && widen(heap, array) < 0)
        return NULL;
    if (index >= array->len && (index >= ARRAY_MAX || fill_up(heap, array, index + 1) < 0))
        return NULL;
    return &array->data.values[index];
}

struct jitvm_value array_pop(struct jitvm_array *array)
{
    if (!array->len)
        return jitvm_undef();
    struct jitvm_value last = array_at(array, array->len - 1);
    if (!--array->len)
        become_empty_of(array, ARRAY_INT);
    return last;
}

struct jitvm_value array_shift(struct jitvm_array *array)
{
    if (!array->len)
        return jitvm_undef();
    struct jitvm_value first = array_at(array, 0);
    array->data.bytes += element_size(array);
    array->shifted++;
    array->room--;
    if (!--array->len)
        become_empty_of(array, ARRAY_INT);
    return first;
}

struct jitvm_value array_remove(struct jitvm_array *array, size_t index)
{
    if (index >= array->len)
        return jitvm_undef();
    struct jitvm_value gone = array_at(array, index);
    size_t size = element_size(array);
    char *at = array->data.bytes + index * size;
    if (!--array->len)
        become_empty_of(array, ARRAY_INT);
    else
        memmove(at, at + size, (array->len - index) * size);
    return gone;
}
