/* SPDX-License-Identifier: Apache-2.0 */
/* Ackermann's function of 3 and 7, n times over: deep calls that depend on each other. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int64_t ackermann(int64_t m, int64_t n)
{
    if (m == 0)
        return n + 1;
    if (n == 0)
        return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}

static void run(int64_t n)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += ackermann(3, 7) + i;
    (void)printf("%" PRId64, sum);
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : 50;
    (void)printf("ackermann ");
    run(n);
    (void)printf("\n");
    return 0;
}
