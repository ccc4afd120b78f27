/* SPDX-License-Identifier: Apache-2.0 */
/* Digits to doubles and back, see decimal.h. Both ways are the plain ones, by whole numbers: the
 * free-format printing of Steele and White, and long division. */
#include "guest/jitvm/value/decimal.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* ---- whole numbers of many words ------------------------------------------------------------ */

/* The most there can be: 10^1100 (771 digits, the last at 10^-1094), a word more for shifting. */
#define BIG_WORDS 120

struct big {
    unsigned len; /* words; the last is not 0 */
    uint32_t word[BIG_WORDS];
};

static void big_set(struct big *big, uint64_t n)
{
    big->word[0] = (uint32_t)n;
    big->word[1] = (uint32_t)(n >> 32);
    big->len = n >> 32 ? 2 : n ? 1 : 0;
}

static void big_copy(struct big *to, const struct big *from)
{
    to->len = from->len;
    memcpy(to->word, from->word, from->len * sizeof from->word[0]);
}

static void big_multiply_add(struct big *big, uint32_t factor, uint32_t add)
{
    uint64_t carry = add;
    for (unsigned i = 0; i < big->len; i++) {
        carry += (uint64_t)big->word[i] * factor;
        big->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry)
        big->word[big->len++] = (uint32_t)carry;
}

static void big_shift_left(struct big *big, unsigned bits)
{
    unsigned words = bits / 32, rest = bits % 32;
    if (!big->len)
        return;
    if (words) {
        memmove(big->word + words, big->word, big->len * sizeof big->word[0]);
        memset(big->word, 0, words * sizeof big->word[0]);
        big->len += words;
    }
    if (rest)
        big_multiply_add(big, UINT32_C(1) << rest, 0);
}

static void big_times_power_of_10(struct big *big, unsigned power)
{
    unsigned left = power;
    for (; left >= 13; left -= 13)
        big_multiply_add(big, UINT32_C(1220703125), 0); /* 5^13: the last below 2^32 */
    while (left--)
        big_multiply_add(big, 5, 0);
    big_shift_left(big, power);
}

static unsigned big_bits(const struct big *big)
{
    if (!big->len)
        return 0;
    return 32 * big->len - (unsigned)__builtin_clz(big->word[big->len - 1]);
}

static int big_compare(const struct big *a, const struct big *b)
{
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    for (unsigned i = a->len; i-- > 0;) {
        if (a->word[i] != b->word[i])
            return a->word[i] < b->word[i] ? -1 : 1;
    }
    return 0;
}

/* a -= b, which is not larger. */
static void big_subtract(struct big *a, const struct big *b)
{
    uint64_t borrow = 0;
    for (unsigned i = 0; i < a->len; i++) {
        uint64_t less = (i < b->len ? b->word[i] : 0) + borrow;
        borrow = a->word[i] < less;
        a->word[i] = (uint32_t)(a->word[i] - less);
    }
    while (a->len && !a->word[a->len - 1])
        a->len--;
}

/* Is a + b above c, or the same where `or_same`? */
static bool big_sum_above(const struct big *a, const struct big *b, const struct big *c,
                          bool or_same)
{
    struct big left;
    if (big_compare(a, c) > 0)
        return true;
    big_copy(&left, c);
    big_subtract(&left, a);
    int order = big_compare(b, &left);
    return order > 0 || (or_same && order == 0);
}

/* ---- doubles to digits ---------------------------------------------------------------------- */

static uint64_t double_bits(double f)
{
    uint64_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static double double_of_bits(uint64_t bits)
{
    double f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* f = rest / scale; what rounds to f lies from rest - below to rest + above. */
struct printing {
    struct big rest, scale, below, above;
    bool even; /* the ends of that range belong to f */
};

static void printing_times_10(struct printing *p)
{
    big_multiply_add(&p->rest, 10, 0);
    big_multiply_add(&p->below, 10, 0);
    big_multiply_add(&p->above, 10, 0);
}

/* f = mantissa * 2^exponent. */
static void printing_init(struct printing *p, uint64_t mantissa, int exponent, bool narrow_below)
{
    unsigned up = exponent > 0 ? (unsigned)exponent : 0;
    unsigned down = exponent < 0 ? (unsigned)-exponent : 0;
    p->even = !(mantissa & 1);
    big_set(&p->rest, mantissa);
    big_set(&p->scale, 1);
    big_set(&p->below, 1);
    big_set(&p->above, narrow_below ? 2 : 1);
    /* Halves of the distance to the neighbours are to be whole, quarters for the near one. */
    big_shift_left(&p->rest, up + 1 + narrow_below);
    big_shift_left(&p->scale, down + 1 + narrow_below);
    big_shift_left(&p->below, up);
    big_shift_left(&p->above, up);
}

/* Brings it to 0.1 <= rest / scale < 1, as seen from the upper end of the range. */
static int printing_scale(struct printing *p, int top_bit)
{
    /* floor(top_bit * log10(2)) + 1: the power or one below it. */
    int point = (int)(((int64_t)top_bit * 78913) >> 18) + 1;
    if (point >= 0) {
        big_times_power_of_10(&p->scale, (unsigned)point);
    } else {
        big_times_power_of_10(&p->rest, (unsigned)-point);
        big_times_power_of_10(&p->below, (unsigned)-point);
        big_times_power_of_10(&p->above, (unsigned)-point);
    }
    if (!big_sum_above(&p->rest, &p->above, &p->scale, p->even))
        return point;
    big_multiply_add(&p->scale, 10, 0);
    return point + 1;
}

static unsigned printing_digit(struct printing *p)
{
    unsigned digit = 0;
    printing_times_10(p);
    for (; big_compare(&p->rest, &p->scale) >= 0; digit++)
        big_subtract(&p->rest, &p->scale);
    return digit;
}

static unsigned print_digits(struct printing *p, char *digits)
{
    for (unsigned count = 0;;) {
        unsigned digit = printing_digit(p);
        int order = big_compare(&p->rest, &p->below);
        bool low = order < 0 || (p->even && order == 0);
        bool high = big_sum_above(&p->rest, &p->above, &p->scale, p->even);
        if (high && (!low || big_sum_above(&p->rest, &p->rest, &p->scale, digit & 1)))
            digit++;
        digits[count++] = (char)('0' + digit);
        if (low || high)
            return count;
    }
}

unsigned decimal_shortest(double f, char digits[DECIMAL_SHORTEST_MAX], int *point)
{
    uint64_t bits = double_bits(f), mantissa = bits & ((UINT64_C(1) << 52) - 1);
    int biased = (int)(bits >> 52);
    bool narrow_below = mantissa == 0 && biased > 1;
    if (biased)
        mantissa |= UINT64_C(1) << 52;
    int exponent = (biased ? biased : 1) - 1075;

    struct printing p;
    printing_init(&p, mantissa, exponent, narrow_below);
    *point = printing_scale(&p, exponent + 63 - __builtin_clzll(mantissa));
    return print_digits(&p, digits);
}

/* ---- digits to doubles ---------------------------------------------------------------------- */

static const double power_of_10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
#define EXACT_POWERS ((int64_t)(sizeof power_of_10 / sizeof power_of_10[0]) - 1)

/* Both sides are doubles exactly, so that one operation rounds once. */
static bool small_to_double(const char *digits, unsigned count, int64_t exponent, double *out)
{
    if (count > 15 || exponent > EXACT_POWERS || exponent < -EXACT_POWERS)
        return false;
    int64_t n = 0;
    for (unsigned i = 0; i < count; i++)
        n = 10 * n + (digits[i] - '0');
    *out = exponent < 0 ? (double)n / power_of_10[-exponent] : (double)n * power_of_10[exponent];
    return true;
}

/* quotient * 2^(top_bit - 63), and a little more where `more`; the quotient's top bit is set. */
static double round_to_double(uint64_t quotient, bool more, int top_bit)
{
    if (top_bit > 1023)
        return HUGE_VAL;
    int drop = top_bit < -1022 ? 11 - 1022 - top_bit : 11;
    if (drop > 64)
        return 0.0;
    uint64_t kept = drop == 64 ? 0 : quotient >> drop;
    uint64_t rest = drop == 64 ? quotient : quotient & ((UINT64_C(1) << drop) - 1);
    uint64_t half = UINT64_C(1) << (drop - 1);
    if (rest > half || (rest == half && (more || (kept & 1))))
        kept++;
    /* The mantissa's top bit adds 1 to the exponent, and so does one it was rounded up to. */
    uint64_t exponent = top_bit < -1022 ? 0 : (uint64_t)(top_bit + 1022);
    return double_of_bits((exponent << 52) + kept);
}

static double divide(struct big *above, struct big *below)
{
    int top_bit = (int)big_bits(above) - (int)big_bits(below);
    if (top_bit < 0)
        big_shift_left(above, (unsigned)-top_bit);
    else
        big_shift_left(below, (unsigned)top_bit);

    uint64_t quotient = 0;
    for (int i = 0; i < 64; i++) {
        quotient <<= 1;
        if (big_compare(above, below) >= 0) {
            big_subtract(above, below);
            quotient |= 1;
        }
        big_shift_left(above, 1);
    }
    if (quotient >> 63)
        return round_to_double(quotient, above->len, top_bit);
    return round_to_double(quotient << 1, above->len, top_bit - 1);
}

double decimal_to_double(const char *digits, unsigned count, int64_t point)
{
    double f;
    if (small_to_double(digits, count, point - count, &f))
        return f;
    if (point > 310)
        return HUGE_VAL;
    if (point < -323)
        return 0.0;

    struct big above, below;
    int exponent = (int)point - (int)count;
    big_set(&above, 0);
    big_set(&below, 1);
    for (unsigned i = 0; i < count; i++)
        big_multiply_add(&above, 10, (uint32_t)(digits[i] - '0'));
    big_times_power_of_10(exponent < 0 ? &below : &above,
                          exponent < 0 ? (unsigned)-exponent : (unsigned)exponent);
    return divide(&above, &below);
}
