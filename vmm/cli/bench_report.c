/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/bench_report.h"

#include "vmm/base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define FIGURE_MAX 1e15 /* no honest time or count is larger, and sums of these stay finite */

static const char report_begin[] = "{\"status\":";
static const char complaint_begin[] = "thaw: ";

static void cleanup_json_fn(json_t **json)
{
    json_decref(*json);
}
#define cleanup_json cleanup(cleanup_json_fn)

/* Where a figure is in the report: the keys on the way to it. */
static const struct {
    enum bench_figure figure;
    const char *object, *inner, *key;
} places[] = {
    {BENCH_KVM_RUN, "marks_ms", NULL, "kvm_run"},
    {BENCH_FIRST_EXIT, "marks_ms", NULL, "first_exit"},
    {BENCH_HELLO, "marks_ms", NULL, "hello"},
    {BENCH_PRE_EXEC, "marks_ms", NULL, "workload_pre_exec"},
    {BENCH_EXEC, "marks_ms", NULL, "workload_exec"},
    {BENCH_FIRST_BYTE, "marks_ms", NULL, "first_byte"},
    {BENCH_EXIT, "marks_ms", NULL, "workload_exit"},
    {BENCH_LOAD_OPEN, "restore", "load_phases_ms", "open"},
    {BENCH_LOAD_MAP, "restore", "load_phases_ms", "map"},
    {BENCH_LOAD_VM, "restore", "load_phases_ms", "vm"},
    {BENCH_LOAD_MEMORY, "restore", "load_phases_ms", "memory"},
    {BENCH_LOAD_STATE, "restore", "load_phases_ms", "state"},
    {BENCH_LOAD_DEVICES, "restore", "load_phases_ms", "devices"},
    {BENCH_LOAD_MAILBOX, "restore", "load_phases_ms", "mailbox"},
    {BENCH_VCPU_MINOR_FAULTS, "restore", NULL, "minor_faults"},
    {BENCH_VCPU_MAJOR_FAULTS, "restore", NULL, "major_faults"},
    {BENCH_VCPU_KERNEL, "restore", NULL, "kernel_ms"},
    {BENCH_EXITS_TO_EXEC, "restore", NULL, "exits_to_exec"},
    {BENCH_GUEST_INIT, "restore", NULL, "init_ms"},
    {BENCH_TRIGGER, "snapshot", NULL, "trigger_ms"},
    {BENCH_QUIESCE, "snapshot", NULL, "quiesce_ms"},
    {BENCH_COPY, "snapshot", NULL, "capture_ms"}, /* and the pause, until derive() */
    {BENCH_PAUSE, "snapshot", NULL, "pause_ms"},
    {BENCH_WRITE, "snapshot", NULL, "write_ms"},
    {BENCH_PAUSES, "snapshot", NULL, "pauses"},
    {BENCH_MEMORY_BYTES, "snapshot", NULL, "memory_bytes"},
    {BENCH_DATA_BYTES, "snapshot", NULL, "data_bytes"},
    {BENCH_EXITS_IO, "exits", NULL, "io"},
    {BENCH_EXITS_MMIO, "exits", NULL, "mmio"},
    {BENCH_EXITS_OTHER, "exits", NULL, "other"},
    {BENCH_EXITS_INTERRUPTED, "exits", NULL, "interrupted"},
};

/* ---- the text ------------------------------------------------------------------------------ */

/* The last place of `what`; NULL: none. */
static const char *find_last(const char *text, size_t size, const char *what)
{
    size_t length = strlen(what);
    for (size_t at = size < length ? 0 : size - length + 1; at > 0; at--)
        if (memcmp(text + at - 1, what, length) == 0)
            return text + at - 1;
    return NULL;
}

static size_t line_length(const char *line, const char *end)
{
    const char *newline = memchr(line, '\n', (size_t)(end - line));
    return (size_t)((newline ? newline : end) - line);
}

/* The report is the last thing that the process says. It need not be a line of its own: a
 * workload's last line may lack its end. Within the object its quotes would be escaped, so what is
 * found is its beginning. */
static json_t *find_report(const struct bench_outcome *outcome)
{
    const char *at = find_last(outcome->text, outcome->text_size, report_begin);
    if (!at)
        return NULL;
    size_t length = line_length(at, outcome->text + outcome->text_size);
    json_t *report = json_loadb(at, length, 0, NULL);
    return report;
}

/* ---- figures ------------------------------------------------------------------------------- */

static double number_of(const json_t *value)
{
    double number = json_is_number(value) ? json_number_value(value) : NAN;
    return number >= 0 && number <= FIGURE_MAX ? number : NAN;
}

static void read_places(const json_t *report, double *figure)
{
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const json_t *object = json_object_get(report, places[i].object);
        if (places[i].inner)
            object = json_object_get(object, places[i].inner);
        figure[places[i].figure] = number_of(json_object_get(object, places[i].key));
    }
}

/* The report's moments are counted from its own main. */
static void move_moments(const json_t *report, uint64_t spawn_ns, double *figure)
{
    const json_t *started = json_object_get(report, "started_ns");
    json_int_t at = json_is_integer(started) ? json_integer_value(started) : -1;
    figure[BENCH_MAIN] =
        at >= 0 && (uint64_t)at >= spawn_ns ? (double)((uint64_t)at - spawn_ns) / 1e6 : NAN;
    for (int i = BENCH_KVM_RUN; i <= BENCH_EXIT; i++)
        figure[i] += figure[BENCH_MAIN];
}

static void derive(double *figure)
{
    double rest = figure[BENCH_KVM_RUN] - figure[BENCH_MAIN];
    for (int i = BENCH_LOAD_OPEN; i <= BENCH_LOAD_MAILBOX; i++)
        rest -= figure[i];
    figure[BENCH_LOAD_REST] = rest >= 0 ? rest : NAN;
    double capture = figure[BENCH_COPY];
    figure[BENCH_COPY] -= figure[BENCH_PAUSE];
    figure[BENCH_PUBLISHED] = figure[BENCH_KVM_RUN];
    for (int i = BENCH_TRIGGER; i <= BENCH_WRITE; i++)
        figure[BENCH_PUBLISHED] += figure[i];
    if (capture > 0)
        figure[BENCH_DATA_RATE] = figure[BENCH_DATA_BYTES] / capture / 1e3;
    /* Nobody has seen the workload being let go. */
    if (figure[BENCH_EXITS_TO_EXEC] == 0)
        figure[BENCH_EXITS_TO_EXEC] = NAN;
    if (figure[BENCH_GUEST_INIT] == 0)
        figure[BENCH_GUEST_INIT] = NAN;
}

static double timeval_ms(struct timeval t)
{
    return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

static void add_outcome(const struct bench_outcome *o, double *figure)
{
    if (o->first_byte_ns)
        figure[BENCH_FIRST_BYTE_READ] = (double)(o->first_byte_ns - o->spawn_ns) / 1e6;
    figure[BENCH_END] = (double)(o->end_ns - o->spawn_ns) / 1e6;
    figure[BENCH_MINOR_FAULTS] = (double)o->usage.ru_minflt;
    figure[BENCH_MAJOR_FAULTS] = (double)o->usage.ru_majflt;
    figure[BENCH_USER] = timeval_ms(o->usage.ru_utime);
    figure[BENCH_SYSTEM] = timeval_ms(o->usage.ru_stime);
    figure[BENCH_MAX_RSS] = (double)o->usage.ru_maxrss * 1024;
}

/* ---- failures ------------------------------------------------------------------------------ */

/* A guest's or a file's words on one line, with nothing that a terminal would act on. */
static const char *one_line(const char *text, size_t size, char *line, size_t capacity)
{
    size_t n = size < capacity - 1 ? size : capacity - 1;
    for (size_t i = 0; i < n; i++)
        line[i] = (char)(isprint((unsigned char)text[i]) ? text[i] : '?');
    line[n] = '\0';
    return line;
}

static int no_report(const struct bench_outcome *o, struct thaw_error *err)
{
    char line[256];
    const char *said = find_last(o->text, o->text_size, complaint_begin);
    if (said)
        return thaw_fail_as(
            err, THAW_FAIL_INTERNAL, EPROTO, "exit status %d: %s", WEXITSTATUS(o->wait_status),
            one_line(said, line_length(said, o->text + o->text_size), line, sizeof(line)));
    if (WEXITSTATUS(o->wait_status) == 0) /* --help and the like */
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "exit status 0, and no guest ran");
    return thaw_fail_as(err, THAW_FAIL_INTERNAL, EPROTO, "exit status %d, and no report",
                        WEXITSTATUS(o->wait_status));
}

static int own_failure(const json_t *report, int status, struct thaw_error *err)
{
    char line[256];
    const char *message = json_string_value(json_object_get(report, "message"));
    json_int_t code = json_integer_value(json_object_get(report, "code"));
    bool known = code > THAW_FAIL_NONE && code <= THAW_FAIL_QUIESCE;
    if (!message)
        message = "no message";
    return thaw_fail_as(err, known ? (enum thaw_failure)code : THAW_FAIL_INTERNAL, ECHILD,
                        "exit status %d: %s", status,
                        one_line(message, strlen(message), line, sizeof(line)));
}

static int check_report(enum bench_kind kind, const json_t *report, const struct bench_run *run,
                        struct thaw_error *err)
{
    const json_t *error = json_object_get(report, "error");
    if (error && !json_is_null(error))
        return own_failure(report, run->status, err);
    if (isnan(run->figure[BENCH_KVM_RUN]))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "exit status %d, and no guest ran",
                            run->status);
    if (kind == BENCH_CAPTURE && isnan(run->figure[BENCH_PAUSE]))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "exit status %d, and no snapshot",
                            run->status);
    return 0;
}

int bench_report_read(enum bench_kind kind, const struct bench_outcome *outcome,
                      struct bench_run *run, struct thaw_error *err)
{
    for (int i = 0; i < BENCH_FIGURES; i++)
        run->figure[i] = NAN;
    if (!WIFEXITED(outcome->wait_status))
        return thaw_fail_as(err, THAW_FAIL_INTERNAL, ECHILD, "killed by signal %d",
                            WTERMSIG(outcome->wait_status));
    run->status = WEXITSTATUS(outcome->wait_status);
    cleanup_json json_t *report = find_report(outcome);
    if (!report)
        return no_report(outcome, err);
    read_places(report, run->figure);
    move_moments(report, outcome->spawn_ns, run->figure);
    derive(run->figure);
    add_outcome(outcome, run->figure);
    return check_report(kind, report, run, err);
}
