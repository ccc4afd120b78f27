/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sections `cpuid`, `vcpu` and `vm` hold on x86: KVM's own structures (api.rst), which are
 * the kernel's ABI and keep their shape, in the host's byte order.
 *
 *   cpuid  struct kvm_cpuid2 with its entries, ready for KVM_SET_CPUID2
 *   vcpu   struct x86_vcpu, then the XSAVE area, then the MSRs
 *   vm     struct x86_vm
 */
#ifndef THAW_ARCH_X86_64_STATE_H
#define THAW_ARCH_X86_64_STATE_H

#include "vmm/arch/arch.h"

#include <linux/kvm.h>
#include <stdbool.h>

#define X86_STATE_VERSION 1u
#define X86_CPUID_MAX     256u         /* entries: KVM's own limit */
#define X86_XSAVE_MAX     (64u * 1024) /* bytes; with AMX it is 11 KiB */

struct x86_vcpu {
    uint32_t version;      /* X86_STATE_VERSION */
    uint32_t xsave_size;   /* bytes */
    uint32_t msr_count;    /* entries */
    uint32_t tsc_khz;      /* of the guest's TSC; 0: KVM did not know */
    uint64_t tsc;          /* at the save */
    uint64_t tsc_offset;   /* to the host's TSC; only differences between vCPUs mean anything */
    uint64_t tsc_deadline; /* 0: not armed */
    struct kvm_mp_state mp_state;
    uint32_t reserved;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_lapic_state lapic;
    struct kvm_vcpu_events events;
};

enum { X86_CHIPS = 3 }; /* KVM_IRQCHIP_PIC_MASTER, _PIC_SLAVE, _IOAPIC, in this order */

struct x86_vm {
    uint32_t version; /* X86_STATE_VERSION */
    uint32_t reserved;
    uint64_t host;     /* x86_host_id() of the host of the save */
    uint64_t realtime; /* CLOCK_REALTIME in ns that belongs to `clock` */
    struct kvm_clock_data clock;
    struct kvm_pit_state2 pit;
    struct kvm_irqchip chips[X86_CHIPS];
};

_Static_assert(sizeof(struct x86_vcpu) == 2112, "the section vcpu has no padding");
_Static_assert(sizeof(struct x86_vm) == 1744, "the section vm has no padding");

/* The parts of a vCPU's two sections, where they are. */
struct x86_vcpu_view {
    const struct kvm_cpuid2 *cpuid;
    const struct x86_vcpu *state;
    const void *xsave;
    const struct kvm_msr_entry *msrs;
};
struct x86_view {
    unsigned vcpu_count;
    struct x86_vcpu_view vcpus[ARCH_VCPUS_MAX];
    const struct x86_vm *vm;
};

/* Finds the parts and checks every size and count, and nothing about the host: the only place
 * where lengths are looked at. */
int x86_state_parse(const struct arch_state_view *bytes, struct x86_view *view,
                    struct thaw_error *err);

/* Bytes of an XSAVE area with KVM_GET_XSAVE2. 4096 is what KVM_GET_XSAVE knows, too. */
uint32_t x86_xsave_size(int kvm_fd);

/* What this boot of this host offers, as a number: equal numbers, same CPUID. 0: not known. Reading
 * the same out of KVM_GET_SUPPORTED_CPUID takes some hundred CPUID instructions, each of which
 * traps where the host is a guest itself: longer than all the rest of a restore. */
uint64_t x86_host_id(int kvm_fd);

/* Does the host offer what the guest saw? All vCPUs. */
int x86_cpuid_check(int kvm_fd, const struct x86_view *view, struct thaw_error *err);

/* AMD's kind (SVM) or Intel's (VMX)? By the vendor in leaf 0. */
bool x86_is_amd(const struct kvm_cpuid2 *cpuid);

/* Is the guest told that it has VMX or SVM? */
bool x86_offers_virtualization(const struct kvm_cpuid2 *cpuid);

/* How far the guest's clocks are to be advanced: ns since the save; 0 when frozen, and when the
 * host's clock was set back. THAW_FAIL_HOST when this KVM cannot do it. */
int x86_clock_elapsed(const struct arch_machine *machine, const struct x86_vm *vm,
                      enum arch_clock clock, uint64_t *ns, struct thaw_error *err);

/* Sees to it that the guest's TSC runs at its old rate, within 250 ppm, as Linux tolerates it. */
int x86_tsc_rate(const struct arch_machine *machine, const struct x86_view *view,
                 struct thaw_error *err);

/* The TSC of a vCPU `ns` after the save. */
uint64_t x86_tsc_after(const struct x86_vcpu *vcpu, uint64_t ns);

/* Puts the other vCPUs' TSCs exactly in step with the first one's, as they were at the save, where
 * KVM has the means. */
int x86_tsc_align(const struct arch_machine *machine, const struct x86_view *view,
                  struct thaw_error *err);

#endif
