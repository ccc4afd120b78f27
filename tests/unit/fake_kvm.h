/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM as a record. The unit tests are linked with --wrap=ioctl: while a fake is installed, calls on
 * its descriptors come here, are written down, and are answered from plain structures that a test
 * fills and reads. All other calls go to the kernel.
 */
#ifndef TESTS_UNIT_FAKE_KVM_H
#define TESTS_UNIT_FAKE_KVM_H

#include "vmm/arch/arch.h"

#include <linux/kvm.h>
#include <stdbool.h>

#define FAKE_VCPUS_MAX  4u
#define FAKE_MSRS_MAX   512u
#define FAKE_CPUID_MAX  256u
#define FAKE_CALLS_MAX  1024u
#define FAKE_WRITES_MAX 4096u
#define FAKE_XSAVE_MAX  16384u

/* Laid out like struct kvm_cpuid2. */
struct fake_cpuid {
    uint32_t nent, padding;
    struct kvm_cpuid_entry2 entries[FAKE_CPUID_MAX];
};

struct fake_msr {
    uint32_t index;
    bool unlisted;      /* not in KVM_GET_MSR_INDEX_LIST */
    bool unreadable;    /* KVM_GET_MSRS stops there */
    bool unwritable;    /* KVM_SET_MSRS stops there */
    uint64_t initially; /* in every vCPU of fake_kvm_reset() */
};

struct fake_vcpu {
    struct fake_cpuid cpuid;
    struct kvm_mp_state mp_state;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    uint8_t xsave[FAKE_XSAVE_MAX];
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_lapic_state lapic;
    struct kvm_vcpu_events events;
    uint64_t tsc_offset;
    uint64_t msrs[FAKE_MSRS_MAX]; /* values, in the order of fake_kvm.msrs */
};

struct fake_msr_write {
    unsigned vcpu, call; /* `call`: number of the KVM_SET_MSRS in calls[] */
    uint32_t index;
    uint64_t value;
};

struct fake_kvm {
    /* The host. */
    struct fake_cpuid supported;
    unsigned msr_count;
    struct fake_msr msrs[FAKE_MSRS_MAX];
    int xsave_size, adjust_clock, nested_size; /* what KVM_CHECK_EXTENSION says */
    bool tsc_control, no_tsc_offset;
    int tsc_khz;
    struct kvm_nested_state nested; /* what KVM_GET_NESTED_STATE says */
    int nested_error;
    unsigned long fail_request; /* this request fails, with this errno */
    int fail_errno;

    /* The machine. */
    struct fake_vcpu vcpus[FAKE_VCPUS_MAX];
    struct kvm_pit_state2 pit;
    struct kvm_clock_data clock;
    struct kvm_irqchip chips[3];

    /* What was called. */
    unsigned call_count;
    struct {
        int vcpu; /* -1: on the VM, -2: on /dev/kvm */
        unsigned long request;
    } calls[FAKE_CALLS_MAX];
    unsigned write_count;
    struct fake_msr_write writes[FAKE_WRITES_MAX];
};

/* A host with a small processor, a few MSRs and a machine whose every byte is something else.
 * Installs it: from here on the descriptors of fake_kvm_machine() are its. */
void fake_kvm_install(struct fake_kvm *kvm);

/* A machine of `count` vCPUs on it. */
struct arch_machine fake_kvm_machine(unsigned count);

/* A new machine on the same host: all zeros, MSRs at their initial values. Forgets the calls. */
void fake_kvm_reset(struct fake_kvm *kvm);

/* Adds an MSR; returns it. */
struct fake_msr *fake_kvm_add_msr(struct fake_kvm *kvm, uint32_t index, uint64_t initially);

/* The value in a vCPU. */
uint64_t *fake_kvm_msr(struct fake_kvm *kvm, unsigned vcpu, uint32_t index);

/* Names of the state-changing or state-reading requests so far, with a space between: those on vCPU
 * `vcpu`, or on the VM (-1). In `text`. */
const char *fake_kvm_story(const struct fake_kvm *kvm, int vcpu, char *text, size_t size);

unsigned fake_kvm_count(const struct fake_kvm *kvm, unsigned long request);

/* The last write of an MSR to a vCPU; NULL when there was none. */
const struct fake_msr_write *fake_kvm_last_write(const struct fake_kvm *kvm, unsigned vcpu,
                                                 uint32_t index);

/* A feature word of a CPUID table, which grows if it must. */
struct kvm_cpuid_entry2 *fake_cpuid_leaf(struct fake_cpuid *cpuid, uint32_t leaf, uint32_t index);

#endif
