/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/serial.h"

#include <errno.h>
#include <linux/serial_reg.h>
#include <pthread.h>
#include <string.h>

#define IER_BITS      0x0fu
#define MCR_BITS      0x1fu
#define FCR_KEPT      (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK)
#define IIR_FIFOS_ON  0xc0u
#define MSR_CONNECTED (UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS)
#define DIVISOR_9600  12u
#define STAGING_MASK  (SERIAL_STAGING_SIZE - 1)

_Static_assert((SERIAL_STAGING_SIZE & STAGING_MASK) == 0, "the ring's indices wrap by masking");

struct serial {
    pthread_mutex_t lock;
    struct serial_callbacks callbacks;
    struct serial_registers regs;
    bool line;        /* level last given to set_irq */
    bool room_wanted; /* serial_receive() came up short */
    uint32_t rx_read; /* both free-running; their difference is what is staged */
    uint32_t rx_write;
    uint32_t rx_burst;    /* bytes taken since the guest last found nothing; at least `staged` */
    unsigned busy_rounds; /* interrupts that IIR has named since it last said "nothing" */
    uint64_t tx_dropped;
    uint8_t staging[SERIAL_STAGING_SIZE];
};

/* ---- small questions --------------------------------------------------------------------- */

static bool fifos_on(const struct serial_registers *regs)
{
    return regs->fcr & UART_FCR_ENABLE_FIFO;
}

static unsigned fifo_depth(const struct serial_registers *regs)
{
    return fifos_on(regs) ? SERIAL_FIFO_SIZE : 1;
}

static unsigned rx_trigger(const struct serial_registers *regs)
{
    static const uint8_t levels[] = {1, 4, 8, 14};
    return fifos_on(regs) ? levels[regs->fcr >> UART_FCR_R_TRIG_SHIFT] : 1;
}

/* The PC gates the line with OUT2; the chip turns its modem outputs off in loopback. */
static bool line_gate_open(const struct serial_registers *regs)
{
    return (regs->mcr & (UART_MCR_OUT2 | UART_MCR_LOOP)) == UART_MCR_OUT2;
}

static bool in_loopback(const struct serial_registers *regs)
{
    return regs->mcr & UART_MCR_LOOP;
}

/* The modem inputs: wired to the outputs in loopback, otherwise to a peer that is always there. */
static uint8_t modem_inputs(uint8_t mcr)
{
    if (!(mcr & UART_MCR_LOOP))
        return MSR_CONNECTED;
    return (uint8_t)((mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
                     (mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
                     (mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) |
                     (mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0));
}

static uint32_t staged(const struct serial *serial)
{
    return serial->rx_write - serial->rx_read;
}

/* The interrupt that IIR names: the pending one of the highest priority (data sheet, table IV). */
static uint8_t interrupt_id(const struct serial_registers *regs)
{
    if (regs->overrun && (regs->ier & UART_IER_RLSI))
        return UART_IIR_RLSI;
    if (regs->rx_count > 0 && (regs->ier & UART_IER_RDI))
        return regs->rx_count >= rx_trigger(regs) ? UART_IIR_RDI : UART_IIR_RX_TIMEOUT;
    if (regs->thre_pending)
        return UART_IIR_THRI;
    if (regs->msr_delta && (regs->ier & UART_IER_MSI))
        return UART_IIR_MSI;
    return UART_IIR_NO_INT;
}

/* ---- the receiver ------------------------------------------------------------------------ */

/* Moves staged bytes into the FIFO while the guest listens; see the header. `polled` says that
 * the guest is looking at LSR right now. In loopback the input pin is cut off. */
static void rx_feed(struct serial *serial, bool polled)
{
    struct serial_registers *regs = &serial->regs;
    bool listening = (regs->ier & UART_IER_RDI) || (polled && fifos_on(regs));
    if (!listening || !(regs->mcr & UART_MCR_RTS) || in_loopback(regs))
        return;

    while (regs->rx_count < fifo_depth(regs) && staged(serial) > 0)
        regs->rx[regs->rx_count++] = serial->staging[serial->rx_read++ & STAGING_MASK];
}

/* The guest has looked and found no interrupt, or no data. */
static void rx_guest_found_nothing(struct serial *serial)
{
    if (serial->regs.rx_count == 0 && staged(serial) == 0)
        serial->rx_burst = 0;
}

/* A byte from the guest's own transmitter. Overrun: with FIFOs the new byte is lost, without
 * them it replaces the old one. */
static void rx_loop_back(struct serial_registers *regs, uint8_t byte)
{
    if (regs->rx_count < fifo_depth(regs)) {
        regs->rx[regs->rx_count++] = byte;
        return;
    }
    regs->overrun = 1;
    if (!fifos_on(regs))
        regs->rx[0] = byte;
}

static uint8_t rx_pop(struct serial_registers *regs)
{
    uint8_t byte = regs->rx[0];
    if (regs->rx_count > 0) {
        regs->rx_count--;
        memmove(regs->rx, regs->rx + 1, regs->rx_count);
        regs->rx[regs->rx_count] = 0;
    }
    return byte;
}

static void rx_clear(struct serial_registers *regs)
{
    memset(regs->rx, 0, sizeof(regs->rx));
    regs->rx_count = 0;
}

/* ---- the transmitter --------------------------------------------------------------------- */

/* THRE interrupts when the transmitter empties or the interrupt is enabled while it is empty. */
static void tx_became_empty(struct serial_registers *regs)
{
    if (regs->ier & UART_IER_THRI)
        regs->thre_pending = 1;
}

static bool sink_takes(const struct serial *serial, uint8_t byte)
{
    const struct serial_callbacks *to = &serial->callbacks;
    return !to->transmit || to->transmit(to->tx_ctx, byte);
}

/* Once per byte of output and exit from the guest: the usual way through is short. */
static void tx_write(struct serial *serial, uint8_t byte)
{
    struct serial_registers *regs = &serial->regs;
    regs->thre_pending = 0;

    if (in_loopback(regs)) {
        rx_loop_back(regs, byte);
        if (regs->tx_count == 0)
            tx_became_empty(regs);
    } else if (regs->tx_count == 0 && sink_takes(serial, byte)) {
        tx_became_empty(regs);
    } else if (regs->tx_count < fifo_depth(regs)) {
        regs->tx[regs->tx_count++] = byte;
    } else {
        serial->tx_dropped++;
    }
}

static void tx_resume(struct serial *serial)
{
    struct serial_registers *regs = &serial->regs;
    unsigned sent = 0;
    while (sent < regs->tx_count && sink_takes(serial, regs->tx[sent]))
        sent++;
    if (sent == 0)
        return;

    regs->tx_count = (uint8_t)(regs->tx_count - sent);
    memmove(regs->tx, regs->tx + sent, regs->tx_count);
    memset(regs->tx + regs->tx_count, 0, sent);
    if (regs->tx_count == 0)
        tx_became_empty(regs);
}

static void tx_clear(struct serial *serial)
{
    struct serial_registers *regs = &serial->regs;
    if (regs->tx_count == 0)
        return;

    serial->tx_dropped += regs->tx_count;
    memset(regs->tx, 0, sizeof(regs->tx));
    regs->tx_count = 0;
    tx_became_empty(regs);
}

/* ---- register writes --------------------------------------------------------------------- */

static void write_ier(struct serial_registers *regs, uint8_t value)
{
    bool enabled = (value & ~regs->ier) & UART_IER_THRI;
    regs->ier = value & IER_BITS;
    if (!(regs->ier & UART_IER_THRI))
        regs->thre_pending = 0;
    else if (enabled && regs->tx_count == 0)
        regs->thre_pending = 1;
}

/* Bits other than the enable bit count only while that one is written as 1. Turning the FIFOs
 * off clears them; turning them on keeps the one byte that a receiver without FIFOs can hold,
 * because Linux does so after it has enabled the receive interrupt. */
static void write_fcr(struct serial *serial, uint8_t value)
{
    struct serial_registers *regs = &serial->regs;
    bool enable = value & UART_FCR_ENABLE_FIFO;
    bool turned_off = !enable && fifos_on(regs);

    if (turned_off || (enable && (value & UART_FCR_CLEAR_RCVR)))
        rx_clear(regs);
    if (turned_off || (enable && (value & UART_FCR_CLEAR_XMIT)))
        tx_clear(serial);
    regs->fcr = enable ? (uint8_t)(value & FCR_KEPT) : 0;
}

static void write_mcr(struct serial_registers *regs, uint8_t value)
{
    uint8_t before = modem_inputs(regs->mcr);
    regs->mcr = value & MCR_BITS;
    uint8_t after = modem_inputs(regs->mcr);

    /* Each delta bit lies four below its input; for RI only the trailing edge counts. */
    unsigned changed = before ^ after;
    if (after & UART_MSR_RI)
        changed &= ~(unsigned)UART_MSR_RI;
    regs->msr_delta |= (uint8_t)(changed >> 4);
}

static void write_register(struct serial *serial, unsigned reg, uint8_t value)
{
    struct serial_registers *regs = &serial->regs;
    bool dlab = regs->lcr & UART_LCR_DLAB;

    switch (reg) {
    case UART_TX:
        if (dlab)
            regs->dll = value;
        else
            tx_write(serial, value);
        break;
    case UART_IER:
        if (dlab)
            regs->dlm = value;
        else
            write_ier(regs, value);
        break;
    case UART_FCR:
        write_fcr(serial, value);
        break;
    case UART_LCR:
        regs->lcr = value;
        break;
    case UART_MCR:
        write_mcr(regs, value);
        break;
    case UART_SCR:
        regs->scr = value;
        break;
    default: /* LSR and MSR: writes are for factory tests (data sheet, 8.4) */
        break;
    }
}

/* ---- register reads ---------------------------------------------------------------------- */

static void set_line(struct serial *serial, bool level)
{
    if (level == serial->line)
        return;
    serial->line = level;
    if (serial->callbacks.set_irq)
        serial->callbacks.set_irq(serial->callbacks.irq_ctx, level);
}

/* Names the interrupt; the transmitter's is answered by that. After many rounds the driver is
 * sent away once, with a new edge to bring it back (see the header). */
static uint8_t read_iir(struct serial *serial)
{
    struct serial_registers *regs = &serial->regs;
    uint8_t id = interrupt_id(regs);

    if (id == UART_IIR_THRI && serial->busy_rounds >= SERIAL_BUSY_ROUNDS) {
        set_line(serial, false);
        id = UART_IIR_NO_INT;
    } else if (id == UART_IIR_THRI) {
        regs->thre_pending = 0;
    }

    if (id == UART_IIR_NO_INT) {
        serial->busy_rounds = 0;
        rx_guest_found_nothing(serial);
    } else {
        serial->busy_rounds++;
    }
    return fifos_on(regs) ? id | IIR_FIFOS_ON : id;
}

static uint8_t read_lsr(struct serial *serial)
{
    struct serial_registers *regs = &serial->regs;
    rx_feed(serial, true);

    uint8_t lsr = regs->tx_count == 0 ? UART_LSR_THRE | UART_LSR_TEMT : 0;
    if (regs->rx_count > 0)
        lsr |= UART_LSR_DR;
    else if (!(regs->ier & UART_IER_RDI) || !line_gate_open(regs))
        rx_guest_found_nothing(serial);
    if (regs->overrun)
        lsr |= UART_LSR_OE;
    regs->overrun = 0;
    return lsr;
}

static uint8_t read_msr(struct serial_registers *regs)
{
    uint8_t msr = modem_inputs(regs->mcr) | regs->msr_delta;
    regs->msr_delta = 0;
    return msr;
}

static uint8_t read_register(struct serial *serial, unsigned reg)
{
    struct serial_registers *regs = &serial->regs;
    bool dlab = regs->lcr & UART_LCR_DLAB;

    switch (reg) {
    case UART_RX:
        return dlab ? regs->dll : rx_pop(regs);
    case UART_IER:
        return dlab ? regs->dlm : regs->ier;
    case UART_IIR:
        return read_iir(serial);
    case UART_LCR:
        return regs->lcr;
    case UART_MCR:
        return regs->mcr;
    case UART_LSR:
        return read_lsr(serial);
    case UART_MSR:
        return read_msr(regs);
    default:
        return regs->scr;
    }
}

/* ---- what every access ends with --------------------------------------------------------- */

/* Feeds the receiver, drives the line, and unlocks. rx_room comes last and without the lock,
 * since it is meant to call serial_receive(). */
static void settle_and_unlock(struct serial *serial)
{
    rx_feed(serial, false);
    set_line(serial,
             line_gate_open(&serial->regs) && interrupt_id(&serial->regs) != UART_IIR_NO_INT);

    bool tell = serial->room_wanted && serial->rx_burst == 0;
    if (tell)
        serial->room_wanted = false;
    pthread_mutex_unlock(&serial->lock);

    if (tell && serial->callbacks.rx_room)
        serial->callbacks.rx_room(serial->callbacks.rx_ctx);
}

static void bus_read_serial(void *device, uint64_t offset, unsigned size, uint64_t *value)
{
    struct serial *serial = device;
    *value = 0;
    pthread_mutex_lock(&serial->lock);
    for (unsigned i = 0; i < size; i++)
        *value |= (uint64_t)read_register(serial, (unsigned)offset + i) << (8 * i);
    settle_and_unlock(serial);
}

static void bus_write_serial(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct serial *serial = device;
    pthread_mutex_lock(&serial->lock);
    for (unsigned i = 0; i < size; i++)
        write_register(serial, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
    settle_and_unlock(serial);
}

const struct bus_ops serial_bus_ops = {
    .name = "16550A",
    .read = bus_read_serial,
    .write = bus_write_serial,
};

/* ---- the host's side --------------------------------------------------------------------- */

int serial_create(const struct serial_callbacks *callbacks, struct serial **out,
                  struct thaw_error *err)
{
    struct serial *serial = calloc(1, sizeof(*serial));
    if (!serial)
        return thaw_fail(err, ENOMEM, "serial port");

    pthread_mutex_init(&serial->lock, NULL);
    serial->callbacks = *callbacks;
    serial->regs.dll = DIVISOR_9600;
    *out = serial;
    return 0;
}

void serial_destroy(struct serial *serial)
{
    if (!serial)
        return;
    pthread_mutex_destroy(&serial->lock);
    free(serial);
}

static size_t rx_room(const struct serial *serial)
{
    return SERIAL_STAGING_SIZE - serial->rx_burst;
}

/* `n` is at most rx_room(). */
static void stage(struct serial *serial, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        serial->staging[serial->rx_write++ & STAGING_MASK] = bytes[i];
    serial->rx_burst += (uint32_t)n;
}

size_t serial_receive(struct serial *serial, const void *bytes, size_t n)
{
    pthread_mutex_lock(&serial->lock);
    size_t room = rx_room(serial);
    size_t taken = n < room ? n : room;
    stage(serial, bytes, taken);
    if (taken < n)
        serial->room_wanted = true;
    settle_and_unlock(serial);
    return taken;
}

int serial_receive_all(struct serial *serial, const void *bytes, size_t n)
{
    pthread_mutex_lock(&serial->lock);
    bool fits = n <= rx_room(serial);
    if (fits)
        stage(serial, bytes, n);
    settle_and_unlock(serial);
    return fits ? 0 : -EAGAIN;
}

void serial_tx_room(struct serial *serial)
{
    pthread_mutex_lock(&serial->lock);
    tx_resume(serial);
    settle_and_unlock(serial);
}

uint64_t serial_tx_dropped(struct serial *serial)
{
    pthread_mutex_lock(&serial->lock);
    uint64_t dropped = serial->tx_dropped;
    pthread_mutex_unlock(&serial->lock);
    return dropped;
}

bool serial_is_quiet(struct serial *serial)
{
    pthread_mutex_lock(&serial->lock);
    const struct serial_registers *regs = &serial->regs;
    bool quiet =
        regs->rx_count == 0 && regs->tx_count == 0 && !regs->thre_pending && staged(serial) == 0;
    pthread_mutex_unlock(&serial->lock);
    return quiet;
}

/* ---- saving and loading ------------------------------------------------------------------ */

void serial_save(struct serial *serial, struct serial_state *state)
{
    memset(state, 0, sizeof(*state));
    pthread_mutex_lock(&serial->lock);
    state->registers = serial->regs;
    state->staged_count = staged(serial);
    for (uint32_t i = 0; i < state->staged_count; i++)
        state->staged[i] = serial->staging[(serial->rx_read + i) & STAGING_MASK];
    pthread_mutex_unlock(&serial->lock);
}

static bool only_bits(unsigned value, unsigned mask)
{
    return (value & ~mask) == 0;
}

static bool registers_are_reachable(const struct serial_registers *regs)
{
    bool bits = only_bits(regs->ier, IER_BITS) && only_bits(regs->mcr, MCR_BITS) &&
                only_bits(regs->fcr, FCR_KEPT) && (fifos_on(regs) || regs->fcr == 0) &&
                only_bits(regs->msr_delta, UART_MSR_ANY_DELTA) && only_bits(regs->overrun, 1) &&
                only_bits(regs->thre_pending, 1);
    bool counts = regs->rx_count <= fifo_depth(regs) && regs->tx_count <= fifo_depth(regs);
    /* The transmitter interrupt is due only while enabled and the transmitter is empty. */
    bool thre = !regs->thre_pending || ((regs->ier & UART_IER_THRI) && regs->tx_count == 0);
    return bits && counts && thre;
}

/* What lies behind a FIFO's last byte is zeros in here, whatever a file says. */
static void clear_tail(uint8_t *fifo, unsigned count)
{
    memset(fifo + count, 0, SERIAL_FIFO_SIZE - count);
}

int serial_load(struct serial *serial, const struct serial_state *state, struct thaw_error *err)
{
    if (!registers_are_reachable(&state->registers) || state->staged_count > SERIAL_STAGING_SIZE)
        return thaw_fail(err, EINVAL, "serial port: saved state");

    pthread_mutex_lock(&serial->lock);
    serial->regs = state->registers;
    clear_tail(serial->regs.rx, serial->regs.rx_count);
    clear_tail(serial->regs.tx, serial->regs.tx_count);
    serial->rx_read = serial->rx_write = serial->rx_burst = 0;
    serial->busy_rounds = 0;
    stage(serial, state->staged, state->staged_count);
    tx_resume(serial);
    settle_and_unlock(serial);
    return 0;
}
