/* SPDX-License-Identifier: Apache-2.0 */
/* Says that it starts, counts in a register and in memory, says that it goes on, and shuts down with
 * status 7, or 8 when the two do not agree. A snapshot taken in between restores to the second half. */
#include "guest.h"

#define NONCE 0x1234567

    .global _start
_start:
    print CONSOLE, "starts\n"
    movl $NONCE, %ebx
    movl %ebx, 0x200000
    movl $100000, %eax
1:  incl %ebx
    incl 0x200000
    decl %eax
    jnz 1b
    print CONSOLE, "goes on\n"
    cmpl %ebx, 0x200000
    jne 2f
    cmpl $(NONCE + 100000), %ebx
    jne 2f
    shut_down 7
2:  shut_down 8
