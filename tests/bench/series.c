/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-series ROUNDS NAME COMMAND... [-- NAME COMMAND...]...
 *
 * Runs the commands in turn, ROUNDS times round after two rounds that do not count, and prints a
 * line a run: the name, and the milliseconds from just before its posix_spawn to KVM_RUN and to the
 * guest's first exit. The two moments are in the JSON that thaw and bench-floor print, by the same
 * clock. A command that gives none ends the series; whatever its exit status is, is not looked at.
 */
#include "vmm/base/clock.h"

#include <fcntl.h>
#include <jansson.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WARM_UP      2
#define COMMANDS_MAX 8

extern char **environ;

struct command {
    const char *name;
    char **argv;
};

static void fail(const char *name, const char *why)
{
    (void)fprintf(stderr, "bench-series: %s: %s\n", name, why);
    exit(1);
}

static pid_t start(const struct command *command, int *output)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        fail(command->name, "pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDERR_FILENO);
    pid_t pid;
    int rc = posix_spawnp(&pid, command->argv[0], &actions, NULL, command->argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    *output = pipes[0];
    if (rc != 0)
        fail(command->argv[0], strerror(rc));
    return pid;
}

static bool read_times(const char *line, uint64_t before, double *run, double *exit)
{
    json_t *root = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
    json_t *started = json_object_get(root, "started_ns");
    json_t *marks = json_object_get(root, "marks_ms");
    double until = (double)((uint64_t)json_integer_value(started) - before) / 1e6;
    *run = until + json_number_value(json_object_get(marks, "kvm_run"));
    *exit = until + json_number_value(json_object_get(marks, "first_exit"));
    bool found = json_is_integer(started) && json_is_object(marks);
    json_decref(root);
    return found;
}

static void time_one(const struct command *command, bool counts)
{
    double kvm_run = 0, first_exit = 0;
    bool found = false;
    char *line = NULL;
    size_t capacity = 0;
    int output;
    uint64_t before = clock_monotonic_ns();
    pid_t pid = start(command, &output);
    FILE *lines = fdopen(output, "r");
    while (lines && getline(&line, &capacity, lines) > 0)
        if (line[0] == '{')
            found = read_times(line, before, &kvm_run, &first_exit);
    (void)fclose(lines);
    free(line);
    waitpid(pid, NULL, 0);
    if (!found || kvm_run <= 0 || first_exit <= kvm_run)
        fail(command->name, "no times");
    if (counts)
        printf("%s %.6f %.6f\n", command->name, kvm_run, first_exit);
}

int main(int argc, char **argv)
{
    struct command commands[COMMANDS_MAX] = {0};
    int count = 0, rounds = argc > 1 ? atoi(argv[1]) : 0;
    for (int i = 2; i + 1 < argc && count < COMMANDS_MAX; count++) {
        commands[count] = (struct command){argv[i], argv + i + 1};
        while (i < argc && strcmp(argv[i], "--") != 0)
            i++;
        if (i < argc)
            argv[i++] = NULL;
    }
    if (rounds <= 0 || count == 0) {
        (void)fputs("usage: bench-series ROUNDS NAME COMMAND... [-- NAME COMMAND...]...\n", stderr);
        return 2;
    }
    for (int round = -WARM_UP; round < rounds; round++)
        for (int i = 0; i < count; i++)
            time_one(&commands[i], round >= 0);
    return 0;
}
