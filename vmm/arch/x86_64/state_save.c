/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a stopped machine out of KVM. The order matters where a comment says so. */
#include "vmm/arch/x86_64/msr.h"
#include "vmm/arch/x86_64/state.h"
#include "vmm/base/kvm.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define LAPIC_LVTT         0x320u
#define LVTT_MASKED        (1u << 16)
#define LVTT_MODE          (3u << 17)
#define LVTT_MODE_DEADLINE (2u << 17)

/* A guest hypervisor has state in the processor that KVM_GET_SREGS does not show, and often more
 * guests in its memory. Nothing that thaw offers needs it: refused, rather than half saved. */
static int refuse_nested(const struct arch_machine *machine, unsigned index, struct thaw_error *err)
{
    if (ioctl(machine->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE) <= 0)
        return 0;
    struct kvm_nested_state nested = {.size = sizeof(nested)};
    int rc = ioctl(machine->vcpu_fds[index], KVM_GET_NESTED_STATE, &nested);
    if (rc < 0 && errno != E2BIG)
        return thaw_fail(err, errno, "KVM_GET_NESTED_STATE");

    bool active = rc < 0 || (nested.flags & KVM_STATE_NESTED_GUEST_MODE) != 0;
    if (nested.format == KVM_STATE_NESTED_FORMAT_VMX)
        active = active || nested.hdr.vmx.vmxon_pa != UINT64_MAX;
    else
        active = active || (nested.flags & KVM_STATE_NESTED_GIF_SET) == 0;
    if (!active)
        return 0;
    return thaw_fail_as(err, THAW_FAIL_HOST, EBUSY,
                        "snapshot: vcpu %u runs a hypervisor of its own (VMX or SVM is on): such a "
                        "guest cannot be saved",
                        index);
}

/* KVM forgets a deadline when it passes, before the interrupt reaches the APIC: a vCPU stopped in
 * between shows neither. Armed anew for now, the timer fires at once; a guest that had no timer
 * armed gets one interrupt that it did not ask for, which it must be ready for. */
static uint64_t deadline_not_to_lose(const struct x86_vcpu *vcpu)
{
    uint32_t lvtt;
    memcpy(&lvtt, vcpu->lapic.regs + LAPIC_LVTT, sizeof(lvtt));
    bool waits = (lvtt & LVTT_MODE) == LVTT_MODE_DEADLINE && (lvtt & LVTT_MASKED) == 0;
    return vcpu->tsc_deadline == 0 && waits ? vcpu->tsc : vcpu->tsc_deadline;
}

static int save_tsc(int fd, struct x86_vcpu *vcpu, struct thaw_error *err)
{
    int khz = ioctl(fd, KVM_GET_TSC_KHZ, 0);
    vcpu->tsc_khz = khz > 0 ? (uint32_t)khz : 0;

    struct kvm_device_attr attr = {.group = KVM_VCPU_TSC_CTRL,
                                   .attr = KVM_VCPU_TSC_OFFSET,
                                   .addr = (uintptr_t)&vcpu->tsc_offset};
    if (ioctl(fd, KVM_GET_DEVICE_ATTR, &attr) < 0)
        vcpu->tsc_offset = 0;

    int rc = msr_get(fd, MSR_TSC, &vcpu->tsc);
    if (rc < 0)
        return thaw_fail(err, -rc, "KVM_GET_MSRS of the TSC");
    if (msr_get(fd, MSR_TSC_DEADLINE, &vcpu->tsc_deadline) < 0)
        vcpu->tsc_deadline = 0;
    vcpu->tsc_deadline = deadline_not_to_lose(vcpu);
    return 0;
}

static int save_registers(int fd, struct x86_vcpu *vcpu, void *xsave, struct thaw_error *err)
{
    /* First: it lets pending INIT and SIPI take effect, which changes the registers. */
    int rc = kvm_ioctl(fd, KVM_GET_MP_STATE, &vcpu->mp_state, err);
    if (rc == 0)
        rc = kvm_ioctl(fd, KVM_GET_REGS, &vcpu->regs, err);
    if (rc == 0)
        rc = kvm_ioctl(fd, KVM_GET_SREGS, &vcpu->sregs, err);
    if (rc == 0 && vcpu->xsave_size > sizeof(struct kvm_xsave))
        rc = kvm_ioctl(fd, KVM_GET_XSAVE2, xsave, err);
    else if (rc == 0)
        rc = kvm_ioctl(fd, KVM_GET_XSAVE, xsave, err);
    if (rc == 0)
        rc = kvm_ioctl(fd, KVM_GET_XCRS, &vcpu->xcrs, err);
    if (rc == 0)
        rc = kvm_ioctl(fd, KVM_GET_DEBUGREGS, &vcpu->debugregs, err);
    if (rc == 0)
        rc = kvm_ioctl(fd, KVM_GET_LAPIC, &vcpu->lapic, err);
    return rc;
}

static bool is_unused(const struct kvm_cpuid_entry2 *entry)
{
    static const struct kvm_cpuid_entry2 unused;
    return memcmp(entry, &unused, sizeof(unused)) == 0;
}

static int save_cpuid(int fd, struct blob *out, struct thaw_error *err)
{
    struct kvm_cpuid2 *cpuid = blob_append(
        out, NULL, sizeof(*cpuid) + X86_CPUID_MAX * sizeof(struct kvm_cpuid_entry2), err);
    if (!cpuid)
        return thaw_error_code(err);
    cpuid->nent = X86_CPUID_MAX;
    int rc = kvm_ioctl(fd, KVM_GET_CPUID2, cpuid, err);
    if (rc < 0)
        return rc;
    /* Older KVM (seen with Linux 6.1) does not say how many it gave. The rest is as it was: zeros.
     */
    while (cpuid->nent > 1 && is_unused(&cpuid->entries[cpuid->nent - 1]))
        cpuid->nent--;
    out->size = sizeof(*cpuid) + cpuid->nent * sizeof(struct kvm_cpuid_entry2);
    return 0;
}

static int save_msrs(int fd, const struct msr_list *list, struct arch_state *out, unsigned index,
                     struct thaw_error *err)
{
    struct kvm_msr_entry entries[MSR_COUNT_MAX];
    int count = msr_read(fd, list, entries, err);
    if (count >= 0)
        count = msr_probe(fd, entries, (uint32_t)count, out, err);
    if (count < 0)
        return count;
    if (!blob_append(&out->vcpu[index], entries, (size_t)count * sizeof(entries[0]), err))
        return thaw_error_code(err);
    ((struct x86_vcpu *)out->vcpu[index].data)->msr_count = (uint32_t)count;
    return 0;
}

static int save_vcpu(const struct arch_machine *machine, const struct msr_list *list,
                     uint32_t xsave_size, struct arch_state *out, unsigned index,
                     struct thaw_error *err)
{
    int fd = machine->vcpu_fds[index];
    struct blob *blob = &out->vcpu[index];
    struct x86_vcpu *vcpu = blob_append(blob, NULL, sizeof(*vcpu) + xsave_size, err);
    if (!vcpu)
        return thaw_error_code(err);
    vcpu->version = X86_STATE_VERSION;
    vcpu->xsave_size = xsave_size;

    int rc = refuse_nested(machine, index, err);
    if (rc == 0)
        rc = save_registers(fd, vcpu, vcpu + 1, err);
    if (rc == 0)
        rc = save_cpuid(fd, &out->cpuid[index], err);
    if (rc == 0)
        rc = save_tsc(fd, vcpu, err);
    if (rc == 0)
        rc = save_msrs(fd, list, out, index, err);
    /* Last: what the calls before have made pending is in it. */
    if (rc == 0)
        rc = kvm_ioctl(fd, KVM_GET_VCPU_EVENTS, &((struct x86_vcpu *)blob->data)->events, err);
    return rc;
}

static uint64_t realtime_ns(const struct kvm_clock_data *clock)
{
    if (clock->flags & KVM_CLOCK_REALTIME)
        return clock->realtime;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static int save_vm(const struct arch_machine *machine, struct blob *out, struct thaw_error *err)
{
    struct x86_vm *vm = blob_append(out, NULL, sizeof(*vm), err);
    if (!vm)
        return thaw_error_code(err);
    vm->version = X86_STATE_VERSION;
    vm->host = x86_host_id(machine->kvm_fd);

    int rc = kvm_ioctl(machine->vm_fd, KVM_GET_PIT2, &vm->pit, err);
    if (rc == 0)
        rc = kvm_ioctl(machine->vm_fd, KVM_GET_CLOCK, &vm->clock, err);
    if (rc == 0)
        vm->realtime = realtime_ns(&vm->clock);
    for (uint32_t i = 0; i < X86_CHIPS && rc == 0; i++) {
        vm->chips[i].chip_id = i;
        rc = kvm_ioctl(machine->vm_fd, KVM_GET_IRQCHIP, &vm->chips[i], err);
    }
    return rc;
}

int arch_state_save(const struct arch_machine *machine, struct arch_state *out,
                    struct thaw_error *err)
{
    struct msr_list list;
    int rc = msr_list_get(machine->kvm_fd, &list, err);
    if (rc < 0)
        return rc;
    uint32_t xsave_size = x86_xsave_size(machine->vm_fd);
    for (unsigned i = 0; i < machine->vcpu_count; i++) {
        out->vcpu_count = i + 1;
        rc = save_vcpu(machine, &list, xsave_size, out, i, err);
        if (rc < 0)
            return thaw_context(err, "vcpu %u", i);
    }
    return save_vm(machine, &out->vm, err);
}
