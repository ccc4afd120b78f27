/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/streams.h"

#include "guest/init-oci/control.h"
#include "guest/init-oci/file.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

/* What a pipe holds when nobody enlarged it. The moved pages wait in the port's queue, 32 times
 * this much with a slow reader: a guest can spare 2 MiB, but not the 32 that pipes of 1 MiB would
 * fill. */
#define MOVE_MAX ((size_t)64 << 10)

/* ---- buffers ------------------------------------------------------------------------------ */

static bool is_empty(const struct stream_buffer *buffer)
{
    return buffer->start == buffer->end;
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EINTR;
}

static void discard(struct stream_buffer *buffer)
{
    buffer->start = buffer->end = 0;
}

/* Fills an empty buffer with at most `limit` bytes, or with none when there is nothing to read
 * now. False: there will be no more. */
static bool fill(struct stream_buffer *buffer, int fd, size_t limit)
{
    discard(buffer);
    size_t size = limit < sizeof(buffer->bytes) ? limit : sizeof(buffer->bytes);
    ssize_t n = read(fd, buffer->bytes, size);
    if (n < 0)
        return would_block(); /* EIO: nobody has the pty open any more */
    buffer->end = (size_t)n;
    return n > 0;
}

/* Writes what goes without waiting. False: nobody reads. */
static bool empty(struct stream_buffer *buffer, int fd)
{
    while (!is_empty(buffer)) {
        ssize_t n = write(fd, buffer->bytes + buffer->start, buffer->end - buffer->start);
        if (n < 0)
            return would_block();
        buffer->start += (size_t)n;
    }
    return true;
}

/* ---- set-up ------------------------------------------------------------------------------- */

void streams_init(struct streams *streams)
{
    streams->console = streams->ports.input = streams->source = -1;
    streams->input = streams->slave = -1;
    for (int i = 0; i < 2; i++)
        streams->outputs[i].from = streams->outputs[i].to = -1;
    streams->at_line_start = true;
}

void streams_use_ports(struct streams *streams, const struct ports *ports)
{
    streams->ports = *ports;
    for (int i = 0; i < 2; i++) {
        streams->outputs[i].to = ports->outputs[i];
        streams->outputs[i].moves = true;
    }
}

void streams_use_console(struct streams *streams, int console)
{
    streams->console = streams->source = console;
    streams->outputs[0].to = streams->outputs[1].to = console;
}

static bool make_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

/* Owned by the workload's user, or opening /dev/stdout again would be refused to it. */
static int make_pipe(int *own, int *workloads, bool to_workload, const struct spec *spec,
                     struct failure *failure)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail(failure, errno, "standard streams: pipe");
    *own = ends[to_workload ? 1 : 0];
    *workloads = ends[to_workload ? 0 : 1];
    if (!make_nonblocking(*own))
        return fail(failure, errno, "standard streams: O_NONBLOCK");
    if (fchown(*workloads, spec_host_uid(spec, spec->user.uid),
               spec_host_gid(spec, spec->user.gid)) < 0)
        return fail(failure, errno, "standard streams: owner");
    return 0;
}

static int open_placeholders(int ends[3], struct failure *failure)
{
    for (int i = 0; i < 3; i++) {
        ends[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (ends[i] < 0)
            return fail(failure, errno, "standard streams: /dev/null");
    }
    return 0;
}

int streams_open(struct streams *streams, const struct spec *spec, int ends[3],
                 struct failure *failure)
{
    if (spec->has_terminal) {
        streams->rows = spec->terminal.rows;
        streams->cols = spec->terminal.cols;
        return open_placeholders(ends, failure);
    }
    int rc = make_pipe(&streams->input, &ends[0], true, spec, failure);
    for (int i = 0; rc == 0 && i < 2; i++)
        rc = make_pipe(&streams->outputs[i].from, &ends[i + 1], false, spec, failure);
    return rc;
}

static void apply_size(const struct streams *streams)
{
    const struct winsize size = {.ws_row = streams->rows, .ws_col = streams->cols};
    if (streams->is_terminal && streams->outputs[0].from >= 0 && (size.ws_row || size.ws_col))
        ioctl(streams->outputs[0].from, TIOCSWINSZ, &size);
}

int streams_attach_terminal(struct streams *streams, int master, struct failure *failure)
{
    streams->is_terminal = true;
    streams->input = streams->outputs[0].from = master;
    streams->outputs[0].moves = false;
    if (!make_nonblocking(master))
        return fail(failure, errno, "terminal: O_NONBLOCK");
    streams->slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (streams->slave < 0)
        return fail(failure, errno, "terminal: TIOCGPTPEER");
    apply_size(streams);
    return 0;
}

void streams_end(struct streams *streams)
{
    file_close(&streams->slave);
}

void streams_set_size(struct streams *streams, uint16_t rows, uint16_t cols)
{
    streams->rows = rows;
    streams->cols = cols;
    apply_size(streams);
}

/* ---- input -------------------------------------------------------------------------------- */

int streams_begin(struct streams *streams, struct failure *failure)
{
    streams->begun = true;
    if (streams->ports.input < 0)
        return 0;
    streams->source = ports_open_input(&streams->ports);
    file_close(&streams->ports.input);
    if (streams->source < 0)
        return fail(failure, -streams->source, "standard input: " THAW_PORT_STDIN);
    return 0;
}

void streams_give_input(struct streams *streams, const char *bytes, size_t size)
{
    memcpy(streams->in.bytes, bytes, size);
    streams->in.start = 0;
    streams->in.end = size;
    streams->received = size;
    streams->eof_at = size;
    streams->has_eof = true;
    streams->begun = true;
    file_close(&streams->ports.input);
    streams->at_line_start = size == 0 || bytes[size - 1] == '\n';
}

void streams_set_eof(struct streams *streams, uint64_t bytes)
{
    if (streams->has_eof)
        return;
    streams->has_eof = true;
    streams->eof_at = bytes;
}

static bool input_has_ended(const struct streams *streams)
{
    return streams->has_eof && streams->received >= streams->eof_at;
}

/* A closed port tells the host to keep what is left. The console goes on, for ignore_input(). */
static void close_source(struct streams *streams)
{
    if (streams->console < 0)
        file_close(&streams->source);
}

static void close_input(struct streams *streams)
{
    close_source(streams);
    if (streams->is_terminal)
        streams->input = -1; /* the master lives on as the output */
    else
        file_close(&streams->input);
}

/* The end-of-file character ends a line when it does not stand at the beginning of one, and only
 * then the file (termios(3), VEOF): one or two of them. A terminal in raw mode has no such thing;
 * its reader gets the character. */
static void type_eof(struct streams *streams)
{
    streams->eof_typed = true;
    struct termios tio;
    if (tcgetattr(streams->input, &tio) < 0)
        return;
    streams->in.bytes[0] = streams->in.bytes[1] = (char)tio.c_cc[VEOF];
    streams->in.start = 0;
    streams->in.end = streams->at_line_start ? 1 : 2;
}

/* A port whose host has closed it reads as 0 for ever. Once alone is no proof: the driver looks for
 * bytes first and at the host then, and both may have come between. (A UART with CLOCAL never
 * hangs up.) */
static bool fill_from_source(struct streams *streams, size_t limit)
{
    if (fill(&streams->in, streams->source, limit))
        return true;
    return streams->console >= 0 || fill(&streams->in, streams->source, limit);
}

static void receive_input(struct streams *streams)
{
    uint64_t left = streams->has_eof ? streams->eof_at - streams->received : SIZE_MAX;
    if (!fill_from_source(streams, (size_t)left)) {
        streams_set_eof(streams, streams->received);
        return;
    }
    if (is_empty(&streams->in))
        return;
    streams->received += streams->in.end;
    streams->at_line_start = streams->in.bytes[streams->in.end - 1] == '\n';
}

static void pump_input(struct streams *streams)
{
    if (is_empty(&streams->in) && !input_has_ended(streams) && streams->source >= 0)
        receive_input(streams);
    bool is_read = empty(&streams->in, streams->input);
    bool at_end = is_empty(&streams->in) && input_has_ended(streams);
    if (is_read && at_end && streams->is_terminal && !streams->eof_typed) {
        type_eof(streams);
        is_read = empty(&streams->in, streams->input);
        at_end = is_empty(&streams->in);
    }
    if (!is_read)
        discard(&streams->in);
    if (!is_read || at_end)
        close_input(streams);
}

static void ignore_input(struct streams *streams)
{
    if (streams->source < 0)
        return;
    fill(&streams->in, streams->console, SIZE_MAX);
    discard(&streams->in);
}

/* ---- output ------------------------------------------------------------------------------- */

static void end_output(struct streams *streams, struct stream_output *output)
{
    if (streams->is_terminal) {
        close_source(streams);
        streams->input = -1;
    }
    file_close(&output->from);
}

/* What nobody takes is thrown away: a UART that is gone, and a host's side that never was. */
static void put_out(struct stream_output *output)
{
    if (!empty(&output->buffer, output->to))
        discard(&output->buffer);
    output->is_full = !is_empty(&output->buffer);
}

/* Moves pages from pipe to port. Returns whether any were. */
static bool move(struct stream_output *output)
{
    ssize_t n = splice(output->from, NULL, output->to, NULL, MOVE_MAX, SPLICE_F_NONBLOCK);
    if (n > 0)
        return true;
    /* 0 is said of an empty pipe, whether somebody still writes to it or not: read() knows. */
    output->is_full = n < 0 && errno == EAGAIN;
    if (n < 0 && !would_block())
        output->moves = false;
    return false;
}

static void pump_output(struct streams *streams, struct stream_output *output)
{
    put_out(output);
    if (output->from < 0 || output->is_full)
        return;
    if (output->moves && (move(output) || output->is_full))
        return;
    if (!fill(&output->buffer, output->from, SIZE_MAX))
        end_output(streams, output);
    put_out(output);
}

/* ---- for the loop ------------------------------------------------------------------------- */

void streams_poll(const struct streams *streams, struct pollfd fds[STREAMS_POLL_COUNT])
{
    bool has_input = !is_empty(&streams->in);
    bool wants_input = streams->begun && !has_input;
    fds[0] = (struct pollfd){.fd = wants_input ? streams->source : -1, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = has_input ? streams->input : -1, .events = POLLOUT};
    for (int i = 0; i < 2; i++) {
        const struct stream_output *output = &streams->outputs[i];
        fds[2 + i] = (struct pollfd){.fd = output->is_full ? -1 : output->from, .events = POLLIN};
        fds[4 + i] = (struct pollfd){.fd = output->is_full ? output->to : -1, .events = POLLOUT};
    }
}

void streams_pump(struct streams *streams)
{
    if (streams->begun && streams->input >= 0)
        pump_input(streams);
    else if (streams->begun)
        ignore_input(streams);
    for (int i = 0; i < 2; i++)
        pump_output(streams, &streams->outputs[i]);
}

bool streams_are_done(const struct streams *streams)
{
    bool done = true;
    for (int i = 0; i < 2; i++)
        done = done && streams->outputs[i].from < 0 && is_empty(&streams->outputs[i].buffer);
    return done;
}

static void push_out(struct stream_output *output)
{
    file_write_full(output->to, output->buffer.bytes + output->buffer.start,
                    output->buffer.end - output->buffer.start);
    discard(&output->buffer);
    output->is_full = false;
}

/* A pty gives at most 4 KiB at a time. */
static void flush_output(struct streams *streams, struct stream_output *output, size_t limit)
{
    push_out(output);
    while (output->from >= 0 && limit > 0) {
        if (!fill(&output->buffer, output->from, limit))
            end_output(streams, output);
        if (is_empty(&output->buffer))
            break;
        limit -= output->buffer.end;
        push_out(output);
    }
}

static void flush_outputs(struct streams *streams, size_t limit)
{
    for (int i = 0; i < 2; i++)
        flush_output(streams, &streams->outputs[i], limit);
    if (streams->console >= 0)
        uart_drain(streams->console);
}

/* As much as a pipe can hold that nobody has enlarged: a process that goes on writing does not
 * keep init here. */
void streams_flush(struct streams *streams)
{
    flush_outputs(streams, STREAMS_BUFFER_SIZE);
}

void streams_drain(struct streams *streams)
{
    flush_outputs(streams, SIZE_MAX);
}
