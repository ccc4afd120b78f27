/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/vcpu.h"

#include "vmm/base/clock.h"
#include "vmm/base/kvm.h"
#include "vmm/base/thread.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define KICK_SIGNAL SIGRTMIN

int vcpu_create(struct vm *vm, unsigned index, size_t run_size, struct thaw_error *err)
{
    struct vcpu *vcpu = &vm->vcpus[index];
    vcpu->vm = vm;
    vcpu->index = index;
    vcpu->fd = kvm_ioctl(vm->fd, KVM_CREATE_VCPU, index, err);
    if (vcpu->fd < 0)
        return thaw_error_code(err);

    void *run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED)
        return thaw_fail(err, errno, "mmap of vCPU %u", index);
    vcpu->run = run;
    vcpu->run_size = run_size;
    return 0;
}

void vcpu_destroy(struct vcpu *vcpu)
{
    if (vcpu->run)
        munmap(vcpu->run, vcpu->run_size);
    if (vcpu->fd >= 0)
        close(vcpu->fd);
    vcpu->run = NULL;
    vcpu->fd = -1;
}

static void count(atomic_ullong *counter)
{
    /* Only this vCPU's thread writes: a plain add that others can read whole. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* A port access, repeated `count` times for string instructions (api.rst, KVM_EXIT_IO). KVM
 * wrote the fields, but the data lies where the guest's registers said: inside the run area. */
static void handle_io(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    unsigned size = run->io.size;

    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        uint64_t value = 0;
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, size);
            bus_write(&vcpu->vm->ports, run->io.port, size, value);
        } else {
            bus_read(&vcpu->vm->ports, run->io.port, size, &value);
            memcpy(data, &value, size);
        }
    }
}

/* Ends the VM with "<what> at <where>". */
__attribute__((format(printf, 3, 4))) static void end_here(struct vcpu *vcpu, enum vm_end_kind kind,
                                                           const char *what, ...)
{
    char detail[sizeof(((struct vm_end *)0)->detail)];
    va_list args;
    va_start(args, what);
    int used = vsnprintf(detail, sizeof(detail), what, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof(detail))
        arch_vcpu_describe(vcpu->fd, &vcpu->vm->memory, detail + used,
                           sizeof(detail) - (size_t)used);
    vm_end(vcpu->vm, kind, 0, detail);
}

/* Returns false when the guest has ended. */
static bool handle_mmio(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    uint64_t value = 0;
    /* KVM's emulator takes RAM that it cannot page in for a device. */
    if (guest_memory_at(&vcpu->vm->memory, run->mmio.phys_addr, run->mmio.len)) {
        end_here(vcpu, VM_END_KVM_ERROR, "RAM at 0x%llx cannot be accessed, vCPU %u, ",
                 (unsigned long long)run->mmio.phys_addr, vcpu->index);
        return false;
    }
    if (run->mmio.is_write) {
        memcpy(&value, run->mmio.data, run->mmio.len);
        bus_write(&vcpu->vm->mmio, run->mmio.phys_addr, run->mmio.len, value);
    } else {
        bus_read(&vcpu->vm->mmio, run->mmio.phys_addr, run->mmio.len, &value);
        memcpy(run->mmio.data, &value, run->mmio.len);
    }
    return true;
}

static const char *internal_error_name(uint32_t suberror)
{
    switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
        return "instruction emulation failed";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
        return "unexpected simultaneous exceptions";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
        return "event delivery failed";
    default:
        return "unexpected exit";
    }
}

/* The guest has left its mark (see struct vm): remember how many exits there were before this one.
 */
static void look_for_mark(struct vcpu *vcpu)
{
    const volatile uint64_t *mark = vcpu->vm->mark;
    if (!mark || vcpu->exits_to_mark || *mark == 0)
        return;
    struct vcpu_exits *exits = &vcpu->exits;
    vcpu->exits_to_mark = exits->io + exits->mmio + exits->other + exits->interrupted + 1;
}

/* Returns false when the guest has ended. */
static bool handle_exit(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    if (vcpu->first_exit_ns == 0)
        vcpu->first_exit_ns = clock_monotonic_ns();
    look_for_mark(vcpu);
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        count(&vcpu->exits.io);
        handle_io(vcpu);
        return true;
    case KVM_EXIT_MMIO:
        count(&vcpu->exits.mmio);
        return handle_mmio(vcpu);
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        count(&vcpu->exits.interrupted);
        return true;
    case KVM_EXIT_SHUTDOWN:
        end_here(vcpu, VM_END_TRIPLE_FAULT, "vCPU %u, ", vcpu->index);
        return false;
    case KVM_EXIT_INTERNAL_ERROR:
        end_here(vcpu, VM_END_KVM_ERROR, "%s (suberror %u) on vCPU %u, ",
                 internal_error_name(run->internal.suberror), run->internal.suberror, vcpu->index);
        return false;
    case KVM_EXIT_FAIL_ENTRY:
        end_here(vcpu, VM_END_KVM_ERROR, "entry failed (hardware reason 0x%llx) on vCPU %u, ",
                 (unsigned long long)run->fail_entry.hardware_entry_failure_reason, vcpu->index);
        return false;
    default:
        count(&vcpu->exits.other);
        end_here(vcpu, VM_END_KVM_ERROR, "unhandled exit %u on vCPU %u, ", run->exit_reason,
                 vcpu->index);
        return false;
    }
}

/* KVM_RUN was interrupted: somebody wants this vCPU out, to stop or to answer a probe. */
static void handle_kick(struct vcpu *vcpu)
{
    count(&vcpu->exits.interrupted);
    if (atomic_exchange(&vcpu->probe, false)) {
        vcpu->run->immediate_exit = 0;
        atomic_store(&vcpu->dead, arch_vcpu_is_dead(vcpu->fd) == 1);
    }
}

static void run_guest(struct vcpu *vcpu)
{
    while (!atomic_load(&vcpu->vm->stopping)) {
        if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
            if (!handle_exit(vcpu))
                return;
        } else if (errno == EINTR) {
            handle_kick(vcpu);
        } else if (errno != EAGAIN) { /* EAGAIN: an application processor got its start-up IPI */
            int code = errno;
            end_here(vcpu, VM_END_KVM_ERROR, "KVM_RUN: %s, vCPU %u, ", strerrordesc_np(code),
                     vcpu->index);
            return;
        }
    }
}

static void note_usage(struct vcpu *vcpu)
{
    struct rusage usage;
    if (getrusage(RUSAGE_THREAD, &usage) < 0)
        return;
    vcpu->minor_faults += (uint64_t)usage.ru_minflt;
    vcpu->major_faults += (uint64_t)usage.ru_majflt;
    vcpu->system_ns +=
        (uint64_t)usage.ru_stime.tv_sec * 1000000000u + (uint64_t)usage.ru_stime.tv_usec * 1000u;
}

static void *vcpu_main(void *argument)
{
    struct vcpu *vcpu = argument;
    char name[16];
    snprintf(name, sizeof(name), "vcpu%u", vcpu->index);
    pthread_setname_np(pthread_self(), name);
    run_guest(vcpu);
    note_usage(vcpu);
    return NULL;
}

static void on_kick(int signal)
{
    (void)signal; /* its arrival is the message: KVM_RUN returns EINTR */
}

int vcpu_start(struct vcpu *vcpu, struct thaw_error *err)
{
    struct sigaction action = {.sa_handler = on_kick};
    if (sigaction(KICK_SIGNAL, &action, NULL) < 0)
        return thaw_fail(err, errno, "sigaction");

    /* SIGBUS: guest memory that is not there; blocked, it kills wordlessly. */
    const int signals[] = {KICK_SIGNAL, SIGBUS, 0};
    vcpu->run->immediate_exit = 0;
    int rc = thread_start(&vcpu->thread, signals, vcpu_main, vcpu);
    if (rc < 0)
        return thaw_fail(err, -rc, "thread of vCPU %u", vcpu->index);
    vcpu->started = true;
    return 0;
}

void vcpu_settle(struct vcpu *vcpu)
{
    /* Nothing of the guest runs in here, but what it has begun is completed; that of a string
     * instruction is the next piece of it. */
    vcpu->run->immediate_exit = 1;
    while (ioctl(vcpu->fd, KVM_RUN, 0) == 0)
        if (!handle_exit(vcpu))
            break;
    vcpu->run->immediate_exit = 0;
}

void vcpu_join(struct vcpu *vcpu)
{
    if (vcpu->started)
        pthread_join(vcpu->thread, NULL);
    vcpu->started = false;
}

void vcpu_kick(struct vcpu *vcpu)
{
    if (!vcpu->started)
        return;
    /* immediate_exit covers the moment between the thread's check and KVM_RUN (api.rst). */
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    pthread_kill(vcpu->thread, KICK_SIGNAL);
}
