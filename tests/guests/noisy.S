/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the console for an interrupt whenever it can take a byte, never looks at that interrupt, and
 * prints for ever: the port always has something in flight. */
#include "guest.h"

#define IER_THRE 2

    .global _start
_start:
    out8 CONSOLE + 1, IER_THRE
1:  out8 CONSOLE, 0x78
    jmp 1b
