/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as text, and the arithmetic that all tiers share. See number.h. */
#include "guest/jitvm/value/number.h"

#include "guest/jitvm/value/decimal.h"

#include <math.h>
#include <string.h>

/* ---- to text -------------------------------------------------------------------------------- */

static size_t put(char *out, size_t at, const char *text, size_t len)
{
    memcpy(out + at, text, len);
    return at + len;
}

static size_t put_zeros(char *out, size_t at, size_t count)
{
    memset(out + at, '0', count);
    return at + count;
}

static size_t put_unsigned(char *out, size_t at, uint64_t n)
{
    char digits[20];
    size_t first = sizeof digits;
    do {
        digits[--first] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    return put(out, at, digits + first, sizeof digits - first);
}

size_t number_format_int(int64_t i, char out[NUMBER_TEXT_MAX])
{
    size_t at = 0;
    if (i < 0)
        out[at++] = '-';
    return put_unsigned(out, at, i < 0 ? -(uint64_t)i : (uint64_t)i);
}

/* 0.DIGITS * 10^point, in the range that is written without an exponent. */
static size_t put_plain(char *out, size_t at, const char *digits, size_t count, int point)
{
    if (point <= 0) {
        at = put(out, at, "0.", 2);
        at = put_zeros(out, at, (size_t)-point);
        return put(out, at, digits, count);
    }
    size_t whole = (size_t)point;
    if (whole >= count) {
        at = put(out, at, digits, count);
        at = put_zeros(out, at, whole - count);
        return put(out, at, ".0", 2);
    }
    at = put(out, at, digits, whole);
    out[at++] = '.';
    return put(out, at, digits + whole, count - whole);
}

static size_t put_scientific(char *out, size_t at, const char *digits, size_t count, int point)
{
    int exponent = point - 1;
    out[at++] = digits[0];
    if (count > 1) {
        out[at++] = '.';
        at = put(out, at, digits + 1, count - 1);
    }
    at = put(out, at, exponent < 0 ? "e-" : "e+", 2);
    return put_unsigned(out, at, exponent < 0 ? (uint64_t)-exponent : (uint64_t)exponent);
}

#define SHORT_LIMIT 1e15

/* A number of at most 15 digits is its double's shortest form, and multiplying the double by a
 * power of 10 is off by less than a half: the first power at which dividing leads back is it. */
static unsigned short_digits(double f, char digits[DECIMAL_SHORTEST_MAX], int *point)
{
    double power = 1;
    for (int places = 0; places <= 19; places++, power *= 10) {
        double scaled = f * power;
        if (scaled >= SHORT_LIMIT)
            return 0;
        uint64_t n = (uint64_t)(scaled + 0.5);
        if ((double)n / power == f) {
            unsigned count = (unsigned)put_unsigned(digits, 0, n);
            *point = (int)count - places;
            return count;
        }
    }
    return 0;
}

static size_t put_positive(char *out, size_t at, double f)
{
    char digits[DECIMAL_SHORTEST_MAX];
    int point;
    unsigned count = f >= 1e-5 && f < SHORT_LIMIT ? short_digits(f, digits, &point) : 0;
    if (!count)
        count = decimal_shortest(f, digits, &point);
    if (point > -4 && point <= 16)
        return put_plain(out, at, digits, count, point);
    return put_scientific(out, at, digits, count, point);
}

size_t number_format_float(double f, char out[NUMBER_TEXT_MAX])
{
    size_t at = 0;
    if (f != f)
        return put(out, at, "nan", 3);
    if (signbit(f))
        out[at++] = '-';
    f = fabs(f);
    if (f == 0)
        return put(out, at, "0.0", 3);
    if (isinf(f))
        return put(out, at, "inf", 3);
    return put_positive(out, at, f);
}

/* ---- from text ------------------------------------------------------------------------------ */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

struct text {
    const char *at, *end;
};

static struct text trimmed(const char *text, size_t len)
{
    struct text t = {text, text + len};
    while (t.at < t.end && is_blank(*t.at))
        t.at++;
    while (t.at < t.end && is_blank(t.end[-1]))
        t.end--;
    return t;
}

static bool take_minus(struct text *t)
{
    bool minus = t->at < t->end && *t->at == '-';
    if (minus || (t->at < t->end && *t->at == '+'))
        t->at++;
    return minus;
}

bool number_parse_int(const char *text, size_t len, int64_t *out)
{
    struct text t = trimmed(text, len);
    bool minus = take_minus(&t);
    uint64_t n = 0, most = (uint64_t)INT64_MAX + minus;
    if (t.at == t.end)
        return false;
    for (; t.at < t.end; t.at++) {
        if (!is_digit(*t.at))
            return false;
        uint64_t digit = (uint64_t)(*t.at - '0');
        if (n > (most - digit) / 10)
            return false;
        n = 10 * n + digit;
    }
    *out = (int64_t)(minus ? -n : n);
    return true;
}

struct digits {
    char digit[DECIMAL_EXACT_MAX + 1]; /* from the first that is not 0 */
    unsigned count;
    bool any;      /* digits, be they 0 */
    bool dropped;  /* some that are not 0 did not fit */
    int64_t point; /* 0.DIGITS * 10^point */
};

static void add_digit(struct digits *d, char digit, bool fraction)
{
    d->any = true;
    bool leading = d->count == 0 && digit == '0';
    if (!leading && d->count < DECIMAL_EXACT_MAX)
        d->digit[d->count++] = digit;
    else if (digit != '0')
        d->dropped = true;
    if (!fraction && !leading)
        d->point++;
    else if (fraction && leading)
        d->point--;
}

static void take_digits(struct text *t, struct digits *d)
{
    for (bool fraction = false; t->at < t->end; t->at++) {
        if (is_digit(*t->at))
            add_digit(d, *t->at, fraction);
        else if (*t->at == '.' && !fraction)
            fraction = true;
        else
            return;
    }
}

/* Larger than any text can be long, so that no digits make up for it. */
#define EXPONENT_MAX ((int64_t)1 << 50)

static bool take_exponent(struct text *t, int64_t *exponent)
{
    if (t->at == t->end || (*t->at != 'e' && *t->at != 'E'))
        return true;
    t->at++;
    bool minus = take_minus(t);
    if (t->at == t->end || !is_digit(*t->at))
        return false;
    for (; t->at < t->end && is_digit(*t->at); t->at++) {
        if (*exponent < EXPONENT_MAX)
            *exponent = 10 * *exponent + (*t->at - '0');
    }
    if (minus)
        *exponent = -*exponent;
    return true;
}

static bool is_word(struct text t, const char *word)
{
    return t.end - t.at == 3 && memcmp(t.at, word, 3) == 0;
}

static bool parse_magnitude(struct text t, double *out)
{
    if (is_word(t, "inf") || is_word(t, "nan")) {
        *out = *t.at == 'i' ? HUGE_VAL : number_canonical(NAN);
        return true;
    }
    struct digits d = {.count = 0};
    int64_t exponent = 0;
    take_digits(&t, &d);
    if (!d.any || !take_exponent(&t, &exponent) || t.at != t.end)
        return false;
    if (d.dropped)
        d.digit[d.count++] = '1';
    *out = d.count ? decimal_to_double(d.digit, d.count, d.point + exponent) : 0.0;
    return true;
}

bool number_parse_float(const char *text, size_t len, double *out)
{
    struct text t = trimmed(text, len);
    bool minus = take_minus(&t);
    double f;
    if (!parse_magnitude(t, &f))
        return false;
    *out = number_canonical(minus ? -f : f);
    return true;
}

/* ---- arithmetic ----------------------------------------------------------------------------- */

int64_t number_float_to_int(double f)
{
    if (f >= 0x1p63)
        return INT64_MAX;
    if (f < -0x1p63)
        return INT64_MIN;
    return f == f ? (int64_t)f : 0;
}

int64_t number_int_div(int64_t a, int64_t b)
{
    if (b == -1)
        return (int64_t) - (uint64_t)a;
    return b ? a / b : 0;
}

int64_t number_int_mod(int64_t a, int64_t b)
{
    return b == 0 || b == -1 ? 0 : a % b;
}

double number_float_mod(double a, double b)
{
    return number_canonical(fmod(a, b));
}

double number_pow(double a, double b)
{
    return number_canonical(pow(a, b));
}
