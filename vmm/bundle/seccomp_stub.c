/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/seccomp_stub.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
/* x32 numbers start here and share the architecture; the filter behind deals with them. */
#define NUMBERS_END 0x40000000u
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#define NUMBERS_END 0x80000000u
#else
#error "no seccomp architecture for this host"
#endif

static bool is_permissive(uint32_t action)
{
    uint32_t kind = action & SECCOMP_RET_ACTION_FULL;
    return kind == SECCOMP_RET_ALLOW || kind == SECCOMP_RET_LOG || kind == SECCOMP_RET_TRACE;
}

size_t seccomp_stub(uint32_t default_action, int last_syscall, struct sock_filter *stub)
{
    const uint32_t enosys = SECCOMP_RET_ERRNO | ENOSYS;
    if (last_syscall < 0 || is_permissive(default_action) || default_action == enosys)
        return 0;

    const struct sock_filter program[SECCOMP_STUB_LENGTH] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, NUMBERS_END, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)last_syscall, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, enosys),
    };
    memcpy(stub, program, sizeof(program));
    return SECCOMP_STUB_LENGTH;
}
