/* SPDX-License-Identifier: Apache-2.0 */
/* Names and constants in the order of the text form. */
#include "guest/jitvm/chunk/order.h"

#include <stdlib.h>

static bool op_has_name(const struct jitvm_op *op)
{
    enum op_format format = op_format(op->code);
    return format == OP_FMT_GLOBAL || format == OP_FMT_BUILTIN ||
           (format == OP_FMT_PLACE && op->a == 1);
}

static bool op_has_constant(const struct jitvm_op *op)
{
    enum op_format format = op_format(op->code);
    return format == OP_FMT_CONST || format == OP_FMT_SLOT2_INT_CONST;
}

static void mention_name(const struct jitvm_chunk *chunk, struct chunk_order *order, uint32_t name)
{
    if (name < chunk->name_count && order->names[name] == UINT32_MAX)
        order->names[name] = order->name_count++;
}

static void mention_constant(const struct jitvm_chunk *chunk, struct chunk_order *order,
                             uint32_t constant)
{
    if (constant < chunk->constant_count && order->constants[constant] == UINT32_MAX)
        order->constants[constant] = order->constant_count++;
}

static void mention_in_function(const struct jitvm_chunk *chunk, uint32_t f,
                                struct chunk_order *order)
{
    const struct chunk_function *function = &chunk->functions[f];
    if (function->slot_names != UINT32_MAX)
        for (uint32_t i = 0; i < function->slots; i++)
            mention_name(chunk, order, chunk->slot_names[function->slot_names + i]);
    for (uint32_t i = 0; i < function->count; i++) {
        const struct jitvm_op *op = &chunk->ops[function->first + i];
        if (op_has_name(op))
            mention_name(chunk, order, op->b);
        if (op_has_constant(op))
            mention_constant(chunk, order, op->b);
    }
}

static uint32_t *unmentioned(uint32_t count)
{
    uint32_t *numbers = malloc(((size_t)count + 1) * sizeof(*numbers));
    for (uint32_t i = 0; numbers && i < count; i++)
        numbers[i] = UINT32_MAX;
    return numbers;
}

bool chunk_order_of(const struct jitvm_chunk *chunk, struct chunk_order *out)
{
    *out = (struct chunk_order){.names = unmentioned(chunk->name_count),
                                .constants = unmentioned(chunk->constant_count)};
    if (!out->names || !out->constants) {
        chunk_order_free(out);
        return false;
    }
    for (uint32_t f = 0; f < chunk->function_count; f++)
        mention_name(chunk, out, chunk->functions[f].name);
    for (uint32_t i = 0; i < chunk->extension_count; i++)
        mention_name(chunk, out, chunk->extensions[i].name);
    for (uint32_t f = 0; f < chunk->function_count; f++)
        mention_in_function(chunk, f, out);
    return true;
}

void chunk_order_free(struct chunk_order *order)
{
    free(order->names);
    free(order->constants);
    *order = (struct chunk_order){0};
}

bool chunk_order_is_natural(const struct chunk_order *order, const struct jitvm_chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->name_count; i++)
        if (order->names[i] != i)
            return false;
    for (uint32_t i = 0; i < chunk->constant_count; i++)
        if (order->constants[i] != i)
            return false;
    return true;
}

/* An index that is out of range stays so, for the verifier to find. */
static void renumber(const uint32_t *numbers, uint32_t count, uint32_t *index)
{
    if (*index < count)
        *index = numbers[*index];
}

static void renumber_all(struct jitvm_chunk *chunk, const struct chunk_order *order)
{
    for (uint32_t f = 0; f < chunk->function_count; f++)
        renumber(order->names, chunk->name_count, &chunk->functions[f].name);
    for (uint32_t i = 0; i < chunk->extension_count; i++)
        renumber(order->names, chunk->name_count, &chunk->extensions[i].name);
    for (uint32_t i = 0; i < chunk->slot_name_count; i++)
        renumber(order->names, chunk->name_count, &chunk->slot_names[i]);
    for (uint32_t i = 0; i < chunk->op_count; i++) {
        if (op_has_name(&chunk->ops[i]))
            renumber(order->names, chunk->name_count, &chunk->ops[i].b);
        if (op_has_constant(&chunk->ops[i]))
            renumber(order->constants, chunk->constant_count, &chunk->ops[i].b);
    }
}

static void move_names(struct jitvm_chunk *chunk, const struct chunk_order *order,
                       struct jitvm_str **to)
{
    for (uint32_t i = 0; i < chunk->name_count; i++) {
        if (order->names[i] == UINT32_MAX)
            free(chunk->names[i]);
        else
            to[order->names[i]] = chunk->names[i];
    }
    free(chunk->names);
    chunk->names = to;
    chunk->name_count = order->name_count;
}

static void move_constants(struct jitvm_chunk *chunk, const struct chunk_order *order,
                           struct jitvm_value *to)
{
    for (uint32_t i = 0; i < chunk->constant_count; i++) {
        if (order->constants[i] != UINT32_MAX)
            to[order->constants[i]] = chunk->constants[i];
        else if (chunk->constants[i].kind == JITVM_STR)
            free(chunk->constants[i].as.str);
    }
    free(chunk->constants);
    chunk->constants = to;
    chunk->constant_count = order->constant_count;
}

bool chunk_reorder(struct jitvm_chunk *chunk)
{
    struct chunk_order order;
    if (!chunk_order_of(chunk, &order))
        return false;
    struct jitvm_str **names = calloc((size_t)order.name_count + 1, sizeof(struct jitvm_str *));
    struct jitvm_value *constants = calloc((size_t)order.constant_count + 1, sizeof(*constants));
    bool ok = names && constants;
    if (ok) {
        renumber_all(chunk, &order);
        move_names(chunk, &order, names);
        move_constants(chunk, &order, constants);
    } else {
        free(names);
        free(constants);
    }
    chunk_order_free(&order);
    return ok;
}
