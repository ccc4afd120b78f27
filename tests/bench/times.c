/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-times [OPTION...] ROUNDS NAME COMMAND... [, NAME COMMAND...]...
 *
 * Runs the commands in turn, each to its end, ROUNDS times round after those that do not count, and
 * prints of each run:
 *
 *   NAME cpu MS        processor time of all its threads, in user and kernel mode
 *   NAME wall MS       from just before its posix_spawn until it is gone
 *   NAME rss KIB       the most memory that was resident
 *   NAME output TEXT   the first line of its output
 *
 * Standard input is /dev/null. A command that fails, or takes too long, ends it with status 1.
 * Linked statically: what is resident of this program counts for the command, too.
 *
 *   --warm-up N    rounds that do not count (1)
 *   --timeout S    seconds that one command may take (60)
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMANDS_MAX   128
#define FIRST_LINE_MAX 256

struct command {
    const char *name;
    char **argv;
};

struct run {
    double wall_ms, cpu_ms;
    long rss_kib;
    char line[FIRST_LINE_MAX];
};

struct options {
    int rounds, warm_up;
    unsigned timeout_s;
};

/* For the signal handler: the command that runs, or 0. */
static volatile pid_t running;

static void end_running(int signal)
{
    (void)signal;
    if (running > 0)
        kill(running, SIGKILL);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double ms_of(struct timeval time)
{
    return (double)time.tv_sec * 1e3 + (double)time.tv_usec / 1e3;
}

/* Returns the read end of its output, or -1. */
static int start(char **argv)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -1;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
    pid_t pid = 0;
    int rc = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    if (rc == 0) {
        running = pid;
        return pipes[0];
    }
    (void)fprintf(stderr, "bench-times: %s: %s\n", argv[0], strerror(rc));
    close(pipes[0]);
    return -1;
}

/* All that it prints is read; what is kept ends with the first line. */
static void read_output(int fd, char line[FIRST_LINE_MAX])
{
    char buffer[4096];
    size_t kept = 0;
    for (ssize_t got; (got = read(fd, buffer, sizeof(buffer))) != 0;) {
        if (got < 0 && errno != EINTR)
            break;
        for (ssize_t i = 0; i < got && kept + 1 < FIRST_LINE_MAX; i++)
            line[kept++] = buffer[i];
    }
    line[kept] = '\0';
    line[strcspn(line, "\n")] = '\0';
    close(fd);
}

static int wait_for(struct rusage *usage)
{
    int status = -1;
    while (wait4(running, &status, 0, usage) < 0 && errno == EINTR)
        ;
    running = 0;
    return status;
}

static bool time_one(const struct command *command, unsigned timeout_s, struct run *run)
{
    struct rusage usage = {0};
    double before = now_ms();
    int output = start(command->argv);
    if (output < 0)
        return false;
    alarm(timeout_s);
    read_output(output, run->line);
    int status = wait_for(&usage);
    alarm(0);
    run->wall_ms = now_ms() - before;
    run->cpu_ms = ms_of(usage.ru_utime) + ms_of(usage.ru_stime);
    run->rss_kib = usage.ru_maxrss;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    (void)fprintf(stderr, "bench-times: %s: %s %d\n", command->name,
                  WIFEXITED(status) ? "status" : "signal",
                  WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return false;
}

static bool run_round(const struct command *commands, int count, const struct options *options,
                      bool counts)
{
    for (int i = 0; i < count; i++) {
        const char *name = commands[i].name;
        struct run run;
        if (!time_one(&commands[i], options->timeout_s, &run))
            return false;
        if (counts)
            printf("%s cpu %.3f\n%s wall %.3f\n%s rss %ld\n%s output %s\n", name, run.cpu_ms, name,
                   run.wall_ms, name, run.rss_kib, name, run.line);
    }
    return fflush(stdout) == 0;
}

/* Splits argv[from..argc) at each `,`; 0: none, or too many. */
static int parse_commands(struct command commands[COMMANDS_MAX], int from, int argc, char **argv)
{
    int count = 0;
    for (int i = from; i + 1 < argc; count++) {
        if (count == COMMANDS_MAX)
            return 0;
        commands[count] = (struct command){argv[i], argv + i + 1};
        while (i < argc && strcmp(argv[i], ",") != 0)
            i++;
        if (i < argc)
            argv[i++] = NULL;
    }
    return count;
}

static bool parse_options(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"warm-up", required_argument, NULL, 'w'}, {"timeout", required_argument, NULL, 't'}, {0}};
    *options = (struct options){.warm_up = 1, .timeout_s = 60};
    for (int option; (option = getopt_long(argc, argv, "+", names, NULL)) >= 0;) {
        if (option == 'w')
            options->warm_up = atoi(optarg);
        else if (option == 't')
            options->timeout_s = (unsigned)strtoul(optarg, NULL, 10);
        else
            return false;
    }
    options->rounds = optind < argc ? atoi(argv[optind++]) : 0;
    return options->rounds > 0;
}

int main(int argc, char **argv)
{
    static struct command commands[COMMANDS_MAX];
    struct options options;
    int count =
        parse_options(&options, argc, argv) ? parse_commands(commands, optind, argc, argv) : 0;
    if (count == 0) {
        (void)fputs("usage: bench-times [--warm-up N] [--timeout S] ROUNDS NAME COMMAND... "
                    "[, NAME COMMAND...]...\n",
                    stderr);
        return 2;
    }
    const struct sigaction ends = {.sa_handler = end_running};
    sigaction(SIGALRM, &ends, NULL);
    for (int round = -options.warm_up; round < options.rounds; round++)
        if (!run_round(commands, count, &options, round >= 0))
            return 1;
    return 0;
}
