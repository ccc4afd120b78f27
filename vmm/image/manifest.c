/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/manifest.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define REF_NAME "org.opencontainers.image.ref.name"

#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

static const char *const compressions[] = {
    [COMPRESSION_NONE] = "none", [COMPRESSION_GZIP] = "gzip", [COMPRESSION_ZSTD] = "zstd"};

const char *compression_name(enum compression compression)
{
    return compressions[compression];
}

int compression_parse(const char *name, enum compression *compression)
{
    for (size_t i = 0; i < COUNT_OF(compressions); i++) {
        if (strcmp(name, compressions[i]) == 0) {
            *compression = (enum compression)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* ---- media types: image-spec media-types.md, and Docker's own for the same things ---------- */

#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."

static const struct {
    const char *name;
    enum document document;
    enum compression compression;
} media_types[] = {
    {OCI "index.v1+json", DOCUMENT_INDEX, 0},
    {OCI "manifest.v1+json", DOCUMENT_MANIFEST, 0},
    {OCI "config.v1+json", DOCUMENT_CONFIG, 0},
    {OCI "layer.v1.tar", DOCUMENT_LAYER, COMPRESSION_NONE},
    {OCI "layer.v1.tar+gzip", DOCUMENT_LAYER, COMPRESSION_GZIP},
    {OCI "layer.v1.tar+zstd", DOCUMENT_LAYER, COMPRESSION_ZSTD},
    {OCI "layer.nondistributable.v1.tar", DOCUMENT_LAYER, COMPRESSION_NONE},
    {OCI "layer.nondistributable.v1.tar+gzip", DOCUMENT_LAYER, COMPRESSION_GZIP},
    {OCI "layer.nondistributable.v1.tar+zstd", DOCUMENT_LAYER, COMPRESSION_ZSTD},
    {DOCKER "distribution.manifest.list.v2+json", DOCUMENT_INDEX, 0},
    {DOCKER "distribution.manifest.v2+json", DOCUMENT_MANIFEST, 0},
    {DOCKER "container.image.v1+json", DOCUMENT_CONFIG, 0},
    {DOCKER "image.rootfs.diff.tar", DOCUMENT_LAYER, COMPRESSION_NONE},
    {DOCKER "image.rootfs.diff.tar.gzip", DOCUMENT_LAYER, COMPRESSION_GZIP},
    {DOCKER "image.rootfs.diff.tar.zstd", DOCUMENT_LAYER, COMPRESSION_ZSTD},
    {DOCKER "image.rootfs.foreign.diff.tar.gzip", DOCUMENT_LAYER, COMPRESSION_GZIP},
};

static void classify(struct descriptor *descriptor)
{
    for (size_t i = 0; i < COUNT_OF(media_types); i++) {
        if (strcmp(descriptor->media_type, media_types[i].name) == 0) {
            descriptor->document = media_types[i].document;
            descriptor->compression = media_types[i].compression;
            return;
        }
    }
}

/* ---- documents ----------------------------------------------------------------------------- */

int document_parse(const char *text, size_t size, const char *name, json_t **json,
                   struct thaw_error *err)
{
    json_error_t error;
    *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!*json)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL, "%s:%d:%d: %s", name, error.line,
                            error.column, error.text);
    if (json_is_object(*json) || json_is_array(*json))
        return 0;
    json_decref(*json);
    *json = NULL;
    return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL, "%s: neither an object nor an array", name);
}

static int read_digest(const char *text, struct digest *digest, struct thaw_error *err)
{
    int rc = text ? digest_parse(text, digest) : -EINVAL;
    if (rc == -ENOTSUP)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOTSUP,
                            "%.80s: only sha256 digests can be verified", text);
    if (rc < 0)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL, "%.80s: not a sha256 digest",
                            text ? text : "a descriptor without digest");
    return 0;
}

int descriptor_read(const json_t *json, struct descriptor *descriptor, struct thaw_error *err)
{
    *descriptor = (struct descriptor){0};
    descriptor->media_type = json_string_value(json_object_get(json, "mediaType"));
    if (!descriptor->media_type)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL, "a descriptor has no mediaType");
    const json_t *size = json_object_get(json, "size");
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL, "a descriptor has no size");
    descriptor->size = (uint64_t)json_integer_value(size);
    classify(descriptor);
    return read_digest(json_string_value(json_object_get(json, "digest")), &descriptor->digest,
                       err);
}

/* ---- choosing ------------------------------------------------------------------------------ */

static const char *reference_of(const json_t *descriptor)
{
    return json_string_value(json_object_get(json_object_get(descriptor, "annotations"), REF_NAME));
}

static bool is_for_us(const json_t *descriptor)
{
    /* Signatures and provenance that builders put beside the image. */
    if (json_object_get(json_object_get(descriptor, "annotations"), "vnd.docker.reference.type"))
        return false;
    const json_t *platform = json_object_get(descriptor, "platform");
    if (!json_is_object(platform))
        return true;
    const char *os = json_string_value(json_object_get(platform, "os"));
    const char *architecture = json_string_value(json_object_get(platform, "architecture"));
    return os && architecture && strcmp(os, IMAGE_OS) == 0 &&
           strcmp(architecture, IMAGE_ARCHITECTURE) == 0;
}

static bool has_reference(const json_t *descriptor, const char *reference)
{
    const char *own = reference_of(descriptor);
    return !reference || (own && strcmp(own, reference) == 0);
}

/* "a, b, c"; what does not fit is cut. */
static void list_references(const json_t *manifests, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(manifests) && used < size; i++) {
        const char *reference = reference_of(json_array_get(manifests, i));
        if (!reference)
            continue;
        int n = snprintf(text + used, size - used, "%s%.80s", used ? ", " : "", reference);
        used += n > 0 ? (size_t)n : 0;
    }
    if (text[0] == '\0')
        snprintf(text, size, "none has a name");
}

static int fail_to_choose(const json_t *manifests, const char *reference, bool found,
                          struct thaw_error *err)
{
    char references[200];
    list_references(manifests, references, sizeof(references));
    if (reference && !found)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOENT, "no image is named %.80s (there are: %s)",
                            reference, references);
    return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOENT,
                        "no manifest for " IMAGE_OS "/" IMAGE_ARCHITECTURE);
}

static bool same_reference(const json_t *a, const json_t *b)
{
    const char *left = reference_of(a), *right = reference_of(b);
    return left && right ? strcmp(left, right) == 0 : left == right;
}

int index_choose(const json_t *index, const char *reference, const json_t **chosen,
                 struct thaw_error *err)
{
    const json_t *manifests = json_object_get(index, "manifests");
    if (!json_is_array(manifests))
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL, "index: has no list of manifests");

    bool found = false;
    *chosen = NULL;
    for (size_t i = 0; i < json_array_size(manifests); i++) {
        const json_t *descriptor = json_array_get(manifests, i);
        if (!has_reference(descriptor, reference))
            continue;
        found = true;
        if (!is_for_us(descriptor))
            continue;
        if (*chosen && !same_reference(*chosen, descriptor)) {
            char references[200];
            list_references(manifests, references, sizeof(references));
            return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL,
                                "holds several images, name one of them (oci:DIR:TAG): %s",
                                references);
        }
        /* The first one that fits, as image-index.md asks. */
        if (!*chosen)
            *chosen = descriptor;
    }
    return *chosen ? 0 : fail_to_choose(manifests, reference, found, err);
}

/* ---- the image configuration --------------------------------------------------------------- */

static int check_platform(const json_t *config, struct thaw_error *err)
{
    const char *os = json_string_value(json_object_get(config, "os"));
    const char *architecture = json_string_value(json_object_get(config, "architecture"));
    if (!os || !architecture)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL,
                            "image configuration: names no os or no architecture");
    if (strcmp(os, IMAGE_OS) != 0 || strcmp(architecture, IMAGE_ARCHITECTURE) != 0)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOTSUP,
                            "image configuration: the image is for %.40s/%.40s, not "
                            "for " IMAGE_OS "/" IMAGE_ARCHITECTURE,
                            os, architecture);
    return 0;
}

int config_check(const json_t *config, size_t layer_count, struct digest *diff_ids,
                 struct thaw_error *err)
{
    int rc = check_platform(config, err);
    if (rc < 0)
        return rc;
    const json_t *list = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
    if (json_array_size(list) != layer_count)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL,
                            "image configuration: %zu rootfs.diff_ids for %zu layers",
                            json_array_size(list), layer_count);
    for (size_t i = 0; rc == 0 && i < layer_count; i++)
        rc = read_digest(json_string_value(json_array_get(list, i)), &diff_ids[i], err);
    return rc < 0 ? thaw_context(err, "image configuration: rootfs.diff_ids") : 0;
}
