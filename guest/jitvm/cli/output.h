/* SPDX-License-Identifier: Apache-2.0 */
/* Files that appear whole or not at all. */
#ifndef JITVM_CLI_OUTPUT_H
#define JITVM_CLI_OUTPUT_H

#include <stddef.h>

/* Writes the bytes to the file: to a temporary one beside it, which is then renamed. What exists
 * and is no regular file (a pipe, /dev/null) is written to as it is; "-" is stdout. Prints why it
 * fails; returns the exit status. */
int output_write(const char *path, const void *bytes, size_t len);

#endif
