/* SPDX-License-Identifier: Apache-2.0 */
/* tmpcopyup: a new tmpfs starts with what the directory below it holds. */
#ifndef THAW_INIT_COPYUP_H
#define THAW_INIT_COPYUP_H

#include "guest/init-oci/failure.h"

/* Copies everything below the directory `from` into the directory `to`, with owners, modes and
 * modification times; symlinks and device nodes stay what they are. Both are open for reading
 * and stay open. */
int copyup(int from, int to, struct failure *failure);

#endif
