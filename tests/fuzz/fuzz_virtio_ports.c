/* SPDX-License-Identifier: Apache-2.0 */
/* The standard streams: control messages of any kind, output to pipes that are read now and then,
 * input that comes in pieces and ends. No more comes out, or in, than was put in. */
#include "devices/virtio/ports.h"
#include "tests/fuzz/virtio_harness.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

const char *__lsan_default_suppressions(void); /* LeakSanitizer asks for it */

struct pipe {
    int read, write; /* -1: closed */
};

struct host {
    bool open;
    struct pipe streams[PORTS_COUNT];
    uint64_t given, received;
};

static void open_pipes(struct host *host)
{
    host->open = true;
    for (unsigned i = 0; i < PORTS_COUNT; i++) {
        int fds[2];
        require(pipe2(fds, O_CLOEXEC) == 0);
        host->streams[i] = (struct pipe){.read = fds[0], .write = fds[1]};
        /* Small, and nonblocking at this end alone: the device's is as a shell leaves it. */
        (void)fcntl(fds[1], F_SETPIPE_SZ, 4096);
        require(fcntl(fds[i != PORTS_STDIN ? 0 : 1], F_SETFL, O_NONBLOCK) == 0);
    }
}

static int create(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err)
{
    struct host *host = rig->host;
    if (!host->open)
        open_pipes(host);
    const struct ports_config config = {.stdin_fd = host->streams[PORTS_STDIN].read,
                                        .stdout_fd = host->streams[PORTS_STDOUT].write,
                                        .stderr_fd = host->streams[PORTS_STDERR].write};
    return ports_create(&config, &rig->context, out, err);
}

/* ---- the guest ---------------------------------------------------------------------------- */

static void send_control(struct fuzz_rig *rig, struct fuzz_input *in)
{
    const struct {
        uint32_t id;
        uint16_t event, value;
    } message = {.id = fuzz_u8(in), .event = fuzz_u8(in), .value = fuzz_u8(in)};
    const struct fuzz_buffer buffer = fuzz_readable(rig, &message, sizeof(message));
    fuzz_send(rig, PORTS_QUEUE_CONTROL_TX, &buffer, 1);
}

static void request(struct fuzz_rig *rig, struct fuzz_input *in)
{
    uint8_t how = fuzz_u8(in);
    unsigned port = (how >> 2) % PORTS_COUNT, queue = ports_queue_rx(port);
    struct fuzz_buffer buffer;
    switch (how & 3) {
    case 0:
        queue = PORTS_QUEUE_CONTROL_TX;
        send_control(rig, in);
        break;
    case 1:
        queue = PORTS_QUEUE_CONTROL_RX;
        buffer = fuzz_writable(rig, fuzz_u8(in));
        fuzz_send(rig, queue, &buffer, 1);
        break;
    case 2:
        queue = ports_queue_tx(port);
        buffer = fuzz_writable(rig, fuzz_u16(in));
        buffer.writable = false;
        fuzz_send(rig, queue, &buffer, 1);
        break;
    default:
        buffer = fuzz_writable(rig, fuzz_u8(in) * 16u);
        fuzz_send(rig, queue, &buffer, 1);
        break;
    }
    if (!(how & 0x80))
        fuzz_kick(rig, queue);
}

/* ---- the host ----------------------------------------------------------------------------- */

static void hang_up(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void give(struct host *host, struct fuzz_input *in)
{
    char bytes[4096] = {0};
    ssize_t n = write(host->streams[PORTS_STDIN].write, bytes, fuzz_u8(in) * 16u);
    if (n > 0)
        host->given += (uint64_t)n;
}

static void take_all(struct host *host, enum ports_index port)
{
    char bytes[4096];
    ssize_t n;
    while ((n = read(host->streams[port].read, bytes, sizeof(bytes))) > 0)
        host->received += (uint64_t)n;
}

static void host_turn(struct fuzz_rig *rig, struct fuzz_input *in)
{
    struct host *host = rig->host;
    uint8_t what = fuzz_u8(in);
    switch (what % 8) {
    case 0:
        give(host, in);
        break;
    case 1:
        hang_up(&host->streams[PORTS_STDIN].write);
        break;
    case 2:
        take_all(host, PORTS_STDOUT);
        break;
    case 3:
        take_all(host, PORTS_STDERR);
        break;
    case 4:
        hang_up(&host->streams[PORTS_STDOUT].read);
        break;
    case 5:
        (void)ports_flush(rig->mmio.device, 2);
        break;
    default:
        (void)ports_are_open(rig->mmio.device);
        break;
    }
}

static void check(struct fuzz_rig *rig)
{
    const struct host *host = rig->host;
    require(host->received <= rig->seen);
    require(rig->queues[ports_queue_rx(PORTS_STDIN)].written <= host->given);
}

static void close_pipes(struct fuzz_rig *rig)
{
    struct host *host = rig->host;
    for (unsigned i = 0; i < PORTS_COUNT; i++) {
        hang_up(&host->streams[i].read);
        hang_up(&host->streams[i].write);
    }
}

/* What a thread that was left behind uses is never freed: see writer_stop(). */
const char *__lsan_default_suppressions(void)
{
    return "leak:writer_create\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuzz_target target = {.has_threads = true,
                                              .create = create,
                                              .request = request,
                                              .host = host_turn,
                                              .check = check,
                                              .close = close_pipes};
    struct host host = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    fuzz_virtio(&target, &host, data, size);
    return 0;
}
