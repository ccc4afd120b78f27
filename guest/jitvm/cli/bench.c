/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jitvm bench: times a program in each tier. The tiers take turns, so that what else the machine
 * does falls on all of them alike.
 */
#include "guest/jitvm/chunk/chunk.h"
#include "guest/jitvm/cli/input.h"
#include "guest/jitvm/cli/machine.h"
#include "guest/jitvm/cli/timing.h"
#include "guest/jitvm/value/value.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TIERS 3
static const char *const tier_names[TIERS] = {"off", "linear", "block"};

#define RUNS_DEFAULT 9
#define RUNS_MAX     100000

struct bench {
    struct jitvm_config config;
    enum input_kind kind;
    uint64_t runs;
    bool json, help;
    const char *file;
    struct cli_args args;
    struct jitvm_chunk *chunk;
    bool calls_run;  /* there is a function `run`; otherwise the top level is timed */
    uint64_t *times; /* `runs` of each tier */
    struct jitvm *vms[TIERS];
    struct jitvm_value results[TIERS]; /* of the round */
    bool disagree;
};

static const char help[] =
    "Usage: jitvm bench [OPTIONS] FILE [-- ARG...]\n"
    "\n"
    "Times the program in each tier: the interpreter alone (off), with functions of one basic\n"
    "block compiled (linear), with whole functions compiled (block). The tiers take turns.\n"
    "\n"
    "A program with a function `run` is loaded once for each tier, its top level runs once, and\n"
    "then run(ARG...) is timed, called N times in the same VM: the first call has the compiling\n"
    "in it. An ARG that is a number is given as one. Without such a function the top level is\n"
    "timed, in a new VM each time. What the program prints is thrown away; rand() is the same in\n"
    "all tiers, and so must be the results.\n"
    "\n"
    "      --n N                   times in each tier; default 9\n"
    "      --json                  one JSON object; times in ns\n"
    "%s"
    "      --as jv|jasm|jvc        what FILE is, if its name does not say; stdin (-) is .jv\n"
    "  -h, --help                  this text\n"
    "\n"
    "Exit status: as of jitvm run; 1 when the tiers gave different results.\n"
    "\n"
    "Example:\n"
    "  jitvm bench fib.jv -- 27\n";

enum { OPT_N = MACHINE_OPTION_END, OPT_JSON, OPT_AS };

static const struct option options[] = {
    MACHINE_OPTIONS,
    {"n", required_argument, NULL, OPT_N},
    {"json", no_argument, NULL, OPT_JSON},
    {"as", required_argument, NULL, OPT_AS},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int take_option(struct bench *bench, int found, char **argv)
{
    switch (found) {
    case OPT_N:
        return machine_number(optarg, RUNS_MAX, &bench->runs) && bench->runs > 0
                   ? 0
                   : cli_usage("bench", "--n %s: 1 to %d", optarg, RUNS_MAX);
    case OPT_JSON:
        bench->json = true;
        return 0;
    case OPT_AS:
        return input_kind_parse(optarg, &bench->kind)
                   ? 0
                   : cli_usage("bench", "--as %s: jv, jasm or jvc", optarg);
    case MACHINE_JIT:
        return cli_usage("bench", "--jit: all tiers are timed");
    case 'h':
        bench->help = true;
        return 0;
    case ':':
    case '?':
        return cli_bad_option("bench", found, argv);
    default:
        return machine_option(&bench->config, "bench", found, optarg);
    }
}

static int parse(struct bench *bench, int argc, char **argv)
{
    int found, status = machine_config(&bench->config);
    bench->config.seed = 1;
    bench->args = cli_cut_args(&argc, argv);
    while (status == 0 && (found = getopt_long(argc, argv, ":h", options, NULL)) != -1)
        status = take_option(bench, found, argv);
    if (status == 0 && !bench->help)
        bench->file = cli_one_file("bench", argc, argv, &status);
    return status;
}

/* ---- one run -------------------------------------------------------------------------------- */

static int throw_away(void *context, const void *bytes, size_t len)
{
    (void)context;
    (void)bytes;
    (void)len;
    return 0;
}

static int open_tier(struct bench *bench, unsigned tier)
{
    int status = CLI_OK;
    struct jitvm_config config = bench->config;
    config.jit = (enum jitvm_jit)tier;
    bench->vms[tier] =
        machine_open(&config, bench->chunk, bench->args, input_name(bench->file), &status);
    if (bench->vms[tier])
        jitvm_set_output(bench->vms[tier], throw_away, NULL);
    return status;
}

static void close_tier(struct bench *bench, unsigned tier)
{
    if (bench->vms[tier]) {
        jitvm_release(bench->vms[tier], bench->results[tier]);
        machine_close(bench->vms[tier]);
    }
    bench->results[tier] = jitvm_undef();
    bench->vms[tier] = NULL;
}

static int argument(struct jitvm *vm, const char *text, struct jitvm_value *out)
{
    size_t len = strlen(text);
    double f;
    int64_t i;
    if (number_parse_int(text, len, &i))
        *out = jitvm_int(i);
    else if (number_parse_float(text, len, &f))
        *out = jitvm_float(f);
    else
        return jitvm_str(vm, text, len, out);
    return 0;
}

/* run(ARG...). */
static int call_run(struct bench *bench, struct jitvm *vm, struct jitvm_value *result,
                    struct jitvm_error *err)
{
    struct jitvm_value args[OP_ARGS_MAX];
    unsigned made = 0;
    int rc = 0;
    for (; rc == 0 && made < bench->args.count; made++) {
        args[made] = jitvm_undef();
        rc = argument(vm, bench->args.list[made], &args[made]);
    }
    if (rc == 0)
        rc = jitvm_call(vm, "run", args, made, result, err);
    else
        chunk_fail(err, JITVM_ERR_HEAP, "arguments: more heap than allowed");
    while (made > 0)
        jitvm_release(vm, args[--made]);
    return rc;
}

static int time_run(struct bench *bench, unsigned tier, uint64_t *ns)
{
    struct jitvm *vm = bench->vms[tier];
    struct jitvm_error err;
    jitvm_release(vm, bench->results[tier]);
    bench->results[tier] = jitvm_undef();
    jitvm_set_limits(vm, &bench->config.limits);
    machine_watch(vm);
    uint64_t started = timing_now();
    int rc = bench->calls_run ? call_run(bench, vm, &bench->results[tier], &err)
                              : jitvm_run(vm, &bench->results[tier], &err);
    *ns = timing_now() - started;
    return rc < 0 ? cli_report(input_name(bench->file), &err) : CLI_OK;
}

/* The VM with the top level run, for programs with `run`; nothing is timed. */
static int warm_tier(struct bench *bench, unsigned tier)
{
    int status = open_tier(bench, tier);
    struct jitvm_error err;
    if (status == 0 && jitvm_run(bench->vms[tier], NULL, &err) < 0)
        status = cli_report(input_name(bench->file), &err);
    return status;
}

/* ---- all runs ------------------------------------------------------------------------------- */

static void compare_results(struct bench *bench)
{
    for (unsigned tier = 1; tier < TIERS; tier++) {
        if (!value_same(bench->results[0], bench->results[tier]))
            bench->disagree = true;
    }
}

static int run_round(struct bench *bench, uint64_t round)
{
    for (unsigned tier = 0; tier < TIERS; tier++) {
        int status = bench->vms[tier] ? CLI_OK : open_tier(bench, tier);
        if (status == 0)
            status = time_run(bench, tier, &bench->times[tier * bench->runs + round]);
        if (status != 0)
            return status;
    }
    compare_results(bench);
    for (unsigned tier = 0; !bench->calls_run && tier < TIERS; tier++)
        close_tier(bench, tier);
    return CLI_OK;
}

static int run_rounds(struct bench *bench)
{
    int status = CLI_OK;
    for (unsigned tier = 0; bench->calls_run && status == 0 && tier < TIERS; tier++)
        status = warm_tier(bench, tier);
    for (uint64_t round = 0; status == 0 && round < bench->runs; round++)
        status = run_round(bench, round);
    for (unsigned tier = 0; tier < TIERS; tier++)
        close_tier(bench, tier);
    return status;
}

/* ---- the report ----------------------------------------------------------------------------- */

struct tier_times {
    uint64_t median, least, most;
    double speedup; /* over `off` */
};

static struct tier_times times_of(struct bench *bench, unsigned tier, uint64_t median_off)
{
    uint64_t *ns = bench->times + tier * bench->runs;
    timing_sort(ns, bench->runs);
    struct tier_times t = {timing_median(ns, bench->runs), ns[0], ns[bench->runs - 1], 1};
    if (tier > 0 && t.median > 0)
        t.speedup = (double)median_off / (double)t.median;
    return t;
}

static void print_json(const struct bench *bench, const struct tier_times tiers[TIERS])
{
    printf("{\"program\": ");
    cli_json_string(input_name(bench->file));
    printf(", \"runs\": %" PRIu64 ", \"results_agree\": %s, \"tiers\": [", bench->runs,
           bench->disagree ? "false" : "true");
    for (unsigned i = 0; i < TIERS; i++)
        printf("%s{\"tier\": \"%s\", \"median_ns\": %" PRIu64 ", \"min_ns\": %" PRIu64
               ", \"max_ns\": %" PRIu64 ", \"speedup\": %.3f}",
               i ? ", " : "", tier_names[i], tiers[i].median, tiers[i].least, tiers[i].most,
               tiers[i].speedup);
    puts("]}");
}

static void print_table(const struct tier_times tiers[TIERS])
{
    printf("%-8s %14s %14s %14s %10s\n", "tier", "median ms", "min ms", "max ms", "times off");
    for (unsigned i = 0; i < TIERS; i++)
        printf("%-8s %14.3f %14.3f %14.3f %10.2f\n", tier_names[i], (double)tiers[i].median / 1e6,
               (double)tiers[i].least / 1e6, (double)tiers[i].most / 1e6, tiers[i].speedup);
}

static int print_report(struct bench *bench)
{
    struct tier_times tiers[TIERS];
    for (unsigned i = 0; i < TIERS; i++)
        tiers[i] = times_of(bench, i, i ? tiers[0].median : 0);
    if (bench->json)
        print_json(bench, tiers);
    else
        print_table(tiers);
    int status = cli_flush(CLI_OK);
    if (!bench->disagree)
        return status;
    fprintf(stderr, "jitvm: %s: the tiers gave different results\n", input_name(bench->file));
    return CLI_DISAGREE;
}

static int run_program(void *context)
{
    struct bench *bench = context;
    bench->times = calloc(TIERS * bench->runs, sizeof(*bench->times));
    if (!bench->times)
        return cli_fail(JITVM_ERR_MEMORY, "bench: no memory");
    int status = run_rounds(bench);
    if (status == 0)
        status = print_report(bench);
    free(bench->times);
    return status;
}

/* Is there a function `run`, and does it take as many arguments as there are? */
static int find_run(struct bench *bench)
{
    int64_t index = chunk_find_function(bench->chunk, "run");
    bench->calls_run = index >= 0;
    if (index < 0)
        return CLI_OK;
    unsigned arity = bench->chunk->functions[index].arity;
    if (arity == bench->args.count)
        return CLI_OK;
    return cli_usage("bench", "%s: arguments of run: %u, after --: %u", input_name(bench->file),
                     arity, bench->args.count);
}

int cli_bench(int argc, char **argv)
{
    struct bench bench = {.kind = INPUT_BY_NAME, .runs = RUNS_DEFAULT};
    int status = parse(&bench, argc, argv);
    if (status != 0)
        return status;
    if (bench.help) {
        printf(help, machine_help);
        return cli_flush(CLI_OK);
    }
    status = input_load("bench", bench.file, bench.kind, INPUT_JV, &bench.chunk);
    if (status != 0)
        return status;
    status = find_run(&bench);
    if (status == 0)
        status = machine_thread(bench.config.limits.depth, run_program, &bench);
    jitvm_chunk_unref(bench.chunk);
    return status;
}
