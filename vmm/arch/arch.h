/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an architecture gives the core. One implementation per folder vmm/arch/<name>/, chosen by
 * the Makefile. Functions that take a descriptor use it only during the call.
 */
#ifndef THAW_ARCH_ARCH_H
#define THAW_ARCH_ARCH_H

#include "vmm/base/blob.h"
#include "vmm/base/error.h"
#include "vmm/base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARCH_VCPUS_MAX   8u
#define ARCH_VIRTIO_MAX  16u
#define ARCH_MEMORY_MIN  (32ull << 20)
#define ARCH_MEMORY_MAX  (32ull << 30)
#define ARCH_CMDLINE_MAX 2048u /* bytes with the NUL: x86 Linux's COMMAND_LINE_SIZE */
#define ARCH_KERNEL_MIN                                                                            \
    0x100000ull /* kernels load at or above 1 MiB; below are the boot tables                       \
                 */

struct arch_cpuid; /* what this host's KVM offers a guest; one per VM, owned by the caller */

/* How the guest is to start. Filled by the loader. */
struct boot_image {
    uint64_t entry;             /* guest physical address of the first instruction, 64-bit mode */
    uint64_t end;               /* first free guest physical address above the kernel */
    uint64_t initrd;            /* guest physical; meaningless when initrd_size is 0 */
    uint64_t initrd_size;       /* bytes */
    uint8_t setup_header[0x7b]; /* a bzImage's own header (boot.rst), from offset 0x1f1 */
    uint32_t setup_header_size; /* 0 for ELF */
};

/* Fills `regions` for `size` bytes of RAM (a multiple of the page size, ARCH_MEMORY_MIN to
 * ARCH_MEMORY_MAX) and returns their number. */
unsigned arch_memory_layout(uint64_t size, struct guest_region regions[GUEST_MEMORY_REGIONS_MAX]);

/* Whether the GUEST_PAGE_SIZE bytes at `page` (aligned to 16) are zeros, as fast as the processor
 * can look: a capture does that to all memory while the guest stands still. */
bool arch_page_is_zero(const void *page);

/* Before any memslot: addresses that KVM needs for itself. */
int arch_vm_prepare(int vm_fd, struct thaw_error *err);

/* Interrupt chips and the interval timer. After the memslots (see guest_memory_register) and
 * before the first vCPU. */
int arch_irqchip_create(int vm_fd, struct thaw_error *err);

/* Where virtio device number `index` (0 to ARCH_VIRTIO_MAX - 1) has its registers, and its
 * interrupt: edge-triggered, its own. */
void arch_virtio_place(unsigned index, uint64_t *gpa, uint32_t *irq);

/* Raises or lowers an interrupt line. Any thread. Failures cannot be reported to the guest and
 * do not happen on a VM with an interrupt chip; they are ignored. */
void arch_irq_line(int vm_fd, uint32_t irq, int level);

/* Asks KVM what CPUID it supports. Free with arch_cpuid_free(). */
int arch_cpuid_create(int kvm_fd, struct arch_cpuid **out, struct thaw_error *err);
void arch_cpuid_free(struct arch_cpuid *cpuid);

/* CPUID with this vCPU's place in the topology, and the state that firmware would leave behind.
 * `index` is below `count`, at most ARCH_VCPUS_MAX. Not thread-safe for one `cpuid`. */
int arch_vcpu_setup(int vcpu_fd, struct arch_cpuid *cpuid, unsigned index, unsigned count,
                    struct thaw_error *err);

/* Puts the first vCPU at the image's entry, in 64-bit mode with paging on (boot.rst, "64-bit
 * BOOT PROTOCOL"). */
int arch_vcpu_boot(int vcpu_fd, const struct boot_image *image, struct thaw_error *err);

/* Writes page tables, GDT, boot parameters, command line and the processor table. The command
 * line is at most ARCH_CMDLINE_MAX - 1 bytes. */
int arch_boot_tables(const struct guest_memory *mem, const struct boot_image *image,
                     const char *cmdline, unsigned vcpus, struct thaw_error *err);

/* After a guest-requested reset: did Linux leave the mark of a panic? (`reboot=panic_warm`) */
int arch_reset_was_panic(const struct guest_memory *mem);

/* Where a stopped vCPU is: "RIP 0xffff... bytes 0f 0b ..." into `text`. The vCPU must not be
 * running. Best effort: what cannot be read is left out. */
void arch_vcpu_describe(int vcpu_fd, const struct guest_memory *mem, char *text, size_t size);

/* 1 when a stopped vCPU can never run again by itself: halted with interrupts off, or never
 * started. 0 otherwise; negative errno when KVM does not say. */
int arch_vcpu_is_dead(int vcpu_fd);

/* 1 when a stopped vCPU waits for an interrupt, or was never started; otherwise as above. */
int arch_vcpu_is_idle(int vcpu_fd);

/* ---- the state of a machine: snapshot and restore ----------------------------------------- */

#define ARCH_OMITTED_MAX 64u

/*
 * A machine to take the state of, or to give it to. All vCPUs are stopped: none is in KVM_RUN, and
 * what the last exit began (port I/O, MMIO) was completed by entering once more with
 * immediate_exit. `vcpu_fds` in the order of creation. Used only during the call.
 */
struct arch_machine {
    int kvm_fd, vm_fd;
    unsigned vcpu_count; /* 1 to ARCH_VCPUS_MAX */
    const int *vcpu_fds;
};

/* State as bytes, each blob a section of its own. All zeros: empty. Free with arch_state_free(). */
struct arch_state {
    unsigned vcpu_count;
    struct blob cpuid[ARCH_VCPUS_MAX], vcpu[ARCH_VCPUS_MAX], vm;
    /* Registers (x86: MSRs) that KVM gives but would not take back: they are not in the state. Each
     * is named once; more than fit are left out here, too. */
    unsigned omitted_count;
    uint32_t omitted[ARCH_OMITTED_MAX];
};

/* The same, wherever the bytes are; every `data` is aligned to 8 bytes, as sections of a snapshot
 * are. Entries from vcpu_count on are not looked at. */
struct arch_section {
    const void *data;
    size_t size;
};
struct arch_state_view {
    unsigned vcpu_count;
    struct arch_section cpuid[ARCH_VCPUS_MAX], vcpu[ARCH_VCPUS_MAX], vm;
};

/* What time it is for the guest after a restore. */
enum arch_clock {
    ARCH_CLOCK_FROZEN,   /* its clocks go on where they stood: no jump */
    ARCH_CLOCK_REALTIME, /* its clocks are advanced by the wall-clock time since the save */
};

/*
 * Reads everything. To be called once per snapshot: some reads change what they read (KVM moves
 * pending events about), so a second save may differ. Guest memory is to be read afterwards. The
 * machine can go on. `out` is empty before; after a failure it is to be freed all the same.
 * THAW_FAIL_HOST: the guest uses nested virtualization, which a snapshot cannot hold.
 */
int arch_state_save(const struct arch_machine *machine, struct arch_state *out,
                    struct thaw_error *err);

/*
 * Says whether this host can take the state, without any VM. Nobody has checked the bytes before.
 * THAW_FAIL_SNAPSHOT: they are malformed; the sentence begins with the section's name.
 * THAW_FAIL_SNAPSHOT_CPU: another vendor's, or needs features or registers that are not here; the
 * sentence says which.
 */
int arch_state_check(int kvm_fd, const struct arch_state_view *view, struct thaw_error *err);

/*
 * Sets everything, on a new machine or on one that has run already (then its interrupt lines are
 * down). `view` has passed arch_state_check() on this host; guest memory is in place. The machine
 * has as many vCPUs as the view. After a failure the machine is good for nothing but destruction.
 * THAW_FAIL_SNAPSHOT_CPU: the TSC runs at another rate and KVM cannot scale it; or a register is
 * refused, and the sentence says which. THAW_FAIL_HOST: ARCH_CLOCK_REALTIME on a host without
 * KVM_CLOCK_REALTIME. Devices interrupt only after this.
 */
int arch_state_load(const struct arch_machine *machine, const struct arch_state_view *view,
                    enum arch_clock clock, struct thaw_error *err);

/* A view of `state`, valid as long as that is. */
struct arch_state_view arch_state_view(const struct arch_state *state);

void arch_state_free(struct arch_state *state);
#define cleanup_arch_state cleanup(arch_state_free)

#endif
