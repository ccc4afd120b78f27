/* SPDX-License-Identifier: Apache-2.0 */
/* Names in a layer (image-spec layer.md): made plain, and told apart from whiteouts. Pure. */
#ifndef THAW_IMAGE_LAYER_PATH_H
#define THAW_IMAGE_LAYER_PATH_H

#include <limits.h>
#include <stddef.h>

enum layer_name {
    LAYER_NAME_PLAIN,
    LAYER_NAME_WHITEOUT, /* ".wh.NAME": NAME of the layers below is gone */
    LAYER_NAME_OPAQUE,   /* ".wh..wh..opq": all that is in this directory from below is gone */
    LAYER_NAME_META,     /* ".wh..wh.*": AUFS's own, means nothing */
    LAYER_NAME_BAD,      /* a whiteout of nothing, of "." or of ".." */
};

/*
 * Takes "./", doubled and trailing slashes out of `name`; "" is the root. Returns 0, -ENAMETOOLONG,
 * or -EXDEV for an absolute name (but "/", the root) and one with "..".
 */
int layer_path_clean(const char *name, char path[PATH_MAX]);

/* What the last component of a clean path says; `*hidden` is NAME of a whiteout, inside `path`. A
 * path below a component that is AUFS's own is META, below another whiteout BAD. */
enum layer_name layer_path_classify(const char *path, const char **hidden);

/* Length of the directory part of a clean path (0: the root); `*base` is what follows. */
size_t layer_path_split(const char *path, const char **base);

#endif
