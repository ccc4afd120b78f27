/* SPDX-License-Identifier: Apache-2.0 */
/* The user's terminal, when the workload has one of its own: raw while the guest runs. */
#ifndef THAW_CLI_TERMINAL_H
#define THAW_CLI_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

struct terminal {
    bool raw;
    int fd;
    struct termios before;
};

/* Puts the terminal on `fd` into raw mode and remembers how it was. Not a terminal: nothing. */
void terminal_make_raw(int fd, struct terminal *saved);

/* Puts it back, if terminal_make_raw() changed it. */
void terminal_restore(const struct terminal *saved);

/* Its size; false when `fd` is no terminal or does not know. */
bool terminal_size(int fd, unsigned short *rows, unsigned short *cols);

#endif
