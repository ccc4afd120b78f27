/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/control.h"

#include "guest/init-oci/file.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>

#define TEMT_IS_SET 0x01u /* TIOCSER_TEMT, linux/serial.h */

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

bool control_next(struct control *control, struct control_request *request)
{
    while (control->input_start < control->input_end) {
        if (request_parser_feed(&control->parser, control->input[control->input_start++], request))
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
