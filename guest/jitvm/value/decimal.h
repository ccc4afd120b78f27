/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between doubles and decimal digits, exactly, by integers of many words: what number.c falls back
 * on when a number is neither short nor plain. Knows no locale and no text.
 */
#ifndef JITVM_VALUE_DECIMAL_H
#define JITVM_VALUE_DECIMAL_H

#include <stdint.h>

#define DECIMAL_SHORTEST_MAX 17 /* digits that tell any two doubles apart */
/* Enough to decide every tie between two doubles; further ones only matter by not being all 0. */
#define DECIMAL_EXACT_MAX 770

/* The fewest digits ('0' to '9', the first not '0') that only `f` is nearest to, and of those the
 * ones nearest to it: f = 0.DIGITS * 10^*point. `f` is finite and above 0. Returns their number. */
unsigned decimal_shortest(double f, char digits[DECIMAL_SHORTEST_MAX], int *point);

/* The double nearest to 0.DIGITS * 10^point, ties to even; infinity above the largest. `count` is
 * at most DECIMAL_EXACT_MAX + 1; the first digit is not '0'. */
double decimal_to_double(const char *digits, unsigned count, int64_t point);

#endif
