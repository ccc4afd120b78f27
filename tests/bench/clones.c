/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-clones COUNT REST_MS COMMAND...: starts COMMAND, thaw with --json, COUNT times at once.
 * When each of them has said something on its standard output, or REST_MS have passed without, and
 * after another REST_MS, it looks what memory is private to each, ends them by SIGQUIT, and prints
 *
 *   clone FIRST_BYTE FIRST_EXIT PRIVATE PSS BEGUN CPU
 *                    for each that ran until it was ended: milliseconds from just before its own
 *                    posix_spawn (0: none), KiB, when that was in ms after the first one's, and
 *                    the ms that its threads have run on a processor
 *   map NAME KIB     for each of its mappings that has private pages
 *   lost WHY         for each other
 */
#include "vmm/base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLONES_MAX 256

extern char **environ;

struct clone {
    pid_t pid;
    uint64_t begun_ns, first_byte_ns;
    int output, report; /* its standard output and standard error */
    unsigned long private_kib, pss_kib;
    double cpu_ms;
};

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench-clones: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void start(struct clone *clone, char **command)
{
    int output[2], report[2];
    if (pipe2(output, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0)
        fail("pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, report[1], STDERR_FILENO);
    *clone =
        (struct clone){.begun_ns = clock_monotonic_ns(), .output = output[0], .report = report[0]};
    errno = posix_spawnp(&clone->pid, command[0], &actions, NULL, command, environ);
    if (errno != 0)
        fail(command[0]);
    posix_spawn_file_actions_destroy(&actions);
    close(output[1]);
    close(report[1]);
}

/* Until every clone has spoken, or nobody has for `rest_ms`. */
static void wait_first_bytes(struct clone *clones, int count, int rest_ms)
{
    struct pollfd fds[CLONES_MAX];
    for (int i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = clones[i].output, .events = POLLIN};
    for (int left = count; left > 0 && poll(fds, (nfds_t)count, rest_ms) > 0;) {
        uint64_t now = clock_monotonic_ns();
        for (int i = 0; i < count; i++) {
            char byte;
            if (fds[i].revents == 0)
                continue;
            if (read(fds[i].fd, &byte, 1) == 1)
                clones[i].first_byte_ns = now;
            fds[i].fd = -1;
            left--;
        }
    }
}

/* "55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0   [heap]" */
static void name_mapping(const char *line, char name[128])
{
    unsigned long long from, to;
    char access[8], path[512] = "";
    int n = sscanf(line, "%llx-%llx %7s %*s %*s %*s %511[^\n]", &from, &to, access, path);
    const char *base = strrchr(path, '/');
    if (n < 3)
        name[0] = '\0';
    else if (path[0])
        (void)snprintf(name, 128, "%.100s,%s", base ? base + 1 : path, access);
    else
        (void)snprintf(name, 128, "anonymous,%s,%lluKiB", access, (to - from) / 1024);
}

static void read_smaps(struct clone *clone)
{
    char path[64], line[1024], name[128] = "";
    unsigned long kib, part = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/smaps", clone->pid);
    FILE *smaps = fopen(path, "r");
    while (smaps && fgets(line, sizeof(line), smaps)) {
        if (sscanf(line, "Private_Clean: %lu", &kib) == 1 ||
            sscanf(line, "Private_Dirty: %lu", &kib) == 1)
            part += kib;
        else if (sscanf(line, "Pss: %lu", &kib) == 1)
            clone->pss_kib += kib;
        else if (strncmp(line, "VmFlags:", 8) == 0) { /* a mapping's last line */
            if (part > 0)
                printf("map %s %lu\n", name, part);
            clone->private_kib += part;
            part = 0;
        } else if (strchr("0123456789abcdef", line[0]))
            name_mapping(line, name);
    }
    if (smaps)
        (void)fclose(smaps);
}

/* Documentation/scheduler/sched-stats.rst: the first number is the time on a processor, in ns. */
static void read_cpu(struct clone *clone)
{
    char path[300];
    (void)snprintf(path, sizeof(path), "/proc/%d/task", clone->pid);
    DIR *threads = opendir(path);
    for (const struct dirent *thread; threads && (thread = readdir(threads));) {
        unsigned long long ns;
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%.255s/schedstat", clone->pid,
                       thread->d_name);
        FILE *file = thread->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (file && fscanf(file, "%llu", &ns) == 1)
            clone->cpu_ms += (double)ns / 1e6;
        if (file)
            (void)fclose(file);
    }
    if (threads)
        closedir(threads);
}

/* Whether the line is of a clone that ran; `exit_ms` stays 0 when its guest made no exit. */
static bool read_report(const char *line, uint64_t begun_ns, double *exit_ms)
{
    json_t *root = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
    json_t *started = json_object_get(root, "started_ns");
    json_t *marks = json_object_get(root, "marks_ms");
    json_t *mark = json_object_get(marks, "first_exit");
    bool ran = json_number_value(json_object_get(marks, "kvm_run")) > 0;
    if (json_is_integer(started) && json_number_value(mark) > 0)
        *exit_ms = (double)((uint64_t)json_integer_value(started) - begun_ns) / 1e6 +
                   json_number_value(mark);
    json_decref(root);
    return ran;
}

static void conclude(struct clone *clone, bool alive, uint64_t first_ns)
{
    char *line = NULL, last[256] = "no output\n";
    size_t capacity = 0;
    double exit_ms = 0;
    bool ran = false;
    FILE *lines = fdopen(clone->report, "r");
    while (lines && getline(&line, &capacity, lines) > 0)
        if (line[0] == '{')
            ran = read_report(line, clone->begun_ns, &exit_ms);
        else
            (void)snprintf(last, sizeof(last), "%s", line);
    (void)fclose(lines);
    free(line);
    waitpid(clone->pid, NULL, 0);
    if (!alive || !ran) {
        printf("lost %s", last);
        return;
    }
    printf("clone %.3f %.3f %lu %lu %.3f %.3f\n",
           clone->first_byte_ns ? (double)(clone->first_byte_ns - clone->begun_ns) / 1e6 : 0.0,
           exit_ms, clone->private_kib, clone->pss_kib, (double)(clone->begun_ns - first_ns) / 1e6,
           clone->cpu_ms);
}

int main(int argc, char **argv)
{
    static struct clone clones[CLONES_MAX];
    static bool alive[CLONES_MAX];
    int count = argc > 3 ? atoi(argv[1]) : 0, rest_ms = argc > 3 ? atoi(argv[2]) : 0;
    if (count < 1 || count > CLONES_MAX || rest_ms < 1) {
        (void)fputs("usage: bench-clones COUNT REST_MS COMMAND...\n", stderr);
        return 2;
    }
    for (int i = 0; i < count; i++)
        start(&clones[i], argv + 3);
    wait_first_bytes(clones, count, rest_ms);
    usleep((useconds_t)rest_ms * 1000);
    for (int i = 0; i < count; i++) {
        read_cpu(&clones[i]);
        read_smaps(&clones[i]);
        siginfo_t ended = {0};
        alive[i] = waitid(P_PID, (id_t)clones[i].pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                   ended.si_pid == 0;
    }
    for (int i = 0; i < count; i++)
        kill(clones[i].pid, SIGQUIT);
    for (int i = 0; i < count; i++)
        conclude(&clones[i], alive[i], clones[0].begun_ns);
    return 0;
}
