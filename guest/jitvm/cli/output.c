/* SPDX-License-Identifier: Apache-2.0 */
/* Files that appear whole or not at all. */
#include "guest/jitvm/cli/output.h"

#include "guest/jitvm/cli/cli.h"
#include "guest/jitvm/vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* mkstemp makes files that nobody else may read; a new file should be as open() would make it. */
static int open_up(int fd)
{
    mode_t mask = umask(0);
    umask(mask);
    return fchmod(fd, 0666 & ~mask);
}

static int write_temporary(char *path, const void *bytes, size_t len)
{
    int fd = mkstemp(path);
    if (fd < 0)
        return -1;
    int rc = io_write_all(fd, bytes, len);
    if (rc == 0)
        rc = open_up(fd);
    int why = errno;
    if (close(fd) < 0 && rc == 0)
        return -1;
    errno = why;
    return rc;
}

static int write_and_rename(const char *path, const void *bytes, size_t len)
{
    static const char ending[] = ".XXXXXX";
    size_t n = strlen(path);
    char *temporary = malloc(n + sizeof ending);
    if (!temporary)
        return -1;
    memcpy(temporary, path, n);
    memcpy(temporary + n, ending, sizeof ending);
    int rc = write_temporary(temporary, bytes, len);
    if (rc == 0)
        rc = rename(temporary, path);
    int why = errno;
    if (rc < 0)
        unlink(temporary);
    free(temporary);
    errno = why;
    return rc;
}

static int write_in_place(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = io_write_all(fd, bytes, len);
    int why = errno;
    close(fd);
    errno = why;
    return rc;
}

static bool is_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

int output_write(const char *path, const void *bytes, size_t len)
{
    int rc;
    if (strcmp(path, "-") == 0)
        rc = io_write_all(STDOUT_FILENO, bytes, len);
    else if (is_special(path))
        rc = write_in_place(path, bytes, len);
    else
        rc = write_and_rename(path, bytes, len);
    if (rc == 0)
        return CLI_OK;
    return cli_fail(JITVM_ERR_IO, "%s: %s", path, strerror(errno));
}
