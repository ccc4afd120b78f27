/* SPDX-License-Identifier: Apache-2.0 */
/* The front of thaw-image, with main.c the only part that prints: one function per command. */
#ifndef THAW_IMAGE_VERBS_H
#define THAW_IMAGE_VERBS_H

#include <stdbool.h>

/* How this program was called, for what it prints: by itself, or by `thaw image`. */
struct front {
    const char *program; /* "thaw-image" or "thaw" */
    const char *command; /* "thaw-image" or "thaw image" */
    bool by_thaw;
};

/* Each gets argv from the command's own name on and returns the exit status: 0, or the number of
 * the failure as `thaw` has it (thaw(1)). */
int verb_import(const struct front *front, int argc, char **argv);
int verb_list(const struct front *front, int argc, char **argv);
int verb_inspect(const struct front *front, int argc, char **argv);
int verb_rm(const struct front *front, int argc, char **argv);

#endif
