/* SPDX-License-Identifier: Apache-2.0 */
/* The control port whole: lines from the guest in any shape, requests to it, and its UART saved
 * and loaded between them. */
#include "devices/control.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <linux/serial_reg.h>

enum { OP_SAY, OP_SAY_BYTES, OP_WRITE, OP_READ, OP_SEND, OP_DOORBELL, OP_RELOAD, OP_COUNT };

struct rig {
    struct control_port *port;
    struct guest_observation before;
    uint64_t newlines; /* lines that may have ended, at most */
    unsigned changes;  /* calls of `changed` */
};

static void on_change(void *ctx)
{
    struct rig *rig = ctx;
    struct guest_observation seen;
    rig->changes++;
    control_observe(rig->port, &seen); /* allowed from here */
}

static void write_register(struct rig *rig, unsigned reg, uint8_t value)
{
    rig->newlines += reg == UART_TX && value == '\n';
    serial_bus_ops.write(control_serial(rig->port), reg, 1, value);
}

static uint8_t read_register(struct rig *rig, unsigned reg)
{
    uint64_t value;
    serial_bus_ops.read(control_serial(rig->port), reg, 1, &value);
    return (uint8_t)value;
}

static void say(struct rig *rig, const char *text)
{
    for (; *text; text++)
        write_register(rig, UART_TX, (uint8_t)*text);
}

/* A line that is right, or nearly. */
static void say_line(struct rig *rig, struct fuzz_input *in)
{
    static const char *const lines[] = {
        "hello init-oci 0.1", "heartbeat counter=",    "listener proto=tcp port=",
        "workload-pre-exec",  "quiesced seq=",         "workload-exec",
        "no-listener",        "workload-exit status=", "init-failed reason=r",
    };
    const char *line = lines[fuzz_u8(in) % (sizeof(lines) / sizeof(lines[0]))];
    char number[32] = "";
    if (line[strlen(line) - 1] == '=')
        (void)snprintf(number, sizeof(number), "%u", (unsigned)fuzz_u16(in));
    say(rig, line);
    say(rig, number);
    say(rig, "\n");
}

static void say_bytes(struct rig *rig, struct fuzz_input *in)
{
    for (unsigned n = fuzz_u8(in); n > 0; n--)
        write_register(rig, UART_TX, fuzz_u8(in));
}

/* A line is taken whole or not at all, and only what the protocol allows. */
static void send_line(struct rig *rig, struct fuzz_input *in)
{
    char line[THAW_CONTROL_LINE_MAX + 32];
    size_t n = fuzz_u16(in) % sizeof(line);
    memset(line, 'q', n);
    line[n] = '\0';
    fuzz_bytes(in, line, n < 4 ? n : 4);
    int rc = control_send_line(rig->port, line);
    require(rc == 0 || rc == -EAGAIN || rc == -EMSGSIZE || rc == -EINVAL);
    require(rc != 0 || (line[0] != '\0' && line[0] != THAW_DOORBELL));
    require((rc == -EMSGSIZE) == (strlen(line) > THAW_CONTROL_LINE_MAX));
}

static void reload(struct rig *rig, struct fuzz_input *in)
{
    struct serial_state state;
    struct thaw_error err = {0};
    serial_save(control_serial(rig->port), &state);
    fuzz_corrupt(in, &state.registers, sizeof(state.registers));
    rig->newlines += state.registers.tx_count;
    (void)serial_load(control_serial(rig->port), &state, &err);
}

static uint64_t lines_seen(const struct guest_observation *seen)
{
    return seen->dropped.too_long + seen->dropped.not_ascii + seen->dropped.unknown +
           seen->dropped.malformed + seen->dropped.ignored + seen->heartbeats;
}

/* What was said once stays said, and nothing comes of nothing. */
static void check(struct rig *rig)
{
    struct guest_observation seen, *before = &rig->before;
    control_observe(rig->port, &seen);
    require(seen.hello >= before->hello && seen.exec >= before->exec);
    require(seen.pre_exec_ready >= before->pre_exec_ready && seen.failed >= before->failed);
    require(!before->exited || (seen.exited && seen.exit_status == before->exit_status &&
                                seen.exited_ns == before->exited_ns));
    require(!before->hello || seen.hello_ns == before->hello_ns);
    require(seen.listener_count <= GUEST_LISTENERS_MAX);
    require(seen.listener_count >= before->listener_count);
    require(seen.heartbeat_counter >= before->heartbeat_counter);
    require(lines_seen(&seen) >= lines_seen(before));
    require(lines_seen(&seen) <= rig->newlines && rig->changes <= rig->newlines);
    require(memchr(seen.version, '\0', sizeof(seen.version)));
    require(memchr(seen.failure, '\0', sizeof(seen.failure)));
    *before = seen;
}

static void step(struct rig *rig, struct fuzz_input *in)
{
    uint8_t op = fuzz_u8(in);
    switch (op % 32 % OP_COUNT) {
    case OP_SAY:
        say_line(rig, in);
        break;
    case OP_SAY_BYTES:
        say_bytes(rig, in);
        break;
    case OP_WRITE:
        write_register(rig, op >> 5, fuzz_u8(in));
        break;
    case OP_READ:
        (void)read_register(rig, op >> 5);
        break;
    case OP_SEND:
        send_line(rig, in);
        break;
    case OP_DOORBELL:
        (void)control_doorbell(rig->port);
        break;
    default:
        reload(rig, in);
        break;
    }
    check(rig);
    (void)control_is_quiet(rig->port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    struct thaw_error err = {0};
    struct rig rig = {0};
    const struct control_callbacks callbacks = {.changed = on_change, .changed_ctx = &rig};
    require(control_create(&callbacks, &rig.port, &err) == 0);
    while (fuzz_has(&in))
        step(&rig, &in);
    control_destroy(rig.port);
    return 0;
}
