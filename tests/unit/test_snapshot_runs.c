/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of pages, and where they are. */
#include "snapshot/runs.h"

#include <criterion/criterion.h>

static struct page_runs runs;
static struct thaw_error err;

static void fill(void)
{
    const struct page_run items[] = {{2, 3}, {10, 1}, {12, 100}};
    for (size_t i = 0; i < sizeof(items) / sizeof(*items); i++)
        cr_assert_eq(page_runs_add(&runs, items[i].first, items[i].count, &err), 0);
}

static void clear(void)
{
    page_runs_free(&runs);
}

TestSuite(snapshot_runs, .init = fill, .fini = clear);

static bool sorted(const struct page_run *items, size_t count, uint64_t pages)
{
    struct page_run copy[4];
    for (size_t i = 0; i < count; i++)
        copy[i] = items[i];
    return page_runs_are_sorted(&(struct page_runs){.items = copy, .count = count}, pages);
}

Test(snapshot_runs, a_run_that_continues_the_last_makes_it_longer)
{
    cr_assert_eq(page_runs_add(&runs, 112, 5, &err), 0);
    cr_assert_eq(runs.count, 3);
    cr_assert_eq(runs.items[2].count, 105);
    cr_assert_eq(page_runs_pages(&runs), 3 + 1 + 105);
}

Test(snapshot_runs, a_run_that_is_to_stay_apart_does)
{
    cr_assert_eq(page_runs_add_apart(&runs, 112, 5, &err), 0);
    cr_assert_eq(runs.count, 4);
    cr_assert(page_runs_are_sorted(&runs, 117));
}

Test(snapshot_runs, sorted_means_ascending_apart_not_empty_and_inside)
{
    cr_assert(sorted(NULL, 0, 0));
    cr_assert(sorted((struct page_run[]){{0, 1}, {1, 1}}, 2, 2));
    cr_assert_not(sorted((struct page_run[]){{0, 2}, {1, 1}}, 2, 9), "overlapping");
    cr_assert_not(sorted((struct page_run[]){{5, 1}, {1, 1}}, 2, 9), "descending");
    cr_assert_not(sorted((struct page_run[]){{5, 0}}, 1, 9), "empty");
    cr_assert_not(sorted((struct page_run[]){{5, 5}}, 1, 9), "ends outside");
    cr_assert_not(sorted((struct page_run[]){{10, 1}}, 1, 9), "starts outside");
    cr_assert_not(sorted((struct page_run[]){{5, UINT64_MAX}}, 1, 9), "wraps around");
    cr_assert_not(sorted((struct page_run[]){{UINT64_MAX, 2}}, 1, 9), "wraps around");
}

Test(snapshot_runs, every_page_finds_the_first_run_that_ends_behind_it)
{
    static const size_t found[] = {0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2};
    for (uint64_t page = 0; page < sizeof(found) / sizeof(*found); page++)
        cr_assert_eq(page_runs_find(&runs, page), found[page], "page %lu", page);
    cr_assert_eq(page_runs_find(&runs, 111), 2);
    cr_assert_eq(page_runs_find(&runs, 112), 3);
}

Test(snapshot_runs, touching_agrees_with_looking_at_every_page)
{
    static const bool there[16] = {
        [2] = 1, [3] = 1, [4] = 1, [10] = 1, [12] = 1, [13] = 1, [14] = 1, [15] = 1};
    for (unsigned first = 0; first < 16; first++) {
        bool any = false;
        cr_assert_not(page_runs_touch(&runs, first, 0));
        for (unsigned count = 1; first + count <= 16; count++) {
            any |= there[first + count - 1];
            cr_assert_eq(page_runs_touch(&runs, first, count), any, "%u+%u", first, count);
        }
    }
}

Test(snapshot_runs, clipping_keeps_what_is_inside)
{
    struct page_run run = page_run_clip((struct page_run){10, 10}, 12, 15);
    cr_assert(run.first == 12 && run.count == 3);
    run = page_run_clip((struct page_run){10, 10}, 0, 11);
    cr_assert(run.first == 10 && run.count == 1);
    run = page_run_clip((struct page_run){10, 10}, 19, 100);
    cr_assert(run.first == 19 && run.count == 1);
    run = page_run_clip((struct page_run){10, 10}, 0, 100);
    cr_assert(run.first == 10 && run.count == 10);
}

Test(snapshot_runs, appending_joins_what_continues)
{
    struct page_run items[] = {{112, 3}, {200, 1}, {7, 2}};
    const struct page_runs more = {.items = items, .count = 3};
    cr_assert_eq(page_runs_append(&runs, &more, &err), 0);
    cr_assert_eq(runs.count, 5);
    cr_assert(runs.items[2].first == 12 && runs.items[2].count == 103);
    cr_assert(runs.items[4].first == 7 && runs.items[4].count == 2);
    cr_assert_eq(page_runs_append(&runs, &(struct page_runs){0}, &err), 0);
    cr_assert_eq(runs.count, 5);
}

static char low[3 * GUEST_PAGE_SIZE], high[2 * GUEST_PAGE_SIZE];
static const struct guest_memory memory = {
    .region_count = 2,
    .regions = {{.gpa = 0, .size = sizeof(low), .host = low},
                {.gpa = 1ull << 32, .size = sizeof(high), .host = high}},
};

Test(snapshot_runs, every_page_is_in_its_region_and_the_next_in_none)
{
    static const struct page_run expected[] = {{0, 3}, {0, 3}, {0, 3}, {3, 2}, {3, 2}, {0}, {0}};
    for (uint64_t page = 0; page < sizeof(expected) / sizeof(*expected); page++) {
        struct page_run region = page_region(memory.regions, 2, page);
        cr_assert_eq(region.first, expected[page].first, "page %lu", page);
        cr_assert_eq(region.count, expected[page].count, "page %lu", page);
        cr_assert_eq(page_region_end(memory.regions, 2, page), region.first + region.count);
    }
    cr_assert_eq(page_region(memory.regions, 2, UINT64_MAX).count, 0);
    cr_assert_eq(page_region(memory.regions, 0, 0).count, 0);
}

Test(snapshot_runs, every_address_of_a_page_names_it)
{
    uint64_t page;
    for (uint64_t i = 0; i < 5; i++) {
        uintptr_t at = (uintptr_t)page_address(&memory, i, 1);
        cr_assert(page_of_address(&memory, at, &page) && page == i);
        cr_assert(page_of_address(&memory, at + GUEST_PAGE_SIZE - 1, &page) && page == i);
    }
    cr_assert_not(page_of_address(&memory, 0, &page));
    cr_assert_not(page_of_address(&memory, (uintptr_t)&page, &page));
}

Test(snapshot_runs, pages_are_found_in_their_region_and_none_across_two)
{
    cr_assert_eq(page_address(&memory, 0, 3), low);
    cr_assert_eq(page_address(&memory, 2, 1), low + 2 * GUEST_PAGE_SIZE);
    cr_assert_eq(page_address(&memory, 3, 2), high);
    cr_assert_null(page_address(&memory, 2, 2));
    cr_assert_null(page_address(&memory, 4, 2));
    cr_assert_null(page_address(&memory, 5, 0));
    cr_assert_null(page_address(&memory, 1, UINT64_MAX));
}

/* The pages whose bits are set; a run ends where `apart` has a bit. */
static struct page_runs runs_of(unsigned bits, unsigned apart)
{
    struct page_runs made = {0};
    for (unsigned page = 0; page < 6; page++)
        if (bits >> page & 1)
            cr_assert_eq(
                (apart >> page & 1 ? page_runs_add_apart : page_runs_add)(&made, page, 1, &err), 0);
    return made;
}

Test(snapshot_runs, what_is_left_of_runs_is_every_page_that_is_not_in_the_others)
{
    for (unsigned from_bits = 0; from_bits < 64; from_bits++)
        for (unsigned cut_bits = 0; cut_bits < 64; cut_bits++) {
            struct page_runs from = runs_of(from_bits, 0x8), cut = runs_of(cut_bits, 0x14);
            struct page_runs left = {0};
            cr_assert_eq(page_runs_subtract(&left, &from, &cut, &err), 0);
            cr_assert(page_runs_are_sorted(&left, 6));
            for (unsigned page = 0; page < 6; page++)
                cr_assert_eq(page_runs_touch(&left, page, 1),
                             from_bits >> page & ~cut_bits >> page & 1, "%x - %x: %u", from_bits,
                             cut_bits, page);
            page_runs_free(&from);
            page_runs_free(&cut);
            page_runs_free(&left);
        }
}

Test(snapshot_runs, runs_beside_each_other_stay_apart_when_others_are_taken_away)
{
    struct page_runs from = runs_of(0x3f, 0x8), none = {0}, left = {0};
    cr_assert_eq(page_runs_subtract(&left, &from, &none, &err), 0);
    cr_assert_eq(left.count, 2);
    cr_assert_eq(left.items[1].first, 3);
    page_runs_free(&from);
    page_runs_free(&left);
}
