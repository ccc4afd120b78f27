/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw image`: becomes thaw-image, which has the libraries for it. */
#include "vmm/cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define HELPER "thaw-image"

int cli_image(int argc, char **argv)
{
    char path[PATH_MAX];
    char **arguments = calloc((size_t)argc + 1, sizeof(*arguments));
    if (!arguments)
        return THAW_FAIL_INTERNAL;
    /* Its first word tells it in whose name it speaks. */
    arguments[0] = (char *)"thaw";
    for (int i = 1; i < argc; i++)
        arguments[i] = argv[i];

    signal(SIGPIPE, SIG_DFL);
    if (cli_find_installed(HELPER, path, sizeof(path)) == 0)
        execv(path, arguments);
    else
        execvp(HELPER, arguments);

    struct thaw_error err;
    int code = errno;
    if (code == ENOENT)
        thaw_fail_as(&err, THAW_FAIL_IMAGE, ENOENT,
                     HELPER ": not found, neither next to this program nor in PATH");
    else
        thaw_fail(&err, code, HELPER);
    thaw_reclassify(&err, THAW_FAIL_IMAGE);
    free(arguments);
    cli_report(&err);
    return (int)err.failure;
}
