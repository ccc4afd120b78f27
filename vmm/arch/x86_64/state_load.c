/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving a machine its state back. Everything is set, whether the machine is new or has run: no
 * value that happens to be right in a new one is left out. Nothing is allocated.
 */
#include "vmm/arch/x86_64/msr.h"
#include "vmm/arch/x86_64/state.h"
#include "vmm/base/kvm.h"

#include <errno.h>

/* KVM's structures are only read, whatever ioctl(2)'s prototype lets fear. */
#define SET(fd, request, value, err) kvm_ioctl_named(fd, request, (uintptr_t)(value), #request, err)

/* A guest that has run may have become a hypervisor since. */
static int leave_nested(const struct arch_machine *machine, const struct x86_view *view,
                        struct thaw_error *err)
{
    const struct kvm_cpuid2 *cpuid = view->vcpus[0].cpuid;
    if (!x86_offers_virtualization(cpuid) ||
        ioctl(machine->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE) <= 0)
        return 0;
    struct kvm_nested_state none = {.size = sizeof(none)};
    if (x86_is_amd(cpuid)) {
        none.format = KVM_STATE_NESTED_FORMAT_SVM;
        none.flags = KVM_STATE_NESTED_GIF_SET;
    } else {
        none.format = KVM_STATE_NESTED_FORMAT_VMX;
        none.hdr.vmx.vmxon_pa = none.hdr.vmx.vmcs12_pa = UINT64_MAX;
    }
    int rc = 0;
    for (unsigned i = 0; i < machine->vcpu_count && rc == 0; i++)
        rc = SET(machine->vcpu_fds[i], KVM_SET_NESTED_STATE, &none, err);
    return rc;
}

static int load_registers(int fd, const struct x86_vcpu_view *vcpu, struct thaw_error *err)
{
    const struct x86_vcpu *state = vcpu->state;
    int rc = SET(fd, KVM_SET_CPUID2, vcpu->cpuid, err);
    if (rc == 0)
        rc = SET(fd, KVM_SET_MP_STATE, &state->mp_state, err);
    /* Drops a pending exception: before the events. */
    if (rc == 0)
        rc = SET(fd, KVM_SET_REGS, &state->regs, err);
    /* Has the APIC's base and CR4.OSXSAVE: before APIC and XCRS. */
    if (rc == 0)
        rc = SET(fd, KVM_SET_SREGS, &state->sregs, err);
    if (rc == 0)
        rc = SET(fd, KVM_SET_XSAVE, vcpu->xsave, err);
    if (rc == 0)
        rc = SET(fd, KVM_SET_XCRS, &state->xcrs, err);
    if (rc == 0)
        rc = SET(fd, KVM_SET_DEBUGREGS, &state->debugregs, err);
    return rc;
}

static int load_vcpu(int fd, const struct x86_vcpu_view *vcpu, const struct tsc_write *tsc,
                     struct thaw_error *err)
{
    int rc = load_registers(fd, vcpu, err);
    /* Before the MSRs: the timer's mode decides whether KVM takes a deadline. */
    if (rc == 0)
        rc = SET(fd, KVM_SET_LAPIC, &vcpu->state->lapic, err);
    if (rc == 0)
        rc = msr_write(fd, tsc, vcpu->msrs, vcpu->state->msr_count, err);
    return rc;
}

/* After every vCPU has its TSC. */
static int finish_vcpu(int fd, const struct x86_vcpu *vcpu, struct thaw_error *err)
{
    /* Alone and after the TSC: KVM works out from the two how long the timer still has. Zero is
     * written, too: it takes back a deadline of the life before. */
    int rc = msr_set(fd, MSR_TSC_DEADLINE, vcpu->tsc_deadline);
    if (rc < 0)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_CPU, -rc,
                            "MSR 0x%x: this host's KVM does not take a TSC deadline",
                            MSR_TSC_DEADLINE);
    rc = SET(fd, KVM_SET_VCPU_EVENTS, &vcpu->events, err);
    if (rc < 0)
        return rc;
    /* Tells the guest's watchdogs that time has stood still. The mark goes into the guest's memory,
     * so the one at the pause does not help. EINVAL: the guest has no kvmclock. */
    if (ioctl(fd, KVM_KVMCLOCK_CTRL, 0) < 0 && errno != EINVAL)
        return thaw_fail(err, errno, "KVM_KVMCLOCK_CTRL");
    return 0;
}

/* The flags are our own: a saved KVM_CLOCK_REALTIME would let the guest's monotonic clock jump. */
static int load_clock(int vm_fd, const struct x86_vm *vm, enum arch_clock clock,
                      struct thaw_error *err)
{
    struct kvm_clock_data data = {.clock = vm->clock.clock};
    if (clock == ARCH_CLOCK_REALTIME) {
        data.flags = KVM_CLOCK_REALTIME;
        data.realtime = vm->realtime;
    }
    return SET(vm_fd, KVM_SET_CLOCK, &data, err);
}

static int load_vm(int vm_fd, const struct x86_vm *vm, enum arch_clock clock,
                   struct thaw_error *err)
{
    int rc = SET(vm_fd, KVM_SET_PIT2, &vm->pit, err);
    if (rc == 0)
        rc = load_clock(vm_fd, vm, clock, err);
    for (unsigned i = 0; i < X86_CHIPS && rc == 0; i++)
        rc = SET(vm_fd, KVM_SET_IRQCHIP, &vm->chips[i], err);
    return rc;
}

static int load_vcpus(const struct arch_machine *machine, const struct x86_view *view,
                      uint64_t elapsed_ns, struct thaw_error *err)
{
    for (unsigned i = 0; i < view->vcpu_count; i++) {
        struct tsc_write tsc = {.value = x86_tsc_after(view->vcpus[i].state, elapsed_ns),
                                .forced = i == 0};
        if (load_vcpu(machine->vcpu_fds[i], &view->vcpus[i], &tsc, err) < 0)
            return thaw_context(err, "vcpu %u", i);
    }
    int rc = x86_tsc_align(machine, view, err);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < view->vcpu_count; i++)
        if (finish_vcpu(machine->vcpu_fds[i], view->vcpus[i].state, err) < 0)
            return thaw_context(err, "vcpu %u", i);
    return 0;
}

int arch_state_load(const struct arch_machine *machine, const struct arch_state_view *bytes,
                    enum arch_clock clock, struct thaw_error *err)
{
    struct x86_view view;
    int rc = x86_state_parse(bytes, &view, err);
    if (rc < 0)
        return rc;
    if (view.vcpu_count != machine->vcpu_count)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL,
                            "vcpu: the state has %u, the machine %u", view.vcpu_count,
                            machine->vcpu_count);

    uint64_t elapsed_ns;
    rc = x86_clock_elapsed(machine, view.vm, clock, &elapsed_ns, err);
    if (rc == 0)
        rc = x86_tsc_rate(machine, &view, err);
    if (rc == 0)
        rc = leave_nested(machine, &view, err);
    if (rc == 0)
        rc = load_vcpus(machine, &view, elapsed_ns, err);
    if (rc == 0)
        rc = load_vm(machine->vm_fd, view.vm, clock, err);
    return rc;
}
