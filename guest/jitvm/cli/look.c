/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs that only look at a program. */
#include "guest/jitvm/cli/look.h"

#include "guest/jitvm/cli/input.h"

#include <getopt.h>

static const struct option options[] = {
    {"as", required_argument, NULL, 'a'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int parse(const char *verb, int argc, char **argv, enum input_kind *kind, bool *help)
{
    int found;
    while ((found = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (found == 'h')
            *help = true;
        else if (found != 'a')
            return cli_bad_option(verb, found, argv);
        else if (!input_kind_parse(optarg, kind))
            return cli_usage(verb, "--as %s: jv, jasm or jvc", optarg);
    }
    return CLI_OK;
}

int look_at(const char *verb, const char *help, int argc, char **argv,
            int (*look)(const struct jitvm_chunk *chunk, const char *name))
{
    enum input_kind kind = INPUT_BY_NAME;
    bool help_wanted = false;
    int status = parse(verb, argc, argv, &kind, &help_wanted);
    if (status != 0)
        return status;
    if (help_wanted) {
        fputs(help, stdout);
        return cli_flush(CLI_OK);
    }
    const char *file = cli_one_file(verb, argc, argv, &status);
    if (!file)
        return status;
    struct jitvm_chunk *chunk;
    status = input_load(verb, file, kind, INPUT_JV, &chunk);
    if (status != 0)
        return status;
    status = look(chunk, input_name(file));
    jitvm_chunk_unref(chunk);
    return status;
}
