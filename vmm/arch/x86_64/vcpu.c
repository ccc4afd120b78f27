/* SPDX-License-Identifier: Apache-2.0 */
/* x86: a vCPU's state at the start, and what to say of it at the end. */
#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/base/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CR0_PE (1ull << 0)
#define CR0_MP (1ull << 1)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_PG (1ull << 31)

#define CR4_PAE        (1ull << 5)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)

#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)

#define RFLAGS_FIXED 0x2ull
#define RFLAGS_IF    (1ull << 9)

#define MSR_IA32_MISC_ENABLE     0x1a0u
#define MISC_ENABLE_FAST_STRINGS 1ull
#define MSR_MTRR_DEF_TYPE        0x2ffu
#define MTRR_ENABLED_WRITE_BACK  0x806ull /* SDM 12.11.2.1: enable, default type write-back */

/* The selectors of boot.rst's 64-bit protocol: __BOOT_CS 0x10, __BOOT_DS 0x18. */
#define BOOT_CS 0x10u
#define BOOT_DS 0x18u
#define BOOT_TR 0x20u

/* Firmware's leavings that Linux looks at. An MSR that this host does not know is no reason to
 * refuse to boot: it only costs the guest a warning. */
static void set_firmware_msrs(int vcpu_fd)
{
    struct {
        struct kvm_msrs header;
        struct kvm_msr_entry entries[2];
    } msrs = {
        .header = {.nmsrs = 2},
        .entries = {{.index = MSR_IA32_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRINGS},
                    {.index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLED_WRITE_BACK}},
    };
    (void)ioctl(vcpu_fd, KVM_SET_MSRS, &msrs);
}

/* XCR0 with every bit that the guest's CPUID offers. Linux sets it itself, and where KVM sees that,
 * this changes nothing. An emulated host that does not intercept XSETBV leaves KVM's idea at the
 * reset value, and CPUID then reports an XSAVE area that is too small. */
static void set_xcr0(int vcpu_fd, const struct arch_cpuid *cpuid)
{
    uint64_t supported = cpuid_xcr0(cpuid);
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = supported}}};
    if (supported != 0)
        (void)ioctl(vcpu_fd, KVM_SET_XCRS, &xcrs);
}

/* Virtual wire mode (MultiProcessor Specification 3.6.2.2): the 8259 through LINT0, NMI through
 * LINT1. */
static int set_lapic_pins(int vcpu_fd, struct thaw_error *err)
{
    const size_t lvt_lint0 = 0x350, lvt_lint1 = 0x360;
    const uint32_t mode_mask = 0x700, mode_nmi = 0x400, mode_extint = 0x700;

    struct kvm_lapic_state lapic;
    int rc = kvm_ioctl(vcpu_fd, KVM_GET_LAPIC, &lapic, err);
    if (rc < 0)
        return rc;

    uint32_t lint0, lint1;
    memcpy(&lint0, lapic.regs + lvt_lint0, sizeof(lint0));
    memcpy(&lint1, lapic.regs + lvt_lint1, sizeof(lint1));
    lint0 = (lint0 & ~mode_mask) | mode_extint;
    lint1 = (lint1 & ~mode_mask) | mode_nmi;
    memcpy(lapic.regs + lvt_lint0, &lint0, sizeof(lint0));
    memcpy(lapic.regs + lvt_lint1, &lint1, sizeof(lint1));
    return kvm_ioctl(vcpu_fd, KVM_SET_LAPIC, &lapic, err);
}

int arch_vcpu_setup(int vcpu_fd, struct arch_cpuid *cpuid, unsigned index, unsigned count,
                    struct thaw_error *err)
{
    int rc = cpuid_set(vcpu_fd, cpuid, index, count, err);
    if (rc < 0)
        return rc;
    set_firmware_msrs(vcpu_fd);
    set_xcr0(vcpu_fd, cpuid);
    return set_lapic_pins(vcpu_fd, err);
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool code)
{
    return (struct kvm_segment){
        .limit = 0xffffffff,
        .selector = selector,
        .type = type,
        .present = 1,
        .db = !code,
        .s = 1,
        .l = code,
        .g = 1,
    };
}

static void set_long_mode(struct kvm_sregs *sregs)
{
    const uint8_t type_code = 11, type_data = 3, type_tss_busy = 11;
    struct kvm_segment data = segment(BOOT_DS, type_data, false);

    sregs->cs = segment(BOOT_CS, type_code, true);
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
    sregs->tr = (struct kvm_segment){
        .limit = 0x67, .selector = BOOT_TR, .type = type_tss_busy, .present = 1};
    sregs->gdt = (struct kvm_dtable){.base = LAYOUT_GDT, .limit = 6 * 8 - 1};
    sregs->idt = (struct kvm_dtable){.base = 0, .limit = 0};
    sregs->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    sregs->cr3 = LAYOUT_PML4;
    sregs->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    sregs->efer = EFER_LME | EFER_LMA;
}

int arch_vcpu_boot(int vcpu_fd, const struct boot_image *image, struct thaw_error *err)
{
    struct kvm_sregs sregs;
    int rc = kvm_ioctl(vcpu_fd, KVM_GET_SREGS, &sregs, err);
    if (rc < 0)
        return rc;
    set_long_mode(&sregs);
    rc = kvm_ioctl(vcpu_fd, KVM_SET_SREGS, &sregs, err);
    if (rc < 0)
        return rc;

    /* The stack is for guests without one of their own; Linux sets up its own at once. */
    struct kvm_regs regs = {
        .rip = image->entry,
        .rsi = LAYOUT_BOOT_PARAMS,
        .rsp = LAYOUT_BOOT_PARAMS,
        .rflags = RFLAGS_FIXED,
    };
    return kvm_ioctl(vcpu_fd, KVM_SET_REGS, &regs, err);
}

/* Instruction bytes at the linear address `rip`, through the guest's page tables. Stops at a
 * page's end. Returns how many were read. */
static size_t read_instruction(int vcpu_fd, const struct guest_memory *mem, uint64_t rip,
                               uint8_t bytes[15])
{
    struct kvm_translation at = {.linear_address = rip};
    if (ioctl(vcpu_fd, KVM_TRANSLATE, &at) < 0 || !at.valid)
        return 0;
    size_t size = GUEST_PAGE_SIZE - rip % GUEST_PAGE_SIZE;
    if (size > 15)
        size = 15;
    return guest_memory_read(mem, at.physical_address, bytes, size) == 0 ? size : 0;
}

void arch_vcpu_describe(int vcpu_fd, const struct guest_memory *mem, char *text, size_t size)
{
    struct kvm_regs regs;
    if (ioctl(vcpu_fd, KVM_GET_REGS, &regs) < 0) {
        snprintf(text, size, "RIP unknown");
        return;
    }
    int used = snprintf(text, size, "RIP 0x%llx", (unsigned long long)regs.rip);

    uint8_t bytes[15];
    size_t count = read_instruction(vcpu_fd, mem, regs.rip, bytes);
    for (size_t i = 0; i < count && used > 0 && (size_t)used < size; i++)
        used +=
            snprintf(text + used, size - (size_t)used, "%s%02x", i ? " " : ", bytes ", bytes[i]);
}

/* The multiprocessing state, or a negative errno. */
static int mp_state(int vcpu_fd)
{
    struct kvm_mp_state mp;
    return ioctl(vcpu_fd, KVM_GET_MP_STATE, &mp) < 0 ? -errno : (int)mp.mp_state;
}

static bool is_unstarted(int state)
{
    return state == KVM_MP_STATE_UNINITIALIZED || state == KVM_MP_STATE_INIT_RECEIVED;
}

int arch_vcpu_is_dead(int vcpu_fd)
{
    int state = mp_state(vcpu_fd);
    if (state < 0)
        return state;
    if (state != KVM_MP_STATE_HALTED)
        return is_unstarted(state);

    struct kvm_regs regs;
    if (ioctl(vcpu_fd, KVM_GET_REGS, &regs) < 0)
        return -errno;
    return (regs.rflags & RFLAGS_IF) == 0;
}

int arch_vcpu_is_idle(int vcpu_fd)
{
    int state = mp_state(vcpu_fd);
    return state < 0 ? state : state == KVM_MP_STATE_HALTED || is_unstarted(state);
}
