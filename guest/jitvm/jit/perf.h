/* SPDX-License-Identifier: Apache-2.0 */
/* Names of compiled functions for perf(1), in /tmp/perf-PID.map (JITVM_DEBUG_PERF). */
#ifndef JITVM_JIT_PERF_H
#define JITVM_JIT_PERF_H

#include <stddef.h>

/* Appends a line for code at its final place. Nothing is kept open, so it is right after a fork
 * too. 0, or JITVM_ERR_IO: the file cannot be made, is a link, or is another user's. */
int jit_perf_add(const void *code, size_t len, const char *name);

#endif
