/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chunk: ops, constants, names, functions, lines. Immutable and verified from the moment that
 * anybody has a pointer to it, shared by threads, atomically counted.
 *
 * Function 0 is the top level: no name, arity 0. The ops of function f are [first, first+count),
 * and the functions' ranges follow each other in order and cover all ops.
 */
#ifndef JITVM_CHUNK_CHUNK_H
#define JITVM_CHUNK_CHUNK_H

#include <stdatomic.h>

#include "guest/jitvm/chunk/op.h"
#include "guest/jitvm/value/str.h"

struct chunk_function {
    uint32_t name;         /* index into names; of function 0: UINT32_MAX */
    uint32_t first, count; /* ops */
    uint16_t arity;        /* at most OP_ARGS_MAX */
    uint16_t slots;        /* at least arity */
    /* Index into the chunk's slot_names of this function's first; UINT32_MAX: none has a name. */
    uint32_t slot_names;
    uint32_t max_stack; /* operands at most; the verifier's, not in the file */
};

struct chunk_extension {
    uint32_t name; /* index into names */
    uint8_t pops, pushes;
};

/* From this op on, the line is `line`, until the next of the function's or its end. Each is a
 * change; a function begins without one, which is line 0. */
struct chunk_line {
    uint32_t ip, line;
};

#define CHUNK_OPS_MAX       (1u << 24)
#define CHUNK_FUNCTIONS_MAX 65536u
#define CHUNK_NAMES_MAX     (1u << 20)
#define CHUNK_CONSTANTS_MAX (1u << 20)
#define CHUNK_SLOTS_MAX     4096u
#define CHUNK_SOURCE_MAX    4096u /* bytes of the source's name */
#define CHUNK_STACK_MAX     8192u /* operands of one function; with its slots under 16384 registers */

enum chunk_flags {
    CHUNK_TRAP_OVERFLOW = 1, /* Add Sub Mul Neg Inc Dec of ints fail where they would wrap */
};

struct jitvm_chunk {
    atomic_uint refs;
    uint32_t flags; /* enum chunk_flags, or'ed */
    char *source;   /* name of the source, for errors; never NULL */
    struct jitvm_op *ops;
    struct jitvm_value *constants; /* int, float, str (immortal), no two alike */
    struct jitvm_str **names;      /* immortal, no two alike: of functions, globals, slots, ... */
    struct chunk_function *functions;
    struct chunk_extension *extensions;
    uint32_t *slot_names;     /* indices into names, UINT32_MAX: none; a function's are together */
    struct chunk_line *lines; /* by ip, rising */
    uint32_t op_count, constant_count, name_count, function_count, extension_count;
    uint32_t slot_name_count, line_count;
    uint8_t identity[16];
};

/* Takes over what `chunk` holds (also when it fails): verifies, computes the identity, and gives
 * it one reference. Everything that makes chunks ends here. */
int chunk_finish(struct jitvm_chunk *chunk, struct jitvm_chunk **out, struct jitvm_error *err);
struct jitvm_chunk *chunk_alloc(void); /* zeroed, malloc */

/* The name, or "" for none; 0-terminated, with bytes that do not print left as they are. */
const char *chunk_name(const struct jitvm_chunk *chunk, uint32_t name);
/* "main" for function 0. */
const char *chunk_function_name(const struct jitvm_chunk *chunk, uint32_t function);
int64_t chunk_find_function(const struct jitvm_chunk *chunk, const char *name); /* -1: none */
uint32_t chunk_function_at(const struct jitvm_chunk *chunk, uint32_t ip);
uint32_t chunk_line_at(const struct jitvm_chunk *chunk, uint32_t ip); /* 0: not known */

/* verify.c: everything that later stages rely on; fills in max_stack. Errors name the function and
 * op. After it: all indices are in range, all jumps stay in their function, the stack has one depth
 * at each op that can be reached and never underflows, static arity is right. Each function ends
 * with Jump, Return or ReturnValue. The two slots of a whole-loop op differ, SlotIncLtIntJumpBack
 * jumps to itself or back. */
int chunk_verify(struct jitvm_chunk *chunk, struct jitvm_error *err);

/* jvc_write.c */
int chunk_compute_identity(struct jitvm_chunk *chunk, struct jitvm_error *err);
uint64_t chunk_abi_hash(void); /* over op.def and the formats */

/* error.c: fills *err (may be NULL) and returns `status`. */
int chunk_fail(struct jitvm_error *err, enum jitvm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
