/* SPDX-License-Identifier: Apache-2.0 */
/* Exits of compiled code: what they have to restore, and when there were too many of them. */
#include <stdlib.h>

#include "guest/jitvm/jit/internal.h"
#include "guest/jitvm/value/grow.h"

/* After so many compilations no more guesses are made. */
#define COMPILATIONS_MAX 5u

/* A share of the exits that one instruction must have for its guess to be given up. */
#define SLOW_SHARE 4u

uint32_t exits_add(struct jit_version *version, uint32_t insn, uint32_t at)
{
    struct jit_exit *exits =
        grow(version->exits, &version->exit_room, (size_t)version->exit_count + 1, sizeof *exits);
    if (!exits)
        return UINT32_MAX;
    version->exits = exits;
    version->exits[version->exit_count] =
        (struct jit_exit){.insn = insn, .first = version->restore_count, .at = at};
    return version->exit_count++;
}

int exits_restore(struct jit_version *version, struct jit_restore restore)
{
    if (!version->exit_count)
        return -1;
    struct jit_restore *restores = grow(version->restores, &version->restore_room,
                                        (size_t)version->restore_count + 1, sizeof *restores);
    if (!restores)
        return -1;
    version->restores = restores;
    version->restores[version->restore_count++] = restore;
    version->exits[version->exit_count - 1].count++;
    return 0;
}

/* Exits of an operation that was tried and failed, not of one that had never run, mean that its
 * guess is wrong too often. */
static void give_up_guesses(struct jit_code *code, const struct jit_version *version,
                            uint32_t limit)
{
    if (!code->slow)
        code->slow = calloc(code->function->code->count, 1);
    if (!code->slow)
        return;
    for (uint32_t i = 0; i < version->exit_count; i++) {
        const struct jit_exit *exit = &version->exits[i];
        if (exit->taken > limit / SLOW_SHARE && exit->unseen == false)
            code->slow[exit->at] = 1;
    }
}

static void forget_loop(struct jit_code *code, const struct jit_version *version)
{
    struct jit_version **at = &code->loops;
    while (*at && *at != version)
        at = &(*at)->next_loop;
    if (*at)
        *at = version->next_loop;
}

void exits_count(struct jitvm *vm, struct jit_version *version, struct jit_exit *exit)
{
    struct jit_code *code = version->code;
    uint32_t limit = vm->config.trace.max_side_exits;
    exit->taken++;
    code->exits++;
    if (++version->exits_taken <= limit || version->given_up)
        return;
    version->given_up = true;
    if (version->is_loop) {
        give_up_guesses(code, version, limit);
        forget_loop(code, version);
        return;
    }
    if (version != code->current || code->refused || code->compilations > COMPILATIONS_MAX)
        return;
    give_up_guesses(code, version, limit);
    code->generic = code->compilations == COMPILATIONS_MAX;
    jit_compile(vm, code);
}

void exits_dump(const struct jit_version *version, FILE *to)
{
    for (uint32_t i = 0; i < version->exit_count; i++) {
        const struct jit_exit *exit = &version->exits[i];
        fprintf(to, "  exit %u of %u to %u:", i, exit->at, exit->insn);
        for (uint32_t k = 0; k < exit->count; k++) {
            const struct jit_restore *r = &version->restores[exit->first + k];
            fprintf(to, " r%u=%s@%d", r->reg, value_kind_name(r->kind), r->place);
        }
        fputc('\n', to);
    }
}
