/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a chunk: functions one at a time, ops in order, jumps by label. Nothing fails until
 * builder_build: the first failure is remembered, what follows it is ignored, and build reports it.
 *
 * Build runs the peephole pass (fuse.c), which finds the fused forms, unless it is told not to; so
 * frontends emit only plain ops.
 */
#ifndef JITVM_CHUNK_BUILDER_H
#define JITVM_CHUNK_BUILDER_H

#include "guest/jitvm/chunk/chunk.h"

/* Declares a function and gives its index; its body may come later. Function 0 is there already.
 * Twice the same name is an error. */
uint32_t builder_function(struct jitvm_builder *b, const char *name, size_t len, unsigned arity);
/* What follows is the body of this function, until the next begin or build. Each once. */
void builder_begin(struct jitvm_builder *b, uint32_t function);
/* A further slot of the function begun; slots 0..arity-1 are its arguments. The name may be NULL.
 */
uint32_t builder_slot(struct jitvm_builder *b, const char *name, size_t len);
void builder_name_slot(struct jitvm_builder *b, uint32_t slot, const char *name, size_t len);

/* Indices of things, the same for the same contents. */
uint32_t builder_name(struct jitvm_builder *b, const char *name, size_t len);
uint32_t builder_const_str(struct jitvm_builder *b, const char *bytes, size_t len);
uint32_t builder_const_int(struct jitvm_builder *b, int64_t i);
uint32_t builder_const_float(struct jitvm_builder *b, double f);
uint32_t builder_extension(struct jitvm_builder *b, const char *name, size_t len, unsigned pops,
                           unsigned pushes);

/* The same, of a name that has its index already. */
uint32_t builder_function_named(struct jitvm_builder *b, uint32_t name, unsigned arity);
uint32_t builder_extension_named(struct jitvm_builder *b, uint32_t name, unsigned pops,
                                 unsigned pushes);

/* -1: none of that name so far. */
int64_t builder_find_name(const struct jitvm_builder *b, const char *name, size_t len);
int64_t builder_find_function(const struct jitvm_builder *b, const char *name, size_t len);
int64_t builder_find_extension(const struct jitvm_builder *b, const char *name, size_t len);
/* Has something failed? Build will say what. */
bool builder_failed(const struct jitvm_builder *b);

/* Appends an op and returns its index. Its line is the one set last. */
uint32_t builder_emit(struct jitvm_builder *b, struct jitvm_op op);
uint32_t builder_op(struct jitvm_builder *b, enum op_code code); /* no operands */
void builder_line(struct jitvm_builder *b, uint32_t line);

/* Labels, of the function begun: a jump may be emitted before its label is placed. */
uint32_t builder_label(struct jitvm_builder *b);
void builder_place(struct jitvm_builder *b, uint32_t label);
void builder_jump(struct jitvm_builder *b, enum op_code code, uint32_t label); /* format JUMP */
/* For fused ops with a target (an assembler's): op.b is filled in. */
void builder_jump_op(struct jitvm_builder *b, struct jitvm_op op, uint32_t label);

void builder_set_source(struct jitvm_builder *b, const char *source, size_t len);
void builder_set_flags(struct jitvm_builder *b, uint32_t chunk_flags);
/* The assembler: what is written is what it is. Otherwise a body whose end can be reached gets a
 * Return there, and build puts the names in the order in which the text form mentions them. */
void builder_no_fusing(struct jitvm_builder *b);

/* The builder can only be freed afterwards. */
int builder_build(struct jitvm_builder *b, struct jitvm_chunk **out, struct jitvm_error *err);

/* fuse.c: replaces sequences by fused ops in a list of the ops of one function whose jump targets
 * are indices into it, and makes it shorter; each op's line moves along. Never across a jump
 * target. False without memory; then nothing has changed. */
bool fuse_ops(struct jitvm_op *ops, uint32_t *lines, uint32_t *count,
              const struct jitvm_value *constants);

#endif
