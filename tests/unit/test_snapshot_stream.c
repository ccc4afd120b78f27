/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/stream.h"

#include "snapshot/stream_format.h"
#include "tests/unit/pack_rig.h"
#include "vmm/base/file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <xxhash.h>

#define MIB  (1u << 20)
#define SIZE (32 * MIB) /* the least that a guest can have */

static struct pack_rig rig;
static struct thaw_error err;
static int end_fd = -1; /* of load() */

static void setup(void)
{
    err = (struct thaw_error){0};
    signal(SIGPIPE, SIG_IGN);
}

static void teardown(void)
{
    pack_rig_free(&rig);
}

TestSuite(stream, .init = setup, .fini = teardown, .timeout = 120);

static int write_live(int fd)
{
    const struct stream_content content = {
        .state = &rig.state,
        .index = &rig.index,
        .map = &rig.map,
        .memory = &rig.memory,
        .disks_fd = rig.plain_fd,
    };
    return stream_write(fd, &content, NULL, &err);
}

/* As a file in memory, whose bytes the tests then change. */
static void make_stream(struct blob *stream)
{
    cleanup_close int fd = memfd_create("stream", MFD_CLOEXEC);
    struct stat st;
    cr_assert_eq(write_live(fd), 0, "%s", err.message);
    cr_assert_eq(fstat(fd, &st), 0);
    *stream = (struct blob){0};
    cr_assert_not_null(blob_append(stream, NULL, (size_t)st.st_size, &err));
    cr_assert_eq(file_pread_full(fd, stream->data, stream->size, 0, &err), 0);
}

static int bytes_to_fd(const void *data, size_t size)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);
    cr_assert_eq(file_write_full(fd, data, size, &err), 0);
    cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* As `thaw restore -` does it. */
static int load(int fd, int disks_fd)
{
    struct stream_reader *reader = NULL;
    cleanup_snapshot_state struct snapshot_state state = {0};
    cleanup_memory_map struct memory_map map = {0};
    size_t size;
    pack_rig_clear(&rig);
    err = (struct thaw_error){0};
    int rc = stream_open(fd, &reader, &state, &err);
    if (rc < 0)
        return rc;
    const void *bytes = snapshot_section_get(&state, SNAPSHOT_MEMORY_MAP, 0, &size, &err);
    cr_assert_not_null(bytes);
    cr_assert_eq(memory_map_decode(&map, bytes, size, &err), 0, "%s", err.message);
    stream_end_with(reader, end_fd);
    rc = stream_load(reader, &map, &rig.other, disks_fd, NULL, &err);
    stream_close(reader);
    return rc;
}

static int load_bytes(const void *data, size_t size)
{
    cleanup_close int fd = bytes_to_fd(data, size);
    return load(fd, -1);
}

static int unpack_bytes(const void *data, size_t size)
{
    cleanup_close int fd = bytes_to_fd(data, size);
    err = (struct thaw_error){0};
    return snapshot_unpack_stream(fd, rig.again, NULL, &err);
}

static void *write_to_pipe(void *ctx)
{
    int fd = *(int *)ctx;
    struct thaw_error own = {0};
    int rc = snapshot_pack_stream(rig.plain_fd, fd, NULL, &own);
    close(fd);
    return rc == 0 ? NULL : ctx;
}

static void check_pipe(uint64_t size, enum pack_fill fill)
{
    int pipes[2];
    pthread_t thread;
    void *failed;
    pack_rig_make(&rig, size, fill);
    cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
    cr_assert_eq(pthread_create(&thread, NULL, write_to_pipe, &pipes[1]), 0);
    cr_assert_eq(load(pipes[0], -1), 0, "%s", err.message);
    close(pipes[0]);
    cr_assert_eq(pthread_join(thread, &failed), 0);
    cr_assert_null(failed);
    cr_assert(pack_rig_is_same(&rig));
}

Test(stream, sparse_memory_comes_back_through_a_pipe)
{
    check_pipe(SIZE, FILL_SPARSE);
}

Test(stream, random_memory_comes_back_through_a_pipe)
{
    check_pipe(SIZE, FILL_RANDOM);
}

Test(stream, memory_that_does_not_end_with_a_frame_comes_back_through_a_pipe)
{
    check_pipe(SIZE + 3 * GUEST_PAGE_SIZE, FILL_SPARSE);
}

Test(stream, empty_memory_is_a_short_stream)
{
    pack_rig_make(&rig, SIZE, FILL_NOTHING);
    cleanup_blob struct blob stream;
    make_stream(&stream);
    cr_assert_lt(stream.size, 4096);
    cr_assert_eq(load_bytes(stream.data, stream.size), 0, "%s", err.message);
    cr_assert(pack_rig_is_same(&rig));
}

Test(stream, a_directory_comes_back_as_it_was)
{
    pack_rig_make(&rig, SIZE, FILL_SPARSE);
    cleanup_blob struct blob stream;
    make_stream(&stream);
    cr_assert_eq(unpack_bytes(stream.data, stream.size), 0, "%s", err.message);
    cr_assert(pack_rig_equal(rig.plain, rig.again, SNAPSHOT_STATE));
    cr_assert(pack_rig_equal(rig.plain, rig.again, SNAPSHOT_INDEX));
    cr_assert(pack_rig_equal(rig.plain, rig.again, SNAPSHOT_MEMORY));
    cr_assert_eq(pack_rig_count(rig.again), 3);
    cr_assert_leq(pack_rig_blocks(rig.again, SNAPSHOT_MEMORY),
                  page_runs_pages(&rig.map.data) * GUEST_PAGE_SIZE + 64 * GUEST_PAGE_SIZE,
                  "it is sparse again");
}

Test(stream, a_packed_directory_streams_the_same_bytes)
{
    pack_rig_make(&rig, SIZE, FILL_SPARSE);
    cleanup_blob struct blob stream;
    make_stream(&stream);
    cr_assert_eq(snapshot_pack(rig.plain_fd, rig.packed, NULL, &err), 0, "%s", err.message);
    cleanup_close int dir = pack_rig_open(rig.packed);
    cleanup_close int fd = memfd_create("stream", MFD_CLOEXEC);
    cleanup_free uint8_t *bytes = malloc(stream.size);
    cr_assert_eq(snapshot_pack_stream(dir, fd, NULL, &err), 0, "%s", err.message);
    cr_assert_eq(pread(fd, bytes, stream.size, 0), (ssize_t)stream.size);
    cr_assert_arr_eq(bytes, stream.data, stream.size);
}

static void make_disks(void)
{
    cleanup_close int fd = openat(rig.plain_fd, "disk-1", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(ftruncate(fd, 5 * MIB), 0);
    cr_assert_eq(pwrite(fd, "middle", 6, 3 * MIB), 6);
    pack_rig_write(rig.plain, "disk-0", "content", 7);
}

Test(stream, disks_come_along_with_their_holes)
{
    pack_rig_make(&rig, SIZE, FILL_SPARSE);
    make_disks();
    cleanup_blob struct blob stream;
    make_stream(&stream);
    cr_assert_eq(unpack_bytes(stream.data, stream.size), 0, "%s", err.message);
    cr_assert(pack_rig_equal(rig.plain, rig.again, "disk-0"));
    cr_assert(pack_rig_equal(rig.plain, rig.again, "disk-1"));
    cr_assert_lt(pack_rig_blocks(rig.again, "disk-1"), MIB);
}

Test(stream, disks_without_a_place_are_refused)
{
    pack_rig_make(&rig, SIZE, FILL_SPARSE);
    make_disks();
    cleanup_blob struct blob stream;
    make_stream(&stream);
    cr_assert_lt(load_bytes(stream.data, stream.size), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_DISK, "%s", err.message);
}

Test(stream, disks_are_put_where_the_caller_wants_them)
{
    pack_rig_make(&rig, SIZE, FILL_SPARSE);
    make_disks();
    cleanup_blob struct blob stream;
    make_stream(&stream);
    cr_assert_eq(mkdir(rig.again, 0700), 0);
    cleanup_close int dir = pack_rig_open(rig.again);
    cleanup_close int fd = bytes_to_fd(stream.data, stream.size);
    cr_assert_eq(load(fd, dir), 0, "%s", err.message);
    cr_assert(pack_rig_equal(rig.plain, rig.again, "disk-1"));
    cr_assert(pack_rig_is_same(&rig));
}

Test(stream, a_stream_that_ends_anywhere_is_short_and_publishes_nothing)
{
    pack_rig_make(&rig, SIZE, FILL_SPARSE);
    make_disks();
    cleanup_blob struct blob stream;
    make_stream(&stream);
    for (size_t size = 0; size < stream.size; size += size + 128 < stream.size ? 677 : 1) {
        cr_assert_lt(unpack_bytes(stream.data, size), 0, "%zu", size);
        cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_SHORT, "%zu: %s", size, err.message);
        cr_assert_eq(pack_rig_count(rig.base), 1, "%zu", size);
    }
}

Test(stream, a_bit_that_flips_anywhere_is_refused)
{
    pack_rig_make(&rig, SIZE, FILL_SPARSE);
    cleanup_blob struct blob stream;
    make_stream(&stream);
    for (size_t at = 0; at < stream.size; at += 227) {
        stream.data[at] ^= 1;
        cr_assert_lt(load_bytes(stream.data, stream.size), 0, "byte %zu", at);
        cr_assert_geq(err.failure, THAW_FAIL_SNAPSHOT, "byte %zu: %s", at, err.message);
        cr_assert_leq(err.failure, THAW_FAIL_SNAPSHOT_DISK, "byte %zu: %s", at, err.message);
        stream.data[at] ^= 1;
    }
}

Test(stream, waiting_for_the_rest_of_a_stream_can_be_ended)
{
    cleanup_blob struct blob stream = {0};
    int pipes[2];
    pack_rig_make(&rig, SIZE, FILL_NOTHING);
    make_stream(&stream);
    cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
    cr_assert_geq(fcntl(pipes[1], F_SETPIPE_SZ, (int)stream.size), (int)stream.size);
    cr_assert_eq(file_write_full(pipes[1], stream.data, stream.size, &err), 0);
    end_fd = eventfd(0, EFD_CLOEXEC);
    cr_assert_eq(load(pipes[0], -1), 0, "nobody ended it: %s", err.message);
    cr_assert_eq(file_write_full(pipes[1], stream.data, stream.size - 1, &err), 0);
    eventfd_write(end_fd, 1);
    cr_assert_eq(load(pipes[0], -1), -EINTR);
    cr_assert_eq(err.failure, THAW_FAIL_INTERRUPTED);
    close(end_fd);
    close(pipes[0]);
    close(pipes[1]);
}

/* ---- records that are whole and wrong ----------------------------------------------------- */

/* Where the record behind the one at `at` begins. */
static size_t next_record(const struct blob *stream, size_t at)
{
    struct stream_record record;
    memcpy(&record, stream->data + at, sizeof(record));
    return at + sizeof(record) + record.length;
}

/* Where record number `number` behind the index begins. */
static size_t find_record(const struct blob *stream, unsigned number)
{
    size_t at = next_record(stream, rig.state.size);
    while (number-- > 0)
        at = next_record(stream, at);
    return at;
}

static void append_record(struct blob *stream, enum stream_record_type type, unsigned number,
                          const void *data, size_t size)
{
    const struct stream_record record = {type, number, size};
    cr_assert_not_null(blob_append(stream, &record, sizeof(record), &err));
    if (size > 0)
        cr_assert_not_null(blob_append(stream, data, size, &err));
}

/* With a checksum that is right. */
static void append_end(struct blob *stream)
{
    const struct stream_record record = {STREAM_END, 0, 8};
    cr_assert_not_null(blob_append(stream, &record, sizeof(record), &err));
    XXH64_hash_t checksum = XXH3_64bits(stream->data, stream->size);
    cr_assert_not_null(blob_append(stream, &checksum, sizeof(checksum), &err));
}

static void check_refused(const struct blob *stream, const char *why)
{
    cr_assert_lt(unpack_bytes(stream->data, stream->size), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT, "%s", err.message);
    cr_assert_not_null(strstr(err.message, why), "%s", err.message);
    cr_assert_eq(pack_rig_count(rig.base), 1);
}

/* A stream without its end, and all its frames when `frames`. */
static void make_open_stream(struct blob *stream, bool frames)
{
    pack_rig_make(&rig, SIZE, FILL_SPARSE);
    make_stream(stream);
    stream->size = frames ? stream->size - 24 : find_record(stream, 0);
}

Test(stream, a_missing_frame_is_refused)
{
    cleanup_blob struct blob stream;
    make_open_stream(&stream, false);
    append_end(&stream);
    check_refused(&stream, "frame 0 is missing");
}

Test(stream, frames_out_of_order_are_refused)
{
    cleanup_blob struct blob stream, changed = {0};
    make_open_stream(&stream, true);
    size_t first = find_record(&stream, 0), second = find_record(&stream, 1);
    cr_assert_not_null(blob_append(&changed, stream.data, first, &err));
    cr_assert_not_null(blob_append(&changed, stream.data + second, stream.size - second, &err));
    append_end(&changed);
    check_refused(&changed, "where frame 0 should be");
}

Test(stream, a_frame_that_is_too_long_is_refused)
{
    cleanup_blob struct blob stream;
    make_open_stream(&stream, false);
    const struct stream_record record = {STREAM_FRAME, 0, UINT64_MAX};
    cr_assert_not_null(blob_append(&stream, &record, sizeof(record), &err));
    check_refused(&stream, "larger than a frame can be");
}

Test(stream, a_frame_that_is_none_is_refused)
{
    cleanup_blob struct blob stream;
    make_open_stream(&stream, false);
    append_record(&stream, STREAM_FRAME, 0, "rubbish", 7);
    append_end(&stream);
    check_refused(&stream, "frame 0: not a zstd frame");
}

Test(stream, a_record_of_unknown_type_is_refused)
{
    cleanup_blob struct blob stream;
    make_open_stream(&stream, true);
    append_record(&stream, (enum stream_record_type)77, 0, "", 0);
    append_end(&stream);
    check_refused(&stream, "unknown type 77");
}

Test(stream, a_disk_that_comes_twice_is_refused)
{
    const uint64_t size = 4096;
    cleanup_blob struct blob stream;
    make_open_stream(&stream, true);
    append_record(&stream, STREAM_DISK, 3, &size, sizeof(size));
    append_record(&stream, STREAM_DISK, 3, &size, sizeof(size));
    append_end(&stream);
    check_refused(&stream, "disk-3 is there twice");
}

Test(stream, a_disk_of_an_impossible_number_or_size_is_refused)
{
    const uint64_t size = UINT64_MAX;
    cleanup_blob struct blob stream;
    make_open_stream(&stream, true);
    size_t end = stream.size;
    append_record(&stream, STREAM_DISK, STREAM_DISKS_MAX, &size, sizeof(size));
    check_refused(&stream, "disk 256");
    stream.size = end;
    append_record(&stream, STREAM_DISK, 0, &size, sizeof(size));
    check_refused(&stream, "larger than a file can be");
}

Test(stream, data_outside_of_its_disk_is_refused)
{
    const uint64_t size = 4096, where[] = {4096, UINT64_MAX, 4089};
    cleanup_blob struct blob stream;
    make_open_stream(&stream, true);
    append_record(&stream, STREAM_DISK, 0, &size, sizeof(size));
    size_t end = stream.size;
    for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
        uint8_t data[16] = {0};
        memcpy(data, &where[i], sizeof(where[i]));
        stream.size = end;
        append_record(&stream, STREAM_DATA, 0, data, sizeof(data));
        append_end(&stream);
        check_refused(&stream, "not in its place");
    }
}

Test(stream, data_of_no_disk_is_refused)
{
    const uint64_t data[2] = {0};
    cleanup_blob struct blob stream;
    make_open_stream(&stream, true);
    append_record(&stream, STREAM_DATA, 0, data, sizeof(data));
    append_end(&stream);
    check_refused(&stream, "not expected");
}

Test(stream, an_index_of_another_snapshot_is_refused)
{
    pack_rig_make(&rig, SIZE, FILL_SPARSE);
    cleanup_blob struct blob stream = {0};
    cr_assert_not_null(blob_append(&stream, rig.state.data, rig.state.size, &err));
    rig.index.data[rig.index.size - 1] ^= 1;
    append_record(&stream, STREAM_INDEX, 0, rig.index.data, rig.index.size);
    append_end(&stream);
    check_refused(&stream, "of another snapshot");
}

Test(stream, what_is_no_snapshot_is_refused_by_its_first_bytes)
{
    pack_rig_make(&rig, SIZE, FILL_NOTHING);
    uint8_t zeros[4096] = {0};
    struct blob stream = {.data = zeros, .size = sizeof(zeros)};
    check_refused(&stream, "not a snapshot");
    struct snapshot_header header = {.magic = SNAPSHOT_MAGIC, .file_size = UINT64_MAX};
    memcpy(zeros, &header, sizeof(header));
    check_refused(&stream, "larger than");
}

Test(stream, a_reader_that_goes_away_is_an_input_output_error)
{
    int pipes[2];
    pack_rig_make(&rig, SIZE, FILL_RANDOM);
    cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
    close(pipes[0]);
    cr_assert_eq(write_live(pipes[1]), -EPIPE);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
    close(pipes[1]);
}

Test(stream, a_full_disk_is_an_input_output_error)
{
    pack_rig_make(&rig, SIZE, FILL_RANDOM);
    cleanup_close int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    cr_assert_eq(write_live(full), -ENOSPC);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
}
