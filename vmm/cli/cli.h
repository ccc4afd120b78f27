/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one file per verb, and what they share. Only here does thaw print or exit. */
#ifndef THAW_CLI_CLI_H
#define THAW_CLI_CLI_H

#include "vmm/base/error.h"

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Status of `run` (and later `restore`, `invoke`) for thaw's own failures; everything else is
 * the workload's. The other verbs exit with the failure's number. */
#define CLI_STATUS_OWN_FAILURE 125

/* A verb gets argv from its own name on and returns the exit status. */
int cli_run(int argc, char **argv);
int cli_restore(int argc, char **argv);
int cli_snapshot(int argc, char **argv);
int cli_image(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_bench(int argc, char **argv);

/* `thaw snapshot record-workingset`: a restore that takes notes. 0, 1 after help, or negative. */
int cli_record(int argc, char **argv, struct thaw_error *err);

/* Prints `thaw: <message> [<name>]` to stderr. */
void cli_report(const struct thaw_error *err);

/* getopt_long() with its complaints turned into THAW_FAIL_USAGE. Returns the option's value, -1
 * at the end, or '?' with `err` filled. */
int cli_next_option(int argc, char **argv, const char *shorts, const struct option *longs,
                    struct thaw_error *err);

/* "128M", "1G", "512K"; a plain number is MiB. Bytes into `*size`. THAW_FAIL_MEMORY. */
int cli_parse_size(const char *option, const char *text, uint64_t *size, struct thaw_error *err);

/* A decimal number in [min, max]. `option` names it in the error. THAW_FAIL_USAGE. */
int cli_parse_number(const char *option, const char *text, uint64_t min, uint64_t max,
                     uint64_t *number, struct thaw_error *err);

/* Seconds with an optional fraction, more than 0, at most a year; nanoseconds into `*ns`. */
int cli_parse_seconds(const char *option, const char *text, uint64_t *ns, struct thaw_error *err);

/* `--env`: adds KEY=VALUE to `env` of at most CLI_ENV_MAX entries; of KEY alone, the variable as it
 * is in thaw's own environment, and nothing if it is not there. THAW_FAIL_USAGE. */
#define CLI_ENV_MAX 256u
int cli_add_variable(const char **env, size_t *count, const char *text, struct thaw_error *err);

/* Takes what comes after "--" off the end: `*args` and `*arg_count`. Before getopt_long(), which
 * moves words across "--". Returns what is left of argc. */
int cli_split_arguments(int argc, char **argv, char ***args, size_t *arg_count);

/* The one word among the options, after getopt_long() has put it behind them, into `*word`; NULL:
 * there is none. `verb` is named for its help. THAW_FAIL_USAGE for a second one. */
int cli_take_word(int argc, char **argv, const char *verb, const char **word,
                  struct thaw_error *err);

/* Opens `--console FILE` for writing. Returns the descriptor; THAW_FAIL_IO. */
int cli_open_console(const char *path, struct thaw_error *err);

/* For a guest with a virtio socket: each connection takes a descriptor, and a shell's soft limit is
 * 1024. Raised to the hard one. */
void cli_allow_many_descriptors(void);

/* Finds a file that is installed with thaw: next to the program, or in ../share/thaw. -ENOENT
 * when it is in neither. */
int cli_find_installed(const char *name, char *path, size_t path_size);

#endif
