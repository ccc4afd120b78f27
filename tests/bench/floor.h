/* SPDX-License-Identifier: Apache-2.0 */
/* What bench-floor reads: a machine's state, taken out of a snapshot by bench-floor-state, so that
 * the program which is the measure of all others has nothing to find or to check. */
#ifndef THAW_TESTS_BENCH_FLOOR_H
#define THAW_TESTS_BENCH_FLOOR_H

#include "vmm/arch/x86_64/msr.h"
#include "vmm/arch/x86_64/state.h"

#define FLOOR_XSAVE_MAX 4096u
#define FLOOR_MSRS_MAX  250u

struct floor_state {
    struct x86_vcpu vcpu;
    struct x86_vm vm;
    uint64_t memory_bytes;
    uint8_t xsave[FLOOR_XSAVE_MAX];
    /* Laid out like struct kvm_msrs and struct kvm_cpuid2. */
    struct {
        uint32_t count, padding;
        struct kvm_msr_entry entries[FLOOR_MSRS_MAX];
    } msrs;
    struct {
        uint32_t count, padding;
        struct kvm_cpuid_entry2 entries[X86_CPUID_MAX];
    } cpuid;
};

#endif
