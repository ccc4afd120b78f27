/* SPDX-License-Identifier: Apache-2.0 */
/* The writer behind a UART, with real pipes: order, backpressure, readers that stop or go away. */
#include "devices/writer.h"

#include "devices/serial.h"
#include "vmm/base/clock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/serial_reg.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#define SOON_MS 10000u /* what takes longer has failed; nothing here needs a hundredth of it */
/* A transmitter that stays full for so long is taken for blocked, and not for a slow machine. */
#define PATIENCE_MS 300u

static struct writer *output;
static struct serial *serial;
static int read_end = -1, write_end = -1;
static atomic_bool line;

static void on_irq(void *ctx, bool level)
{
    (void)ctx;
    atomic_store(&line, level);
}

static bool transmit(void *ctx, uint8_t byte)
{
    return writer_put(ctx, &byte, 1) == 1;
}

static void on_room(void *ctx)
{
    serial_tx_room(ctx);
}

static void start_on(int fd)
{
    struct thaw_error err = {0};
    cr_assert_eq(writer_create(fd, &output, &err), 0);
    struct serial_callbacks callbacks = {.set_irq = on_irq, .transmit = transmit, .tx_ctx = output};
    cr_assert_eq(serial_create(&callbacks, &serial, &err), 0);
    cr_assert_eq(writer_start(output, on_room, serial, &err), 0);
    serial_bus_ops.write(serial, UART_FCR, 1, UART_FCR_ENABLE_FIFO);
    serial_bus_ops.write(serial, UART_MCR, 1, UART_MCR_OUT2);
}

static void start_on_pipe(void)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    read_end = ends[0];
    write_end = ends[1];
    start_on(write_end);
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void tear_down(void)
{
    writer_destroy(output);
    serial_destroy(serial);
    close_end(&read_end);
    close_end(&write_end);
}

static bool thre(void)
{
    uint64_t lsr = 0;
    serial_bus_ops.read(serial, UART_LSR, 1, &lsr);
    return lsr & UART_LSR_THRE;
}

static void put(uint8_t byte)
{
    serial_bus_ops.write(serial, UART_TX, 1, byte);
}

/* Byte `i` of a sequence in which a lost or doubled stretch shows. */
static uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i % 251 ^ i / 251);
}

/* As Linux's tty layer: 16 bytes after each look at THRE. Gives up after `patience_ms` without
 * it, and returns how many bytes are sent. */
static uint64_t print_pattern(uint64_t from, uint64_t to, unsigned patience_ms)
{
    uint64_t at = from, since = clock_monotonic_ns();
    while (at < to) {
        if (!thre()) {
            if (clock_monotonic_ns() - since > patience_ms * 1000000ull)
                break;
            sched_yield();
            continue;
        }
        for (unsigned i = 0; i < SERIAL_FIFO_SIZE && at < to; i++)
            put(pattern(at++));
        since = clock_monotonic_ns();
    }
    return at;
}

static void print(const char *text)
{
    for (; *text; text++)
        put((uint8_t)*text);
}

static bool readable_within(int fd, unsigned ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, (int)ms) == 1;
}

/* Reads and checks pattern bytes [from, to). */
static void expect_pattern(uint64_t from, uint64_t to)
{
    static uint8_t bytes[65536];
    while (from < to) {
        cr_assert(readable_within(read_end, SOON_MS), "stuck at byte %llu",
                  (unsigned long long)from);
        size_t want = to - from < sizeof(bytes) ? to - from : sizeof(bytes);
        ssize_t n = read(read_end, bytes, want);
        cr_assert_gt(n, 0);
        for (ssize_t i = 0; i < n; i++, from++)
            if (bytes[i] != pattern(from))
                cr_assert_fail("wrong byte at %llu", (unsigned long long)from);
    }
}

TestSuite(writer, .fini = tear_down, .timeout = 120);

Test(writer, what_the_guest_prints_is_written)
{
    char got[8] = {0};
    start_on_pipe();
    print("hello\n");
    cr_assert(writer_flush(output, SOON_MS));
    cr_assert_eq(read(read_end, got, sizeof(got)), 6);
    cr_assert_str_eq(got, "hello\n");
    cr_assert_eq(writer_report(output).written, 6);
    cr_assert_eq(writer_report(output).discarded, 0);
    cr_assert_eq(writer_report(output).error, 0);
}

Test(writer, a_prompt_without_newline_comes_out_by_itself)
{
    char got[8] = {0};
    start_on_pipe();
    print("# ");
    for (size_t n = 0; n < 2;) {
        cr_assert(readable_within(read_end, SOON_MS));
        n += (size_t)read(read_end, got + n, sizeof(got) - n);
    }
    cr_assert_str_eq(got, "# ");
}

Test(writer, many_pauses_lose_no_wake_up)
{
    start_on_pipe();
    for (unsigned i = 0; i < 300; i++) {
        char byte;
        put('x');
        cr_assert(readable_within(read_end, SOON_MS), "lost at round %u", i);
        cr_assert_eq(read(read_end, &byte, 1), 1);
        if (i % 3 == 0)
            usleep(1500); /* from lingering to asleep */
    }
}

Test(writer, a_blocked_reader_stops_the_guests_tty_and_not_the_guest)
{
    start_on_pipe();
    uint64_t sent = print_pattern(0, 10u << 20, PATIENCE_MS);
    int pipe_size = fcntl(write_end, F_GETPIPE_SZ);
    cr_assert_lt(sent, 10u << 20);
    cr_assert_leq(sent, WRITER_RING_SIZE + SERIAL_FIFO_SIZE + (unsigned)pipe_size);
    cr_assert_not(thre());
    cr_assert_not(writer_flush(output, 10));

    /* What printk does after its time-out: the byte is dropped, and the guest goes on. */
    for (unsigned i = 0; i < 100; i++)
        put('x');
    cr_assert_geq(serial_tx_dropped(serial), 100 - SERIAL_FIFO_SIZE);
}

Test(writer, room_brings_the_transmitter_interrupt_back)
{
    start_on_pipe();
    uint64_t sent = print_pattern(0, 10u << 20, PATIENCE_MS);
    serial_bus_ops.write(serial, UART_IER, 1, UART_IER_THRI);
    cr_assert_not(atomic_load(&line));
    expect_pattern(0, sent);
    uint64_t until = clock_monotonic_ns() + SOON_MS * 1000000ull;
    while (!atomic_load(&line) && clock_monotonic_ns() < until)
        sched_yield();
    cr_assert(atomic_load(&line));
}

struct flood {
    uint64_t size, sent;
};

static void *print_flood(void *arg)
{
    struct flood *flood = arg;
    flood->sent = print_pattern(0, flood->size, SOON_MS);
    return NULL;
}

Test(writer, ten_mebibytes_through_a_reader_that_starts_late_arrive_in_order)
{
    struct flood flood = {.size = 10u << 20};
    pthread_t guest;
    start_on_pipe();
    cr_assert_eq(pthread_create(&guest, NULL, print_flood, &flood), 0);
    usleep(100000);
    expect_pattern(0, flood.size);
    pthread_join(guest, NULL);
    cr_assert_eq(flood.sent, flood.size);
    cr_assert(writer_flush(output, SOON_MS));
    cr_assert_eq(serial_tx_dropped(serial), 0);
    cr_assert_eq(writer_report(output).written, flood.size);
    cr_assert_not(readable_within(read_end, 0), "nothing came twice");
}

Test(writer, a_flush_waits_for_a_slow_reader_and_covers_the_uarts_own_bytes)
{
    start_on_pipe();
    uint64_t sent = print_pattern(0, 10u << 20, PATIENCE_MS);
    cr_assert_not(thre(), "bytes wait in the UART");
    cr_assert_not(writer_flush(output, 1));
    expect_pattern(0, sent);
    cr_assert(writer_flush(output, SOON_MS));
    cr_assert(serial_is_quiet(serial));
}

/* ---- readers that go away ----------------------------------------------------------------- */

Test(writer, a_reader_that_closes_makes_the_writer_discard)
{
    start_on_pipe();
    close_end(&read_end);
    cr_assert_eq(print_pattern(0, 1u << 20, SOON_MS), 1u << 20, "the guest must not hang");
    cr_assert(writer_flush(output, SOON_MS));
    cr_assert_eq(writer_report(output).error, EPIPE);
    cr_assert_eq(writer_report(output).written, 0);
    cr_assert_eq(writer_report(output).discarded, 1u << 20);
}

Test(writer, a_reader_that_closes_while_the_guest_is_blocked_frees_it)
{
    start_on_pipe();
    uint64_t sent = print_pattern(0, 10u << 20, PATIENCE_MS);
    cr_assert_not(thre());
    close_end(&read_end);
    cr_assert_eq(print_pattern(sent, sent + 1000, SOON_MS), sent + 1000);
    cr_assert_eq(writer_report(output).error, EPIPE);
}

Test(writer, a_closed_descriptor_makes_the_writer_discard)
{
    start_on(-1);
    print("into the void\n");
    cr_assert(writer_flush(output, SOON_MS));
    cr_assert_eq(writer_report(output).error, EBADF);
    cr_assert_eq(writer_report(output).discarded, 14);
}

Test(writer, a_full_file_system_makes_the_writer_discard)
{
    write_end = open("/dev/full", O_WRONLY | O_CLOEXEC);
    cr_assert_geq(write_end, 0);
    start_on(write_end);
    print("no space\n");
    cr_assert(writer_flush(output, SOON_MS));
    cr_assert_eq(writer_report(output).error, ENOSPC);
}

Test(writer, a_descriptor_that_somebody_made_non_blocking_loses_nothing)
{
    start_on_pipe();
    cr_assert_eq(fcntl(write_end, F_SETFL, O_NONBLOCK), 0);
    uint64_t sent = print_pattern(0, 1u << 20, PATIENCE_MS);
    cr_assert_lt(sent, 1u << 20);
    expect_pattern(0, sent);
    cr_assert(writer_flush(output, SOON_MS));
    cr_assert_eq(writer_report(output).error, 0);
}

/* ---- spans -------------------------------------------------------------------------------- */

Test(writer, a_span_larger_than_the_room_is_taken_in_part_and_in_order)
{
    static uint8_t span[3 * WRITER_RING_SIZE];
    for (size_t i = 0; i < sizeof(span); i++)
        span[i] = pattern(i);
    start_on_pipe();
    size_t taken = 0;
    uint64_t until = clock_monotonic_ns() + SOON_MS * 1000000ull;
    while (taken < sizeof(span) && clock_monotonic_ns() < until) {
        size_t n = writer_put(output, span + taken, sizeof(span) - taken);
        cr_assert_leq(n, WRITER_RING_SIZE);
        expect_pattern(taken, taken + n);
        taken += n;
    }
    cr_assert_eq(taken, sizeof(span));
    cr_assert(writer_flush(output, SOON_MS));
    cr_assert_eq(writer_report(output).written, sizeof(span));
}

Test(writer, what_comes_after_a_redirection_goes_to_the_new_descriptor)
{
    char got[8] = {0};
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    start_on_pipe();
    print("old\n");
    cr_assert(writer_flush(output, SOON_MS));
    writer_redirect(output, ends[1]);
    print("new\n");
    cr_assert(writer_flush(output, SOON_MS));
    cr_assert_eq(read(read_end, got, sizeof(got)), 4);
    cr_assert_str_eq(got, "old\n");
    cr_assert_eq(read(ends[0], got, sizeof(got)), 4);
    cr_assert_str_eq(got, "new\n");
    cr_assert_not(readable_within(read_end, 0));
    close(ends[0]);
    close(ends[1]);
}

/* ---- stopping ----------------------------------------------------------------------------- */

Test(writer, stopping_interrupts_a_blocked_write_and_frees_the_guest)
{
    start_on_pipe();
    print_pattern(0, 10u << 20, PATIENCE_MS);
    cr_assert_not(thre());
    cr_assert_eq(writer_stop(output), 0);
    cr_assert(thre());
    uint64_t before = writer_report(output).discarded;
    cr_assert_gt(before, 0);
    print("more");
    cr_assert_eq(writer_report(output).discarded, before + 4);
}

Test(writer, stopping_interrupts_the_wait_for_a_non_blocking_descriptor)
{
    start_on_pipe();
    cr_assert_eq(fcntl(write_end, F_SETFL, O_NONBLOCK), 0);
    print_pattern(0, 1u << 20, PATIENCE_MS);
    cr_assert_eq(writer_stop(output), 0);
}

Test(writer, stopping_is_idempotent_and_a_flush_afterwards_returns_at_once)
{
    start_on_pipe();
    cr_assert_eq(writer_stop(output), 0);
    cr_assert_eq(writer_stop(output), 0);
    cr_assert(writer_flush(output, 0));
}

Test(writer, a_writer_that_was_never_started_can_be_stopped_and_destroyed)
{
    struct thaw_error err = {0};
    cr_assert_eq(writer_create(1, &output, &err), 0);
    cr_assert(writer_flush(output, 0));
    cr_assert_eq(writer_stop(output), 0);
}

Test(writer, starting_and_stopping_many_times_leaks_no_descriptor)
{
    int before = dup(0);
    close(before);
    for (unsigned i = 0; i < 50; i++) {
        start_on_pipe();
        print("x");
        tear_down();
        output = NULL;
        serial = NULL;
    }
    int after = dup(0);
    close(after);
    cr_assert_eq(after, before);
}

/* ---- number of writes: one datagram each -------------------------------------------------- */

static unsigned count_datagrams(uint64_t bytes)
{
    static char datagram[WRITER_RING_SIZE];
    unsigned count = 0;
    for (uint64_t got = 0; got < bytes; count++) {
        cr_assert(readable_within(read_end, SOON_MS));
        ssize_t n = read(read_end, datagram, sizeof(datagram));
        cr_assert_gt(n, 0);
        got += (uint64_t)n;
    }
    return count;
}

static void start_on_datagrams(void)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
    read_end = ends[0];
    write_end = ends[1];
    start_on(write_end);
}

Test(writer, a_flood_goes_out_in_large_writes)
{
    start_on_datagrams();
    for (unsigned i = 0; i < 60000; i++)
        put('x');
    cr_assert(writer_flush(output, SOON_MS));
    cr_assert_lt(count_datagrams(60000), 600);
}

Test(writer, a_line_goes_out_in_a_few_writes)
{
    unsigned writes = 0;
    start_on_datagrams();
    for (unsigned i = 0; i < 100; i++) {
        print("a line of the guest kernel's log, of the usual length, as it boots\n");
        cr_assert(writer_flush(output, SOON_MS));
        writes += count_datagrams(67);
    }
    /* Two for each line on an idle machine; 67 when each byte goes out alone. */
    cr_assert_lt(writes, 1000);
}
