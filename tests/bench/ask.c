/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-ask SOCKET METHOD PATH BODY [COMMAND...]: one HTTP request to a monitor's API on a UNIX
 * socket, as Firecracker and Cloud Hypervisor have it, again each millisecond until it is there
 * and says that it is done, for 20 seconds at most.
 *
 * With COMMAND, that is the monitor: SOCKET is removed, COMMAND started, asked and waited for. So
 * neither a shell nor curl is part of what is measured. BODY may be empty.
 */
#include "vmm/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_NS 20000000000ull

extern char **environ;

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        (void)fprintf(stderr, "bench-ask: %s: too long for a socket\n", path);
        exit(2);
    }
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Sends the request and leaves the beginning of the answer in `answer`. */
static void exchange(int fd, char **argv, char answer[1024])
{
    const char *body = argv[4];
    (void)dprintf(fd,
                  "%s %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
                  "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                  argv[2], argv[3], strlen(body), body);
    ssize_t n = read(fd, answer, 1023);
    answer[n > 0 ? n : 0] = '\0';
}

static bool has_ended(pid_t pid)
{
    siginfo_t ended = {0};
    return pid > 0 && waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           ended.si_pid == pid;
}

/* Whether the monitor has answered with a 2xx; its last answer is printed when it never did. `pid`
 * is the monitor, or 0. */
static bool ask(char **argv, pid_t pid)
{
    char answer[1024] = "no answer";
    uint64_t begun = clock_monotonic_ns();
    while (clock_monotonic_ns() - begun < PATIENCE_NS && !has_ended(pid)) {
        int fd = connect_to(argv[1]);
        if (fd >= 0) {
            exchange(fd, argv, answer);
            close(fd);
        }
        if (strncmp(answer, "HTTP/1.1 2", 10) == 0)
            return true;
        usleep(fd >= 0 ? 1000 : 100);
    }
    (void)fprintf(stderr, "bench-ask: %s %s: %s\n", argv[2], argv[3], answer);
    return false;
}

int main(int argc, char **argv)
{
    pid_t pid = 0;
    if (argc < 5) {
        (void)fputs("usage: bench-ask SOCKET METHOD PATH BODY [COMMAND...]\n", stderr);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc > 5) {
        (void)unlink(argv[1]);
        errno = posix_spawnp(&pid, argv[5], NULL, NULL, argv + 5, environ);
        if (errno != 0) {
            (void)fprintf(stderr, "bench-ask: %s: %s\n", argv[5], strerror(errno));
            return 1;
        }
    }
    bool done = ask(argv, pid);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return !done;
}
