/* SPDX-License-Identifier: Apache-2.0 */
/* Touches the first and the last page below the MMIO gap and the first above 4 GiB is left to Linux:
 * reads zero, writes, reads back; shuts down with 0, or 1 when memory does not hold. */
#include "guest.h"

    .global _start
_start:
    movq $0x1fff000, %rdi       /* just under 32 MiB, the smallest guest */
    cmpq $0, (%rdi)
    jne 2f
    movq $0x5a5a1234, (%rdi)
    cmpq $0x5a5a1234, (%rdi)
    jne 2f
    shut_down 0
2:  shut_down 1
