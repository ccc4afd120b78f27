/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-floor STATE MEMORY [--known-cpuid]: what no restore can go below. The system calls that
 * KVM needs to have a machine of this state over a private mapping of this memory, in the order of
 * arch_state_load(), one KVM_RUN to the guest's first exit, and nothing else: no checks, no
 * devices, no threads. With --known-cpuid not even KVM_GET_SUPPORTED_CPUID, which a restore needs
 * only where it does not know its host.
 *
 * Prints thaw's JSON: started_ns and the two marks, CLOCK_MONOTONIC. STATE is from
 * bench-floor-state, MEMORY the snapshot's. One vCPU, one region of memory.
 */
#include "tests/bench/floor.h"
#include "vmm/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define IDENTITY_MAP 0xfffbc000ull
#define TSS          0xfffbd000ul

static int check(int rc, const char *what)
{
    if (rc >= 0)
        return rc;
    (void)fprintf(stderr, "bench-floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

#define CALL(fd, request, argument) check(ioctl(fd, request, argument), #request)

struct machine {
    int kvm, vm, vcpu;
    struct kvm_run *run;
};

static void *map_memory(const char *path, uint64_t bytes)
{
    int fd = check(open(path, O_RDONLY | O_CLOEXEC), path);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    check(memory == MAP_FAILED ? -1 : 0, "mmap");
    return memory;
}

static void create(struct machine *m, void *memory, uint64_t bytes)
{
    uint64_t identity_map = IDENTITY_MAP;
    const struct kvm_userspace_memory_region slot = {.memory_size = bytes,
                                                     .userspace_addr = (uintptr_t)memory};
    const struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    m->vm = CALL(m->kvm, KVM_CREATE_VM, 0);
    CALL(m->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
    CALL(m->vm, KVM_SET_TSS_ADDR, TSS);
    CALL(m->vm, KVM_SET_USER_MEMORY_REGION, &slot);
    CALL(m->vm, KVM_CREATE_IRQCHIP, 0);
    CALL(m->vm, KVM_CREATE_PIT2, &pit);
    int size = CALL(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    m->vcpu = CALL(m->vm, KVM_CREATE_VCPU, 0);
    m->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
    check(m->run == MAP_FAILED ? -1 : 0, "mmap");
}

static void set_state(const struct machine *m, struct floor_state *state)
{
    struct {
        uint32_t count, padding;
        struct kvm_msr_entry entry;
    } deadline = {1, 0, {.index = MSR_TSC_DEADLINE, .data = state->vcpu.tsc_deadline}};
    const struct kvm_clock_data clock = {.clock = state->vm.clock.clock};
    CALL(m->vm, KVM_GET_TSC_KHZ, 0);
    CALL(m->vcpu, KVM_SET_CPUID2, &state->cpuid);
    CALL(m->vcpu, KVM_SET_MP_STATE, &state->vcpu.mp_state);
    CALL(m->vcpu, KVM_SET_REGS, &state->vcpu.regs);
    CALL(m->vcpu, KVM_SET_SREGS, &state->vcpu.sregs);
    CALL(m->vcpu, KVM_SET_XSAVE, state->xsave);
    CALL(m->vcpu, KVM_SET_XCRS, &state->vcpu.xcrs);
    CALL(m->vcpu, KVM_SET_DEBUGREGS, &state->vcpu.debugregs);
    CALL(m->vcpu, KVM_SET_LAPIC, &state->vcpu.lapic);
    CALL(m->vcpu, KVM_SET_MSRS, &state->msrs);
    CALL(m->vcpu, KVM_SET_MSRS, &deadline);
    CALL(m->vcpu, KVM_SET_VCPU_EVENTS, &state->vcpu.events);
    (void)ioctl(m->vcpu, KVM_KVMCLOCK_CTRL, 0); /* EINVAL: a guest without kvmclock */
    CALL(m->vm, KVM_SET_PIT2, &state->vm.pit);
    CALL(m->vm, KVM_SET_CLOCK, &clock);
    for (unsigned i = 0; i < X86_CHIPS; i++)
        CALL(m->vm, KVM_SET_IRQCHIP, &state->vm.chips[i]);
}

static void print(uint64_t started, uint64_t run, uint64_t exit)
{
    (void)fprintf(stderr,
                  "{\"status\":0,\"started_ns\":%" PRIu64
                  ",\"marks_ms\":{\"kvm_run\":%.6f,\"first_exit\":%.6f}}\n",
                  started, (double)(run - started) / 1e6, (double)(exit - started) / 1e6);
}

int main(int argc, char **argv)
{
    static struct floor_state state;
    static struct {
        uint32_t count, padding;
        struct kvm_cpuid_entry2 entries[X86_CPUID_MAX];
    } supported = {.count = X86_CPUID_MAX};
    struct machine m;
    uint64_t started = clock_monotonic_ns();
    if (argc < 3) {
        (void)fputs("usage: bench-floor STATE MEMORY [--known-cpuid]\n", stderr);
        return 2;
    }
    int fd = check(open(argv[1], O_RDONLY | O_CLOEXEC), argv[1]);
    check(read(fd, &state, sizeof(state)) == sizeof(state) ? 0 : -1, argv[1]);
    void *memory = map_memory(argv[2], state.memory_bytes);
    m.kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    if (argc == 3)
        CALL(m.kvm, KVM_GET_SUPPORTED_CPUID, &supported);
    create(&m, memory, state.memory_bytes);
    set_state(&m, &state);
    uint64_t run = clock_monotonic_ns();
    CALL(m.vcpu, KVM_RUN, 0);
    print(started, run, clock_monotonic_ns());
    if (m.run->exit_reason == KVM_EXIT_IO)
        return 0;
    (void)fprintf(stderr, "bench-floor: exit %u, not a port\n", m.run->exit_reason);
    return 1;
}
