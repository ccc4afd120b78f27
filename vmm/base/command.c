/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int command_add(struct command *command, const char *format, ...)
{
    char **argv = reallocarray(command->argv, command->count + 2, sizeof(*argv));
    if (!argv)
        return -ENOMEM;
    command->argv = argv;
    argv[command->count] = NULL;

    va_list args;
    va_start(args, format);
    int n = vasprintf(&argv[command->count], format, args);
    va_end(args);
    if (n < 0) {
        argv[command->count] = NULL; /* left undefined by vasprintf() */
        return -ENOMEM;
    }
    argv[++command->count] = NULL;
    return 0;
}

void command_free(struct command *command)
{
    for (size_t i = 0; i < command->count; i++)
        free(command->argv[i]);
    free(command->argv);
}
