/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacks one layer, a tar archive (image-spec layer.md), into the directory of the layers below.
 *
 * Kept are types, modes, owners, times, device numbers, hard links, and of the extended attributes
 * user.* and security.capability. Refused, each by name: absolute names and "..", symbolic links
 * and hard links that lead out of the root, entries below something that is no directory, damaged
 * archives, and contents that do not have the diff_id.
 */
#ifndef THAW_IMAGE_LAYER_H
#define THAW_IMAGE_LAYER_H

#include "vmm/image/manifest.h"
#include "vmm/image/unpack.h"

struct layer {
    const char *path; /* of the archive */
    enum compression compression;
    struct digest diff_id; /* of the archive without its compression */
};

/* After a failure the directory holds part of the layer. */
int layer_unpack(const struct layer *layer, struct unpack *unpack, struct thaw_error *err);

#endif
