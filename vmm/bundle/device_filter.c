/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/device_filter.h"

/* struct bpf_cgroup_dev_ctx packs both into access_type: (access << 16) | type. */
#define TYPE_MASK    0xffff
#define ACCESS_SHIFT 16

#define PROLOGUE_LENGTH 6
#define RULE_LENGTH_MAX 9
#define EPILOGUE_LENGTH 2

/* What the registers hold throughout. */
enum {
    RESULT = BPF_REG_0,
    CONTEXT = BPF_REG_1,
    TYPE = BPF_REG_2,
    PENDING = BPF_REG_3, /* bits of the access that no rule has decided yet */
    MAJOR = BPF_REG_4,
    MINOR = BPF_REG_5,
    SCRATCH = BPF_REG_6,
};

struct assembler {
    struct bpf_insn *at;
};

static void emit(struct assembler *out, uint8_t code, uint8_t dst, uint8_t src, int16_t offset,
                 int32_t immediate)
{
    struct bpf_insn insn = {.code = code, .off = offset, .imm = immediate};
    insn.dst_reg = dst & 0xfu;
    insn.src_reg = src & 0xfu;
    *out->at++ = insn;
}

static void emit_load(struct assembler *out, uint8_t dst, size_t offset)
{
    emit(out, BPF_LDX | BPF_MEM | BPF_W, dst, CONTEXT, (int16_t)offset, 0);
}

static void emit_alu(struct assembler *out, uint8_t operation, uint8_t dst, uint32_t immediate)
{
    emit(out, BPF_ALU64 | operation | BPF_K, dst, 0, 0, (int32_t)immediate);
}

static void emit_move(struct assembler *out, uint8_t dst, uint8_t src)
{
    emit(out, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}

static void emit_return(struct assembler *out, bool allow)
{
    emit_alu(out, BPF_MOV, RESULT, allow);
    emit(out, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* A jump to the next rule; its distance is filled in by land_jumps() once that is known. */
static void emit_skip_if(struct assembler *out, uint8_t condition, uint8_t dst, uint32_t immediate)
{
    emit(out, BPF_JMP | condition | BPF_K, dst, 0, 0, (int32_t)immediate);
}

static void land_jumps(struct bpf_insn *from, struct bpf_insn *to)
{
    for (struct bpf_insn *insn = from; insn < to; insn++) {
        if (BPF_CLASS(insn->code) == BPF_JMP && BPF_OP(insn->code) != BPF_EXIT)
            insn->off = (int16_t)(to - insn - 1);
    }
}

static void emit_prologue(struct assembler *out)
{
    emit_load(out, TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type));
    emit_move(out, PENDING, TYPE);
    emit_alu(out, BPF_AND, TYPE, TYPE_MASK);
    emit_alu(out, BPF_RSH, PENDING, ACCESS_SHIFT);
    emit_load(out, MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
    emit_load(out, MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
}

static void emit_match(struct assembler *out, const struct device_rule *rule)
{
    if (rule->type != DEVICE_ANY)
        emit_skip_if(out, BPF_JNE, TYPE, rule->type);
    if (rule->major != DEVICE_ANY)
        emit_skip_if(out, BPF_JNE, MAJOR, rule->major);
    if (rule->minor_first > 0)
        emit_skip_if(out, BPF_JLT, MINOR, rule->minor_first);
    if (rule->minor_last != DEVICE_ANY)
        emit_skip_if(out, BPF_JGT, MINOR, rule->minor_last);
}

static void emit_rule(struct assembler *out, const struct device_rule *rule)
{
    struct bpf_insn *start = out->at;
    emit_match(out, rule);
    if (rule->allow) {
        emit_alu(out, BPF_AND, PENDING, ~rule->access);
        emit_skip_if(out, BPF_JNE, PENDING, 0);
    } else {
        emit_move(out, SCRATCH, PENDING);
        emit_alu(out, BPF_AND, SCRATCH, rule->access);
        emit_skip_if(out, BPF_JEQ, SCRATCH, 0);
    }
    emit_return(out, rule->allow);
    land_jumps(start, out->at);
}

size_t device_filter_size_max(size_t rule_count)
{
    return PROLOGUE_LENGTH + rule_count * RULE_LENGTH_MAX + EPILOGUE_LENGTH;
}

size_t device_filter_generate(const struct device_rule *rules, size_t rule_count, bool allow_rest,
                              struct bpf_insn *program)
{
    struct assembler out = {program};
    emit_prologue(&out);
    for (size_t i = rule_count; i > 0; i--)
        emit_rule(&out, &rules[i - 1]);
    emit_return(&out, allow_rest);
    return (size_t)(out.at - program);
}
