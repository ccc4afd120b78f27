/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a line and shuts down with status 0. */
#include "guest.h"

    .global _start
_start:
    print CONSOLE, "hello from a freestanding guest\n"
    shut_down 0
