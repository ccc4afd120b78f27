/* SPDX-License-Identifier: Apache-2.0 */
/* The standard streams' ports: control messages, both directions, readers and drivers of all
 * kinds, and a save in the middle. */
#include "devices/virtio/ports.h"

#include "tests/unit/fake_driver.h"
#include "thaw/wire.h"
#include "vmm/base/clock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define SOON_MS  10000u
#define QUIET_MS 20u
#define ALL      (VIRTIO_CONSOLE_F_MULTIPORT | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC)

enum {
    DEVICE_READY,
    PORT_ADD,
    PORT_REMOVE,
    PORT_READY,
    CONSOLE_PORT,
    RESIZE,
    PORT_OPEN,
    PORT_NAME
};

struct message {
    uint32_t id;
    uint16_t event, value;
    char name[32];
};

static struct fake_driver driver;
static struct virtio_device *device;
static int stdin_pipe[2] = {-1, -1}, stdout_pipe[2] = {-1, -1}, stderr_pipe[2] = {-1, -1};

static struct virtio_device *create_on(int stdin_fd)
{
    const struct ports_config config = {
        .stdin_fd = stdin_fd, .stdout_fd = stdout_pipe[1], .stderr_fd = stderr_pipe[1]};
    struct virtio_device *created = NULL;
    struct thaw_error err = {0};
    cr_assert_eq(ports_create(&config, &driver.context, &created, &err), 0, "%s", err.message);
    return created;
}

static void make_pipes(void)
{
    cr_assert_eq(pipe2(stdin_pipe, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(stdout_pipe, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(stderr_pipe, O_CLOEXEC), 0);
}

/* A device whose driver has got to DRIVER_OK; stdin is `fd`, or the pipe for -1. */
static void start_with(int fd, uint64_t features)
{
    make_pipes();
    fake_driver_init(&driver);
    device = create_on(fd < 0 ? stdin_pipe[0] : fd);
    fake_driver_attach(&driver, device);
    fake_driver_start(&driver, features);
}

static void start(void)
{
    start_with(-1, ALL);
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void tear_down(void)
{
    fake_driver_destroy(&driver);
    for (int i = 0; i < 2; i++) {
        close_end(&stdin_pipe[i]);
        close_end(&stdout_pipe[i]);
        close_end(&stderr_pipe[i]);
    }
}

TestSuite(ports, .fini = tear_down, .timeout = 120);

/* ---- the driver's side -------------------------------------------------------------------- */

static bool needs_reset(void)
{
    return fake_driver_read(&driver, FAKE_REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET;
}

/* A buffer for the device to fill. */
static uint64_t give(unsigned queue, uint32_t size)
{
    uint64_t gpa = fake_driver_alloc(&driver, size ? size : 1);
    fake_driver_send(&driver, queue, &(struct fake_buffer){gpa, size, true}, 1);
    return gpa;
}

static void tell(uint32_t id, uint16_t event, uint16_t value)
{
    const struct message message = {.id = id, .event = event, .value = value};
    uint64_t gpa = fake_driver_alloc(&driver, 8);
    memcpy(fake_driver_at(&driver, gpa, 8), &message, 8);
    fake_driver_send(&driver, PORTS_QUEUE_CONTROL_TX, &(struct fake_buffer){gpa, 8, false}, 1);
    fake_driver_kick(&driver, PORTS_QUEUE_CONTROL_TX);
    uint32_t head, length;
    cr_assert(fake_driver_used(&driver, PORTS_QUEUE_CONTROL_TX, &head, &length));
    cr_assert_eq(length, 0);
}

/* Gives one buffer for a control message; returns whether one came. */
static bool hear(struct message *message)
{
    uint32_t head, length;
    uint64_t gpa = give(PORTS_QUEUE_CONTROL_RX, 64);
    fake_driver_kick(&driver, PORTS_QUEUE_CONTROL_RX);
    *message = (struct message){.id = UINT32_MAX};
    if (!fake_driver_used(&driver, PORTS_QUEUE_CONTROL_RX, &head, &length))
        return false;
    cr_assert_leq(length, sizeof(*message));
    memcpy(message, fake_driver_at(&driver, gpa, length), length);
    return true;
}

static void expect(uint32_t id, uint16_t event, uint16_t value, const char *name)
{
    struct message message;
    cr_assert(hear(&message), "no message where event %u of port %u is due", event, id);
    cr_assert_eq(message.id, id);
    cr_assert_eq(message.event, event);
    cr_assert(event == PORT_NAME || message.value == value, "value %u", message.value);
    cr_assert_str_eq(message.name, name);
}

static void expect_silence(void)
{
    struct message message;
    cr_assert_not(hear(&message), "event %u of port %u came", message.event, message.id);
}

static void open_port(uint32_t id)
{
    tell(id, PORT_OPEN, 1);
}

/* Byte `i` of a sequence in which a lost or doubled stretch shows. */
static uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i % 251 ^ i / 251);
}

/* Offers `size` bytes of the sequence, from `at`, as a chain of two buffers. */
static void offer_output(unsigned port, uint64_t at, uint32_t size)
{
    uint64_t gpa = fake_driver_alloc(&driver, size);
    uint8_t *bytes = fake_driver_at(&driver, gpa, size);
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = pattern(at + i);
    const struct fake_buffer buffers[] = {{gpa, size / 3, false},
                                          {gpa + size / 3, size - size / 3, false}};
    fake_driver_send(&driver, ports_queue_tx(port), buffers, 2);
}

static void output(unsigned port, uint64_t at, uint32_t size)
{
    offer_output(port, at, size);
    fake_driver_kick(&driver, ports_queue_tx(port));
}

static bool is_returned(unsigned queue)
{
    uint32_t head, length;
    return fake_driver_used(&driver, queue, &head, &length);
}

static bool readable_within(int fd, unsigned ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, (int)ms) == 1;
}

/* The same, serving the loop while it waits: a writer that has room again says so there. */
static bool comes_within(int fd, unsigned ms)
{
    for (unsigned waited = 0; waited < ms; waited++) {
        if (readable_within(fd, 1))
            return true;
        loop_turn(driver.loop, 0);
    }
    return false;
}

/* Reads and checks bytes [from, to) of the sequence, serving the loop meanwhile. */
static void expect_output(int fd, uint64_t from, uint64_t to)
{
    static uint8_t bytes[65536];
    while (from < to) {
        cr_assert(comes_within(fd, SOON_MS), "stuck at byte %llu", (unsigned long long)from);
        ssize_t n = read(fd, bytes, to - from < sizeof(bytes) ? to - from : sizeof(bytes));
        cr_assert_gt(n, 0);
        for (ssize_t i = 0; i < n; i++, from++)
            if (bytes[i] != pattern(from))
                cr_assert_fail("wrong byte at %llu", (unsigned long long)from);
        while (loop_turn(driver.loop, 0) > 0)
            ;
    }
}

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

/* ---- input -------------------------------------------------------------------------------- */

#define RX ports_queue_rx(PORTS_STDIN)

static void type(const char *text)
{
    cr_assert_eq(write(stdin_pipe[1], text, strlen(text)), (ssize_t)strlen(text));
    fake_driver_run_loop(&driver, QUIET_MS);
}

static void expect_input(uint64_t gpa, const char *text)
{
    uint32_t head, length;
    cr_assert(fake_driver_used(&driver, RX, &head, &length), "no input where \"%s\" is due", text);
    cr_assert_eq(length, strlen(text));
    cr_assert_arr_eq(fake_driver_at(&driver, gpa, length), text, length);
}

Test(ports, input_waits_until_the_guest_opens_the_port)
{
    start();
    uint64_t first = give(RX, 100), second = give(RX, 100);
    fake_driver_kick(&driver, RX);
    type("early");
    cr_assert_not(is_returned(RX));
    open_port(PORTS_STDIN);
    expect_input(first, "early");
    type("late");
    expect_input(second, "late");
    cr_assert_eq(ports_report(device).input, 9);
}

Test(ports, input_waits_in_the_hosts_pipe_until_there_are_buffers)
{
    start();
    open_port(PORTS_STDIN);
    type("abcdef");
    uint64_t first = give(RX, 4);
    fake_driver_kick(&driver, RX);
    expect_input(first, "abcd");
    uint64_t second = give(RX, 4);
    fake_driver_kick(&driver, RX);
    expect_input(second, "ef");
}

Test(ports, input_stops_when_the_guest_closes_the_port)
{
    start();
    open_port(PORTS_STDIN);
    tell(PORTS_STDIN, PORT_OPEN, 0);
    uint64_t buffer = give(RX, 100);
    type("not read");
    cr_assert_not(is_returned(RX));
    open_port(PORTS_STDIN);
    expect_input(buffer, "not read");
}

Test(ports, the_end_of_input_closes_the_port_behind_the_last_byte)
{
    start();
    open_port(PORTS_STDIN);
    uint64_t buffer = give(RX, 100);
    give(RX, 100);
    fake_driver_kick(&driver, RX);
    cr_assert_eq(write(stdin_pipe[1], "last", 4), 4);
    close_end(&stdin_pipe[1]);
    fake_driver_run_loop(&driver, QUIET_MS);
    expect_input(buffer, "last");
    cr_assert_not(is_returned(RX));
    expect(PORTS_STDIN, PORT_OPEN, 0, "");
    expect_silence();
}

Test(ports, a_port_whose_input_has_ended_is_not_opened_again)
{
    start();
    close_end(&stdin_pipe[1]);
    open_port(PORTS_STDIN);
    give(RX, 100);
    fake_driver_kick(&driver, RX);
    expect(PORTS_STDIN, PORT_OPEN, 0, "");
    tell(PORTS_STDIN, PORT_READY, 1);
    expect(PORTS_STDIN, PORT_OPEN, 0, "");
    expect(PORTS_STDIN, PORT_NAME, 0, THAW_PORT_STDIN);
}

Test(ports, input_that_nobody_reads_yet_does_not_keep_the_loop_busy)
{
    start();
    close_end(&stdin_pipe[1]); /* hangs up, which epoll says unasked and level-triggered for ever */
    unsigned turns = 0;
    while (turns < 100 && loop_turn(driver.loop, QUIET_MS) > 0)
        turns++;
    cr_assert_lt(turns, 5);
}

Test(ports, a_file_as_input_is_read_to_its_end)
{
    int file = memfd_create("input", MFD_CLOEXEC);
    for (unsigned i = 0; i < 10000; i++) {
        uint8_t byte = pattern(i);
        cr_assert_eq(write(file, &byte, 1), 1);
    }
    cr_assert_eq(lseek(file, 0, SEEK_SET), 0);
    start_with(file, ALL);
    open_port(PORTS_STDIN);
    uint64_t at = 0;
    for (;;) {
        uint32_t head, length;
        uint64_t gpa = give(RX, 1024);
        fake_driver_kick(&driver, RX);
        if (!fake_driver_used(&driver, RX, &head, &length))
            break;
        const uint8_t *bytes = fake_driver_at(&driver, gpa, length);
        for (uint32_t i = 0; i < length; i++, at++)
            cr_assert_eq(bytes[i], pattern(at));
    }
    cr_assert_eq(at, 10000);
    expect(PORTS_STDIN, PORT_OPEN, 0, "");
    close(file);
}

Test(ports, a_socket_as_input_is_read_without_blocking)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    start_with(ends[0], ALL);
    open_port(PORTS_STDIN);
    uint64_t buffer = give(RX, 100);
    fake_driver_kick(&driver, RX);
    cr_assert_eq(write(ends[1], "over a socket", 13), 13);
    fake_driver_run_loop(&driver, QUIET_MS);
    expect_input(buffer, "over a socket");
    cr_assert_eq(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
    close(ends[0]);
    close(ends[1]);
}

Test(ports, a_terminal_as_input_is_read_line_by_line)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    cr_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    cr_assert_geq(terminal, 0);
    start_with(terminal, ALL);
    open_port(PORTS_STDIN);
    uint64_t first = give(RX, 100), second = give(RX, 100);
    fake_driver_kick(&driver, RX);
    cr_assert_eq(write(master, "one\ntw", 6), 6);
    fake_driver_run_loop(&driver, QUIET_MS);
    expect_input(first, "one\n");
    cr_assert_eq(write(master, "o\n", 2), 2);
    fake_driver_run_loop(&driver, QUIET_MS);
    expect_input(second, "two\n");
    cr_assert_eq(fcntl(terminal, F_GETFL) & O_NONBLOCK, 0);
    close(terminal);
    close(master);
}

Test(ports, the_writing_end_of_a_pipe_as_input_takes_nobodys_bytes_away)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_eq(write(ends[1], "for another", 11), 11);
    start_with(ends[1], ALL);
    open_port(PORTS_STDIN);
    give(RX, 100);
    fake_driver_kick(&driver, RX);
    fake_driver_run_loop(&driver, QUIET_MS);
    cr_assert_not(is_returned(RX));
    cr_assert(readable_within(ends[0], 0));
    close(ends[0]);
    close(ends[1]);
}

Test(ports, nothing_as_input_ends_at_once)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    start_with(null, ALL);
    open_port(PORTS_STDIN);
    give(RX, 100);
    fake_driver_kick(&driver, RX);
    expect(PORTS_STDIN, PORT_OPEN, 0, "");
    close(null);
}

Test(ports, an_input_that_cannot_be_read_has_ended)
{
    int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    start_with(directory, ALL);
    open_port(PORTS_STDIN);
    give(RX, 100);
    fake_driver_kick(&driver, RX);
    expect(PORTS_STDIN, PORT_OPEN, 0, "");
    close(directory);
}

Test(ports, a_buffer_for_input_without_room_breaks_the_device)
{
    start();
    open_port(PORTS_STDIN);
    give(RX, 0);
    fake_driver_kick(&driver, RX);
    cr_assert(needs_reset());
}

Test(ports, one_turn_does_not_serve_a_guest_that_always_has_more_for_ever)
{
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    start_with(zero, VIRTIO_CONSOLE_F_MULTIPORT);
    open_port(PORTS_STDIN);
    for (unsigned i = 0; i < FAKE_QUEUE_SIZE; i++)
        give(RX, 100);
    fake_driver_kick(&driver, RX);
    for (unsigned i = 0; i < FAKE_QUEUE_SIZE; i++)
        cr_assert(is_returned(RX));
    cr_assert_not(is_returned(RX));
    close(zero);
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
    cr_assert(device->ops->is_quiet(device));
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
