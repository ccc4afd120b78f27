/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THAW_ARCH_X86_64_CPUID_H
#define THAW_ARCH_X86_64_CPUID_H

#include "vmm/arch/arch.h"

#include <linux/kvm.h>

/* Rewrites one entry for vCPU `index` of `count`. Pure; idempotent, so that a table patched for
 * one vCPU can be patched for the next. */
void cpuid_patch(struct kvm_cpuid_entry2 *entry, unsigned index, unsigned count);

/* Patches the whole table for vCPU `index` of `count` and gives it to KVM. */
int cpuid_set(int vcpu_fd, struct arch_cpuid *cpuid, unsigned index, unsigned count,
              struct thaw_error *err);

/* The XSAVE features that the guest is offered (leaf 0xd, EDX:EAX); 0 without XSAVE. */
uint64_t cpuid_xcr0(const struct arch_cpuid *cpuid);

#endif
