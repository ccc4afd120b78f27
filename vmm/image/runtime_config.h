/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The config.json of an image: an OCI runtime configuration, made after image-spec conversion.md
 * and with what containers usually get. Pure: JSON in, JSON out. docs/images.md says what is in it.
 */
#ifndef THAW_IMAGE_RUNTIME_CONFIG_H
#define THAW_IMAGE_RUNTIME_CONFIG_H

#include "vmm/base/error.h"
#include "vmm/image/users.h"

#include <jansson.h>

/* How many of process.args, from the first, are the image's Entrypoint: what comes after them is
 * its Cmd, which another command line replaces. */
#define ANNOTATION_ENTRYPOINT "dev.thaw.entrypoint-args"

/*
 * `image` is an image configuration (application/vnd.oci.image.config.v1+json), `user` its
 * Config.User resolved, `name` the hostname. The caller drops `*config`. THAW_FAIL_IMAGE when a
 * field has a wrong type.
 */
int runtime_config_make(const json_t *image, const struct image_user *user, const char *name,
                        json_t **config, struct thaw_error *err);

#endif
