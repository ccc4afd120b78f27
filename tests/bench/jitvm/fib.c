/* SPDX-License-Identifier: Apache-2.0 */
/* The n-th Fibonacci number, by calls alone. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int64_t fib(int64_t n)
{
    if (n < 2)
        return n;
    return fib(n - 1) + fib(n - 2);
}

static void run(int64_t n)
{
    (void)printf("%" PRId64, fib(n));
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : 35;
    (void)printf("fib ");
    run(n);
    (void)printf("\n");
    return 0;
}
