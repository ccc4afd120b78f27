/* SPDX-License-Identifier: Apache-2.0 */
/* Jumps into the MMIO gap, where no instruction can be fetched. */
#include "guest.h"

    .global _start
_start:
    movq $0xd0000000, %rax
    jmp *%rax
