/* SPDX-License-Identifier: Apache-2.0 */
/* Random programs do the same in every tier. What a seed that fails does:
 * tests/fuzz/fuzz_jitvm_run.c. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/jitvm/random_chunk.h"

static void seeds(uint64_t from, uint64_t count)
{
    const char *more = getenv("JITVM_RANDOM_SEEDS");
    if (more)
        count = strtoull(more, NULL, 10);
    for (uint64_t seed = from; seed < from + count; seed++) {
        struct random_bytes bytes = {.state = seed * 0x9e3779b97f4a7c15u};
        char said[1024] = "";
        cr_expect(random_chunk_agrees(bytes, said), "seed %llu: %s", (unsigned long long)seed,
                  said);
    }
}

Test(vm_random, programs_do_the_same_in_every_tier, .timeout = 300)
{
    seeds(1, 150);
}

Test(vm_random, other_programs_too, .timeout = 300)
{
    seeds(1000001, 150);
}
