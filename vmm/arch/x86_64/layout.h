/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest physical addresses that the x86 monitor chooses. Everything below 1 MiB is ours to lay
 * out; Linux is told what is RAM through the e820 map alone.
 *
 *   0x00000500  GDT                      0x00007000  boot_params ("zero page")
 *   0x00009000  identity page tables     0x00020000  kernel command line
 *   0x0009fc00  MP table (EBDA)          0x000d0000  mailbox (guest/include/thaw/mailbox.h)
 *   0x00100000  high RAM, up to the MMIO gap; the rest of RAM from 4 GiB
 */
#ifndef THAW_ARCH_X86_64_LAYOUT_H
#define THAW_ARCH_X86_64_LAYOUT_H

#define LAYOUT_GDT         0x500ull
#define LAYOUT_BOOT_PARAMS 0x7000ull
#define LAYOUT_PML4        0x9000ull
#define LAYOUT_PDPT        0xa000ull
#define LAYOUT_PD          0xb000ull /* four pages: 4 GiB in 2 MiB pages */
#define LAYOUT_CMDLINE     0x20000ull
#define LAYOUT_EBDA        0x9fc00ull /* Linux looks for an MP table in the last KiB of base RAM */
#define LAYOUT_EBDA_SIZE   0x400ull
#define LAYOUT_HIGH_RAM    0x100000ull

/* The gap for MMIO: local APIC, IO-APIC, KVM's own pages, virtio-mmio windows. */
#define LAYOUT_GAP_START 0xc0000000ull
#define LAYOUT_GAP_END   0x100000000ull
#define LAYOUT_VIRTIO    0xd0000000ull /* windows of 4 KiB, one after the other */
#define LAYOUT_IOAPIC    0xfec00000ull
#define LAYOUT_LAPIC     0xfee00000ull

/* Intel's KVM wants four pages that the guest cannot see: one for the identity map, three for
 * the task state segment (KVM_SET_IDENTITY_MAP_ADDR, KVM_SET_TSS_ADDR). */
#define LAYOUT_IDENTITY_MAP 0xfffbc000ull
#define LAYOUT_TSS          0xfffbd000ull

/* The BIOS data area's reset flag. Linux leaves the kind of restart there (warm: 0x1234). */
#define LAYOUT_RESET_FLAG      0x472ull
#define LAYOUT_RESET_FLAG_WARM 0x1234u

/* The two UARTs where a PC has COM1 and COM2. */
#define UART_CONSOLE_PORT 0x3f8ull
#define UART_CONTROL_PORT 0x2f8ull
#define IRQ_CONSOLE       4u
#define IRQ_CONTROL       3u

/* Pins of KVM's IO-APIC. Each is an ISA interrupt of the same number to the guest. */
#define IOAPIC_PINS 24u

#endif
