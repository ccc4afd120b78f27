/* SPDX-License-Identifier: Apache-2.0 */
/* Constants of lowered code: one table for the VM, reached through vm->literals. */
#ifndef JITVM_VM_LITERALS_H
#define JITVM_VM_LITERALS_H

#include "guest/jitvm/vm/vm.h"

/* Gives the index of a literal with these bits, made if there is none. A string must be immortal.
 * -1: no memory. */
int literals_add(struct jitvm *vm, struct jitvm_value v, uint32_t *index);
void literals_free(struct jitvm *vm);

#endif
