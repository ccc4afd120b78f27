/* SPDX-License-Identifier: Apache-2.0 */
/* An undefined instruction with no IDT: a triple fault. */
#include "guest.h"

    .global _start
_start:
    ud2
