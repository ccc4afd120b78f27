/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which the text form mentions names and constants: functions, extensions, then
 * function by function the slots and the operands. A chunk that numbers them so needs no tables of
 * them in its text; the builder makes such chunks.
 */
#ifndef JITVM_CHUNK_ORDER_H
#define JITVM_CHUNK_ORDER_H

#include "guest/jitvm/chunk/chunk.h"

struct chunk_order {
    uint32_t *names, *constants; /* number by order for each index; UINT32_MAX: not mentioned */
    uint32_t name_count, constant_count; /* of those mentioned */
};

/* False without memory. Indices that are out of range are passed over. */
bool chunk_order_of(const struct jitvm_chunk *chunk, struct chunk_order *out);
void chunk_order_free(struct chunk_order *order);

/* Are all mentioned, in the order of their indices? */
bool chunk_order_is_natural(const struct chunk_order *order, const struct jitvm_chunk *chunk);

/* Renumbers names and constants of a chunk that is being made; those not mentioned are freed. False
 * without memory, and the chunk is as before. */
bool chunk_reorder(struct jitvm_chunk *chunk);

#endif
