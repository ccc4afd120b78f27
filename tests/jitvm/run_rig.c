/* SPDX-License-Identifier: Apache-2.0 */
/* VMs side by side, one per tier, and what may not differ between them. */
#include "tests/jitvm/run_rig.h"

#include <stdlib.h>
#include <string.h>

const struct jitvm_limits run_no_limits = {JITVM_FUEL_UNLIMITED, UINT64_C(1) << 28, 500};

static const struct tier {
    const char *name;
    enum jitvm_jit jit;
    uint32_t block_threshold;
    uint32_t max_side_exits; /* few: code that guessed wrong is soon compiled again */
} tiers[RUN_TIERS] = {
    {"interpreter", JITVM_JIT_OFF, 0, 0},
    {"linear", JITVM_JIT_LINEAR, 0, 1},
    {"block, at the first call", JITVM_JIT_BLOCK, 0, 0},
    {"block, at the second call", JITVM_JIT_BLOCK, 1, 50},
};

static const char *const pair_names[RUN_TIERS] = {"first chunk, interpreter", "first chunk, block",
                                                  "second chunk, interpreter",
                                                  "second chunk, block"};

const char *run_tier_name(unsigned tier)
{
    return tiers[tier].name;
}

/* ---- VMs ------------------------------------------------------------------------------------- */

static int collect(void *context, const void *bytes, size_t len)
{
    struct run_vm *v = context;
    if (v->out_len + len > v->out_room) {
        size_t room = (v->out_len + len) * 2;
        char *out = realloc(v->out, room);
        if (!out)
            return -1;
        v->out = out;
        v->out_room = room;
    }
    memcpy(v->out + v->out_len, bytes, len);
    v->out_len += len;
    return 0;
}

static ptrdiff_t no_input(void *context, void *bytes, size_t len)
{
    (void)context;
    (void)bytes;
    (void)len;
    return 0;
}

static int start(struct run_vm *v, const struct tier *tier, struct jitvm_chunk *chunk,
                 const struct jitvm_limits *limits, run_prepare_fn prepare, struct jitvm_error *err)
{
    struct jitvm_config config;
    int rc = jitvm_config_default(&config, err);
    if (rc < 0)
        return rc;
    config.limits = *limits;
    config.jit = tier->jit;
    config.trace.block_threshold = tier->block_threshold;
    config.trace.max_side_exits = tier->max_side_exits;
    config.seed = 1;
    rc = jitvm_new(&config, &v->vm, err);
    if (rc == 0 && prepare)
        rc = prepare(v->vm);
    if (rc < 0)
        return rc;
    jitvm_set_output(v->vm, collect, v);
    jitvm_set_input(v->vm, no_input, NULL);
    return jitvm_load(v->vm, chunk, err);
}

static bool start_tier(struct run_rig *rig, unsigned i, unsigned tier, struct jitvm_chunk *chunk,
                       const struct jitvm_limits *limits, run_prepare_fn prepare)
{
    struct jitvm_error err = {0};
    if (start(&rig->vms[i], &tiers[tier], chunk, limits, prepare, &err) == 0)
        return true;
    (void)snprintf(rig->said, sizeof rig->said, "%s: %s", tiers[tier].name, err.message);
    return false;
}

bool run_rig_init(struct run_rig *rig, struct jitvm_chunk *chunk, const struct jitvm_limits *limits,
                  run_prepare_fn prepare)
{
    *rig = (struct run_rig){.chunk = chunk};
    for (unsigned i = 0; i < RUN_TIERS; i++)
        if (!start_tier(rig, i, i, chunk, limits, prepare))
            return false;
    return true;
}

bool run_rig_init_pair(struct run_rig *rig, struct jitvm_chunk *first, struct jitvm_chunk *second,
                       const struct jitvm_limits *limits)
{
    *rig = (struct run_rig){.chunk = first, .is_pair = true};
    bool all = true;
    for (unsigned i = 0; all && i < RUN_TIERS; i++)
        all = start_tier(rig, i, i % 2 ? 2 : 0, i < 2 ? first : second, limits, NULL);
    jitvm_chunk_unref(second);
    return all;
}

static void forget(struct run_vm *v)
{
    if (v->vm)
        jitvm_release(v->vm, v->seen.value);
    v->seen.value = jitvm_undef();
}

void run_rig_free(struct run_rig *rig)
{
    for (unsigned i = 0; i < RUN_TIERS; i++) {
        forget(&rig->vms[i]);
        jitvm_free(rig->vms[i].vm);
        free(rig->vms[i].out);
    }
    jitvm_chunk_unref(rig->chunk);
    *rig = (struct run_rig){0};
}

void run_rig_set_limits(struct run_rig *rig, const struct jitvm_limits *limits)
{
    for (unsigned i = 0; i < RUN_TIERS; i++)
        jitvm_set_limits(rig->vms[i].vm, limits);
}

uint64_t run_rig_entries(const struct run_rig *rig, unsigned tier)
{
    struct jitvm_stats stats;
    jitvm_stats(rig->vms[tier].vm, &stats);
    return stats.entries;
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* As value_print prints it; the caller frees it. */
static char *printed(struct jitvm_value v)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (!to)
        return NULL;
    (void)value_print(to, v);
    (void)fclose(to);
    return text;
}

static bool differ(struct run_rig *rig, unsigned i, const char *what, const char *want,
                   const char *got)
{
    const char *name = rig->is_pair ? pair_names[i] : tiers[i].name;
    (void)snprintf(rig->said, sizeof rig->said, "%s: %s: %.400s, not %.400s", name, what, got,
                   want);
    return false;
}

static bool differ_values(struct run_rig *rig, unsigned i, const char *what,
                          struct jitvm_value want, struct jitvm_value got)
{
    char *left = printed(want), *right = printed(got);
    differ(rig, i, what, left ? left : "?", right ? right : "?");
    free(left);
    free(right);
    return false;
}

static bool differ_numbers(struct run_rig *rig, unsigned i, const char *what, uint64_t want,
                           uint64_t got)
{
    return differ_values(rig, i, what, jitvm_int((int64_t)want), jitvm_int((int64_t)got));
}

static bool same_frame(const struct jitvm_frame *a, const struct jitvm_frame *b)
{
    return a->ip == b->ip && a->line == b->line && strcmp(a->function, b->function) == 0;
}

static bool same_error(struct run_rig *rig, unsigned i, const struct jitvm_error *want,
                       const struct jitvm_error *got)
{
    /* The limit of the heap counts what is in use at the moment, which is a tier's own business. */
    if (want->status != JITVM_ERR_HEAP && strcmp(want->message, got->message) != 0)
        return differ(rig, i, "message", want->message, got->message);
    if (want->depth != got->depth)
        return differ_numbers(rig, i, "depth of the backtrace", want->depth, got->depth);
    if (want->line != got->line)
        return differ_numbers(rig, i, "line", want->line, got->line);
    for (unsigned f = 0; f < want->depth && f < JITVM_BACKTRACE_MAX; f++)
        if (!same_frame(&want->frames[f], &got->frames[f])) {
            differ_numbers(rig, i, "ip in the backtrace", want->frames[f].ip, got->frames[f].ip);
            return false;
        }
    return true;
}

static bool same_outcome(struct run_rig *rig, unsigned i)
{
    const struct run_seen *want = &rig->vms[0].seen, *got = &rig->vms[i].seen;
    if (want->rc != got->rc)
        return differ(rig, i, "status", want->rc < 0 ? want->err.message : "ok",
                      got->rc < 0 ? got->err.message : "ok");
    if (want->rc < 0 && !rig->is_pair && !same_error(rig, i, &want->err, &got->err))
        return false;
    if (!value_same(want->value, got->value))
        return differ_values(rig, i, "result", want->value, got->value);
    if (!rig->is_pair && want->fuel != got->fuel)
        return differ_numbers(rig, i, "fuel left", want->fuel, got->fuel);
    if (!rig->is_pair && want->heap != got->heap)
        return differ_numbers(rig, i, "heap in use", want->heap, got->heap);
    if (want->written != got->written ||
        (want->written && memcmp(rig->vms[0].out, rig->vms[i].out, want->written) != 0))
        return differ(rig, i, "output", rig->vms[0].out ? rig->vms[0].out : "",
                      rig->vms[i].out ? rig->vms[i].out : "");
    return true;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void call(struct run_vm *v, const char *function, const struct jitvm_value *args,
                 unsigned count)
{
    forget(v);
    struct run_seen *seen = &v->seen;
    memset(&seen->err, 0, sizeof seen->err);
    if (function)
        seen->rc = jitvm_call(v->vm, function, args, count, &seen->value, &seen->err);
    else
        seen->rc = jitvm_run(v->vm, &seen->value, &seen->err);
    if (seen->rc < 0)
        seen->value = jitvm_undef();
    seen->fuel = jitvm_fuel_left(v->vm);
    seen->heap = v->vm->heap.bytes;
    seen->written = v->out_len;
}

bool run_rig_call(struct run_rig *rig, const char *function, const struct jitvm_value *args,
                  unsigned count)
{
    for (unsigned i = 0; i < RUN_TIERS; i++)
        call(&rig->vms[i], function, args ? args + (size_t)i * count : NULL, count);
    for (unsigned i = 1; i < RUN_TIERS; i++)
        if (!same_outcome(rig, i))
            return false;
    return true;
}

/* By name: two chunks need not have them in the same order. */
static struct jitvm_value global(const struct run_vm *v, const struct jitvm_str *name)
{
    const struct jitvm_chunk *chunk = v->vm->chunk;
    for (uint32_t n = 0; n < chunk->name_count; n++)
        if (chunk->names[n]->len == name->len &&
            memcmp(chunk->names[n]->bytes, name->bytes, name->len) == 0)
            return v->vm->globals[n];
    return jitvm_undef();
}

bool run_rig_globals(struct run_rig *rig)
{
    for (uint32_t n = 0; n < rig->chunk->name_count; n++)
        for (unsigned i = 1; i < RUN_TIERS; i++) {
            struct jitvm_value want = rig->vms[0].vm->globals[n];
            struct jitvm_value got = global(&rig->vms[i], rig->chunk->names[n]);
            if (!value_same(want, got))
                return differ_values(rig, i, chunk_name(rig->chunk, n), want, got);
        }
    return true;
}
