/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/image.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Indexes in indexes. */
#define INDEX_DEPTH_MAX 4

static void drop(json_t **json)
{
    json_decref(*json);
}

static int blob_path(const char *layout, const struct digest *digest, char **path,
                     struct thaw_error *err)
{
    char hex[DIGEST_HEX_SIZE];
    digest_hex(digest, hex);
    if (asprintf(path, "%s/blobs/sha256/%s", layout, hex) >= 0)
        return 0;
    *path = NULL;
    return thaw_fail(err, ENOMEM, "%s", layout);
}

static int check_blob(const char *path, const struct descriptor *descriptor,
                      const struct digest *digest, uint64_t size, struct thaw_error *err)
{
    if (size != descriptor->size)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EBADMSG,
                            "%s: has %" PRIu64 " bytes, its descriptor says %" PRIu64, path, size,
                            descriptor->size);
    if (digest_equal(digest, &descriptor->digest))
        return 0;
    char seen[DIGEST_TEXT_SIZE];
    digest_text(digest, seen);
    return thaw_fail_as(err, THAW_FAIL_IMAGE, EBADMSG, "%s: wrong digest: what it holds has %s",
                        path, seen);
}

/* ---- documents ----------------------------------------------------------------------------- */

static int read_document(const char *path, char **text, size_t *size, struct thaw_error *err)
{
    int rc = file_read_all(path, DOCUMENT_SIZE_MAX, THAW_FAIL_IMAGE, text, size, err);
    return rc < 0 ? thaw_reclassify(err, THAW_FAIL_IMAGE) : 0;
}

static int read_plain(const char *layout, const char *name, json_t **json, struct thaw_error *err)
{
    cleanup_free char *path = NULL;
    cleanup_free char *text = NULL;
    size_t size = 0;
    if (asprintf(&path, "%s/%s", layout, name) < 0) {
        path = NULL;
        return thaw_fail(err, ENOMEM, "%s", layout);
    }
    int rc = read_document(path, &text, &size, err);
    return rc < 0 ? rc : document_parse(text, size, path, json, err);
}

static int read_blob(const char *layout, const struct descriptor *descriptor, json_t **json,
                     struct thaw_error *err)
{
    cleanup_free char *path = NULL;
    cleanup_free char *text = NULL;
    size_t size = 0;
    int rc = blob_path(layout, &descriptor->digest, &path, err);
    if (rc == 0)
        rc = read_document(path, &text, &size, err);
    if (rc < 0)
        return rc;
    struct digest digest;
    digest_of(text, size, &digest);
    rc = check_blob(path, descriptor, &digest, size, err);
    return rc < 0 ? rc : document_parse(text, size, path, json, err);
}

static int check_layout(const char *layout, struct thaw_error *err)
{
    struct stat st;
    if (stat(layout, &st) < 0) {
        thaw_fail(err, errno, "%s", layout);
        return thaw_reclassify(err, THAW_FAIL_IMAGE);
    }
    cleanup(drop) json_t *json = NULL;
    int rc = read_plain(layout, "oci-layout", &json, err);
    if (rc == -ENOENT || rc == -ENOTDIR)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOENT,
                            "%s: not an OCI image layout: there is no file oci-layout in it",
                            layout);
    if (rc < 0)
        return rc;
    const char *version = json_string_value(json_object_get(json, "imageLayoutVersion"));
    if (!version || strcmp(version, "1.0.0") != 0)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOTSUP,
                            "%s/oci-layout: imageLayoutVersion %.40s, not 1.0.0", layout,
                            version ? version : "is missing");
    return 0;
}

/* ---- from the index to the manifest -------------------------------------------------------- */

static int check_document(const struct descriptor *descriptor, struct thaw_error *err)
{
    if (descriptor->document == DOCUMENT_INDEX || descriptor->document == DOCUMENT_MANIFEST)
        return 0;
    return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOTSUP,
                        "%.120s: unknown media type where a manifest or an index is expected",
                        descriptor->media_type);
}

/* Goes down from index.json; the names of images are those of the uppermost index. */
static int find_manifest(const struct source *source, struct image *image, json_t **manifest,
                         struct thaw_error *err)
{
    cleanup(drop) json_t *index = NULL;
    int rc = read_plain(source->path, "index.json", &index, err);
    for (unsigned depth = 0; rc == 0 && depth < INDEX_DEPTH_MAX; depth++) {
        const json_t *chosen = NULL;
        struct descriptor descriptor = {0};
        rc = index_choose(index, depth == 0 ? source->reference : NULL, &chosen, err);
        if (rc == 0)
            rc = descriptor_read(chosen, &descriptor, err);
        if (rc == 0)
            rc = check_document(&descriptor, err);
        if (rc < 0)
            return thaw_context(err, "%s", source->path);

        json_t *below = NULL;
        rc = read_blob(source->path, &descriptor, &below, err);
        if (rc == 0 && descriptor.document == DOCUMENT_MANIFEST) {
            image->manifest_digest = descriptor.digest;
            *manifest = below;
            return 0;
        }
        json_decref(index);
        index = below;
    }
    return rc < 0 ? rc
                  : thaw_fail_as(err, THAW_FAIL_IMAGE, ELOOP, "%s: more than %d indexes in indexes",
                                 source->path, INDEX_DEPTH_MAX);
}

/* ---- from the manifest to the layers ------------------------------------------------------- */

static int read_config(const char *layout, const json_t *manifest, struct image *image,
                       struct thaw_error *err)
{
    struct descriptor descriptor = {0};
    const json_t *json = json_object_get(manifest, "config");
    if (!json)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL, "%s: the manifest names no config",
                            layout);
    int rc = descriptor_read(json, &descriptor, err);
    if (rc < 0)
        return thaw_context(err, "%s: config", layout);
    if (descriptor.document != DOCUMENT_CONFIG)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOTSUP,
                            "%.120s: unknown media type where a configuration is expected",
                            descriptor.media_type);
    image->config_digest = descriptor.digest;
    return read_blob(layout, &descriptor, &image->config, err);
}

static int check_layer_type(const struct descriptor *descriptor, struct thaw_error *err)
{
    if (descriptor->document == DOCUMENT_LAYER)
        return 0;
    const char *type = descriptor->media_type, *plus = strrchr(type, '+');
    if (plus && strstr(type, ".tar+"))
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOTSUP,
                            "%.120s: unknown compression %.20s of a layer (gzip and zstd are "
                            "known)",
                            type, plus + 1);
    return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOTSUP,
                        "%.120s: unknown media type where a layer is expected", type);
}

static int read_layer(const char *layout, const json_t *json, struct image_layer *layer,
                      struct thaw_error *err)
{
    struct descriptor descriptor = {0};
    int rc = descriptor_read(json, &descriptor, err);
    if (rc == 0)
        rc = check_layer_type(&descriptor, err);
    if (rc == 0)
        rc = blob_path(layout, &descriptor.digest, &layer->path, err);
    if (rc < 0)
        return rc;
    layer->compression = descriptor.compression;
    layer->digest = descriptor.digest;
    layer->size = descriptor.size;
    layer->media_type = strdup(descriptor.media_type);
    if (!layer->media_type)
        return thaw_fail(err, ENOMEM, "%s", layout);

    struct digest digest;
    uint64_t size = 0;
    rc = digest_file(layer->path, &digest, &size, err);
    return rc < 0 ? rc : check_blob(layer->path, &descriptor, &digest, size, err);
}

static int read_layers(const char *layout, const json_t *manifest,
                       const struct image_progress *progress, struct image *image,
                       struct thaw_error *err)
{
    const json_t *list = json_object_get(manifest, "layers");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > LAYERS_MAX)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL,
                            "%s: the manifest has no list of layers, or more than %d", layout,
                            LAYERS_MAX);
    image->layers = calloc(count + 1, sizeof(*image->layers));
    if (!image->layers)
        return thaw_fail(err, ENOMEM, "%s", layout);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        image_step(progress, "verifying layer %zu of %zu", i + 1, count);
        image->layer_count++;
        rc = read_layer(layout, json_array_get(list, i), &image->layers[i], err);
    }
    return rc;
}

int layout_open(const struct source *source, const struct image_progress *progress,
                struct image *image, struct thaw_error *err)
{
    cleanup(drop) json_t *manifest = NULL;
    *image = (struct image){0};
    int rc = check_layout(source->path, err);
    if (rc == 0)
        rc = find_manifest(source, image, &manifest, err);
    if (rc == 0)
        rc = read_config(source->path, manifest, image, err);
    if (rc == 0)
        rc = read_layers(source->path, manifest, progress, image, err);
    if (rc == 0)
        rc = image_check_config(image, err);
    if (rc < 0)
        image_free(image);
    return rc;
}
