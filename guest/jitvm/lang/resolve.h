/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each name means. A variable is known from its `let` to the end of its block; a function sees
 * its parameters, its own variables, all named functions and all variables of the file's outermost
 * level, wherever these stand. Functions capture nothing else. A name that is called and is none of
 * these is a builtin.
 */
#ifndef JITVM_LANG_RESOLVE_H
#define JITVM_LANG_RESOLVE_H

#include "guest/jitvm/lang/ast.h"

/* Fills in the names of all nodes, the variables of parameters and lets, and which variables are
 * globals. `main` is the first of the functions. Returns 0, or fails as lang_fail does. */
int resolve_names(struct lang *lang, struct lang_function *main);

#endif
