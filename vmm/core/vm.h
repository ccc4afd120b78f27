/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine: memory, interrupt chips, vCPUs and the two buses. It owns all of them; two
 * VMs in one process do not know of each other.
 *
 * Life: vm_create, then add devices to the buses, vm_boot (or the state of a snapshot), vm_start,
 * wait for vm_ended_fd, vm_stop, vm_destroy. All calls come from the thread that created the VM,
 * except vm_end() and vm_irq(), which any thread may call between vm_create and vm_destroy.
 */
#ifndef THAW_CORE_VM_H
#define THAW_CORE_VM_H

#include "vmm/arch/arch.h"
#include "vmm/base/cleanup.h"
#include "vmm/core/bus.h"

#include <pthread.h>
#include <stdatomic.h>

struct kvm_run;

struct vm_config {
    uint64_t memory_size; /* bytes: page-aligned, ARCH_MEMORY_MIN to ARCH_MEMORY_MAX */
    unsigned vcpus;       /* 1 to ARCH_VCPUS_MAX */
    /* Made beforehand, with the layout of that size; taken over, also on failure. NULL: new. */
    struct guest_memory *memory;
    /* Ends whatever still fills that memory: called before it is unmapped, with the vCPUs gone,
     * also when vm_create() fails. NULL: nobody does. */
    void (*end_filling)(void *ctx);
    void *filling_ctx;
    int kvm_fd; /* as kvm_open() gave it, taken over likewise; 0: vm_create() opens one */
};

/* Why the guest no longer runs. */
enum vm_end_kind {
    VM_END_NONE,         /* it still does, or was stopped by vm_stop() */
    VM_END_WORKLOAD,     /* the control port reported the workload's end, or init's failure */
    VM_END_SHUTDOWN,     /* it asked for its own end and gave a status (debug-exit port) */
    VM_END_HALTED,       /* powered off: every vCPU halted with interrupts off */
    VM_END_RESET,        /* it asked for a reset */
    VM_END_TRIPLE_FAULT, /* a fault in the fault handler's fault handler */
    VM_END_KVM_ERROR,    /* KVM could not run it on */
};

struct vm_end {
    enum vm_end_kind kind;
    int status;       /* VM_END_SHUTDOWN: the byte the guest wrote */
    char detail[192]; /* where the vCPU was, what KVM said; may be empty */
};

/* Returns from KVM_RUN, by what the guest wanted. Written by the vCPU's thread alone. */
struct vcpu_exits {
    atomic_ullong io, mmio, other, interrupted;
};

struct vcpu {
    struct vm *vm;
    unsigned index;
    int fd;
    struct kvm_run *run; /* shared with KVM, run_size bytes */
    size_t run_size;
    pthread_t thread;
    bool started;
    struct vcpu_exits exits;
    uint64_t first_exit_ns; /* CLOCK_MONOTONIC of the first return from KVM_RUN; 0: none */
    /* Of the thread, at its end: page faults, and the time that the kernel worked for it. */
    uint64_t minor_faults, major_faults, system_ns;
    uint64_t exits_to_mark; /* exits + 1 when *vm->mark was first seen set; 0: not yet */
    /* vm_probe(): asked by the owner, answered by the vCPU's thread. */
    atomic_bool probe;
    atomic_bool dead;
};

struct vm {
    int kvm_fd; /* /dev/kvm */
    int fd;
    int ended_fd; /* eventfd, readable once the guest has ended */
    struct guest_memory memory;
    void (*end_filling)(void *ctx); /* see struct vm_config */
    void *filling_ctx;
    struct bus ports, mmio;
    unsigned vcpu_count;
    struct vcpu vcpus[ARCH_VCPUS_MAX];
    uint64_t first_run_ns; /* CLOCK_MONOTONIC when the vCPUs were let go for the first time */
    const volatile uint64_t *mark; /* in guest memory, see exits_to_mark; NULL: none */
    atomic_bool stopping;
    unsigned dead_rounds;
    pthread_mutex_t end_lock;
    struct vm_end end; /* under end_lock */
};

/* Creates the VM, its RAM, its interrupt chips and its vCPUs, all of it blank. */
int vm_create(const struct vm_config *config, struct vm **out, struct thaw_error *err);

/* Stops the vCPUs if they run, and frees everything. NULL is allowed. */
void vm_destroy(struct vm *vm);

/* Puts the vCPUs into the state that firmware would leave, writes the boot tables for a loaded
 * kernel and points vCPU 0 at its entry. */
int vm_boot(struct vm *vm, const struct boot_image *image, const char *cmdline,
            struct thaw_error *err);

/* Starts one thread per vCPU. */
int vm_start(struct vm *vm, struct thaw_error *err);

/* Takes every vCPU out of KVM_RUN and joins its thread. Idempotent. */
void vm_stop(struct vm *vm);

/*
 * vm_stop(), and then completes what an exit has left half done: after a port or MMIO access KVM
 * moves the instruction pointer, or fetches the rest of a string instruction, only when it is
 * entered again (api.rst, KVM_EXIT_IO). Afterwards the state of every vCPU can be read. -ESHUTDOWN
 * (THAW_FAIL_ENDED): the guest has ended. Devices may be called meanwhile.
 */
int vm_pause(struct vm *vm, struct thaw_error *err);

/* After vm_pause(): lets the vCPUs run on. */
int vm_resume(struct vm *vm, struct thaw_error *err);

/* While paused: whether every vCPU waits for an interrupt or was never started. */
bool vm_is_idle(struct vm *vm);

/* While paused, or before the first start: arch_state_save() and arch_state_load() of this VM. */
int vm_state_save(const struct vm *vm, struct arch_state *state, struct thaw_error *err);
int vm_state_load(const struct vm *vm, const struct arch_state_view *view, enum arch_clock clock,
                  struct thaw_error *err);

/* Records why the guest ended and wakes the owner. The first call wins. `detail` may be NULL. */
void vm_end(struct vm *vm, enum vm_end_kind kind, int status, const char *detail);

/* The recorded end; kind VM_END_NONE while there is none. */
struct vm_end vm_end_get(struct vm *vm);

/* Sets an interrupt line. */
void vm_irq(struct vm *vm, uint32_t irq, bool level);

/* Each signal of the eventfd `fd` raises the interrupt once (api.rst, KVM_IRQFD). `fd` stays the
 * caller's; closing it ends the connection. */
int vm_irqfd(struct vm *vm, uint32_t irq, int fd, struct thaw_error *err);

/* A guest's write to the MMIO address, of any length and value, signals `fd` and does not reach the
 * bus (KVM_IOEVENTFD). The same for closing. */
int vm_ioeventfd(struct vm *vm, uint64_t gpa, int fd, struct thaw_error *err);

/*
 * Asks every vCPU whether it can ever run again; call it about once a second. Linux without ACPI
 * powers off by halting with interrupts off, which KVM does not report: two rounds of "dead"
 * from every vCPU end the guest with VM_END_HALTED.
 */
void vm_probe(struct vm *vm);

static inline void vm_cleanup(struct vm **vm)
{
    vm_destroy(*vm);
}
#define cleanup_vm cleanup(vm_cleanup)

#endif
