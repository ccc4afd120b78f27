/* SPDX-License-Identifier: Apache-2.0 */
/* Fills 1024 pages from 4 MiB on with their own number, says so, waits half a second, and reads them
 * again one by one, slowly, with a dot for every 16. Shuts down with 6, or 7 when a page is not what
 * it was. */
#include "guest.h"

#define FIRST 0x400000
#define PAGE  0x1000
#define PAGES 1024
#define PAUSE 1500000 /* of the TSC, half a millisecond */

    .global _start
_start:
    movl $FIRST, %edi
    movl $PAGES, %ebx
1:  movl %edi, (%rdi)
    addl $PAGE, %edi
    decl %ebx
    jnz 1b
    print CONSOLE, "filled\n"
    read_tsc
    leaq 1000 * PAUSE(%rax), %rcx
2:  read_tsc
    cmpq %rcx, %rax
    jb 2b
    print CONSOLE, "reads\n"
    movl $FIRST, %edi
    movl $PAGES, %ebx
3:  cmpl %edi, (%rdi)
    jne 6f
    read_tsc
    leaq PAUSE(%rax), %rcx
4:  read_tsc
    cmpq %rcx, %rax
    jb 4b
    testl $15, %ebx
    jnz 5f
    out8 CONSOLE, 0x2e
5:  addl $PAGE, %edi
    decl %ebx
    jnz 3b
    shut_down 6
6:  shut_down 7
