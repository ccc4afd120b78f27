/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verifier: the border between chunks from outside and everything behind it. This part follows
 * the flow of control: one depth of the stack for each op, however it is reached.
 *
 * Linear in the ops: each is put on the work list once, when its depth becomes known.
 */
#include "guest/jitvm/chunk/verify.h"

#include <stdlib.h>

#define DEPTH_UNKNOWN (-1)

struct flow {
    const struct jitvm_chunk *chunk;
    struct chunk_function *function;
    uint32_t f;
    int32_t *depth; /* before each op of the function */
    uint32_t *work; /* ops whose depth is known and whose successors' are not; from `first` */
    uint32_t pending;
    struct jitvm_error *err;
};

/* Control reaches op `ip` with `depth` operands, from op `from`. */
static int reach(struct flow *flow, uint32_t from, uint32_t ip, uint32_t depth)
{
    uint32_t at = ip - flow->function->first;
    if (flow->depth[at] == DEPTH_UNKNOWN) {
        flow->depth[at] = (int32_t)depth;
        flow->work[flow->pending++] = at;
        return 0;
    }
    if (flow->depth[at] != (int32_t)depth)
        return verify_fail_op(flow->chunk, flow->f, ip, flow->err,
                              "%u operands when reached from op %u, %u otherwise", depth, from,
                              (unsigned)flow->depth[at]);
    return 0;
}

/* The depth after the op, or a negative status. */
static int apply_effect(const struct flow *flow, uint32_t ip, uint32_t depth)
{
    const struct jitvm_op *op = &flow->chunk->ops[ip];
    const struct chunk_extension *extension = NULL;
    if (op->code == OP_Extended || op->code == OP_ExtendedWide)
        extension = &flow->chunk->extensions[op->b];
    struct op_effect effect = op_effect(op, extension);
    if (effect.pops > depth)
        return verify_fail_op(flow->chunk, flow->f, ip, flow->err,
                              "takes %u operands where there are %u", effect.pops, depth);
    depth = depth - effect.pops + effect.pushes;
    if (depth > CHUNK_STACK_MAX)
        return verify_fail_op(flow->chunk, flow->f, ip, flow->err, "more than %u operands",
                              CHUNK_STACK_MAX);
    return (int)depth;
}

static int follow(struct flow *flow, uint32_t ip)
{
    const struct jitvm_op *op = &flow->chunk->ops[ip];
    int rc = apply_effect(flow, ip, (uint32_t)flow->depth[ip - flow->function->first]);
    if (rc < 0)
        return rc;
    uint32_t depth = (uint32_t)rc;
    if (depth > flow->function->max_stack)
        flow->function->max_stack = depth;
    if (op_is_jump(op->code))
        rc = reach(flow, ip, op->b, depth);
    if (rc >= 0 && !op_ends_flow(op->code))
        rc = reach(flow, ip, ip + 1, depth);
    return rc < 0 ? rc : 0;
}

static int verify_flow(struct flow *flow)
{
    uint32_t first = flow->function->first;
    for (uint32_t i = 0; i < flow->function->count; i++)
        flow->depth[i] = DEPTH_UNKNOWN;
    flow->pending = 0;
    flow->function->max_stack = 0;
    int rc = reach(flow, first, first, 0);
    while (rc == 0 && flow->pending > 0)
        rc = follow(flow, first + flow->work[--flow->pending]);
    return rc;
}

static int verify_ops(const struct jitvm_chunk *chunk, uint32_t f, struct jitvm_error *err)
{
    const struct chunk_function *function = &chunk->functions[f];
    uint32_t last = function->first + function->count - 1;
    for (uint32_t ip = function->first; ip <= last; ip++) {
        int rc = verify_op(chunk, f, ip, err);
        if (rc < 0)
            return rc;
    }
    /* So nothing can fall out of a function, reached or not. */
    if (!op_ends_flow(chunk->ops[last].code))
        return verify_fail_op(chunk, f, last, err, "the function ends behind it");
    return 0;
}

static int verify_functions(struct flow *flow)
{
    for (flow->f = 0; flow->f < flow->chunk->function_count; flow->f++) {
        flow->function = &flow->chunk->functions[flow->f];
        int rc = verify_ops(flow->chunk, flow->f, flow->err);
        if (rc == 0)
            rc = verify_flow(flow);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static uint32_t longest_function(const struct jitvm_chunk *chunk)
{
    uint32_t most = 1;
    for (uint32_t f = 0; f < chunk->function_count; f++)
        if (chunk->functions[f].count > most)
            most = chunk->functions[f].count;
    return most;
}

int chunk_verify(struct jitvm_chunk *chunk, struct jitvm_error *err)
{
    int rc = verify_tables(chunk, err);
    if (rc < 0)
        return rc;

    size_t most = longest_function(chunk);
    struct flow flow = {.chunk = chunk, .err = err};
    flow.depth = calloc(most, sizeof(*flow.depth));
    flow.work = calloc(most, sizeof(*flow.work));
    rc = flow.depth && flow.work ? verify_functions(&flow)
                                 : chunk_fail(err, JITVM_ERR_MEMORY, "no memory to verify a chunk");
    free(flow.depth);
    free(flow.work);
    return rc;
}
