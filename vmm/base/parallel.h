/* SPDX-License-Identifier: Apache-2.0 */
/* Work that falls into pieces, on several threads: what looks at all of a guest's memory. */
#ifndef THAW_BASE_PARALLEL_H
#define THAW_BASE_PARALLEL_H

#include "vmm/base/error.h"

#include <stdint.h>

/* More do not help: it is memory that is waited for. */
#define PARALLEL_THREADS_MAX 8u

/* One piece. `thread` is below PARALLEL_THREADS_MAX, 0 for the caller's own: no two pieces with the
 * same one are at work at a time. 0, or a negative errno with `err` filled. */
typedef int parallel_work(void *ctx, unsigned thread, uint64_t piece, struct thaw_error *err);

/*
 * Does the pieces 0 to count-1, begun in this order, on the caller's thread and as many others as
 * there are processors for it; where no others can be had, alone. Returns when all are done, or
 * after a failure those that were begun: then with the error of the lowest that failed.
 */
int parallel_for(uint64_t count, parallel_work *work, void *ctx, struct thaw_error *err);

#endif
