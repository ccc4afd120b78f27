/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled code, as the rest of the VM sees it: functions are compiled when they were called often
 * enough, and reached through vm_function.entry from then on.
 *
 * Machine code takes over whole activations. What it cannot go on with (a value of a kind that was
 * not seen before) it leaves to the interpreter, with the registers as that would have them.
 */
#ifndef JITVM_JIT_JIT_H
#define JITVM_JIT_JIT_H

#include "guest/jitvm/vm/vm.h"

/* Makes vm->jit, from vm->config; leaves NULL when the configuration or the processor says that
 * there is none. 0 or MEMORY. After it, functions that get code (vm_code) get their countdown from
 * jit_countdown. */
int jit_new(struct jitvm *vm, struct jitvm_error *err);

/* Ends all compiled code: before the functions and their code are freed. Nothing runs. */
void jit_free(struct jitvm *vm);

/* Calls that the interpreter makes of `function`, whose code was lowered, before it asks for a
 * compilation: at a call it does `if (countdown >= 0 && countdown-- == 0) jit_function_hot(...)`,
 * and then looks at `entry`. Negative: never. */
int32_t jit_countdown(const struct jitvm *vm, const struct vm_function *function);

/* Compiles the function for arguments like those in base[0..arity), and sets `entry`, `countdown`.
 * When it cannot or need not, `entry` stays as it was. Raises nothing. */
void jit_function_hot(struct jitvm *vm, struct vm_function *function,
                      const struct jitvm_value *base);

struct jit_version;

/* A loop has run for a whole slice of fuel and jumps to instruction `insn` again: code that goes on
 * from there with registers like these, or NULL. Raises nothing. */
const struct jit_version *jit_loop_hot(struct jitvm *vm, struct vm_function *function,
                                       const struct jitvm_value *base, uint32_t insn);

/* Runs the rest of an activation, whose frame was popped, in the code of a loop of it, and ends it:
 * the result in base[0]. 0, or the status of an error that the activation was unwound for.
 * vm->slice, vm->depth as of `entry`. */
int jit_loop_run(struct jitvm *vm, const struct jit_version *loop, struct jitvm_value *base);

/* jitvm_set_config: thresholds have changed. Sets the countdown of what is not compiled. */
void jit_config_changed(struct jitvm *vm);

/* jitvm_compile_times. */
size_t jit_compile_times(const struct jitvm *vm, uint64_t *ns, size_t max);

#endif
