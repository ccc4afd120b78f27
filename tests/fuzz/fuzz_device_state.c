/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices' sections of a snapshot: any bytes, for every kind of device, over guest memory of
 * the same origin. What is refused changes nothing; what is accepted runs, and is saved to a state
 * that is accepted again (virtio_harness.h; for the UART, below).
 */
#include "devices/serial.h"
#include "devices/virtio/balloon.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/net.h"
#include "devices/virtio/ports.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/vsock.h"
#include "tests/fuzz/virtio_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define DISK_SIZE 0x10000

const char *__lsan_default_suppressions(void); /* LeakSanitizer asks for it */

/* Everything that any of them has on its host's side. */
struct host {
    uint8_t options;
    char dir[32], path[64];
    int fds[4]; /* -1: closed */
    unsigned fd_count;
};

static void hang_up(struct host *host)
{
    while (host->fd_count > 0)
        close(host->fds[--host->fd_count]);
}

static void close_host(struct fuzz_rig *rig)
{
    hang_up(rig->host);
}

/* ---- virtio ------------------------------------------------------------------------------- */

static int create_disk(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err)
{
    struct host *host = rig->host;
    if (host->fd_count == 0) {
        int fd = host->fds[host->fd_count++] = memfd_create("disk", MFD_CLOEXEC);
        require(fd >= 0 && ftruncate(fd, DISK_SIZE) == 0);
        (void)snprintf(host->path, sizeof(host->path), "/proc/self/fd/%d", fd);
    }
    const struct blk_config config = {.path = host->path,
                                      .serial = "fuzz",
                                      .read_only = host->options & 1,
                                      .overlay = (host->options & 3) == 2};
    return blk_create(&config, &rig->context, out, err);
}

static int create_net(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err)
{
    struct host *host = rig->host;
    int pair[2];
    hang_up(host);
    require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    host->fds[host->fd_count++] = pair[0];
    const struct net_config config = {.fd = pair[1], .mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500};
    return net_create(&config, &rig->context, out, err);
}

static void send_to_net(struct fuzz_rig *rig, struct fuzz_input *in)
{
    const struct host *host = rig->host;
    uint8_t frame[2048] = {0};
    for (unsigned n = fuzz_u8(in) % 4; n > 0; n--)
        (void)!send(host->fds[0], frame, fuzz_u16(in) % sizeof(frame), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int create_vsock(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err)
{
    const struct host *host = rig->host;
    const struct vsock_config config = {.path = host->path, .guest_cid = 42};
    return vsock_create(&config, &rig->context, out, err);
}

/* Whoever was connected is told so by a reset, so one is due after every load. */
static void reset_is_due(struct fuzz_rig *rig, void *state)
{
    (void)rig;
    ((struct vsock_state *)state)->reset_pending = 1;
}

static int create_ports(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err)
{
    struct host *host = rig->host;
    if (host->fd_count == 0) {
        for (unsigned i = 0; i < 3; i++)
            host->fds[host->fd_count++] = open("/dev/null", O_RDWR | O_CLOEXEC);
        require(host->fds[2] >= 0);
    }
    const struct ports_config config = {
        .stdin_fd = host->fds[0], .stdout_fd = host->fds[1], .stderr_fd = host->fds[2]};
    return ports_create(&config, &rig->context, out, err);
}

static int create_rng(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err)
{
    /* Rates at which the time that a test takes makes no difference. */
    static const struct rng_config configs[] = {{0}, {.bytes_per_second = 1, .burst = 100}};
    const struct host *host = rig->host;
    return rng_create(&configs[host->options & 1], &rig->context, out, err);
}

static int create_balloon(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err)
{
    const struct host *host = rig->host;
    const struct balloon_config config = {.target_pages = 3, .reporting = host->options & 1};
    return balloon_create(&config, &rig->context, out, err);
}

static void move_target(struct fuzz_rig *rig, struct fuzz_input *in)
{
    loop_lock(rig->loop);
    balloon_set_target(rig->mmio.device, fuzz_u32(in));
    loop_unlock(rig->loop);
}

static const struct fuzz_target targets[] = {
    {.create = create_disk, .close = close_host},
    {.create = create_net, .host = send_to_net, .close = close_host},
    {.create = create_vsock, .loading_changes = reset_is_due},
    {.create = create_ports, .has_threads = true, .close = close_host},
    {.create = create_rng},
    {.create = create_balloon, .host = move_target},
};
#define TARGETS (sizeof(targets) / sizeof(*targets))

static void run_virtio(const struct fuzz_target *target, uint8_t options, const uint8_t *data,
                       size_t size)
{
    struct host host = {.options = options, .dir = "/tmp/thaw-fuzz.XXXXXX"};
    require(mkdtemp(host.dir));
    (void)snprintf(host.path, sizeof(host.path), "%s/v", host.dir);
    fuzz_virtio_state(target, &host, data, size);
    require(rmdir(host.dir) == 0);
}

/* ---- the UART ----------------------------------------------------------------------------- */

static bool take_byte(void *ctx, uint8_t byte)
{
    unsigned *room = ctx;
    (void)byte;
    return *room > 0 && (*room)--;
}

static void live_uart(struct serial *serial, struct fuzz_input *in)
{
    uint64_t value;
    uint8_t bytes[64] = {0};
    for (unsigned n = fuzz_u8(in) % 32; n > 0; n--) {
        uint8_t what = fuzz_u8(in);
        unsigned offset = what % SERIAL_PORTS;
        if (what & 0x40)
            serial_bus_ops.write(serial, offset, 1, fuzz_u8(in));
        else if (what & 0x20)
            (void)serial_receive(serial, bytes, fuzz_u8(in) % sizeof(bytes));
        else if (what & 0x10)
            serial_tx_room(serial);
        else
            serial_bus_ops.read(serial, offset, 1, &value);
    }
}

static void run_uart(uint8_t options, const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    struct thaw_error err = {0};
    struct serial_state before, state, after;
    unsigned room = options;
    const struct serial_callbacks callbacks = {.transmit = take_byte, .tx_ctx = &room};
    cleanup_serial struct serial *serial = NULL, *fresh = NULL;
    require(serial_create(&callbacks, &serial, &err) == 0);
    require(serial_create(&(struct serial_callbacks){.transmit = take_byte, .tx_ctx = &room},
                          &fresh, &err) == 0);
    serial_save(serial, &before);
    state = before;
    fuzz_bytes(&in, &state.registers, sizeof(state.registers));
    state.staged_count = fuzz_u16(&in);
    fuzz_bytes(&in, state.staged, fuzz_u8(&in));
    if (serial_load(serial, &state, &err) < 0) {
        serial_save(serial, &after);
        require(err.code == EINVAL && memcmp(&before, &after, sizeof(before)) == 0);
        return;
    }
    live_uart(serial, &in);
    room = 0; /* so that nothing leaves while it is loaded */
    serial_save(serial, &state);
    require(serial_load(fresh, &state, &err) == 0);
    serial_save(fresh, &after);
    require(memcmp(&state, &after, sizeof(state)) == 0);
}

/* ---- one input ---------------------------------------------------------------------------- */

/* What a thread that was left behind uses is never freed: see writer_stop(). */
const char *__lsan_default_suppressions(void)
{
    return "leak:writer_create\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    unsigned kind = data[0] % (TARGETS + 1);
    if (kind == TARGETS)
        run_uart(data[1], data + 2, size - 2);
    else
        run_virtio(&targets[kind], data[1], data + 2, size - 2);
    return 0;
}
