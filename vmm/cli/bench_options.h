/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `thaw bench`, and from it that of the runs. */
#ifndef THAW_CLI_BENCH_OPTIONS_H
#define THAW_CLI_BENCH_OPTIONS_H

#include "vmm/cli/bench_report.h"

#include <stdbool.h>

#define BENCH_RUNS_MAX 10000u

struct bench_options {
    enum bench_kind kind;
    const char *name;        /* "boot": as it was given */
    uint64_t count, discard; /* runs that count, and before these, that do not */
    bool json;
    char **words; /* what is handed to `thaw run` or `thaw restore`; owned, the words borrowed */
    size_t word_count;
};

/* `argv` is "bench", its kind, and the rest. Returns 0, 1 after help, or THAW_FAIL_USAGE; in any
 * case bench_options_destroy() may follow. */
int bench_options_parse(struct bench_options *options, int argc, char **argv,
                        struct thaw_error *err);
void bench_options_destroy(struct bench_options *options);

/* The words of one run, ending with NULL; `out` is where a capture goes. The caller frees the array
 * and not the words. NULL: no memory. */
char **bench_child_words(const struct bench_options *options, char *out);

#endif
