/* SPDX-License-Identifier: Apache-2.0 */
/* How many primes are below n, and their sum: one large array of ints. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void run(int64_t n)
{
    int64_t *prime = malloc((size_t)n * sizeof *prime);
    int64_t count = 0, sum = 0;
    if (!prime)
        abort();
    for (int64_t i = 0; i < n; i++)
        prime[i] = 1;
    for (int64_t i = 2; i < n; i++) {
        if (prime[i] != 1)
            continue;
        count++;
        sum += i;
        for (int64_t j = i * i; j < n; j += i)
            prime[j] = 0;
    }
    free(prime);
    (void)printf("%" PRId64 " %" PRId64, count, sum);
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : 12000000;
    (void)printf("sieve ");
    run(n);
    (void)printf("\n");
    return 0;
}
