/* SPDX-License-Identifier: Apache-2.0 */
/* Lowered code for people. */
#include <inttypes.h>

#include "guest/jitvm/vm/vm.h"

struct dump {
    const struct jitvm *vm;
    const struct chunk_function *function;
    const struct code *code;
    FILE *to;
};

static void dump_register(const struct dump *d, unsigned reg)
{
    if (reg >= d->code->slots) {
        fprintf(d->to, " t%u", reg - d->code->slots);
        return;
    }
    const struct jitvm_chunk *chunk = d->vm->chunk;
    uint32_t first = d->function->slot_names;
    uint32_t name = first == UINT32_MAX ? UINT32_MAX : chunk->slot_names[first + reg];
    if (name == UINT32_MAX)
        fprintf(d->to, " s%u", reg);
    else
        fprintf(d->to, " s%u(%s)", reg, chunk_name(chunk, name));
}

static void dump_literal(const struct dump *d, uint32_t literal)
{
    fputs(" =", d->to);
    value_print(d->to, d->vm->literals[literal]);
}

static void dump_target(const struct dump *d, uint32_t at)
{
    fprintf(d->to, " -> %04" PRId32, (int32_t)at + d->code->insns[at].c);
}

static void dump_place(const struct dump *d, uint32_t at)
{
    const struct insn *insn = &d->code->insns[at];
    if (insn[1].b)
        fprintf(d->to, " global %s", chunk_name(d->vm->chunk, insn->u));
    else
        dump_register(d, insn->u);
    fprintf(d->to, " keys %u from", insn[1].a);
    dump_register(d, insn->b);
}

static void dump_call(const struct dump *d, uint32_t at)
{
    const struct insn *insn = &d->code->insns[at];
    dump_register(d, insn->a);
    if (d->code->ops[at] == CODE_CALL)
        fprintf(d->to, " %s", chunk_function_name(d->vm->chunk, insn->u));
    else if (d->code->ops[at] == CODE_CALLB)
        fprintf(d->to, " %s", d->vm->natives[insn->u].name);
    else if (d->code->ops[at] == CODE_EXT)
        fprintf(d->to, " %s", d->vm->extensions[insn->u].name);
    if (d->code->ops[at] != CODE_EXT)
        fprintf(d->to, " (%u)", insn->b);
}

static void dump_three(const struct dump *d, uint32_t at)
{
    const struct insn *insn = &d->code->insns[at];
    enum code_format format = code_op_format(d->code->ops[at]);
    dump_register(d, insn->a);
    if (format == CODE_FMT_DKS)
        dump_literal(d, insn->b);
    else
        dump_register(d, insn->b);
    if (format == CODE_FMT_DSK)
        dump_literal(d, insn->u);
    else if (format == CODE_FMT_DSI)
        fprintf(d->to, " %" PRId32, insn->c);
    else if (format == CODE_FMT_DRN)
        fprintf(d->to, " ..%" PRIu32, insn->u);
    else
        dump_register(d, insn->u);
}

static void dump_operands(const struct dump *d, uint32_t at)
{
    const struct insn *insn = &d->code->insns[at];
    switch (code_op_format(d->code->ops[at])) {
    case CODE_FMT_NONE:
        return;
    case CODE_FMT_J:
        return dump_target(d, at);
    case CODE_FMT_S:
        return dump_register(d, insn->a);
    case CODE_FMT_SJ:
        dump_register(d, insn->a);
        return dump_target(d, at);
    case CODE_FMT_SSJ:
        dump_register(d, insn->a);
        dump_register(d, insn->b);
        return dump_target(d, at);
    case CODE_FMT_SKJ:
        dump_register(d, insn->a);
        dump_literal(d, insn->b);
        return dump_target(d, at);
    case CODE_FMT_DS:
        dump_register(d, insn->a);
        return dump_register(d, insn->b);
    case CODE_FMT_DK:
        dump_register(d, insn->a);
        return dump_literal(d, insn->u);
    case CODE_FMT_DG:
    case CODE_FMT_SG:
        dump_register(d, insn->a);
        fprintf(d->to, " global %s", chunk_name(d->vm->chunk, insn->u));
        return;
    case CODE_FMT_DRP:
    case CODE_FMT_RP:
        dump_register(d, insn->a);
        return dump_place(d, at);
    case CODE_FMT_DSSXS:
    case CODE_FMT_SSSXS:
        dump_three(d, at);
        return dump_register(d, insn[1].a);
    case CODE_FMT_CALL:
        return dump_call(d, at);
    case CODE_FMT_LOOP:
        dump_register(d, insn->a);
        dump_register(d, insn->b);
        fprintf(d->to, " < %" PRId32, insn[1].c);
        return;
    default:
        return dump_three(d, at);
    }
}

void code_dump(const struct jitvm *vm, uint32_t function, const struct code *code, FILE *to)
{
    const struct dump d = {
        .vm = vm, .function = &vm->chunk->functions[function], .code = code, .to = to};
    fprintf(to, "code %s: %u slots, %u registers\n", chunk_function_name(vm->chunk, function),
            code->slots, code->registers);
    uint32_t shown = 0;
    for (uint32_t at = 0; at < code->count; at++) {
        if (code->ops[at] == CODE_DATA)
            continue;
        uint32_t line = chunk_line_at(vm->chunk, code->ips[at]);
        if (line != shown)
            fprintf(to, "  line %" PRIu32 "\n", line);
        shown = line;
        fprintf(to, "  %04" PRIu32 "  %-14s", at, code_op_name(code->ops[at]));
        dump_operands(&d, at);
        fputc('\n', to);
    }
}
