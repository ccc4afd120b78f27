/* SPDX-License-Identifier: Apache-2.0 */
/* sort(): an array in order. */
#ifndef JITVM_VM_BUILTINS_SORT_H
#define JITVM_VM_BUILTINS_SORT_H

#include "guest/jitvm/vm/builtins.h"

/* sort(array[, function]): a new array, stable. The function gets two elements and gives a number:
 * below 0 when the first comes first; undef and NaN count as 0. Without it: value_compare_any. */
int builtin_sort(BUILTIN_ARGS);

#endif
