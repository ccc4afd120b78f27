/* SPDX-License-Identifier: Apache-2.0 */
/* What the block compiler knows of a function, for people (--dump=ir). */
#include "guest/jitvm/jit/block.h"

static void dump_set(kind_set set, FILE *to)
{
    static const char names[JITVM_KINDS + 1] = "ubifFNHsah";
    if (set == KINDS_ALL) {
        fputs("any", to);
        return;
    }
    for (unsigned kind = 0; kind < JITVM_KINDS; kind++)
        if (set & 1u << kind)
            fputc(names[kind], to);
}

static void dump_register(const struct flow *f, uint32_t reg, kind_set set, uint32_t point,
                          FILE *to)
{
    enum rep rep = kinds_rep(set);
    fprintf(to, " r%u:", reg);
    dump_set(set, to);
    if (rep != REP_INT && rep != REP_FLOAT)
        return;
    const struct span *span = flow_span(f, reg, rep == REP_FLOAT, point);
    if (span && span->place >= 0)
        fprintf(to, "=%s%d", rep == REP_FLOAT ? "x" : "g", span->place);
}

static void dump_block(const struct flow *f, const struct block *b, kind_set *kinds, FILE *to)
{
    fprintf(to, " block %u%s:", (unsigned)(b - f->blocks), b->reached ? "" : " not reached");
    for (uint32_t r = 0; r < f->registers; r++) {
        kinds[r] = b->in[r];
        if (b->reached && flow_alive(b->live_in, r))
            dump_register(f, r, kinds[r], 2 * b->first, to);
    }
    fputc('\n', to);
    kind_set result = 0;
    for (uint32_t at = b->first; b->reached && at < b->end; at++) {
        if (f->code->ops[at] == CODE_DATA)
            continue;
        const struct insn *insn = &f->code->insns[at];
        struct operands o;
        operands_of(f->code, at, &o);
        fprintf(to, "  %u %s %u %u %d", at, code_op_name(f->code->ops[at]), insn->a, insn->b,
                insn->c);
        bool on = kinds_step(f, at, kinds, &result);
        if (on && o.writes >= 0) {
            fputs(" ->", to);
            dump_register(f, (uint32_t)o.writes, kinds[o.writes], 2 * at + 1, to);
        }
        fputs(kinds_unseen(f, at) ? " never ran: leaves\n" : "\n", to);
        if (!on)
            break;
    }
}

void flow_dump(const struct flow *f, FILE *to)
{
    kind_set *kinds = arena_alloc(f->arena, f->registers, sizeof *kinds);
    if (!kinds)
        return;
    for (uint32_t i = 0; i < f->block_count; i++)
        dump_block(f, &f->blocks[i], kinds, to);
    fputs("  gives ", to);
    dump_set(f->result, to);
    fputc('\n', to);
}
