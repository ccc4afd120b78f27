/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/image_store.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

int image_name_check(const char *name, struct thaw_error *err)
{
    static const char further[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t length = strlen(name);
    if (length > 0 && length <= IMAGE_NAME_MAX && is_plain(name[0]) &&
        strspn(name, further) == length)
        return 0;
    return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                        "%.80s: not a name for an image: 1 to %d of a-z, 0-9, '.', '_' and '-', "
                        "the first a letter or digit",
                        name, IMAGE_NAME_MAX);
}

static const char *absolute(const char *variable)
{
    const char *value = getenv(variable);
    return value && value[0] == '/' ? value : NULL;
}

int image_store_directory(char *path, size_t path_size, struct thaw_error *err)
{
    const char *own = getenv("THAW_IMAGES"), *data = absolute("XDG_DATA_HOME");
    const char *home = absolute("HOME");
    int n;
    if (own && own[0] != '\0')
        n = snprintf(path, path_size, "%s", own);
    else if (data)
        n = snprintf(path, path_size, "%s/thaw/images", data);
    else if (home)
        n = snprintf(path, path_size, "%s/.local/share/thaw/images", home);
    else
        return thaw_fail_as(err, THAW_FAIL_IO, ENOENT,
                            "image store: none of THAW_IMAGES, XDG_DATA_HOME and HOME is set");
    if (n < 0 || (size_t)n >= path_size)
        return thaw_fail_as(err, THAW_FAIL_IO, ENAMETOOLONG, "image store: the path is too long");
    return 0;
}

int image_store_find(const char *name, char *path, size_t path_size, struct thaw_error *err)
{
    char store[PATH_MAX];
    int rc = image_name_check(name, err);
    if (rc == 0)
        rc = image_store_directory(store, sizeof(store), err);
    if (rc < 0)
        return rc;
    int n = snprintf(path, path_size, "%s/%s", store, name);
    if (n < 0 || (size_t)n >= path_size)
        return thaw_fail_as(err, THAW_FAIL_IO, ENAMETOOLONG, "image store: the path is too long");
    if (access(path, F_OK) == 0)
        return 0;
    if (errno == ENOENT)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOENT,
                            "%s: no such image in %s (see thaw image list)", name, store);
    return thaw_fail_io(err, errno, "%s", path);
}
