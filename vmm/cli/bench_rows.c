/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/bench_rows.h"

#include "vmm/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define ALONE (-1) /* the figure itself, no difference */

struct rule {
    struct bench_row row;
    int to, from; /* enum bench_figure */
};

static const char moments[] = "after the spawn";
static const char phases[] = "phase by phase";
static const char load[] = "inside the load";
static const char snapshot[] = "the snapshot";
static const char faults[] = "faults of the virtual CPUs";
static const char exits[] = "VM exits";
static const char process[] = "the process";

static const struct rule boot_rules[] = {
    {{moments, "kvm_run", "KVM_RUN", "ms"}, BENCH_KVM_RUN, ALONE},
    {{moments, "first_instruction", "first VM exit", "ms"}, BENCH_FIRST_EXIT, ALONE},
    {{moments, "hello", "init says hello", "ms"}, BENCH_HELLO, ALONE},
    {{moments, "pre_exec", "workload ready", "ms"}, BENCH_PRE_EXEC, ALONE},
    {{moments, "exec", "workload's exec", "ms"}, BENCH_EXEC, ALONE},
    {{moments, "first_byte", "first byte written", "ms"}, BENCH_FIRST_BYTE, ALONE},
    {{moments, "first_byte_read", "first byte read", "ms"}, BENCH_FIRST_BYTE_READ, ALONE},
    {{moments, "exit", "workload's exit", "ms"}, BENCH_EXIT, ALONE},
    {{moments, "total", "end of the process", "ms"}, BENCH_END, ALONE},
    {{phases, "phase_spawn", "spawn to main", "ms"}, BENCH_MAIN, ALONE},
    {{phases, "phase_setup", "main to KVM_RUN", "ms"}, BENCH_KVM_RUN, BENCH_MAIN},
    {{phases, "phase_kernel", "kernel, to hello", "ms"}, BENCH_HELLO, BENCH_KVM_RUN},
    {{phases, "phase_init", "init, to ready", "ms"}, BENCH_PRE_EXEC, BENCH_HELLO},
    {{phases, "phase_exec", "ready to exec", "ms"}, BENCH_EXEC, BENCH_PRE_EXEC},
    {{phases, "phase_output", "exec to first byte", "ms"}, BENCH_FIRST_BYTE, BENCH_EXEC},
    {{phases, "phase_workload", "exec to exit", "ms"}, BENCH_EXIT, BENCH_EXEC},
    {{phases, "phase_end", "exit to process's end", "ms"}, BENCH_END, BENCH_EXIT},
};

static const struct rule restore_rules[] = {
    {{moments, "load", "load, to KVM_RUN", "ms"}, BENCH_KVM_RUN, ALONE},
    {{moments, "first_instruction", "first VM exit", "ms"}, BENCH_FIRST_EXIT, ALONE},
    {{moments, "first_byte", "first byte written", "ms"}, BENCH_FIRST_BYTE, ALONE},
    {{moments, "first_byte_read", "first byte read", "ms"}, BENCH_FIRST_BYTE_READ, ALONE},
    {{moments, "exit", "workload's exit", "ms"}, BENCH_EXIT, ALONE},
    {{moments, "total", "end of the process", "ms"}, BENCH_END, ALONE},
    {{faults, "fault_minor", "minor", ""}, BENCH_VCPU_MINOR_FAULTS, ALONE},
    {{faults, "fault_major", "major", ""}, BENCH_VCPU_MAJOR_FAULTS, ALONE},
    {{faults, "fault_kernel", "time in the kernel", "ms"}, BENCH_VCPU_KERNEL, ALONE},
    {{load, "load_spawn", "spawn to main", "ms"}, BENCH_MAIN, ALONE},
    {{load, "load_open", "open and check files", "ms"}, BENCH_LOAD_OPEN, ALONE},
    {{load, "load_map", "map memory", "ms"}, BENCH_LOAD_MAP, ALONE},
    {{load, "load_vm", "make the VM", "ms"}, BENCH_LOAD_VM, ALONE},
    {{load, "load_memory", "wait for reads", "ms"}, BENCH_LOAD_MEMORY, ALONE},
    {{load, "load_state", "CPUs' state", "ms"}, BENCH_LOAD_STATE, ALONE},
    {{load, "load_devices", "devices' state", "ms"}, BENCH_LOAD_DEVICES, ALONE},
    {{load, "load_mailbox", "mailbox", "ms"}, BENCH_LOAD_MAILBOX, ALONE},
    {{load, "load_rest", "options, threads", "ms"}, BENCH_LOAD_REST, ALONE},
    {{phases, "phase_resume", "KVM_RUN to first exit", "ms"}, BENCH_FIRST_EXIT, BENCH_KVM_RUN},
    {{phases, "phase_init", "init, to exec", "ms"}, BENCH_GUEST_INIT, ALONE},
    {{phases, "phase_output", "KVM_RUN to first byte", "ms"}, BENCH_FIRST_BYTE, BENCH_KVM_RUN},
    {{phases, "phase_end", "exit to process's end", "ms"}, BENCH_END, BENCH_EXIT},
    {{exits, "exits_to_exec", "all, up to exec", ""}, BENCH_EXITS_TO_EXEC, ALONE},
};

static const struct rule capture_rules[] = {
    {{moments, "boot", "KVM_RUN", "ms"}, BENCH_KVM_RUN, ALONE},
    {{moments, "hello", "init says hello", "ms"}, BENCH_HELLO, ALONE},
    {{moments, "pre_exec", "workload ready", "ms"}, BENCH_PRE_EXEC, ALONE},
    {{moments, "published", "snapshot in its place", "ms"}, BENCH_PUBLISHED, ALONE},
    {{moments, "total", "end of the process", "ms"}, BENCH_END, ALONE},
    {{phases, "phase_spawn", "spawn to main", "ms"}, BENCH_MAIN, ALONE},
    {{phases, "phase_setup", "main to KVM_RUN", "ms"}, BENCH_KVM_RUN, BENCH_MAIN},
    {{phases, "phase_trigger", "KVM_RUN to trigger", "ms"}, BENCH_TRIGGER, ALONE},
    {{phases, "phase_quiesce", "quiesce", "ms"}, BENCH_QUIESCE, ALONE},
    {{phases, "phase_copy", "copy beside the guest", "ms"}, BENCH_COPY, ALONE},
    {{phases, "phase_pause", "pause", "ms"}, BENCH_PAUSE, ALONE},
    {{phases, "phase_write", "write the rest", "ms"}, BENCH_WRITE, ALONE},
    {{phases, "phase_end", "to the process's end", "ms"}, BENCH_END, BENCH_PUBLISHED},
    {{snapshot, "pauses", "looks at the guest", ""}, BENCH_PAUSES, ALONE},
    {{snapshot, "memory_bytes", "memory", "bytes"}, BENCH_MEMORY_BYTES, ALONE},
    {{snapshot, "data_bytes", "that is not zeros", "bytes"}, BENCH_DATA_BYTES, ALONE},
    {{snapshot, "data_rate", "written, in all", "MB/s"}, BENCH_DATA_RATE, ALONE},
};

static const struct rule common_rules[] = {
    {{exits, "exits_io", "port", ""}, BENCH_EXITS_IO, ALONE},
    {{exits, "exits_mmio", "MMIO", ""}, BENCH_EXITS_MMIO, ALONE},
    {{exits, "exits_other", "other", ""}, BENCH_EXITS_OTHER, ALONE},
    {{exits, "exits_interrupted", "interrupted", ""}, BENCH_EXITS_INTERRUPTED, ALONE},
    {{process, "minor_faults", "minor page faults", ""}, BENCH_MINOR_FAULTS, ALONE},
    {{process, "major_faults", "major page faults", ""}, BENCH_MAJOR_FAULTS, ALONE},
    {{process, "cpu_user", "CPU time, user", "ms"}, BENCH_USER, ALONE},
    {{process, "cpu_system", "CPU time, system", "ms"}, BENCH_SYSTEM, ALONE},
    {{process, "max_rss", "most resident memory", "bytes"}, BENCH_MAX_RSS, ALONE},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const struct rule *rules;
    size_t count;
} rules_of[] = {
    [BENCH_BOOT] = {boot_rules, COUNT(boot_rules)},
    [BENCH_RESTORE] = {restore_rules, COUNT(restore_rules)},
    [BENCH_CAPTURE] = {capture_rules, COUNT(capture_rules)},
};

/* ---- percentiles --------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double nearest_rank(const double *sorted, size_t n, size_t percent)
{
    return sorted[(n * percent + 99) / 100 - 1];
}

struct bench_summary bench_summarize(double *samples, size_t n)
{
    if (n == 0)
        return (struct bench_summary){0};
    qsort(samples, n, sizeof(*samples), compare);
    return (struct bench_summary){
        .n = n,
        .min = samples[0],
        .p50 = nearest_rank(samples, n, 50),
        .p95 = nearest_rank(samples, n, 95),
        .p99 = nearest_rank(samples, n, 99),
        .max = samples[n - 1],
    };
}

/* ---- rows ---------------------------------------------------------------------------------- */

static double sample_of(const struct rule *rule, const struct bench_run *run)
{
    double value = run->figure[rule->to];
    return rule->from == ALONE ? value : value - run->figure[rule->from];
}

static void visit_rule(const struct rule *rule, const struct bench_run *runs, size_t count,
                       double *samples, bench_row_fn *visit, void *ctx)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        double value = sample_of(rule, &runs[i]);
        if (value >= 0) /* not of NAN */
            samples[n++] = value;
    }
    visit(ctx, &rule->row, samples, n);
}

int bench_rows_each(enum bench_kind kind, const struct bench_run *runs, size_t count,
                    bench_row_fn *visit, void *ctx)
{
    cleanup_free double *samples = calloc(count + 1, sizeof(*samples));
    if (!samples)
        return -ENOMEM;
    for (size_t i = 0; i < rules_of[kind].count; i++)
        visit_rule(&rules_of[kind].rules[i], runs, count, samples, visit, ctx);
    for (size_t i = 0; i < COUNT(common_rules); i++)
        visit_rule(&common_rules[i], runs, count, samples, visit, ctx);
    return 0;
}

/* The caller frees. NULL: no memory. */
static double *copy_of(const double *samples, size_t n)
{
    double *copy = calloc(n + 1, sizeof(*copy));
    if (copy && n > 0)
        memcpy(copy, samples, n * sizeof(*copy));
    return copy;
}

/* ---- the table ----------------------------------------------------------------------------- */

struct table {
    FILE *out;
    const char *section;
    bool no_memory;
};

static void print_value(FILE *out, double value, const char *unit)
{
    if (strcmp(unit, "ms") == 0)
        (void)fprintf(out, " %9.*f", value < 10000 ? 3 : 0, value);
    else if (strcmp(unit, "bytes") == 0)
        (void)fprintf(out, " %9.2f", value / (1 << 20));
    else
        (void)fprintf(out, " %9.0f", value);
}

static void print_row(void *ctx, const struct bench_row *row, const double *samples, size_t n)
{
    struct table *table = ctx;
    cleanup_free double *copy = copy_of(samples, n);
    table->no_memory |= !copy;
    if (!copy || n == 0)
        return;
    if (row->section != table->section)
        (void)fprintf(table->out, "\n%s\n", row->section);
    table->section = row->section;
    struct bench_summary s = bench_summarize(copy, n);
    const double values[] = {s.min, s.p50, s.p95, s.p99, s.max};
    (void)fprintf(table->out, "  %-22s %4s %5zu", row->name,
                  strcmp(row->unit, "bytes") == 0 ? "MiB" : row->unit, n);
    for (size_t i = 0; i < COUNT(values); i++)
        print_value(table->out, values[i], row->unit);
    (void)fputc('\n', table->out);
}

struct names {
    FILE *out;
    unsigned count;
};

static void print_missing(void *ctx, const struct bench_row *row, const double *samples, size_t n)
{
    struct names *names = ctx;
    (void)samples;
    if (n > 0 || (row->section != moments && row->section != snapshot))
        return;
    (void)fprintf(names->out, "%s%s", names->count++ ? ", " : "\nnever seen: ", row->name);
}

int bench_rows_print(FILE *out, enum bench_kind kind, const struct bench_run *runs, size_t count)
{
    struct table table = {.out = out};
    struct names names = {.out = out};
    (void)fprintf(out, "  %-22s %4s %5s %9s %9s %9s %9s %9s\n", "", "", "n", "min", "p50", "p95",
                  "p99", "max");
    int rc = bench_rows_each(kind, runs, count, print_row, &table);
    if (rc == 0)
        rc = bench_rows_each(kind, runs, count, print_missing, &names);
    if (names.count)
        (void)fputc('\n', out);
    return rc < 0 || table.no_memory ? -ENOMEM : 0;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

struct lists {
    json_t *rows, *exits, *missing;
    bool no_memory;
};

static json_t *value_json(double value, const char *unit)
{
    bool whole = unit[0] == '\0' || strcmp(unit, "bytes") == 0;
    return whole ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *samples_json(const double *samples, size_t n, const char *unit)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, value_json(samples[i], unit));
    return list;
}

static void add_row(void *ctx, const struct bench_row *row, const double *samples, size_t n)
{
    struct lists *lists = ctx;
    if (n == 0) {
        json_array_append_new(lists->missing, json_string(row->id));
        return;
    }
    cleanup_free double *copy = copy_of(samples, n);
    lists->no_memory |= !copy;
    if (!copy)
        return;
    struct bench_summary s = bench_summarize(copy, n);
    const char *unit = row->unit;
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "section",
                  row->section, "id", row->id, "name", row->name, "unit", unit, "n", (json_int_t)n,
                  "min", value_json(s.min, unit), "p50", value_json(s.p50, unit), "p95",
                  value_json(s.p95, unit), "p99", value_json(s.p99, unit), "max",
                  value_json(s.max, unit), "samples", samples_json(samples, n, unit));
    json_array_append_new(lists->rows, object);
    if (row->section == exits)
        json_object_set_new(lists->exits, row->id + strlen("exits_"), value_json(s.p50, unit));
}

int bench_rows_json(json_t *root, enum bench_kind kind, const struct bench_run *runs, size_t count)
{
    struct lists lists = {.rows = json_array(), .exits = json_object(), .missing = json_array()};
    int rc = bench_rows_each(kind, runs, count, add_row, &lists);
    int failed = json_object_set_new(root, "rows", lists.rows) |
                 json_object_set_new(root, "exits", lists.exits) |
                 json_object_set_new(root, "missing", lists.missing);
    return rc < 0 || failed || lists.no_memory ? -ENOMEM : 0;
}
