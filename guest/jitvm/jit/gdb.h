/* SPDX-License-Identifier: Apache-2.0 */
/* Names of compiled functions for a debugger: the GDB JIT interface (JITVM_DEBUG_GDB). */
#ifndef JITVM_JIT_GDB_H
#define JITVM_JIT_GDB_H

#include <stddef.h>

struct jit_gdb;

/* Tells a debugger, attached now or later, of a function at its final place. The name is copied.
 * From any thread. NULL: no memory. */
struct jit_gdb *jit_gdb_add(const void *code, size_t len, const char *name);

/* Before the code is gone. NULL is ignored. */
void jit_gdb_remove(struct jit_gdb *entry);

#endif
