/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's clocks over a restore: the TSCs' rate, their values, and that they stay in step. */
#include "vmm/arch/x86_64/msr.h"
#include "vmm/arch/x86_64/state.h"
#include "vmm/base/kvm.h"

#include <errno.h>
#include <time.h>

#define TOLERATED_PPM 250ull

static bool rates_differ(uint64_t a, uint64_t b)
{
    uint64_t apart = a > b ? a - b : b - a;
    return apart * 1000000 > b * TOLERATED_PPM;
}

int x86_tsc_rate(const struct arch_machine *machine, const struct x86_view *view,
                 struct thaw_error *err)
{
    uint32_t want = view->vcpus[0].state->tsc_khz;
    /* The VM knows, from Linux 5.18 on; a vCPU would have to be loaded for the question. */
    int have = ioctl(machine->vm_fd, KVM_GET_TSC_KHZ, 0);
    if (have <= 0)
        have = ioctl(machine->vcpu_fds[0], KVM_GET_TSC_KHZ, 0);
    if (want == 0 || have <= 0 || !rates_differ(want, (uint64_t)have))
        return 0;
    if (ioctl(machine->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) <= 0)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_CPU, ENOTSUP,
                            "the guest's TSC runs at %u kHz, this host's at %d kHz, and its KVM "
                            "cannot scale it",
                            want, have);
    int rc = 0;
    for (unsigned i = 0; i < machine->vcpu_count && rc == 0; i++)
        rc = kvm_ioctl(machine->vcpu_fds[i], KVM_SET_TSC_KHZ, want, err);
    return rc < 0 ? thaw_reclassify(err, THAW_FAIL_SNAPSHOT_CPU) : 0;
}

int x86_clock_elapsed(const struct arch_machine *machine, const struct x86_vm *vm,
                      enum arch_clock clock, uint64_t *ns, struct thaw_error *err)
{
    *ns = 0;
    if (clock == ARCH_CLOCK_FROZEN)
        return 0;
    int flags = ioctl(machine->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_ADJUST_CLOCK);
    if (flags < 0 || (flags & (int)KVM_CLOCK_REALTIME) == 0)
        return thaw_fail_as(err, THAW_FAIL_HOST, ENOTSUP,
                            "this host's KVM cannot advance a guest's clock to the present "
                            "(KVM_CLOCK_REALTIME, Linux 5.16): restore with the clock frozen");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
    *ns = now_ns > vm->realtime ? now_ns - vm->realtime : 0;
    return 0;
}

uint64_t x86_tsc_after(const struct x86_vcpu *vcpu, uint64_t ns)
{
    __extension__ typedef unsigned __int128 wide;
    return vcpu->tsc + (uint64_t)((wide)ns * vcpu->tsc_khz / 1000000);
}

/* The attribute is there from Linux 5.16 on. */
static int tsc_offset(int fd, unsigned long request, uint64_t *offset)
{
    struct kvm_device_attr attr = {
        .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)offset};
    return ioctl(fd, request, &attr) < 0 ? -errno : 0;
}

/* vCPU 0 has got its TSC with the MSRs; the others follow it exactly, whenever theirs were written.
 */
int x86_tsc_align(const struct arch_machine *machine, const struct x86_view *view,
                  struct thaw_error *err)
{
    uint64_t offset;
    if (machine->vcpu_count < 2 ||
        tsc_offset(machine->vcpu_fds[0], KVM_GET_DEVICE_ATTR, &offset) < 0)
        return 0;
    const struct x86_vcpu *first = view->vcpus[0].state;
    for (unsigned i = 1; i < machine->vcpu_count; i++) {
        uint64_t own = offset + (view->vcpus[i].state->tsc_offset - first->tsc_offset);
        int rc = tsc_offset(machine->vcpu_fds[i], KVM_SET_DEVICE_ATTR, &own);
        if (rc < 0)
            return thaw_fail(err, -rc, "vcpu %u: KVM_VCPU_TSC_OFFSET", i);
    }
    return 0;
}
