/* SPDX-License-Identifier: Apache-2.0 */
/* Prints 140000 bytes, more than the console's ring and a pipe together hold, as a driver does: it
 * waits for the transmitter (LSR bit 5) before each. Then shuts down with status 5. */
#include "guest.h"

#define LSR (CONSOLE + 5)

    .global _start
_start:
    movl $140000, %ebx
1:  movw $LSR, %dx
    inb %dx, %al
    testb $0x20, %al
    jz 1b
    movw $CONSOLE, %dx
    movb %bl, %al
    andb $0x3f, %al
    addb $0x21, %al
    outb %al, %dx
    decl %ebx
    jnz 1b
    shut_down 5
