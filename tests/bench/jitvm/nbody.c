/* SPDX-License-Identifier: Apache-2.0 */
/* Sun and four planets, n steps: floats in small arrays. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SUN 39.47841760435743
#define DT  0.01

static double x[] = {0.0, 4.84143144246472090, 8.34336671824457987, 12.8943695621391310,
                     15.3796971148509165};
static double y[] = {0.0, -1.16032004402742839, 4.12479856412430479, -15.1111514016986312,
                     -25.9193146099879641};
static double z[] = {0.0, -0.103622044471123109, -0.403523417114321381, -0.223307578892655734,
                     0.179258772950371181};
static double vx[] = {0.0, 0.606326392995832, -1.01077434617879236, 1.08279100644153536,
                      0.979090732243897976};
static double vy[] = {0.0, 2.81198684491626016, 1.82566237123041186, 0.868713018169608219,
                      0.594698998647676060};
static double vz[] = {0.0, -0.0252183616598876288, 0.00841576137658415351, -0.0108326374013636358,
                      -0.0347559555078104031};
static const double mass[] = {SUN, 0.0376936749096154651, 0.0112863261319687668,
                              0.00172372405705971279, 0.00203368686992463042};

static double energy(void)
{
    double e = 0.0;
    for (int i = 0; i < 5; i++) {
        e += 0.5 * mass[i] * (vx[i] * vx[i] + vy[i] * vy[i] + vz[i] * vz[i]);
        for (int j = i + 1; j < 5; j++) {
            double dx = x[i] - x[j], dy = y[i] - y[j], dz = z[i] - z[j];
            e -= mass[i] * mass[j] / sqrt(dx * dx + dy * dy + dz * dz);
        }
    }
    return e;
}

static void hold_the_centre(void)
{
    double px = 0.0, py = 0.0, pz = 0.0;
    for (int i = 0; i < 5; i++) {
        px += vx[i] * mass[i];
        py += vy[i] * mass[i];
        pz += vz[i] * mass[i];
    }
    vx[0] = -px / SUN;
    vy[0] = -py / SUN;
    vz[0] = -pz / SUN;
}

static void attract(int i, int j)
{
    double dx = x[i] - x[j], dy = y[i] - y[j], dz = z[i] - z[j];
    double d2 = dx * dx + dy * dy + dz * dz;
    double mag = DT / (d2 * sqrt(d2));
    double mi = mass[i] * mag, mj = mass[j] * mag;
    vx[i] -= dx * mj;
    vy[i] -= dy * mj;
    vz[i] -= dz * mj;
    vx[j] += dx * mi;
    vy[j] += dy * mi;
    vz[j] += dz * mi;
}

static void run(int64_t n)
{
    hold_the_centre();
    for (int64_t step = 0; step < n; step++) {
        for (int i = 0; i < 5; i++)
            for (int j = i + 1; j < 5; j++)
                attract(i, j);
        for (int i = 0; i < 5; i++) {
            x[i] += DT * vx[i];
            y[i] += DT * vy[i];
            z[i] += DT * vz[i];
        }
    }
    (void)printf("%.9f", energy());
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : 500000;
    (void)printf("nbody ");
    run(n);
    (void)printf("\n");
    return 0;
}
