/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-faults COMMAND...: runs COMMAND with standard input and output at /dev/null and prints
 * "STATUS MINOR MAJOR": its exit status (128 + N when signal N ended it) and the page faults of its
 * whole life, of all its threads, without and with reading from a disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int start(char **command, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawnp(pid, command[0], &actions, NULL, command, environ);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    pid_t pid;
    int status;
    if (argc < 2) {
        (void)fputs("usage: bench-faults COMMAND...\n", stderr);
        return 2;
    }
    int rc = start(argv + 1, &pid);
    if (rc == 0 && wait4(pid, &status, 0, &usage) < 0)
        rc = errno;
    if (rc != 0) {
        (void)fprintf(stderr, "bench-faults: %s: %s\n", argv[1], strerror(rc));
        return 1;
    }
    printf("%d %ld %ld\n", WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
           usage.ru_minflt, usage.ru_majflt);
    return 0;
}
