/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where imported images are: $THAW_IMAGES, else $XDG_DATA_HOME/thaw/images, else
 * ~/.local/share/thaw/images. A directory per image, which is an OCI bundle whose root.path is a
 * file, root.erofs. thaw-image writes it; see docs/images.md.
 */
#ifndef THAW_BUNDLE_IMAGE_STORE_H
#define THAW_BUNDLE_IMAGE_STORE_H

#include "vmm/base/error.h"

#include <stddef.h>

#define IMAGE_NAME_MAX  63 /* a hostname label: it becomes the guest's hostname */
#define IMAGE_ROOT_FILE "root.erofs"

/* Whether `name` is [a-z0-9][a-z0-9._-]{0,62}. THAW_FAIL_USAGE. */
int image_name_check(const char *name, struct thaw_error *err);

/* The store's directory, which need not exist. THAW_FAIL_IO when the environment names none. */
int image_store_directory(char *path, size_t path_size, struct thaw_error *err);

/* The directory of an image that is in the store. THAW_FAIL_IMAGE when there is none. */
int image_store_find(const char *name, char *path, size_t path_size, struct thaw_error *err);

#endif
