/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executable memory of one VM. No page of it is ever both writable and executable, and published
 * code is never written again: memory.c says how functions still share pages.
 */
#ifndef JITVM_JIT_MEMORY_H
#define JITVM_JIT_MEMORY_H

#include <stddef.h>

/* Address space that is set aside; pages of it are taken as code is published. */
#define JIT_MEMORY_MAX ((size_t)64 << 20)

struct jit_memory;

/* `max` bytes, rounded up to whole steps of growth. 0; HOST: this process may not make memory
 * executable (a seccomp filter, SELinux, memory-deny-write-execute), so code can only be
 * interpreted; MEMORY. */
int jit_memory_new(size_t max, struct jit_memory **out);

/* All code in it is gone: none of it may be on the stack. NULL is ignored. */
void jit_memory_free(struct jit_memory *memory);

/* Copies code that does not depend on its place to a multiple of `align` (a power of two, at most
 * 4096), ready to run. Valid, and at that address, until the memory is freed. NULL: no room left,
 * or the system refused; what was published before is untouched then. Code of this memory may be
 * running on this thread, as always when a function asks for the compilation of another. */
const void *jit_memory_publish(struct jit_memory *memory, const void *code, size_t len,
                               size_t align);

/* Bytes of code, gaps for alignment included. */
size_t jit_memory_used(const struct jit_memory *memory);
/* Bytes of memory taken from the system for it. */
size_t jit_memory_committed(const struct jit_memory *memory);

#endif
