/* SPDX-License-Identifier: Apache-2.0 */
/* Steps until each of n by n points escapes, 50 at most: a loop of floats with an exit. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int64_t steps_of(double cr, double ci)
{
    double zr = 0.0, zi = 0.0;
    int64_t steps = 0;
    while (steps < 50) {
        double rr = zr * zr, ii = zi * zi;
        if (rr + ii > 4.0)
            break;
        zi = 2.0 * zr * zi + ci;
        zr = rr - ii + cr;
        steps++;
    }
    return steps;
}

static void run(int64_t n)
{
    int64_t sum = 0;
    for (int64_t row = 0; row < n; row++)
        for (int64_t column = 0; column < n; column++)
            sum += steps_of(2.0 * (double)column / (double)n - 1.5,
                            2.0 * (double)row / (double)n - 1.0);
    (void)printf("%" PRId64, sum);
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : 1200;
    (void)printf("mandelbrot ");
    run(n);
    (void)printf("\n");
    return 0;
}
