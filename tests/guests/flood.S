/* SPDX-License-Identifier: Apache-2.0 */
/* Floods the console and the control port (with a line that never ends), then shuts down. */
#include "guest.h"

    .global _start
_start:
    movl $100000, %ebx
1:  movw $CONSOLE, %dx
    movb $0x78, %al
    outb %al, %dx
    movw $CONTROL, %dx
    outb %al, %dx
    decl %ebx
    jnz 1b
    shut_down 3
