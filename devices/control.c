/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/control.h"

#include "vmm/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct control_port {
    struct serial *serial;
    struct control_callbacks callbacks;

    /* Taken after the UART's lock where both are held, and never the other way round. */
    pthread_mutex_t lock;
    struct control_parser parser;
    struct guest_observation seen;
};

/* Called with the UART's lock held, so bytes come one at a time and in order. */
static bool take_byte(void *ctx, uint8_t byte)
{
    struct control_port *port = ctx;
    struct control_event event;
    bool changed = false;

    pthread_mutex_lock(&port->lock);
    if (control_parser_feed(&port->parser, byte, &event))
        changed = observation_apply(&port->seen, &event, clock_monotonic_ns());
    pthread_mutex_unlock(&port->lock);

    if (changed && port->callbacks.changed)
        port->callbacks.changed(port->callbacks.changed_ctx);
    return true;
}

int control_create(const struct control_callbacks *callbacks, struct control_port **out,
                   struct thaw_error *err)
{
    cleanup_free struct control_port *port = calloc(1, sizeof(*port));
    if (!port)
        return thaw_fail(err, ENOMEM, "control port");

    struct serial_callbacks wiring = {
        .set_irq = callbacks->set_irq,
        .irq_ctx = callbacks->irq_ctx,
        .transmit = take_byte,
        .tx_ctx = port,
    };
    int rc = serial_create(&wiring, &port->serial, err);
    if (rc < 0)
        return thaw_context(err, "control port");

    port->callbacks = *callbacks;
    pthread_mutex_init(&port->lock, NULL);
    *out = take(port);
    return 0;
}

void control_destroy(struct control_port *port)
{
    if (!port)
        return;
    serial_destroy(port->serial);
    pthread_mutex_destroy(&port->lock);
    free(port);
}

struct serial *control_serial(struct control_port *port)
{
    return port->serial;
}

void control_observe(struct control_port *port, struct guest_observation *seen)
{
    pthread_mutex_lock(&port->lock);
    *seen = port->seen;
    pthread_mutex_unlock(&port->lock);
}

void control_adopt(struct control_port *port, const char *version)
{
    pthread_mutex_lock(&port->lock);
    port->seen.hello = true;
    snprintf(port->seen.version, sizeof(port->seen.version), "%s", version);
    pthread_mutex_unlock(&port->lock);
}

static int check_line(const char *line, size_t length)
{
    if (length > THAW_CONTROL_LINE_MAX)
        return -EMSGSIZE;
    if (length == 0 || line[0] == THAW_DOORBELL)
        return -EINVAL;
    for (size_t i = 0; i < length; i++)
        if (line[i] < 0x20 || line[i] > 0x7e)
            return -EINVAL;
    return 0;
}

int control_send_line(struct control_port *port, const char *line)
{
    size_t length = strlen(line);
    int rc = check_line(line, length);
    if (rc < 0)
        return rc;

    /* In one piece: a guest must never see half a line, and another thread's line must not land
     * in the middle. */
    char bytes[THAW_CONTROL_LINE_MAX + 2]; /* newline and NUL */
    snprintf(bytes, sizeof(bytes), "%s\n", line);
    return serial_receive_all(port->serial, bytes, length + 1);
}

int control_doorbell(struct control_port *port)
{
    static const char doorbell = THAW_DOORBELL;
    return serial_receive_all(port->serial, &doorbell, 1);
}

bool control_is_quiet(struct control_port *port)
{
    bool quiet = serial_is_quiet(port->serial);
    pthread_mutex_lock(&port->lock);
    quiet = quiet && control_parser_is_idle(&port->parser);
    pthread_mutex_unlock(&port->lock);
    return quiet;
}
