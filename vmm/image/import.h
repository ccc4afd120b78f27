/* SPDX-License-Identifier: Apache-2.0 */
/* From a source to an image in the store. */
#ifndef THAW_IMAGE_IMPORT_H
#define THAW_IMAGE_IMPORT_H

#include "vmm/image/image.h"

#include <stdbool.h>

struct import {
    struct source source;
    const char *name;
    bool replace;
    /* What a directory's image gets for a configuration: Entrypoint, Cmd, Env, WorkingDir, User.
     * An object, or NULL; not for the other sources, which bring one. */
    json_t *settings;
};

/*
 * Imports; `*summary` gets what image.json holds, which the caller drops. On any failure, and on
 * the signals that interrupt_block() has blocked, the store is as it was. THAW_FAIL_IMAGE,
 * THAW_FAIL_IO, THAW_FAIL_INTERRUPTED.
 */
int import_image(const struct import *import, const struct image_progress *progress,
                 json_t **summary, struct thaw_error *err);

/* A command as Dockerfiles have it: a JSON array of strings, or a line for /bin/sh -c. The caller
 * drops `*args`. -EINVAL when it looks like the one and is not. */
int import_parse_command(const char *text, json_t **args);

#endif
