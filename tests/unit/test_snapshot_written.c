/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/written.h"

#include <criterion/criterion.h>
#include <errno.h>

static const struct memory_map map = {.pages = 1000};
static struct thaw_error err;
static struct page_runs written;

static void reset(void)
{
    err = (struct thaw_error){0};
    page_runs_free(&written);
}

static int decode(const uint32_t *words, size_t count)
{
    page_runs_free(&written);
    err = (struct thaw_error){0};
    return written_decode(&written, &map, words, count * sizeof(*words), &err);
}

#define DECODE(...)                                                                                \
    decode((const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4)

TestSuite(written, .fini = reset);

Test(written, what_was_encoded_is_decoded)
{
    cleanup_blob struct blob bytes = {0};
    cleanup_page_runs struct page_runs runs = {0};
    cr_assert_eq(page_runs_add(&runs, 0, 2, &err), 0);
    cr_assert_eq(page_runs_add(&runs, 7, 1, &err), 0);
    cr_assert_eq(page_runs_add(&runs, 990, 10, &err), 0);
    cr_assert_eq(written_encode(&runs, &bytes, &err), 0);
    cr_assert_eq(written_decode(&written, &map, bytes.data, bytes.size, &err), 0);
    cr_assert_eq(written.count, 3);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(written.items[i].first, runs.items[i].first);
        cr_assert_eq(written.items[i].count, runs.items[i].count);
    }
}

Test(written, nothing_is_nothing)
{
    cr_assert_eq(written_decode(&written, &map, "", 0, &err), 0);
    cr_assert_eq(written.count, 0);
}

Test(written, half_a_run_is_refused)
{
    cr_assert_eq(DECODE(1), -EINVAL);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
    cr_assert_eq(DECODE(1, 1, 5), -EINVAL);
}

Test(written, runs_that_are_empty_or_overlap_or_fall_are_refused)
{
    cr_assert_eq(DECODE(1, 0), -EINVAL);
    cr_assert_eq(DECODE(1, 2, 2, 1), -EINVAL);
    cr_assert_eq(DECODE(8, 1, 2, 1), -EINVAL);
    cr_assert_eq(DECODE(1, 1, 2, 1), 0);
}

Test(written, runs_beyond_memory_are_refused)
{
    cr_assert_eq(DECODE(999, 1), 0);
    cr_assert_eq(DECODE(999, 2), -EINVAL);
    cr_assert_eq(DECODE(1000, 1), -EINVAL);
    cr_assert_eq(DECODE(UINT32_MAX, UINT32_MAX), -EINVAL);
}

Test(written, more_pages_than_are_worth_copying_are_refused)
{
    const struct memory_map large = {.pages = 1u << 20};
    const uint32_t most[] = {0, WRITTEN_PAGES_MAX}, more[] = {0, WRITTEN_PAGES_MAX + 1};
    cr_assert_eq(written_decode(&written, &large, most, sizeof(most), &err), 0);
    page_runs_free(&written);
    cr_assert_eq(written_decode(&written, &large, more, sizeof(more), &err), -EINVAL);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
}
