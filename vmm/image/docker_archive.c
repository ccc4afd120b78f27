/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The archive of `docker save` and `podman save --format docker-archive`: manifest.json names, for
 * each image, its configuration and its layers, all of them members of the archive. Old versions
 * write a layer that two images share once, and symbolic links to it.
 */
#include "vmm/image/image.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"
#include "vmm/image/interrupt.h"
#include "vmm/image/layer_path.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MEMBERS_MAX 10000
#define LINKS_MAX   8
#define READ_SIZE   (64u << 10)

struct member {
    char *name;   /* clean */
    char *target; /* of a link, clean; NULL: a file, spooled under its number */
};

struct spool {
    const char *archive, *directory;
    struct member *members;
    size_t count;
};

static void drop(json_t **json)
{
    json_decref(*json);
}

static void free_archive(struct archive **archive)
{
    archive_read_free(*archive);
}

static void free_spool(struct spool *spool)
{
    for (size_t i = 0; i < spool->count; i++) {
        free(spool->members[i].name);
        free(spool->members[i].target);
    }
    free(spool->members);
}

__attribute__((format(printf, 4, 5))) static int
refuse(const struct spool *spool, int code, struct thaw_error *err, const char *why, ...)
{
    char sentence[THAW_ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, why);
    vsnprintf(sentence, sizeof(sentence), why, args);
    va_end(args);
    return thaw_fail_as(err, THAW_FAIL_IMAGE, code, "%s: %s", spool->archive, sentence);
}

static int fail_archive(const struct spool *spool, struct archive *archive, struct thaw_error *err)
{
    const char *why = archive_error_string(archive);
    return refuse(spool, EINVAL, err, "%s", why ? why : "damaged");
}

static int spool_path(const struct spool *spool, size_t number, char path[PATH_MAX],
                      struct thaw_error *err)
{
    int n = snprintf(path, PATH_MAX, "%s/%zu", spool->directory, number);
    return n < 0 || n >= PATH_MAX ? thaw_fail(err, ENAMETOOLONG, "%s", spool->directory) : 0;
}

/* ---- spooling ------------------------------------------------------------------------------ */

static int copy_contents(const struct spool *spool, struct archive *archive, int fd,
                         struct thaw_error *err)
{
    char buffer[READ_SIZE];
    for (;;) {
        int rc = interrupt_check(err);
        if (rc < 0)
            return rc;
        ssize_t n = archive_read_data(archive, buffer, sizeof(buffer));
        if (n < 0)
            return fail_archive(spool, archive, err);
        if (n == 0)
            return 0;
        rc = file_write_full(fd, buffer, (size_t)n, err);
        if (rc < 0)
            return thaw_context(err, "%s", spool->directory);
    }
}

static int spool_file(const struct spool *spool, struct archive *archive, struct thaw_error *err)
{
    char path[PATH_MAX];
    int rc = spool_path(spool, spool->count, path, err);
    if (rc < 0)
        return rc;
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return thaw_fail_io(err, errno, "%s", path);
    return copy_contents(spool, archive, fd, err);
}

/* "a/b/../../c/d" in place: links of these archives go up one directory. False: out of it. */
static bool resolve_dots(char *path)
{
    char *out = path;
    for (const char *at = path; *at != '\0';) {
        size_t length = strcspn(at, "/");
        bool last = at[length] == '\0';
        if (length == 2 && memcmp(at, "..", 2) == 0) {
            if (out == path)
                return false;
            for (out--; out > path && out[-1] != '/'; out--)
                ;
        } else if (length > 0 && !(length == 1 && at[0] == '.')) {
            memmove(out, at, length);
            out += length;
            *out++ = '/';
        }
        at += length + !last;
    }
    if (out > path)
        out--;
    *out = '\0';
    return true;
}

/* The target of a link as a member's name; NULL when it is none, or memory is out. */
static char *link_target(struct archive_entry *entry, const char *name)
{
    const char *hard = archive_entry_hardlink(entry), *soft = archive_entry_symlink(entry);
    const char *base;
    size_t length = layer_path_split(name, &base);
    char *target = NULL;
    int n = hard ? asprintf(&target, "%s", hard)
                 : asprintf(&target, "%.*s/%s", (int)length, name, soft ? soft : "");
    if (n < 0)
        return NULL;
    if (!resolve_dots(target)) {
        free(target);
        return NULL;
    }
    return target;
}

static int add_member(struct spool *spool, struct archive *archive, struct archive_entry *entry,
                      struct thaw_error *err)
{
    char name[PATH_MAX];
    const char *given = archive_entry_pathname(entry);
    bool file = archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry);
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return 0;
    if (!given || layer_path_clean(given, name) < 0)
        return refuse(spool, EINVAL, err, "%.200s: not a member's name", given ? given : "?");
    if (spool->count == MEMBERS_MAX)
        return refuse(spool, E2BIG, err, "more than %d members", MEMBERS_MAX);

    struct member *members =
        reallocarray(spool->members, spool->count + 1, sizeof(*spool->members));
    if (!members)
        return thaw_fail(err, ENOMEM, "%s", spool->archive);
    spool->members = members;
    int rc = file ? spool_file(spool, archive, err) : 0;
    if (rc < 0)
        return rc;
    struct member member = {.name = strdup(name), .target = file ? NULL : link_target(entry, name)};
    members[spool->count++] = member;
    if (!member.name)
        return thaw_fail(err, ENOMEM, "%s", spool->archive);
    if (!file && !member.target)
        return refuse(spool, EINVAL, err, "%.200s: a link that leads out of the archive", name);
    return 0;
}

static int spool_members(struct spool *spool, struct archive *archive, struct thaw_error *err)
{
    for (;;) {
        struct archive_entry *entry;
        int status = archive_read_next_header(archive, &entry);
        if (status == ARCHIVE_EOF)
            return 0;
        if (status != ARCHIVE_OK)
            return fail_archive(spool, archive, err);
        int rc = add_member(spool, archive, entry, err);
        if (rc < 0)
            return rc;
    }
}

static int spool_archive(struct spool *spool, struct thaw_error *err)
{
    uint64_t size;
    cleanup_close int fd = file_open_regular(spool->archive, THAW_FAIL_IMAGE, &size, err);
    if (fd < 0)
        return fd;
    cleanup(free_archive) struct archive *archive = archive_read_new();
    if (!archive)
        return thaw_fail(err, ENOMEM, "%s", spool->archive);
    archive_read_support_filter_gzip(archive);
    archive_read_support_filter_zstd(archive);
    archive_read_support_format_tar(archive);
    if (archive_read_open_fd(archive, fd, READ_SIZE) != ARCHIVE_OK)
        return fail_archive(spool, archive, err);
    return spool_members(spool, archive, err);
}

/* The last member of a name counts, as in any tar archive. */
static const struct member *find_member(const struct spool *spool, const char *name)
{
    for (unsigned links = 0; links < LINKS_MAX; links++) {
        const struct member *found = NULL;
        for (size_t i = spool->count; !found && i-- > 0;)
            found = strcmp(spool->members[i].name, name) == 0 ? &spool->members[i] : NULL;
        if (!found || !found->target)
            return found;
        name = found->target;
    }
    return NULL;
}

/* Where the file `name` of the archive has been spooled. */
static int member_path(const struct spool *spool, const char *name, char path[PATH_MAX],
                       struct thaw_error *err)
{
    char clean[PATH_MAX];
    const struct member *member =
        name && layer_path_clean(name, clean) == 0 ? find_member(spool, clean) : NULL;
    if (!member)
        return refuse(spool, ENOENT, err, "there is no %.200s in it", name ? name : "file");
    return spool_path(spool, (size_t)(member - spool->members), path, err);
}

/* ---- reading ------------------------------------------------------------------------------- */

static int read_document(const struct spool *spool, const char *name, json_t **json,
                         struct digest *digest, struct thaw_error *err)
{
    char path[PATH_MAX];
    cleanup_free char *text = NULL;
    size_t size = 0;
    int rc = member_path(spool, name, path, err);
    if (rc == 0)
        rc = file_read_all(path, DOCUMENT_SIZE_MAX, THAW_FAIL_IMAGE, &text, &size, err);
    if (rc < 0)
        return rc;
    digest_of(text, size, digest);
    rc = document_parse(text, size, name, json, err);
    return rc < 0 ? thaw_context(err, "%s", spool->archive) : 0;
}

static bool is_tagged(const json_t *image, const char *reference)
{
    const json_t *tags = json_object_get(image, "RepoTags");
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = json_string_value(json_array_get(tags, i));
        if (tag && strcmp(tag, reference) == 0)
            return true;
    }
    return false;
}

static int choose(const struct spool *spool, const json_t *manifest, const char *reference,
                  const json_t **chosen, struct thaw_error *err)
{
    if (!json_is_array(manifest) || json_array_size(manifest) == 0)
        return refuse(spool, EINVAL, err, "manifest.json: lists no image");
    if (!reference && json_array_size(manifest) > 1)
        return refuse(spool, EINVAL, err,
                      "holds %zu images, name one of them (docker-archive:FILE:NAME:TAG)",
                      json_array_size(manifest));
    for (size_t i = 0; i < json_array_size(manifest); i++) {
        *chosen = json_array_get(manifest, i);
        if (!reference || is_tagged(*chosen, reference))
            return 0;
    }
    return refuse(spool, ENOENT, err, "no image in it is named %.100s", reference);
}

/* The name of a configuration is its digest: "<hex>.json", or "blobs/sha256/<hex>". */
static int check_config_name(const struct spool *spool, const char *name,
                             const struct digest *digest, struct thaw_error *err)
{
    char hex[DIGEST_HEX_SIZE];
    const char *base;
    struct digest named;
    layer_path_split(name, &base);
    snprintf(hex, sizeof(hex), "%.64s", base);
    const char *rest = base + strlen(hex);
    bool is_digest = digest_parse_hex(hex, &named) == 0 && (rest[0] == '\0' || rest[0] == '.');
    if (!is_digest || digest_equal(&named, digest))
        return 0;
    digest_hex(digest, hex);
    return refuse(spool, EBADMSG, err, "%.200s: wrong digest: what it holds has sha256:%s", name,
                  hex);
}

/* There are no media types here: by the first bytes, as docker does it. */
static int sniff(const char *path, enum compression *compression, struct thaw_error *err)
{
    static const unsigned char gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    unsigned char magic[4] = {0};
    uint64_t size = 0;
    cleanup_close int fd = file_open_regular(path, THAW_FAIL_IMAGE, &size, err);
    if (fd < 0)
        return fd;
    int rc = file_pread_full(fd, magic, size < sizeof(magic) ? size : sizeof(magic), 0, err);
    if (memcmp(magic, gzip, sizeof(gzip)) == 0)
        *compression = COMPRESSION_GZIP;
    else if (memcmp(magic, zstd, sizeof(zstd)) == 0)
        *compression = COMPRESSION_ZSTD;
    else
        *compression = COMPRESSION_NONE;
    return rc;
}

static int read_layer(const struct spool *spool, const char *name, struct image_layer *layer,
                      struct thaw_error *err)
{
    static const char *const types[] = {
        [COMPRESSION_NONE] = "application/vnd.docker.image.rootfs.diff.tar",
        [COMPRESSION_GZIP] = "application/vnd.docker.image.rootfs.diff.tar.gzip",
        [COMPRESSION_ZSTD] = "application/vnd.docker.image.rootfs.diff.tar.zstd",
    };
    char path[PATH_MAX];
    int rc = member_path(spool, name, path, err);
    if (rc == 0)
        rc = sniff(path, &layer->compression, err);
    if (rc == 0)
        rc = digest_file(path, &layer->digest, &layer->size, err);
    if (rc < 0)
        return rc;
    layer->path = strdup(path);
    layer->media_type = strdup(types[layer->compression]);
    return layer->path && layer->media_type ? 0 : thaw_fail(err, ENOMEM, "%s", spool->archive);
}

static int read_layers(const struct spool *spool, const json_t *manifest,
                       const struct image_progress *progress, struct image *image,
                       struct thaw_error *err)
{
    const json_t *list = json_object_get(manifest, "Layers");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > LAYERS_MAX)
        return refuse(spool, EINVAL, err, "manifest.json: no list of Layers, or more than %d",
                      LAYERS_MAX);
    image->layers = calloc(count + 1, sizeof(*image->layers));
    if (!image->layers)
        return thaw_fail(err, ENOMEM, "%s", spool->archive);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        image_step(progress, "reading layer %zu of %zu", i + 1, count);
        image->layer_count++;
        rc = read_layer(spool, json_string_value(json_array_get(list, i)), &image->layers[i], err);
    }
    return rc;
}

static int read_image(const struct spool *spool, const char *reference,
                      const struct image_progress *progress, struct image *image,
                      struct thaw_error *err)
{
    cleanup(drop) json_t *manifests = NULL;
    const json_t *manifest = NULL;
    int rc = read_document(spool, "manifest.json", &manifests, &image->manifest_digest, err);
    if (rc == 0)
        rc = choose(spool, manifests, reference, &manifest, err);
    if (rc < 0)
        return rc;
    const char *config = json_string_value(json_object_get(manifest, "Config"));
    if (!config)
        return refuse(spool, EINVAL, err, "manifest.json: names no Config");
    rc = read_document(spool, config, &image->config, &image->config_digest, err);
    if (rc == 0)
        rc = check_config_name(spool, config, &image->config_digest, err);
    if (rc == 0)
        rc = read_layers(spool, manifest, progress, image, err);
    return rc < 0 ? rc : image_check_config(image, err);
}

int docker_archive_open(const struct source *source, const char *directory,
                        const struct image_progress *progress, struct image *image,
                        struct thaw_error *err)
{
    cleanup(free_spool) struct spool spool = {.archive = source->path, .directory = directory};
    *image = (struct image){0};
    image_step(progress, "reading the archive");
    int rc = spool_archive(&spool, err);
    if (rc == 0)
        rc = read_image(&spool, source->reference, progress, image, err);
    if (rc < 0)
        image_free(image);
    return rc;
}
