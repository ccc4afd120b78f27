/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and texts as people read them. */
#ifndef THAW_TESTS_BENCH_TEXT_H
#define THAW_TESTS_BENCH_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TEXT_NUMBER_MAX 40
#define TEXT_AXIS_MAX   320

/* Three digits that count, groups of three apart: 0.0668, 2.36, 18.2, 512, 4 327 224. Returns
 * `out`. */
const char *text_number(double value, char out[TEXT_NUMBER_MAX]);

/* A ratio, where the third decimal place is what goals are about: 0.853, 1.151, 12.3. */
const char *text_ratio(double value, char out[TEXT_NUMBER_MAX]);

/* Just as many digits as it has, up to six: for goals and the numbers of an axis. */
const char *text_exact(double value, char out[TEXT_NUMBER_MAX]);

/* The text as HTML, in an element or in an attribute. What HTML cannot hold becomes U+FFFD. */
void text_escape(FILE *out, const char *text);

/* Characters of UTF-8, of which a terminal needs one cell each. */
size_t text_length(const char *text);

/* Exactly `cells` characters: cut with "..." or filled with spaces, at the left when `right`.
 * What a terminal would obey becomes `?`. */
void text_cell(FILE *out, const char *text, size_t cells, bool right);

/* About how wide the text is in a sans-serif type of `size`; rather too much than too little. */
double text_width(const char *text, double size);

/* The text in `out`, with an ellipsis where it is cut to be at most `width` wide. */
void text_fit(const char *text, double size, double width, char *out, size_t out_size);

/* "load, ms": what an axis shows. */
void text_axis(const char *what, const char *unit, bool logarithmic, char out[TEXT_AXIS_MAX]);

#endif
