/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs share: failing, usage, arguments. */
#include "guest/jitvm/cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>

int cli_status(enum jitvm_status status)
{
    return status == JITVM_OK ? CLI_OK : 63 - (int)status;
}

int cli_usage(const char *verb, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "jitvm: %s: ", verb);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (see jitvm %s --help)\n", verb);
    va_end(args);
    return CLI_USAGE;
}

int cli_fail(enum jitvm_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("jitvm: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return cli_status(status);
}

/* ---- reports -------------------------------------------------------------------------------- */

/* Errors in a text begin with "line L:C: ", which the place before them says already. */
static const char *message_alone(const struct jitvm_error *err)
{
    char place[40];
    int len = snprintf(place, sizeof place, "line %u:%u: ", err->line, err->column);
    bool repeated = err->line && strncmp(err->message, place, (size_t)len) == 0;
    return repeated ? err->message + len : err->message;
}

/* What a program says, or a chunk calls its functions, stays on its line, and does nothing to the
 * terminal. */
static void print_plain(const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < ' ' || c == 127)
            fprintf(stderr, "\\x%02x", c);
        else
            fputc(c, stderr);
    }
}

static void print_place(const char *source, const struct jitvm_error *err)
{
    uint32_t line = err->line;
    if (!line && err->depth)
        line = err->frames[0].line;
    fprintf(stderr, "jitvm: %s:", source);
    if (line)
        fprintf(stderr, "%u:", line);
    if (line && err->column)
        fprintf(stderr, "%u:", err->column);
    fputc(' ', stderr);
}

static void print_backtrace(const char *source, const struct jitvm_error *err)
{
    uint32_t shown = err->depth < JITVM_BACKTRACE_MAX ? err->depth : JITVM_BACKTRACE_MAX;
    for (uint32_t i = 0; i < shown; i++) {
        const struct jitvm_frame *frame = &err->frames[i];
        fputs("  in ", stderr);
        print_plain(frame->function);
        fputs(", ", stderr);
        if (frame->line)
            fprintf(stderr, "%s:%u\n", source, frame->line);
        else
            fprintf(stderr, "op %u\n", frame->ip);
    }
    if (err->depth > shown)
        fprintf(stderr, "  and %u more\n", err->depth - shown);
}

int cli_report(const char *source, const struct jitvm_error *err)
{
    print_place(source, err);
    print_plain(message_alone(err));
    fprintf(stderr, " [%s]\n", jitvm_status_name(err->status));
    print_backtrace(source, err);
    return cli_status(err->status);
}

int cli_flush(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    return cli_fail(JITVM_ERR_IO, "stdout: %s", strerror(errno));
}

/* ---- arguments ------------------------------------------------------------------------------ */

struct cli_args cli_cut_args(int *argc, char **argv)
{
    int all = *argc;
    for (int i = 1; i < all; i++) {
        if (strcmp(argv[i], "--") == 0) {
            *argc = i;
            return (struct cli_args){(unsigned)(all - i - 1), (const char *const *)(argv + i + 1)};
        }
    }
    return (struct cli_args){0, NULL};
}

const char *cli_one_file(const char *verb, int argc, char **argv, int *status)
{
    if (optind == argc - 1)
        return argv[optind];
    *status = optind >= argc ? cli_usage(verb, "no FILE")
                             : cli_usage(verb, "%s: surplus; arguments of the program go after --",
                                         argv[optind + 1]);
    return NULL;
}

int cli_bad_option(const char *verb, int found, char **argv)
{
    const char *option = argv[optind - 1];
    if (found == ':')
        return cli_usage(verb, "%s: needs a value", option);
    return cli_usage(verb, "%s: unknown option, or one that takes no value", option);
}

void cli_json_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < ' ' || c == 127)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}
