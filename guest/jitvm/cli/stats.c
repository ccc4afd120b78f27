/* SPDX-License-Identifier: Apache-2.0 */
/* jitvm stats: runs a program, then says what the VM did. */
#include "guest/jitvm/cli/input.h"
#include "guest/jitvm/cli/machine.h"
#include "guest/jitvm/cli/timing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct stats {
    struct jitvm_config config;
    enum input_kind kind;
    bool json, help;
    const char *file;
    struct cli_args args;
    struct jitvm_chunk *chunk;
};

static const char help[] =
    "Usage: jitvm stats [OPTIONS] FILE [-- ARG...]\n"
    "\n"
    "Runs the program like `jitvm run`, then prints what the VM did: functions compiled, bytes of\n"
    "machine code, times of compiling, entries to compiled code and ways out of it, heap. What\n"
    "the program prints goes to stderr, so that stdout has nothing but the figures.\n"
    "\n"
    "%s"
    "      --json                  one JSON object; times in ns\n"
    "      --as jv|jasm|jvc        what FILE is, if its name does not say; stdin (-) is .jv\n"
    "  -h, --help                  this text\n"
    "\n"
    "Exit status: as of jitvm run; the figures are printed for a program that failed, too.\n"
    "\n"
    "Example:\n"
    "  jitvm stats --json fib.jv | jq .compile_p50_ns\n";

enum { OPT_JSON = MACHINE_OPTION_END, OPT_AS };

static const struct option options[] = {
    MACHINE_OPTIONS,
    {"json", no_argument, NULL, OPT_JSON},
    {"as", required_argument, NULL, OPT_AS},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int take_option(struct stats *stats, int found, char **argv)
{
    switch (found) {
    case OPT_JSON:
        stats->json = true;
        return 0;
    case OPT_AS:
        return input_kind_parse(optarg, &stats->kind)
                   ? 0
                   : cli_usage("stats", "--as %s: jv, jasm or jvc", optarg);
    case 'h':
        stats->help = true;
        return 0;
    case ':':
    case '?':
        return cli_bad_option("stats", found, argv);
    default:
        return machine_option(&stats->config, "stats", found, optarg);
    }
}

static int parse(struct stats *stats, int argc, char **argv)
{
    int found, status = machine_config(&stats->config);
    stats->args = cli_cut_args(&argc, argv);
    while (status == 0 && (found = getopt_long(argc, argv, ":h", options, NULL)) != -1)
        status = take_option(stats, found, argv);
    if (status == 0 && !stats->help)
        stats->file = cli_one_file("stats", argc, argv, &status);
    return status;
}

/* ---- figures -------------------------------------------------------------------------------- */

struct figure {
    const char *name, *text; /* in JSON; in the table */
    uint64_t value;
};

/* How long functions took to compile, the shortest first. */
struct compile_times {
    uint64_t *ns;
    size_t count;
};

static int take_compile_times(const struct jitvm *vm, struct compile_times *out)
{
    out->count = jitvm_compile_times(vm, NULL, 0);
    out->ns = malloc((out->count + 1) * sizeof(*out->ns));
    if (!out->ns)
        return cli_fail(JITVM_ERR_MEMORY, "stats: no memory");
    jitvm_compile_times(vm, out->ns, out->count);
    timing_sort(out->ns, out->count);
    return CLI_OK;
}

static void print_table(const struct figure *figures, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("%-38s %12" PRIu64 "\n", figures[i].text, figures[i].value);
}

static void print_json(const char *program, const struct figure *figures, size_t count,
                       const struct compile_times *times)
{
    printf("{\"program\": ");
    cli_json_string(program);
    for (size_t i = 0; i < count; i++)
        printf(", \"%s\": %" PRIu64, figures[i].name, figures[i].value);
    printf(", \"compile_ns\": [");
    for (size_t i = 0; i < times->count; i++)
        printf("%s%" PRIu64, i ? ", " : "", times->ns[i]);
    puts("]}");
}

static int print_figures(const struct stats *stats, const struct jitvm *vm, uint64_t run_ns)
{
    struct jitvm_stats s;
    struct compile_times times;
    jitvm_stats(vm, &s);
    int status = take_compile_times(vm, &times);
    if (status != 0)
        return status;
    const struct figure figures[] = {
        {"run_ns", "time of the run, ns", run_ns},
        {"functions", "functions", s.functions},
        {"ops", "ops", s.ops},
        {"code_insns", "instructions of the lowered code", s.code_insns},
        {"compiled_linear", "functions compiled, linear", s.compiled_linear},
        {"compiled_block", "functions compiled, block", s.compiled_block},
        {"refused", "functions not compiled, refused", s.refused},
        {"native_bytes", "bytes of machine code", s.native_bytes},
        {"compile_ns_total", "time of compiling, ns", s.compile_ns_total},
        {"compile_p50_ns", "  of one function, median", timing_median(times.ns, times.count)},
        {"compile_ns_max", "  of one function, longest", s.compile_ns_max},
        {"entries", "entries to compiled code", s.entries},
        {"entry_misses", "  refused by the kinds of arguments", s.entry_misses},
        {"exits", "exits to the interpreter", s.exits},
        {"heap_bytes", "heap at the end, bytes", s.heap_bytes},
        {"heap_peak", "heap at most, bytes", s.heap_peak},
    };
    size_t count = sizeof(figures) / sizeof(figures[0]);
    if (stats->json)
        print_json(input_name(stats->file), figures, count, &times);
    else
        print_table(figures, count);
    free(times.ns);
    return cli_flush(CLI_OK);
}

/* ---- running -------------------------------------------------------------------------------- */

static int write_to_stderr(void *context, const void *bytes, size_t len)
{
    (void)context;
    return fwrite(bytes, 1, len, stderr) == len ? 0 : -1;
}

static int run_program(void *context)
{
    struct stats *stats = context;
    const char *name = input_name(stats->file);
    int status = CLI_OK;
    struct jitvm *vm = machine_open(&stats->config, stats->chunk, stats->args, name, &status);
    if (!vm)
        return status;
    jitvm_set_output(vm, write_to_stderr, NULL);
    struct jitvm_error err;
    uint64_t started = timing_now();
    int rc = jitvm_run(vm, NULL, &err);
    uint64_t run_ns = timing_now() - started;
    if (rc < 0)
        status = cli_report(name, &err);
    int printed = print_figures(stats, vm, run_ns);
    machine_close(vm);
    return status ? status : printed;
}

int cli_stats(int argc, char **argv)
{
    struct stats stats = {.kind = INPUT_BY_NAME};
    int status = parse(&stats, argc, argv);
    if (status != 0)
        return status;
    if (stats.help) {
        printf(help, machine_help);
        return cli_flush(CLI_OK);
    }
    status = input_load("stats", stats.file, stats.kind, INPUT_JV, &stats.chunk);
    if (status != 0)
        return status;
    status = machine_thread(stats.config.limits.depth, run_program, &stats);
    jitvm_chunk_unref(stats.chunk);
    return status;
}
