/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/pack_files.h"
#include "snapshot/pack_frames.h"
#include "snapshot/stream.h"
#include "snapshot/stream_format.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

static const struct pack_options defaults;

struct writer {
    int fd;
    XXH3_state_t *hash; /* of all that was written */
};

static int writer_init(struct writer *writer, int fd, struct thaw_error *err)
{
    *writer = (struct writer){.fd = fd, .hash = XXH3_createState()};
    if (!writer->hash)
        return thaw_fail(err, ENOMEM, "stream");
    XXH3_64bits_reset(writer->hash);
    (void)fcntl(fd, F_SETPIPE_SZ, STREAM_PIPE_SIZE);
    return 0;
}

static void writer_free(struct writer *writer)
{
    XXH3_freeState(writer->hash);
}
#define cleanup_writer cleanup(writer_free)

static int put(struct writer *writer, const void *data, size_t size, struct thaw_error *err)
{
    XXH3_64bits_update(writer->hash, data, size);
    return file_write_full(writer->fd, data, size, err) < 0 ? thaw_context(err, "stream") : 0;
}

static int put_record(struct writer *writer, enum stream_record_type type, uint64_t number,
                      uint64_t length, struct thaw_error *err)
{
    const struct stream_record record = {type, (uint32_t)number, length};
    return put(writer, &record, sizeof(record), err);
}

static int put_front(struct writer *writer, const struct blob *state, const struct blob *index,
                     struct thaw_error *err)
{
    int rc = put(writer, state->data, state->size, err);
    if (rc == 0)
        rc = put_record(writer, STREAM_INDEX, 0, index->size, err);
    return rc < 0 ? rc : put(writer, index->data, index->size, err);
}

static int put_frame(void *ctx, uint64_t frame, const void *data, size_t size,
                     struct thaw_error *err)
{
    int rc = put_record(ctx, STREAM_FRAME, frame, size, err);
    return rc < 0 ? rc : put(ctx, data, size, err);
}

/* ---- disks -------------------------------------------------------------------------------- */

struct disks {
    struct writer *writer;
    struct thaw_error *err;
};

static int put_data(struct writer *writer, unsigned number, const void *data, size_t size,
                    uint64_t offset, struct thaw_error *err)
{
    int rc = put_record(writer, STREAM_DATA, number, sizeof(offset) + size, err);
    if (rc == 0)
        rc = put(writer, &offset, sizeof(offset), err);
    return rc < 0 ? rc : put(writer, data, size, err);
}

/* From `offset` to `end`, which is no hole. */
static int put_stretch(struct writer *writer, unsigned number, int fd, uint64_t offset,
                       uint64_t end, struct thaw_error *err)
{
    cleanup_free void *buffer = malloc(STREAM_DATA_MAX);
    if (!buffer)
        return thaw_fail(err, ENOMEM, "stream");
    while (offset < end) {
        size_t size = end - offset < STREAM_DATA_MAX ? end - offset : STREAM_DATA_MAX;
        int rc = file_pread_full(fd, buffer, size, offset, err);
        if (rc == 0)
            rc = put_data(writer, number, buffer, size, offset, err);
        if (rc < 0)
            return thaw_context(err, SNAPSHOT_DISK, number);
        offset += size;
    }
    return 0;
}

static int put_content(struct writer *writer, unsigned number, int fd, uint64_t size,
                       struct thaw_error *err)
{
    int rc = put_record(writer, STREAM_DISK, number, sizeof(size), err);
    if (rc == 0)
        rc = put(writer, &size, sizeof(size), err);
    off_t data, hole = 0;
    while (rc == 0 && (data = lseek(fd, hole, SEEK_DATA)) >= 0 && (uint64_t)data < size) {
        hole = lseek(fd, data, SEEK_HOLE);
        uint64_t end = hole < 0 || (uint64_t)hole > size ? size : (uint64_t)hole;
        rc = put_stretch(writer, number, fd, (uint64_t)data, end, err);
        hole = (off_t)end;
    }
    return rc;
}

static int put_disk(void *ctx, int dir_fd, const char *name)
{
    const struct disks *disks = ctx;
    char expected[32] = "";
    uint64_t size;
    if (!publish_is_disk_file(name))
        return 0;
    unsigned long number = strtoul(name + strlen("disk-"), NULL, 10);
    if (number < STREAM_DISKS_MAX)
        snprintf(expected, sizeof(expected), SNAPSHOT_DISK, (unsigned)number);
    if (strcmp(name, expected) != 0)
        return thaw_fail_as(disks->err, THAW_FAIL_SNAPSHOT, EINVAL, "%s: not a disk's number",
                            name);
    cleanup_close int fd = snapshot_open_file(dir_fd, name, &size, disks->err);
    return fd < 0 ? fd : put_content(disks->writer, (unsigned)number, fd, size, disks->err);
}

/* The disks and the end. */
static int put_back(struct writer *writer, int disks_fd, struct thaw_error *err)
{
    struct disks disks = {.writer = writer, .err = err};
    int rc = disks_fd < 0 ? 0 : publish_each_file(disks_fd, put_disk, &disks);
    if (rc < 0 && err->code == 0)
        return thaw_fail_io(err, -rc, "disks");
    if (rc == 0)
        rc = put_record(writer, STREAM_END, 0, sizeof(XXH64_hash_t), err);
    XXH64_hash_t checksum = XXH3_64bits_digest(writer->hash);
    return rc < 0 ? rc : put(writer, &checksum, sizeof(checksum), err);
}

/* ---- whole streams ------------------------------------------------------------------------ */

int stream_write(int fd, const struct stream_content *content, const struct pack_options *options,
                 struct thaw_error *err)
{
    cleanup_writer struct writer writer;
    const struct frame_source source = {
        .map = content->map,
        .memory = content->memory,
        .fd = content->memory_fd,
    };
    int rc = writer_init(&writer, fd, err);
    if (rc == 0)
        rc = put_front(&writer, content->state, content->index, err);
    if (rc == 0)
        rc =
            frames_compress(&source, options ? options : &defaults, false, put_frame, &writer, err);
    return rc < 0 ? rc : put_back(&writer, content->disks_fd, err);
}

/* Frames that are compressed already go as they are. */
static int put_packed(struct writer *writer, int packed, const struct memory_map *map,
                      const struct pack_options *options, struct thaw_error *err)
{
    cleanup_seek_table struct seek_table table = {0};
    cleanup_free uint8_t *buffer = malloc(PACK_FRAME_BOUND);
    if (!buffer)
        return thaw_fail(err, ENOMEM, "stream");
    int rc = seek_table_read(&table, packed, map, err);
    for (uint64_t frame = frame_next_data(map, 0); rc == 0 && frame < table.count;
         frame = frame_next_data(map, frame + 1)) {
        const struct seek_entry *entry = &table.entries[frame];
        if (file_pread_full(packed, buffer, entry->size, entry->offset, err) < 0)
            return thaw_context(err, SNAPSHOT_PACKED ": frame %" PRIu64, frame);
        rc = seek_table_check(entry, frame, buffer, err);
        if (rc == 0)
            rc = put_frame(writer, frame, buffer, entry->size, err);
        frame_progress(options, map, frame);
    }
    if (rc == 0)
        frame_progress(options, map, table.count);
    return rc;
}

static int write_packed(int fd, int dir_fd, const struct snapshot_parts *parts,
                        const struct pack_options *options, struct thaw_error *err)
{
    cleanup_writer struct writer writer = {0};
    cleanup_close int packed = packed_open(dir_fd, &parts->map, err);
    int rc = packed < 0 ? packed : writer_init(&writer, fd, err);
    if (rc == 0)
        rc = put_front(&writer, &parts->state.file, &parts->index.file, err);
    if (rc == 0)
        rc = put_packed(&writer, packed, &parts->map, options ? options : &defaults, err);
    return rc < 0 ? rc : put_back(&writer, dir_fd, err);
}

int snapshot_pack_stream(int dir_fd, int fd, const struct pack_options *options,
                         struct thaw_error *err)
{
    cleanup_snapshot_parts struct snapshot_parts parts;
    int rc = snapshot_parts_read(dir_fd, &parts, err);
    if (rc < 0)
        return rc;
    if (packed_is(dir_fd))
        return write_packed(fd, dir_fd, &parts, options, err);
    cleanup_close int memory = memory_file_open(dir_fd, &parts.map, err);
    if (memory < 0)
        return memory;
    const struct stream_content content = {
        .state = &parts.state.file,
        .index = &parts.index.file,
        .map = &parts.map,
        .memory_fd = memory,
        .disks_fd = dir_fd,
    };
    return stream_write(fd, &content, options, err);
}
