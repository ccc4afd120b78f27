/* SPDX-License-Identifier: Apache-2.0 */
/* Times, measured and put in order. Nanoseconds. */
#ifndef JITVM_CLI_TIMING_H
#define JITVM_CLI_TIMING_H

#include <stddef.h>
#include <stdint.h>

uint64_t timing_now(void); /* monotonic */

/* Puts them in rising order. */
void timing_sort(uint64_t *ns, size_t count);

/* Of times in order: the middle one, or the mean of the two in the middle; 0 of none. */
uint64_t timing_median(const uint64_t *ns, size_t count);

#endif
