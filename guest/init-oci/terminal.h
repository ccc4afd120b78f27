/* SPDX-License-Identifier: Apache-2.0 */
/* The workload's pty, from the workload's own devpts: inside, it is /dev/pts/0. */
#ifndef THAW_INIT_TERMINAL_H
#define THAW_INIT_TERMINAL_H

#include "guest/init-oci/failure.h"

#include <stdint.h>

/* For the workload's child, a session leader, in its new root: opens a pty, makes it the
 * controlling terminal, the standard streams and /dev/console, and gives it to `uid`. Returns the
 * master's descriptor, the caller's, or a negative errno. */
int terminal_open(uint32_t uid, struct failure *failure);

#endif
