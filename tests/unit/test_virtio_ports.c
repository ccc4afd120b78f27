/* SPDX-License-Identifier: Apache-2.0 */
/* The standard streams' ports: control messages, output, other drivers, and a save in the middle.
 */
#include "tests/unit/ports_rig.h"

TestSuite(ports, .fini = tear_down, .timeout = 120);

/* ---- control messages --------------------------------------------------------------------- */

Test(ports, the_configuration_says_three_ports_and_no_size)
{
    start();
    cr_assert_eq(fake_driver_read_config(&driver, 0, 4), 0);
    cr_assert_eq(fake_driver_read_config(&driver, 4, 4), 3);
    cr_assert_eq(fake_driver_read_config(&driver, 8, 4), 0);
}

Test(ports, a_ready_driver_is_told_of_three_ports)
{
    start();
    tell(UINT32_MAX, DEVICE_READY, 1);
    for (uint32_t id = 0; id < 3; id++)
        expect(id, PORT_ADD, 1, "");
    expect_silence();
}

Test(ports, a_driver_that_failed_is_told_nothing)
{
    start();
    tell(UINT32_MAX, DEVICE_READY, 0);
    expect_silence();
}

Test(ports, a_ready_port_is_opened_and_then_named)
{
    static const char *const names[] = {THAW_PORT_STDIN, THAW_PORT_STDOUT, THAW_PORT_STDERR};
    start();
    for (uint32_t id = 0; id < 3; id++) {
        tell(id, PORT_READY, 1);
        expect(id, PORT_OPEN, 1, "");
        expect(id, PORT_NAME, 0, names[id]);
    }
    expect_silence();
}

Test(ports, a_port_that_failed_is_told_nothing)
{
    start();
    tell(1, PORT_READY, 0);
    expect_silence();
}

Test(ports, messages_wait_for_buffers_however_often_they_are_asked_for)
{
    start();
    for (unsigned i = 0; i < 100; i++) {
        tell(0, DEVICE_READY, 1);
        tell(1, PORT_READY, 1);
    }
    expect(0, PORT_ADD, 1, "");
    expect(1, PORT_ADD, 1, "");
    expect(1, PORT_OPEN, 1, "");
    expect(1, PORT_NAME, 0, THAW_PORT_STDOUT);
    expect(2, PORT_ADD, 1, "");
    expect_silence();
}

/* As long as the queue, which the driver may fill at once, or one by one while they are taken. */
Test(ports, after_many_messages_the_device_asks_to_be_told_of_the_next)
{
    const unsigned queue = PORTS_QUEUE_CONTROL_TX;
    start();
    fake_driver_prepare(&driver, ALL);
    driver.queues[queue].size = PORTS_QUEUE_SIZE;
    for (unsigned i = 0; i < device->queue_count; i++) {
        fake_driver_write(&driver, FAKE_REG_QUEUE_SEL, i);
        fake_driver_write(&driver, FAKE_REG_QUEUE_NUM, driver.queues[i].size);
        fake_driver_write(&driver, FAKE_REG_QUEUE_READY, 1);
    }
    fake_driver_write(&driver, FAKE_REG_STATUS, 15);

    const struct message message = {.id = 1, .event = PORT_OPEN, .value = 1};
    uint64_t gpa = fake_driver_alloc(&driver, 8);
    memcpy(fake_driver_at(&driver, gpa, 8), &message, 8);
    for (unsigned i = 0; i < PORTS_QUEUE_SIZE; i++)
        fake_driver_send(&driver, queue, &(struct fake_buffer){gpa, 8, false}, 1);
    fake_driver_kick(&driver, queue);
    fake_driver_run_loop(&driver, QUIET_MS);

    uint16_t event;
    uint64_t behind_the_ring = driver.queues[queue].used + 4 + 8 * PORTS_QUEUE_SIZE;
    memcpy(&event, fake_driver_at(&driver, behind_the_ring, 2), 2);
    cr_assert_eq(event, PORTS_QUEUE_SIZE);
}

Test(ports, unknown_events_and_ports_are_without_effect)
{
    start();
    for (uint16_t event = 7; event < 20; event++)
        tell(1, event, 1);
    tell(3, PORT_READY, 1);
    tell(3, PORT_OPEN, 1);
    tell(UINT32_MAX, PORT_OPEN, 1);
    tell(0, PORT_ADD, 1);
    tell(0, PORT_REMOVE, 1);
    tell(0, CONSOLE_PORT, 1);
    tell(0, RESIZE, 1);
    expect_silence();
    cr_assert_not(needs_reset());
}

Test(ports, a_short_control_message_breaks_the_device)
{
    start();
    uint64_t gpa = fake_driver_alloc(&driver, 8);
    fake_driver_send(&driver, PORTS_QUEUE_CONTROL_TX, &(struct fake_buffer){gpa, 7, false}, 1);
    fake_driver_kick(&driver, PORTS_QUEUE_CONTROL_TX);
    cr_assert(needs_reset());
}

Test(ports, a_control_buffer_that_cannot_hold_the_message_breaks_the_device)
{
    start();
    tell(0, PORT_READY, 1);
    give(PORTS_QUEUE_CONTROL_RX, 8);
    give(PORTS_QUEUE_CONTROL_RX, 12);
    fake_driver_kick(&driver, PORTS_QUEUE_CONTROL_RX);
    cr_assert(is_returned(PORTS_QUEUE_CONTROL_RX), "the opening fits");
    cr_assert_not(is_returned(PORTS_QUEUE_CONTROL_RX), "the name does not");
    cr_assert(needs_reset());
}

Test(ports, a_chain_that_is_nonsense_breaks_the_device_and_not_the_host)
{
    start();
    fake_driver_set_desc(&driver, ports_queue_tx(1), 0, FAKE_OUTSIDE, 100, 0, 0);
    fake_driver_offer(&driver, ports_queue_tx(1), 0);
    fake_driver_kick(&driver, ports_queue_tx(1));
    cr_assert(needs_reset());
    cr_assert(ports_flush(device, SOON_MS));
}

Test(ports, whether_the_guest_uses_them_is_seen)
{
    start();
    cr_assert_not(ports_are_open(device));
    open_port(PORTS_STDOUT);
    cr_assert(ports_are_open(device));
    tell(PORTS_STDOUT, PORT_OPEN, 0);
    cr_assert_not(ports_are_open(device));
}

/* ---- output ------------------------------------------------------------------------------- */

Test(ports, both_outputs_arrive_and_stay_apart)
{
    start();
    output(PORTS_STDOUT, 0, 3000);
    output(PORTS_STDERR, 500, 700);
    expect_output(stdout_pipe[0], 0, 3000);
    expect_output(stderr_pipe[0], 500, 1200);
    cr_assert(is_returned(ports_queue_tx(PORTS_STDOUT)));
    cr_assert(is_returned(ports_queue_tx(PORTS_STDERR)));
    cr_assert_not(readable_within(stdout_pipe[0], 0));
    cr_assert_not(readable_within(stderr_pipe[0], 0));
    cr_assert(ports_flush(device, SOON_MS), "what is written is counted a moment later");
    cr_assert_eq(ports_report(device).outputs[PORTS_STDOUT].written, 3000);
    cr_assert_eq(ports_report(device).outputs[PORTS_STDERR].written, 700);
}

Test(ports, output_of_the_port_for_input_is_thrown_away)
{
    start();
    output(PORTS_STDIN, 0, 100);
    cr_assert(is_returned(ports_queue_tx(PORTS_STDIN)));
    cr_assert_not(needs_reset());
}

Test(ports, a_batch_is_told_by_one_interrupt)
{
    start();
    unsigned before = driver.interrupts;
    for (unsigned i = 0; i < 8; i++)
        offer_output(PORTS_STDOUT, i * 10, 10);
    fake_driver_kick(&driver, ports_queue_tx(PORTS_STDOUT));
    for (unsigned i = 0; i < 8; i++)
        cr_assert(is_returned(ports_queue_tx(PORTS_STDOUT)));
    cr_assert_eq(driver.interrupts, before + 1);
}

Test(ports, a_slow_reader_holds_the_driver_up_and_loses_nothing)
{
    const uint32_t size = 900000;
    start();
    output(PORTS_STDOUT, 0, size);
    output(PORTS_STDOUT, size, size);
    fake_driver_run_loop(&driver, 100);
    cr_assert_not(is_returned(ports_queue_tx(PORTS_STDOUT)));
    cr_assert_leq(ports_report(device).outputs[PORTS_STDOUT].written, 65536 * 2);

    output(PORTS_STDERR, 7, 100);
    expect_output(stderr_pipe[0], 7, 107); /* the other stream is not held up */

    expect_output(stdout_pipe[0], 0, 2 * size);
    cr_assert(is_returned(ports_queue_tx(PORTS_STDOUT)));
    cr_assert(is_returned(ports_queue_tx(PORTS_STDOUT)));
    cr_assert_not(readable_within(stdout_pipe[0], 0), "nothing came twice");
}

Test(ports, a_chain_that_shrinks_while_it_waits_is_over)
{
    start();
    output(PORTS_STDOUT, 0, 900000);
    fake_driver_run_loop(&driver, 100);
    cr_assert_not(is_returned(ports_queue_tx(PORTS_STDOUT)));
    fake_driver_set_desc(&driver, ports_queue_tx(PORTS_STDOUT), 0, 0x100000, 1, 0, 0);
    uint64_t until = clock_monotonic_ns() + SOON_MS * 1000000ull;
    static char bytes[65536];
    while (!is_returned(ports_queue_tx(PORTS_STDOUT)) && clock_monotonic_ns() < until) {
        if (readable_within(stdout_pipe[0], 1))
            cr_assert_gt(read(stdout_pipe[0], bytes, sizeof(bytes)), 0);
        fake_driver_run_loop(&driver, 1);
    }
    cr_assert_lt(clock_monotonic_ns(), until);
    cr_assert_not(needs_reset());
}

Test(ports, a_reader_that_went_away_takes_everything)
{
    start();
    close_end(&stdout_pipe[0]);
    output(PORTS_STDOUT, 0, 900000);
    uint64_t until = clock_monotonic_ns() + SOON_MS * 1000000ull;
    while (!is_returned(ports_queue_tx(PORTS_STDOUT)) && clock_monotonic_ns() < until)
        fake_driver_run_loop(&driver, 1);
    cr_assert_lt(clock_monotonic_ns(), until);
    cr_assert_eq(ports_report(device).outputs[PORTS_STDOUT].error, EPIPE);
    cr_assert_eq(ports_report(device).outputs[PORTS_STDOUT].written, 0);
    output(PORTS_STDERR, 0, 10);
    expect_output(stderr_pipe[0], 0, 10);
}

Test(ports, a_flush_takes_what_the_driver_has_put_there_without_a_notification)
{
    start();
    offer_output(PORTS_STDOUT, 0, 1000);
    offer_output(PORTS_STDOUT, 1000, 1000);
    offer_output(PORTS_STDERR, 0, 1000);
    cr_assert(ports_flush(device, SOON_MS));
    cr_assert_eq(ports_report(device).outputs[PORTS_STDOUT].written, 2000);
    cr_assert_eq(ports_report(device).outputs[PORTS_STDERR].written, 1000);
}

Test(ports, a_flush_gives_up_on_a_reader_that_stands_still)
{
    start();
    offer_output(PORTS_STDOUT, 0, 900000);
    cr_assert_not(ports_flush(device, 50));
    expect_output(stdout_pipe[0], 0, 900000);
    cr_assert(ports_flush(device, SOON_MS));
}

Test(ports, the_hosts_descriptors_stay_as_they_were)
{
    start();
    open_port(PORTS_STDIN);
    output(PORTS_STDOUT, 0, 10);
    cr_assert_eq(fcntl(stdin_pipe[0], F_GETFL) & O_NONBLOCK, 0);
    cr_assert_eq(fcntl(stdout_pipe[1], F_GETFL) & O_NONBLOCK, 0);
    cr_assert_eq(fcntl(stderr_pipe[1], F_GETFL) & O_NONBLOCK, 0);
}

/* ---- other drivers, other times ----------------------------------------------------------- */

Test(ports, a_driver_without_multiport_gets_a_port_on_which_nothing_comes)
{
    start_with(-1, 0);
    give(0, 100);
    fake_driver_kick(&driver, 0);
    type("x");
    cr_assert_not(is_returned(0));
    cr_assert_not(needs_reset());
}

Test(ports, a_reset_forgets_the_driver_and_keeps_the_input)
{
    start();
    open_port(PORTS_STDIN);
    tell(0, DEVICE_READY, 1);
    output(PORTS_STDOUT, 0, 900000);
    fake_driver_start(&driver, ALL);
    cr_assert_not(ports_are_open(device));
    expect_silence();
    uint64_t buffer = give(RX, 100);
    fake_driver_kick(&driver, RX);
    type("kept");
    cr_assert_not(is_returned(RX));
    open_port(PORTS_STDIN);
    expect_input(buffer, "kept");
}

/* Saves, and goes on with a new device on the same memory. */
static void move_to_new_device(void)
{
    struct virtio_state transport;
    struct ports_state state;
    struct thaw_error err = {0};
    virtio_stop(device);
    cr_assert(virtio_is_quiet(device));
    virtio_mmio_save(&driver.mmio, &transport);
    device->ops->save(device, &state);
    virtio_destroy(device);

    device = create_on(stdin_pipe[0]);
    virtio_stop(device);
    fake_driver_attach(&driver, device);
    cr_assert_eq(virtio_mmio_load(&driver.mmio, &transport, &err), 0, "%s", err.message);
    cr_assert_eq(device->ops->load(device, &state, &err), 0, "%s", err.message);
    virtio_resume(device);
}

Test(ports, a_device_saved_in_mid_life_goes_on_where_it_was)
{
    start();
    open_port(PORTS_STDIN);
    open_port(PORTS_STDOUT);
    tell(2, PORT_READY, 1);
    uint64_t buffer = give(RX, 100);
    fake_driver_kick(&driver, RX);
    output(PORTS_STDOUT, 0, 900000);
    fake_driver_run_loop(&driver, 100);
    virtio_stop(device);
    /* What the old device took is the old host's: read it before its writer goes away. */
    uint64_t taken = 0;
    struct ports_state state;
    device->ops->save(device, &state);
    taken = state.taken[PORTS_STDOUT];
    cr_assert_gt(taken, 0);
    cr_assert_lt(taken, 900000);
    expect_output(stdout_pipe[0], 0, taken);

    move_to_new_device();
    expect_output(stdout_pipe[0], taken, 900000);
    cr_assert(is_returned(ports_queue_tx(PORTS_STDOUT)));
    cr_assert(ports_are_open(device));
    expect(2, PORT_OPEN, 1, "");
    expect(2, PORT_NAME, 0, THAW_PORT_STDERR);
    type("still here");
    expect_input(buffer, "still here");
}

Test(ports, a_stopped_device_takes_nothing)
{
    start();
    open_port(PORTS_STDIN);
    uint64_t buffer = give(RX, 100);
    fake_driver_kick(&driver, RX);
    virtio_stop(device);
    type("later");
    output(PORTS_STDOUT, 0, 10);
    cr_assert_not(is_returned(RX));
    cr_assert_not(is_returned(ports_queue_tx(PORTS_STDOUT)));
    virtio_resume(device);
    expect_input(buffer, "later");
    expect_output(stdout_pipe[0], 0, 10);
}

Test(ports, an_ended_input_stays_ended_after_a_load)
{
    start();
    open_port(PORTS_STDIN);
    give(RX, 100);
    fake_driver_kick(&driver, RX);
    close_end(&stdin_pipe[1]);
    fake_driver_run_loop(&driver, QUIET_MS);
    close_end(&stdin_pipe[0]);
    cr_assert_eq(pipe2(stdin_pipe, O_CLOEXEC), 0);
    move_to_new_device();
    type("too late");
    cr_assert_not(is_returned(RX));
    expect(PORTS_STDIN, PORT_OPEN, 0, "");
}

Test(ports, states_that_no_driver_brings_about_are_refused)
{
    start();
    virtio_stop(device);
    struct ports_state good, bad[7];
    struct thaw_error err = {0};
    device->ops->save(device, &good);
    for (unsigned i = 0; i < 7; i++)
        bad[i] = good;
    bad[0].pending[0] = 8;
    bad[1].pending[2] = 255;
    bad[2].guest_open[1] = 2;
    bad[3].guest_open[2] = 255;
    bad[4].input_ended = 2;
    bad[5].reserved = 1;
    bad[6].pending[1] = 0x80;
    for (unsigned i = 0; i < 7; i++)
        cr_assert_eq(device->ops->load(device, &bad[i], &err), -EINVAL, "state %u", i);
    good.taken[PORTS_STDOUT] = UINT32_MAX;
    cr_assert_eq(device->ops->load(device, &good, &err), 0);
    virtio_resume(device);
    output(PORTS_STDOUT, 0, 100);
    cr_assert(is_returned(ports_queue_tx(PORTS_STDOUT)), "a chain shorter than that is over");
}
