/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the verifier. Each gives 0 or a negative jitvm_status with *err filled in. */
#ifndef JITVM_CHUNK_VERIFY_H
#define JITVM_CHUNK_VERIFY_H

#include "guest/jitvm/chunk/chunk.h"

/* verify_tables.c: everything but the ops: counts, names, constants, functions, extensions, slot
 * names, lines. What the other parts index is in range afterwards. */
int verify_tables(const struct jitvm_chunk *chunk, struct jitvm_error *err);

/* verify_op.c: the operands of one op, each in range for function `f`, and the rest 0. */
int verify_op(const struct jitvm_chunk *chunk, uint32_t f, uint32_t ip, struct jitvm_error *err);

/* "fib: op 12 (SetSlot): ..."; gives JITVM_ERR_INVALID. The op
 * is the error's one frame. */
int verify_fail_op(const struct jitvm_chunk *chunk, uint32_t f, uint32_t ip,
                   struct jitvm_error *err, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#endif
