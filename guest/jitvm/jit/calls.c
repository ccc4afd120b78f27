/* SPDX-License-Identifier: Apache-2.0 */
/* Links: one slot of the table for each callee and signature that compiled code calls. */
#include "guest/jitvm/jit/calls.h"

#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/jit/internal.h"

kind_set calls_result(const struct flow *f, uint32_t function)
{
    const struct vm_function *callee = &f->vm->functions[function];
    const struct jit_code *code = callee->jit;
    kind_set seen = callee->result_kinds & KINDS_ALL;
    /* What it gives is about to be deduced. What was seen says more only when that went wrong. */
    if (callee == f->function && !f->is_loop)
        return f->result | (code && code->compilations ? seen : 0);
    kind_set deduced = code && code->current ? code->current->result : 0;
    return deduced && !code->exits ? deduced : deduced | seen;
}

/* ---- signatures ------------------------------------------------------------------------------ */

static bool accepts(const kind_set *signature, const kind_set *kinds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (kinds_single(signature[i]) && signature[i] != kinds[i])
            return false;
    return true;
}

static const kind_set *signature_for(const struct flow *f, const struct vm_function *callee,
                                     const kind_set *kinds)
{
    if (callee == f->function && !f->is_loop)
        return accepts(f->args, kinds, callee->arity) ? f->args : NULL;
    const struct jit_version *version = callee->jit ? callee->jit->current : NULL;
    return version && accepts(version->args, kinds, callee->arity) ? version->args : NULL;
}

/* ---- the table ------------------------------------------------------------------------------- */

static bool same(const struct jit_link *link, uint32_t function, const kind_set *args,
                 unsigned count)
{
    return link->function == function && memcmp(link->args, args, count * sizeof *args) == 0;
}

static bool grow(struct jitvm *vm, struct jit *jit)
{
    if (jit->link_count < jit->link_room)
        return true;
    uint32_t room = jit->link_room ? jit->link_room * 2 : 64;
    struct jit_link *link = realloc(jit->link, room * sizeof *link);
    if (link)
        jit->link = link;
    const void **links = realloc(jit->links, (JIT_HELPERS + room) * sizeof *links);
    if (links)
        vm->links = jit->links = links;
    if (!link || !links)
        return false;
    jit->link_room = room;
    return true;
}

static uint32_t add_link(struct jitvm *vm, uint32_t function, const kind_set *args, unsigned count)
{
    struct jit *jit = vm->jit;
    kind_set *copy = malloc((count + 1) * sizeof *copy);
    if (!copy || !grow(vm, jit)) {
        free(copy);
        return UINT32_MAX;
    }
    memcpy(copy, args, count * sizeof *copy);
    uint32_t slot = JIT_HELPERS + jit->link_count;
    jit->link[jit->link_count++] = (struct jit_link){.function = function, .args = copy};
    const struct jit_code *code = vm->functions[function].jit;
    const struct jit_version *version = code ? code->current : NULL;
    jit->links[slot] = jit->links[JIT_DO_ADAPT];
    if (version && memcmp(version->args, args, count * sizeof *args) == 0)
        jit->links[slot] = version->start + version->typed;
    return slot;
}

uint32_t calls_link(const struct flow *f, uint32_t function, const kind_set *kinds,
                    kind_set *passed)
{
    const struct vm_function *callee = &f->vm->functions[function];
    const kind_set *signature = signature_for(f, callee, kinds);
    for (unsigned i = 0; i < callee->arity; i++)
        passed[i] = signature ? signature[i] : kinds_single(kinds[i]) ? kinds[i] : KINDS_ALL;
    const struct jit *jit = f->vm->jit;
    for (uint32_t i = 0; i < jit->link_count; i++)
        if (same(&jit->link[i], function, passed, callee->arity))
            return JIT_HELPERS + i;
    return add_link(f->vm, function, passed, callee->arity);
}

void calls_publish(struct jitvm *vm, const struct jit_version *version)
{
    const struct vm_function *function = version->code->function;
    for (uint32_t i = 0; i < vm->jit->link_count; i++)
        if (same(&vm->jit->link[i], function->index, version->args, function->arity))
            vm->jit->links[JIT_HELPERS + i] = version->start + version->typed;
}

void calls_free(struct jit *jit)
{
    for (uint32_t i = 0; i < jit->link_count; i++)
        free(jit->link[i].args);
    free(jit->link);
    free(jit->links);
}
