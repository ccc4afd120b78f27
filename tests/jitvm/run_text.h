/* SPDX-License-Identifier: Apache-2.0 */
/* A program in .jasm or .jv, in a VM per tier, for tests. */
#ifndef TESTS_JITVM_RUN_TEXT_H
#define TESTS_JITVM_RUN_TEXT_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/jitvm/run_rig.h"

static inline struct jitvm_chunk *chunk_in(const char *text)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err = {0};
    cr_assert_eq(jitvm_assemble("test", text, strlen(text), &chunk, &err), 0, "line %u: %s\n%s",
                 err.line, err.message, text);
    return chunk;
}

static inline void rig_begin(struct run_rig *rig, const char *text, run_prepare_fn prepare)
{
    cr_assert(run_rig_init(rig, chunk_in(text), &run_no_limits, prepare), "%s", rig->said);
}

/* Of the language, with calls nested so deep. */
static inline struct run_rig rig_of(const char *text, uint32_t depth, run_prepare_fn prepare)
{
    struct jitvm_limits limits = run_no_limits;
    limits.depth = depth;
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err = {0};
    struct run_rig rig;
    cr_assert_eq(jitvm_compile("test", text, strlen(text), &chunk, &err), 0, "%s at %u",
                 err.message, err.line);
    cr_assert(run_rig_init(&rig, chunk, &limits, prepare), "%s", rig.said);
    return rig;
}

/* In all tiers, with arguments that need no heap; then they agree. */
static inline int rig_call(struct run_rig *rig, const char *function,
                           const struct jitvm_value *args, unsigned count)
{
    struct jitvm_value all[RUN_TIERS * 8];
    for (unsigned i = 0; i < RUN_TIERS * count; i++)
        all[i] = args[i % count];
    bool same = run_rig_call(rig, function, all, count);
    cr_assert(same, "%s", rig->said);
    return rig->vms[0].seen.rc;
}

static inline struct run_rig rig_with(const char *text, run_prepare_fn prepare)
{
    return rig_of(text, run_no_limits.depth, prepare);
}

static inline void rig_call_int(struct run_rig *rig, const char *function, int64_t i)
{
    const struct jitvm_value arg = jitvm_int(i);
    (void)rig_call(rig, function, &arg, 1);
}

/* What the last call gave, as .jv has it, is this. */
static inline void rig_gave(const struct run_rig *rig, const char *want)
{
    const struct run_seen *seen = &rig->vms[0].seen;
    cr_assert_eq(seen->rc, 0, "%s", seen->err.message);
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    cr_assert(to);
    (void)value_print(to, seen->value);
    (void)fclose(to);
    cr_assert_str_eq(text, want, "%s, not %s", text, want);
    free(text);
}

/* The last call failed with this, and so many activations. */
static inline void rig_failed(const struct run_rig *rig, enum jitvm_status status,
                              const char *message, unsigned depth)
{
    const struct run_seen *seen = &rig->vms[0].seen;
    cr_assert_eq((int)seen->rc, (int)status, "%s", seen->err.message);
    cr_assert_str_eq(seen->err.message, message, "%s", seen->err.message);
    cr_assert_eq(seen->err.depth, depth, "%u activations", seen->err.depth);
}

#endif
