/* SPDX-License-Identifier: Apache-2.0 */
/* Programs from files: .jv text, .jasm text, .jvc. */
#ifndef JITVM_CLI_INPUT_H
#define JITVM_CLI_INPUT_H

#include "guest/jitvm/jitvm.h"

enum input_kind {
    INPUT_BY_NAME, /* as the end of the name says */
    INPUT_JV,
    INPUT_JASM,
    INPUT_JVC,
};

/* "jv", "jasm", "jvc": true. */
bool input_kind_parse(const char *text, enum input_kind *out);

/* Reads the file ("-": stdin, called "stdin" in errors) and makes a chunk of it, one reference.
 * `kind` BY_NAME: stdin is of `stdin_kind`, a file what its name says, and without that it is
 * refused. Prints why it fails; returns the exit status. */
int input_load(const char *verb, const char *path, enum input_kind kind, enum input_kind stdin_kind,
               struct jitvm_chunk **out);

/* What errors call the file. */
const char *input_name(const char *path);
bool input_is_stdin(const char *path);

#endif
