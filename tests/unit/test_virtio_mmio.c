/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of virtio over MMIO, with a device that echoes nothing and counts everything. */
#include "tests/unit/fake_driver.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define FEATURE_A (1ull << 3)
#define FEATURE_B (1ull << 40)
#define QUEUES    2u

struct dummy {
    struct virtio_device base;
    uint8_t config[6];
    unsigned activated, resets, notified[QUEUES], stops, resumes;
};

static void dummy_activate(struct virtio_device *device)
{
    ((struct dummy *)device)->activated++;
}

static void dummy_reset(struct virtio_device *device)
{
    ((struct dummy *)device)->resets++;
}

static void dummy_notify(struct virtio_device *device, unsigned queue)
{
    struct dummy *dummy = (struct dummy *)device;
    dummy->notified[queue]++;
    struct virtq_chain chain;
    int rc;
    while ((rc = virtq_pop(&device->queues[queue], &chain)) > 0)
        virtq_push(&device->queues[queue], chain.head, 0);
    if (rc < 0)
        virtio_fail(device);
    virtio_notify_driver(device, queue);
}

static void dummy_config_read(struct virtio_device *device, uint32_t offset, void *to,
                              uint32_t size)
{
    memcpy(to, ((struct dummy *)device)->config + offset, size);
}

static void dummy_config_write(struct virtio_device *device, uint32_t offset, const void *from,
                               uint32_t size)
{
    memcpy(((struct dummy *)device)->config + offset, from, size);
}

static void dummy_stop(struct virtio_device *device)
{
    ((struct dummy *)device)->stops++;
}

static void dummy_resume(struct virtio_device *device)
{
    ((struct dummy *)device)->resumes++;
}

static void dummy_destroy(struct virtio_device *device)
{
    free(device);
}

static const struct virtio_ops dummy_ops = {
    .name = "dummy",
    .id = 42,
    .activate = dummy_activate,
    .reset = dummy_reset,
    .notify = dummy_notify,
    .config_read = dummy_config_read,
    .config_write = dummy_config_write,
    .config_size = 6,
    .stop = dummy_stop,
    .resume = dummy_resume,
    .destroy = dummy_destroy,
};

static struct fake_driver driver;
static struct dummy *dummy;

static struct dummy *create_dummy(void)
{
    struct dummy *created = calloc(1, sizeof(*created));
    cr_assert_not_null(created);
    virtio_device_init(&created->base, &dummy_ops, &driver.context, FEATURE_A | FEATURE_B, QUEUES,
                       64);
    return created;
}

static void set_up(void)
{
    fake_driver_init(&driver);
    dummy = create_dummy();
    fake_driver_attach(&driver, &dummy->base);
}

static void tear_down(void)
{
    fake_driver_destroy(&driver);
}

TestSuite(virtio_mmio, .init = set_up, .fini = tear_down);

static uint32_t status(void)
{
    return fake_driver_read(&driver, FAKE_REG_STATUS);
}

static void write_status(uint32_t value)
{
    fake_driver_write(&driver, FAKE_REG_STATUS, value);
}

/* ---- what can be read --------------------------------------------------------------------- */

Test(virtio_mmio, the_window_says_what_it_is)
{
    cr_assert_eq(fake_driver_read(&driver, 0x000), 0x74726976);
    cr_assert_eq(fake_driver_read(&driver, 0x004), 2);
    cr_assert_eq(fake_driver_read(&driver, 0x008), 42);
    cr_assert_eq(fake_driver_read(&driver, FAKE_REG_QUEUE_NUM_MAX), 64);
    fake_driver_write(&driver, FAKE_REG_QUEUE_SEL, QUEUES);
    cr_assert_eq(fake_driver_read(&driver, FAKE_REG_QUEUE_NUM_MAX), 0, "there is no such queue");
    fake_driver_write(&driver, FAKE_REG_DEVICE_FEATURES_SEL, 1);
    cr_assert_eq(fake_driver_read(&driver, FAKE_REG_DEVICE_FEATURES), FEATURE_B >> 32 | 1);
    fake_driver_write(&driver, FAKE_REG_DEVICE_FEATURES_SEL, 2);
    cr_assert_eq(fake_driver_read(&driver, FAKE_REG_DEVICE_FEATURES), 0);
}

Test(virtio_mmio, there_is_no_shared_memory)
{
    fake_driver_write(&driver, 0x0ac, 0);
    cr_assert_eq(fake_driver_read(&driver, 0x0b0), UINT32_MAX);
    cr_assert_eq(fake_driver_read(&driver, 0x0b4), UINT32_MAX);
}

Test(virtio_mmio, registers_have_32_bits)
{
    uint64_t value = 1;
    virtio_mmio_bus_ops.read(&driver.mmio, 0x000, 2, &value);
    cr_assert_eq(value, 0);
    virtio_mmio_bus_ops.read(&driver.mmio, 0x002, 4, &value);
    cr_assert_eq(value, 0);
    virtio_mmio_bus_ops.write(&driver.mmio, FAKE_REG_STATUS, 1, 1);
    cr_assert_eq(status(), 0);
}

Test(virtio_mmio, the_configuration_space_ends_where_it_ends)
{
    fake_driver_write_config(&driver, 0, 4, 0x44332211);
    fake_driver_write_config(&driver, 4, 2, 0x6655);
    cr_assert_eq(fake_driver_read_config(&driver, 0, 4), 0x44332211);
    cr_assert_eq(fake_driver_read_config(&driver, 5, 1), 0x66);
    cr_assert_eq(fake_driver_read_config(&driver, 4, 4), 0, "two bytes too long");
    cr_assert_eq(fake_driver_read_config(&driver, 6, 1), 0);
    fake_driver_write_config(&driver, 4, 4, UINT32_MAX);
    fake_driver_write_config(&driver, 0xeff, 1, 0xff);
    cr_assert_eq(fake_driver_read_config(&driver, 4, 2), 0x6655);
}

/* ---- status ------------------------------------------------------------------------------- */

Test(virtio_mmio, a_driver_that_keeps_the_order_gets_through)
{
    fake_driver_start(&driver, FEATURE_A | FEATURE_B);
    cr_assert_eq(dummy->activated, 1);
    cr_assert_eq(dummy->base.accepted, FEATURE_A | FEATURE_B | VIRTIO_F_VERSION_1);
}

Test(virtio_mmio, status_bits_out_of_order_are_not_taken)
{
    static const uint32_t wrong[] = {
        VIRTIO_STATUS_DRIVER,
        VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_FEATURES_OK,
        VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK,
        VIRTIO_STATUS_DRIVER_OK,
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        write_status(wrong[i]);
        cr_assert_eq(status(), 0, "0x%x", wrong[i]);
    }
    cr_assert_eq(dummy->activated, 0);
}

Test(virtio_mmio, status_bits_are_not_taken_back) /* only a reset does that */
{
    fake_driver_start(&driver, 0);
    uint32_t before = status();
    write_status(VIRTIO_STATUS_ACKNOWLEDGE);
    write_status(before & ~VIRTIO_STATUS_FEATURES_OK);
    cr_assert_eq(status(), before);
    cr_assert_eq(dummy->activated, 1);
}

Test(virtio_mmio, a_driver_does_not_set_the_devices_own_bits)
{
    write_status(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_NEEDS_RESET | 0xffffff00);
    cr_assert_eq(status(), VIRTIO_STATUS_ACKNOWLEDGE);
}

Test(virtio_mmio, a_driver_that_gave_up_is_left_alone)
{
    fake_driver_start(&driver, 0);
    write_status(status() | VIRTIO_STATUS_FAILED);
    unsigned before = dummy->notified[0];
    fake_driver_kick(&driver, 0);
    cr_assert_eq(dummy->notified[0], before);
}

Test(virtio_mmio, a_reset_forgets_everything)
{
    fake_driver_start(&driver, FEATURE_A);
    unsigned resets = dummy->resets;
    write_status(0);
    cr_assert_eq(status(), 0);
    cr_assert_eq(dummy->resets, resets + 1);
    cr_assert_eq(dummy->base.accepted, 0);
    for (uint32_t i = 0; i < QUEUES; i++) {
        fake_driver_write(&driver, FAKE_REG_QUEUE_SEL, i);
        cr_assert_eq(fake_driver_read(&driver, FAKE_REG_QUEUE_READY), 0);
    }
    fake_driver_start(&driver, FEATURE_B);
    cr_assert_eq(dummy->base.accepted, FEATURE_B | VIRTIO_F_VERSION_1);
}

/* ---- features ----------------------------------------------------------------------------- */

static void negotiate(uint64_t features)
{
    write_status(0);
    write_status(VIRTIO_STATUS_ACKNOWLEDGE);
    write_status(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    for (uint32_t i = 0; i < 2; i++) {
        fake_driver_write(&driver, FAKE_REG_DRIVER_FEATURES_SEL, i);
        fake_driver_write(&driver, FAKE_REG_DRIVER_FEATURES, (uint32_t)(features >> (32 * i)));
    }
    write_status(status() | VIRTIO_STATUS_FEATURES_OK);
}

Test(virtio_mmio, features_that_were_not_offered_are_refused)
{
    negotiate(VIRTIO_F_VERSION_1 | (1ull << 5));
    cr_assert_not(status() & VIRTIO_STATUS_FEATURES_OK);
    negotiate(VIRTIO_F_VERSION_1 | FEATURE_A);
    cr_assert(status() & VIRTIO_STATUS_FEATURES_OK);
}

Test(virtio_mmio, a_driver_of_before_1_0_is_refused)
{
    negotiate(FEATURE_A);
    cr_assert_not(status() & VIRTIO_STATUS_FEATURES_OK);
}

Test(virtio_mmio, features_freeze_with_features_ok)
{
    fake_driver_prepare(&driver, 0);
    fake_driver_write(&driver, FAKE_REG_DRIVER_FEATURES_SEL, 0);
    fake_driver_write(&driver, FAKE_REG_DRIVER_FEATURES, (uint32_t)FEATURE_A);
    write_status(status() | VIRTIO_STATUS_DRIVER_OK);
    cr_assert_eq(dummy->base.accepted, VIRTIO_F_VERSION_1);
}

/* ---- queues ------------------------------------------------------------------------------- */

Test(virtio_mmio, cve_2026_5747_a_live_queue_does_not_move)
{
    fake_driver_start(&driver, 0);
    struct virtq before = dummy->base.queues[0];
    fake_driver_write(&driver, FAKE_REG_QUEUE_SEL, 0);
    fake_driver_write(&driver, FAKE_REG_QUEUE_NUM, 0);
    fake_driver_write(&driver, FAKE_REG_QUEUE_DESC, FAKE_OUTSIDE);
    fake_driver_write(&driver, FAKE_REG_QUEUE_READY, 0);
    fake_driver_write(&driver, FAKE_REG_QUEUE_READY, 1);
    cr_assert(dummy->base.queues[0].ready);
    cr_assert_eq(memcmp(&before.layout, &dummy->base.queues[0].layout, sizeof(before.layout)), 0);
    cr_assert_eq(before.desc, dummy->base.queues[0].desc);
}

Test(virtio_mmio, a_queue_that_is_ready_does_not_move_before_driver_ok_either)
{
    fake_driver_prepare(&driver, 0);
    fake_driver_write(&driver, FAKE_REG_QUEUE_SEL, 0);
    fake_driver_write(&driver, FAKE_REG_QUEUE_READY, 1);
    fake_driver_write(&driver, FAKE_REG_QUEUE_NUM, 4);
    cr_assert_eq(dummy->base.queues[0].layout.size, FAKE_QUEUE_SIZE);
    fake_driver_write(&driver, FAKE_REG_QUEUE_READY, 0);
    fake_driver_write(&driver, FAKE_REG_QUEUE_NUM, 4);
    fake_driver_write(&driver, FAKE_REG_QUEUE_READY, 1);
    cr_assert_eq(dummy->base.queues[0].layout.size, 4, "off, changed, and on again");
}

Test(virtio_mmio, queue_registers_wait_for_the_features)
{
    write_status(VIRTIO_STATUS_ACKNOWLEDGE);
    write_status(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    fake_driver_write(&driver, FAKE_REG_QUEUE_NUM, 8);
    fake_driver_write(&driver, FAKE_REG_QUEUE_READY, 1);
    cr_assert_eq(fake_driver_read(&driver, FAKE_REG_QUEUE_READY), 0);
}

Test(virtio_mmio, a_queue_with_a_bad_layout_asks_for_a_reset)
{
    static const struct {
        uint64_t reg;
        uint32_t value;
    } bad[] = {
        {FAKE_REG_QUEUE_NUM, 0},
        {FAKE_REG_QUEUE_NUM, 65},
        {FAKE_REG_QUEUE_NUM, 128},
        {FAKE_REG_QUEUE_NUM, 0x10008},
        {FAKE_REG_QUEUE_DESC, 8},
        {FAKE_REG_QUEUE_AVAIL, 1},
        {FAKE_REG_QUEUE_USED, 2},
        {FAKE_REG_QUEUE_DESC + 4, UINT32_MAX},
        {FAKE_REG_QUEUE_AVAIL, (uint32_t)FAKE_OUTSIDE},
        {FAKE_REG_QUEUE_USED + 4, 1},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fake_driver_prepare(&driver, 0);
        fake_driver_write(&driver, FAKE_REG_QUEUE_SEL, 1);
        fake_driver_write(&driver, bad[i].reg, bad[i].value);
        fake_driver_write(&driver, FAKE_REG_QUEUE_READY, 1);
        cr_assert_eq(fake_driver_read(&driver, FAKE_REG_QUEUE_READY), 0, "row %zu", i);
        cr_assert(status() & VIRTIO_STATUS_NEEDS_RESET, "row %zu", i);
    }
}

Test(virtio_mmio, selectors_beyond_the_queues_do_nothing) /* CVE-2021-45464 */
{
    fake_driver_start(&driver, 0);
    static const uint32_t beyond[] = {QUEUES, VIRTIO_QUEUES_MAX, 1000, UINT32_MAX};
    for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
        fake_driver_write(&driver, FAKE_REG_QUEUE_SEL, beyond[i]);
        fake_driver_write(&driver, FAKE_REG_QUEUE_NUM, 8);
        fake_driver_write(&driver, FAKE_REG_QUEUE_USED, 0x1000);
        fake_driver_write(&driver, FAKE_REG_QUEUE_READY, 1);
        cr_assert_eq(fake_driver_read(&driver, FAKE_REG_QUEUE_READY), 0);
        fake_driver_kick(&driver, beyond[i]);
    }
}

/* ---- notifications and interrupts --------------------------------------------------------- */

Test(virtio_mmio, a_notification_before_driver_ok_is_not_passed_on)
{
    fake_driver_prepare(&driver, 0);
    fake_driver_write(&driver, FAKE_REG_QUEUE_SEL, 0);
    fake_driver_write(&driver, FAKE_REG_QUEUE_READY, 1);
    fake_driver_kick(&driver, 0);
    cr_assert_eq(dummy->notified[0], 0);
}

Test(virtio_mmio, what_was_queued_before_driver_ok_is_served_after_it)
{
    fake_driver_prepare(&driver, 0);
    fake_driver_write(&driver, FAKE_REG_QUEUE_SEL, 0);
    fake_driver_write(&driver, FAKE_REG_QUEUE_READY, 1);
    const struct fake_buffer buffer = {fake_driver_alloc(&driver, 16), 16, false};
    fake_driver_send(&driver, 0, &buffer, 1);
    write_status(status() | VIRTIO_STATUS_DRIVER_OK);
    uint32_t head, length;
    cr_assert(fake_driver_used(&driver, 0, &head, &length));
}

Test(virtio_mmio, interrupts_are_told_and_acknowledged_bit_by_bit)
{
    fake_driver_start(&driver, 0);
    const struct fake_buffer buffer = {fake_driver_alloc(&driver, 16), 16, false};
    fake_driver_send(&driver, 1, &buffer, 1);
    fake_driver_kick(&driver, 1);
    virtio_config_changed(&dummy->base);
    cr_assert_eq(driver.interrupts, 2);
    cr_assert_eq(fake_driver_read(&driver, FAKE_REG_INTERRUPT_STATUS), 3);
    fake_driver_write(&driver, FAKE_REG_INTERRUPT_ACK, VIRTIO_INTERRUPT_QUEUE);
    cr_assert_eq(fake_driver_read(&driver, FAKE_REG_INTERRUPT_STATUS), VIRTIO_INTERRUPT_CONFIG);
    cr_assert_eq(fake_driver_read(&driver, 0x0fc), 1, "the configuration has a new generation");
}

Test(virtio_mmio, a_broken_queue_asks_for_a_reset_once_and_stops)
{
    fake_driver_start(&driver, 0);
    fake_driver_offer(&driver, 0, FAKE_QUEUE_SIZE);
    fake_driver_kick(&driver, 0);
    cr_assert(status() & VIRTIO_STATUS_NEEDS_RESET);
    cr_assert_str_eq(virtio_complaint(&dummy->base), "chain head beyond the queue");
    cr_assert_eq(driver.interrupts, 1);
    cr_assert_eq(fake_driver_read(&driver, FAKE_REG_INTERRUPT_STATUS), VIRTIO_INTERRUPT_CONFIG);
    unsigned notified = dummy->notified[1];
    fake_driver_kick(&driver, 1);
    cr_assert_eq(dummy->notified[1], notified, "no queue is served before the reset");
    fake_driver_start(&driver, 0);
    cr_assert_not(status() & VIRTIO_STATUS_NEEDS_RESET);
    cr_assert_null(virtio_complaint(&dummy->base));
    virtio_fail(&dummy->base);
    cr_assert_not_null(virtio_complaint(&dummy->base));
}

Test(virtio_mmio, a_device_that_needs_a_reset_takes_nothing_from_any_queue)
{
    struct virtq_chain chain;
    fake_driver_start(&driver, 0);
    const struct fake_buffer buffer = {fake_driver_alloc(&driver, 16), 16, false};
    fake_driver_send(&driver, 1, &buffer, 1);
    virtio_fail(&dummy->base);
    cr_assert_eq(virtq_pop(&dummy->base.queues[1], &chain), 0);
    cr_assert_not(virtq_has_work(&dummy->base.queues[1]));
}

/* ---- state -------------------------------------------------------------------------------- */

Test(virtio_mmio, a_stopped_device_is_not_notified_until_it_goes_on)
{
    fake_driver_start(&driver, 0);
    virtio_stop(&dummy->base);
    virtio_stop(&dummy->base);
    cr_assert_eq(dummy->stops, 1);
    unsigned before = dummy->notified[0];
    fake_driver_kick(&driver, 0);
    cr_assert_eq(dummy->notified[0], before);
    virtio_resume(&dummy->base);
    virtio_resume(&dummy->base);
    cr_assert_eq(dummy->resumes, 1);
    cr_assert_eq(dummy->notified[0], before + 1, "what came meanwhile is looked at");
}

/* A second device over the same guest memory takes the first one's place. */
static int move(struct virtio_state *state)
{
    struct thaw_error err = {0};
    struct dummy *copy = create_dummy();
    struct virtio_device *old = driver.mmio.device;
    fake_driver_attach(&driver, &copy->base);
    virtio_destroy(old);
    dummy = copy;
    virtio_stop(&dummy->base);
    return virtio_mmio_load(&driver.mmio, state, &err);
}

Test(virtio_mmio, a_device_goes_on_where_it_was_saved)
{
    fake_driver_start(&driver, FEATURE_A);
    const struct fake_buffer buffer = {fake_driver_alloc(&driver, 16), 16, false};
    fake_driver_send(&driver, 0, &buffer, 1);
    fake_driver_kick(&driver, 0);
    fake_driver_write(&driver, FAKE_REG_QUEUE_SEL, 1);
    virtio_stop(&dummy->base);
    fake_driver_send(&driver, 0, &buffer, 1);
    struct virtio_state state, again;
    virtio_mmio_save(&driver.mmio, &state);
    cr_assert_eq(move(&state), 0);

    virtio_mmio_save(&driver.mmio, &again);
    cr_assert_eq(memcmp(&state, &again, sizeof(state)), 0);
    cr_assert_eq(fake_driver_read(&driver, FAKE_REG_INTERRUPT_STATUS), VIRTIO_INTERRUPT_QUEUE);
    cr_assert_eq(fake_driver_read(&driver, FAKE_REG_QUEUE_READY), 1, "the selector too");
    virtio_resume(&dummy->base);
    uint32_t head, length;
    cr_assert(fake_driver_used(&driver, 0, &head, &length));
    cr_assert(fake_driver_used(&driver, 0, &head, &length), "sent while nobody looked");
}

Test(virtio_mmio, a_device_that_needs_a_reset_still_does_after_a_load)
{
    struct virtq_chain chain;
    struct virtio_state state;
    fake_driver_start(&driver, 0);
    virtio_stop(&dummy->base);
    virtio_mmio_save(&driver.mmio, &state);
    state.status |= VIRTIO_STATUS_NEEDS_RESET;
    cr_assert_eq(move(&state), 0);
    const struct fake_buffer buffer = {fake_driver_alloc(&driver, 16), 16, false};
    fake_driver_send(&driver, 0, &buffer, 1);
    virtio_resume(&dummy->base);
    cr_assert_eq(virtq_pop(&dummy->base.queues[0], &chain), 0);
}

Test(virtio_mmio, a_half_initialised_device_goes_on_too)
{
    fake_driver_prepare(&driver, FEATURE_A);
    virtio_stop(&dummy->base);
    struct virtio_state state;
    virtio_mmio_save(&driver.mmio, &state);
    cr_assert_eq(move(&state), 0);
    fake_driver_write(&driver, FAKE_REG_QUEUE_SEL, 0);
    fake_driver_write(&driver, FAKE_REG_QUEUE_READY, 1);
    cr_assert_eq(fake_driver_read(&driver, FAKE_REG_QUEUE_READY), 1);
}

Test(virtio_mmio, hostile_states_are_refused_and_change_nothing)
{
    fake_driver_start(&driver, FEATURE_A);
    virtio_stop(&dummy->base);
    struct virtio_state good, fresh, after;
    virtio_mmio_save(&driver.mmio, &good);

    struct virtio_state bad[10];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        bad[i] = good;
    bad[0].queue_count = QUEUES + 1;
    bad[1].status = VIRTIO_STATUS_DRIVER_OK;
    bad[2].status |= 0x100;
    bad[3].interrupt_status = 4;
    bad[4].accepted |= 1ull << 50;
    bad[5].status = VIRTIO_STATUS_ACKNOWLEDGE;
    bad[6].queues[1].avail = FAKE_OUTSIDE;
    bad[7].queues[0].size = 128;
    bad[8].reserved = 1;
    bad[9].status &= ~VIRTIO_STATUS_DRIVER_OK;
    bad[9].interrupt_status = VIRTIO_INTERRUPT_QUEUE;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct virtio_state *state = &bad[i];
        write_status(0);
        virtio_mmio_save(&driver.mmio, &fresh);
        cr_assert_eq(move(state), -EINVAL, "row %zu", i);
        virtio_mmio_save(&driver.mmio, &after);
        cr_assert_eq(memcmp(&fresh.queues, &after.queues, sizeof(fresh.queues)), 0, "row %zu", i);
        cr_assert_eq(after.status, 0, "row %zu", i);
    }
}
