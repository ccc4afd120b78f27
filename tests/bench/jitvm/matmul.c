/* SPDX-License-Identifier: Apache-2.0 */
/* The product of two n by n matrices: arrays of arrays of floats. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static double **matrix(int64_t n, int64_t seed)
{
    double **rows = calloc((size_t)n, sizeof *rows);
    if (!rows)
        abort();
    for (int64_t i = 0; i < n; i++) {
        rows[i] = calloc((size_t)n, sizeof **rows);
        if (!rows[i])
            abort();
        for (int64_t j = 0; j < n; j++)
            rows[i][j] = (double)((i * seed + j * 7) % 17) / 8.0 - 1.0;
    }
    return rows;
}

static void matrix_free(double **rows, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        free(rows[i]);
    free(rows);
}

static void run(int64_t n)
{
    double **a = matrix(n, 3), **b = matrix(n, 5), **c = matrix(n, 1);
    double check = 0.0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0.0;
            for (int64_t k = 0; k < n; k++)
                sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
    for (int64_t i = 0; i < n; i++)
        check += c[i][i] + c[i][n - 1 - i] * 0.5;
    (void)printf("%.9f", check);
    matrix_free(a, n);
    matrix_free(b, n);
    matrix_free(c, n);
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : 300;
    (void)printf("matmul ");
    run(n);
    (void)printf("\n");
    return 0;
}
