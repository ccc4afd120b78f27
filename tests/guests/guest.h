/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assembly macros for freestanding test guests. A guest starts at _start in 64-bit mode with the
 * first 4 GiB mapped onto themselves, a small stack, and nothing else: no IDT, no Linux.
 * Only plain integer instructions: a PVM host runs them in an emulator.
 */
#ifndef THAW_TESTS_GUEST_H
#define THAW_TESTS_GUEST_H

#define CONSOLE    0x3f8
#define CONTROL    0x2f8
#define DEBUG_EXIT 0x501
#define I8042      0x64

    .macro out8 port, value
    movw $\port, %dx
    movb $\value, %al
    outb %al, %dx
    .endm

    /* Writes the bytes of `string` to `port`, without looking at the line status. */
    .macro print port, string
    leaq 1f(%rip), %rsi
    movl $(2f - 1f), %ecx
    movw $\port, %dx
3:  movb (%rsi), %al
    outb %al, %dx
    incq %rsi
    decl %ecx
    jnz 3b
    jmp 2f
1:  .ascii "\string"
2:
    .endm

    /* RAX = the TSC; RDX is lost. */
    .macro read_tsc
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    .endm

    .macro shut_down status
    out8 DEBUG_EXIT, \status
4:  jmp 4b
    .endm

#endif
