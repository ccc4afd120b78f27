/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays from malloc that grow: all but what counts as a VM's heap. */
#ifndef JITVM_VALUE_GROW_H
#define JITVM_VALUE_GROW_H

#include <stdlib.h>

#include "guest/jitvm/jitvm.h"

/* Makes room for `need` elements of `size` bytes in the malloc block `array`, which has room for
 * *room of them. Gives the block, perhaps moved; NULL without memory, and the old one is as it was.
 */
static inline void *grow(void *array, size_t *room, size_t need, size_t size)
{
    if (need <= *room && array)
        return array;
    size_t wanted = *room < 8 ? 8 : *room;
    while (wanted < need) {
        if (wanted > SIZE_MAX / 2 / size)
            return NULL;
        wanted *= 2;
    }
    void *moved = realloc(array, wanted * size);
    if (moved)
        *room = wanted;
    return moved;
}

#endif
