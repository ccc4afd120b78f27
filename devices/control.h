/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control port: a UART whose output is parsed line by line as it comes, and through which the
 * monitor sends init requests and doorbells. The protocol is guest/include/thaw/wire.h.
 *
 * The guest can make this port count and ignore, and move its own marks; it cannot make it grow,
 * block or call back without bound. The transmitter never pushes back: every byte is looked at
 * and forgotten at once.
 *
 * Threads: any thread may call any function. `changed` runs on the vCPU's thread that completed
 * a line, with the UART's lock held: it may call control_observe() and must not call anything
 * else here. Signalling an eventfd is what it is for.
 */
#ifndef THAW_DEVICES_CONTROL_H
#define THAW_DEVICES_CONTROL_H

#include "devices/observation.h"
#include "devices/serial.h"

struct control_port;

/* Either function may be NULL. */
struct control_callbacks {
    void (*set_irq)(void *ctx, bool level); /* as in struct serial_callbacks */
    void *irq_ctx;
    void (*changed)(void *ctx); /* the observation changed, dropped lines not counted */
    void *changed_ctx;
};

/* The caller owns `*out`; contexts are borrowed. */
int control_create(const struct control_callbacks *callbacks, struct control_port **out,
                   struct thaw_error *err);

/* NULL is allowed. */
void control_destroy(struct control_port *port);

/* The UART, for the bus and for snapshots. Owned by the port. */
struct serial *control_serial(struct control_port *port);

/* The guest comes from a snapshot, and its init has said hello before that. Before it runs. */
void control_adopt(struct control_port *port, const char *version);

/* Copies out what the guest has said so far. */
void control_observe(struct control_port *port, struct guest_observation *seen);

/*
 * Sends one line; the newline is added. The whole line is taken or none of it: -EAGAIN while the
 * guest has left too much unread, -EMSGSIZE beyond THAW_CONTROL_LINE_MAX bytes, -EINVAL when it
 * is not printable ASCII, is empty, or starts with the doorbell. Send nothing before `hello`:
 * until then the guest's tty echoes. No struct thaw_error: the code says it all.
 */
int control_send_line(struct control_port *port, const char *line);

/* Sends THAW_DOORBELL. -EAGAIN as above. */
int control_doorbell(struct control_port *port);

/* Whether nothing is in flight either way: the UART is quiet and no line is half said. */
bool control_is_quiet(struct control_port *port);

static inline void control_cleanup(struct control_port **port)
{
    control_destroy(*port);
}
#define cleanup_control cleanup(control_cleanup)

#endif
