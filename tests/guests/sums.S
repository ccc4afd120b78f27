/* SPDX-License-Identifier: Apache-2.0 */
/* Writes to one of 8192 pages after the other, in no order, a number that it has not used yet or, each
 * fourth time, zero; and holds in a register the sum of all that is in them, each times another odd
 * number. After two seconds it adds up what it finds: shuts down with 5, or with 6 when a page is
 * not what it was. */
#include "guest.h"

#define FIRST 0x400000
#define PAGES 8192
#define STEP  3000       /* of the TSC, a microsecond */
#define ALL   6000000000 /* two seconds */

    /* ESI = the address of page EDI; RBX = its number in the sum. */
    .macro page
    movl %edi, %esi
    shll $12, %esi
    addl $FIRST, %esi
    leaq 1(%rdi,%rdi), %rbx
    .endm

    .global _start
_start:
    print CONSOLE, "starts\n"
    movl $1, %r12d   /* in no order */
    xorl %r14d, %r14d /* the last number */
    xorl %r15d, %r15d /* the sum */
    read_tsc
    movabsq $ALL, %r13
    addq %rax, %r13
1:  imull $1664525, %r12d, %r12d
    addl $1013904223, %r12d
    movl %r12d, %edi
    shrl $8, %edi
    andl $(PAGES - 1), %edi
    page
    movq (%rsi), %rax
    imulq %rbx, %rax
    subq %rax, %r15
    incq %r14
    movq %r14, %rax
    testl $0xc0000000, %r12d
    jnz 2f
    xorl %eax, %eax
2:  movq %rax, (%rsi)
    imulq %rbx, %rax
    addq %rax, %r15
    read_tsc
    leaq STEP(%rax), %rcx
3:  read_tsc
    cmpq %rcx, %rax
    jb 3b
    cmpq %r13, %rax
    jb 1b

    xorl %edi, %edi
4:  page
    movq (%rsi), %rax
    imulq %rbx, %rax
    subq %rax, %r15
    incl %edi
    cmpl $PAGES, %edi
    jb 4b
    testq %r15, %r15
    jnz 5f
    shut_down 5
5:  shut_down 6
