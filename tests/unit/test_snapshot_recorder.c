/* SPDX-License-Identifier: Apache-2.0 */
/* What a restored guest touches is written down in order, whoever touches it. */
#include "snapshot/recorder.h"
#include "tests/unit/snapshot_memory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

static struct fake_snapshot fake;
static struct guest_memory memory;
static struct thaw_error err;

static void create(void)
{
    err = (struct thaw_error){0};
    fake_snapshot_make(&fake, "/var/tmp");
    memory = fake_guest_memory(&fake);
}

static void destroy(void)
{
    guest_memory_destroy(&memory);
    fake_snapshot_remove(&fake);
}

TestSuite(recorder, .init = create, .fini = destroy);

static struct recorder *begin(bool approximate)
{
    struct recorder *recorder = NULL;
    cr_assert_eq(recorder_begin(&recorder, &memory, fake.memory_fd, &fake.map, approximate, &err),
                 0, "%s", err.message);
    return recorder;
}

static uint8_t touch(uint64_t page)
{
    return *(volatile uint8_t *)page_address(&memory, page, 1);
}

static bool is_exact(struct recorder *recorder, struct page_runs *order)
{
    bool approximate;
    cr_assert_eq(recorder_stop(recorder, order, &approximate, &err), 0, "%s", err.message);
    return !approximate;
}

static void expect(const struct page_runs *order, const struct page_run *runs, size_t count)
{
    cr_assert_eq(order->count, count);
    cr_assert(memcmp(order->items, runs, count * sizeof(*runs)) == 0);
}

/* Where userfaults are not allowed there is no order, but nothing may be missing either. */
static void expect_at_least(const struct page_runs *order, const struct page_run *runs,
                            size_t count)
{
    cr_assert(page_runs_are_sorted(order, FAKE_PAGES));
    for (size_t i = 0; i < count; i++)
        for (uint64_t n = 0; n < runs[i].count; n++)
            cr_assert(page_runs_touch(order, runs[i].first + n, 1));
}

static void end(struct recorder *recorder, const struct page_run *runs, size_t count)
{
    cleanup_page_runs struct page_runs order = {0};
    if (is_exact(recorder, &order))
        expect(&order, runs, count);
    else
        expect_at_least(&order, runs, count);
    recorder_free(recorder);
}

Test(recorder, pages_are_written_down_in_the_order_in_which_they_are_touched)
{
    struct recorder *recorder = begin(false);
    const uint64_t pages[] = {3080, 10, 11, 12, 10, 1200, 11, 3072};
    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++)
        touch(pages[i]);
    end(recorder, (struct page_run[]){{3080, 1}, {10, 3}, {1200, 1}, {3072, 1}}, 4);
}

Test(recorder, pages_of_zeros_come_as_zeros_and_are_not_written_down)
{
    struct recorder *recorder = begin(false);
    cr_assert_eq(touch(0), 0);
    cr_assert_eq(touch(2999), 0);
    touch(3000);
    end(recorder, (struct page_run[]){{3000, 1}}, 1);
}

Test(recorder, memory_is_what_was_saved_while_it_is_recorded)
{
    for (unsigned approximate = 0; approximate < 2; approximate++) {
        struct guest_memory before = memory;
        memory = fake_guest_memory(&fake);
        struct recorder *recorder = begin(approximate);
        cr_assert_eq(fake_first_difference(&fake, &memory), FAKE_PAGES);
        cleanup_page_runs struct page_runs order = {0};
        (void)is_exact(recorder, &order);
        expect(
            &order,
            (struct page_run[]){{5, 90}, {200, 40}, {241, 1}, {1000, 300}, {3000, 100}, {4095, 1}},
            6);
        recorder_free(recorder);
        guest_memory_destroy(&memory);
        memory = before;
    }
}

Test(recorder, what_the_kernel_touches_for_a_device_is_written_down)
{
    struct recorder *recorder = begin(false);
    int ends[2];
    uint8_t seen[8192], expected[GUEST_PAGE_SIZE];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], page_address(&memory, 1250, 2), 8192), 8192);
    cr_assert_eq(read(ends[0], seen, 8192), 8192);
    fake_page(&fake, 1251, expected);
    cr_assert(memcmp(seen + 4096, expected, 4096) == 0);
    /* Into it: the rest of the page must be what it was. */
    cr_assert_eq(write(ends[1], "abc", 3), 3);
    cr_assert_eq(read(ends[0], page_address(&memory, 20, 1), 3), 3);
    fake_page(&fake, 20, expected);
    memcpy(expected, "abc", 3);
    cr_assert(memcmp(page_address(&memory, 20, 1), expected, 4096) == 0);
    end(recorder, (struct page_run[]){{1250, 2}, {20, 1}}, 2);
    close(ends[0]);
    close(ends[1]);
}

static void *touch_many(void *arg)
{
    const uint64_t *step = arg;
    for (uint64_t i = 0; i < 300; i++)
        touch(1000 + i * *step % 300);
    return NULL;
}

Test(recorder, many_vcpus_fault_at_once)
{
    struct recorder *recorder = begin(false);
    static uint64_t steps[4] = {1, 7, 11, 13};
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, touch_many, &steps[i]), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cleanup_page_runs struct page_runs order = {0};
    (void)is_exact(recorder, &order);
    cr_assert_eq(page_runs_pages(&order), 300, "each once");
    recorder_free(recorder);
}

Test(recorder, after_the_end_pages_still_come_and_are_not_written_down)
{
    struct recorder *recorder = begin(false);
    touch(1000);
    cleanup_page_runs struct page_runs order = {0};
    bool exact = is_exact(recorder, &order);
    cr_assert_eq(fake_first_difference(&fake, &memory), FAKE_PAGES);
    if (exact)
        expect(&order, (struct page_run[]){{1000, 1}}, 1);
    recorder_free(recorder);
}

Test(recorder, what_a_balloon_took_comes_back_as_zeros)
{
    struct recorder *recorder = begin(false);
    cleanup_page_runs struct page_runs order = {0};
    touch(1000);
    cr_assert_eq(madvise(page_address(&memory, 1000, 1), GUEST_PAGE_SIZE, MADV_DONTNEED), 0);
    uint8_t again = touch(1000);
    if (is_exact(recorder, &order))
        cr_assert_eq(again, 0);
    recorder_free(recorder);
}

Test(recorder, a_page_that_cannot_be_read_fails_the_recording_and_hangs_nobody)
{
    struct recorder *recorder = begin(false);
    cleanup_page_runs struct page_runs order = {0};
    bool approximate;
    int ends[2];
    touch(1000);
    cr_assert_eq(ftruncate(fake.memory_fd, 1100 * GUEST_PAGE_SIZE), 0);
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], page_address(&memory, 1200, 1), 10), -1);
    cr_assert_eq(errno, EFAULT, "as it is for KVM_RUN");
    int rc = recorder_stop(recorder, &order, &approximate, &err);
    cr_assert(approximate || (rc < 0 && strstr(err.message, "memory: page 1200")), "%s",
              err.message);
    recorder_free(recorder);
    close(ends[0]);
    close(ends[1]);
}

Test(recorder, without_userfaults_the_page_tables_tell)
{
    struct recorder *recorder = begin(true);
    touch(1250);
    touch(10);
    touch(4095);
    cleanup_page_runs struct page_runs order = {0};
    cr_assert_not(is_exact(recorder, &order));
    expect_at_least(&order, (struct page_run[]){{10, 1}, {1250, 1}, {4095, 1}}, 3);
    cr_assert_not(page_runs_touch(&order, 0, 5), "no page of zeros");
    recorder_free(recorder);
}
