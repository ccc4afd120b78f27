/* SPDX-License-Identifier: Apache-2.0 */
/* The input of the standard streams' ports, from descriptors of all kinds. */
#include "tests/unit/ports_rig.h"

#include "devices/input.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

TestSuite(ports_input, .fini = tear_down, .timeout = 120);

/* ---- input -------------------------------------------------------------------------------- */

Test(ports_input, input_waits_until_the_guest_opens_the_port)
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

Test(ports_input, input_waits_in_the_hosts_pipe_until_there_are_buffers)
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

Test(ports_input, input_stops_when_the_guest_closes_the_port)
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

Test(ports_input, the_end_of_input_closes_the_port_behind_the_last_byte)
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

Test(ports_input, a_port_whose_input_has_ended_is_not_opened_again)
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

Test(ports_input, input_that_nobody_reads_yet_does_not_keep_the_loop_busy)
{
    start();
    close_end(&stdin_pipe[1]); /* hangs up, which epoll says unasked and level-triggered for ever */
    unsigned turns = 0;
    while (turns < 100 && loop_turn(driver.loop, QUIET_MS) > 0)
        turns++;
    cr_assert_lt(turns, 5);
}

Test(ports_input, a_file_as_input_is_read_to_its_end)
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

Test(ports_input, a_socket_as_input_is_read_without_blocking)
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

Test(ports_input, a_terminal_as_input_is_read_line_by_line)
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

/* In a group of its own, while the terminal's foreground is its parent's. */
static pid_t read_in_background(int terminal)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct input input;
    struct thaw_error err = {0};
    setpgid(0, 0);
    signal(SIGTTIN, SIG_DFL);
    _exit(input_open(&input, terminal, &err) < 0 || input_read(&input, &iov, 1) != -EAGAIN);
}

Test(ports_input, a_background_job_leaves_the_terminal_to_the_foreground_and_is_not_stopped)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    cr_assert_eq(write(master, "typed\n", 6), 6);
    pid_t leader = fork();
    if (leader == 0) {
        int status = 0;
        setsid();
        int terminal = open(ptsname(master), O_RDWR); /* its session's own from now on */
        pid_t job = read_in_background(terminal);
        bool ended = waitpid(job, &status, WUNTRACED) == job && WIFEXITED(status);
        if (!ended)
            kill(job, SIGKILL);
        _exit(ended ? WEXITSTATUS(status) : 2);
    }
    int status;
    cr_assert_eq(waitpid(leader, &status, 0), leader);
    cr_assert(WIFEXITED(status));
    cr_assert_neq(WEXITSTATUS(status), 2, "it was stopped");
    cr_assert_eq(WEXITSTATUS(status), 0);
    close(master);
}

Test(ports_input, the_writing_end_of_a_pipe_as_input_takes_nobodys_bytes_away)
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

Test(ports_input, nothing_as_input_ends_at_once)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    start_with(null, ALL);
    open_port(PORTS_STDIN);
    give(RX, 100);
    fake_driver_kick(&driver, RX);
    expect(PORTS_STDIN, PORT_OPEN, 0, "");
    close(null);
}

Test(ports_input, an_input_that_cannot_be_read_has_ended)
{
    int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    start_with(directory, ALL);
    open_port(PORTS_STDIN);
    give(RX, 100);
    fake_driver_kick(&driver, RX);
    expect(PORTS_STDIN, PORT_OPEN, 0, "");
    close(directory);
}

Test(ports_input, a_buffer_for_input_without_room_breaks_the_device)
{
    start();
    open_port(PORTS_STDIN);
    give(RX, 0);
    fake_driver_kick(&driver, RX);
    cr_assert(needs_reset());
}

Test(ports_input, one_turn_does_not_serve_a_guest_that_always_has_more_for_ever)
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
