/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of machine code that all compiled functions share: ways into C that keep the registers. */
#include "guest/jitvm/jit/x86_64/block_emit.h"

#define AREA ((int32_t)sizeof(struct jit_registers))

static const enum x86_reg kept[] = {X86_RSI, X86_RDI, X86_R8,  X86_R9,
                                    X86_R10, X86_R11, X86_RBP, X86_R15};

static struct x86_mem int_slot(enum x86_reg reg)
{
    return x86_at(X86_RSP, (int32_t)reg * 8);
}

static struct x86_mem float_slot(int reg)
{
    return x86_at(X86_RSP, 128 + reg * 16);
}

static void save_all(struct assembler *a)
{
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        x86_mov_mr(a, X86_W64, int_slot(kept[i]), kept[i]);
    for (int i = 0; i < X86_XMMS; i++)
        x86_movups_mx(a, float_slot(i), (enum x86_xmm)i);
}

static void load_all(struct assembler *a)
{
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        x86_mov_rm(a, X86_W64, kept[i], int_slot(kept[i]));
    for (int i = 0; i < X86_XMMS; i++)
        x86_movups_xm(a, (enum x86_xmm)i, float_slot(i));
}

static void call_c(struct assembler *a, enum jit_helper helper)
{
    x86_mov_rm(a, X86_W64, X86_RAX, VM_FIELD(links));
    x86_call_m(a, x86_at(X86_RAX, (int32_t)(helper * sizeof(void *))));
}

static void store_counters(struct assembler *a)
{
    x86_mov_mr(a, X86_W64, VM_FIELD(slice), SLICE);
    x86_mov_mr(a, X86_W64, VM_FIELD(depth), DEPTH);
}

static void load_counters(struct assembler *a)
{
    x86_mov_rm(a, X86_W64, SLICE, VM_FIELD(slice));
    x86_mov_rm(a, X86_W64, DEPTH, VM_FIELD(depth));
}

static void enter(struct assembler *a)
{
    x86_alu_ri(a, X86_SUB, X86_W64, X86_RSP, AREA + 8);
    save_all(a);
}

static void leave(struct assembler *a)
{
    load_all(a);
    x86_alu_ri(a, X86_ADD, X86_W64, X86_RSP, AREA + 8);
}

/* Flags say whether the status in eax is 0. */
static void leave_with_status(struct assembler *a)
{
    leave(a);
    x86_test_rr(a, X86_W32, X86_RAX, X86_RAX);
    x86_ret(a);
}

static void vm_and_base(struct assembler *a)
{
    x86_mov_rr(a, X86_W64, X86_RDI, VM);
    x86_mov_rr(a, X86_W64, X86_RSI, BASE);
}

/* Jumped to from a body: rax the exit, rdx the version. Returns for the body, or goes on in another
 * one instead. */
static void stub_exit(struct assembler *a)
{
    x86_alu_ri(a, X86_SUB, X86_W64, X86_RSP, AREA);
    save_all(a);
    store_counters(a);
    x86_mov_rr(a, X86_W64, X86_RBP, X86_RDX);
    x86_mov_rr(a, X86_W64, X86_R15, X86_RAX);
    vm_and_base(a);
    x86_mov_rr(a, X86_W64, X86_RCX, X86_R15);
    x86_mov_rr(a, X86_W64, X86_R8, X86_RSP);
    call_c(a, JIT_EXIT_SAVE);
    x86_alu_ri(a, X86_ADD, X86_W64, X86_RSP, AREA);
    vm_and_base(a);
    x86_mov_rr(a, X86_W64, X86_RDX, X86_RBP);
    x86_mov_rr(a, X86_W64, X86_RCX, X86_R15);
    call_c(a, JIT_EXIT_RUN);
    load_counters(a);
    struct asm_label goes_on = asm_label_new(a);
    x86_alu_ri(a, X86_ADD, X86_W64, X86_RSP, 8);
    x86_alu_ri(a, X86_CMP, X86_W32, X86_RDX, JIT_GOES_ON);
    x86_jcc(a, X86_E, goes_on);
    x86_ret(a);
    asm_bind(a, goes_on);
    x86_jmp_r(a, X86_RAX);
}

/* rdx the version, rax the instruction, where the helper wants to know them. */
static void stub_status(struct assembler *a, enum jit_helper helper)
{
    enter(a);
    store_counters(a);
    vm_and_base(a);
    x86_mov_rr(a, X86_W64, X86_RCX, X86_RAX);
    call_c(a, helper);
    load_counters(a);
    leave_with_status(a);
}

/* rdx the cell. Keeps rax too, and all of xmm15: something may be on its way. */
static void stub_release(struct assembler *a)
{
    enter(a);
    x86_mov_mr(a, X86_W64, int_slot(X86_RAX), X86_RAX);
    x86_mov_rr(a, X86_W64, X86_RDI, VM);
    x86_mov_rr(a, X86_W64, X86_RSI, X86_RDX);
    call_c(a, JIT_RELEASE);
    x86_mov_rm(a, X86_W64, X86_RAX, int_slot(X86_RAX));
    leave(a);
    x86_ret(a);
}

/* A typed entry for any signature: rax is the link. */
static void stub_adapt(struct assembler *a)
{
    enter(a);
    store_counters(a);
    x86_mov_rr(a, X86_W64, X86_RBP, X86_RAX);
    vm_and_base(a);
    x86_mov_rr(a, X86_W64, X86_RDX, X86_RBP);
    x86_mov_rr(a, X86_W64, X86_RCX, X86_RSP);
    call_c(a, JIT_BOX_ARGS);
    x86_alu_ri(a, X86_ADD, X86_W64, X86_RSP, AREA);
    vm_and_base(a);
    x86_mov_rr(a, X86_W64, X86_RDX, X86_RBP);
    call_c(a, JIT_INVOKE);
    load_counters(a);
    x86_alu_ri(a, X86_ADD, X86_W64, X86_RSP, 8);
    x86_ret(a);
}

/* xmm15 to rax. */
static void stub_float_to_int(struct assembler *a)
{
    enter(a);
    x86_movapd_xx(a, X86_XMM0, X86_XMM15);
    call_c(a, JIT_FLOAT_TO_INT);
    leave(a);
    x86_ret(a);
}

int arch_stubs(struct assembler *a, uint32_t offsets[JIT_HELPERS])
{
    asm_reset(a);
    for (unsigned stub = JIT_DO_EXIT; stub < JIT_HELPERS; stub++) {
        x86_align(a, 16);
        offsets[stub] = asm_position(a);
        switch (stub) {
        case JIT_DO_EXIT:
            stub_exit(a);
            break;
        case JIT_DO_OP:
            stub_status(a, JIT_OP);
            break;
        case JIT_DO_BRANCH:
            stub_status(a, JIT_BRANCH);
            break;
        case JIT_DO_REFUEL:
            stub_status(a, JIT_REFUEL);
            break;
        case JIT_DO_RELEASE:
            stub_release(a);
            break;
        case JIT_DO_PAY:
            stub_status(a, JIT_PAY);
            break;
        case JIT_DO_ADAPT:
            stub_adapt(a);
            break;
        default:
            stub_float_to_int(a);
            break;
        }
    }
    return asm_finish(a);
}
