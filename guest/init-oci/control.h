/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two UARTs: the control port with its lines (guest/include/thaw/wire.h), and the console,
 * which only carries the workload's bytes.
 */
#ifndef THAW_INIT_CONTROL_H
#define THAW_INIT_CONTROL_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/requests.h"

struct control {
    int fd; /* -1: not open */

    /* What was read and not yet looked at. */
    char input[64];
    size_t input_start, input_end;

    struct request_parser parser;
};

/* Opens a UART: raw (bytes are exact), close-on-exec. `blocking` says how reads and writes
 * behave. Returns the descriptor, the caller's, or a negative errno. */
int uart_open(const char *path, bool blocking, struct failure *failure);

/* Waits until everything written has left the UART. A host that does not take the output holds
 * this up. */
void uart_drain(int fd);

/* Opens the control port for this process alone: TIOCEXCL, and no device node is left. */
int control_open(struct control *control, struct failure *failure);

/* Reads once; blocks while there is nothing to read. Returns 0 or a negative errno. */
int control_fill(struct control *control);

/* Takes the next request out of what was read. False: nothing complete is left. */
bool control_next(struct control *control, struct control_request *request);

/* Sends one line; the newline is added. Bytes that are not printable ASCII become '?'. Errors are
 * ignored: without the port there is nobody to tell. */
__attribute__((format(printf, 2, 3))) void control_send(const struct control *control,
                                                        const char *format, ...);

#endif
