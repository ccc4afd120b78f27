/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the language share: compiling a text, and saying what is expected of it. */
#ifndef JITVM_TESTS_LANG_H
#define JITVM_TESTS_LANG_H

#include "guest/jitvm/jitvm.h"

/* The ops of a function ("main": the top level), one text: "GetSlot 0; Int 1; Add". Slots and
 * functions by index, names and constants as they are, jumps by the op's index in the function,
 * places as s0/2 or total/1: slot or global, number of keys. */
void expect_ops(const char *text, const char *function, const char *ops);

/* Does not compile: the place, and the message behind the place. */
void expect_error(const char *text, uint32_t line, uint32_t column, const char *message);

/* Compiles and runs without an error, having printed this: interpreted, and compiled at once. */
void expect_output(const char *text, const char *output);

/* Runs and fails, the innermost frame in this line; likewise. */
void expect_failure(const char *text, enum jitvm_status status, uint32_t line);

#endif
