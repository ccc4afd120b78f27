/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/terminal.h"

#include "guest/init-oci/file.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#define MULTIPLEXER "/dev/pts/ptmx"
#define CONSOLE     "/dev/console"

static int bind_console(int master, struct failure *failure)
{
    unsigned number;
    char path[32];
    if (ioctl(master, (int)TIOCGPTN, &number) < 0)
        return fail(failure, errno, "terminal: TIOCGPTN");
    snprintf(path, sizeof(path), "/dev/pts/%u", number);
    if (mount(path, CONSOLE, NULL, MS_BIND, NULL) < 0)
        return fail(failure, errno, "terminal: %s", CONSOLE);
    return 0;
}

static int become_streams(int slave, struct failure *failure)
{
    if (ioctl(slave, TIOCSCTTY, 0) < 0)
        return fail(failure, errno, "terminal: TIOCSCTTY");
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
        if (dup2(slave, stream) < 0)
            return fail(failure, errno, "terminal: dup2");
    }
    return 0;
}

int terminal_open(uint32_t uid, struct failure *failure)
{
    cleanup_close int master = open(MULTIPLEXER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    int unlocked = 0;
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) < 0)
        return fail(failure, errno, "terminal: %s", MULTIPLEXER);
    /* Not by its name: whatever is mounted on /dev/pts, this is the master's other end. */
    cleanup_close int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return fail(failure, errno, "terminal: TIOCGPTPEER");
    if (fchown(slave, uid, (gid_t)-1) < 0)
        return fail(failure, errno, "terminal: owner");

    int rc = bind_console(master, failure);
    if (rc == 0)
        rc = become_streams(slave, failure);
    return rc < 0 ? rc : take_fd(&master);
}
