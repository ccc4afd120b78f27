/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THAW_ARCH_X86_64_MPTABLE_H
#define THAW_ARCH_X86_64_MPTABLE_H

#include "vmm/base/memory.h"

/* Writes an MP table (Intel MultiProcessor Specification 1.4, chapter 4) for `vcpus` processors
 * and one IO-APIC with the 16 ISA interrupts to LAYOUT_EBDA. The MP table and not ACPI: Linux
 * reads it in a fraction of the time, and the kernel carries no ACPI interpreter. */
int mptable_write(const struct guest_memory *mem, unsigned vcpus, struct thaw_error *err);

#endif
