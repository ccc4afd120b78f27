/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload's standard streams: pumped between its pipes (or its pty) and the host, which is
 * at the other end of three virtio ports, or of the console UART where the guest has no ports.
 *
 * Nothing blocks and nothing is lost: each stream has one buffer, which is filled only when it is
 * empty, so a slow reader on either side holds up its writer and nobody else. From a pipe to a
 * port the pages themselves are moved, and the buffer stays empty.
 *
 * The workload's input waits on the host's side until streams_begin(). When nobody reads the
 * workload's input any more, the rest of it is left to the host; what the UART brings is thrown
 * away, or it would hold up the monitor.
 */
#ifndef THAW_INIT_STREAMS_H
#define THAW_INIT_STREAMS_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/ports.h"
#include "guest/init-oci/spec.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAMS_BUFFER_SIZE 65536u
#define STREAMS_POLL_COUNT  6

struct stream_buffer {
    char bytes[STREAMS_BUFFER_SIZE];
    size_t start, end;
};

struct stream_output {
    int from;     /* the workload's pipe, or the pty's master; -1: at the end */
    int to;       /* the host's side; not blocking; -1: none */
    bool moves;   /* from pipe to port */
    bool is_full; /* the host's side takes nothing now */
    struct stream_buffer buffer;
};

struct streams {
    int console;        /* the UART, when it is used; -1: none */
    struct ports ports; /* the input port's node, until it is opened */
    int source;         /* where input comes from; -1: from nowhere, or no more */
    int input;          /* standard input's pipe or the pty's master; -1: closed */
    int slave;          /* the pty's other end, so that it does not hang up; -1: none */
    bool is_terminal;
    bool begun;
    uint16_t rows, cols; /* of the terminal; 0 and 0: not known */

    bool has_eof;
    uint64_t eof_at;               /* the input ends after so many bytes */
    uint64_t received;             /* bytes of input so far */
    bool at_line_start, eof_typed; /* of a terminal */

    struct stream_buffer in;
    struct stream_output outputs[2]; /* standard output and error; with a pty the first one only */
};

/* Allocated zeroed by the caller; then this, once, and one of the two below. */
void streams_init(struct streams *streams);

/* Takes over the descriptors: the host's side. */
void streams_use_ports(struct streams *streams, const struct ports *ports);
void streams_use_console(struct streams *streams, int console);

/* Makes the pipes, owned by the workload's user, and fills `ends` with the workload's ends: the
 * caller's, to be closed once the workload has them. With a terminal they are /dev/null until
 * streams_attach_terminal(). */
int streams_open(struct streams *streams, const struct spec *spec, int ends[3],
                 struct failure *failure);

/* Takes over the pty's master. Holds the other end open too: a workload that closes its terminal
 * for a moment must not find it hung up. */
int streams_attach_terminal(struct streams *streams, int master, struct failure *failure);

/* From now on input is passed on; the host begins to send it. */
int streams_begin(struct streams *streams, struct failure *failure);

/* Instead: the whole input, of at most STREAMS_BUFFER_SIZE bytes. The host's is not asked for. */
void streams_give_input(struct streams *streams, const char *bytes, size_t size);

/* The input ends after `bytes` bytes in all; they may have been seen already. For the console,
 * which cannot say so itself. */
void streams_set_eof(struct streams *streams, uint64_t bytes);

void streams_set_size(struct streams *streams, uint16_t rows, uint16_t cols);

/* What to wait for; -1 where there is nothing to wait for. */
void streams_poll(const struct streams *streams, struct pollfd fds[STREAMS_POLL_COUNT]);

/* Moves what can be moved without waiting. */
void streams_pump(struct streams *streams);

/* The workload has ended: its terminal, which init holds open, may come to its end. */
void streams_end(struct streams *streams);

/* All output has ended and has been given to the host's side. */
bool streams_are_done(const struct streams *streams);

/* Passes on, waiting for the host's side, what was written before the call. Then waits until the
 * UART has sent it; what is in a port's queue is the monitor's, which takes it even from a guest
 * that is stopped. */
void streams_flush(struct streams *streams);

/* The same for all that the workload has written, however large its pipes are: while it stands
 * still. */
void streams_drain(struct streams *streams);

#endif
