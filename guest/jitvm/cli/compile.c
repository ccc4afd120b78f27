/* SPDX-License-Identifier: Apache-2.0 */
/* jitvm compile, jitvm asm: a .jvc of a program. The two differ in what they take stdin for. */
#include "guest/jitvm/cli/cli.h"
#include "guest/jitvm/cli/input.h"
#include "guest/jitvm/cli/output.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

struct compile {
    const char *verb;
    enum input_kind kind, stdin_kind;
    const char *file;
    const char *output;
    bool help;
};

static const char compile_help[] =
    "Usage: jitvm compile [OPTIONS] FILE\n"
    "\n"
    "Makes a .jvc file of a program: verified, and loaded in a fraction of the time. The same\n"
    "program always gives the same bytes.\n"
    "\n"
    "  -o, --output FILE     where to; default: FILE with .jvc for its end. - is stdout\n"
    "      --as jv|jasm|jvc  what FILE is, if its name does not say; stdin (-) is .jv\n"
    "  -h, --help            this text\n"
    "\n"
    "Example:\n"
    "  jitvm compile -o fib.jvc fib.jv && jitvm run fib.jvc\n";

static const char asm_help[] =
    "Usage: jitvm asm [OPTIONS] FILE\n"
    "\n"
    "Makes a .jvc file of .jasm text, op by op as it is written: nothing is fused.\n"
    "\n"
    "  -o, --output FILE     where to; default: FILE with .jvc for its end. - is stdout\n"
    "      --as jv|jasm|jvc  what FILE is, if its name does not say; stdin (-) is .jasm\n"
    "  -h, --help            this text\n"
    "\n"
    "Example:\n"
    "  jitvm disasm fib.jv >fib.jasm && jitvm asm fib.jasm\n";

static const struct option options[] = {
    {"output", required_argument, NULL, 'o'},
    {"as", required_argument, NULL, 'a'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int take_option(struct compile *compile, int found, char **argv)
{
    switch (found) {
    case 'o':
        compile->output = optarg;
        return 0;
    case 'a':
        return input_kind_parse(optarg, &compile->kind)
                   ? 0
                   : cli_usage(compile->verb, "--as %s: jv, jasm or jvc", optarg);
    case 'h':
        compile->help = true;
        return 0;
    default:
        return cli_bad_option(compile->verb, found, argv);
    }
}

static int parse(struct compile *compile, int argc, char **argv)
{
    int found, status = 0;
    while (status == 0 && (found = getopt_long(argc, argv, ":o:h", options, NULL)) != -1)
        status = take_option(compile, found, argv);
    if (status != 0 || compile->help)
        return status;
    compile->file = cli_one_file(compile->verb, argc, argv, &status);
    if (status == 0 && !compile->output && input_is_stdin(compile->file))
        status = cli_usage(compile->verb, "stdin: say where to with -o");
    return status;
}

/* The file with .jvc in place of .jv or .jasm, or behind it. The caller frees it. */
static char *default_output(const char *file)
{
    size_t len = strlen(file);
    if (len > 3 && strcmp(file + len - 3, ".jv") == 0)
        len -= 3;
    else if (len > 5 && strcmp(file + len - 5, ".jasm") == 0)
        len -= 5;
    char *output = malloc(len + sizeof ".jvc");
    if (!output)
        return NULL;
    memcpy(output, file, len);
    memcpy(output + len, ".jvc", sizeof ".jvc");
    return output;
}

static int write_chunk(const struct compile *compile, const struct jitvm_chunk *chunk)
{
    struct jitvm_error err;
    void *bytes;
    size_t len;
    if (jitvm_chunk_write(chunk, &bytes, &len, &err) < 0)
        return cli_report(input_name(compile->file), &err);
    char *output = compile->output ? strdup(compile->output) : default_output(compile->file);
    int status = output ? output_write(output, bytes, len)
                        : cli_fail(JITVM_ERR_MEMORY, "%s: no memory", compile->file);
    free(output);
    free(bytes);
    return status;
}

static int compile_file(struct compile *compile, const char *help, int argc, char **argv)
{
    int status = parse(compile, argc, argv);
    if (status != 0)
        return status;
    if (compile->help) {
        fputs(help, stdout);
        return cli_flush(CLI_OK);
    }
    struct jitvm_chunk *chunk;
    status = input_load(compile->verb, compile->file, compile->kind, compile->stdin_kind, &chunk);
    if (status != 0)
        return status;
    status = write_chunk(compile, chunk);
    jitvm_chunk_unref(chunk);
    return status;
}

int cli_compile(int argc, char **argv)
{
    struct compile compile = {.verb = "compile", .stdin_kind = INPUT_JV};
    return compile_file(&compile, compile_help, argc, argv);
}

int cli_asm(int argc, char **argv)
{
    struct compile compile = {.verb = "asm", .stdin_kind = INPUT_JASM};
    return compile_file(&compile, asm_help, argc, argv);
}
