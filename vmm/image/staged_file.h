/* SPDX-License-Identifier: Apache-2.0 */
/* A file that appears under its name when it is complete, or not at all. */
#ifndef THAW_IMAGE_STAGED_FILE_H
#define THAW_IMAGE_STAGED_FILE_H

#include "vmm/base/error.h"

#include <limits.h>

struct staged_file {
    int fd;                /* -1: none */
    const char *path;      /* the name that it will have; not owned */
    char staged[PATH_MAX]; /* its name until then, in the same directory; "": none */
};

/* Creates the staged file, with mode 0600. After a failure `file` may still be discarded. */
int staged_file_open(struct staged_file *file, const char *path, struct thaw_error *err);

/* Writes it through to the disk and gives it its name, in place of any file that has it. */
int staged_file_publish(struct staged_file *file, struct thaw_error *err);

/* Removes the staged file, unless it was published. */
void staged_file_discard(struct staged_file *file);

#endif
