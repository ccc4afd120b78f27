/* SPDX-License-Identifier: Apache-2.0 */
/* The program `jitvm`: its verbs, and how they fail. docs/jitvm.1 is the manual. */
#ifndef JITVM_CLI_CLI_H
#define JITVM_CLI_CLI_H

#include "guest/jitvm/jitvm.h"

/* Exit statuses; those of errors are cli_status. */
#define CLI_OK       0
#define CLI_DISAGREE 1 /* bench: the tiers gave different results */
#define CLI_USAGE    2

/* Each gets the arguments from the verb on and returns an exit status. */
int cli_run(int argc, char **argv);
int cli_compile(int argc, char **argv);
int cli_asm(int argc, char **argv);
int cli_disasm(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_stats(int argc, char **argv);
int cli_bench(int argc, char **argv);

/* 63 and the positive of the status; 0 for OK. */
int cli_status(enum jitvm_status status);

/* Print one line `jitvm: ...` to stderr and return the exit status. */
int cli_usage(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_fail(enum jitvm_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Of an error about `source`, the name of a program: the line, and the backtrace if there is one.
 */
int cli_report(const char *source, const struct jitvm_error *err);

/* Writes out stdout: IO when that fails, otherwise `status`. */
int cli_flush(int status);

/* The arguments behind the first `--`, which are a program's own, are cut off: *argc is what comes
 * before. Returns how many they are. */
struct cli_args {
    unsigned count;
    const char *const *list;
};
struct cli_args cli_cut_args(int *argc, char **argv);

/* The one file that the rest of the arguments must be, after getopt: NULL when it is not so, and
 * then *status is CLI_USAGE and the reason is printed. */
const char *cli_one_file(const char *verb, int argc, char **argv, int *status);

/* What getopt_long did not understand; optstring must begin with ':'. Prints why. */
int cli_bad_option(const char *verb, int found, char **argv);

/* Text as a JSON string, quotes and all. Bytes above 127 are left as they are. */
void cli_json_string(const char *text);

#endif
