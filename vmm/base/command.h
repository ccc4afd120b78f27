/* SPDX-License-Identifier: Apache-2.0 */
/* A command line that is put together word by word, for posix_spawn and its like. */
#ifndef THAW_BASE_COMMAND_H
#define THAW_BASE_COMMAND_H

#include <stddef.h>

struct command {
    char **argv; /* NULL-terminated once a word is there; owned */
    size_t count;
};

/* Appends a formatted word to a command that was zeroed at first. 0 or -ENOMEM. */
__attribute__((format(printf, 2, 3))) int command_add(struct command *command, const char *format,
                                                      ...);

/* For cleanup(). */
void command_free(struct command *command);

#endif
