/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/pack_files.h"
#include "snapshot/pack_frames.h"
#include "snapshot/stream.h"
#include "snapshot/stream_format.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <xxhash.h>

static const struct pack_options defaults;

struct stream_reader {
    int fd, end_fd;     /* the latter: see stream_end_with() */
    XXH3_state_t *hash; /* of all that was read */
};

/* What comes behind the state, and where it goes. */
struct receiving {
    struct stream_reader *reader;
    const struct frame_sink *sink;
    const struct pack_options *options;
    struct blob *index; /* empty before */
    int disks_fd;

    struct frame_pool *pool;
    uint64_t next; /* frame that must come */
    unsigned disk; /* that `disk_fd` is, when that is not -1 */
    int disk_fd;
    uint64_t disk_size, disk_end; /* bytes; up to where it has been written */
    bool over;
};

__attribute__((format(printf, 2, 3))) static int damaged(struct thaw_error *err, const char *why,
                                                         ...)
{
    char text[200];
    va_list args;
    va_start(args, why);
    vsnprintf(text, sizeof(text), why, args);
    va_end(args);
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, "stream: %s", text);
}

/* Waits for more, or for the end. */
static int await(const struct stream_reader *reader, struct thaw_error *err)
{
    struct pollfd fds[] = {{.fd = reader->end_fd, .events = POLLIN},
                           {.fd = reader->fd, .events = POLLIN}};
    if (reader->end_fd < 0)
        return 0;
    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return thaw_fail(err, errno, "stream: poll");
    return fds[0].revents == 0
               ? 0
               : thaw_fail_as(err, THAW_FAIL_INTERRUPTED, EINTR, "stream: was not read to its end");
}

static int get(struct stream_reader *reader, void *to, size_t size, const char *what,
               struct thaw_error *err)
{
    for (size_t there = 0; there < size;) {
        if (await(reader, err) < 0)
            return thaw_error_code(err);
        ssize_t n = read(reader->fd, (char *)to + there, size - there);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return thaw_fail_io(err, errno, "stream");
        if (n == 0)
            return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_SHORT, EINVAL, "stream: ends early, in %s",
                                what);
        there += (size_t)n;
    }
    XXH3_64bits_update(reader->hash, to, size);
    return 0;
}

/* ---- the state ---------------------------------------------------------------------------- */

/* A header that is wrong is read no further: who checks the state says what is wrong with it. */
static int get_state(struct stream_reader *reader, struct blob *file, struct thaw_error *err)
{
    struct snapshot_header header;
    int rc = get(reader, &header, sizeof(header), SNAPSHOT_STATE, err);
    if (rc < 0)
        return rc;
    if (!blob_append(file, &header, sizeof(header), err))
        return thaw_error_code(err);
    if (memcmp(header.magic, SNAPSHOT_MAGIC, sizeof(header.magic)) != 0 ||
        header.file_size <= sizeof(header))
        return 0;
    if (header.file_size > SNAPSHOT_STATE_MAX)
        return damaged(err, SNAPSHOT_STATE ": larger than %u bytes", SNAPSHOT_STATE_MAX);
    size_t size = header.file_size - sizeof(header);
    void *rest = blob_append(file, NULL, size, err);
    return rest ? get(reader, rest, size, SNAPSHOT_STATE, err) : thaw_error_code(err);
}

int stream_open(int fd, struct stream_reader **out, struct snapshot_state *state,
                struct thaw_error *err)
{
    cleanup_blob struct blob file = {0};
    struct stream_reader *reader = calloc(1, sizeof(*reader));
    if (!reader || !(reader->hash = XXH3_createState())) {
        free(reader);
        return thaw_fail(err, ENOMEM, "stream");
    }
    XXH3_64bits_reset(reader->hash);
    reader->fd = fd;
    reader->end_fd = -1;
    (void)fcntl(fd, F_SETPIPE_SZ, STREAM_PIPE_SIZE);
    int rc = get_state(reader, &file, err);
    if (rc == 0)
        rc = snapshot_state_parse(state, &file, err);
    if (rc < 0)
        stream_close(reader);
    else
        *out = reader;
    return rc;
}

void stream_end_with(struct stream_reader *reader, int fd)
{
    reader->end_fd = fd;
}

void stream_close(struct stream_reader *reader)
{
    if (reader)
        XXH3_freeState(reader->hash);
    free(reader);
}

/* ---- the records -------------------------------------------------------------------------- */

static int get_index(struct receiving *in, struct thaw_error *err)
{
    const struct memory_map *map = in->sink->map;
    struct stream_record record;
    int rc = get(in->reader, &record, sizeof(record), SNAPSHOT_INDEX, err);
    if (rc < 0)
        return rc;
    size_t size = sizeof(struct memory_index_header) +
                  memory_chunk_count(map->pages) * sizeof(struct memory_index_entry);
    if (record.type != STREAM_INDEX || record.length != size)
        return damaged(err, "the state is not followed by the " SNAPSHOT_INDEX " of its memory");
    void *to = blob_append(in->index, NULL, size, err);
    if (!to || get(in->reader, to, size, SNAPSHOT_INDEX, err) < 0)
        return thaw_error_code(err);
    if (memory_index_checksum(in->index) != map->index_checksum)
        return damaged(err, SNAPSHOT_INDEX ": damaged, or of another snapshot");
    return 0;
}

static int get_frame(struct receiving *in, const struct stream_record *record,
                     struct thaw_error *err)
{
    if (record->number != in->next)
        return damaged(err, "frame %" PRIu32 " where frame %" PRIu64 " should be", record->number,
                       in->next);
    if (record->length > PACK_FRAME_BOUND)
        return damaged(err, "frame %" PRIu32 ": larger than a frame can be", record->number);
    struct frame_input *input = frame_pool_take(in->pool, true);
    if (!input)
        return 0; /* a frame was wrong: the pool knows which */
    input->frame = record->number;
    input->size = record->length;
    int rc = get(in->reader, input->data, input->size, "a frame", err);
    if (rc < 0)
        return rc;
    frame_pool_submit(in->pool, input);
    frame_progress(in->options, in->sink->map, in->next);
    in->next = frame_next_data(in->sink->map, in->next + 1);
    return 0;
}

static int check_disk(const struct receiving *in, const struct stream_record *record,
                      struct thaw_error *err)
{
    if (record->number >= STREAM_DISKS_MAX || record->length != sizeof(in->disk_size))
        return damaged(err, "the record of disk %" PRIu32 " is wrong", record->number);
    if (in->disks_fd < 0)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_DISK, EINVAL,
                            "stream: has disks, and there is no place for them");
    return 0;
}

static int create_disk(struct receiving *in, uint64_t size, struct thaw_error *err)
{
    char name[32];
    snprintf(name, sizeof(name), SNAPSHOT_DISK, in->disk);
    if (in->disk_fd >= 0)
        close(in->disk_fd);
    in->disk_fd =
        openat(in->disks_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (in->disk_fd < 0 && errno == EEXIST)
        return damaged(err, "%s is there twice", name);
    if (size > INT64_MAX)
        return damaged(err, "%s: larger than a file can be", name);
    if (in->disk_fd < 0 || ftruncate(in->disk_fd, (off_t)size) < 0)
        return thaw_fail_io(err, errno, "%s", name);
    in->disk_size = size;
    in->disk_end = 0;
    return 0;
}

static int get_disk(struct receiving *in, const struct stream_record *record,
                    struct thaw_error *err)
{
    uint64_t size = 0;
    int rc = check_disk(in, record, err);
    if (rc == 0)
        rc = get(in->reader, &size, sizeof(size), "a disk", err);
    if (rc < 0)
        return rc;
    in->disk = record->number;
    return create_disk(in, size, err);
}

static int get_data(struct receiving *in, const struct stream_record *record,
                    struct thaw_error *err)
{
    uint64_t offset = 0, size = record->length - sizeof(offset);
    if (in->disk_fd < 0 || record->number != in->disk || record->length <= sizeof(offset) ||
        size > STREAM_DATA_MAX)
        return damaged(err, "data of disk %" PRIu32 " that is not expected", record->number);
    cleanup_free uint8_t *data = malloc(size);
    if (!data)
        return thaw_fail(err, ENOMEM, "stream");
    int rc = get(in->reader, &offset, sizeof(offset), "a disk", err);
    if (rc == 0)
        rc = get(in->reader, data, size, "a disk", err);
    if (rc < 0)
        return rc;
    if (offset < in->disk_end || offset > in->disk_size || size > in->disk_size - offset)
        return damaged(err, "data of disk %" PRIu32 " that is not in its place", record->number);
    in->disk_end = offset + size;
    if (file_pwrite_full(in->disk_fd, data, size, offset, err) < 0)
        return thaw_context(err, SNAPSHOT_DISK, in->disk);
    return 0;
}

static int get_end(struct receiving *in, const struct stream_record *record, struct thaw_error *err)
{
    XXH64_hash_t expected = XXH3_64bits_digest(in->reader->hash), checksum = 0;
    if (record->length != sizeof(checksum) || record->number != 0)
        return damaged(err, "its last record is wrong");
    int rc = get(in->reader, &checksum, sizeof(checksum), "its checksum", err);
    if (rc == 0 && checksum != expected)
        rc = damaged(err, "its checksum is wrong");
    in->over = rc == 0;
    return rc;
}

static int get_record(struct receiving *in, struct thaw_error *err)
{
    struct stream_record record;
    int rc = get(in->reader, &record, sizeof(record), "a record", err);
    if (rc < 0)
        return rc;
    if (record.type == STREAM_FRAME)
        return get_frame(in, &record, err);
    if (in->next < frame_count(in->sink->map->pages))
        return damaged(err, "frame %" PRIu64 " is missing", in->next);
    switch (record.type) {
    case STREAM_DISK:
        return get_disk(in, &record, err);
    case STREAM_DATA:
        return get_data(in, &record, err);
    case STREAM_END:
        return get_end(in, &record, err);
    default:
        return damaged(err, "record of unknown type %" PRIu32, record.type);
    }
}

static int get_records(struct receiving *in, struct thaw_error *err)
{
    struct thaw_error of_pool = {0};
    int rc = get_index(in, err);
    if (rc == 0)
        rc = frame_pool_create(&in->pool, in->sink, in->options, err);
    while (rc == 0 && !in->over && !frame_pool_failed(in->pool))
        rc = get_record(in, err);
    int unpacked = frame_pool_finish(in->pool, &of_pool);
    if (in->disk_fd >= 0)
        close(in->disk_fd);
    if (unpacked == 0)
        return rc;
    *err = of_pool;
    return thaw_context(err, "stream");
}

static int receive(struct receiving *in, struct thaw_error *err)
{
    in->options = in->options ? in->options : &defaults;
    in->disk_fd = -1;
    in->next = frame_next_data(in->sink->map, 0);
    int rc = get_records(in, err);
    if (rc == 0)
        frame_progress(in->options, in->sink->map, frame_count(in->sink->map->pages));
    return rc;
}

int stream_load(struct stream_reader *reader, const struct memory_map *map,
                const struct guest_memory *memory, int disks_fd, const struct pack_options *options,
                struct thaw_error *err)
{
    cleanup_blob struct blob index = {0};
    const struct frame_sink sink = {.map = map, .memory = memory, .fd = -1};
    struct receiving in = {
        .reader = reader,
        .sink = &sink,
        .options = options,
        .index = &index,
        .disks_fd = disks_fd,
    };
    return receive(&in, err);
}

/* ---- into a directory --------------------------------------------------------------------- */

static int receive_memory(struct stream_reader *reader, const struct memory_map *map,
                          const struct publish *publish, const struct pack_options *options,
                          struct thaw_error *err)
{
    cleanup_blob struct blob index = {0};
    cleanup_close int memory = publish_memory(publish, map, err);
    if (memory < 0)
        return memory;
    const struct frame_sink sink = {.map = map, .fd = memory};
    struct receiving in = {
        .reader = reader,
        .sink = &sink,
        .options = options,
        .index = &index,
        .disks_fd = publish->fd,
    };
    int rc = receive(&in, err);
    if (rc == 0)
        rc = publish_blob(publish, SNAPSHOT_INDEX, &index, err);
    return rc < 0 ? rc : memory_file_verify(publish->fd, memory, map, NULL, NULL, err);
}

static int receive_all(struct stream_reader *reader, const struct snapshot_state *state,
                       const char *to, const struct pack_options *options, struct thaw_error *err)
{
    cleanup_memory_map struct memory_map map = {0};
    cleanup_publish struct publish publish = PUBLISH_NONE;
    int rc = snapshot_map_read(state, &map, err);
    if (rc == 0)
        rc = publish_begin(&publish, to, err);
    if (rc == 0)
        rc = publish_blob(&publish, SNAPSHOT_STATE, &state->file, err);
    if (rc == 0)
        rc = receive_memory(reader, &map, &publish, options, err);
    return rc < 0 ? rc : publish_commit(&publish, options && options->sync, err);
}

int snapshot_unpack_stream(int fd, const char *to, const struct pack_options *options,
                           struct thaw_error *err)
{
    struct stream_reader *reader = NULL;
    cleanup_snapshot_state struct snapshot_state state = {0};
    int rc = stream_open(fd, &reader, &state, err);
    if (rc == 0)
        rc = receive_all(reader, &state, to, options, err);
    stream_close(reader);
    return rc;
}
