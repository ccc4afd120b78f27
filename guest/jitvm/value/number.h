/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as text, and the arithmetic that all tiers share. Nothing here depends on the locale. */
#ifndef JITVM_VALUE_NUMBER_H
#define JITVM_VALUE_NUMBER_H

#include "guest/jitvm/jitvm.h"

#define NUMBER_TEXT_MAX 40

/* The shortest text that reads back as the same number: "0.1", "1e+300", "1e-5", "inf", "nan"; a
 * float without a fraction below 1e16 prints as "3.0", and so does "-0.0". With an exponent from
 * 1e16 on and below 1e-4. Returns the length; no 0 at the end. */
size_t number_format_float(double f, char out[NUMBER_TEXT_MAX]);
size_t number_format_int(int64_t i, char out[NUMBER_TEXT_MAX]);

/* The whole of `text` must be a number, blanks around it allowed; otherwise false. An integer
 * outside int64_t is not one, but is a float. Floats: digits, '.', exponent, "inf", "nan", a sign;
 * no hexadecimal. */
bool number_parse_int(const char *text, size_t len, int64_t *out);
bool number_parse_float(const char *text, size_t len, double *out);

/* Of a digit up to 'f' or 'F', its value; -1: no such digit. */
static inline int number_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Toward zero; saturates; NaN gives 0. */
int64_t number_float_to_int(double f);

/* The one NaN there is. Everything that makes a float that may be a NaN goes through here. */
#define NUMBER_NAN_BITS UINT64_C(0x7ff8000000000000)
static inline double number_canonical(double f)
{
    union {
        uint64_t bits;
        double f;
    } nan = {.bits = NUMBER_NAN_BITS};
    return f == f ? f : nan.f;
}

/* Two's complement, wrapping; a divisor of 0 gives 0 for the remainder, and the caller has undef
 * for the quotient. INT64_MIN by -1: INT64_MIN and 0. */
int64_t number_int_div(int64_t a, int64_t b);
int64_t number_int_mod(int64_t a, int64_t b);

/* fmod, pow: one function for every tier, the compiler folds neither. Canonical. */
double number_float_mod(double a, double b);
double number_pow(double a, double b);

#endif
