/* SPDX-License-Identifier: Apache-2.0 */
/* format(): text with numbers in it. */
#ifndef JITVM_VM_BUILTINS_FORMAT_H
#define JITVM_VM_BUILTINS_FORMAT_H

#include "guest/jitvm/vm/builtins.h"

/* format(text, values...): %d %x as int, %f %e %g as float, %s as text, %% itself; with flags out
 * of "-0+ ", a width and a precision (not of %d and %x), both at most FORMAT_WIDTH_MAX. VALUE when
 * the text has another directive, or not as many as there are values. */
#define FORMAT_WIDTH_MAX 1000
int builtin_format(BUILTIN_ARGS);

#endif
