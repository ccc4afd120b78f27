/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing to the image store (vmm/bundle/image_store.h says where it is). An image is built in a
 * directory ".staging-XXXXXX" of the store and renamed when it is whole. That directory is locked
 * for as long as somebody works in it; one that is not was left by a process that was killed, and
 * whoever writes next removes it.
 */
#ifndef THAW_IMAGE_STORE_H
#define THAW_IMAGE_STORE_H

#include "vmm/base/error.h"

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>

struct staging {
    int store, fd; /* directories; fd holds the lock. -1: none */
    char name[32]; /* in the store; "": none */
    char path[PATH_MAX];
};

/* Makes the store where it is missing, and a staging directory (0700) in it. After a failure
 * `staging` may still be discarded. THAW_FAIL_IO. */
int staging_open(struct staging *staging, struct thaw_error *err);

/* Writes `size` bytes to a new file of the staging directory, readable by everybody. */
int staging_write(const struct staging *staging, const char *file, const void *data, size_t size,
                  struct thaw_error *err);

/* Gives the directory its name, in one step: nobody sees a part of it. A name that is taken is
 * THAW_FAIL_IMAGE, unless `replace`: then that image is gone afterwards. */
int staging_publish(struct staging *staging, const char *name, bool replace,
                    struct thaw_error *err);

/* Removes the staging directory with all that is in it, unless it was published. */
void staging_discard(struct staging *staging);

/* Whether an image of that name is there; -EEXIST (THAW_FAIL_IMAGE) when it is. */
int store_check_free(const char *name, struct thaw_error *err);

/* image.json of an image; the caller drops `*json`. */
int store_inspect(const char *name, json_t **json, struct thaw_error *err);

/* The image.json of every image in an array, by name. A store that is not there is empty. */
int store_list(json_t **list, struct thaw_error *err);

/* A guest that runs from it goes on: it has the file open. */
int store_remove(const char *name, struct thaw_error *err);

#endif
