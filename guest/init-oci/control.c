/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/control.h"

#include "guest/init-oci/file.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#define SIGNAL_MAX   64
#define TEMT_IS_SET  0x01u /* TIOCSER_TEMT, linux/serial.h */
#define STDIN_MAX    ((uint64_t)INT64_MAX)
#define WINDOW_MAX   UINT16_MAX
#define DECIMAL_BASE 10

/* ---- the UART ----------------------------------------------------------------------------- */

int uart_open(const char *path, bool blocking, struct failure *failure)
{
    cleanup_close int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC | (blocking ? 0 : O_NONBLOCK));
    struct termios tio;
    if (fd < 0 || tcgetattr(fd, &tio) < 0)
        return fail(failure, errno, "%s", path);

    cfmakeraw(&tio);
    tio.c_cc[VMIN] = 1;
    tio.c_cc[VTIME] = 0;
    /* CRTSCTS: when the input queue is full, Linux drops RTS instead of bytes. The speed is of no
     * matter to the monitor, but the driver's waits are computed from it. */
    tio.c_cflag |= CLOCAL | CREAD | CRTSCTS;
    cfsetispeed(&tio, B115200);
    cfsetospeed(&tio, B115200);
    if (tcsetattr(fd, TCSANOW, &tio) < 0)
        return fail(failure, errno, "%s", path);
    return take_fd(&fd);
}

/* tcdrain gives up on the last FIFO's worth after twice the time that it should take on a real
 * line; a monitor whose reader is slow takes longer. */
void uart_drain(int fd)
{
    unsigned lsr = TEMT_IS_SET;
    do {
        if (tcdrain(fd) < 0 && errno != EINTR)
            return;
        if (ioctl(fd, TIOCSERGETLSR, &lsr) < 0)
            return;
    } while (!(lsr & TEMT_IS_SET));
}

int control_open(struct control *control, struct failure *failure)
{
    *control = (struct control){.fd = -1};
    control->fd = uart_open(THAW_CONTROL_TTY, true, failure);
    if (control->fd < 0)
        return control->fd;
    if (ioctl(control->fd, TIOCEXCL) < 0)
        return fail(failure, errno, "%s: TIOCEXCL", THAW_CONTROL_TTY);
    /* A workload that binds /dev shall not find it there. */
    if (unlink(THAW_CONTROL_TTY) < 0)
        return fail(failure, errno, "%s: unlink", THAW_CONTROL_TTY);
    return 0;
}

/* ---- requests ----------------------------------------------------------------------------- */

int control_fill(struct control *control)
{
    if (control->input_start < control->input_end)
        return 0;
    ssize_t n = read(control->fd, control->input, sizeof(control->input));
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    control->input_start = 0;
    control->input_end = (size_t)n;
    return n == 0 ? -EPIPE : 0; /* the line hung up, which a UART without a modem never does */
}

/* Expects ` <key>=<number>` of at most `max`; returns what follows, or NULL. */
static const char *number_field(const char *at, const char *key, uint64_t max, uint64_t *value)
{
    size_t length = strlen(key);
    if (!at || *at != ' ' || strncmp(at + 1, key, length) != 0 || at[length + 1] != '=')
        return NULL;
    at += length + 2;
    if (*at < '0' || *at > '9')
        return NULL;
    for (*value = 0; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (*value > (max - digit) / DECIMAL_BASE)
            return NULL;
        *value = *value * DECIMAL_BASE + digit;
    }
    return at;
}

static const char *after(const char *line, const char *verb)
{
    size_t length = strlen(verb);
    return strncmp(line, verb, length) == 0 ? line + length : NULL;
}

static bool complete(const char *at)
{
    return at && *at == '\0';
}

static bool parse_winsize(const char *at, struct control_request *request)
{
    uint64_t rows = 0;
    uint64_t cols = 0;
    at = number_field(at, "rows", WINDOW_MAX, &rows);
    at = number_field(at, "cols", WINDOW_MAX, &cols);
    if (!complete(at))
        return false;
    request->kind = CONTROL_REQUEST_WINSIZE;
    request->rows = (uint16_t)rows;
    request->cols = (uint16_t)cols;
    return true;
}

static bool parse_line(const char *line, struct control_request *request)
{
    *request = (struct control_request){0};
    const char *at = after(line, THAW_REQ_SIGNAL);
    if (complete(number_field(at, "number", SIGNAL_MAX, &request->number))) {
        request->kind = CONTROL_REQUEST_SIGNAL;
        return request->number > 0;
    }
    at = after(line, THAW_REQ_STDIN_EOF);
    if (complete(number_field(at, "bytes", STDIN_MAX, &request->number))) {
        request->kind = CONTROL_REQUEST_STDIN_EOF;
        return true;
    }
    return parse_winsize(after(line, THAW_REQ_WINSIZE), request);
}

/* Returns whether `byte` completed a request. */
static bool take_byte(struct control *control, char byte, struct control_request *request)
{
    bool between_lines = control->line_length == 0 && !control->line_too_long;
    if (byte == THAW_DOORBELL && between_lines) {
        *request = (struct control_request){.kind = CONTROL_REQUEST_DOORBELL};
        return true;
    }
    if (byte != '\n') {
        if (control->line_length < THAW_CONTROL_LINE_MAX)
            control->line[control->line_length++] = byte;
        else
            control->line_too_long = true;
        return false;
    }
    bool usable = !control->line_too_long;
    control->line[control->line_length] = '\0';
    control->line_length = 0;
    control->line_too_long = false;
    return usable && parse_line(control->line, request);
}

bool control_next(struct control *control, struct control_request *request)
{
    while (control->input_start < control->input_end) {
        if (take_byte(control, control->input[control->input_start++], request))
            return true;
    }
    return false;
}

/* ---- lines to the monitor ----------------------------------------------------------------- */

void control_send(const struct control *control, const char *format, ...)
{
    if (control->fd < 0)
        return;
    char line[THAW_CONTROL_LINE_MAX + 1];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (length < 0)
        return;

    size_t size = (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1;
    for (size_t i = 0; i < size; i++) {
        if (line[i] < ' ' || line[i] > '~')
            line[i] = '?';
    }
    line[size] = '\n';
    file_write_full(control->fd, line, size + 1);
}
