/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/rng.h"
#include "tests/unit/fake_driver.h"
#include "vmm/base/clock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#define UNTOUCHED 0xa5
#define FAST      (1ull << 40)

static struct {
    struct fake_driver driver;
    struct virtio_device *device;
} rig;

static struct virtio_device *new_rng(uint64_t bytes_per_second, uint64_t burst)
{
    struct thaw_error err = {0};
    struct virtio_device *device = NULL;
    const struct rng_config config = {.bytes_per_second = bytes_per_second, .burst = burst};
    cr_assert_eq(rng_create(&config, &rig.driver.context, &device, &err), 0, "%s", err.message);
    return device;
}

static void start(uint64_t bytes_per_second, uint64_t burst)
{
    rig.device = new_rng(bytes_per_second, burst);
    fake_driver_attach(&rig.driver, rig.device);
    fake_driver_start(&rig.driver, VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC);
}

static void set_up(void)
{
    fake_driver_init(&rig.driver);
}

static void tear_down(void)
{
    fake_driver_destroy(&rig.driver);
}

TestSuite(virtio_rng, .init = set_up, .fini = tear_down);

static uint64_t buffer(uint32_t size)
{
    uint64_t address = fake_driver_alloc(&rig.driver, size);
    memset(fake_driver_at(&rig.driver, address, size), UNTOUCHED, size);
    return address;
}

/* Not notified yet. */
static uint64_t ask(uint32_t size)
{
    const struct fake_buffer part = {.address = buffer(size), .length = size, .writable = true};
    fake_driver_send(&rig.driver, 0, &part, 1);
    return part.address;
}

static bool answered(uint32_t *length)
{
    uint32_t head;
    return fake_driver_used(&rig.driver, 0, &head, length);
}

/* How many bytes in a row, from the end, were not written. Random bytes look like them at times:
 * one in 256. */
static uint32_t untouched(uint64_t address, uint32_t size)
{
    const unsigned char *bytes = fake_driver_at(&rig.driver, address, size);
    uint32_t count = 0;
    while (count < size && bytes[size - 1 - count] == UNTOUCHED)
        count++;
    return count;
}

/* What a copy of a guest's memory relies on, taken while its devices stand still. */
Test(virtio_rng, whatever_a_driver_does_to_a_stopped_device_makes_another_number)
{
    uint32_t length;
    start(FAST, 64);
    virtio_stop(rig.device);
    uint64_t before = virtio_asked(rig.device);
    cr_assert_neq(fake_driver_read(&rig.driver, VIRTIO_MMIO_STATUS), 0);
    cr_assert_eq(virtio_asked(rig.device), before, "reading is nothing");

    uint64_t address = ask(64);
    uint64_t offered = virtio_asked(rig.device);
    cr_assert_neq(offered, before, "a buffer");
    fake_driver_kick(&rig.driver, 0);
    fake_driver_run_loop(&rig.driver, 20);
    cr_assert_not(answered(&length));
    cr_assert_eq(untouched(address, 64), 64, "it is not served");
    cr_assert_eq(virtio_asked(rig.device), offered);

    fake_driver_write(&rig.driver, VIRTIO_MMIO_STATUS, 0);
    cr_assert_neq(virtio_asked(rig.device), offered, "a reset");
}

Test(virtio_rng, a_buffer_is_filled_with_different_bytes_each_time)
{
    uint32_t length;
    start(0, 0);
    uint64_t first = ask(64), second = ask(64);
    fake_driver_kick(&rig.driver, 0);
    cr_assert(answered(&length) && length == 64);
    cr_assert(answered(&length) && length == 64);
    cr_assert_neq(
        memcmp(fake_driver_at(&rig.driver, first, 64), fake_driver_at(&rig.driver, second, 64), 64),
        0);
    cr_assert_gt(rig.driver.interrupts, 0);
}

Test(virtio_rng, a_request_gets_64_kib_at_most_and_no_byte_beyond_is_touched)
{
    uint32_t length;
    start(0, 0);
    uint64_t address = ask(100000);
    fake_driver_kick(&rig.driver, 0);
    cr_assert(answered(&length));
    cr_assert_eq(length, RNG_REQUEST_MAX);
    uint32_t rest = untouched(address, 100000);
    cr_assert_geq(rest, 100000 - RNG_REQUEST_MAX);
    cr_assert_lt(rest, 100000 - RNG_REQUEST_MAX + 16, "the used length was written whole");
}

Test(virtio_rng, a_chain_of_several_buffers_is_filled_in_order)
{
    uint32_t length;
    start(0, 0);
    struct fake_buffer parts[4];
    for (unsigned i = 0; i < 4; i++)
        parts[i] =
            (struct fake_buffer){.address = buffer(20000), .length = 20000, .writable = true};
    fake_driver_send(&rig.driver, 0, parts, 4);
    fake_driver_kick(&rig.driver, 0);
    cr_assert(answered(&length));
    cr_assert_eq(length, RNG_REQUEST_MAX);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_lt(untouched(parts[i].address, 20000), 16);
    uint32_t rest = untouched(parts[3].address, 20000);
    cr_assert(rest >= 80000 - RNG_REQUEST_MAX && rest < 80000 - RNG_REQUEST_MAX + 16);
}

Test(virtio_rng, more_requests_than_one_turn_serves_are_all_served)
{
    uint32_t length;
    start(0, 0);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < FAKE_QUEUE_SIZE; i++)
            ask(8);
        fake_driver_kick(&rig.driver, 0);
        fake_driver_run_loop(&rig.driver, 0);
        for (unsigned i = 0; i < FAKE_QUEUE_SIZE; i++)
            cr_assert(answered(&length) && length == 8);
    }
}

Test(virtio_rng, an_empty_buffer_is_given_back_empty)
{
    uint32_t length;
    start(0, 0);
    fake_driver_set_desc(&rig.driver, 0, 0, buffer(16), 0, FAKE_WRITE, 0);
    fake_driver_offer(&rig.driver, 0, 0);
    fake_driver_kick(&rig.driver, 0);
    cr_assert(answered(&length));
    cr_assert_eq(length, 0);
}

Test(virtio_rng, a_buffer_to_be_read_is_against_the_rules)
{
    uint32_t length;
    start(0, 0);
    const struct fake_buffer part = {.address = buffer(16), .length = 16};
    fake_driver_send(&rig.driver, 0, &part, 1);
    fake_driver_kick(&rig.driver, 0);
    cr_assert_not(answered(&length));
    cr_assert(fake_driver_read(&rig.driver, FAKE_REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
}

Test(virtio_rng, a_request_that_is_against_the_rules_is_not_left_in_flight)
{
    start(0, 0);
    const struct fake_buffer part = {.address = buffer(16), .length = 16};
    fake_driver_send(&rig.driver, 0, &part, 1);
    fake_driver_kick(&rig.driver, 0);
    struct virtio_device *device = rig.driver.mmio.device;
    cr_assert(virtio_is_quiet(device));
    cr_assert_eq(device->queues[0].in_flight, 0);
}

Test(virtio_rng, a_buffer_outside_of_memory_is_against_the_rules)
{
    start(0, 0);
    const struct fake_buffer part = {.address = FAKE_OUTSIDE, .length = 16, .writable = true};
    fake_driver_send(&rig.driver, 0, &part, 1);
    fake_driver_kick(&rig.driver, 0);
    cr_assert(fake_driver_read(&rig.driver, FAKE_REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
}

/* ---- the limit ---------------------------------------------------------------------------- */

/* Serves the loop until the next answer. */
static uint64_t wait_for_answer(uint32_t *length)
{
    uint64_t begun = clock_monotonic_ns();
    while (!answered(length)) {
        loop_turn(rig.driver.loop, 20);
        cr_assert_lt(clock_monotonic_ns() - begun, 20000000000ull, "never answered");
    }
    return (clock_monotonic_ns() - begun) / 1000000;
}

Test(virtio_rng, beyond_the_burst_a_request_waits_until_its_bytes_are_due)
{
    uint32_t length;
    start(200, 100);
    ask(60);
    ask(60);
    fake_driver_kick(&rig.driver, 0);
    cr_assert(answered(&length) && length == 60);
    cr_assert_not(answered(&length), "40 are left");
    uint64_t ms = wait_for_answer(&length);
    cr_assert_eq(length, 60);
    cr_assert_geq(ms, 50, "20 bytes at 200 a second, answered after %lu ms", ms);
}

Test(virtio_rng, over_time_the_rate_is_kept)
{
    uint32_t length;
    start(10000, 100);
    uint64_t begun = clock_monotonic_ns();
    for (unsigned i = 0; i < FAKE_QUEUE_SIZE; i++)
        ask(100);
    fake_driver_kick(&rig.driver, 0);
    for (unsigned i = 0; i < FAKE_QUEUE_SIZE; i++)
        wait_for_answer(&length);
    uint64_t ms = (clock_monotonic_ns() - begun) / 1000000;
    cr_assert_geq(ms, 149, "1500 bytes beyond the burst at 10 a millisecond took %lu ms", ms);
}

Test(virtio_rng, a_request_larger_than_the_burst_gets_the_burst)
{
    uint32_t length;
    start(1000000, 100);
    ask(4096);
    fake_driver_kick(&rig.driver, 0);
    wait_for_answer(&length);
    cr_assert_eq(length, 100);
}

Test(virtio_rng, the_fastest_limit_overflows_nothing)
{
    uint32_t length;
    start(FAST, FAST);
    for (unsigned i = 0; i < FAKE_QUEUE_SIZE; i++)
        ask(65536);
    fake_driver_kick(&rig.driver, 0);
    for (unsigned i = 0; i < FAKE_QUEUE_SIZE; i++)
        cr_assert(answered(&length) && length == 65536);
}

Test(virtio_rng, limits_out_of_range_are_refused)
{
    static const struct rng_config rows[] = {{1, 0}, {FAST + 1, 1}, {1, FAST + 1}, {1, UINT64_MAX}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct thaw_error err = {0};
        struct virtio_device *device = NULL;
        cr_assert_eq(rng_create(&rows[i], &rig.driver.context, &device, &err), -EINVAL);
        cr_assert_eq(err.failure, THAW_FAIL_USAGE);
        cr_assert_null(device);
    }
}

Test(virtio_rng, a_reset_while_throttled_forgets_the_request_but_not_the_limit)
{
    uint32_t length;
    start(400, 100);
    ask(100);
    uint64_t forgotten = ask(100);
    fake_driver_kick(&rig.driver, 0);
    cr_assert(answered(&length));
    fake_driver_start(&rig.driver, 0);
    fake_driver_run_loop(&rig.driver, 300);
    cr_assert_eq(untouched(forgotten, 100), 100, "the old ring is not touched any more");

    ask(100);
    ask(100);
    fake_driver_kick(&rig.driver, 0);
    wait_for_answer(&length);
    cr_assert_not(answered(&length), "the bucket was not filled by the reset");
    wait_for_answer(&length);
    cr_assert_eq(length, 100);
}

/* ---- snapshots ---------------------------------------------------------------------------- */

Test(virtio_rng, a_throttled_request_is_answered_by_the_restored_device)
{
    struct rng_state own;
    struct virtio_state state;
    struct thaw_error err = {0};
    uint32_t length;
    start(400, 100);
    ask(100);
    ask(100);
    fake_driver_kick(&rig.driver, 0);
    cr_assert(answered(&length));
    virtio_stop(rig.device);
    cr_assert(virtio_is_quiet(rig.device));
    fake_driver_run_loop(&rig.driver, 150);
    cr_assert_not(answered(&length), "stopped is stopped");
    virtio_mmio_save(&rig.driver.mmio, &state);
    rig.device->ops->save(rig.device, &own);
    virtio_destroy(rig.device);

    rig.device = new_rng(400, 100);
    fake_driver_attach(&rig.driver, rig.device);
    virtio_stop(rig.device);
    cr_assert_eq(virtio_mmio_load(&rig.driver.mmio, &state, &err), 0, "%s", err.message);
    cr_assert_eq(rig.device->ops->load(rig.device, &own, &err), 0, "%s", err.message);
    virtio_resume(rig.device);
    wait_for_answer(&length);
    cr_assert_eq(length, 100);
}

Test(virtio_rng, a_state_with_more_than_the_burst_is_refused)
{
    static const uint64_t rows[] = {101, UINT32_MAX, UINT64_MAX};
    start(1000, 100);
    virtio_stop(rig.device);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct rng_state state = {.tokens = rows[i]};
        struct thaw_error err = {0};
        cr_assert_eq(rig.device->ops->load(rig.device, &state, &err), -EINVAL);
    }
    const struct rng_state empty = {.tokens = 0};
    struct thaw_error err = {0};
    cr_assert_eq(rig.device->ops->load(rig.device, &empty, &err), 0);
}
