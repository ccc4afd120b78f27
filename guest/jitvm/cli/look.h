/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs that only look at a program: disasm and verify take the same arguments. */
#ifndef JITVM_CLI_LOOK_H
#define JITVM_CLI_LOOK_H

#include "guest/jitvm/cli/cli.h"

/* Parses the arguments, prints `help` if it is asked for, otherwise loads the file and gives the
 * chunk to look(), with what errors call the file. Returns the exit status. */
int look_at(const char *verb, const char *help, int argc, char **argv,
            int (*look)(const struct jitvm_chunk *chunk, const char *name));

#endif
