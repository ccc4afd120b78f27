/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCI bundles (runtime-spec 1.x): config.json is read, validated and flattened on the host, so
 * that the guest needs no JSON. docs/oci.md lists every property: how it is honoured, or why it
 * is refused.
 */
#ifndef THAW_BUNDLE_BUNDLE_H
#define THAW_BUNDLE_BUNDLE_H

#include "vmm/base/cleanup.h"
#include "vmm/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;

/* A disk whose file system is mounted for the workload. */
struct bundle_disk {
    const char *path;        /* of the disk, on the host: an ext4 or EROFS file system */
    const char *serial;      /* as the guest sees it: a file name, no other disk's */
    const char *destination; /* where in the workload's root, absolute */
    bool read_only;
};

struct bundle_options {
    const char *warmup;     /* command for /bin/sh -c, run before the snapshot; NULL: none */
    char *const *args;      /* instead of process.args after the first N, N being the annotation
                             * dev.thaw.entrypoint-args, or 0 without it */
    size_t arg_count;       /* 0: process.args as they are */
    const char *const *env; /* KEY=VALUE each: instead of process.env's of the same key, or added */
    size_t env_count;
    const struct bundle_disk *disks; /* mounted after the bundle's own mounts, in this order */
    size_t disk_count;
    uint16_t rows, cols; /* terminal size instead of process.consoleSize; 0: keep that one */
};

/* A tree (or one file) on the host that goes into the initramfs. */
struct bundle_pack {
    char *source;  /* canonical absolute path */
    char name[24]; /* where it goes: "binds/0", "binds/1", ... */
};

/* What the monitor needs of a loaded bundle. Read only; owned by bundle_destroy(). */
struct bundle {
    void *spec;       /* the file for THAW_SPEC_PATH */
    size_t spec_size; /* bytes, at most THAW_SPEC_SIZE_MAX */
    char *root;       /* root.path, resolved against the bundle, and there when it was loaded */
    char *root_image; /* the same, absolute, when it is an EROFS image; NULL: a directory */
    struct bundle_pack *packs; /* sources of read-only bind mounts */
    size_t pack_count;
    bool terminal;     /* process.terminal */
    const char **args; /* process.args, for display; at least one */
    size_t arg_count;
    size_t entrypoint_count; /* so many of them stay when a restore brings others */
    const char *hostname;    /* NULL: not given */

    struct json_t *config; /* holds the strings above; see bundle_annotation() */
};

/*
 * Loads DIR/config.json. `options` may be NULL. On success `*out` is the caller's, to be passed to
 * bundle_destroy(). THAW_FAIL_BUNDLE when the directory, config.json or the root file system is
 * missing or no such thing; THAW_FAIL_CONFIG for everything about what config.json says, in one
 * sentence that names the property. One thread at a time: libseccomp keeps what it knows of the
 * kernel in globals.
 */
int bundle_load(const char *dir, const struct bundle_options *options, struct bundle **out,
                struct thaw_error *err);

/* Frees it; NULL is fine. */
void bundle_destroy(struct bundle *bundle);

/* The annotation `key`, valid as long as the bundle, or NULL. */
const char *bundle_annotation(const struct bundle *bundle, const char *key);

static inline void cleanup_bundle_fn(struct bundle **bundle)
{
    bundle_destroy(*bundle);
}
#define cleanup_bundle cleanup(cleanup_bundle_fn)

#endif
