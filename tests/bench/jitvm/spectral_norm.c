/* SPDX-License-Identifier: Apache-2.0 */
/* The spectral norm of an n by n matrix that is computed, not stored: calls with floats. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static double a(int64_t i, int64_t j)
{
    int64_t ij = i + j;
    return 1.0 / (double)(ij * (ij + 1) / 2 + i + 1);
}

static void times(const double *v, double *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (int64_t j = 0; j < n; j++)
            sum += a(i, j) * v[j];
        out[i] = sum;
    }
}

static void times_transposed(const double *v, double *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (int64_t j = 0; j < n; j++)
            sum += a(j, i) * v[j];
        out[i] = sum;
    }
}

static void run(int64_t n)
{
    double *u = calloc((size_t)n, sizeof *u), *v = calloc((size_t)n, sizeof *v);
    double *t = calloc((size_t)n, sizeof *t);
    double uv = 0.0, vv = 0.0;
    if (!u || !v || !t)
        abort();
    for (int64_t i = 0; i < n; i++)
        u[i] = 1.0;
    for (int i = 0; i < 10; i++) {
        times(u, t, n);
        times_transposed(t, v, n);
        times(v, t, n);
        times_transposed(t, u, n);
    }
    for (int64_t i = 0; i < n; i++) {
        uv += u[i] * v[i];
        vv += v[i] * v[i];
    }
    (void)printf("%.9f", sqrt(uv / vv));
    free(t);
    free(v);
    free(u);
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : 600;
    (void)printf("spectral_norm ");
    run(n);
    (void)printf("\n");
    return 0;
}
