/* SPDX-License-Identifier: Apache-2.0 */
/* The report as one page that needs nothing but itself. */
#ifndef THAW_TESTS_BENCH_HTML_H
#define THAW_TESTS_BENCH_HTML_H

#include "tests/bench/results.h"

#include <stdio.h>

/* The caller looks whether all could be written. */
void html_write(FILE *out, const struct results *results);

/* The style sheet of the page. */
extern const char html_style[];

#endif
