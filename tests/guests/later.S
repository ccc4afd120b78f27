/* SPDX-License-Identifier: Apache-2.0 */
/* Says that it starts, counts in memory until its TSC has gone on by 1.5 thousand million (about half a
 * second), says that it goes on, and shuts down with status 7, or 8 when memory is not what it was. A
 * snapshot taken in between restores to the second half, on any host. */
#include "guest.h"

#define NONCE 0x1234567

    .global _start
_start:
    print CONSOLE, "starts\n"
    movl $NONCE, 0x300000
    read_tsc
    movq %rax, %rbx
    movl $1500000000, %ecx
    addq %rcx, %rbx
1:  incl 0x300008
    read_tsc
    cmpq %rbx, %rax
    jb 1b
    print CONSOLE, "goes on\n"
    cmpl $NONCE, 0x300000
    jne 2f
    shut_down 7
2:  shut_down 8
