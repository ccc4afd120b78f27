/* SPDX-License-Identifier: Apache-2.0 */
/* The device filter: the generated eBPF program, run by a small interpreter. */
#include "tests/unit/test_bundle_support.h"

#include <criterion/criterion.h>
#include <linux/bpf.h>
#include <string.h>

#define R BPF_DEVCG_ACC_READ
#define W BPF_DEVCG_ACC_WRITE
#define M BPF_DEVCG_ACC_MKNOD
#define C BPF_DEVCG_DEV_CHAR
#define B BPF_DEVCG_DEV_BLOCK

struct program {
    const struct bpf_insn *insns;
    size_t count;
};

static struct program program_of(const struct bundle *bundle)
{
    size_t length = 0;
    const void *payload = spec_find(bundle, THAW_SPEC_DEVICE_FILTER, 0, &length);
    cr_assert_not_null(payload);
    cr_assert_eq(length % sizeof(struct bpf_insn), 0);
    cr_assert_eq(spec_count(bundle, THAW_SPEC_DEVICE_FILTER), 1);
    return (struct program){payload, length / sizeof(struct bpf_insn)};
}

static uint64_t operate(const struct bpf_insn *insn, uint64_t left, uint64_t right)
{
    switch (BPF_OP(insn->code)) {
    case BPF_MOV:
        return right;
    case BPF_AND:
        return left & right;
    case BPF_RSH:
        return left >> right;
    default:
        cr_assert_fail("operation 0x%x", insn->code);
    }
    return 0;
}

static bool holds(const struct bpf_insn *insn, uint64_t left, uint64_t right)
{
    switch (BPF_OP(insn->code)) {
    case BPF_JNE:
        return left != right;
    case BPF_JEQ:
        return left == right;
    case BPF_JLT:
        return left < right;
    case BPF_JGT:
        return left > right;
    default:
        cr_assert_fail("condition 0x%x", insn->code);
    }
    return 0;
}

/* Runs the program as the kernel does; anything that its verifier would refuse fails the test. */
static uint64_t run(struct program program, const struct bpf_cgroup_dev_ctx *context)
{
    uint64_t registers[11] = {0};
    bool set[11] = {[BPF_REG_1] = true};
    for (size_t at = 0; at < program.count; at++) {
        const struct bpf_insn *insn = &program.insns[at];
        uint64_t *to = &registers[insn->dst_reg];
        bool from_register = BPF_SRC(insn->code) == BPF_X;
        uint64_t right = from_register ? registers[insn->src_reg] : (uint64_t)(int64_t)insn->imm;
        switch (BPF_CLASS(insn->code)) {
        case BPF_LDX:
            cr_assert_eq(insn->code, BPF_LDX | BPF_MEM | BPF_W);
            cr_assert_eq(insn->src_reg, BPF_REG_1);
            cr_assert(insn->off >= 0 && insn->off <= 8 && insn->off % 4 == 0);
            uint32_t word;
            memcpy(&word, (const char *)context + insn->off, sizeof(word));
            *to = word;
            set[insn->dst_reg] = true;
            break;
        case BPF_ALU64:
            cr_assert(!from_register || set[insn->src_reg]);
            cr_assert(BPF_OP(insn->code) == BPF_MOV || set[insn->dst_reg]);
            *to = operate(insn, *to, right);
            set[insn->dst_reg] = true;
            break;
        case BPF_JMP:
            if (BPF_OP(insn->code) == BPF_EXIT) {
                cr_assert(set[BPF_REG_0]);
                return registers[0];
            }
            cr_assert(set[insn->dst_reg]);
            cr_assert_geq(insn->off, 0, "no loops");
            if (holds(insn, *to, right))
                at += (size_t)insn->off;
            break;
        default:
            cr_assert_fail("instruction 0x%x", insn->code);
        }
    }
    cr_assert_fail("the program ran off its end");
    return 0;
}

struct access {
    uint32_t type, major, minor, access;
    bool allowed;
};

static void expect_accesses(const char *rules, const struct access *rows, size_t count)
{
    char patch[1024];
    snprintf(patch, sizeof(patch), "{\"linux\": {\"resources\": {\"devices\": %s}}}", rules);
    cleanup_bundle struct bundle *bundle = bundle_load_patched(patch);
    struct program program = program_of(bundle);
    for (size_t i = 0; i < count; i++) {
        const struct bpf_cgroup_dev_ctx context = {.access_type =
                                                       rows[i].access << 16 | rows[i].type,
                                                   .major = rows[i].major,
                                                   .minor = rows[i].minor};
        cr_expect_eq(run(program, &context), rows[i].allowed, "%s: row %zu, %u:%u access %u", rules,
                     i, rows[i].major, rows[i].minor, rows[i].access);
    }
}
#define EXPECT_ACCESSES(rules, rows) expect_accesses(rules, rows, sizeof(rows) / sizeof((rows)[0]))

/* In every bundle, whatever its rules. */
static const struct access always[] = {
    {C, 1, 3, R | W | M, true},     {C, 1, 5, R | W | M, true}, {C, 1, 7, R | W, true},
    {C, 1, 8, R | W, true},         {C, 1, 9, R | W, true},     {C, 5, 0, R | W, true},
    {C, 5, 1, R | W, true},         {C, 5, 2, R | W, true},     {C, 136, 0, R | W, true},
    {C, 136, 1048575, R | W, true}, {C, 1, 1, R, false},        {C, 1, 1, M, false},
    {C, 1, 2, R | W, false},        {C, 1, 4, W, false},        {C, 4, 64, R | W, false},
    {C, 4, 65, R, false},           {C, 4, 127, M, false},      {C, 4, 255, R, false},
};

Test(bundle_devices, default_devices_are_allowed_and_inits_own_denied_whatever_the_rules)
{
    EXPECT_ACCESSES("null", always);
    EXPECT_ACCESSES("[]", always);
    EXPECT_ACCESSES("[{\"allow\": true, \"access\": \"rwm\"}]", always);
    EXPECT_ACCESSES("[{\"allow\": false, \"access\": \"rwm\"}]", always);
    EXPECT_ACCESSES("[{\"allow\": false, \"type\": \"c\", \"access\": \"rwm\"}]", always);
    EXPECT_ACCESSES("[{\"allow\": true, \"type\": \"c\", \"major\": 4, \"access\": \"rwm\"}]",
                    always);
}

Test(bundle_devices, without_rules_the_rest_may_be_made_but_not_opened)
{
    static const struct access rows[] = {
        {C, 10, 229, R, false}, {C, 10, 229, W, false}, {C, 10, 229, M, true},
        {B, 254, 0, R, false},  {B, 254, 0, M, true},   {B, 1, 3, R, false},
        {C, 4, 63, R, false},   {C, 4, 63, M, true},    {C, 10, 229, M | R, false},
    };
    EXPECT_ACCESSES("null", rows);
}

Test(bundle_devices, a_rule_of_type_a_speaks_for_everything_and_voids_what_is_before)
{
    static const struct access allowed[] = {{C, 10, 229, R | W | M, true},
                                            {B, 254, 0, R | W, true},
                                            {C, 4, 63, R, true},
                                            {C, 4, 256, R, true}};
    static const struct access denied[] = {{C, 10, 229, R, false}, {B, 254, 0, W, false}};
    EXPECT_ACCESSES("[{\"allow\": false, \"type\": \"c\", \"major\": 10, \"access\": \"r\"},"
                    "{\"allow\": true, \"type\": \"a\", \"access\": \"rwm\"}]",
                    allowed);
    EXPECT_ACCESSES("[{\"allow\": true, \"type\": \"c\", \"major\": 10, \"access\": \"r\"},"
                    "{\"allow\": false, \"access\": \"rwm\"}]",
                    denied);
}

Test(bundle_devices, the_last_rule_that_covers_a_device_wins)
{
    static const struct access rows[] = {
        {C, 10, 228, R | W, true}, {C, 10, 229, R | W, false}, {C, 10, 230, R, true},
        {C, 11, 229, R, false},    {B, 10, 228, R, false},
    };
    EXPECT_ACCESSES("[{\"allow\": false, \"access\": \"rwm\"},"
                    "{\"allow\": true, \"type\": \"c\", \"major\": 10, \"access\": \"rw\"},"
                    "{\"allow\": false, \"type\": \"c\", \"major\": 10, \"minor\": 229,"
                    "\"access\": \"rw\"}]",
                    rows);
    static const struct access other[] = {{C, 10, 228, R | W, true}, {C, 10, 229, R | W, true}};
    EXPECT_ACCESSES("[{\"allow\": false, \"type\": \"c\", \"major\": 10, \"minor\": 229,"
                    "\"access\": \"rw\"},"
                    "{\"allow\": true, \"type\": \"c\", \"major\": 10, \"access\": \"rw\"}]",
                    other);
}

Test(bundle_devices, majors_and_minors_left_out_or_minus_1_mean_any)
{
    static const struct access rows[] = {
        {B, 8, 0, R, true},  {B, 8, 77, R, true}, {B, 9, 5, R, true},
        {B, 9, 6, R, false}, {B, 7, 5, R, true},  {C, 7, 5, R, false},
    };
    EXPECT_ACCESSES("[{\"allow\": true, \"type\": \"b\", \"major\": 8, \"minor\": -1,"
                    "\"access\": \"r\"},"
                    "{\"allow\": true, \"type\": \"b\", \"minor\": 5, \"access\": \"r\"}]",
                    rows);
}

Test(bundle_devices, each_bit_of_an_access_is_decided_by_itself)
{
    static const struct access rows[] = {
        {C, 10, 1, R, true},     {C, 10, 1, W, true},      {C, 10, 1, R | W, true},
        {C, 10, 2, R, true},     {C, 10, 2, W, false},     {C, 10, 2, R | W, false},
        {C, 10, 2, R | M, true}, {C, 10, 3, R | W, false}, {C, 10, 3, W, true},
    };
    EXPECT_ACCESSES(
        "[{\"allow\": true, \"type\": \"c\", \"major\": 10, \"minor\": 1, \"access\": \"r\"},"
        "{\"allow\": true, \"type\": \"c\", \"major\": 10, \"minor\": 1, \"access\": \"w\"},"
        "{\"allow\": true, \"type\": \"c\", \"major\": 10, \"minor\": 2, \"access\": \"rm\"},"
        "{\"allow\": true, \"type\": \"c\", \"major\": 10, \"minor\": 3, \"access\": \"rw\"},"
        "{\"allow\": false, \"type\": \"c\", \"major\": 10, \"minor\": 3, \"access\": \"r\"}]",
        rows);
}

Test(bundle_devices, more_rules_than_the_kernel_takes_are_refused)
{
    char *patch = malloc(1u << 16);
    int at = sprintf(patch, "{\"linux\": {\"resources\": {\"devices\": [");
    for (int i = 0; i < 460; i++)
        at += sprintf(patch + at,
                      "%s{\"allow\": true, \"type\": \"c\", \"major\": 10,"
                      "\"minor\": %d, \"access\": \"r\"}",
                      i ? "," : "", i);
    strcpy(patch + at, "]}}}");
    char *text = bundle_patched_config(patch);
    struct bundle *bundle = NULL;
    struct thaw_error err;
    cr_assert_lt(bundle_load_text(text, strlen(text), NULL, &bundle, &err), 0);
    cr_assert_str_eq(err.message, "config.json: linux.resources.devices: needs more than the "
                                  "kernel's 4096 BPF instructions");
    free(text);
    free(patch);
}
