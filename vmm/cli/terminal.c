/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/terminal.h"

#include <sys/ioctl.h>

void terminal_make_raw(int fd, struct terminal *saved)
{
    saved->fd = fd;
    if (tcgetattr(fd, &saved->before) < 0)
        return;
    struct termios raw = saved->before;
    cfmakeraw(&raw);
    saved->raw = tcsetattr(fd, TCSANOW, &raw) == 0;
}

void terminal_restore(const struct terminal *saved)
{
    if (saved->raw)
        tcsetattr(saved->fd, TCSANOW, &saved->before);
}

bool terminal_size(int fd, unsigned short *rows, unsigned short *cols)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
        return false;
    *rows = size.ws_row;
    *cols = size.ws_col;
    return true;
}
