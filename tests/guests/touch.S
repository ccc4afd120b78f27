/* SPDX-License-Identifier: Apache-2.0 */
/* Fills 1024 pages from 4 MiB on with their own number, says so, waits, and reads them again one by
 * one, slowly, with a dot for every 16. Shuts down with 6, or 7 when a page is not what it was. */
#include "guest.h"

#define FIRST 0x400000
#define PAGE  0x1000
#define PAGES 1024
#define PAUSE 200

    .global _start
_start:
    movl $FIRST, %edi
    movl $PAGES, %ebx
1:  movl %edi, (%rdi)
    addl $PAGE, %edi
    decl %ebx
    jnz 1b
    print CONSOLE, "filled\n"
    movl $50000, %eax
2:  decl %eax
    jnz 2b
    print CONSOLE, "reads\n"
    movl $FIRST, %edi
    movl $PAGES, %ebx
3:  cmpl %edi, (%rdi)
    jne 6f
    movl $PAUSE, %eax
4:  decl %eax
    jnz 4b
    testl $15, %ebx
    jnz 5f
    out8 CONSOLE, 0x2e
5:  addl $PAGE, %edi
    decl %ebx
    jnz 3b
    shut_down 6
6:  shut_down 7
