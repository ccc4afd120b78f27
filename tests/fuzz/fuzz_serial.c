/* SPDX-License-Identifier: Apache-2.0 */
/* The UART: any access by the guest, any traffic from the host, any state from a file. */
#include "devices/serial.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <linux/serial_reg.h>

enum {
    OP_WRITE,
    OP_READ,
    OP_OPEN,
    OP_RECEIVE,
    OP_RECEIVE_ALL,
    OP_SINK_ROOM,
    OP_SAVE,
    OP_LOAD,
    OP_COUNT
};

struct rig {
    struct serial *serial;
    unsigned room;    /* bytes that the sink still takes */
    uint64_t written; /* bytes that the guest may have sent: an upper bound */
    uint64_t sent;    /* bytes that reached the sink */
    bool line;
    bool waiting; /* serial_receive() took less than it was given */
};

static void on_irq(void *ctx, bool level)
{
    struct rig *rig = ctx;
    require(rig->line != level);
    rig->line = level;
}

static bool on_byte(void *ctx, uint8_t byte)
{
    struct rig *rig = ctx;
    (void)byte;
    if (rig->room == 0)
        return false;
    rig->room--;
    rig->sent++;
    return true;
}

static void on_room(void *ctx)
{
    struct rig *rig = ctx;
    require(rig->waiting);
    rig->waiting = false;
    require(serial_receive(rig->serial, "", 0) == 0); /* nothing is locked */
}

static unsigned access_size(struct fuzz_input *in, unsigned offset)
{
    unsigned size = 1u << (fuzz_u8(in) % 4);
    return offset + size <= SERIAL_PORTS ? size : 1;
}

static void guest_write(struct rig *rig, unsigned offset, unsigned size, uint64_t value)
{
    if (offset == UART_TX)
        rig->written++;
    serial_bus_ops.write(rig->serial, offset, size, value);
}

static uint64_t guest_read(struct rig *rig, unsigned offset, unsigned size)
{
    uint64_t value = UINT64_MAX;
    serial_bus_ops.read(rig->serial, offset, size, &value);
    require(size == 8 || value >> (8 * size) == 0);
    return value;
}

/* As Linux opens a port. */
static void open_port(struct rig *rig, uint8_t ier)
{
    guest_write(rig, UART_LCR, 1, UART_LCR_WLEN8);
    guest_write(rig, UART_FCR, 1, UART_FCR_ENABLE_FIFO | UART_FCR_R_TRIG_10);
    guest_write(rig, UART_MCR, 1, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
    guest_write(rig, UART_IER, 1, ier);
}

static void receive(struct rig *rig, struct fuzz_input *in, bool all)
{
    uint8_t bytes[SERIAL_STAGING_SIZE + 64];
    size_t n = fuzz_u8(in);
    if (n >= 0xf0) /* now and then as much as there is room for, and more */
        n = (n - 0xef) * sizeof(bytes) / 16;
    memset(bytes, 'r', n);
    if (all) {
        (void)serial_receive_all(rig->serial, bytes, n);
        return;
    }
    size_t taken = serial_receive(rig->serial, bytes, n);
    require(taken <= n && taken <= SERIAL_STAGING_SIZE);
    rig->waiting |= taken < n;
}

/* What was saved loads and saves to the same, while the sink takes nothing. */
static void reload(struct rig *rig)
{
    struct serial_state first, second;
    struct thaw_error err = {0};
    unsigned room = rig->room;
    rig->room = 0;
    serial_save(rig->serial, &first);
    require(serial_load(rig->serial, &first, &err) == 0);
    serial_save(rig->serial, &second);
    require(memcmp(&first, &second, sizeof(first)) == 0);
    rig->room = room;
}

static void load(struct rig *rig, struct fuzz_input *in)
{
    struct serial_state before, state, after;
    struct thaw_error err = {0};
    serial_save(rig->serial, &before);
    state = before;
    fuzz_corrupt(in, &state, fuzz_u8(in) & 1 ? sizeof(state) : sizeof(state.registers) + 4);
    int rc = serial_load(rig->serial, &state, &err);
    rig->written += SERIAL_FIFO_SIZE;
    serial_save(rig->serial, &after);
    require(rc == 0 || (rc == -EINVAL && memcmp(&before, &after, sizeof(before)) == 0));
    reload(rig);
}

static void step(struct rig *rig, struct fuzz_input *in)
{
    uint8_t op = fuzz_u8(in);
    unsigned offset = op >> 5;
    switch (op % 32 % OP_COUNT) {
    case OP_WRITE:
        guest_write(rig, offset, access_size(in, offset), fuzz_u8(in) * 0x0101010101010101u);
        break;
    case OP_READ:
        (void)guest_read(rig, offset, access_size(in, offset));
        break;
    case OP_OPEN:
        open_port(rig, fuzz_u8(in));
        break;
    case OP_RECEIVE:
        receive(rig, in, false);
        break;
    case OP_RECEIVE_ALL:
        receive(rig, in, true);
        break;
    case OP_SINK_ROOM:
        rig->room = fuzz_u8(in);
        serial_tx_room(rig->serial);
        break;
    case OP_SAVE:
        reload(rig);
        break;
    default:
        load(rig, in);
        break;
    }
    require(rig->sent + serial_tx_dropped(rig->serial) <= rig->written);
}

/* However a guest has treated its port: when it opens it properly and reads, everything that
 * waits arrives, the sender hears of room, and the line falls. */
static void drain(struct rig *rig)
{
    rig->room = UINT32_MAX;
    serial_tx_room(rig->serial);
    guest_write(rig, UART_LCR, 1, 0);
    guest_write(rig, UART_MCR, 1, 0);
    open_port(rig, UART_IER_RDI);
    for (unsigned i = 0; i < 2 * SERIAL_STAGING_SIZE; i++) {
        guest_read(rig, UART_LSR, 1);
        guest_read(rig, UART_MSR, 1);
        if ((guest_read(rig, UART_IIR, 1) & UART_IIR_NO_INT))
            break;
        guest_read(rig, UART_RX, 1);
    }
    require(serial_is_quiet(rig->serial));
    require(!rig->line && !rig->waiting);
    require(serial_receive_all(rig->serial, "x", 1) == 0);
    require(rig->line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    struct thaw_error err = {0};
    struct rig rig = {.room = UINT32_MAX};
    const struct serial_callbacks callbacks = {
        .set_irq = on_irq,
        .irq_ctx = &rig,
        .transmit = on_byte,
        .tx_ctx = &rig,
        .rx_room = on_room,
        .rx_ctx = &rig,
    };
    require(serial_create(&callbacks, &rig.serial, &err) == 0);
    while (fuzz_has(&in))
        step(&rig, &in);
    drain(&rig);
    serial_destroy(rig.serial);
    return 0;
}
