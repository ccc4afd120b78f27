/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/disks.h"

#include "devices/virtio/blk_file.h"
#include "snapshot/disk_file.h"
#include "snapshot/format.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#define END_SIZE    65536u
#define SAMPLES     16u
#define SAMPLE_SIZE 4096u
#define HASH_DIGITS 32u
#define FILE_MAX    24u /* of a name of a snapshot's file */

static const char *const kinds[] = {
    [DISK_READ_ONLY] = "ro", [DISK_OVERLAY] = "overlay", [DISK_WRITABLE] = "writable"};
#define KINDS (sizeof(kinds) / sizeof(*kinds))

const char *disk_record_name(const struct disk_record *record, unsigned number,
                             char buffer[DISK_NAME_MAX])
{
    if (record->serial[0] != '\0')
        return record->serial;
    memcpy(buffer, "vda", 4);
    buffer[2] = (char)('a' + number % 26);
    return buffer;
}

static void file_name(unsigned number, char name[FILE_MAX])
{
    (void)snprintf(name, FILE_MAX, SNAPSHOT_DISK, number);
}

static bool is_same_hash(struct disk_hash a, struct disk_hash b)
{
    return a.high == b.high && a.low == b.low;
}

/* ---- fingerprints ------------------------------------------------------------------------- */

/* Parts of an image, one behind the other. */
struct excerpt {
    size_t size;
    char bytes[2 * END_SIZE];
};

static int add_part(struct excerpt *excerpt, int fd, uint64_t offset, size_t size,
                    struct thaw_error *err)
{
    int rc = file_pread_full(fd, excerpt->bytes + excerpt->size, size, offset, err);
    excerpt->size += size;
    return rc;
}

static struct disk_hash hash_of(const struct excerpt *excerpt, uint64_t image_size)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(excerpt->bytes, excerpt->size, image_size);
    return (struct disk_hash){.high = hash.high64, .low = hash.low64};
}

static int hash_ends(int fd, uint64_t size, struct disk_hash *hash, struct thaw_error *err)
{
    struct excerpt excerpt = {.size = 0};
    size_t part = size < END_SIZE ? (size_t)size : END_SIZE;
    int rc = add_part(&excerpt, fd, 0, part, err);
    if (rc == 0)
        rc = add_part(&excerpt, fd, size - part, part, err);
    *hash = hash_of(&excerpt, size);
    return rc;
}

static int hash_samples(int fd, uint64_t size, struct disk_hash *hash, struct thaw_error *err)
{
    struct excerpt excerpt = {.size = 0};
    size_t part = size < SAMPLE_SIZE ? (size_t)size : SAMPLE_SIZE;
    uint64_t step = (size - part) / (SAMPLES - 1);
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < SAMPLES; i++)
        rc = add_part(&excerpt, fd, i * step, part, err);
    *hash = hash_of(&excerpt, size);
    return rc;
}

static int take_fingerprint(int fd, uint64_t size, struct disk_fingerprint *fingerprint,
                            struct thaw_error *err)
{
    int rc = hash_ends(fd, size, &fingerprint->ends, err);
    return rc < 0 ? rc : hash_samples(fd, size, &fingerprint->samples, err);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static json_t *hash_to_json(struct disk_hash hash)
{
    char text[HASH_DIGITS + 1];
    (void)snprintf(text, sizeof(text), "%016" PRIx64 "%016" PRIx64, hash.high, hash.low);
    return json_string(text);
}

json_t *disk_record_to_json(const struct disk_record *record, struct thaw_error *err)
{
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:I, s:o, s:o, s:I, s:o}", "kind", kinds[record->kind], "path",
        record->path, "serial", record->serial, "size", (json_int_t)record->size, "ends",
        hash_to_json(record->fingerprint.ends), "samples",
        hash_to_json(record->fingerprint.samples), "stored_size", (json_int_t)record->stored_size,
        "stored_checksum", hash_to_json(record->stored_checksum));
    if (!json)
        thaw_fail_as(err, THAW_FAIL_IO, EILSEQ,
                     "disk: a snapshot cannot hold a path or serial that is not UTF-8");
    return json;
}

static int damaged(struct thaw_error *err, const char *key)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, "disk: `%s` is missing or wrong", key);
}

static int get_string(const json_t *json, const char *key, char *to, size_t size,
                      struct thaw_error *err)
{
    const json_t *value = json_object_get(json, key);
    const char *text = json_string_value(value);
    if (!text || json_string_length(value) >= size || json_string_length(value) != strlen(text))
        return damaged(err, key);
    memcpy(to, text, json_string_length(value) + 1);
    return 0;
}

static int get_bytes(const json_t *json, const char *key, uint64_t *to, struct thaw_error *err)
{
    const json_t *value = json_object_get(json, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return damaged(err, key);
    *to = (uint64_t)json_integer_value(value);
    return 0;
}

static int get_hash(const json_t *json, const char *key, struct disk_hash *to,
                    struct thaw_error *err)
{
    char text[HASH_DIGITS + 1];
    int rc = get_string(json, key, text, sizeof(text), err);
    if (rc < 0)
        return rc;
    if (strspn(text, "0123456789abcdef") != HASH_DIGITS)
        return damaged(err, key);
    to->low = strtoull(text + HASH_DIGITS / 2, NULL, 16);
    text[HASH_DIGITS / 2] = '\0';
    to->high = strtoull(text, NULL, 16);
    return 0;
}

static int get_kind(const json_t *json, enum disk_kind *kind, struct thaw_error *err)
{
    const char *text = json_string_value(json_object_get(json, "kind"));
    for (unsigned i = 0; text && i < KINDS; i++) {
        *kind = (enum disk_kind)i;
        if (strcmp(text, kinds[i]) == 0)
            return 0;
    }
    return damaged(err, "kind");
}

static int check_record(const struct disk_record *record, struct thaw_error *err)
{
    if (record->path[0] != '/')
        return damaged(err, "path");
    if (record->size == 0 || record->size % BLK_SECTOR != 0)
        return damaged(err, "size");
    bool is_sound = record->kind == DISK_READ_ONLY  ? record->stored_size == 0
                    : record->kind == DISK_WRITABLE ? record->stored_size == record->size
                                                    : true;
    return is_sound ? 0 : damaged(err, "stored_size");
}

int disk_record_from_json(struct disk_record *record, const json_t *json, struct thaw_error *err)
{
    *record = (struct disk_record){0};
    int rc = get_kind(json, &record->kind, err);
    if (rc == 0)
        rc = get_string(json, "path", record->path, sizeof(record->path), err);
    if (rc == 0)
        rc = get_string(json, "serial", record->serial, sizeof(record->serial), err);
    if (rc == 0)
        rc = get_bytes(json, "size", &record->size, err);
    if (rc == 0)
        rc = get_hash(json, "ends", &record->fingerprint.ends, err);
    if (rc == 0)
        rc = get_hash(json, "samples", &record->fingerprint.samples, err);
    if (rc == 0)
        rc = get_bytes(json, "stored_size", &record->stored_size, err);
    if (rc == 0)
        rc = get_hash(json, "stored_checksum", &record->stored_checksum, err);
    return rc < 0 ? rc : check_record(record, err);
}

/* ---- capture ------------------------------------------------------------------------------ */

static enum disk_kind kind_of(const struct blk_config *config)
{
    if (config->read_only)
        return DISK_READ_ONLY;
    return config->overlay && !config->is_copy ? DISK_OVERLAY : DISK_WRITABLE;
}

/* Absolute and without links, so that it means the same from anywhere. */
static int find_path(int fd, char path[PATH_MAX], struct thaw_error *err)
{
    char link[32];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return thaw_fail_io(err, errno, "%s", link);
    path[length] = '\0';
    return 0;
}

/* A base must still be there. Of a disk that is stored as a whole it is only told where it was. */
static int record_path(struct disk_record *record, int fd, struct thaw_error *err)
{
    struct stat there, open;
    int rc = find_path(fd, record->path, err);
    if (rc < 0 || record->kind == DISK_WRITABLE)
        return rc;
    if (stat(record->path, &there) < 0 || fstat(fd, &open) < 0)
        return thaw_fail_io(err, errno, "%s", record->path);
    if (there.st_dev != open.st_dev || there.st_ino != open.st_ino)
        return thaw_fail_as(err, THAW_FAIL_IO, ESTALE,
                            "%s: was replaced by another file while the guest ran", record->path);
    return 0;
}

static int find_size(int fd, uint64_t *size, struct thaw_error *err)
{
    off_t end = lseek(fd, 0, SEEK_END); /* of block devices, too */
    if (end < 0)
        return thaw_fail_io(err, errno, "size");
    *size = (uint64_t)end;
    return 0;
}

static int record_size(struct disk_record *record, const struct virtio_device *blk,
                       struct thaw_error *err)
{
    int rc = find_size(blk_descriptor(blk), &record->size, err);
    if (rc == 0 && record->size != blk_sectors(blk) * BLK_SECTOR)
        return thaw_fail_as(err, THAW_FAIL_IO, ESTALE,
                            "%s: has changed its size while the guest ran", record->path);
    return rc;
}

/* Fills the new file; the fingerprint is that of the base, which is here the file itself. */
static int store_image(int fd, int from, const struct overlay *overlay, struct disk_record *record,
                       struct thaw_error *err)
{
    record->stored_size = record->size;
    int rc = disk_file_copy(fd, from, record->size, overlay, err);
    return rc < 0 ? rc : take_fingerprint(fd, record->size, &record->fingerprint, err);
}

static int store(int fd, const struct virtio_device *blk, struct disk_record *record,
                 struct thaw_error *err)
{
    const struct overlay *overlay = blk_overlay(blk);
    int rc = record->kind == DISK_WRITABLE
                 ? store_image(fd, blk_descriptor(blk), overlay, record, err)
                 : disk_file_pack(fd, overlay, &record->stored_size, err);
    return rc < 0 ? rc : disk_file_hash(fd, record->stored_size, &record->stored_checksum, err);
}

static int create_and_store(const struct virtio_device *blk, int dir_fd, unsigned number,
                            struct disk_record *record, struct thaw_error *err)
{
    char name[FILE_MAX];
    file_name(number, name);
    cleanup_close int fd =
        openat(dir_fd, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return thaw_fail_io(err, errno, "%s", name);
    int rc = store(fd, blk, record, err);
    if (rc < 0) {
        (void)unlinkat(dir_fd, name, 0);
        return thaw_context(err, "%s", name);
    }
    return 0;
}

static bool is_to_be_stored(enum disk_kind kind, const struct virtio_device *blk)
{
    const struct overlay *overlay = blk_overlay(blk);
    return kind == DISK_WRITABLE || (overlay && disk_file_is_needed(overlay));
}

static int capture(const struct virtio_device *blk, int dir_fd, unsigned number,
                   struct disk_record *record, struct thaw_error *err)
{
    int fd = blk_descriptor(blk);
    int rc = record_path(record, fd, err);
    if (rc == 0)
        rc = record_size(record, blk, err);
    if (rc == 0 && record->kind != DISK_WRITABLE)
        rc = take_fingerprint(fd, record->size, &record->fingerprint, err);
    if (rc == 0 && is_to_be_stored(record->kind, blk))
        rc = create_and_store(blk, dir_fd, number, record, err);
    return rc;
}

int disk_capture(const struct virtio_device *blk, const struct blk_config *config, int dir_fd,
                 unsigned number, struct disk_record *record, struct thaw_error *err)
{
    char buffer[DISK_NAME_MAX];
    *record = (struct disk_record){.kind = kind_of(config)};
    if (config->serial) /* its length was checked when the device was made */
        (void)snprintf(record->serial, sizeof(record->serial), "%s", config->serial);
    if (capture(blk, dir_fd, number, record, err) == 0)
        return 0;
    thaw_context(err, "disk %s", disk_record_name(record, number, buffer));
    return thaw_reclassify(err, THAW_FAIL_IO);
}

/* ---- images ------------------------------------------------------------------------------- */

/* What a user has to know when an image is not there or not the right one. */
struct image {
    const struct disk_record *record;
    const char *name, *path;
};

static int missing(const struct image *image, const char *why, struct thaw_error *err)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_DISK, ENOENT,
                        "disk %s: %s: %s (--disk %s=PATH says where it is)", image->name,
                        image->path, why, image->name);
}

static int another(const struct image *image, struct thaw_error *err)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_DISK, EINVAL,
                        "disk %s: %s: not the image that the snapshot was made with", image->name,
                        image->path);
}

/* The path comes from a file: what is no image is not even opened, it could be a device that does
 * something then. */
static int open_image(const struct image *image, struct thaw_error *err)
{
    struct stat st;
    if (stat(image->path, &st) < 0)
        return missing(image, strerror(errno), err);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return another(image, err);
    int fd = open(image->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? missing(image, strerror(errno), err) : fd;
}

static int check_ends(int fd, const struct image *image, struct thaw_error *err)
{
    uint64_t size = 0;
    struct disk_hash ends;
    int rc = find_size(fd, &size, err);
    if (rc < 0 || size != image->record->size)
        return another(image, err);
    rc = hash_ends(fd, size, &ends, err);
    if (rc < 0)
        return missing(image, "cannot be read", err);
    return is_same_hash(ends, image->record->fingerprint.ends) ? 0 : another(image, err);
}

/* A copy that a guest had already may differ anywhere, and be written to once more: so it is
 * compared as a whole. */
static int check_copy(int fd, const struct image *image, struct thaw_error *err)
{
    const struct disk_record *record = image->record;
    struct disk_hash hash;
    if (disk_file_hash(fd, record->stored_size, &hash, err) < 0)
        return missing(image, "cannot be read", err);
    return is_same_hash(hash, record->stored_checksum) ? 0 : another(image, err);
}

static int check_image(const struct image *image, struct thaw_error *err)
{
    cleanup_close int fd = open_image(image, err);
    if (fd < 0)
        return fd;
    int rc = check_ends(fd, image, err);
    return rc == 0 && image->record->kind == DISK_WRITABLE ? check_copy(fd, image, err) : rc;
}

int disk_verify_image(const struct disk_record *record, unsigned number, const char *relocated,
                      struct thaw_error *err)
{
    char buffer[DISK_NAME_MAX];
    const struct image image = {.record = record,
                                .name = disk_record_name(record, number, buffer),
                                .path = relocated ? relocated : record->path};
    cleanup_close int fd = open_image(&image, err);
    if (fd < 0)
        return fd;
    struct disk_hash samples;
    int rc = check_ends(fd, &image, err);
    if (rc < 0)
        return rc;
    rc = hash_samples(fd, record->size, &samples, err);
    if (rc < 0)
        return missing(&image, "cannot be read", err);
    return is_same_hash(samples, record->fingerprint.samples) ? 0 : another(&image, err);
}

/* ---- disk-N ------------------------------------------------------------------------------- */

int disk_verify(const struct disk_record *record, int dir_fd, unsigned number,
                struct thaw_error *err)
{
    if (record->stored_size == 0)
        return 0;
    char name[FILE_MAX];
    file_name(number, name);
    cleanup_close int fd = snapshot_open_exact(dir_fd, name, record->stored_size, err);
    if (fd < 0)
        return fd;
    struct disk_hash hash;
    int rc = disk_file_hash(fd, record->stored_size, &hash, err);
    if (rc < 0)
        return thaw_context(err, "%s", name);
    if (!is_same_hash(hash, record->stored_checksum))
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, "%s: its checksum is wrong", name);
    return 0;
}

/* ---- restore ------------------------------------------------------------------------------ */

void disk_config_free(struct blk_config *config)
{
    struct overlay_layer *layer = (struct overlay_layer *)config->layer;
    if (layer) {
        free(layer->runs);
        close(layer->fd);
    }
    free(layer);
    free((char *)config->path);
    free((char *)config->serial);
    *config = (struct blk_config){0};
}

static int set_path(struct blk_config *config, const char *path, struct thaw_error *err)
{
    config->path = strdup(path);
    return config->path ? 0 : thaw_fail(err, ENOMEM, "%s", path);
}

/* The layer of what the guest had written. */
static int set_layer(struct blk_config *config, const struct disk_record *record, int dir_fd,
                     const char *name, struct thaw_error *err)
{
    cleanup_close int fd = snapshot_open_exact(dir_fd, name, record->stored_size, err);
    if (fd < 0)
        return fd;
    cleanup_free struct overlay_layer *layer = malloc(sizeof(*layer));
    if (!layer)
        return thaw_fail(err, ENOMEM, "%s", name);
    if (disk_file_unpack(fd, record->stored_size, record->size, layer, err) < 0)
        return thaw_context(err, "%s", name);
    config->layer = take(layer);
    (void)take_fd(&fd); /* it is the layer's */
    return 0;
}

/* By name: the disk is opened like any other. */
static int set_stored_path(struct blk_config *config, int stored, struct thaw_error *err)
{
    char path[PATH_MAX];
    int rc = find_path(stored, path, err);
    return rc < 0 ? rc : set_path(config, path, err);
}

static int restore_stored_image(struct blk_config *config, const struct image *image, int dir_fd,
                                const char *name, struct thaw_error *err)
{
    cleanup_close int fd = snapshot_open_exact(dir_fd, name, image->record->stored_size, err);
    if (fd < 0)
        return fd;
    if (check_ends(fd, image, err) < 0)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, "%s: its content was changed", name);
    config->overlay = true;
    config->is_copy = true;
    return set_stored_path(config, fd, err);
}

static int restore(const struct disk_record *record, int dir_fd, unsigned number,
                   const char *relocated, struct blk_config *config, struct thaw_error *err)
{
    char buffer[DISK_NAME_MAX], file[FILE_MAX];
    file_name(number, file);
    const struct image image = {.record = record,
                                .name = disk_record_name(record, number, buffer),
                                .path = relocated ? relocated : record->path};
    if (record->kind == DISK_WRITABLE && !relocated)
        return restore_stored_image(config, &image, dir_fd, file, err);
    config->read_only = record->kind == DISK_READ_ONLY;
    config->overlay = record->kind == DISK_OVERLAY;
    int rc = check_image(&image, err);
    if (rc == 0)
        rc = set_path(config, image.path, err);
    if (rc == 0 && config->overlay && record->stored_size > 0)
        rc = set_layer(config, record, dir_fd, file, err);
    return rc;
}

int disk_restore(const struct disk_record *record, int dir_fd, unsigned number,
                 const char *relocated, struct blk_config *config, struct thaw_error *err)
{
    *config = (struct blk_config){0};
    int rc = restore(record, dir_fd, number, relocated, config, err);
    if (rc == 0 && record->serial[0] != '\0') {
        config->serial = strdup(record->serial);
        rc = config->serial ? 0 : thaw_fail(err, ENOMEM, "disk");
    }
    if (rc < 0)
        disk_config_free(config);
    return rc;
}
