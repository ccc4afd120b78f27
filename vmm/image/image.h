/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image as it is found in an OCI image layout or a docker archive: its configuration, and where
 * its layers are. Every digest that the source names has been verified when one of these exists.
 */
#ifndef THAW_IMAGE_IMAGE_H
#define THAW_IMAGE_IMAGE_H

#include "vmm/image/manifest.h"
#include "vmm/image/source.h"

struct image_layer {
    char *path; /* of the blob */
    char *media_type;
    enum compression compression;
    struct digest digest, diff_id; /* of the blob, and of what it unpacks to */
    uint64_t size;                 /* of the blob, in bytes */
};

struct image {
    json_t *config; /* application/vnd.oci.image.config.v1+json */
    struct digest config_digest;
    struct digest manifest_digest; /* of the manifest; of manifest.json in a docker archive */
    struct image_layer *layers;    /* lowest first */
    size_t layer_count;
};

/* Who is told before each step that may take long what it is ("verifying layer 1 of 3"). */
struct image_progress {
    void (*tell)(void *ctx, const char *step);
    void *ctx;
};

/* Tells. */
__attribute__((format(printf, 2, 3))) void image_step(const struct image_progress *progress,
                                                      const char *step, ...);

void image_free(struct image *image);

/* Reads an OCI image layout (image-spec image-layout.md). THAW_FAIL_IMAGE. */
int layout_open(const struct source *source, const struct image_progress *progress,
                struct image *image, struct thaw_error *err);

/* Reads what `docker save` writes. Its members are put into the directory `spool`, which must
 * exist, and are needed there as long as the image is. THAW_FAIL_IMAGE. */
int docker_archive_open(const struct source *source, const char *spool,
                        const struct image_progress *progress, struct image *image,
                        struct thaw_error *err);

/* The diff_ids of the configuration into the layers, and its other checks. */
int image_check_config(struct image *image, struct thaw_error *err);

#endif
