/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/layer_path.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define WHITEOUT      ".wh."
#define WHITEOUT_META ".wh..wh."
#define OPAQUE        ".wh..wh..opq"

static bool is_component(const char *at, size_t length, const char *text)
{
    return length == strlen(text) && memcmp(at, text, length) == 0;
}

static bool starts_with(const char *at, const char *prefix)
{
    return strncmp(at, prefix, strlen(prefix)) == 0;
}

int layer_path_clean(const char *name, char path[PATH_MAX])
{
    size_t used = 0;
    /* "/" alone is how umoci writes the root: there is nothing in it to lead elsewhere. */
    if (name[0] == '/' && name[strspn(name, "/")] != '\0')
        return -EXDEV;
    for (const char *at = name; *at != '\0';) {
        size_t length = strcspn(at, "/");
        if (is_component(at, length, ".."))
            return -EXDEV;
        if (length > NAME_MAX || used + length + 2 > PATH_MAX)
            return -ENAMETOOLONG;
        if (length > 0 && !is_component(at, length, ".")) {
            if (used > 0)
                path[used++] = '/';
            memcpy(path + used, at, length);
            used += length;
        }
        at += length + (at[length] == '/');
    }
    path[used] = '\0';
    return 0;
}

size_t layer_path_split(const char *path, const char **base)
{
    const char *slash = strrchr(path, '/');
    *base = slash ? slash + 1 : path;
    return slash ? (size_t)(slash - path) : 0;
}

static enum layer_name classify_last(const char *base, const char **hidden)
{
    if (strcmp(base, OPAQUE) == 0)
        return LAYER_NAME_OPAQUE;
    if (starts_with(base, WHITEOUT_META))
        return LAYER_NAME_META;
    if (!starts_with(base, WHITEOUT))
        return LAYER_NAME_PLAIN;
    *hidden = base + strlen(WHITEOUT);
    bool bad = **hidden == '\0' || strcmp(*hidden, ".") == 0 || strcmp(*hidden, "..") == 0;
    return bad ? LAYER_NAME_BAD : LAYER_NAME_WHITEOUT;
}

enum layer_name layer_path_classify(const char *path, const char **hidden)
{
    const char *at = path;
    for (const char *slash = strchr(at, '/'); slash; at = slash + 1, slash = strchr(at, '/')) {
        if (starts_with(at, WHITEOUT_META))
            return LAYER_NAME_META;
        if (starts_with(at, WHITEOUT))
            return LAYER_NAME_BAD;
    }
    return classify_last(at, hidden);
}
