/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/bench_run.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define CHUNK    65536u
#define CAPACITY (2ul * BENCH_TEXT_MAX)
#define GRACE_MS 2000 /* for a child that is told to end, to leave nothing behind */

struct child {
    pid_t pid; /* 0: none, or reaped */
    int pid_fd, out_fd, err_fd;
    char *text; /* of CAPACITY */
    size_t text_size;
};

/* SIGQUIT stops a guest in any state, and thaw cleans up behind it. */
static void end_child(struct child *child)
{
    cleanup_close_fn(&child->out_fd);
    cleanup_close_fn(&child->err_fd);
    if (child->pid > 0) {
        struct pollfd ended = {.fd = child->pid_fd, .events = POLLIN};
        kill(child->pid, SIGQUIT);
        if (child->pid_fd < 0 || poll(&ended, 1, GRACE_MS) <= 0)
            kill(child->pid, SIGKILL);
        waitpid(child->pid, NULL, 0);
    }
    cleanup_close_fn(&child->pid_fd);
}

/* Both ends, of which the child's is the second; only ours does not block. */
static int make_pipe(int *ours, int *childs, struct thaw_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return thaw_fail(err, errno, "pipe");
    *ours = ends[0];
    *childs = ends[1];
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
        return thaw_fail(err, errno, "pipe");
    return 0;
}

static int spawn(const struct bench_child_config *config, int out_fd, int err_fd, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err_fd, STDERR_FILENO);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &config->child_mask);
    int rc = posix_spawn(pid, "/proc/self/exe", &actions, &attributes, config->argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static int start(struct child *child, const struct bench_child_config *config, uint64_t *spawn_ns,
                 struct thaw_error *err)
{
    cleanup_close int out_fd = -1;
    cleanup_close int err_fd = -1;
    int rc = make_pipe(&child->out_fd, &out_fd, err);
    if (rc == 0)
        rc = make_pipe(&child->err_fd, &err_fd, err);
    if (rc < 0)
        return rc;
    *spawn_ns = clock_monotonic_ns();
    rc = spawn(config, out_fd, err_fd, &child->pid);
    if (rc > 0) {
        child->pid = 0;
        return thaw_fail(err, rc, "/proc/self/exe");
    }
    child->pid_fd = pidfd_open(child->pid, 0);
    return child->pid_fd < 0 ? thaw_fail(err, errno, "pidfd_open") : 0;
}

/* Whether there may be more: not at the end, and not when the pipe is empty. */
static bool drain_out(struct child *child)
{
    char ignored[CHUNK];
    ssize_t n = read(child->out_fd, ignored, sizeof(ignored));
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close(child->out_fd);
        child->out_fd = -1;
    }
    return n > 0;
}

/* The first half goes when both are full. */
static void make_room(struct child *child)
{
    if (child->text_size + CHUNK <= CAPACITY)
        return;
    size_t kept = BENCH_TEXT_MAX;
    memmove(child->text, child->text + child->text_size - kept, kept);
    child->text_size = kept;
}

static bool drain_err(struct child *child)
{
    make_room(child);
    ssize_t n = read(child->err_fd, child->text + child->text_size, CHUNK);
    if (n > 0)
        child->text_size += (size_t)n;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close(child->err_fd);
        child->err_fd = -1;
    }
    return n > 0;
}

int bench_check_signal(int signal_fd, struct thaw_error *err)
{
    struct signalfd_siginfo info;
    if (read(signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return 0;
    return thaw_fail_as(err, THAW_FAIL_INTERRUPTED, EINTR, "signal %s: the bench was stopped",
                        sigabbrev_np((int)info.ssi_signo));
}

/* Until the process has ended, which is when `outcome->end_ns` is. */
static int listen_to(struct child *child, const struct bench_child_config *config,
                     struct bench_outcome *outcome, struct thaw_error *err)
{
    while (outcome->end_ns == 0) {
        struct pollfd fds[] = {{.fd = child->out_fd, .events = POLLIN},
                               {.fd = child->err_fd, .events = POLLIN},
                               {.fd = child->pid_fd, .events = POLLIN},
                               {.fd = config->signal_fd, .events = POLLIN}};
        if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0 && errno != EINTR)
            return thaw_fail(err, errno, "poll");
        uint64_t now = clock_monotonic_ns();
        if (fds[0].revents && drain_out(child) && outcome->first_byte_ns == 0)
            outcome->first_byte_ns = now;
        if (fds[1].revents)
            drain_err(child);
        if (fds[2].revents)
            outcome->end_ns = now;
        int rc = fds[3].revents ? bench_check_signal(config->signal_fd, err) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int reap(struct child *child, struct bench_outcome *outcome, struct thaw_error *err)
{
    if (wait4(child->pid, &outcome->wait_status, 0, &outcome->usage) < 0)
        return thaw_fail(err, errno, "wait4");
    child->pid = 0;
    while (child->err_fd >= 0 && drain_err(child))
        ;
    outcome->text = child->text;
    outcome->text_size = child->text_size;
    return 0;
}

int bench_child_run(const struct bench_child_config *config, struct bench_outcome *outcome,
                    char **text, struct thaw_error *err)
{
    *outcome = (struct bench_outcome){0};
    *text = malloc(CAPACITY);
    if (!*text)
        return thaw_fail(err, ENOMEM, "bench");
    cleanup(end_child) struct child child = {
        .pid_fd = -1, .out_fd = -1, .err_fd = -1, .text = *text};
    int rc = start(&child, config, &outcome->spawn_ns, err);
    if (rc == 0)
        rc = listen_to(&child, config, outcome, err);
    return rc < 0 ? rc : reap(&child, outcome, err);
}
