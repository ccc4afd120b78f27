/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls between compiled functions: signatures, and the table through which code calls code.
 *
 * A typed entry takes each argument as its signature says: an unboxed int or float in a register of
 * the convention, or any value in its cell of the callee's window. Code calls through a link, one
 * for each callee and signature: its slot holds the typed entry once there is one, until then the
 * adapter, which boxes what is in registers and runs the callee however it can be run.
 */
#ifndef JITVM_JIT_CALLS_H
#define JITVM_JIT_CALLS_H

#include "guest/jitvm/jit/block.h"

struct jit;
struct jit_version;

/* What the function of the chunk is expected to give: 0 when nothing is known. */
kind_set calls_result(const struct flow *f, uint32_t function);

/* The slot of vm->links for calls of `function` with arguments of these kinds: as the callee's
 * version takes them, if it does, else as they are. `passed` gets the signature. UINT32_MAX: no
 * memory. */
uint32_t calls_link(const struct flow *f, uint32_t function, const kind_set *kinds,
                    kind_set *passed);
/* The version was published: calls of its signature go there. */
void calls_publish(struct jitvm *vm, const struct jit_version *version);
void calls_free(struct jit *jit);

#endif
