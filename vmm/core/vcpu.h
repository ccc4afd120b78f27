/* SPDX-License-Identifier: Apache-2.0 */
/* One vCPU: its KVM state, its thread, its exits. Used by vm.c alone. */
#ifndef THAW_CORE_VCPU_H
#define THAW_CORE_VCPU_H

#include "vmm/core/vm.h"

/* Creates vCPU `index` of an existing VM. `run_size` is KVM_GET_VCPU_MMAP_SIZE. On failure
 * vcpu_destroy() may still be called. */
int vcpu_create(struct vm *vm, unsigned index, size_t run_size, struct thaw_error *err);
void vcpu_destroy(struct vcpu *vcpu);

/* Starts the thread. It runs until the guest ends or vm->stopping is set and it is kicked. */
int vcpu_start(struct vcpu *vcpu, struct thaw_error *err);
void vcpu_join(struct vcpu *vcpu);

/* The thread has been joined: completes what the last exit has left half done, see vm_pause(). */
void vcpu_settle(struct vcpu *vcpu);

/* Makes KVM_RUN return soon, whether the vCPU is inside or about to enter. */
void vcpu_kick(struct vcpu *vcpu);

#endif
