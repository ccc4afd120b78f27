/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/sysctl.h"

#include "guest/init-oci/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>

/* As sysctl(8): the first separator says which of the two separates, the other is then part of a
 * name (net.ipv4.conf.eth0/100.forwarding). */
static int path_of(const char *key, char path[PATH_MAX])
{
    size_t length = strlen(key);
    if (length >= PATH_MAX)
        return -ENAMETOOLONG;
    bool dots = key[strcspn(key, "./")] == '.';
    for (size_t i = 0; i <= length; i++) {
        path[i] = key[i];
        if (dots && key[i] == '.')
            path[i] = '/';
        else if (dots && key[i] == '/')
            path[i] = '.';
    }
    return 0;
}

static int write_one(int directory, const struct spec_setting *setting)
{
    char path[PATH_MAX];
    int rc = path_of(setting->key, path);
    if (rc < 0)
        return rc;
    cleanup_close int fd =
        file_open_within(directory, path, O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (fd < 0)
        return fd;
    return file_write_full(fd, setting->value, strlen(setting->value));
}

int sysctl_apply(const struct spec *spec, int directory, struct failure *failure)
{
    for (size_t i = 0; i < spec->sysctls.count; i++) {
        const struct spec_setting *setting = &spec->sysctls.items[i];
        int rc = write_one(directory, setting);
        if (rc < 0)
            return fail(failure, -rc, "sysctl %s = %s", setting->key, setting->value);
    }
    return 0;
}
