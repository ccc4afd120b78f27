/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/balloon.h"
#include "tests/unit/fake_driver.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define PAGE     BALLOON_PAGE_SIZE
#define PAGES    ((uint32_t)(FAKE_MEMORY_SIZE / PAGE))
#define VICTIM   0x200000ull /* pages from here on are filled before each test */
#define VICTIM_N 512u
#define REPORTS  BALLOON_QUEUE_REPORTING

struct rig {
    struct fake_driver driver;
    struct virtio_device *device;
};

static struct virtio_device *create(struct fake_driver *driver, uint32_t target)
{
    struct thaw_error err = {0};
    struct virtio_device *device = NULL;
    const struct balloon_config config = {.target_pages = target, .reporting = true};
    cr_assert_eq(balloon_create(&config, &driver->context, &device, &err), 0, "%s", err.message);
    return device;
}

static void rig_start(struct rig *rig, uint32_t target, uint64_t features)
{
    fake_driver_init(&rig->driver);
    rig->device = create(&rig->driver, target);
    fake_driver_attach(&rig->driver, rig->device);
    fake_driver_start(&rig->driver, features);
    memset(fake_driver_at(&rig->driver, VICTIM, VICTIM_N * PAGE), 'x', VICTIM_N * PAGE);
}

static void rig_destroy(struct rig *rig)
{
    fake_driver_destroy(&rig->driver);
}

static struct balloon_counters counters(const struct rig *rig)
{
    struct balloon_counters seen;
    balloon_counters(rig->device, &seen);
    return seen;
}

static bool is_given_back(struct rig *rig, uint64_t gpa)
{
    const char *page = fake_driver_at(&rig->driver, gpa, PAGE);
    cr_assert(page[0] == page[PAGE - 1]);
    return page[0] == 0;
}

static unsigned requests_done(struct rig *rig, unsigned queue)
{
    uint32_t head, length;
    unsigned count = 0;
    while (fake_driver_used(&rig->driver, queue, &head, &length)) {
        cr_assert_eq(length, 0);
        count++;
    }
    return count;
}

static void send_pfns(struct rig *rig, unsigned queue, const uint32_t *pfns, unsigned count)
{
    uint32_t size = count * (uint32_t)sizeof(pfns[0]);
    rig->driver.next_alloc = 1ull << 20;
    uint64_t at = fake_driver_alloc(&rig->driver, size);
    memcpy(fake_driver_at(&rig->driver, at, size), pfns, size);
    const struct fake_buffer buffer = {.address = at, .length = size};
    fake_driver_send(&rig->driver, queue, &buffer, 1);
    fake_driver_kick(&rig->driver, queue);
    cr_assert_eq(requests_done(rig, queue), 1);
}

static uint32_t victim(unsigned i)
{
    return (uint32_t)(VICTIM / PAGE) + i;
}

/* ---- inflating ---------------------------------------------------------------------------- */

Test(virtio_balloon, page_that_is_given_up_goes_back_to_the_host)
{
    struct rig rig;
    rig_start(&rig, 0, ~0ull);
    const uint32_t pfn = victim(1);
    send_pfns(&rig, BALLOON_QUEUE_INFLATE, &pfn, 1);
    cr_assert_not(is_given_back(&rig, VICTIM));
    cr_assert(is_given_back(&rig, VICTIM + PAGE));
    cr_assert_not(is_given_back(&rig, VICTIM + 2ull * PAGE));
    cr_assert_eq(counters(&rig).inflated_bytes, PAGE);
    rig_destroy(&rig);
}

Test(virtio_balloon, pages_in_any_order_go_back_each_once)
{
    const uint32_t orders[][6] = {
        {0, 1, 2, 3, 4, 5}, {5, 4, 3, 2, 1, 0}, {2, 3, 1, 0, 4, 5}, {0, 2, 4, 1, 3, 5}};
    for (unsigned row = 0; row < sizeof(orders) / sizeof(orders[0]); row++) {
        struct rig rig;
        uint32_t pfns[6];
        rig_start(&rig, 0, ~0ull);
        for (unsigned i = 0; i < 6; i++)
            pfns[i] = victim(1 + orders[row][i]);
        send_pfns(&rig, BALLOON_QUEUE_INFLATE, pfns, 6);
        cr_assert_not(is_given_back(&rig, VICTIM));
        for (unsigned i = 1; i <= 6; i++)
            cr_assert(is_given_back(&rig, VICTIM + (uint64_t)i * PAGE), "row %u", row);
        cr_assert_not(is_given_back(&rig, VICTIM + 7ull * PAGE));
        cr_assert_eq(counters(&rig).inflated_bytes, 6 * PAGE);
        rig_destroy(&rig);
    }
}

Test(virtio_balloon, request_longer_than_a_block_is_taken_whole)
{
    struct rig rig;
    uint32_t pfns[VICTIM_N];
    rig_start(&rig, 0, ~0ull);
    for (unsigned i = 0; i < VICTIM_N; i++)
        pfns[i] = victim(i);
    send_pfns(&rig, BALLOON_QUEUE_INFLATE, pfns, VICTIM_N - 1);
    for (unsigned i = 0; i < VICTIM_N - 1; i++)
        cr_assert(is_given_back(&rig, VICTIM + (uint64_t)i * PAGE));
    cr_assert_not(is_given_back(&rig, VICTIM + (VICTIM_N - 1ull) * PAGE));
    rig_destroy(&rig);
}

Test(virtio_balloon, pages_that_are_no_ram_are_refused_and_the_others_taken)
{
    struct rig rig;
    rig_start(&rig, 0, ~0ull);
    const uint32_t pfns[] = {victim(0),   PAGES,    UINT32_MAX, UINT32_MAX - 1,
                             0x80000000u, 0xf0000u, victim(1)};
    send_pfns(&rig, BALLOON_QUEUE_INFLATE, pfns, 7);
    cr_assert(is_given_back(&rig, VICTIM));
    cr_assert(is_given_back(&rig, VICTIM + PAGE));
    cr_assert_eq(counters(&rig).refused, 5);
    cr_assert_eq(counters(&rig).inflated_bytes, 2 * PAGE);
    cr_assert(virtio_is_active(rig.device));
    rig_destroy(&rig);
}

Test(virtio_balloon, request_of_odd_length_has_its_whole_numbers_read)
{
    struct rig rig;
    rig_start(&rig, 0, ~0ull);
    uint64_t at = fake_driver_alloc(&rig.driver, 16);
    const uint32_t pfns[] = {victim(0), victim(1)};
    memcpy(fake_driver_at(&rig.driver, at, 16), pfns, sizeof(pfns));
    /* Cut in the middle of a number, and three bytes short. */
    const struct fake_buffer buffers[] = {{at, 2, false}, {at + 2, 3, false}};
    fake_driver_send(&rig.driver, BALLOON_QUEUE_INFLATE, buffers, 2);
    fake_driver_kick(&rig.driver, BALLOON_QUEUE_INFLATE);
    cr_assert_eq(requests_done(&rig, BALLOON_QUEUE_INFLATE), 1);
    cr_assert(is_given_back(&rig, VICTIM));
    cr_assert_not(is_given_back(&rig, VICTIM + PAGE));
    rig_destroy(&rig);
}

Test(virtio_balloon, one_request_cannot_keep_the_device_for_long)
{
    struct rig rig;
    rig_start(&rig, 0, ~0ull);
    uint64_t at = fake_driver_alloc(&rig.driver, 1 << 20); /* PFN 0, 256 Ki times */
    const struct fake_buffer buffer = {.address = at, .length = 1 << 20};
    fake_driver_send(&rig.driver, BALLOON_QUEUE_INFLATE, &buffer, 1);
    fake_driver_kick(&rig.driver, BALLOON_QUEUE_INFLATE);
    cr_assert_eq(requests_done(&rig, BALLOON_QUEUE_INFLATE), 1);
    cr_assert_eq(counters(&rig).inflated_bytes, 16384ull * PAGE);
    cr_assert_eq(counters(&rig).refused, (1 << 18) - 16384);
    rig_destroy(&rig);
}

Test(virtio_balloon, deflating_gives_nothing_back_and_is_answered)
{
    struct rig rig;
    rig_start(&rig, 0, ~0ull);
    const uint32_t pfns[] = {victim(0), UINT32_MAX};
    send_pfns(&rig, BALLOON_QUEUE_DEFLATE, pfns, 2);
    cr_assert_not(is_given_back(&rig, VICTIM));
    cr_assert_eq(counters(&rig).inflated_bytes, 0);
    rig_destroy(&rig);
}

/* Without an allocation of its own a ring may lie in a page that the guest gives up. */
Test(virtio_balloon, guest_that_gives_up_its_own_rings_harms_only_itself)
{
    struct rig rig;
    rig_start(&rig, 0, ~0ull);
    uint32_t pfns[PAGES / 2];
    for (unsigned i = 0; i < PAGES / 2; i++)
        pfns[i] = i;
    uint64_t at = VICTIM;
    memcpy(fake_driver_at(&rig.driver, at, sizeof(pfns)), pfns, sizeof(pfns));
    const struct fake_buffer buffer = {.address = at, .length = sizeof(pfns)};
    fake_driver_send(&rig.driver, BALLOON_QUEUE_INFLATE, &buffer, 1);
    fake_driver_kick(&rig.driver, BALLOON_QUEUE_INFLATE);
    fake_driver_run_loop(&rig.driver, 0);
    cr_assert_eq(counters(&rig).inflated_bytes, sizeof(pfns) / 4 * PAGE);
    rig_destroy(&rig);
}

/* ---- reporting ---------------------------------------------------------------------------- */

static void report(struct rig *rig, unsigned queue, const struct fake_buffer *ranges,
                   unsigned count)
{
    fake_driver_send(&rig->driver, queue, ranges, count);
    fake_driver_kick(&rig->driver, queue);
}

Test(virtio_balloon, reported_ranges_go_back_to_the_host)
{
    struct rig rig;
    rig_start(&rig, 0, ~0ull);
    const struct fake_buffer ranges[] = {{VICTIM, 16 * PAGE, true},
                                         {VICTIM + 64ull * PAGE, 4 * PAGE, true}};
    report(&rig, REPORTS, ranges, 2);
    cr_assert_eq(requests_done(&rig, REPORTS), 1);
    for (unsigned i = 0; i < VICTIM_N; i++)
        cr_assert_eq(is_given_back(&rig, VICTIM + (uint64_t)i * PAGE),
                     i < 16 || (i >= 64 && i < 68));
    cr_assert_eq(counters(&rig).reported_bytes, 20 * PAGE);
    cr_assert_eq(counters(&rig).actual_pages, 0, "reporting fills no balloon");
    rig_destroy(&rig);
}

Test(virtio_balloon, reporting_queue_may_have_the_number_of_linux_or_of_the_specification)
{
    for (unsigned queue = 2; queue <= 4; queue++) {
        struct rig rig;
        rig_start(&rig, 0, ~0ull);
        const struct fake_buffer range = {VICTIM, PAGE, true};
        report(&rig, queue, &range, 1);
        cr_assert(is_given_back(&rig, VICTIM), "queue %u", queue);
        rig_destroy(&rig);
    }
}

Test(virtio_balloon, reported_range_that_is_not_whole_pages_is_kept)
{
    const struct fake_buffer rows[] = {{VICTIM + 1, PAGE, true},
                                       {VICTIM, PAGE - 1, true},
                                       {VICTIM, PAGE + 1, true},
                                       {VICTIM + PAGE / 2, PAGE, true}};
    struct rig rig;
    rig_start(&rig, 0, ~0ull);
    for (unsigned i = 0; i < 4; i++)
        report(&rig, REPORTS, &rows[i], 1);
    cr_assert_eq(requests_done(&rig, REPORTS), 4);
    cr_assert_not(is_given_back(&rig, VICTIM));
    cr_assert_not(is_given_back(&rig, VICTIM + PAGE));
    cr_assert_eq(counters(&rig).refused, 4);
    cr_assert_eq(counters(&rig).reported_bytes, 0);
    rig_destroy(&rig);
}

Test(virtio_balloon, readable_buffer_in_a_report_is_kept)
{
    struct rig rig;
    rig_start(&rig, 0, ~0ull);
    const struct fake_buffer ranges[] = {{VICTIM, PAGE, false}, {VICTIM + PAGE, PAGE, true}};
    report(&rig, REPORTS, ranges, 2);
    cr_assert_not(is_given_back(&rig, VICTIM));
    cr_assert(is_given_back(&rig, VICTIM + PAGE));
    rig_destroy(&rig);
}

Test(virtio_balloon, reported_range_that_leaves_ram_breaks_the_device)
{
    const struct fake_buffer rows[] = {{FAKE_MEMORY_SIZE - PAGE, 2 * PAGE, true},
                                       {FAKE_OUTSIDE, PAGE, true},
                                       {UINT64_MAX - PAGE + 1, PAGE, true},
                                       {VICTIM, UINT32_MAX, true}};
    for (unsigned i = 0; i < 4; i++) {
        struct rig rig;
        rig_start(&rig, 0, ~0ull);
        report(&rig, REPORTS, &rows[i], 1);
        cr_assert(fake_driver_read(&rig.driver, FAKE_REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
        cr_assert_not(is_given_back(&rig, VICTIM));
        cr_assert_eq(counters(&rig).reported_bytes, 0);
        rig_destroy(&rig);
    }
}

Test(virtio_balloon, report_without_the_feature_is_not_looked_at)
{
    struct rig rig;
    rig_start(&rig, 0, VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
    const struct fake_buffer range = {VICTIM, PAGE, true};
    report(&rig, REPORTS, &range, 1);
    cr_assert_eq(requests_done(&rig, REPORTS), 0);
    cr_assert_not(is_given_back(&rig, VICTIM));
    rig_destroy(&rig);
}

Test(virtio_balloon, without_reporting_there_are_two_queues)
{
    struct fake_driver driver;
    struct thaw_error err = {0};
    struct virtio_device *device;
    const struct balloon_config config = {.reporting = false};
    fake_driver_init(&driver);
    cr_assert_eq(balloon_create(&config, &driver.context, &device, &err), 0);
    fake_driver_attach(&driver, device);
    cr_assert_eq(device->queue_count, 2);
    cr_assert_not(device->offered & VIRTIO_BALLOON_F_REPORTING);
    fake_driver_destroy(&driver);
}

/* ---- CVE-2021-45464 ----------------------------------------------------------------------- */

/* kvmtool took queue numbers and offsets of the configuration as they came: a way out of the
 * guest. */
Test(virtio_balloon, cve_2021_45464_queue_numbers_and_offsets_out_of_range_reach_nothing)
{
    const uint32_t numbers[] = {5, 6, 7, 8, 9, 255, 256, 0x7fffffff, 0x80000000, UINT32_MAX};
    struct rig rig;
    rig_start(&rig, 7, ~0ull);
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        fake_driver_kick(&rig.driver, numbers[i]);
        fake_driver_write(&rig.driver, FAKE_REG_QUEUE_SEL, numbers[i]);
        cr_assert_eq(fake_driver_read(&rig.driver, FAKE_REG_QUEUE_NUM_MAX), 0);
        cr_assert_eq(fake_driver_read(&rig.driver, FAKE_REG_QUEUE_READY), 0);
        fake_driver_write(&rig.driver, FAKE_REG_QUEUE_READY, 1);
    }
    for (uint64_t offset = 5; offset < VIRTIO_MMIO_SIZE - FAKE_REG_CONFIG - 8; offset++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            if (offset + size <= 8)
                continue;
            fake_driver_write_config(&rig.driver, offset, size, UINT64_MAX);
            cr_assert_eq(fake_driver_read_config(&rig.driver, offset, size), 0);
        }
    }
    cr_assert_eq(fake_driver_read_config(&rig.driver, 0, 8), 7);
    cr_assert(virtio_is_active(rig.device));
    rig_destroy(&rig);
}

/* ---- configuration ------------------------------------------------------------------------ */

Test(virtio_balloon, target_is_shown_and_a_change_is_told)
{
    struct rig rig;
    rig_start(&rig, 16, ~0ull);
    cr_assert_eq(fake_driver_read_config(&rig.driver, 0, 4), 16);
    cr_assert_eq(rig.driver.interrupts, 0);
    balloon_set_target(rig.device, 16);
    cr_assert_eq(rig.driver.interrupts, 0, "no change, no news");
    balloon_set_target(rig.device, 32);
    cr_assert_eq(rig.driver.interrupts, 1);
    cr_assert(fake_driver_read(&rig.driver, FAKE_REG_INTERRUPT_STATUS) & VIRTIO_INTERRUPT_CONFIG);
    cr_assert_eq(fake_driver_read_config(&rig.driver, 0, 4), 32);
    balloon_set_target(rig.device, UINT32_MAX);
    cr_assert_eq(fake_driver_read_config(&rig.driver, 0, 4), PAGES, "no more than there are");
    rig_destroy(&rig);
}

Test(virtio_balloon, driver_writes_how_many_it_gave_up_and_nothing_else)
{
    struct rig rig;
    rig_start(&rig, 16, ~0ull);
    fake_driver_write_config(&rig.driver, 4, 4, 12);
    cr_assert_eq(counters(&rig).actual_pages, 12);
    fake_driver_write_config(&rig.driver, 4, 4, PAGES + 1);
    fake_driver_write_config(&rig.driver, 4, 4, UINT32_MAX);
    fake_driver_write_config(&rig.driver, 0, 4, 99);
    fake_driver_write_config(&rig.driver, 0, 8, UINT64_MAX);
    fake_driver_write_config(&rig.driver, 5, 1, 1);
    fake_driver_write_config(&rig.driver, 4, 2, 1);
    fake_driver_write_config(&rig.driver, 2, 4, 1);
    cr_assert_eq(counters(&rig).actual_pages, 12);
    cr_assert_eq(counters(&rig).target_pages, 16);
    rig_destroy(&rig);
}

Test(virtio_balloon, target_above_the_guests_memory_is_refused)
{
    struct fake_driver driver;
    struct thaw_error err = {0};
    struct virtio_device *device = NULL;
    const struct balloon_config config = {.target_pages = 5 << 8};
    fake_driver_init(&driver);
    cr_assert_eq(balloon_create(&config, &driver.context, &device, &err), -EINVAL);
    cr_assert_eq(err.failure, THAW_FAIL_USAGE);
    cr_assert_str_eq(err.message, "--balloon: 5 MiB of a guest that has 4 MiB");
    fake_driver_destroy(&driver);
}

/* ---- many requests, stopping, saving ------------------------------------------------------ */

/* `count` reports of one page each; the queue is made as long as it can be. */
static void start_with_reports(struct rig *rig, unsigned count)
{
    fake_driver_init(&rig->driver);
    rig->device = create(&rig->driver, 0);
    fake_driver_attach(&rig->driver, rig->device);
    fake_driver_prepare(&rig->driver, ~0ull);
    fake_driver_write(&rig->driver, FAKE_REG_QUEUE_SEL, REPORTS);
    fake_driver_write(&rig->driver, FAKE_REG_QUEUE_NUM, 128);
    fake_driver_write(&rig->driver, FAKE_REG_QUEUE_READY, 1);
    rig->driver.queues[REPORTS].size = 128;
    uint32_t status = fake_driver_read(&rig->driver, FAKE_REG_STATUS);
    fake_driver_write(&rig->driver, FAKE_REG_STATUS, status | VIRTIO_STATUS_DRIVER_OK);
    for (unsigned i = 0; i < count; i++) {
        const struct fake_buffer range = {VICTIM + (uint64_t)i * PAGE, PAGE, true};
        fake_driver_send(&rig->driver, REPORTS, &range, 1);
    }
}

Test(virtio_balloon, many_requests_leave_the_loop_to_others_in_between)
{
    struct rig rig;
    start_with_reports(&rig, 100);
    fake_driver_kick(&rig.driver, REPORTS);
    cr_assert_eq(requests_done(&rig, REPORTS), 32);
    cr_assert_eq(loop_turn(rig.driver.loop, 0), 1);
    cr_assert_eq(requests_done(&rig, REPORTS), 32);
    fake_driver_run_loop(&rig.driver, 0);
    cr_assert_eq(requests_done(&rig, REPORTS), 36);
    cr_assert_eq(counters(&rig).reported_bytes, 100 * PAGE);
    cr_assert_eq(loop_turn(rig.driver.loop, 0), 0);
    rig_destroy(&rig);
}

static void replace_by_copy(struct rig *rig)
{
    struct virtio_state state;
    struct balloon_state own;
    struct thaw_error err = {0};
    virtio_stop(rig->device);
    cr_assert(virtio_is_quiet(rig->device));
    virtio_mmio_save(&rig->driver.mmio, &state);
    rig->device->ops->save(rig->device, &own);
    virtio_destroy(rig->device);

    rig->device = create(&rig->driver, 0);
    virtio_stop(rig->device);
    fake_driver_attach(&rig->driver, rig->device);
    cr_assert_eq(virtio_mmio_load(&rig->driver.mmio, &state, &err), 0, "%s", err.message);
    cr_assert_eq(rig->device->ops->load(rig->device, &own, &err), 0, "%s", err.message);
    loop_lock(rig->driver.loop);
    virtio_resume(rig->device);
    loop_unlock(rig->driver.loop);
}

Test(virtio_balloon, balloon_saved_between_requests_goes_on)
{
    struct rig rig;
    start_with_reports(&rig, 100);
    fake_driver_kick(&rig.driver, REPORTS);
    balloon_set_target(rig.device, 20);
    fake_driver_write_config(&rig.driver, 4, 4, 10);
    replace_by_copy(&rig);
    fake_driver_run_loop(&rig.driver, 0);

    cr_assert_eq(requests_done(&rig, REPORTS), 100);
    cr_assert_eq(counters(&rig).reported_bytes, 68 * PAGE, "of which the copy did the rest");
    cr_assert_eq(counters(&rig).target_pages, 20);
    cr_assert_eq(counters(&rig).actual_pages, 10);
    cr_assert_eq(fake_driver_read_config(&rig.driver, 0, 8), 20 | 10ull << 32);
    rig_destroy(&rig);
}

Test(virtio_balloon, stopped_balloon_touches_nothing)
{
    struct rig rig;
    start_with_reports(&rig, 100);
    fake_driver_kick(&rig.driver, REPORTS);
    virtio_stop(rig.device);
    fake_driver_run_loop(&rig.driver, 0);
    cr_assert_eq(requests_done(&rig, REPORTS), 32);
    virtio_resume(rig.device);
    fake_driver_run_loop(&rig.driver, 0);
    cr_assert_eq(requests_done(&rig, REPORTS), 68);
    rig_destroy(&rig);
}

Test(virtio_balloon, reset_empties_the_balloon_and_keeps_the_target)
{
    struct rig rig;
    rig_start(&rig, 16, ~0ull);
    fake_driver_write_config(&rig.driver, 4, 4, 16);
    fake_driver_write(&rig.driver, FAKE_REG_STATUS, 0);
    cr_assert_eq(fake_driver_read_config(&rig.driver, 0, 8), 16);
    rig_destroy(&rig);
}

Test(virtio_balloon, hostile_state_is_refused_and_changes_nothing)
{
    const struct balloon_state rows[] = {
        {PAGES + 1, 0}, {UINT32_MAX, 0}, {0, PAGES + 1}, {0, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}};
    struct rig rig;
    rig_start(&rig, 16, ~0ull);
    virtio_stop(rig.device);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct thaw_error err = {0};
        cr_assert_eq(rig.device->ops->load(rig.device, &rows[i], &err), -EINVAL);
        cr_assert_eq(fake_driver_read_config(&rig.driver, 0, 8), 16);
    }
    rig_destroy(&rig);
}
