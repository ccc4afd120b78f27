/* SPDX-License-Identifier: Apache-2.0 */
/* The guest of the scaling curves. The command line's last word says how many pages it makes dirty,
 * from 4 MiB on: N in a row ("dirty=N"), or N of which each is SPACE pages behind the last
 * ("dirty=SPACExN"). Then it sends a heartbeat, so that a snapshot can be taken at that instant, and
 * waits until `go` is not zero. In a snapshot's file `memory` that is four bytes at 0x200010, which a
 * benchmark writes there: a clone goes on at its first instruction. It reads one word every STRIDE
 * bytes until it has read WANTED, the whole PASSES times, and makes an exit. Then it shuts down with
 * 0 (`go` 1) or halts for good (`go` 2). */
#include "guest.h"

#define CMD_LINE_PTR 0x228 /* in the zero page, which RSI points to */
#define FIRST        0x400000
#define PAGE         0x1000

    .global _start
_start:
    jmp 1f
    .org 0x10
go:     .long 0
wanted: .long 0
passes: .long 1
stride: .long PAGE /* bytes */

    /* EBX = the digits of the last word, EBP = those before an x, or 1. */
1:  movl CMD_LINE_PTR(%rsi), %esi
2:  xorl %ebx, %ebx
    movl $1, %ebp
3:  movzbl (%rsi), %eax
    incq %rsi
    testb %al, %al
    jz 4f
    cmpb $0x20, %al
    je 2b
    cmpb $0x78, %al
    jne 13f
    movl %ebx, %ebp
    xorl %ebx, %ebx
13: subb $0x30, %al
    cmpb $9, %al
    ja 3b
    leal (%rbx, %rbx, 4), %ebx
    leal (%rax, %rbx, 2), %ebx
    jmp 3b

4:  shll $12, %ebp
    movl $FIRST, %edi
    testl %ebx, %ebx
    jz 6f
5:  movl %edi, (%rdi)
    addl %ebp, %edi
    decl %ebx
    jnz 5b
6:  movb $0xff, %al /* no interrupt from either controller */
    outb %al, $0x21
    outb %al, $0xa1
    print CONTROL, "heartbeat counter=1\n"
7:  cmpl $0, go
    je 7b

    movl passes, %ecx
    movl stride, %ebp
8:  movl $FIRST, %edi
    movl wanted, %ebx
    testl %ebx, %ebx
    jz 10f
9:  movl (%rdi), %eax
    addl %ebp, %edi
    decl %ebx
    jnz 9b
10: decl %ecx
    jnz 8b
    out8 CONSOLE, 0x0a /* a whole line, for who reads what thaw says behind it */
    cmpl $1, go
    jne 11f
    shut_down 0
11: sti
12: hlt
    jmp 12b
