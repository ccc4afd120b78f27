/* SPDX-License-Identifier: Apache-2.0 */
/* The standard streams' ports between host pipes and a fake driver, for the tests of both. */
#ifndef THAW_TESTS_PORTS_RIG_H
#define THAW_TESTS_PORTS_RIG_H

#include "devices/virtio/ports.h"

#include "tests/unit/fake_driver.h"
#include "thaw/wire.h"
#include "vmm/base/clock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

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

static inline struct virtio_device *create_on(int stdin_fd)
{
    const struct ports_config config = {
        .stdin_fd = stdin_fd, .stdout_fd = stdout_pipe[1], .stderr_fd = stderr_pipe[1]};
    struct virtio_device *created = NULL;
    struct thaw_error err = {0};
    cr_assert_eq(ports_create(&config, &driver.context, &created, &err), 0, "%s", err.message);
    return created;
}

static inline void make_pipes(void)
{
    cr_assert_eq(pipe2(stdin_pipe, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(stdout_pipe, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(stderr_pipe, O_CLOEXEC), 0);
}

/* A device whose driver has got to DRIVER_OK; stdin is `fd`, or the pipe for -1. */
static inline void start_with(int fd, uint64_t features)
{
    make_pipes();
    fake_driver_init(&driver);
    device = create_on(fd < 0 ? stdin_pipe[0] : fd);
    fake_driver_attach(&driver, device);
    fake_driver_start(&driver, features);
}

static inline void start(void)
{
    start_with(-1, ALL);
}

static inline void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static inline void tear_down(void)
{
    fake_driver_destroy(&driver);
    for (int i = 0; i < 2; i++) {
        close_end(&stdin_pipe[i]);
        close_end(&stdout_pipe[i]);
        close_end(&stderr_pipe[i]);
    }
}

/* ---- the driver's side -------------------------------------------------------------------- */

static inline bool needs_reset(void)
{
    return fake_driver_read(&driver, FAKE_REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET;
}

/* A buffer for the device to fill. */
static inline uint64_t give(unsigned queue, uint32_t size)
{
    uint64_t gpa = fake_driver_alloc(&driver, size ? size : 1);
    fake_driver_send(&driver, queue, &(struct fake_buffer){gpa, size, true}, 1);
    return gpa;
}

static inline void tell(uint32_t id, uint16_t event, uint16_t value)
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
static inline bool hear(struct message *message)
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

static inline void expect(uint32_t id, uint16_t event, uint16_t value, const char *name)
{
    struct message message;
    cr_assert(hear(&message), "no message where event %u of port %u is due", event, id);
    cr_assert_eq(message.id, id);
    cr_assert_eq(message.event, event);
    cr_assert(event == PORT_NAME || message.value == value, "value %u", message.value);
    cr_assert_str_eq(message.name, name);
}

static inline void expect_silence(void)
{
    struct message message;
    cr_assert_not(hear(&message), "event %u of port %u came", message.event, message.id);
}

static inline void open_port(uint32_t id)
{
    tell(id, PORT_OPEN, 1);
}

/* Byte `i` of a sequence in which a lost or doubled stretch shows. */
static inline uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i % 251 ^ i / 251);
}

/* Offers `size` bytes of the sequence, from `at`, as a chain of two buffers. */
static inline void offer_output(unsigned port, uint64_t at, uint32_t size)
{
    uint64_t gpa = fake_driver_alloc(&driver, size);
    uint8_t *bytes = fake_driver_at(&driver, gpa, size);
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = pattern(at + i);
    const struct fake_buffer buffers[] = {{gpa, size / 3, false},
                                          {gpa + size / 3, size - size / 3, false}};
    fake_driver_send(&driver, ports_queue_tx(port), buffers, 2);
}

static inline void output(unsigned port, uint64_t at, uint32_t size)
{
    offer_output(port, at, size);
    fake_driver_kick(&driver, ports_queue_tx(port));
}

static inline bool is_returned(unsigned queue)
{
    uint32_t head, length;
    return fake_driver_used(&driver, queue, &head, &length);
}

static inline bool readable_within(int fd, unsigned ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, (int)ms) == 1;
}

/* The same, serving the loop while it waits: a writer that has room again says so there. */
static inline bool comes_within(int fd, unsigned ms)
{
    for (unsigned waited = 0; waited < ms; waited++) {
        if (readable_within(fd, 1))
            return true;
        loop_turn(driver.loop, 0);
    }
    return false;
}

/* Reads and checks bytes [from, to) of the sequence, serving the loop meanwhile. */
static inline void expect_output(int fd, uint64_t from, uint64_t to)
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

#define RX ports_queue_rx(PORTS_STDIN)

static inline void type(const char *text)
{
    cr_assert_eq(write(stdin_pipe[1], text, strlen(text)), (ssize_t)strlen(text));
    fake_driver_run_loop(&driver, QUIET_MS);
}

static inline void expect_input(uint64_t gpa, const char *text)
{
    uint32_t head, length;
    cr_assert(fake_driver_used(&driver, RX, &head, &length), "no input where \"%s\" is due", text);
    cr_assert_eq(length, strlen(text));
    cr_assert_arr_eq(fake_driver_at(&driver, gpa, length), text, length);
}

#endif
