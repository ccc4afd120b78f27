/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of work on several threads. */
#include "vmm/base/parallel.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#define PIECES 2000u

struct seen {
    atomic_uint times[PIECES]; /* that a piece was done */
    atomic_bool busy[PARALLEL_THREADS_MAX];
    atomic_bool clash;   /* two pieces with the same thread's number at once */
    atomic_uint threads; /* bits: which there were */
    uint64_t fails_from; /* these pieces fail */
    atomic_uint begun;
};

static int note(void *ctx, unsigned thread, uint64_t piece, struct thaw_error *err)
{
    struct seen *seen = ctx;
    cr_assert_lt(thread, PARALLEL_THREADS_MAX);
    if (atomic_exchange(&seen->busy[thread], true))
        atomic_store(&seen->clash, true);
    atomic_fetch_or(&seen->threads, 1u << thread);
    atomic_fetch_add(&seen->begun, 1);
    atomic_fetch_add(&seen->times[piece], 1);
    if (piece % 64 == 0)
        usleep(100); /* others go on meanwhile */
    atomic_store(&seen->busy[thread], false);
    return piece < seen->fails_from ? 0 : thaw_fail(err, EIO, "piece %lu", piece);
}

static struct seen seen = {.fails_from = UINT64_MAX};
static struct thaw_error err;

static void expect_each_once(uint64_t count)
{
    for (uint64_t i = 0; i < PIECES; i++)
        cr_assert_eq(seen.times[i], i < count ? 1 : 0, "piece %lu", i);
    cr_assert_not(seen.clash);
}

Test(parallel, every_piece_is_done_once)
{
    cr_assert_eq(parallel_for(PIECES, note, &seen, &err), 0);
    expect_each_once(PIECES);
}

Test(parallel, there_is_a_thread_for_each_processor)
{
    cpu_set_t set;
    cr_assert_eq(sched_getaffinity(0, sizeof(set), &set), 0);
    unsigned most = CPU_COUNT(&set) < (int)PARALLEL_THREADS_MAX ? (unsigned)CPU_COUNT(&set)
                                                                : PARALLEL_THREADS_MAX;
    cr_assert_eq(parallel_for(PIECES, note, &seen, &err), 0);
    cr_assert_leq((unsigned)__builtin_popcount(seen.threads), most);
    cr_assert(most == 1 || __builtin_popcount(seen.threads) > 1);
}

Test(parallel, one_piece_is_the_callers)
{
    cr_assert_eq(parallel_for(1, note, &seen, &err), 0);
    expect_each_once(1);
    cr_assert_eq(seen.threads, 1);
}

Test(parallel, nothing_to_do_is_done)
{
    cr_assert_eq(parallel_for(0, note, &seen, &err), 0);
    expect_each_once(0);
}

Test(parallel, on_one_processor_all_is_the_callers)
{
    cpu_set_t set;
    cr_assert_eq(sched_getaffinity(0, sizeof(set), &set), 0);
    size_t first = 0;
    while (!CPU_ISSET(first, &set))
        first++;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    cr_assert_eq(sched_setaffinity(0, sizeof(set), &set), 0);
    cr_assert_eq(parallel_for(PIECES, note, &seen, &err), 0);
    expect_each_once(PIECES);
    cr_assert_eq(seen.threads, 1);
}

/* Whoever is told of it finds the same each time. */
Test(parallel, the_error_is_that_of_the_lowest_piece_that_failed)
{
    seen.fails_from = 321;
    cr_assert_eq(parallel_for(PIECES, note, &seen, &err), -EIO);
    cr_assert_str_eq(err.message, "piece 321: Input/output error");
}

Test(parallel, after_a_failure_no_more_is_begun)
{
    seen.fails_from = 0;
    cr_assert_eq(parallel_for(PIECES, note, &seen, &err), -EIO);
    cr_assert_leq(seen.begun, PARALLEL_THREADS_MAX);
}
