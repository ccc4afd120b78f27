/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/disk_file.h"

#include "vmm/base/blob.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xxhash.h>

#define BLOCK      65536u
#define ALIGN_DATA 4096u

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) / to * to;
}

/* ---- bytes -------------------------------------------------------------------------------- */

/* A file that ends early was changed under its lock. */
static int read_at(int fd, void *to, size_t size, uint64_t offset, struct thaw_error *err)
{
    int rc = file_pread_full(fd, to, size, offset, err);
    return rc < 0 ? thaw_reclassify(err, THAW_FAIL_IO) : 0;
}

static bool is_zero(const char *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static int copy_bytes(int to, uint64_t to_offset, int from, uint64_t from_offset, uint64_t length,
                      struct thaw_error *err)
{
    char buffer[BLOCK];
    int rc = 0;
    for (uint64_t done = 0; rc == 0 && done < length; done += BLOCK) {
        size_t size = (size_t)least(BLOCK, length - done);
        rc = read_at(from, buffer, size, from_offset + done, err);
        if (rc == 0)
            rc = file_pwrite_full(to, buffer, size, to_offset + done, err);
    }
    return rc;
}

/*
 * Whether there is data at `from`, a multiple of `unit`. Moves `*end` back to where that, or the
 * hole, ends, if it is before; what is data only in part counts as data.
 */
static bool is_data(int fd, uint64_t from, uint64_t unit, uint64_t *end)
{
    off_t data = lseek(fd, (off_t)from, SEEK_DATA);
    if (data < 0)
        return errno != ENXIO; /* ENXIO: a hole to the end; else nobody can tell */
    uint64_t first = (uint64_t)data / unit * unit;
    if (first > from) {
        *end = least(*end, first);
        return false;
    }
    off_t hole = lseek(fd, data, SEEK_HOLE);
    if (hole > data)
        *end = least(*end, round_up((uint64_t)hole, unit));
    return true;
}

/* ---- packing ------------------------------------------------------------------------------ */

/* A part of a disk that its guest has written. */
struct written {
    uint64_t at, length; /* bytes of the disk */
    struct overlay_extent from;
    bool zeros;
};

static int file_of(const struct overlay *overlay, const struct written *part)
{
    return part->from.file == OVERLAY_OWN ? overlay->fd : overlay->layer.fd;
}

/* The next part at or after `at`; false: there is none. */
static bool find_written(const struct overlay *overlay, uint64_t at, struct written *part)
{
    uint64_t size = overlay->sectors * OVERLAY_SECTOR;
    struct overlay_extent from = {0};
    for (; at < size; at += from.length) {
        from = overlay_find(overlay, at, size - at);
        if (from.file != OVERLAY_BASE)
            break;
    }
    if (at >= size)
        return false;
    uint64_t end = at + from.length;
    bool zeros = from.file == OVERLAY_OWN && !is_data(overlay->fd, at, OVERLAY_SECTOR, &end);
    *part = (struct written){.at = at, .length = end - at, .from = from, .zeros = zeros};
    return true;
}

bool disk_file_is_needed(const struct overlay *overlay)
{
    struct written part;
    return find_written(overlay, 0, &part);
}

static int add_run(struct blob *runs, const struct written *part, struct thaw_error *err)
{
    struct overlay_run run = {.sector = part->at / OVERLAY_SECTOR,
                              .count = part->length / OVERLAY_SECTOR,
                              .offset = part->zeros ? OVERLAY_ZEROS : 0};
    if (runs->size > 0) {
        struct overlay_run *last = (struct overlay_run *)(runs->data + runs->size) - 1;
        if (last->sector + last->count == run.sector && last->offset == run.offset) {
            last->count += run.count;
            return 0;
        }
    }
    if (runs->size / sizeof(run) == DISK_FILE_RUNS_MAX)
        return thaw_fail_as(err, THAW_FAIL_IO, EFBIG, "written to in more than %u places",
                            DISK_FILE_RUNS_MAX);
    return blob_append(runs, &run, sizeof(run), err) ? 0 : thaw_error_code(err);
}

static int find_runs(const struct overlay *overlay, struct blob *runs, struct thaw_error *err)
{
    struct written part;
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && find_written(overlay, at, &part); at = part.at + part.length)
        rc = add_run(runs, &part, err);
    return rc;
}

/* Gives every run the place of its data; returns where the last one ends. */
static uint64_t place_runs(struct overlay_run *runs, size_t count, uint64_t at)
{
    for (size_t i = 0; i < count; i++) {
        if (runs[i].offset == OVERLAY_ZEROS)
            continue;
        runs[i].offset = at;
        at += runs[i].count * OVERLAY_SECTOR;
    }
    return at;
}

static uint64_t header_checksum(const struct disk_file_header *header,
                                const struct overlay_run *runs)
{
    struct disk_file_header plain = *header;
    plain.checksum = 0;
    uint64_t of_header = XXH3_64bits(&plain, sizeof(plain));
    return XXH3_64bits_withSeed(runs, header->run_count * sizeof(*runs), of_header);
}

static int write_run(int fd, const struct overlay *overlay, const struct overlay_run *run,
                     struct thaw_error *err)
{
    uint64_t at = run->sector * OVERLAY_SECTOR, end = at + run->count * OVERLAY_SECTOR;
    uint64_t to = run->offset;
    int rc = 0;
    while (rc == 0 && at < end) {
        struct written part = {.from = overlay_find(overlay, at, end - at)};
        uint64_t length = part.from.length;
        rc = copy_bytes(fd, to, file_of(overlay, &part), part.from.offset, length, err);
        at += length;
        to += length;
    }
    return rc;
}

static int write_packed(int fd, const struct disk_file_header *header,
                        const struct overlay_run *runs, const struct overlay *overlay,
                        struct thaw_error *err)
{
    int rc = file_pwrite_full(fd, header, sizeof(*header), 0, err);
    if (rc == 0)
        rc = file_pwrite_full(fd, runs, header->run_count * sizeof(*runs), sizeof(*header), err);
    for (uint64_t i = 0; rc == 0 && i < header->run_count; i++)
        if (runs[i].offset != OVERLAY_ZEROS)
            rc = write_run(fd, overlay, &runs[i], err);
    /* All runs may be zeros: then the file ends where the data would begin. */
    if (rc == 0 && ftruncate(fd, (off_t)header->file_size) < 0)
        return thaw_fail_io(err, errno, "write");
    return rc;
}

int disk_file_pack(int fd, const struct overlay *overlay, uint64_t *size, struct thaw_error *err)
{
    cleanup_blob struct blob table = {0};
    int rc = find_runs(overlay, &table, err);
    if (rc < 0)
        return rc;
    struct overlay_run *runs = (struct overlay_run *)table.data;
    struct disk_file_header header = {
        .version = DISK_FILE_VERSION,
        .sector_size = OVERLAY_SECTOR,
        .sectors = overlay->sectors,
        .run_count = table.size / sizeof(*runs),
        .data_offset = round_up(sizeof(header) + table.size, ALIGN_DATA),
    };
    memcpy(header.magic, DISK_FILE_MAGIC, sizeof(header.magic));
    header.file_size = place_runs(runs, header.run_count, header.data_offset);
    header.checksum = header_checksum(&header, runs);
    *size = header.file_size;
    return write_packed(fd, &header, runs, overlay, err);
}

/* ---- unpacking ---------------------------------------------------------------------------- */

static int damaged(struct thaw_error *err, const char *why)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, "%s", why);
}

static int read_checked(int fd, void *to, size_t size, uint64_t offset, struct thaw_error *err)
{
    int rc = file_pread_full(fd, to, size, offset, err);
    return rc < 0 ? thaw_reclassify(err, THAW_FAIL_SNAPSHOT) : 0;
}

static int check_header(const struct disk_file_header *h, uint64_t file_size, uint64_t disk_size,
                        struct thaw_error *err)
{
    if (memcmp(h->magic, DISK_FILE_MAGIC, sizeof(h->magic)) != 0)
        return damaged(err, "not what a guest has written to a disk");
    if (h->version != DISK_FILE_VERSION)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_VERSION, ENOTSUP, "format %u is not known",
                            h->version);
    if (h->file_size != file_size)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_SHORT, EINVAL, "has %llu bytes instead of %llu",
                            (unsigned long long)file_size, (unsigned long long)h->file_size);
    if (h->sector_size != OVERLAY_SECTOR || h->sectors != disk_size / OVERLAY_SECTOR)
        return damaged(err, "is of a disk of another size");
    if (h->run_count > DISK_FILE_RUNS_MAX ||
        h->data_offset !=
            round_up(sizeof(*h) + h->run_count * sizeof(struct overlay_run), ALIGN_DATA) ||
        h->data_offset > file_size)
        return damaged(err, "its table does not fit");
    return 0;
}

/* Ascending, apart, on the disk; the data without a gap or a rest. */
static bool are_runs_sound(const struct disk_file_header *h, const struct overlay_run *runs)
{
    uint64_t sector = 0, offset = h->data_offset;
    for (uint64_t i = 0; i < h->run_count; i++) {
        const struct overlay_run *run = &runs[i];
        if (run->sector < sector || run->sector > h->sectors || run->count == 0 ||
            run->count > h->sectors - run->sector)
            return false;
        sector = run->sector + run->count;
        if (run->offset == OVERLAY_ZEROS)
            continue;
        if (run->offset != offset || run->count > (h->file_size - offset) / OVERLAY_SECTOR)
            return false;
        offset += run->count * OVERLAY_SECTOR;
    }
    return offset == h->file_size;
}

int disk_file_unpack(int fd, uint64_t file_size, uint64_t disk_size, struct overlay_layer *layer,
                     struct thaw_error *err)
{
    struct disk_file_header header;
    int rc = read_checked(fd, &header, sizeof(header), 0, err);
    if (rc == 0)
        rc = check_header(&header, file_size, disk_size, err);
    if (rc < 0)
        return rc;
    size_t size = header.run_count * sizeof(struct overlay_run);
    cleanup_free struct overlay_run *runs = malloc(size + 1);
    if (!runs)
        return thaw_fail(err, ENOMEM, "table");
    rc = read_checked(fd, runs, size, sizeof(header), err);
    if (rc < 0)
        return rc;
    if (header_checksum(&header, runs) != header.checksum)
        return damaged(err, "the checksum of its table is wrong");
    if (!are_runs_sound(&header, runs))
        return damaged(err, "its table is not in order");
    *layer = (struct overlay_layer){.fd = fd, .run_count = header.run_count, .runs = take(runs)};
    return 0;
}

/* ---- raw images --------------------------------------------------------------------------- */

static int copy_blocks(int fd, int from, uint64_t at, uint64_t end, struct thaw_error *err)
{
    char buffer[BLOCK];
    int rc = 0;
    for (; rc == 0 && at < end; at += BLOCK) {
        size_t size = (size_t)least(BLOCK, end - at);
        rc = read_at(from, buffer, size, at, err);
        if (rc == 0 && !is_zero(buffer, size))
            rc = file_pwrite_full(fd, buffer, size, at, err);
    }
    return rc;
}

static int copy_data(int fd, int from, uint64_t size, struct thaw_error *err)
{
    if (ftruncate(fd, (off_t)size) < 0)
        return thaw_fail_io(err, errno, "write");
    int rc = 0;
    for (uint64_t at = 0, end; rc == 0 && at < size; at = end) {
        end = size;
        if (is_data(from, at, BLOCK, &end))
            rc = copy_blocks(fd, from, at, end, err);
    }
    return rc;
}

static int clear_range(int fd, uint64_t at, uint64_t length, struct thaw_error *err)
{
    static const char zeros[BLOCK];
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)at, (off_t)length) == 0)
        return 0;
    int rc = 0;
    for (uint64_t done = 0; rc == 0 && done < length; done += BLOCK)
        rc = file_pwrite_full(fd, zeros, (size_t)least(BLOCK, length - done), at + done, err);
    return rc;
}

static int put_over(int fd, const struct overlay *overlay, struct thaw_error *err)
{
    struct written part;
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && find_written(overlay, at, &part); at = part.at + part.length)
        rc = part.zeros ? clear_range(fd, part.at, part.length, err)
                        : copy_bytes(fd, part.at, file_of(overlay, &part), part.from.offset,
                                     part.length, err);
    return rc;
}

int disk_file_copy(int fd, int from, uint64_t size, const struct overlay *overlay,
                   struct thaw_error *err)
{
    int rc = ioctl(fd, FICLONE, from) == 0 ? 0 : copy_data(fd, from, size, err);
    return rc == 0 && overlay ? put_over(fd, overlay, err) : rc;
}

/* ---- checksum ----------------------------------------------------------------------------- */

static int hash_blocks(XXH3_state_t *state, int fd, uint64_t at, uint64_t end,
                       struct thaw_error *err)
{
    char buffer[BLOCK];
    for (; at < end; at += BLOCK) {
        size_t size = (size_t)least(BLOCK, end - at);
        int rc = read_at(fd, buffer, size, at, err);
        if (rc < 0)
            return rc;
        if (is_zero(buffer, size))
            continue;
        XXH3_128bits_update(state, &at, sizeof(at));
        XXH3_128bits_update(state, buffer, size);
    }
    return 0;
}

static void free_state(XXH3_state_t **state)
{
    XXH3_freeState(*state);
}

int disk_file_hash(int fd, uint64_t size, struct disk_hash *hash, struct thaw_error *err)
{
    cleanup(free_state) XXH3_state_t *state = XXH3_createState();
    if (!state)
        return thaw_fail(err, ENOMEM, "checksum");
    XXH3_128bits_reset(state);
    int rc = 0;
    for (uint64_t at = 0, end; rc == 0 && at < size; at = end) {
        end = size;
        if (is_data(fd, at, BLOCK, &end))
            rc = hash_blocks(state, fd, at, end, err);
    }
    XXH3_128bits_update(state, &size, sizeof(size));
    XXH128_hash_t digest = XXH3_128bits_digest(state);
    *hash = (struct disk_hash){.high = digest.high64, .low = digest.low64};
    return rc;
}
