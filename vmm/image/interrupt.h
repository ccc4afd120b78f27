/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGINT, SIGTERM and SIGHUP are blocked and asked for between steps: so there is no handler, and
 * what is half done is removed on the same path as after any other failure.
 */
#ifndef THAW_IMAGE_INTERRUPT_H
#define THAW_IMAGE_INTERRUPT_H

#include "vmm/base/error.h"

#include <signal.h>

/* The signals, as a set. */
void interrupt_set(sigset_t *set);

/* Blocks them, for this process and those that it starts. */
void interrupt_block(void);

/* -ECANCELED (THAW_FAIL_INTERRUPTED) when one of them has come, which it takes; else 0. */
int interrupt_check(struct thaw_error *err);

#endif
