/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-series [OPTION...] ROUNDS NAME MOMENTS COMMAND... [-- NAME MOMENTS COMMAND...]...
 *
 * Runs the commands in turn, ROUNDS times round after two rounds that do not count, and prints when
 * something happened, in milliseconds from just before the command's posix_spawn:
 *
 *   NAME MOMENT MS    for each of MOMENTS, words with commas between them:
 *                     `line=TEXT`: a line of its output began with TEXT, which has no blank (MOMENT
 *                     is TEXT then, or `line` when that is empty); otherwise the mark of that name
 *                     in the JSON that thaw and bench-floor print, by the same clock
 *   NAME json {...}   that JSON, where MOMENTS has the word `json`
 *   NAME lost         it did not give all of them at the last try: no more of it is run
 *
 * Among MOMENTS, `stdin=FILE` is the command's standard input instead of /dev/null.
 * A command is ended as soon as it has given its moments; its exit status is not looked at.
 *
 *   --warm-up N    rounds that do not count (2)
 *   --tries N      how often a command may be started again in one round (1)
 *   --timeout S    seconds that one may take (60)
 */
#include "vmm/base/clock.h"

#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMANDS_MAX 16
#define MOMENTS_MAX  8

extern char **environ;

struct command {
    const char *name;
    const char *moments[MOMENTS_MAX];
    int moment_count;
    const char *input;
    char **argv;
    bool lost;
};

struct run {
    const struct command *command;
    uint64_t before_ns;
    double ms[MOMENTS_MAX]; /* 0: has not happened */
    char *report;           /* the JSON */
};

struct options {
    int rounds, warm_up, tries;
    unsigned timeout_s;
};

/* For the signal handler: the group of the command that runs, or 0. */
static volatile pid_t running;

static void end_running(int signal)
{
    if (running > 0)
        kill(-running, SIGKILL);
    if (signal != SIGALRM)
        _exit(1);
}

/* In a group of its own, so that a script is ended with what it has started. Returns the read end
 * of its output, or -1. */
static int start(struct run *run)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -1;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, run->command->input, O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDERR_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    char **argv = run->command->argv;
    pid_t pid = 0;
    run->before_ns = clock_monotonic_ns();
    int rc = posix_spawnp(&pid, argv[0], &actions, &attributes, argv, environ);
    running = pid;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    if (rc == 0)
        return pipes[0];
    close(pipes[0]);
    (void)fprintf(stderr, "bench-series: %s: %s\n", argv[0], strerror(rc));
    return -1;
}

static void read_report(struct run *run, const char *line)
{
    json_t *root = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
    json_t *started = json_object_get(root, "started_ns");
    json_t *marks = json_object_get(root, "marks_ms");
    for (int i = 0; json_is_integer(started) && i < run->command->moment_count; i++) {
        double mark = json_number_value(json_object_get(marks, run->command->moments[i]));
        if (mark > 0)
            run->ms[i] =
                (double)((uint64_t)json_integer_value(started) - run->before_ns) / 1e6 + mark;
    }
    if (json_is_integer(started) && !run->report)
        run->report = json_dumps(root, JSON_COMPACT);
    json_decref(root);
}

static void read_line(struct run *run, const char *line)
{
    double now_ms = (double)(clock_monotonic_ns() - run->before_ns) / 1e6;
    for (int i = 0; i < run->command->moment_count; i++) {
        const char *moment = run->command->moments[i];
        if (strncmp(moment, "line=", 5) == 0 && run->ms[i] <= 0 &&
            strncmp(line, moment + 5, strlen(moment + 5)) == 0)
            run->ms[i] = now_ms;
    }
    if (line[0] == '{')
        read_report(run, line);
}

static bool is_complete(const struct run *run)
{
    for (int i = 0; i < run->command->moment_count; i++) {
        bool is_report = strcmp(run->command->moments[i], "json") == 0;
        if (is_report ? !run->report : run->ms[i] <= 0)
            return false;
    }
    return true;
}

static void end(void)
{
    alarm(0);
    kill(-running, SIGKILL);
    waitpid(running, NULL, 0);
    running = 0;
}

static bool time_one(struct run *run, const struct options *options)
{
    char *line = NULL;
    size_t capacity = 0;
    int output = start(run);
    if (output < 0)
        return false;
    alarm(options->timeout_s);
    FILE *lines = fdopen(output, "r");
    while (lines && !is_complete(run) && getline(&line, &capacity, lines) > 0)
        read_line(run, line);
    (void)fclose(lines);
    free(line);
    end();
    return is_complete(run);
}

static const char *printed_name(const char *moment)
{
    if (strcmp(moment, "line=") == 0)
        return "line";
    return strncmp(moment, "line=", 5) == 0 ? moment + 5 : moment;
}

static void print_run(const struct run *run)
{
    for (int i = 0; i < run->command->moment_count; i++) {
        const char *moment = run->command->moments[i];
        if (strcmp(moment, "json") == 0)
            printf("%s json %s\n", run->command->name, run->report);
        else
            printf("%s %s %.6f\n", run->command->name, printed_name(moment), run->ms[i]);
    }
}

static void run_command(struct command *command, const struct options *options, bool counts)
{
    bool complete = false;
    for (int try = 0; try < options->tries && !complete && !command->lost; try++) {
        struct run run = {.command = command};
        complete = time_one(&run, options);
        if (complete && counts)
            print_run(&run);
        if (!complete)
            (void)fprintf(stderr, "bench-series: %s: gave not all of its moments\n", command->name);
        free(run.report);
    }
    if (!complete && !command->lost)
        printf("%s lost\n", command->name);
    command->lost = !complete;
    (void)fflush(stdout);
}

static void parse_moments(struct command *command, char *words)
{
    for (char *word = strtok(words, ","); word; word = strtok(NULL, ",")) {
        if (strncmp(word, "stdin=", 6) == 0)
            command->input = word + 6;
        else if (command->moment_count < MOMENTS_MAX)
            command->moments[command->moment_count++] = word;
    }
}

/* Splits argv[from..argc) at each `--`. */
static int parse_commands(struct command commands[COMMANDS_MAX], int from, int argc, char **argv)
{
    int count = 0;
    for (int i = from; i + 2 < argc && count < COMMANDS_MAX; count++) {
        commands[count] =
            (struct command){.name = argv[i], .input = "/dev/null", .argv = argv + i + 2};
        parse_moments(&commands[count], argv[i + 1]);
        while (i < argc && strcmp(argv[i], "--") != 0)
            i++;
        if (i < argc)
            argv[i++] = NULL;
    }
    return count;
}

static int usage(void)
{
    (void)fputs("usage: bench-series [--warm-up N] [--tries N] [--timeout S] ROUNDS NAME MOMENTS "
                "COMMAND... [-- NAME MOMENTS COMMAND...]...\n",
                stderr);
    return 2;
}

static int parse_options(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {{"warm-up", required_argument, NULL, 'w'},
                                          {"tries", required_argument, NULL, 't'},
                                          {"timeout", required_argument, NULL, 's'},
                                          {0}};
    *options = (struct options){.warm_up = 2, .tries = 1, .timeout_s = 60};
    for (int option; (option = getopt_long(argc, argv, "+", names, NULL)) >= 0;) {
        if (option == 'w')
            options->warm_up = atoi(optarg);
        else if (option == 't')
            options->tries = atoi(optarg);
        else if (option == 's')
            options->timeout_s = (unsigned)strtoul(optarg, NULL, 10);
        else
            return -1;
    }
    options->rounds = optind < argc ? atoi(argv[optind++]) : 0;
    return options->rounds > 0 && options->tries > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct command commands[COMMANDS_MAX] = {0};
    struct options options;
    if (parse_options(&options, argc, argv) < 0)
        return usage();
    int count = parse_commands(commands, optind, argc, argv);
    if (count == 0)
        return usage();
    const struct sigaction ends = {.sa_handler = end_running, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &ends, NULL);
    sigaction(SIGINT, &ends, NULL);
    sigaction(SIGTERM, &ends, NULL);
    for (int round = -options.warm_up; round < options.rounds; round++)
        for (int i = 0; i < count; i++)
            run_command(&commands[i], &options, round >= 0);
    return 0;
}
