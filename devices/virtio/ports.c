/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/ports.h"

#include "devices/input.h"
#include "thaw/wire.h"
#include "vmm/base/clock.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define DEVICE_TYPE 3u
#define QUEUES      (2 * (PORTS_COUNT + 1))
#define INPUT_MAX   65536u /* bytes in one read */
#define NS_PER_MS   1000000ull

/* 5.3.6.2. Fields are little-endian, as every host is that thaw runs on. */
enum control_event {
    DEVICE_READY,
    DEVICE_ADD,
    DEVICE_REMOVE,
    PORT_READY,
    CONSOLE_PORT,
    RESIZE,
    PORT_OPEN,
    PORT_NAME,
};

struct control_message {
    uint32_t id;
    uint16_t event, value;
};

/* 5.3.4 */
struct config_space {
    uint16_t cols, rows;
    uint32_t max_ports;
    uint32_t emergency_write;
};

/* What is to be said of a port, in this order. The name comes last: a guest that sees it finds the
 * port connected. */
enum { SAY_ADD = 1, SAY_OPEN = 2, SAY_NAME = 4, SAY_ALL = 7 };

static const char *const names[PORTS_COUNT] = {THAW_PORT_STDIN, THAW_PORT_STDOUT, THAW_PORT_STDERR};
#define NAME_MAX_LENGTH 32u

struct port {
    bool guest_open;
    uint8_t pending;       /* SAY_* */
    uint32_t taken;        /* of the next chain: see struct ports_state */
    struct writer *writer; /* NULL: nobody wants what comes */
};

struct ports {
    struct virtio_device base;
    struct port ports[PORTS_COUNT];
    struct input input;
    bool input_ended;
    bool input_idle; /* nothing was there; input_source will say when there is */
    uint64_t input_bytes;
    struct loop_source *input_source; /* NULL: the input is always ready, or has ended */
    int again_fd;                     /* eventfd: look at the streams (again) */
    struct loop_source *again_source;
    struct virtq_chain chain; /* the one being worked on */
};

_Static_assert(sizeof(struct control_message) == 8 && sizeof(struct config_space) == 12,
               "layouts of virtio 1.2, 5.3");
_Static_assert(sizeof(struct ports_state) == 20, "no padding");

static struct ports *of_device(struct virtio_device *device)
{
    return (struct ports *)device;
}

static bool is_at_work(const struct ports *p)
{
    return virtio_is_active(&p->base) && !p->base.stopped;
}

/* Somebody else first: nothing that a guest can keep busy may keep the loop. */
static void look_again(void *ctx)
{
    eventfd_write(((struct ports *)ctx)->again_fd, 1);
}

/* The next chain of a queue, into p->chain. When there is none the driver is to notify. */
static bool next_chain(struct ports *p, struct virtq *q)
{
    int rc = virtq_pop(q, &p->chain);
    if (rc == 0) {
        virtq_want_notifications(q, true);
        rc = virtq_pop(q, &p->chain);
    }
    if (rc > 0)
        virtq_want_notifications(q, false);
    if (rc < 0)
        virtio_fail(&p->base);
    return rc > 0;
}

/* ---- control messages to the guest -------------------------------------------------------- */

static bool is_host_open(const struct ports *p, unsigned port)
{
    return port != PORTS_STDIN || !p->input_ended;
}

/* Returns the size of the message, name included. */
static uint32_t compose(const struct ports *p, unsigned port, uint8_t what,
                        char message[sizeof(struct control_message) + NAME_MAX_LENGTH])
{
    struct control_message head = {.id = port, .event = DEVICE_ADD, .value = 1};
    uint32_t size = sizeof(head);
    if (what == SAY_OPEN) {
        head.event = PORT_OPEN;
        head.value = is_host_open(p, port);
    } else if (what == SAY_NAME) {
        head.event = PORT_NAME;
        size += (uint32_t)strlen(names[port]);
        memcpy(message + sizeof(head), names[port], size - sizeof(head));
    }
    memcpy(message, &head, sizeof(head));
    return size;
}

/* False: the driver has no buffer, or one that is too small. */
static bool say(struct ports *p, unsigned port, uint8_t what)
{
    char message[sizeof(struct control_message) + NAME_MAX_LENGTH];
    struct virtq *q = &p->base.queues[PORTS_QUEUE_CONTROL_RX];
    if (!next_chain(p, q))
        return false;
    uint32_t size = compose(p, port, what, message);
    if (virtq_chain_write(&p->chain, 0, message, size) < 0) {
        virtq_unpop(q, &p->chain);
        virtio_fail(&p->base);
        return false;
    }
    virtq_push(q, p->chain.head, size);
    return true;
}

static void say_pending(struct ports *p)
{
    bool said = true;
    for (unsigned port = 0; port < PORTS_COUNT; port++) {
        while (said && p->ports[port].pending) {
            uint8_t rest = p->ports[port].pending;
            uint8_t what = (uint8_t)(rest & -rest);
            said = say(p, port, what);
            if (said)
                p->ports[port].pending = (uint8_t)(rest & ~what);
        }
    }
    virtio_notify_driver(&p->base, PORTS_QUEUE_CONTROL_RX);
}

/* ---- input -------------------------------------------------------------------------------- */

static void end_input(struct ports *p)
{
    p->input_ended = true;
    loop_remove(p->input_source);
    p->input_source = NULL;
    p->ports[PORTS_STDIN].pending |= SAY_OPEN;
}

/* Fills one buffer. False: there is no more now. */
static bool give_input(struct ports *p, struct virtq *q)
{
    struct iovec iov[VIRTQ_SIZE_MAX];
    if (!next_chain(p, q))
        return false;
    unsigned count = virtq_chain_writable(&p->chain, 0, INPUT_MAX, iov);
    if (count == 0) {
        virtq_unpop(q, &p->chain);
        virtio_fail(&p->base); /* a buffer for input in which nothing can be put */
        return false;
    }
    ssize_t n = input_read(&p->input, iov, count);
    if (n <= 0) {
        virtq_unpop(q, &p->chain);
        p->input_idle = n == -EAGAIN && p->input_source;
        if (n == 0)
            end_input(p);
        return false;
    }
    p->input_bytes += (uint64_t)n;
    virtq_push(q, p->chain.head, (uint32_t)n);
    return true;
}

static void pump_input(struct ports *p)
{
    unsigned queue = ports_queue_rx(PORTS_STDIN);
    if (!is_at_work(p) || !p->ports[PORTS_STDIN].guest_open)
        return;
    if (p->input_ended || p->input_idle)
        return;
    unsigned budget = PORTS_QUEUE_SIZE;
    while (budget > 0 && give_input(p, &p->base.queues[queue]))
        budget--;
    if (budget == 0)
        look_again(p);
    virtio_notify_driver(&p->base, queue);
    say_pending(p);
}

static void input_is_ready(void *ctx, uint32_t events)
{
    struct ports *p = ctx;
    (void)events;
    p->input_idle = false;
    pump_input(p);
}

/* ---- output ------------------------------------------------------------------------------- */

/* Whether all of the chain could be taken. */
static bool take_bytes(struct port *port, const struct virtq_chain *chain)
{
    struct iovec iov[VIRTQ_SIZE_MAX];
    unsigned count = port->writer ? virtq_chain_readable(chain, port->taken, UINT32_MAX, iov) : 0;
    for (unsigned i = 0; i < count; i++) {
        size_t n = writer_put(port->writer, iov[i].iov_base, iov[i].iov_len);
        port->taken += (uint32_t)n;
        if (n < iov[i].iov_len)
            return false;
    }
    port->taken = 0;
    return true;
}

/* False: the queue is empty, or the writer's ring is full and look_again() will come. */
static bool take_output(struct ports *p, unsigned port, struct virtq *q)
{
    if (!next_chain(p, q))
        return false;
    if (!take_bytes(&p->ports[port], &p->chain)) {
        virtq_unpop(q, &p->chain);
        return false;
    }
    virtq_push(q, p->chain.head, 0);
    return true;
}

static void pump_output(struct ports *p, unsigned port)
{
    unsigned queue = ports_queue_tx(port);
    unsigned budget = PORTS_QUEUE_SIZE;
    if (!is_at_work(p))
        return;
    while (budget > 0 && take_output(p, port, &p->base.queues[queue]))
        budget--;
    if (budget == 0)
        look_again(p);
    virtio_notify_driver(&p->base, queue);
}

static void pump(struct ports *p)
{
    for (unsigned port = 0; port < PORTS_COUNT; port++)
        pump_output(p, port);
    pump_input(p);
}

/* ---- control messages from the guest ------------------------------------------------------ */

static void add_all(struct ports *p)
{
    for (unsigned port = 0; port < PORTS_COUNT; port++)
        p->ports[port].pending |= SAY_ADD;
}

/* What a later version of the specification may add, or a port that is none, says nothing here. */
static void heed(struct ports *p, const struct control_message *message)
{
    if (message->event == DEVICE_READY && message->value == 1)
        add_all(p);
    if (message->id >= PORTS_COUNT)
        return;
    struct port *port = &p->ports[message->id];
    if (message->event == PORT_READY && message->value == 1)
        port->pending |= SAY_OPEN | SAY_NAME;
    if (message->event == PORT_OPEN)
        port->guest_open = message->value != 0;
}

static bool take_control(struct ports *p, struct virtq *q)
{
    struct control_message message;
    if (!next_chain(p, q))
        return false;
    if (virtq_chain_read(&p->chain, 0, &message, sizeof(message)) < 0) {
        virtq_unpop(q, &p->chain);
        virtio_fail(&p->base);
        return false;
    }
    heed(p, &message);
    virtq_push(q, p->chain.head, 0);
    return true;
}

static void receive_control(struct ports *p)
{
    unsigned budget = PORTS_QUEUE_SIZE;
    while (budget > 0 && take_control(p, &p->base.queues[PORTS_QUEUE_CONTROL_TX]))
        budget--;
    if (budget == 0)
        look_again(p);
    virtio_notify_driver(&p->base, PORTS_QUEUE_CONTROL_TX);
    say_pending(p);
    pump_input(p);
}

/* The control queue too: its budget may have run out with the driver asked not to notify. */
static void on_look_again(void *ctx, uint32_t events)
{
    struct ports *p = ctx;
    eventfd_t ignored;
    (void)events;
    eventfd_read(p->again_fd, &ignored);
    if (is_at_work(p))
        receive_control(p);
    pump(p);
}

/* ---- what the transport calls ------------------------------------------------------------- */

static void ports_notify(struct virtio_device *device, unsigned queue)
{
    struct ports *p = of_device(device);
    if (queue == PORTS_QUEUE_CONTROL_TX)
        receive_control(p);
    else if (queue == PORTS_QUEUE_CONTROL_RX)
        say_pending(p);
    else if (queue == ports_queue_rx(PORTS_STDIN))
        pump_input(p);
    for (unsigned port = 0; port < PORTS_COUNT; port++)
        if (queue == ports_queue_tx(port))
            pump_output(p, port);
}

static void ports_config_read(struct virtio_device *device, uint32_t offset, void *to,
                              uint32_t size)
{
    const struct config_space config = {.max_ports = PORTS_COUNT};
    (void)device;
    memcpy(to, (const char *)&config + offset, size);
}

static void ports_reset(struct virtio_device *device)
{
    struct ports *p = of_device(device);
    for (unsigned port = 0; port < PORTS_COUNT; port++) {
        p->ports[port].guest_open = false;
        p->ports[port].pending = 0;
        p->ports[port].taken = 0;
    }
}

static void ports_resume(struct virtio_device *device)
{
    if (is_at_work(of_device(device)))
        say_pending(of_device(device));
    pump(of_device(device));
}

static void ports_save(struct virtio_device *device, void *to)
{
    const struct ports *p = of_device(device);
    struct ports_state *state = to;
    *state = (struct ports_state){.input_ended = p->input_ended};
    for (unsigned port = 0; port < PORTS_COUNT; port++) {
        state->taken[port] = p->ports[port].taken;
        state->pending[port] = p->ports[port].pending;
        state->guest_open[port] = p->ports[port].guest_open;
    }
}

static bool is_sane(const struct ports_state *state)
{
    bool sane = state->input_ended <= 1 && state->reserved == 0;
    for (unsigned port = 0; port < PORTS_COUNT; port++)
        sane = sane && state->guest_open[port] <= 1 && (state->pending[port] & ~SAY_ALL) == 0;
    return sane;
}

/* `taken` may be anything: it is compared with the chain when that is taken. */
static int ports_load(struct virtio_device *device, const void *from, struct thaw_error *err)
{
    struct ports *p = of_device(device);
    const struct ports_state *state = from;
    if (!is_sane(state))
        return thaw_fail(err, EINVAL, "state of the standard streams");
    for (unsigned port = 0; port < PORTS_COUNT; port++) {
        p->ports[port].taken = state->taken[port];
        p->ports[port].pending = state->pending[port];
        p->ports[port].guest_open = state->guest_open[port];
    }
    if (state->input_ended && !p->input_ended) {
        end_input(p);
        p->ports[PORTS_STDIN].pending = state->pending[PORTS_STDIN];
    }
    return 0;
}

static void ports_destroy(struct virtio_device *device)
{
    struct ports *p = of_device(device);
    for (unsigned port = 0; port < PORTS_COUNT; port++)
        writer_destroy(p->ports[port].writer);
    loop_remove(p->input_source);
    loop_remove(p->again_source);
    input_close(&p->input);
    if (p->again_fd >= 0)
        close(p->again_fd);
    free(p);
}

static const struct virtio_ops ports_ops = {
    .name = "virtio-console",
    .id = DEVICE_TYPE,
    .reset = ports_reset,
    .notify = ports_notify,
    .config_read = ports_config_read,
    .config_size = sizeof(struct config_space),
    .resume = ports_resume,
    .state_size = sizeof(struct ports_state),
    .save = ports_save,
    .load = ports_load,
    .destroy = ports_destroy,
};

/* ---- creation ----------------------------------------------------------------------------- */

/* What epoll refuses (a regular file, /dev/null) is always ready. */
static int watch_input(struct ports *p, int fd, struct thaw_error *err)
{
    int rc = input_open(&p->input, fd, err);
    if (rc < 0)
        return rc;
    struct thaw_error refused = {0};
    rc = loop_add(p->base.context.loop, p->input.fd, EPOLLIN | EPOLLET, input_is_ready, p,
                  &p->input_source, &refused);
    if (rc < 0 && rc != -EPERM)
        *err = refused;
    return rc == -EPERM ? 0 : rc;
}

static int watch_again(struct ports *p, struct thaw_error *err)
{
    p->again_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->again_fd < 0)
        return thaw_fail(err, errno, "eventfd");
    return loop_add(p->base.context.loop, p->again_fd, EPOLLIN, on_look_again, p, &p->again_source,
                    err);
}

static int start_writer(struct ports *p, enum ports_index port, int fd, struct thaw_error *err)
{
    int rc = writer_create(fd, &p->ports[port].writer, err);
    return rc < 0 ? rc : writer_start(p->ports[port].writer, look_again, p, err);
}

static int set_up(struct ports *p, const struct ports_config *config, struct thaw_error *err)
{
    int rc = watch_again(p, err);
    if (rc == 0)
        rc = watch_input(p, config->stdin_fd, err);
    if (rc == 0)
        rc = start_writer(p, PORTS_STDOUT, config->stdout_fd, err);
    if (rc == 0)
        rc = start_writer(p, PORTS_STDERR, config->stderr_fd, err);
    return rc;
}

int ports_create(const struct ports_config *config, const struct virtio_context *context,
                 struct virtio_device **out, struct thaw_error *err)
{
    struct ports *p = calloc(1, sizeof(*p));
    if (!p)
        return thaw_fail(err, ENOMEM, "standard streams");
    p->input.fd = p->again_fd = -1;
    virtio_device_init(&p->base, &ports_ops, context, VIRTIO_CONSOLE_F_MULTIPORT, QUEUES,
                       PORTS_QUEUE_SIZE);
    int rc = set_up(p, config, err);
    if (rc < 0) {
        ports_destroy(&p->base);
        return rc;
    }
    *out = &p->base;
    return 0;
}

/* ---- for the owner ------------------------------------------------------------------------ */

bool ports_are_open(struct virtio_device *device)
{
    loop_lock(device->context.loop);
    bool open = is_at_work(of_device(device)) && of_device(device)->ports[PORTS_STDOUT].guest_open;
    loop_unlock(device->context.loop);
    return open;
}

/* Whether nothing is left in the queues. */
static bool pump_all_output(struct ports *p)
{
    bool left = false;
    loop_lock(p->base.context.loop);
    for (unsigned port = 0; port < PORTS_COUNT; port++) {
        pump_output(p, port);
        left = left || virtq_has_work(&p->base.queues[ports_queue_tx(port)]);
    }
    left = left && is_at_work(p);
    loop_unlock(p->base.context.loop);
    return !left;
}

static bool flush_until(struct writer *writer, uint64_t deadline_ns)
{
    uint64_t now = clock_monotonic_ns();
    return writer_flush(writer,
                        now < deadline_ns ? (unsigned)((deadline_ns - now) / NS_PER_MS) : 0);
}

bool ports_flush(struct virtio_device *device, unsigned timeout_ms)
{
    struct ports *p = of_device(device);
    uint64_t deadline_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
    bool all;
    do {
        all = pump_all_output(p);
        if (!flush_until(p->ports[PORTS_STDOUT].writer, deadline_ns) ||
            !flush_until(p->ports[PORTS_STDERR].writer, deadline_ns))
            return false;
    } while (!all && clock_monotonic_ns() < deadline_ns);
    return all;
}

void ports_mute(struct virtio_device *device)
{
    struct ports *p = of_device(device);
    for (unsigned port = PORTS_STDOUT; port <= PORTS_STDERR; port++)
        if (p->ports[port].writer)
            writer_stop(p->ports[port].writer);
}

struct ports_report ports_report(struct virtio_device *device)
{
    struct ports *p = of_device(device);
    loop_lock(device->context.loop);
    struct ports_report report = {
        .input = p->input_bytes, .kicks = device->kicks, .interrupts = device->interrupts};
    loop_unlock(device->context.loop);
    for (unsigned port = 0; port < PORTS_COUNT; port++)
        if (p->ports[port].writer)
            report.outputs[port] = writer_report(p->ports[port].writer);
    return report;
}
