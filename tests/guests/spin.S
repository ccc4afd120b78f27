/* SPDX-License-Identifier: Apache-2.0 */
/* Runs for ever. */
#include "guest.h"

    .global _start
_start:
1:  jmp 1b
