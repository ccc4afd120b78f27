/* SPDX-License-Identifier: Apache-2.0 */
/* All orders of n pancakes, and how many flips each needs: small arrays of ints. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST 16

static int64_t order[MOST], left[MOST], flipped[MOST];

static int64_t flips_of(int64_t n)
{
    int64_t first = order[0], flips = 1;
    if (first == 0)
        return 0;
    for (int64_t i = 1; i < n; i++)
        flipped[i] = order[i];
    for (int64_t next; (next = flipped[first]) != 0; flips++) {
        flipped[first] = first;
        for (int64_t low = 1, high = first - 1; low < high; low++, high--) {
            int64_t kept = flipped[low];
            flipped[low] = flipped[high];
            flipped[high] = kept;
        }
        first = next;
    }
    return flips;
}

/* The next order; false after the last one. */
static int next_order(int64_t n, int64_t *r)
{
    for (; *r != n; (*r)++) {
        int64_t bottom = order[0];
        for (int64_t i = 0; i < *r; i++)
            order[i] = order[i + 1];
        order[*r] = bottom;
        if (--left[*r] > 0)
            return 1;
    }
    return 0;
}

static void run(int64_t n)
{
    int64_t most = 0, check = 0, sign = 1, r = n;
    if (n > MOST)
        abort();
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    do {
        for (; r > 1; r--)
            left[r - 1] = r;
        int64_t flips = flips_of(n);
        if (flips > most)
            most = flips;
        check += sign * flips;
        sign = -sign;
    } while (next_order(n, &r));
    (void)printf("%" PRId64 " %" PRId64, check, most);
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : 10;
    (void)printf("fannkuch ");
    run(n);
    (void)printf("\n");
    return 0;
}
