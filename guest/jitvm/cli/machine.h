/* SPDX-License-Identifier: Apache-2.0 */
/* The VM that a verb runs a program in: its options, its thread, its interruption. */
#ifndef JITVM_CLI_MACHINE_H
#define JITVM_CLI_MACHINE_H

#include <getopt.h>

#include "guest/jitvm/cli/cli.h"

/* Options that all verbs share that run something: for the table of getopt_long. */
enum machine_option {
    MACHINE_JIT = 256,
    MACHINE_FUEL,
    MACHINE_HEAP,
    MACHINE_DEPTH,
    MACHINE_DUMP,
    MACHINE_PERF_MAP,
    MACHINE_GDB,
    MACHINE_SEED,
    MACHINE_OPTION_END
};
#define MACHINE_OPTIONS                                                                            \
    {"jit", required_argument, NULL, MACHINE_JIT},                                                 \
        {"fuel", required_argument, NULL, MACHINE_FUEL},                                           \
        {"heap", required_argument, NULL, MACHINE_HEAP},                                           \
        {"depth", required_argument, NULL, MACHINE_DEPTH},                                         \
        {"dump", required_argument, NULL, MACHINE_DUMP},                                           \
        {"perf-map", no_argument, NULL, MACHINE_PERF_MAP},                                         \
        {"gdb", no_argument, NULL, MACHINE_GDB},                                                   \
    {                                                                                              \
        "seed", required_argument, NULL, MACHINE_SEED                                              \
    }
extern const char machine_help[];

/* The defaults and the environment's. Prints why it fails; returns the exit status. */
int machine_config(struct jitvm_config *config);

/* One of MACHINE_OPTIONS. 0, or CLI_USAGE with the reason printed. */
int machine_option(struct jitvm_config *config, const char *verb, int option, const char *value);

/* A whole number of at most `max`, nothing around it. */
bool machine_number(const char *text, uint64_t max, uint64_t *out);

/* Runs body(context) in a thread whose stack is enough for `depth` nested calls; returns what that
 * does. In it, SIGINT interrupts the VM that is watched, once; a second one ends the program. */
int machine_thread(uint32_t depth, int (*body)(void *context), void *context);

/* A VM with the chunk loaded and the arguments set, watched; NULL: *status, and why is printed.
 * It is ended with machine_close. `source` is what errors call the program. */
struct jitvm *machine_open(const struct jitvm_config *config, struct jitvm_chunk *chunk,
                           struct cli_args args, const char *source, int *status);
void machine_close(struct jitvm *vm);

/* Makes it the VM that SIGINT interrupts, of those that are open. */
void machine_watch(struct jitvm *vm);

#endif
