/* SPDX-License-Identifier: Apache-2.0 */
/* Random programs: run in every tier. */
#include <stdlib.h>
#include <string.h>

#include "tests/jitvm/random_chunk.h"

#define ROUNDS 3u

/* Nested values of which levels are shared can be larger than any walk over them could end. */
static bool small_enough(struct jitvm_value v, unsigned *budget)
{
    if (*budget == 0)
        return false;
    --*budget;
    if (v.kind == JITVM_ARRAY && v.as.array->element == ARRAY_VALUE) {
        for (size_t i = 0; i < v.as.array->len; i++)
            if (!small_enough(v.as.array->data.values[i], budget))
                return false;
    } else if (v.kind == JITVM_HASH) {
        size_t at = 0;
        for (struct hash_entry *e; (e = hash_next(v.as.hash, &at));)
            if (!small_enough(e->value, budget))
                return false;
    }
    return true;
}

static bool all_small(const struct run_rig *rig)
{
    unsigned budget = 20000;
    const struct jitvm *vm = rig->vms[0].vm;
    for (uint32_t n = 0; n < rig->chunk->name_count; n++)
        if (!small_enough(vm->globals[n], &budget))
            return false;
    return true;
}

static struct jitvm_value argument(struct jitvm *vm, unsigned choice)
{
    struct jitvm_value v = jitvm_undef();
    switch (choice) {
    case 0:
    case 1:
    case 2:
        return jitvm_int((int64_t)choice + 1);
    case 3:
        return jitvm_float(2.5);
    case 4:
        (void)jitvm_str(vm, "12", 2, &v);
        return v;
    case 5:
        if (jitvm_array(vm, &v) == 0)
            for (int i = 0; i < 4; i++)
                (void)jitvm_array_push(vm, &v, i == 3 ? jitvm_bool(true) : jitvm_int(i));
        return v;
    case 6:
        return jitvm_bool(true);
    default:
        return v;
    }
}

/* Calls the function; its arguments are of kinds that the bytes say. */
static bool call(struct run_rig *rig, struct random_bytes *bytes, uint32_t function)
{
    const struct chunk_function *f = &rig->chunk->functions[function];
    struct jitvm_value args[RUN_TIERS * 4];
    for (unsigned i = 0; i < f->arity; i++) {
        unsigned choice = random_below(bytes, 10);
        for (unsigned t = 0; t < RUN_TIERS; t++)
            args[t * f->arity + i] = argument(rig->vms[t].vm, choice);
    }
    bool same = run_rig_call(rig, function ? chunk_function_name(rig->chunk, function) : NULL, args,
                             f->arity);
    for (unsigned i = 0; i < f->arity * RUN_TIERS; i++)
        jitvm_release(rig->vms[i / f->arity].vm, args[i]);
    return same;
}

/* Each function in turn, several rounds of it. *ended_well: none ran out of anything, so that what
 * was not fused must come to the same end. */
static bool all_calls(struct run_rig *rig, struct random_bytes bytes,
                      const struct jitvm_limits *limits, bool *ended_well)
{
    for (unsigned round = 0; round < ROUNDS; round++)
        for (uint32_t f = 0; f + 1 < rig->chunk->function_count; f++) {
            run_rig_set_limits(rig, limits);
            if (!call(rig, &bytes, f))
                return false;
            int rc = rig->vms[0].seen.rc;
            *ended_well &= rc != JITVM_ERR_FUEL && rc != JITVM_ERR_HEAP;
            if (!all_small(rig))
                return *ended_well = false, true;
            if (!run_rig_globals(rig))
                return false;
        }
    return true;
}

/* When the globals are undef again, nothing is in use. */
static bool nothing_kept(struct run_rig *rig)
{
    run_rig_set_limits(rig, &run_no_limits);
    if (!run_rig_call(rig, "clear", NULL, 0))
        return false;
    for (unsigned t = 0; t < RUN_TIERS; t++)
        if (rig->vms[t].seen.heap) {
            (void)snprintf(rig->said, sizeof rig->said, "VM %u: %llu bytes are lost", t,
                           (unsigned long long)rig->vms[t].seen.heap);
            return false;
        }
    return true;
}

static bool run(struct run_rig *rig, struct random_bytes bytes, const struct jitvm_limits *limits,
                bool *ended_well, char said[1024])
{
    bool agrees = all_calls(rig, bytes, limits, ended_well) && nothing_kept(rig);
    if (!agrees)
        memcpy(said, rig->said, 1024);
    run_rig_free(rig);
    return agrees;
}

static bool chunks(struct random_bytes bytes, struct jitvm_chunk **fused,
                   struct jitvm_chunk **plain, char said[1024])
{
    struct jitvm_error err = {0};
    *fused = *plain = NULL;
    if (random_chunk(bytes, true, fused, &err) == 0 && random_chunk(bytes, false, plain, &err) == 0)
        return true;
    (void)snprintf(said, 1024, "no chunk: %s", err.message);
    jitvm_chunk_unref(*fused);
    return false;
}

bool random_chunk_agrees(struct random_bytes bytes, char said[1024])
{
    struct jitvm_chunk *fused, *plain;
    struct run_rig rig;
    if (!chunks(bytes, &fused, &plain, said))
        return false;
    /* The arguments are told by the last bytes: what shapes the program has come before. */
    /* A text of arrays that share levels is as long as the heap allows, and one op: little of both.
     */
    struct jitvm_limits limits = {100 + (uint64_t)random_byte(&bytes) * 4, 1 << 14, 30};
    bool ended_well = true;
    if (!run_rig_init(&rig, jitvm_chunk_ref(fused), &limits, NULL) ||
        !run(&rig, bytes, &limits, &ended_well, said)) {
        jitvm_chunk_unref(fused);
        jitvm_chunk_unref(plain);
        return false;
    }
    if (!ended_well) {
        jitvm_chunk_unref(fused);
        jitvm_chunk_unref(plain);
        return true;
    }
    limits.fuel = JITVM_FUEL_UNLIMITED;
    return run_rig_init_pair(&rig, fused, plain, &limits) &&
           run(&rig, bytes, &limits, &ended_well, said);
}
