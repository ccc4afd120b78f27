/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCI image-spec documents as far as an import needs them: descriptors, the choice among the
 * manifests of an index, media types, the image configuration's layers. Pure: JSON in, facts out.
 * All of it comes from whoever made the image and is not trusted. Failures are THAW_FAIL_IMAGE.
 */
#ifndef THAW_IMAGE_MANIFEST_H
#define THAW_IMAGE_MANIFEST_H

#include "vmm/base/error.h"
#include "vmm/image/digest.h"

#include <jansson.h>

/* An index, manifest or configuration of more bytes is refused. */
#define DOCUMENT_SIZE_MAX (4u << 20)
#define LAYERS_MAX        512

#if defined(__x86_64__)
#define IMAGE_ARCHITECTURE "amd64"
#elif defined(__aarch64__)
#define IMAGE_ARCHITECTURE "arm64"
#endif
#define IMAGE_OS "linux"

enum document {
    DOCUMENT_UNKNOWN,
    DOCUMENT_INDEX,
    DOCUMENT_MANIFEST,
    DOCUMENT_CONFIG,
    DOCUMENT_LAYER
};

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

struct descriptor {
    const char *media_type; /* borrowed from the JSON */
    enum document document;
    enum compression compression; /* of a layer */
    struct digest digest;
    uint64_t size; /* bytes */
};

/* Parses a document; `name` is for messages. The caller drops `*json`. */
int document_parse(const char *text, size_t size, const char *name, json_t **json,
                   struct thaw_error *err);

/* Reads a descriptor. A media type that is not known is DOCUMENT_UNKNOWN and no error. */
int descriptor_read(const json_t *json, struct descriptor *descriptor, struct thaw_error *err);

/*
 * Chooses a manifest (or an index below) for IMAGE_OS/IMAGE_ARCHITECTURE. With `reference`, only
 * among those of that org.opencontainers.image.ref.name; without, images of different names are
 * an error that lists them. `*chosen` is borrowed from `index`.
 */
int index_choose(const json_t *index, const char *reference, const json_t **chosen,
                 struct thaw_error *err);

/* "linux", IMAGE_ARCHITECTURE, and as many rootfs.diff_ids as there are layers; these go into
 * `diff_ids`. */
int config_check(const json_t *config, size_t layer_count, struct digest *diff_ids,
                 struct thaw_error *err);

/* "gzip", "zstd", "none", and back; -EINVAL for another word. */
const char *compression_name(enum compression compression);
int compression_parse(const char *name, enum compression *compression);

#endif
