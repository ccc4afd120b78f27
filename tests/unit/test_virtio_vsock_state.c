/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio socket across a reset of the driver, and across a snapshot. */
#include "tests/unit/vsock_rig.h"

TestSuite(vsock_state, .init = set_up, .fini = tear_down);

struct saved {
    struct virtio_state common;
    struct vsock_state own;
};

static void stop_and_save(struct saved *saved)
{
    virtio_stop(rig.device);
    cr_assert(virtio_is_quiet(rig.device));
    virtio_mmio_save(&rig.driver.mmio, &saved->common);
    rig.device->ops->save(rig.device, &saved->own);
}

/* A new device with another CID of its own over the same memory; still stopped. */
static void load(const struct saved *saved)
{
    struct thaw_error err = {0};
    virtio_destroy(rig.device);
    rig.device = new_vsock(GUEST_CID + 1);
    fake_driver_attach(&rig.driver, rig.device);
    virtio_stop(rig.device);
    cr_assert_eq(virtio_mmio_load(&rig.driver.mmio, &saved->common, &err), 0, "%s", err.message);
    cr_assert_eq(rig.device->ops->load(rig.device, &saved->own, &err), 0, "%s", err.message);
}

static uint64_t offer_event(void)
{
    const struct fake_buffer part = {
        .address = fake_driver_alloc(&rig.driver, 4), .length = 4, .writable = true};
    memset(fake_driver_at(&rig.driver, part.address, 4), 0xff, 4);
    fake_driver_send(&rig.driver, EVENT, &part, 1);
    return part.address;
}

static bool next_event(uint32_t *length)
{
    uint32_t head;
    run_loop();
    return fake_driver_used(&rig.driver, EVENT, &head, length);
}

static uint16_t event_queue_asks_at(void)
{
    const struct fake_queue *q = &rig.driver.queues[EVENT];
    uint16_t index;
    memcpy(&index, fake_driver_at(&rig.driver, q->used + 4 + 8ull * q->size, 2), 2);
    return index;
}

Test(vsock_state, no_event_comes_without_a_restore)
{
    uint32_t length;
    offer_event();
    fake_driver_kick(&rig.driver, EVENT);
    cr_assert_not(next_event(&length));
    struct saved saved;
    stop_and_save(&saved);
    virtio_resume(rig.device);
    cr_assert_not(next_event(&length), "the snapshot is nothing to the one who goes on");
    uint32_t port;
    close(connect_to_guest(5, &port));
}

Test(vsock_state, a_restored_guest_is_told_to_reset_its_connections)
{
    struct saved saved;
    uint32_t port, length;
    int fd = connect_to_guest(5, &port);
    guest_write(5, port, "before", 6);
    uint64_t event = offer_event();
    offer_event();
    stop_and_save(&saved);
    load(&saved);
    cr_assert_not(next_event(&length), "nothing while it is stopped");
    virtio_resume(rig.device);
    cr_assert(next_event(&length));
    cr_assert_eq(length, 4);
    uint32_t id;
    memcpy(&id, fake_driver_at(&rig.driver, event, 4), 4);
    cr_assert_eq(id, 0, "VIRTIO_VSOCK_EVENT_TRANSPORT_RESET");
    cr_assert_eq(fake_driver_read_config(&rig.driver, 0, 8), GUEST_CID, "the CID that it knows");
    host_reads(fd, "before");
    host_reads(fd, "");
    close(fd);

    /* What the guest still sends on the old connection is answered with RST. */
    struct packet packet;
    guest_write(5, port, "after", 5);
    expect(&packet, VSOCK_OP_RST);

    int listener = host_listen("_80");
    close(connect_to_host(listener, 5, 80));
    close(listener);
}

Test(vsock_state, a_program_that_connects_at_once_waits_until_the_guest_has_dealt_with_the_event)
{
    struct saved saved;
    uint32_t length;
    for (int i = 0; i < 8; i++)
        offer_event();
    stop_and_save(&saved);
    load(&saved);
    int fd = host_open();
    host_write(fd, "CONNECT 5\n");
    expect_nothing();
    virtio_resume(rig.device);
    expect_nothing();
    cr_assert(next_event(&length));
    cr_assert_eq(event_queue_asks_at(), 8, "the next buffer is to be told of");
    expect_nothing();
    offer_event();
    fake_driver_kick(&rig.driver, EVENT);
    struct packet packet;
    expect(&packet, VSOCK_OP_REQUEST);
    guest_send(VSOCK_OP_RESPONSE, 5, packet.h.src_port);
    cr_assert_not(next_event(&length), "told once");
    cr_assert_eq(host_read(fd)[0], 'O');
    close(fd);
}

Test(vsock_state, the_event_waits_for_a_buffer)
{
    struct saved saved;
    uint32_t length;
    stop_and_save(&saved);
    load(&saved);
    virtio_resume(rig.device);
    cr_assert_not(next_event(&length));
    offer_event();
    fake_driver_kick(&rig.driver, EVENT);
    cr_assert(next_event(&length));
}

Test(vsock_state, an_event_that_was_not_dealt_with_is_sent_again_after_the_next_snapshot)
{
    struct saved saved;
    uint32_t length;
    offer_event();
    offer_event();
    stop_and_save(&saved);
    cr_assert_eq(saved.own.reset_pending, 0);
    load(&saved);
    virtio_resume(rig.device);
    cr_assert(next_event(&length));
    stop_and_save(&saved);
    cr_assert_eq(saved.own.reset_pending, 1);
    load(&saved);
    virtio_resume(rig.device);
    cr_assert(next_event(&length));
}

Test(vsock_state, an_event_buffer_that_is_too_short_is_against_the_rules)
{
    struct saved saved;
    const struct fake_buffer part = {
        .address = fake_driver_alloc(&rig.driver, 4), .length = 3, .writable = true};
    fake_driver_send(&rig.driver, EVENT, &part, 1);
    stop_and_save(&saved);
    load(&saved);
    virtio_resume(rig.device);
    cr_assert(fake_driver_read(&rig.driver, FAKE_REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
}

Test(vsock_state, hostile_states_are_refused)
{
    static const struct vsock_state rows[] = {
        {.guest_cid = 0},
        {.guest_cid = 2},
        {.guest_cid = 0xffffffff},
        {.guest_cid = 0x100000003},
        {.guest_cid = UINT64_MAX},
        {.guest_cid = 3, .reset_pending = 2},
        {.guest_cid = 3, .reset_pending = UINT32_MAX},
        {.guest_cid = 3, .reserved = 1},
    };
    virtio_stop(rig.device);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct thaw_error err = {0};
        cr_assert_eq(rig.device->ops->load(rig.device, &rows[i], &err), -EINVAL, "row %u", i);
        cr_assert_eq(fake_driver_read_config(&rig.driver, 0, 8), GUEST_CID);
    }
}

/* ---- stopped ------------------------------------------------------------------------------ */

Test(vsock_state, while_stopped_nothing_reaches_the_guest_and_nothing_is_lost)
{
    uint32_t port;
    struct packet packet;
    int fd = connect_to_guest(5, &port);
    virtio_stop(rig.device);
    host_write(fd, "later");
    int second = host_open();
    host_write(second, "CONNECT 6\n");
    expect_nothing();
    virtio_resume(rig.device);
    expect(&packet, VSOCK_OP_RW);
    expect(&packet, VSOCK_OP_REQUEST);
    cr_assert_eq(packet.h.dst_port, 6);
    close(fd);
    close(second);
}

/* ---- the driver's reset ------------------------------------------------------------------- */

Test(vsock_state, a_reset_ends_what_the_guest_knew_of)
{
    uint32_t port;
    struct packet packet;
    int fd = connect_to_guest(5, &port);
    int asked = host_open();
    host_write(asked, "CONNECT 6\n");
    expect(&packet, VSOCK_OP_REQUEST);
    fake_driver_start(&rig.driver, 0);
    host_reads(fd, "");
    host_reads(asked, "");
    fill_rx();
    guest_write(5, port, "x", 1);
    expect(&packet, VSOCK_OP_RST);
    close(fd);
    close(asked);
}

Test(vsock_state, a_program_may_connect_before_there_is_a_driver)
{
    struct packet packet;
    fake_driver_write(&rig.driver, FAKE_REG_STATUS, 0);
    int fd = host_open();
    host_write(fd, "CONNECT 5\n");
    run_loop();
    host_reads(fd, "...");
    fake_driver_start(&rig.driver, 0);
    fill_rx();
    expect(&packet, VSOCK_OP_REQUEST);
    cr_assert_eq(packet.h.dst_port, 5);
    close(fd);
}

Test(vsock_state, a_program_that_tries_again_and_again_before_there_is_a_driver_leaves_nothing)
{
    fake_driver_write(&rig.driver, FAKE_REG_STATUS, 0);
    for (unsigned i = 0; i < 2 * VSOCK_CONNECTIONS_MAX; i++) {
        int fd = host_open();
        host_write(fd, "CONNECT 5\n");
        if (i % 2)
            run_loop();
        close(fd);
        run_loop();
    }
    fake_driver_start(&rig.driver, 0);
    fill_rx();
    expect_nothing();
    uint32_t port;
    close(connect_to_guest(5, &port));
}

Test(vsock_state, without_event_index_it_works_as_well)
{
    uint32_t port;
    struct packet packet;
    fake_driver_start(&rig.driver, 0);
    fill_rx();
    int fd = connect_to_guest(5, &port);
    host_write(fd, "data");
    expect(&packet, VSOCK_OP_RW);
    close(fd);
}
