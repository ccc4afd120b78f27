/* SPDX-License-Identifier: Apache-2.0 */
/* The control port's line protocol: the parser alone, what an event means, and the whole port. */
#include "devices/control.h"

#include "vmm/base/clock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/serial_reg.h>
#include <string.h>

/* ---- the parser --------------------------------------------------------------------------- */

static struct control_parser parser;
static struct control_event event;

/* Feeds `n` bytes; returns how many lines they ended. `event` is the last one's. */
static unsigned feed(const char *bytes, size_t n)
{
    unsigned lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += control_parser_feed(&parser, (uint8_t)bytes[i], &event);
    return lines;
}

static void expect_line(const char *line)
{
    cr_assert_eq(feed(line, strlen(line)), 0);
    cr_assert_eq(feed("\n", 1), 1, "no event for '%s'", line);
}

Test(control_parser, every_line_of_the_protocol_is_understood)
{
    static const struct {
        const char *line;
        enum control_event_kind kind;
        uint64_t number;
        const char *text;
    } rows[] = {
        {"hello init-oci 0.1.0", CONTROL_EVENT_HELLO, 0, "0.1.0"},
        {"heartbeat counter=0", CONTROL_EVENT_HEARTBEAT, 0, NULL},
        {"heartbeat counter=18446744073709551615", CONTROL_EVENT_HEARTBEAT, UINT64_MAX, NULL},
        {"listener proto=tcp port=1", CONTROL_EVENT_LISTENER, 1, NULL},
        {"listener proto=tcp port=65535", CONTROL_EVENT_LISTENER, 65535, NULL},
        {"workload-pre-exec", CONTROL_EVENT_PRE_EXEC, 0, NULL},
        {"quiesced seq=42", CONTROL_EVENT_QUIESCED, 42, NULL},
        {"workload-exec", CONTROL_EVENT_EXEC, 0, NULL},
        {"no-listener", CONTROL_EVENT_NO_LISTENER, 0, NULL},
        {"workload-exit status=0", CONTROL_EVENT_EXIT, 0, NULL},
        {"workload-exit status=255", CONTROL_EVENT_EXIT, 255, NULL},
        {"init-failed reason=mount /proc: no such device", CONTROL_EVENT_FAILED, 0,
         "mount /proc: no such device"},
        {"init-failed reason= ", CONTROL_EVENT_FAILED, 0, " "},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_line(rows[i].line);
        cr_assert_eq(event.kind, rows[i].kind, "%s", rows[i].line);
        cr_assert_eq(event.number, rows[i].number, "%s", rows[i].line);
        if (rows[i].text)
            cr_assert_str_eq(event.text, rows[i].text);
        cr_assert(control_parser_is_idle(&parser));
    }
}

Test(control_parser, a_line_that_is_not_exactly_right_is_dropped_with_its_reason)
{
    static const struct {
        const char *line;
        enum control_drop drop;
    } rows[] = {
        {"", CONTROL_DROP_UNKNOWN},
        {" ", CONTROL_DROP_UNKNOWN},
        {"hell", CONTROL_DROP_UNKNOWN},
        {"helloo init-oci 1", CONTROL_DROP_UNKNOWN},
        {"Hello init-oci 1", CONTROL_DROP_UNKNOWN},
        {" hello init-oci 1", CONTROL_DROP_UNKNOWN},
        {"!hello init-oci 1", CONTROL_DROP_UNKNOWN},
        {"workload-exec\r", CONTROL_DROP_NOT_ASCII},
        {"workload-exec\t", CONTROL_DROP_NOT_ASCII},
        {"workload-exec\x7f", CONTROL_DROP_NOT_ASCII},
        {"workload-exec\xc3\xa9", CONTROL_DROP_NOT_ASCII},
        {"workload-exec ", CONTROL_DROP_MALFORMED},
        {"workload-exec now", CONTROL_DROP_MALFORMED},
        {"workload-pre-exec x=1", CONTROL_DROP_MALFORMED},
        {"no-listener ", CONTROL_DROP_MALFORMED},
        {"hello", CONTROL_DROP_MALFORMED},
        {"hello init-oci", CONTROL_DROP_MALFORMED},
        {"hello init-oci ", CONTROL_DROP_MALFORMED},
        {"hello init-oci 1 2", CONTROL_DROP_MALFORMED},
        {"hello someone 1", CONTROL_DROP_MALFORMED},
        {"heartbeat", CONTROL_DROP_MALFORMED},
        {"heartbeat counter", CONTROL_DROP_MALFORMED},
        {"heartbeat counter=", CONTROL_DROP_MALFORMED},
        {"heartbeat  counter=1", CONTROL_DROP_MALFORMED},
        {"heartbeat counter=1 ", CONTROL_DROP_MALFORMED},
        {"heartbeat counter= 1", CONTROL_DROP_MALFORMED},
        {"heartbeat counter=-1", CONTROL_DROP_MALFORMED},
        {"heartbeat counter=+1", CONTROL_DROP_MALFORMED},
        {"heartbeat counter=01", CONTROL_DROP_MALFORMED},
        {"heartbeat counter=0x1", CONTROL_DROP_MALFORMED},
        {"heartbeat counter=1.0", CONTROL_DROP_MALFORMED},
        {"heartbeat counter=18446744073709551616", CONTROL_DROP_MALFORMED},
        {"heartbeat counter=99999999999999999999999999", CONTROL_DROP_MALFORMED},
        {"heartbeat Counter=1", CONTROL_DROP_MALFORMED},
        {"listener proto=tcp port=0", CONTROL_DROP_MALFORMED},
        {"listener proto=tcp port=65536", CONTROL_DROP_MALFORMED},
        {"listener proto=udp port=80", CONTROL_DROP_MALFORMED},
        {"listener port=80 proto=tcp", CONTROL_DROP_MALFORMED},
        {"listener proto=tcp", CONTROL_DROP_MALFORMED},
        {"quiesced", CONTROL_DROP_MALFORMED},
        {"quiesced seq=x", CONTROL_DROP_MALFORMED},
        {"workload-exit", CONTROL_DROP_MALFORMED},
        {"workload-exit status=256", CONTROL_DROP_MALFORMED},
        {"workload-exit status=-1", CONTROL_DROP_MALFORMED},
        {"init-failed", CONTROL_DROP_MALFORMED},
        {"init-failed reason=", CONTROL_DROP_MALFORMED},
        {"init-failed why=x", CONTROL_DROP_MALFORMED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_line(rows[i].line);
        cr_assert_eq(event.kind, CONTROL_EVENT_DROPPED, "taken: '%s'", rows[i].line);
        cr_assert_eq(event.drop, rows[i].drop, "wrong reason for '%s'", rows[i].line);
        expect_line("workload-exec");
        cr_assert_eq(event.kind, CONTROL_EVENT_EXEC, "the line after '%s'", rows[i].line);
    }
}

Test(control_parser, a_line_may_arrive_in_two_pieces_split_anywhere)
{
    static const char line[] = "listener proto=tcp port=8080\n";
    const size_t length = sizeof(line) - 1;
    for (size_t split = 0; split <= length; split++) {
        unsigned lines = feed(line, split) + feed(line + split, length - split);
        cr_assert_eq(lines, 1);
        cr_assert_eq(event.kind, CONTROL_EVENT_LISTENER);
        cr_assert_eq(event.number, 8080);
    }
}

Test(control_parser, several_lines_in_one_go_give_an_event_each)
{
    static const char lines[] = "workload-pre-exec\nworkload-exec\nworkload-exit status=7\n";
    cr_assert_eq(feed(lines, sizeof(lines) - 1), 3);
    cr_assert_eq(event.kind, CONTROL_EVENT_EXIT);
    cr_assert_eq(event.number, 7);
}

/* A failure whose whole line is `length` bytes long. */
static void feed_failure_of(size_t length)
{
    char line[300] = "init-failed reason=";
    size_t start = strlen(line);
    memset(line + start, 'x', length - start);
    line[length] = '\0';
    expect_line(line);
}

Test(control_parser, a_line_of_256_bytes_is_taken_and_one_of_257_is_dropped)
{
    feed_failure_of(255);
    cr_assert_eq(event.kind, CONTROL_EVENT_FAILED);
    feed_failure_of(256);
    cr_assert_eq(event.kind, CONTROL_EVENT_FAILED);
    cr_assert_eq(strlen(event.text), 256 - strlen("init-failed reason="));
    feed_failure_of(257);
    cr_assert_eq(event.kind, CONTROL_EVENT_DROPPED);
    cr_assert_eq(event.drop, CONTROL_DROP_TOO_LONG);
}

Test(control_parser, the_longest_version_is_taken_and_a_longer_one_is_not)
{
    char line[128] = "hello init-oci ";
    size_t start = strlen(line);
    memset(line + start, '9', CONTROL_VERSION_MAX);
    expect_line(line);
    cr_assert_eq(event.kind, CONTROL_EVENT_HELLO);
    line[start + CONTROL_VERSION_MAX] = '9';
    expect_line(line);
    cr_assert_eq(event.drop, CONTROL_DROP_MALFORMED);
}

Test(control_parser, a_megabyte_without_a_newline_is_one_dropped_line)
{
    for (unsigned i = 0; i < 1u << 20; i++)
        cr_assert_eq(feed("A", 1), 0);
    cr_assert_not(control_parser_is_idle(&parser));
    cr_assert_eq(feed("\n", 1), 1);
    cr_assert_eq(event.drop, CONTROL_DROP_TOO_LONG);
    expect_line("workload-exec");
    cr_assert_eq(event.kind, CONTROL_EVENT_EXEC);
}

Test(control_parser, the_first_thing_wrong_with_a_line_is_the_reason)
{
    char line[300];
    memset(line, 'x', sizeof(line));
    line[10] = '\x01';
    feed(line, sizeof(line));
    cr_assert_eq(feed("\n", 1), 1);
    cr_assert_eq(event.drop, CONTROL_DROP_NOT_ASCII);
    line[10] = 'x';
    line[290] = '\x01';
    feed(line, sizeof(line));
    cr_assert_eq(feed("\n", 1), 1);
    cr_assert_eq(event.drop, CONTROL_DROP_TOO_LONG);
}

Test(control_parser, a_nul_byte_does_not_end_a_line_early)
{
    cr_assert_eq(feed("workload-exec\0\n", 15), 1);
    cr_assert_eq(event.drop, CONTROL_DROP_NOT_ASCII);
}

Test(control_parser, random_bytes_yield_one_event_per_newline_and_nothing_strange)
{
    uint32_t seed = 1;
    unsigned newlines = 0, events = 0;
    for (unsigned i = 0; i < 2000000; i++) {
        seed = seed * 1664525u + 1013904223u;
        /* Mostly protocol letters, so that deep paths are reached too. */
        static const char alphabet[] = "hello heartbeat counter=0123456789 seq=\n";
        char byte = alphabet[(seed >> 8) % (sizeof(alphabet) - 1)];
        if (seed >> 31)
            byte = (char)(seed >> 16);
        newlines += byte == '\n';
        if (feed(&byte, 1)) {
            events++;
            cr_assert_leq(event.kind, CONTROL_EVENT_FAILED);
            cr_assert_eq(event.drop != CONTROL_DROP_NONE, event.kind == CONTROL_EVENT_DROPPED);
        }
        cr_assert_leq(parser.length, THAW_CONTROL_LINE_MAX);
    }
    cr_assert_eq(events, newlines);
}

/* ---- what an event means ------------------------------------------------------------------ */

static struct guest_observation seen;

static bool say(const char *line, uint64_t now_ns)
{
    expect_line(line);
    return observation_apply(&seen, &event, now_ns);
}

Test(observation, nothing_is_seen_at_first)
{
    static const struct guest_observation empty;
    cr_assert_arr_eq((const uint8_t *)&seen, (const uint8_t *)&empty, sizeof(seen));
}

Test(observation, marks_keep_the_time_of_their_line)
{
    cr_assert(say("hello init-oci 1.2", 10));
    cr_assert(say("workload-pre-exec", 20));
    cr_assert(say("workload-exec", 30));
    cr_assert(say("no-listener", 40));
    cr_assert(say("workload-exit status=3", 50));
    cr_assert(seen.hello && seen.pre_exec_ready && seen.exec && seen.no_listener && seen.exited);
    cr_assert_eq(seen.hello_ns, 10);
    cr_assert_str_eq(seen.version, "1.2");
    cr_assert_eq(seen.pre_exec_ns, 20);
    cr_assert_eq(seen.exec_ns, 30);
    cr_assert_eq(seen.no_listener_ns, 40);
    cr_assert_eq(seen.exited_ns, 50);
    cr_assert_eq(seen.exit_status, 3);
    cr_assert_not(seen.failed);
    cr_assert_eq(seen.dropped.ignored, 0);
}

Test(observation, what_is_said_once_is_not_rearmed_by_saying_it_again)
{
    static const char *const lines[] = {"hello init-oci 1", "workload-exec", "no-listener",
                                        "workload-exit status=1", "init-failed reason=first"};
    static const char *const again[] = {"hello init-oci 2", "workload-exec", "no-listener",
                                        "workload-exit status=2", "init-failed reason=second"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        cr_assert(say(lines[i], 1));
    struct guest_observation before = seen;
    for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++)
        cr_assert_not(say(again[i], 2), "%s", again[i]);

    cr_assert_eq(seen.dropped.ignored, sizeof(again) / sizeof(again[0]));
    seen.dropped.ignored = 0;
    cr_assert_arr_eq((uint8_t *)&seen, (uint8_t *)&before, sizeof(seen));
}

Test(observation, being_ready_again_is_counted_and_does_not_move_the_time)
{
    cr_assert(say("workload-pre-exec", 1));
    cr_assert(say("workload-pre-exec", 2));
    cr_assert(seen.pre_exec_ready);
    cr_assert_eq(seen.pre_exec_ns, 1);
    cr_assert_eq(seen.pre_execs, 2);
    cr_assert_eq(seen.dropped.ignored, 0);
}

Test(observation, heartbeats_count_while_they_rise)
{
    cr_assert(say("heartbeat counter=0", 1));
    cr_assert(say("heartbeat counter=1", 2));
    cr_assert(say("heartbeat counter=7", 3));
    cr_assert_not(say("heartbeat counter=7", 4));
    cr_assert_not(say("heartbeat counter=6", 5));
    cr_assert_eq(seen.heartbeats, 3);
    cr_assert_eq(seen.heartbeat_counter, 7);
    cr_assert_eq(seen.heartbeat_ns, 3);
    cr_assert_eq(seen.dropped.ignored, 2);
}

Test(observation, each_port_is_kept_once_in_order_of_arrival)
{
    cr_assert(say("listener proto=tcp port=8080", 1));
    cr_assert(say("listener proto=tcp port=22", 2));
    cr_assert_not(say("listener proto=tcp port=8080", 3));
    cr_assert_eq(seen.listener_count, 2);
    cr_assert_eq(seen.listeners[0].port, 8080);
    cr_assert_eq(seen.listeners[0].at_ns, 1);
    cr_assert_eq(seen.listeners[1].port, 22);
}

Test(observation, listeners_are_bounded)
{
    char line[64];
    for (unsigned i = 1; i <= 1000; i++) {
        snprintf(line, sizeof(line), "listener proto=tcp port=%u", i);
        cr_assert_eq(say(line, i), i <= GUEST_LISTENERS_MAX);
    }
    cr_assert_eq(seen.listener_count, GUEST_LISTENERS_MAX);
    cr_assert_eq(seen.dropped.ignored, 1000 - GUEST_LISTENERS_MAX);
}

Test(observation, a_new_answer_to_quiesce_replaces_the_old_one_and_a_repeated_one_does_not)
{
    cr_assert(say("quiesced seq=1", 10));
    cr_assert_not(say("quiesced seq=1", 20));
    cr_assert_eq(seen.quiesced_ns, 10);
    cr_assert(say("quiesced seq=2", 30));
    cr_assert(seen.quiesced);
    cr_assert_eq(seen.quiesced_seq, 2);
    cr_assert_eq(seen.quiesced_ns, 30);
}

Test(observation, a_failure_keeps_its_reason_whole)
{
    feed_failure_of(256);
    cr_assert(observation_apply(&seen, &event, 5));
    cr_assert(seen.failed);
    cr_assert_eq(strlen(seen.failure), 256 - strlen("init-failed reason="));
}

Test(observation, dropped_lines_are_counted_by_reason_and_change_nothing_else)
{
    cr_assert_not(say("what?", 1));
    cr_assert_not(say("workload-exec\x80", 1));
    cr_assert_not(say("workload-exec\x81", 1));
    cr_assert_not(say("workload-exit status=", 1));
    feed_failure_of(257);
    cr_assert_not(observation_apply(&seen, &event, 1));
    cr_assert_eq(seen.dropped.unknown, 1);
    cr_assert_eq(seen.dropped.not_ascii, 2);
    cr_assert_eq(seen.dropped.malformed, 1);
    cr_assert_eq(seen.dropped.too_long, 1);
    cr_assert_not(seen.exec || seen.exited || seen.failed);
}

/* ---- the port ----------------------------------------------------------------------------- */

static struct control_port *port;
static unsigned changes;
static bool line_level;

static void on_change(void *ctx)
{
    /* As the machine does: nothing here may deadlock. */
    control_observe(ctx ? *(struct control_port **)ctx : NULL, &seen);
    changes++;
}

static void on_irq(void *ctx, bool level)
{
    *(bool *)ctx = level;
}

static void set_up(void)
{
    struct thaw_error err = {0};
    struct control_callbacks callbacks = {
        .set_irq = on_irq, .irq_ctx = &line_level, .changed = on_change, .changed_ctx = &port};
    cr_assert_eq(control_create(&callbacks, &port, &err), 0);
    serial_bus_ops.write(control_serial(port), UART_FCR, 1, UART_FCR_ENABLE_FIFO);
    serial_bus_ops.write(control_serial(port), UART_MCR, 1, UART_MCR_RTS | UART_MCR_OUT2);
    serial_bus_ops.write(control_serial(port), UART_IER, 1, UART_IER_RDI);
}

static void tear_down(void)
{
    control_destroy(port);
}

static void guest_writes(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t lsr = 0;
        serial_bus_ops.read(control_serial(port), UART_LSR, 1, &lsr);
        cr_assert(lsr & UART_LSR_THRE, "this port never pushes back");
        serial_bus_ops.write(control_serial(port), UART_TX, 1, (uint8_t)bytes[i]);
    }
}

/* Reads up to size - 1 bytes as an interrupt handler does; returns how many. */
static size_t guest_reads(char *to, size_t size)
{
    size_t n = 0;
    uint64_t value = 0;
    for (; n < size - 1; n++) {
        serial_bus_ops.read(control_serial(port), UART_LSR, 1, &value);
        if (!(value & UART_LSR_DR))
            break;
        serial_bus_ops.read(control_serial(port), UART_RX, 1, &value);
        to[n] = (char)value;
    }
    serial_bus_ops.read(control_serial(port), UART_IIR, 1, &value);
    to[n] = '\0';
    return n;
}

TestSuite(control, .init = set_up, .fini = tear_down);

Test(control, a_line_from_the_guest_is_observed_with_the_time_it_came)
{
    uint64_t before = clock_monotonic_ns();
    guest_writes("hello init-oci 0.1\n", 19);
    uint64_t after = clock_monotonic_ns();
    cr_assert_eq(changes, 1);
    control_observe(port, &seen);
    cr_assert(seen.hello);
    cr_assert_geq(seen.hello_ns, before);
    cr_assert_leq(seen.hello_ns, after);
}

Test(control, nobody_is_woken_by_lines_that_change_nothing)
{
    guest_writes("workload-exec\n", 14);
    cr_assert_eq(changes, 1);
    guest_writes("workload-exec\n", 14);
    guest_writes("garbage\n\n\x01\x02\n", 12);
    cr_assert_eq(changes, 1);
    control_observe(port, &seen);
    cr_assert_eq(seen.dropped.ignored, 1);
    cr_assert_eq(seen.dropped.unknown, 2);
    cr_assert_eq(seen.dropped.not_ascii, 1);
}

Test(control, binary_garbage_leaves_the_port_able_to_hear_the_next_line)
{
    uint32_t seed = 7;
    for (unsigned i = 0; i < 100000; i++) {
        seed = seed * 1664525u + 1013904223u;
        char byte = (char)(seed >> 24);
        guest_writes(&byte, 1);
    }
    guest_writes("\nworkload-exit status=9\n", 24);
    control_observe(port, &seen);
    cr_assert(seen.exited);
    cr_assert_eq(seen.exit_status, 9);
}

Test(control, a_sent_line_arrives_with_its_newline_and_interrupts)
{
    char got[64];
    cr_assert_not(line_level);
    cr_assert_eq(control_send_line(port, "quiesce seq=1"), 0);
    cr_assert(line_level);
    guest_reads(got, sizeof(got));
    cr_assert_str_eq(got, "quiesce seq=1\n");
    cr_assert_not(line_level);
}

Test(control, doorbells_stand_between_lines_in_the_order_they_were_sent)
{
    char got[128];
    cr_assert_eq(control_doorbell(port), 0);
    cr_assert_eq(control_send_line(port, "quiesce seq=1"), 0);
    cr_assert_eq(control_doorbell(port), 0);
    cr_assert_eq(control_doorbell(port), 0);
    cr_assert_eq(control_send_line(port, "signal number=15"), 0);
    guest_reads(got, sizeof(got));
    cr_assert_str_eq(got, "!quiesce seq=1\n!!signal number=15\n");
}

Test(control, a_line_is_sent_whole_or_not_at_all)
{
    static char got[3 * SERIAL_STAGING_SIZE];
    size_t sent = 0;
    while (control_send_line(port, "stdin-eof bytes=123456") == 0)
        sent++;
    cr_assert_eq(control_send_line(port, "stdin-eof bytes=123456"), -EAGAIN);
    cr_assert_eq(sent, SERIAL_STAGING_SIZE / 23);

    size_t n = guest_reads(got, sizeof(got));
    cr_assert_eq(n, sent * 23);
    for (size_t i = 0; i < sent; i++)
        cr_assert_eq(memcmp(got + i * 23, "stdin-eof bytes=123456\n", 23), 0);
    cr_assert_eq(control_send_line(port, "stdin-eof bytes=123456"), 0);
}

Test(control, a_doorbell_into_a_full_port_is_refused)
{
    while (control_doorbell(port) == 0)
        ;
    cr_assert_eq(control_doorbell(port), -EAGAIN);
    static char got[SERIAL_STAGING_SIZE + 1];
    cr_assert_eq(guest_reads(got, sizeof(got)), SERIAL_STAGING_SIZE);
    cr_assert_eq(control_doorbell(port), 0);
}

Test(control, a_line_that_the_guest_would_misread_is_never_sent)
{
    char line[THAW_CONTROL_LINE_MAX + 2];
    memset(line, 'x', sizeof(line));
    line[THAW_CONTROL_LINE_MAX + 1] = '\0';
    cr_assert_eq(control_send_line(port, line), -EMSGSIZE);
    line[THAW_CONTROL_LINE_MAX] = '\0';
    cr_assert_eq(control_send_line(port, line), 0);

    cr_assert_eq(control_send_line(port, ""), -EINVAL);
    cr_assert_eq(control_send_line(port, "!x"), -EINVAL);
    cr_assert_eq(control_send_line(port, "two\nlines"), -EINVAL);
    cr_assert_eq(control_send_line(port, "caf\xc3\xa9"), -EINVAL);
    char got[THAW_CONTROL_LINE_MAX + 8];
    cr_assert_eq(guest_reads(got, sizeof(got)), THAW_CONTROL_LINE_MAX + 1, "only the good one");
}

Test(control, the_port_is_quiet_between_lines_and_not_inside_one)
{
    cr_assert(control_is_quiet(port));
    guest_writes("workload", 8);
    cr_assert_not(control_is_quiet(port));
    guest_writes("-exec\n", 6);
    cr_assert(control_is_quiet(port));
    cr_assert_eq(control_doorbell(port), 0);
    cr_assert_not(control_is_quiet(port));
    char got[4];
    guest_reads(got, sizeof(got));
    cr_assert(control_is_quiet(port));
}
