/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled seccomp profiles: run by a small interpreter, and once by the kernel. */
#include "tests/unit/test_bundle_support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ERRNO(code) (SECCOMP_RET_ERRNO | (code))

struct program {
    const struct sock_filter *insns;
    size_t count;
    uint32_t flags;
};

static struct program program_of(const struct bundle *bundle)
{
    uint32_t head[2];
    size_t length = 0;
    const char *payload = spec_find(bundle, THAW_SPEC_SECCOMP, 0, &length);
    cr_assert_not_null(payload);
    cr_assert_gt(length, sizeof(head));
    memcpy(head, payload, sizeof(head));
    cr_assert_eq(head[1], 0);
    cr_assert_eq((length - sizeof(head)) % sizeof(struct sock_filter), 0);
    return (struct program){(const struct sock_filter *)(payload + sizeof(head)),
                            (length - sizeof(head)) / sizeof(struct sock_filter), head[0]};
}

static bool holds(const struct sock_filter *insn, uint32_t accumulator)
{
    switch (BPF_OP(insn->code)) {
    case BPF_JEQ:
        return accumulator == insn->k;
    case BPF_JGT:
        return accumulator > insn->k;
    case BPF_JGE:
        return accumulator >= insn->k;
    case BPF_JSET:
        return accumulator & insn->k;
    default:
        cr_assert_fail("condition 0x%x", insn->code);
    }
    return 0;
}

static uint32_t run(struct program program, const struct seccomp_data *data)
{
    uint32_t accumulator = 0;
    for (size_t at = 0; at < program.count; at++) {
        const struct sock_filter *insn = &program.insns[at];
        switch (BPF_CLASS(insn->code)) {
        case BPF_LD:
            cr_assert_eq(insn->code, BPF_LD | BPF_W | BPF_ABS);
            cr_assert_leq(insn->k, sizeof(*data) - sizeof(accumulator));
            memcpy(&accumulator, (const char *)data + insn->k, sizeof(accumulator));
            break;
        case BPF_ALU:
            cr_assert_eq(insn->code, BPF_ALU | BPF_AND | BPF_K);
            accumulator &= insn->k;
            break;
        case BPF_JMP:
            if (BPF_OP(insn->code) == BPF_JA)
                at += insn->k;
            else
                at += holds(insn, accumulator) ? insn->jt : insn->jf;
            break;
        case BPF_RET:
            return insn->k;
        default:
            cr_assert_fail("instruction 0x%x", insn->code);
        }
    }
    cr_assert_fail("the program ran off its end");
    return 0;
}

static struct bundle *load_profile(const char *profile)
{
    char patch[2048];
    snprintf(patch, sizeof(patch), "{\"linux\": {\"seccomp\": %s}}", profile);
    return bundle_load_patched(patch);
}

static uint32_t answer(struct program program, int number, uint64_t first, uint64_t second)
{
    const struct seccomp_data data = {
        .nr = number, .arch = AUDIT_ARCH_X86_64, .args = {first, second}};
    return run(program, &data);
}

Test(bundle_seccomp, an_empty_or_missing_profile_is_no_filter)
{
    cleanup_bundle struct bundle *empty = load_profile("{}");
    cleanup_bundle struct bundle *null = load_profile("null");
    cr_assert_eq(spec_count(empty, THAW_SPEC_SECCOMP), 0);
    cr_assert_eq(spec_count(null, THAW_SPEC_SECCOMP), 0);
}

Test(bundle_seccomp, each_action_becomes_the_kernels)
{
    static const struct {
        const char *action;
        uint32_t answer;
    } rows[] = {
        {"\"SCMP_ACT_KILL\"", SECCOMP_RET_KILL_THREAD},
        {"\"SCMP_ACT_KILL_THREAD\"", SECCOMP_RET_KILL_THREAD},
        {"\"SCMP_ACT_KILL_PROCESS\"", SECCOMP_RET_KILL_PROCESS},
        {"\"SCMP_ACT_TRAP\"", SECCOMP_RET_TRAP},
        {"\"SCMP_ACT_LOG\"", SECCOMP_RET_LOG},
        {"\"SCMP_ACT_ERRNO\"", ERRNO(EPERM)},
        {"\"SCMP_ACT_ERRNO\", \"errnoRet\": 38", ERRNO(ENOSYS)},
        {"\"SCMP_ACT_TRACE\", \"errnoRet\": 700", SECCOMP_RET_TRACE | 700},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char profile[256];
        snprintf(profile, sizeof(profile),
                 "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\":"
                 "[{\"names\": [\"mkdir\"], \"action\": %s}]}",
                 rows[i].action);
        cleanup_bundle struct bundle *bundle = load_profile(profile);
        struct program program = program_of(bundle);
        cr_expect_eq(answer(program, SYS_mkdir, 0, 0), rows[i].answer, "%s", rows[i].action);
        cr_expect_eq(answer(program, SYS_rmdir, 0, 0), SECCOMP_RET_ALLOW);
    }
}

Test(bundle_seccomp, each_comparison_sees_all_64_bits)
{
    const uint64_t value = 0x100000005ull;
    static const struct {
        const char *op;
        bool below, equal, above; /* whether value-1, value, value+1 match */
    } rows[] = {
        {"SCMP_CMP_NE", true, false, true}, {"SCMP_CMP_LT", true, false, false},
        {"SCMP_CMP_LE", true, true, false}, {"SCMP_CMP_EQ", false, true, false},
        {"SCMP_CMP_GE", false, true, true}, {"SCMP_CMP_GT", false, false, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char profile[512];
        snprintf(profile, sizeof(profile),
                 "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"lseek\"],"
                 "\"action\": \"SCMP_ACT_TRAP\", \"args\":"
                 "[{\"index\": 1, \"value\": 4294967301, \"op\": \"%s\"}]}]}",
                 rows[i].op);
        cleanup_bundle struct bundle *bundle = load_profile(profile);
        struct program program = program_of(bundle);
        bool below = answer(program, SYS_lseek, 0, value - 1) == SECCOMP_RET_TRAP;
        bool equal = answer(program, SYS_lseek, 0, value) == SECCOMP_RET_TRAP;
        bool above = answer(program, SYS_lseek, 0, value + 1) == SECCOMP_RET_TRAP;
        cr_expect_eq(below, rows[i].below, "%s", rows[i].op);
        cr_expect_eq(equal, rows[i].equal, "%s", rows[i].op);
        cr_expect_eq(above, rows[i].above, "%s", rows[i].op);
    }
}

Test(bundle_seccomp, the_mask_of_masked_eq_is_value_and_what_is_wanted_value_two)
{
    cleanup_bundle struct bundle *bundle = load_profile(
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"clone\"],"
        "\"action\": \"SCMP_ACT_TRAP\", \"args\": [{\"index\": 0, \"value\": 240,"
        "\"valueTwo\": 16, \"op\": \"SCMP_CMP_MASKED_EQ\"}]}]}");
    struct program program = program_of(bundle);
    cr_assert_eq(answer(program, SYS_clone, 0x10, 0), SECCOMP_RET_TRAP);
    cr_assert_eq(answer(program, SYS_clone, 0x1f, 0), SECCOMP_RET_TRAP);
    cr_assert_eq(answer(program, SYS_clone, 0x30, 0), SECCOMP_RET_ALLOW);
}

Test(bundle_seccomp, conditions_on_different_arguments_all_hold_and_on_one_argument_any)
{
    cleanup_bundle struct bundle *both = load_profile(
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"lseek\"],"
        "\"action\": \"SCMP_ACT_TRAP\", \"args\":"
        "[{\"index\": 0, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"},"
        "{\"index\": 1, \"value\": 2, \"op\": \"SCMP_CMP_EQ\"}]}]}");
    struct program program = program_of(both);
    cr_assert_eq(answer(program, SYS_lseek, 1, 2), SECCOMP_RET_TRAP);
    cr_assert_eq(answer(program, SYS_lseek, 1, 3), SECCOMP_RET_ALLOW);

    cleanup_bundle struct bundle *any = load_profile(
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"lseek\"],"
        "\"action\": \"SCMP_ACT_TRAP\", \"args\":"
        "[{\"index\": 0, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"},"
        "{\"index\": 0, \"value\": 2, \"op\": \"SCMP_CMP_EQ\"}]}]}");
    program = program_of(any);
    cr_assert_eq(answer(program, SYS_lseek, 1, 0), SECCOMP_RET_TRAP);
    cr_assert_eq(answer(program, SYS_lseek, 2, 0), SECCOMP_RET_TRAP);
    cr_assert_eq(answer(program, SYS_lseek, 3, 0), SECCOMP_RET_ALLOW);
}

Test(bundle_seccomp, unknown_calls_and_rules_that_repeat_the_default_are_left_out)
{
    cleanup_bundle struct bundle *bundle = load_profile(
        "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": ["
        "{\"names\": [\"read\", \"call_of_the_year_2050\"], \"action\": \"SCMP_ACT_ALLOW\"},"
        "{\"names\": [\"write\"], \"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": 1}]}");
    struct program program = program_of(bundle);
    cr_assert_eq(answer(program, SYS_read, 0, 0), SECCOMP_RET_ALLOW);
    cr_assert_eq(answer(program, SYS_write, 0, 0), ERRNO(EPERM));
}

Test(bundle_seccomp, calls_newer_than_the_profile_are_enosys_and_older_ones_the_default)
{
    cleanup_bundle struct bundle *bundle =
        load_profile("{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\":"
                     "[{\"names\": [\"read\", \"openat2\"], \"action\": \"SCMP_ACT_ALLOW\"}]}");
    struct program program = program_of(bundle);
    cr_assert_eq(answer(program, SYS_openat2, 0, 0), SECCOMP_RET_ALLOW);
    cr_assert_eq(answer(program, SYS_openat2 + 1, 0, 0), ERRNO(ENOSYS));
    cr_assert_eq(answer(program, 9999, 0, 0), ERRNO(ENOSYS));
    cr_assert_eq(answer(program, SYS_mkdir, 0, 0), ERRNO(EPERM));
    cr_assert_neq(answer(program, 0x40000000 | SYS_read, 0, 0), ERRNO(ENOSYS), "x32");

    struct seccomp_data foreign = {.nr = 9999, .arch = AUDIT_ARCH_AARCH64};
    cr_assert_neq(run(program, &foreign), ERRNO(ENOSYS));

    cleanup_bundle struct bundle *allow =
        load_profile("{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\":"
                     "[{\"names\": [\"openat2\"], \"action\": \"SCMP_ACT_ERRNO\"}]}");
    cr_assert_eq(answer(program_of(allow), 9999, 0, 0), SECCOMP_RET_ALLOW);
}

Test(bundle_seccomp, calls_of_other_architectures_are_filtered_too)
{
    cleanup_bundle struct bundle *bundle =
        load_profile("{\"defaultAction\": \"SCMP_ACT_ALLOW\","
                     "\"architectures\": [\"SCMP_ARCH_X86\", \"SCMP_ARCH_X86_64\"],"
                     "\"syscalls\": [{\"names\": [\"mkdir\"], \"action\": \"SCMP_ACT_TRAP\"}]}");
    struct seccomp_data data = {.nr = 39, .arch = AUDIT_ARCH_I386}; /* mkdir of i386 */
    cr_assert_eq(run(program_of(bundle), &data), SECCOMP_RET_TRAP);
    data.nr = SYS_mkdir;
    cr_assert_eq(run(program_of(bundle), &data), SECCOMP_RET_ALLOW);
}

Test(bundle_seccomp, flags_are_passed_on_and_spec_allow_is_the_default)
{
    static const struct {
        const char *flags;
        uint32_t value;
    } rows[] = {
        {"null", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
        {"[]", 0},
        {"[\"SECCOMP_FILTER_FLAG_LOG\"]", SECCOMP_FILTER_FLAG_LOG},
        {"[\"SECCOMP_FILTER_FLAG_TSYNC\", \"SECCOMP_FILTER_FLAG_SPEC_ALLOW\"]",
         SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char profile[256];
        snprintf(profile, sizeof(profile),
                 "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"flags\": %s, \"syscalls\":"
                 "[{\"names\": [\"mkdir\"], \"action\": \"SCMP_ACT_ERRNO\"}]}",
                 rows[i].flags);
        cleanup_bundle struct bundle *bundle = load_profile(profile);
        cr_expect_eq(program_of(bundle).flags, rows[i].value, "%s", rows[i].flags);
    }
}

Test(bundle_seccomp, a_profile_with_many_rules_answers_as_one_with_few)
{
    static const char *const names[] = {
        "accept", "access", "bind",   "brk",    "chdir",  "chmod",  "chown", "close", "connect",
        "creat",  "dup",    "dup2",   "execve", "exit",   "fchmod", "fcntl", "flock", "fork",
        "fstat",  "fsync",  "getcwd", "getpid", "getuid", "ioctl",  "kill",  "link",  "listen",
        "lseek",  "mmap",   "mount",  "open",   "pipe",   "poll",   "read",  "rename"};
    char profile[8192];
    int at = sprintf(profile, "{\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_ERRNO\","
                              "\"syscalls\": [");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        at += sprintf(profile + at, "%s{\"names\": [\"%s\"], \"action\": \"SCMP_ACT_ALLOW\"}",
                      i ? "," : "", names[i]);
    strcpy(profile + at, "]}}}");
    cleanup_bundle struct bundle *bundle = bundle_load_patched(profile);
    struct program program = program_of(bundle);
    cr_assert_eq(answer(program, SYS_read, 0, 0), SECCOMP_RET_ALLOW);
    cr_assert_eq(answer(program, SYS_rename, 0, 0), SECCOMP_RET_ALLOW);
    cr_assert_eq(answer(program, SYS_write, 0, 0), ERRNO(EPERM));
}

/* In a child: installs the filter, then says by its exit status what mkdir() gave. */
static int child(struct program program)
{
    struct sock_fprog filter = {.len = (unsigned short)program.count,
                                .filter = (struct sock_filter *)program.insns};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return 201;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, program.flags, &filter) != 0)
        return 202;
    return syscall(SYS_mkdir, "/nonexistent/directory", 0700) == 0 ? 203 : errno;
}

Test(bundle_seccomp, the_kernel_takes_the_program_and_does_what_it_says)
{
    cleanup_bundle struct bundle *bundle = load_profile(
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\":"
        "[{\"names\": [\"mkdir\"], \"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": 33}]}");
    struct program program = program_of(bundle);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0)
        _exit(child(program));
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 33);
}
