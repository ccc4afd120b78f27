/* SPDX-License-Identifier: Apache-2.0 */
/* Shuts down with status 42. */
#include "guest.h"

    .global _start
_start:
    shut_down 42
