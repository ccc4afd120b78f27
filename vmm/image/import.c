/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/import.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"
#include "vmm/bundle/bundle.h"
#include "vmm/bundle/image_store.h"
#include "vmm/image/interrupt.h"
#include "vmm/image/runtime_config.h"
#include "vmm/image/store.h"
#include "vmm/image/unpack.h"
#include "vmm/image/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define ACCOUNTS_SIZE_MAX (1u << 20)
#define SPOOL             "spool"
#define TREE              "root"

/* An import under way. */
struct job {
    const struct import *import;
    const struct image_progress *progress;
    struct staging staging;
    struct image image;
    char *root;   /* the tree that is packed */
    char *output; /* root.erofs */
    char uuid[UUID_TEXT_SIZE];
};

static void end_job(struct job *job)
{
    image_free(&job->image);
    staging_discard(&job->staging);
    free(job->root);
    free(job->output);
}

static int fail_io(const char *what, int code, struct thaw_error *err)
{
    return thaw_fail_io(err, code, "%s", what);
}

/* ---- the source ---------------------------------------------------------------------------- */

static int open_archive(struct job *job, struct thaw_error *err)
{
    char spool[PATH_MAX];
    int n = snprintf(spool, sizeof(spool), "%s/" SPOOL, job->staging.path);
    if (n < 0 || (size_t)n >= sizeof(spool))
        return fail_io(job->staging.path, ENAMETOOLONG, err);
    if (mkdir(spool, 0700) < 0)
        return fail_io(spool, errno, err);
    return docker_archive_open(&job->import->source, spool, job->progress, &job->image, err);
}

/* The configuration that a bare directory would have, had it come as an image. */
static int open_directory(struct job *job, struct thaw_error *err)
{
    const char *path = job->import->source.path;
    cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        thaw_fail(err, errno, "%s", path);
        return thaw_reclassify(err, THAW_FAIL_IMAGE);
    }
    job->image.config = json_pack("{s:s, s:s, s:O*}", "os", IMAGE_OS, "architecture",
                                  IMAGE_ARCHITECTURE, "config", job->import->settings);
    return job->image.config ? 0 : thaw_fail(err, ENOMEM, "%s", path);
}

static int open_source(struct job *job, struct thaw_error *err)
{
    switch (job->import->source.kind) {
    case SOURCE_OCI:
        return layout_open(&job->import->source, job->progress, &job->image, err);
    case SOURCE_DOCKER_ARCHIVE:
        return open_archive(job, err);
    case SOURCE_DIR:
        return open_directory(job, err);
    }
    return thaw_fail(err, EINVAL, "source");
}

/* ---- root.erofs ---------------------------------------------------------------------------- */

/* From the configuration's digest, so that one image has one file system whichever way it came
 * (RFC 9562: version 8, our own). */
static void make_uuid(const struct job *job, char uuid[UUID_TEXT_SIZE])
{
    static const char directory[] = "dev.thaw.image.dir";
    struct digest digest = job->image.config_digest;
    if (job->import->source.kind == SOURCE_DIR)
        digest_of(directory, sizeof(directory) - 1, &digest);
    char hex[DIGEST_HEX_SIZE];
    digest.bytes[6] = (uint8_t)(0x80 | (digest.bytes[6] & 0x0f));
    digest.bytes[8] = (uint8_t)(0x80 | (digest.bytes[8] & 0x3f));
    digest_hex(&digest, hex);
    snprintf(uuid, UUID_TEXT_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
             hex + 20);
}

static int make_tree(struct job *job, struct thaw_error *err)
{
    static const struct timespec never[2] = {{0}, {0}};
    if (asprintf(&job->output, "%s/" IMAGE_ROOT_FILE, job->staging.path) < 0) {
        job->output = NULL;
        return thaw_fail(err, ENOMEM, "%s", job->staging.path);
    }
    if (job->import->source.kind == SOURCE_DIR) {
        job->root = realpath(job->import->source.path, NULL);
        return job->root ? 0 : fail_io(job->import->source.path, errno, err);
    }
    if (asprintf(&job->root, "%s/" TREE, job->staging.path) < 0) {
        job->root = NULL;
        return thaw_fail(err, ENOMEM, "%s", job->staging.path);
    }
    if (mkdir(job->root, 0755) < 0 || utimensat(AT_FDCWD, job->root, never, 0) < 0)
        return fail_io(job->root, errno, err);
    return 0;
}

static int run_worker(struct job *job, struct thaw_error *err)
{
    size_t count = job->image.layer_count;
    cleanup_free struct layer *layers = calloc(count + 1, sizeof(*layers));
    if (!layers)
        return thaw_fail(err, ENOMEM, "layers");
    for (size_t i = 0; i < count; i++)
        layers[i] = (struct layer){.path = job->image.layers[i].path,
                                   .compression = job->image.layers[i].compression,
                                   .diff_id = job->image.layers[i].diff_id};
    const struct assembly assembly = {.root = job->root,
                                      .output = job->output,
                                      .uuid = job->uuid,
                                      .layers = layers,
                                      .layer_count = count};
    bool fakeroot = geteuid() != 0 && job->import->source.kind != SOURCE_DIR;
    return worker_run(&assembly, fakeroot, job->staging.fd, job->progress, err);
}

/* ---- config.json --------------------------------------------------------------------------- */

/* As a process with this root would see it. A file that is not there, or is no file, is empty. */
static int read_accounts(const struct job *job, const char *path, char **text,
                         struct thaw_error *err)
{
    static const struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
                                        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    *text = calloc(1, ACCOUNTS_SIZE_MAX + 1);
    if (!*text)
        return thaw_fail(err, ENOMEM, "%s", path);
    cleanup_close int root = open(job->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
    struct stat st;
    if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
        return fail_io(path, errno, err);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    if (st.st_size > ACCOUNTS_SIZE_MAX)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EFBIG, "/%s: larger than %u bytes", path,
                            ACCOUNTS_SIZE_MAX);
    return file_pread_full(fd, *text, (size_t)st.st_size, 0, err);
}

static int resolve_user(const struct job *job, struct image_user *user, struct thaw_error *err)
{
    char *passwd = NULL, *group = NULL;
    const json_t *value = json_object_get(json_object_get(job->image.config, "config"), "User");
    const char *spec = json_string_value(value);
    int rc = read_accounts(job, "etc/passwd", &passwd, err);
    if (rc == 0)
        rc = read_accounts(job, "etc/group", &group, err);
    if (rc == 0)
        rc = image_user_resolve(spec ? spec : "", passwd, group, user, err);
    free(passwd);
    free(group);
    return rc;
}

static int write_json(const struct job *job, const char *file, const json_t *json,
                      struct thaw_error *err)
{
    cleanup_free char *text = json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    if (!text)
        return thaw_fail(err, ENOMEM, "%s", file);
    /* In place of its NUL: files of text end with a newline. */
    size_t length = strlen(text);
    text[length] = '\n';
    return staging_write(&job->staging, file, text, length + 1, err);
}

static int write_config(const struct job *job, struct thaw_error *err)
{
    struct image_user user;
    json_t *config = NULL;
    int rc = resolve_user(job, &user, err);
    if (rc == 0)
        rc = runtime_config_make(job->image.config, &user, job->import->name, &config, err);
    if (rc == 0)
        rc = write_json(job, "config.json", config, err);
    json_decref(config);
    return rc;
}

/* What `thaw run` would say of it had better be said now. */
static int check_bundle(const struct job *job, struct thaw_error *err)
{
    cleanup_bundle struct bundle *bundle = NULL;
    int rc = bundle_load(job->staging.path, NULL, &bundle, err);
    if (rc == 0)
        return 0;
    thaw_reclassify(err, THAW_FAIL_IMAGE);
    return thaw_context(err, "the image makes no bundle");
}

/* ---- image.json ---------------------------------------------------------------------------- */

static json_t *digest_json(const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];
    digest_text(digest, text);
    return json_string(text);
}

static json_t *layers_json(const struct image *image)
{
    json_t *list = json_array();
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct image_layer *layer = &image->layers[i];
        json_array_append_new(list, json_pack("{s:o, s:s, s:I, s:o}", "digest",
                                              digest_json(&layer->digest), "media_type",
                                              layer->media_type, "size", (json_int_t)layer->size,
                                              "diff_id", digest_json(&layer->diff_id)));
    }
    return list;
}

static json_t *settings_json(const struct image *image)
{
    static const char *const kept[] = {"Entrypoint", "Cmd",        "Env",          "WorkingDir",
                                       "User",       "StopSignal", "ExposedPorts", "Labels"};
    const json_t *settings = json_object_get(image->config, "config");
    json_t *json = json_object();
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        json_t *value = json_object_get(settings, kept[i]);
        if (value && !json_is_null(value))
            json_object_set(json, kept[i], value);
    }
    return json;
}

static const char *source_text(const struct source *source, char *text, size_t size)
{
    static const char *const prefixes[] = {
        [SOURCE_OCI] = "oci:", [SOURCE_DOCKER_ARCHIVE] = "docker-archive:", [SOURCE_DIR] = "dir:"};
    snprintf(text, size, "%s%s%s%s", prefixes[source->kind], source->path,
             source->reference ? ":" : "", source->reference ? source->reference : "");
    return text;
}

static int describe(const struct job *job, json_t **summary, struct thaw_error *err)
{
    struct digest root;
    uint64_t size;
    char source[2 * PATH_MAX];
    int rc = digest_file(job->output, &root, &size, err);
    if (rc < 0)
        return rc;
    bool has_digests = job->import->source.kind != SOURCE_DIR;
    json_t *created = json_object_get(job->image.config, "created");
    *summary = json_pack(
        "{s:s, s:s, s:o*, s:o*, s:s, s:s, s:O*, s:I, s:o, s:o, s:o}", "name", job->import->name,
        "source", source_text(&job->import->source, source, sizeof(source)), "manifest_digest",
        has_digests ? digest_json(&job->image.manifest_digest) : NULL, "config_digest",
        has_digests ? digest_json(&job->image.config_digest) : NULL, "os", IMAGE_OS, "architecture",
        IMAGE_ARCHITECTURE, "created", json_is_string(created) ? created : NULL, "root_size",
        (json_int_t)size, "root_digest", digest_json(&root), "layers", layers_json(&job->image),
        "config", settings_json(&job->image));
    return *summary ? 0 : thaw_fail(err, ENOMEM, "image.json");
}

/* ---- all of it ----------------------------------------------------------------------------- */

static int check_ahead(const struct import *import, struct thaw_error *err)
{
    int rc = image_name_check(import->name, err);
    if (rc == 0 && !import->replace)
        rc = store_check_free(import->name, err);
    if (rc == 0)
        rc = assemble_check_program("mkfs.erofs", "erofs-utils", err);
    if (rc == 0 && geteuid() != 0 && import->source.kind != SOURCE_DIR)
        rc = assemble_check_program("fakeroot", "fakeroot", err);
    return rc;
}

/* The file is what guests read for as long as the image is there. */
static int seal_root(const struct job *job, struct thaw_error *err)
{
    cleanup_close int fd = open(job->output, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fchmod(fd, 0644) < 0 || fsync(fd) < 0)
        return fail_io(job->output, errno, err);
    return 0;
}

static int build(struct job *job, json_t **summary, struct thaw_error *err)
{
    int rc = open_source(job, err);
    if (rc == 0)
        rc = make_tree(job, err);
    if (rc < 0)
        return rc;
    make_uuid(job, job->uuid);
    rc = run_worker(job, err);
    if (rc == 0)
        rc = seal_root(job, err);
    if (rc == 0)
        rc = write_config(job, err);
    if (rc == 0)
        rc = check_bundle(job, err);
    if (rc == 0)
        rc = describe(job, summary, err);
    return rc < 0 ? rc : write_json(job, "image.json", *summary, err);
}

int import_image(const struct import *import, const struct image_progress *progress,
                 json_t **summary, struct thaw_error *err)
{
    int rc = check_ahead(import, err);
    if (rc < 0)
        return rc;
    cleanup(end_job) struct job job = {
        .import = import, .progress = progress, .staging = {.store = -1, .fd = -1}};
    rc = staging_open(&job.staging, err);
    if (rc == 0)
        rc = build(&job, summary, err);
    if (rc < 0)
        return rc;
    unpack_discard_tree(job.staging.fd, TREE);
    unpack_discard_tree(job.staging.fd, SPOOL);
    rc = interrupt_check(err);
    return rc < 0 ? rc : staging_publish(&job.staging, import->name, import->replace, err);
}

int import_parse_command(const char *text, json_t **args)
{
    if (text[0] != '[') {
        *args = json_pack("[s, s, s]", "/bin/sh", "-c", text);
        return *args ? 0 : -EINVAL;
    }
    *args = json_loads(text, 0, NULL);
    bool good = json_array_size(*args) > 0;
    for (size_t i = 0; good && i < json_array_size(*args); i++)
        good = json_is_string(json_array_get(*args, i));
    if (good)
        return 0;
    json_decref(*args);
    *args = NULL;
    return -EINVAL;
}
