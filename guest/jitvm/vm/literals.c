/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/jitvm/vm/literals.h"

#include <stdlib.h>

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
    if (vm->literal_count == vm->literal_room) {
        uint32_t room = vm->literal_room ? vm->literal_room * 2 : 32;
        struct jitvm_value *more = realloc(vm->literals, room * sizeof *more);
        if (!more)
            return -1;
        vm->literals = more;
        vm->literal_room = room;
    }
    vm->literals[vm->literal_count] = v;
    *index = vm->literal_count++;
    return 0;
}

void literals_free(struct jitvm *vm)
{
    free(vm->literals);
    vm->literals = NULL;
    vm->literal_count = vm->literal_room = 0;
}
