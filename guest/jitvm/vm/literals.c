/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/jitvm/vm/literals.h"

#include "guest/jitvm/value/grow.h"

/* Code uses again what it used shortly before; further back a second copy does no harm. */
#define LITERALS_LOOK_BACK 64

static bool literal_is(struct jitvm_value a, struct jitvm_value b)
{
    return a.kind == b.kind && a.as.i == b.as.i;
}

int literals_add(struct jitvm *vm, struct jitvm_value v, uint32_t *index)
{
    uint32_t first =
        vm->literal_count > LITERALS_LOOK_BACK ? vm->literal_count - LITERALS_LOOK_BACK : 0;
    for (uint32_t i = first; i < vm->literal_count; i++)
        if (literal_is(vm->literals[i], v)) {
            *index = i;
            return 0;
        }
    struct jitvm_value *literals =
        grow(vm->literals, &vm->literal_room, (size_t)vm->literal_count + 1, sizeof *literals);
    if (!literals)
        return -1;
    vm->literals = literals;
    vm->literals[vm->literal_count] = v;
    *index = vm->literal_count++;
    return 0;
}

void literals_free(struct jitvm *vm)
{
    free(vm->literals);
    vm->literals = NULL;
    vm->literal_count = 0;
    vm->literal_room = 0;
}
