/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Not the writing end of a pipe: its bytes are for whoever reads the other one. */
static int open_anew(int fd)
{
    char path[32];
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

int input_open(struct input *input, int fd, struct thaw_error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return thaw_fail(err, errno, "standard input");
    bool is_terminal = S_ISCHR(st.st_mode) && isatty(fd);
    *input = (struct input){.fd = -1, .is_socket = S_ISSOCK(st.st_mode), .look_first = is_terminal};
    if (is_terminal || S_ISFIFO(st.st_mode))
        input->fd = open_anew(fd);
    if (input->fd >= 0)
        return 0;
    input->look_first = !input->is_socket;
    input->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return input->fd < 0 ? thaw_fail(err, errno, "standard input") : 0;
}

/* What is typed is for another job then, and reading it would stop this one, though its workload
 * may not have asked for any. */
static bool is_in_background(int fd)
{
    pid_t foreground = tcgetpgrp(fd); /* -1: no terminal, or not ours to lose */
    return foreground > 0 && foreground != getpgrp();
}

static bool has_something(int fd)
{
    struct pollfd now = {.fd = fd, .events = POLLIN};
    return !is_in_background(fd) && poll(&now, 1, 0) != 0;
}

static ssize_t read_once(const struct input *input, struct iovec *iov, unsigned count)
{
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
    if (input->is_socket)
        return recvmsg(input->fd, &message, MSG_DONTWAIT);
    if (input->look_first && !has_something(input->fd)) {
        errno = EAGAIN;
        return -1;
    }
    return readv(input->fd, iov, (int)count);
}

ssize_t input_read(const struct input *input, struct iovec *iov, unsigned count)
{
    ssize_t n;
    do {
        n = read_once(input, iov, count);
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return errno == EAGAIN ? -EAGAIN : 0;
}

void input_close(struct input *input)
{
    if (input->fd >= 0)
        close(input->fd);
    input->fd = -1;
}
