/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From layers to root.erofs: unpacks them one over the other and packs the result with
 * mkfs.erofs(1). Has to see the same owners from the first layer to the end of packing, and so
 * runs in one process tree: as root, or under one fakeroot(1); see worker.h.
 */
#ifndef THAW_IMAGE_ASSEMBLE_H
#define THAW_IMAGE_ASSEMBLE_H

#include "vmm/image/image.h"
#include "vmm/image/layer.h"

#define UUID_TEXT_SIZE 37

struct assembly {
    const char *root;   /* a directory: empty, for the layers; or, without layers, what is packed */
    const char *output; /* the file to make */
    const char *uuid;   /* of the file system */
    struct layer *layers; /* lowest first */
    size_t layer_count;
};

/*
 * The same layers and uuid give the same bytes: times are those of the files, and the file
 * system's own is the newest among them. Changes the umask of the process. THAW_FAIL_IMAGE,
 * THAW_FAIL_IO.
 */
int assemble(const struct assembly *assembly, const struct image_progress *progress,
             struct thaw_error *err);

/* Whether the program is in PATH; else THAW_FAIL_IMAGE that names its package. */
int assemble_check_program(const char *program, const char *package, struct thaw_error *err);

#endif
