/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an architecture gives the core. One implementation per folder vmm/arch/<name>/, chosen by
 * the Makefile. Functions that take a descriptor use it only during the call.
 */
#ifndef THAW_ARCH_ARCH_H
#define THAW_ARCH_ARCH_H

#include "vmm/base/error.h"
#include "vmm/base/memory.h"

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

#endif
