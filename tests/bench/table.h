/* SPDX-License-Identifier: Apache-2.0 */
/* The report for a terminal: at most 100 columns. */
#ifndef THAW_TESTS_BENCH_TABLE_H
#define THAW_TESTS_BENCH_TABLE_H

#include "tests/bench/results.h"

#include <stdio.h>

void table_write(FILE *out, const struct results *results);

#endif
