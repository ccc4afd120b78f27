/* SPDX-License-Identifier: Apache-2.0 */
/* Looks 20000 times whether the console's UART has a byte. Each look is an exit: wherever the guest
 * is stopped meanwhile, its next exit is an instruction or two away. Then it halts, with interrupts
 * on and none that could come. */
#include "guest.h"

#define LSR (CONSOLE + 5)

    .global _start
_start:
    movb $0xff, %al /* no interrupt from either controller */
    outb %al, $0x21
    outb %al, $0xa1
    movl $20000, %ecx
    movw $LSR, %dx
1:  inb %dx, %al
    decl %ecx
    jnz 1b
    sti
2:  hlt
    jmp 2b
