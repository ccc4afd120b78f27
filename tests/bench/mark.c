/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-mark PATTERN COMMAND...: starts COMMAND and prints the milliseconds from just before the
 * spawn until a line on its standard output or error begins with PATTERN, with the moment taken
 * from the line itself where it is thaw's JSON (started_ns plus a mark). Then ends the command.
 *
 * Two monitors can be timed with the same ruler this way: for QEMU the control port goes to
 * stdout; thaw reads its guest's control port itself and reports the time by the same clock.
 */
#include "vmm/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static pid_t start(char **command, int *output)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -1;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDERR_FILENO);
    pid_t pid;
    int rc = posix_spawnp(&pid, command[0], &actions, NULL, command, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    *output = pipes[0];
    errno = rc;
    return rc == 0 ? pid : -1;
}

/* CLOCK_MONOTONIC of the workload's exec from thaw's JSON; 0 when the line is something else. */
static uint64_t exec_from_json(const char *line)
{
    json_t *root = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
    json_t *started = json_object_get(root, "started_ns");
    json_t *exec = json_object_get(json_object_get(root, "marks_ms"), "workload_exec");
    uint64_t at = 0;
    if (json_is_integer(started) && json_is_real(exec))
        at = (uint64_t)json_integer_value(started) + (uint64_t)(json_real_value(exec) * 1e6);
    json_decref(root);
    return at;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: bench-mark PATTERN COMMAND...\n", stderr);
        return 2;
    }
    uint64_t before = clock_monotonic_ns(), at = 0;
    int output;
    pid_t pid = start(argv + 2, &output);
    if (pid < 0) {
        fprintf(stderr, "bench-mark: %s: %s\n", argv[2], strerror(errno));
        return 1;
    }

    FILE *lines = fdopen(output, "r");
    char *line = NULL;
    size_t capacity = 0;
    while (at == 0 && lines && getline(&line, &capacity, lines) > 0) {
        if (strncmp(line, argv[1], strlen(argv[1])) == 0)
            at = clock_monotonic_ns();
        else if (line[0] == '{')
            at = exec_from_json(line);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (at == 0) {
        fprintf(stderr, "bench-mark: %s never said %s\n", argv[2], argv[1]);
        return 1;
    }
    printf("%.3f\n", (double)(at - before) / 1e6);
    return 0;
}
