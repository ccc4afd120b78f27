/* SPDX-License-Identifier: Apache-2.0 */
/* jitvm run: runs the top level of a program. */
#include "guest/jitvm/cli/input.h"
#include "guest/jitvm/cli/machine.h"

#include "guest/jitvm/value/value.h"

struct run {
    struct jitvm_config config;
    enum input_kind kind;
    bool print;
    bool help;
    const char *file;
    struct cli_args args;
    struct jitvm_chunk *chunk;
};

static const char help[] =
    "Usage: jitvm run [OPTIONS] FILE [-- ARG...]\n"
    "\n"
    "Runs the program: what is outside of its functions. ARGs are what args() gives there.\n"
    "\n"
    "%s"
    "      --print                 print the result of the top level, as .jv would write it\n"
    "      --as jv|jasm|jvc        what FILE is, if its name does not say; stdin (-) is .jv\n"
    "  -h, --help                  this text\n"
    "\n"
    "Exit status: 0; 2 wrong usage; 64 and above when it failed, 73 by error(): see jitvm(1).\n"
    "An interrupt (^C) ends the program with its backtrace; a second one at once.\n"
    "\n"
    "Example:\n"
    "  jitvm run --fuel 1000000 --heap 64M fib.jv -- 30\n";

enum { OPT_PRINT = MACHINE_OPTION_END, OPT_AS };

static const struct option options[] = {
    MACHINE_OPTIONS,
    {"print", no_argument, NULL, OPT_PRINT},
    {"as", required_argument, NULL, OPT_AS},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int take_option(struct run *run, int found, char **argv)
{
    switch (found) {
    case OPT_PRINT:
        run->print = true;
        return 0;
    case OPT_AS:
        return input_kind_parse(optarg, &run->kind)
                   ? 0
                   : cli_usage("run", "--as %s: jv, jasm or jvc", optarg);
    case 'h':
        run->help = true;
        return 0;
    case ':':
    case '?':
        return cli_bad_option("run", found, argv);
    default:
        return machine_option(&run->config, "run", found, optarg);
    }
}

static int parse(struct run *run, int argc, char **argv)
{
    int found, status = machine_config(&run->config);
    run->args = cli_cut_args(&argc, argv);
    while (status == 0 && (found = getopt_long(argc, argv, ":h", options, NULL)) != -1)
        status = take_option(run, found, argv);
    if (status == 0 && !run->help)
        run->file = cli_one_file("run", argc, argv, &status);
    return status;
}

static int print_result(const struct run *run, struct jitvm_value result)
{
    if (!run->print)
        return CLI_OK;
    (void)value_print(stdout, result);
    putchar('\n');
    return cli_flush(CLI_OK);
}

static int run_program(void *context)
{
    struct run *run = context;
    int status = CLI_OK;
    const char *name = input_name(run->file);
    struct jitvm *vm = machine_open(&run->config, run->chunk, run->args, name, &status);
    if (!vm)
        return status;
    struct jitvm_error err;
    struct jitvm_value result;
    if (jitvm_run(vm, &result, &err) < 0) {
        status = cli_report(name, &err);
    } else {
        status = print_result(run, result);
        jitvm_release(vm, result);
    }
    machine_close(vm);
    return status;
}

int cli_run(int argc, char **argv)
{
    struct run run = {.kind = INPUT_BY_NAME};
    int status = parse(&run, argc, argv);
    if (status != 0)
        return status;
    if (run.help) {
        printf(help, machine_help);
        return cli_flush(CLI_OK);
    }
    status = input_load("run", run.file, run.kind, INPUT_JV, &run.chunk);
    if (status != 0)
        return status;
    status = machine_thread(run.config.limits.depth, run_program, &run);
    jitvm_chunk_unref(run.chunk);
    return status;
}
