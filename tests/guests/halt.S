/* SPDX-License-Identifier: Apache-2.0 */
/* Halts with interrupts off: what Linux does to power off without ACPI. */
#include "guest.h"

    .global _start
_start:
    cli
1:  hlt
    jmp 1b
