/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/staged_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int fail(const struct staged_file *file, int code, struct thaw_error *err)
{
    return thaw_fail_io(err, code, "%s", file->path);
}

int staged_file_open(struct staged_file *file, const char *path, struct thaw_error *err)
{
    *file = (struct staged_file){.fd = -1, .path = path};
    int n = snprintf(file->staged, sizeof(file->staged), "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof(file->staged)) {
        file->staged[0] = '\0';
        return fail(file, ENAMETOOLONG, err);
    }
    file->fd = mkostemp(file->staged, O_CLOEXEC);
    if (file->fd < 0) {
        int code = errno;
        file->staged[0] = '\0';
        return fail(file, code, err);
    }
    return 0;
}

int staged_file_publish(struct staged_file *file, struct thaw_error *err)
{
    /* First the contents: after a crash an empty file must not stand under the name. */
    if (fdatasync(file->fd) < 0 || rename(file->staged, file->path) < 0)
        return fail(file, errno, err);
    file->staged[0] = '\0';
    return 0;
}

void staged_file_discard(struct staged_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->staged[0] != '\0')
        unlink(file->staged);
}
