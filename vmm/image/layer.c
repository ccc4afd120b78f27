/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/layer.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"
#include "vmm/image/layer_path.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define READ_SIZE (256u << 10)
#define TAR_BLOCK 512u

/* Two archives, one behind the other: `raw` takes the compression away, what comes out of it goes
 * through the digest, and `tar` makes entries of it. */
struct reader {
    struct archive *raw, *tar;
    struct sha256_ctx sha256;
    bool empty;     /* raw has nothing at all */
    uint64_t total; /* bytes that came out of raw */
    uint8_t data[READ_SIZE];
};

static void free_reader(struct reader **reader)
{
    if (!*reader)
        return;
    archive_read_free((*reader)->tar);
    archive_read_free((*reader)->raw);
    free(*reader);
}

static int fail_io(const char *path, int code, struct thaw_error *err)
{
    return thaw_fail_io(err, code, "%.200s", path);
}

static int fail_archive(struct archive *archive, struct thaw_error *err)
{
    const char *why = archive_error_string(archive);
    return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL, "%s", why ? why : "damaged");
}

/* ---- the stream ---------------------------------------------------------------------------- */

static ssize_t read_raw(struct reader *reader)
{
    if (reader->empty)
        return 0;
    ssize_t n = archive_read_data(reader->raw, reader->data, sizeof(reader->data));
    if (n > 0)
        sha256_update(&reader->sha256, (size_t)n, reader->data);
    reader->total += n > 0 ? (size_t)n : 0;
    return n;
}

/* umoci ends a layer with the last file's last byte. The rest of that block is made up here: what
 * is really cut short has another diff_id. */
static ssize_t fill_block(struct reader *reader)
{
    size_t missing = (size_t)(-reader->total % TAR_BLOCK);
    memset(reader->data, 0, missing);
    reader->total += missing;
    return (ssize_t)missing;
}

static ssize_t feed_tar(struct archive *tar, void *context, const void **buffer)
{
    struct reader *reader = context;
    ssize_t n = read_raw(reader);
    *buffer = reader->data;
    if (n == 0)
        return fill_block(reader);
    if (n > 0)
        return n;
    const char *why = archive_error_string(reader->raw);
    archive_set_error(tar, EINVAL, "%s", why ? why : "damaged");
    return ARCHIVE_FATAL;
}

static int open_raw(struct reader *reader, int fd, enum compression compression,
                    struct thaw_error *err)
{
    struct archive *raw = reader->raw;
    int filter = ARCHIVE_FILTER_NONE;
    if (compression == COMPRESSION_GZIP) {
        filter = ARCHIVE_FILTER_GZIP;
        archive_read_support_filter_gzip(raw);
    } else if (compression == COMPRESSION_ZSTD) {
        filter = ARCHIVE_FILTER_ZSTD;
        archive_read_support_filter_zstd(raw);
    }
    archive_read_support_format_raw(raw);
    archive_read_support_format_empty(raw);
    if (archive_read_open_fd(raw, fd, READ_SIZE) != ARCHIVE_OK)
        return fail_archive(raw, err);

    struct archive_entry *entry;
    int rc = archive_read_next_header(raw, &entry);
    if (rc != ARCHIVE_OK && rc != ARCHIVE_EOF)
        return fail_archive(raw, err);
    reader->empty = rc == ARCHIVE_EOF;
    /* Without the filter's magic libarchive takes the bytes as they are. */
    if (archive_filter_code(raw, 0) != filter)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL, "not %s data, as its media type says",
                            compression_name(compression));
    return 0;
}

static int open_reader(struct reader *reader, int fd, enum compression compression,
                       struct thaw_error *err)
{
    sha256_init(&reader->sha256);
    reader->raw = archive_read_new();
    reader->tar = archive_read_new();
    if (!reader->raw || !reader->tar)
        return thaw_fail(err, ENOMEM, "layer");
    int rc = open_raw(reader, fd, compression, err);
    if (rc < 0)
        return rc;
    archive_read_support_format_tar(reader->tar);
    archive_read_support_format_empty(reader->tar);
    if (archive_read_open(reader->tar, reader, NULL, feed_tar, NULL) != ARCHIVE_OK)
        return fail_archive(reader->tar, err);
    return 0;
}

/* The digest is over the padding after the archive's end, too. */
static int check_diff_id(struct reader *reader, const struct digest *diff_id,
                         struct thaw_error *err)
{
    ssize_t n;
    do {
        n = read_raw(reader);
    } while (n > 0);
    if (n < 0)
        return fail_archive(reader->raw, err);
    struct digest digest;
    sha256_digest(&reader->sha256, sizeof(digest.bytes), digest.bytes);
    if (digest_equal(&digest, diff_id))
        return 0;
    char seen[DIGEST_TEXT_SIZE];
    digest_text(&digest, seen);
    return thaw_fail_as(err, THAW_FAIL_IMAGE, EBADMSG, "wrong diff_id: the unpacked layer has %s",
                        seen);
}

/* ---- one entry ----------------------------------------------------------------------------- */

struct place {
    int directory; /* O_PATH */
    const char *path, *base;
    struct archive_entry *entry;
};

static struct timespec mtime_of(struct archive_entry *entry)
{
    return (struct timespec){.tv_sec = archive_entry_mtime(entry),
                             .tv_nsec = archive_entry_mtime_nsec(entry)};
}

static bool is_kept_attribute(const char *name)
{
    return strncmp(name, "user.", strlen("user.")) == 0 || strcmp(name, "security.capability") == 0;
}

static int set_attributes(int fd, const struct place *place, struct thaw_error *err)
{
    const char *name;
    const void *value;
    size_t size;
    archive_entry_xattr_reset(place->entry);
    while (archive_entry_xattr_next(place->entry, &name, &value, &size) == ARCHIVE_OK) {
        if (is_kept_attribute(name) && fsetxattr(fd, name, value, size, 0) < 0) {
            fail_io(name, errno, err);
            return thaw_context(err, "%.200s", place->path);
        }
    }
    return 0;
}

/* Owner first: changing it takes away set-user-ID bits and capabilities. */
static int set_metadata(int fd, const struct place *place, struct thaw_error *err)
{
    const struct timespec mtime = mtime_of(place->entry), times[2] = {mtime, mtime};
    if (fchown(fd, (uid_t)archive_entry_uid(place->entry), (gid_t)archive_entry_gid(place->entry)) <
            0 ||
        fchmod(fd, archive_entry_perm(place->entry)) < 0)
        return fail_io(place->path, errno, err);
    int rc = set_attributes(fd, place, err);
    if (rc == 0 && futimens(fd, times) < 0)
        rc = fail_io(place->path, errno, err);
    return rc;
}

/* Of what cannot be opened: symbolic links, devices, FIFOs. */
static int set_metadata_at(const struct place *place, struct thaw_error *err)
{
    const struct timespec mtime = mtime_of(place->entry), times[2] = {mtime, mtime};
    bool link = archive_entry_filetype(place->entry) == AE_IFLNK;
    if (fchownat(place->directory, place->base, (uid_t)archive_entry_uid(place->entry),
                 (gid_t)archive_entry_gid(place->entry), AT_SYMLINK_NOFOLLOW) < 0 ||
        (!link &&
         fchmodat(place->directory, place->base, archive_entry_perm(place->entry), 0) < 0) ||
        utimensat(place->directory, place->base, times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_io(place->path, errno, err);
    return 0;
}

static int write_contents(struct archive *tar, int fd, const struct place *place,
                          struct thaw_error *err)
{
    const void *data;
    size_t size;
    int64_t offset;
    int status;
    while ((status = archive_read_data_block(tar, &data, &size, &offset)) == ARCHIVE_OK) {
        if (file_pwrite_full(fd, data, size, (uint64_t)offset, err) < 0)
            return thaw_context(err, "%.200s", place->path);
    }
    if (status != ARCHIVE_EOF) {
        fail_archive(tar, err);
        return thaw_context(err, "%.200s", place->path);
    }
    /* A hole at the end is not written. */
    return ftruncate(fd, archive_entry_size(place->entry)) < 0 ? fail_io(place->path, errno, err)
                                                               : 0;
}

static int make_file(struct archive *tar, const struct place *place, struct thaw_error *err)
{
    cleanup_close int fd = openat(place->directory, place->base,
                                  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_io(place->path, errno, err);
    int rc = write_contents(tar, fd, place, err);
    return rc < 0 ? rc : set_metadata(fd, place, err);
}

static int set_directory(struct unpack *unpack, int fd, const struct place *place,
                         struct thaw_error *err)
{
    int rc = set_metadata(fd, place, err);
    return rc < 0 ? rc : unpack_note_time(unpack, place->path, mtime_of(place->entry), err);
}

/* One that is there already stays, with new metadata. */
static int make_directory(struct unpack *unpack, const struct place *place, struct thaw_error *err)
{
    if (mkdirat(place->directory, place->base, 0700) < 0 && errno != EEXIST)
        return fail_io(place->path, errno, err);
    cleanup_close int fd =
        openat(place->directory, place->base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? fail_io(place->path, errno, err) : set_directory(unpack, fd, place, err);
}

static int make_node(const struct place *place, struct thaw_error *err)
{
    mode_t type = archive_entry_filetype(place->entry);
    dev_t device = type == AE_IFIFO ? 0 : archive_entry_rdev(place->entry);
    if (mknodat(place->directory, place->base, type | 0600, device) < 0)
        return fail_io(place->path, errno, err);
    return set_metadata_at(place, err);
}

static int make_symlink(const struct place *place, struct thaw_error *err)
{
    const char *target = archive_entry_symlink(place->entry);
    if (!target || target[0] == '\0')
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL, "%.200s: a symbolic link without target",
                            place->path);
    if (symlinkat(target, place->directory, place->base) < 0)
        return fail_io(place->path, errno, err);
    return set_metadata_at(place, err);
}

/* Whatever is there goes, but for a directory where a directory comes. */
static int make_room(const struct place *place, struct thaw_error *err)
{
    struct stat st;
    if (fstatat(place->directory, place->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : fail_io(place->path, errno, err);
    if (S_ISDIR(st.st_mode) && archive_entry_filetype(place->entry) == AE_IFDIR)
        return 0;
    return unpack_remove(place->directory, place->base, err);
}

static int make_entry(struct archive *tar, struct unpack *unpack, const struct place *place,
                      struct thaw_error *err)
{
    switch (archive_entry_filetype(place->entry)) {
    case AE_IFREG:
        return make_file(tar, place, err);
    case AE_IFDIR:
        return make_directory(unpack, place, err);
    case AE_IFLNK:
        return make_symlink(place, err);
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFIFO:
        return make_node(place, err);
    default:
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL,
                            "%.200s: of a type that file systems do not have", place->path);
    }
}

/* ---- hard links ---------------------------------------------------------------------------- */

static int check_target(int directory, const char *base, const struct place *place,
                        const char *target, bool *same, struct thaw_error *err)
{
    struct stat st, own;
    if (fstatat(directory, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? thaw_fail_as(err, THAW_FAIL_IMAGE, ENOENT,
                                              "%.200s: hard link to %.200s, which is not there",
                                              place->path, target)
                               : fail_io(place->path, errno, err);
    if (S_ISDIR(st.st_mode))
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EISDIR,
                            "%.200s: hard link to %.200s, a directory", place->path, target);
    *same = fstatat(place->directory, place->base, &own, AT_SYMLINK_NOFOLLOW) == 0 &&
            own.st_dev == st.st_dev && own.st_ino == st.st_ino;
    return 0;
}

static int make_hardlink(struct unpack *unpack, const struct place *place, const char *name,
                         struct thaw_error *err)
{
    char target[PATH_MAX];
    int rc = layer_path_clean(name, target);
    if (rc < 0 || target[0] == '\0')
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EXDEV,
                            "%.200s: hard link to %.200s, which is out of the root", place->path,
                            name);
    const char *base;
    size_t length = layer_path_split(target, &base);
    cleanup_close int directory = unpack_open_directory(unpack, target, length, false, err);
    if (directory == -ENOENT)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOENT,
                            "%.200s: hard link to %.200s, which is not there", place->path, target);
    if (directory < 0)
        return directory;

    bool same = false;
    rc = check_target(directory, base, place, target, &same, err);
    if (rc < 0 || same)
        return rc;
    rc = unpack_remove(place->directory, place->base, err);
    if (rc == 0 && linkat(directory, base, place->directory, place->base, 0) < 0)
        rc = fail_io(place->path, errno, err);
    return rc;
}

/* ---- the layer ----------------------------------------------------------------------------- */

static int apply_whiteout(struct unpack *unpack, const char *path, const char *hidden,
                          struct thaw_error *err)
{
    const char *base;
    size_t length = layer_path_split(path, &base);
    cleanup_close int directory = unpack_open_directory(unpack, path, length, false, err);
    if (directory == -ENOENT)
        return 0; /* nothing there to hide */
    if (directory < 0)
        return directory;
    return hidden ? unpack_hide(unpack, directory, hidden, err)
                  : unpack_hide_all(unpack, directory, err);
}

static int apply_root(struct unpack *unpack, struct archive_entry *entry, struct thaw_error *err)
{
    if (archive_entry_filetype(entry) != AE_IFDIR)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOTDIR, "the root is not a directory");
    const struct place place = {.path = "", .base = ".", .entry = entry};
    cleanup_close int fd = openat(unpack->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? fail_io("/", errno, err) : set_directory(unpack, fd, &place, err);
}

static int apply_plain(struct archive *tar, struct unpack *unpack, struct archive_entry *entry,
                       const char *path, struct thaw_error *err)
{
    struct place place = {.path = path, .entry = entry};
    size_t length = layer_path_split(path, &place.base);
    cleanup_close int directory = unpack_open_directory(unpack, path, length, true, err);
    if (directory < 0)
        return directory;
    place.directory = directory;

    const char *target = archive_entry_hardlink(entry);
    int rc;
    if (target) {
        rc = make_hardlink(unpack, &place, target, err);
    } else {
        rc = make_room(&place, err);
        if (rc == 0)
            rc = make_entry(tar, unpack, &place, err);
    }
    return rc < 0 ? rc : unpack_note_made(unpack, directory, place.base, err);
}

static int apply_entry(struct archive *tar, struct unpack *unpack, struct archive_entry *entry,
                       struct thaw_error *err)
{
    char path[PATH_MAX];
    const char *name = archive_entry_pathname(entry), *hidden = NULL;
    int rc = name ? layer_path_clean(name, path) : -EILSEQ;
    if (rc == -EXDEV)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EXDEV,
                            "%.200s: an absolute name, or one with \"..\"", name);
    if (rc < 0)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, -rc, "%.200s: not a name for a file",
                            name ? name : "?");
    if (path[0] == '\0')
        return apply_root(unpack, entry, err);

    switch (layer_path_classify(path, &hidden)) {
    case LAYER_NAME_META:
        return 0;
    case LAYER_NAME_BAD:
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL,
                            "%.200s: not a whiteout that means anything", path);
    case LAYER_NAME_WHITEOUT:
        return apply_whiteout(unpack, path, hidden, err);
    case LAYER_NAME_OPAQUE:
        return apply_whiteout(unpack, path, NULL, err);
    case LAYER_NAME_PLAIN:
        break;
    }
    return apply_plain(tar, unpack, entry, path, err);
}

static int apply_entries(struct reader *reader, struct unpack *unpack, struct thaw_error *err)
{
    for (;;) {
        struct archive_entry *entry;
        int status = archive_read_next_header(reader->tar, &entry);
        if (status == ARCHIVE_EOF)
            return 0;
        /* Warnings, too: a name or an attribute would be other than it was. */
        if (status != ARCHIVE_OK)
            return fail_archive(reader->tar, err);
        int rc = apply_entry(reader->tar, unpack, entry, err);
        if (rc < 0)
            return rc;
    }
}

int layer_unpack(const struct layer *layer, struct unpack *unpack, struct thaw_error *err)
{
    uint64_t size = 0;
    cleanup_close int fd = file_open_regular(layer->path, THAW_FAIL_IMAGE, &size, err);
    if (fd < 0)
        return fd;
    cleanup(free_reader) struct reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return thaw_fail(err, ENOMEM, "layer");
    unpack_next_layer(unpack);
    int rc = open_reader(reader, fd, layer->compression, err);
    if (rc == 0)
        rc = apply_entries(reader, unpack, err);
    if (rc == 0)
        rc = check_diff_id(reader, &layer->diff_id, err);
    return rc;
}
