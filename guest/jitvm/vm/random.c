/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rand(): xoshiro256** of Blackman and Vigna, its state filled by splitmix64, so that the same seed
 * gives the same numbers everywhere.
 */
#include "guest/jitvm/vm/vm.h"

#include <sys/random.h>
#include <time.h>

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

static uint64_t system_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == sizeof seed)
        return seed;
    /* Early in a boot there may be nothing random yet; rand() is no secret. */
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void vm_random_seed(struct jitvm *vm, uint64_t seed)
{
    uint64_t state = seed ? seed : system_seed();
    for (unsigned i = 0; i < 4; i++)
        vm->rng[i] = splitmix(&state);
}

uint64_t vm_random(struct jitvm *vm)
{
    uint64_t *s = vm->rng;
    if (!(s[0] | s[1] | s[2] | s[3]))
        vm_random_seed(vm, vm->config.seed);
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}
