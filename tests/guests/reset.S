/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the keyboard controller for a reset. */
#include "guest.h"

    .global _start
_start:
    out8 I8042, 0xfe
1:  jmp 1b
