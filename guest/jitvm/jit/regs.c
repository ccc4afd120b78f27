/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where unboxed registers are. Each stretch over which one is alive in one representation is a
 * span; spans that a jump connects must be in the same place, so that jumps need no moves. Then a
 * linear scan: machine registers go to what is used most, by depth of loops; the rest stays in its
 * cell.
 */
#include "guest/jitvm/jit/block.h"

#include <string.h>

struct walk {
    struct flow *f;
    const struct places *machine;
    const struct block *block;
    kind_set *kinds;
    uint32_t *open; /* by register: the span that is open, index + 1 */
};

/* ---- spans ----------------------------------------------------------------------------------- */

static uint32_t span_home(struct flow *f, uint32_t span)
{
    while (f->spans[span].home != span) {
        f->spans[span].home = f->spans[f->spans[span].home].home;
        span = f->spans[span].home;
    }
    return span;
}

static bool span_room(struct flow *f)
{
    if (f->span_count < f->span_room)
        return true;
    uint32_t room = f->span_room ? f->span_room * 2 : 128;
    struct span *spans = arena_alloc(f->arena, room, sizeof *spans);
    if (!spans)
        return false;
    if (f->span_count)
        memcpy(spans, f->spans, f->span_count * sizeof *spans);
    f->spans = spans;
    f->span_room = room;
    return true;
}

static bool span_open(struct walk *w, uint32_t reg, bool is_float, uint32_t point)
{
    struct flow *f = w->f;
    if (!span_room(f))
        return false;
    uint32_t at = f->span_count++;
    f->spans[at] = (struct span){
        .start = point, .end = point, .home = at, .place = -1, .hint = -1, .is_float = is_float};
    uint32_t *last = &f->span_last[is_float][reg];
    if (*last)
        f->spans[*last - 1].next = at + 1;
    else
        f->span_first[is_float][reg] = at + 1;
    *last = at + 1;
    w->open[reg] = at + 1;
    return true;
}

static void span_touch(struct walk *w, uint32_t reg, uint32_t point)
{
    if (!w->open[reg])
        return;
    struct span *s = &w->f->spans[w->open[reg] - 1];
    s->end = point;
    s->weight += w->block->weight;
}

static void span_close(struct walk *w, uint32_t reg, uint32_t point)
{
    span_touch(w, reg, point);
    w->open[reg] = 0;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static bool open_if_unboxed(struct walk *w, uint32_t reg, uint32_t point)
{
    enum rep rep = kinds_rep(w->kinds[reg]);
    if (rep != REP_INT && rep != REP_FLOAT)
        return true;
    return span_open(w, reg, rep == REP_FLOAT, point);
}

static void walk_read(struct walk *w, uint32_t reg, uint32_t at)
{
    const uint64_t *after = w->f->live + (size_t)at * w->f->words;
    if (flow_alive(after, reg))
        span_touch(w, reg, 2 * at);
    else
        span_close(w, reg, 2 * at);
}

static bool walk_write(struct walk *w, int32_t reg, uint32_t at)
{
    if (reg < 0)
        return true;
    const uint64_t *after = w->f->live + (size_t)at * w->f->words;
    w->open[reg] = 0;
    if (!open_if_unboxed(w, (uint32_t)reg, 2 * at + 1))
        return false;
    span_touch(w, (uint32_t)reg, 2 * at + 1);
    if (!flow_alive(after, (uint32_t)reg))
        w->open[reg] = 0;
    return true;
}

/* A register of the convention is the best place for what is passed in it. */
static void hint_arguments(struct walk *w, const struct operands *o)
{
    unsigned next[2] = {0, 0};
    for (unsigned i = 0; i < o->count; i++) {
        uint32_t open = w->open[o->first + i];
        if (!open)
            continue;
        struct span *s = &w->f->spans[open - 1];
        unsigned n = next[s->is_float]++;
        unsigned count = s->is_float ? w->machine->float_arg_count : w->machine->int_arg_count;
        const int8_t *args = s->is_float ? w->machine->float_args : w->machine->int_args;
        if (n < count)
            s->hint = args[n];
    }
}

static void hint_copy(struct walk *w, uint32_t from_span, int32_t to)
{
    if (!from_span || to < 0 || !w->open[to])
        return;
    struct span *s = &w->f->spans[from_span - 1], *t = &w->f->spans[w->open[to] - 1];
    if (s->is_float == t->is_float && s->hint < 0)
        s->hint = t->hint;
}

static bool walk_insn(struct walk *w, uint32_t at, bool *on)
{
    struct flow *f = w->f;
    struct operands o;
    operands_of(f->code, at, &o);
    uint32_t source = o.read_count ? w->open[o.reads[0]] : 0;
    if (f->code->ops[at] == CODE_CALL)
        hint_arguments(w, &o);
    for (unsigned i = 0; i < o.read_count; i++)
        walk_read(w, o.reads[i], at);
    for (unsigned i = 0; i < o.count; i++)
        walk_read(w, o.first + i, at);
    kind_set result = 0;
    *on = kinds_step(f, at, w->kinds, &result);
    if (!*on)
        return true;
    /* What is written twice has what was written last: `x = pop(x)`. */
    if (o.also_writes != o.writes && !walk_write(w, o.also_writes, at))
        return false;
    if (!walk_write(w, o.writes, at))
        return false;
    hint_copy(w, source, o.writes);
    return true;
}

static bool walk_block(struct walk *w, struct block *b)
{
    struct flow *f = w->f;
    w->block = b;
    memcpy(w->kinds, b->in, f->registers * sizeof *w->kinds);
    memset(w->open, 0, f->registers * sizeof *w->open);
    for (uint32_t r = 0; r < f->registers; r++)
        if (flow_alive(b->live_in, r) && !open_if_unboxed(w, r, 2 * b->first))
            return false;
    memcpy(b->spans_in, w->open, f->registers * sizeof *w->open);
    bool on = true;
    uint32_t at = b->first;
    for (; at < b->end && on; at++)
        if (f->code->ops[at] != CODE_DATA && !walk_insn(w, at, &on))
            return false;
    for (uint32_t r = 0; r < f->registers; r++)
        if (w->open[r])
            f->spans[w->open[r] - 1].end = 2 * (at - 1) + 1;
    if (on)
        memcpy(b->spans_out, w->open, f->registers * sizeof *w->open);
    return true;
}

/* ---- what must be together ------------------------------------------------------------------- */

static void join(struct flow *f, uint32_t a, uint32_t b)
{
    if (!a || !b || f->spans[a - 1].is_float != f->spans[b - 1].is_float)
        return;
    uint32_t x = span_home(f, a - 1), y = span_home(f, b - 1);
    if (x == y)
        return;
    struct span *to = &f->spans[x], *from = &f->spans[y];
    from->home = x;
    to->from = from->from < to->from ? from->from : to->from;
    to->to = from->to > to->to ? from->to : to->to;
    to->weight += from->weight;
    if (to->hint < 0)
        to->hint = from->hint;
}

static void join_all(struct flow *f)
{
    for (uint32_t i = 0; i < f->span_count; i++) {
        f->spans[i].from = f->spans[i].start;
        f->spans[i].to = f->spans[i].end;
    }
    for (uint32_t i = 0; i < f->block_count; i++) {
        const struct block *b = &f->blocks[i];
        for (unsigned n = 0; n < 2; n++)
            for (uint32_t r = 0; b->reached && b->next[n] != BLOCK_NONE && r < f->registers; r++)
                join(f, b->spans_out[r], f->blocks[b->next[n]].spans_in[r]);
    }
}

/* ---- the scan -------------------------------------------------------------------------------- */

struct scan {
    struct flow *f;
    const struct places *machine;
    uint32_t owner[2][16]; /* by machine register: span + 1 that has it, or had it last */
};

static bool scan_free(const struct scan *s, const struct span *span, int reg)
{
    uint32_t owner = s->owner[span->is_float][reg];
    return !owner || s->f->spans[owner - 1].to < span->from;
}

static bool calls_within(const struct flow *f, const struct span *span)
{
    uint32_t first = (span->from + 1) / 2, end = span->to / 2;
    return end > first && f->helpers[end] > f->helpers[first];
}

static int scan_pick(const struct scan *s, const struct span *span)
{
    const int8_t *order = span->is_float ? s->machine->floats : s->machine->ints;
    int count = span->is_float ? s->machine->float_count : s->machine->int_count;
    bool forward = calls_within(s->f, span);
    if (!forward && span->hint >= 0 && scan_free(s, span, span->hint))
        return span->hint;
    for (int i = 0; i < count; i++) {
        int reg = order[forward ? i : count - 1 - i];
        if (scan_free(s, span, reg))
            return reg;
    }
    return -1;
}

/* The one that is used least gives way. */
static int scan_evict(struct scan *s, const struct span *span)
{
    const int8_t *order = span->is_float ? s->machine->floats : s->machine->ints;
    int count = span->is_float ? s->machine->float_count : s->machine->int_count;
    int best = -1;
    uint32_t least = span->weight;
    for (int i = 0; i < count; i++) {
        const struct span *owner = &s->f->spans[s->owner[span->is_float][order[i]] - 1];
        if (owner->weight < least) {
            least = owner->weight;
            best = order[i];
        }
    }
    if (best >= 0)
        s->f->spans[s->owner[span->is_float][best] - 1].place = -1;
    return best;
}

/* By the point that they start at: a list for each, as there are far more spans than points. */
static uint32_t *sorted_homes(struct flow *f, uint32_t *count)
{
    uint32_t points = 2 * f->count + 2;
    uint32_t *first = arena_alloc(f->arena, points, sizeof *first);
    uint32_t *next = arena_alloc(f->arena, f->span_count + 1, sizeof *next);
    uint32_t *out = arena_alloc(f->arena, f->span_count + 1, sizeof *out);
    if (!first || !next || !out)
        return NULL;
    for (uint32_t i = f->span_count; i-- > 0;) {
        if (f->spans[i].home != i)
            continue;
        next[i] = first[f->spans[i].from];
        first[f->spans[i].from] = i + 1;
    }
    for (uint32_t p = 0; p < points; p++)
        for (uint32_t i = first[p]; i; i = next[i - 1])
            out[(*count)++] = i - 1;
    return out;
}

static int scan_all(struct flow *f, const struct places *machine)
{
    struct scan s = {.f = f, .machine = machine};
    uint32_t count = 0, *order = sorted_homes(f, &count);
    if (!order)
        return JITVM_ERR_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        struct span *span = &f->spans[order[i]];
        int reg = scan_pick(&s, span);
        if (reg < 0)
            reg = scan_evict(&s, span);
        span->place = (int16_t)reg;
        if (reg >= 0)
            s.owner[span->is_float][reg] = order[i] + 1;
    }
    for (uint32_t i = 0; i < f->span_count; i++)
        f->spans[i].place = f->spans[span_home(f, i)].place;
    return 0;
}

/* Arguments come in registers: a good place to leave them. */
static void hint_entry(struct flow *f, const struct places *machine)
{
    unsigned next[2] = {0, 0};
    for (uint32_t r = 0; r < f->function->arity; r++) {
        enum rep rep = kinds_rep(f->args[r]);
        if (rep != REP_INT && rep != REP_FLOAT)
            continue;
        bool is_float = rep == REP_FLOAT;
        unsigned n = next[is_float]++;
        uint32_t span = f->blocks[0].spans_in[r];
        if (!span)
            continue;
        if (!is_float && n < machine->int_arg_count)
            f->spans[span - 1].hint = machine->int_args[n];
        if (is_float && n < machine->float_arg_count)
            f->spans[span - 1].hint = machine->float_args[n];
    }
}

int flow_places(struct flow *f, const struct places *machine)
{
    struct walk w = {.f = f, .machine = machine};
    w.kinds = arena_alloc(f->arena, f->registers, sizeof *w.kinds);
    w.open = arena_alloc(f->arena, f->registers, sizeof *w.open);
    for (unsigned i = 0; i < 2; i++) {
        f->span_first[i] = arena_alloc(f->arena, f->registers, sizeof(uint32_t));
        f->span_last[i] = arena_alloc(f->arena, f->registers, sizeof(uint32_t));
        f->span_found[i] = arena_alloc(f->arena, f->registers, sizeof(uint32_t));
        if (!f->span_first[i] || !f->span_last[i] || !f->span_found[i])
            return JITVM_ERR_MEMORY;
    }
    if (!w.kinds || !w.open)
        return JITVM_ERR_MEMORY;
    for (uint32_t i = 0; i < f->block_count; i++)
        if (f->blocks[i].reached && !walk_block(&w, &f->blocks[i]))
            return JITVM_ERR_MEMORY;
    if (!f->is_loop)
        hint_entry(f, machine);
    join_all(f);
    return scan_all(f, machine);
}

const struct span *flow_span(const struct flow *f, uint32_t reg, bool is_float, uint32_t point)
{
    /* Whoever asks goes forward, mostly. */
    uint32_t *last = &f->span_found[is_float][reg];
    uint32_t at =
        *last && f->spans[*last - 1].start <= point ? *last : f->span_first[is_float][reg];
    for (; at && f->spans[at - 1].start <= point; at = f->spans[at - 1].next) {
        *last = at;
        if (point <= f->spans[at - 1].end)
            return &f->spans[at - 1];
    }
    return NULL;
}

int flow_place(const struct flow *f, uint32_t reg, bool is_float, uint32_t point)
{
    const struct span *s = flow_span(f, reg, is_float, point);
    return s ? s->place : -1;
}
