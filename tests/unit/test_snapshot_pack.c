/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/pack.h"
#include "snapshot/pack_files.h"
#include "snapshot/pack_frames.h"
#include "tests/unit/pack_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define MIB  (1u << 20)
#define SIZE (32 * MIB) /* the least that a guest can have */

static struct pack_rig rig;
static struct thaw_error err;

static void setup(void)
{
    err = (struct thaw_error){0};
}

static void teardown(void)
{
    pack_rig_free(&rig);
}

TestSuite(pack, .init = setup, .fini = teardown, .timeout = 120);

/* Makes the snapshot and packs it. */
static void make_packed(uint64_t size, enum pack_fill fill, const struct pack_options *options)
{
    pack_rig_make(&rig, size, fill);
    cr_assert_eq(snapshot_pack(rig.plain_fd, rig.packed, options, &err), 0, "%s", err.message);
}

static int load(const struct pack_options *options)
{
    cleanup_close int dir = pack_rig_open(rig.packed);
    cleanup_close int fd = openat(dir, SNAPSHOT_PACKED, O_RDONLY | O_CLOEXEC);
    pack_rig_clear(&rig);
    err = (struct thaw_error){0};
    return packed_load(fd, &rig.map, &rig.other, options, NULL, &err);
}

static int unpack(void)
{
    cleanup_close int dir = pack_rig_open(rig.packed);
    err = (struct thaw_error){0};
    return snapshot_unpack(dir, rig.again, NULL, &err);
}

static int verify(void)
{
    cleanup_close int dir = pack_rig_open(rig.packed);
    err = (struct thaw_error){0};
    return packed_verify(dir, &rig.map, NULL, &err);
}

static void check_round_trip(uint64_t size, enum pack_fill fill)
{
    make_packed(size, fill, NULL);
    cr_assert(pack_rig_equal(rig.plain, rig.packed, SNAPSHOT_STATE));
    cr_assert(pack_rig_equal(rig.plain, rig.packed, SNAPSHOT_INDEX));
    cr_assert_eq(pack_rig_count(rig.packed), 3);
    cr_assert_eq(load(NULL), 0, "%s", err.message);
    cr_assert(pack_rig_is_same(&rig));
    cr_assert_eq(verify(), 0, "%s", err.message);
    cr_assert_eq(unpack(), 0, "%s", err.message);
    cr_assert(pack_rig_equal(rig.plain, rig.again, SNAPSHOT_MEMORY));
    cr_assert_eq(pack_rig_count(rig.again), 3);
    cr_assert_eq(pack_rig_count(rig.base), 3, "no temporary directory is left");
}

Test(pack, sparse_memory_comes_back_as_it_was)
{
    check_round_trip(SIZE, FILL_SPARSE);
    cr_assert_leq(pack_rig_blocks(rig.again, SNAPSHOT_MEMORY),
                  page_runs_pages(&rig.map.data) * GUEST_PAGE_SIZE + 64 * GUEST_PAGE_SIZE,
                  "it is sparse again");
}

Test(pack, full_memory_comes_back_as_it_was)
{
    check_round_trip(SIZE, FILL_TEXT);
    cr_assert_lt(pack_rig_size(rig.packed, SNAPSHOT_PACKED), SIZE / 4);
}

Test(pack, random_memory_comes_back_as_it_was)
{
    check_round_trip(SIZE, FILL_RANDOM);
}

Test(pack, empty_memory_takes_next_to_nothing)
{
    check_round_trip(64 * MIB, FILL_NOTHING);
    cr_assert_lt(pack_rig_size(rig.packed, SNAPSHOT_PACKED), 64 * MIB / 4096);
}

Test(pack, memory_that_does_not_end_with_a_frame_comes_back_as_it_was)
{
    check_round_trip(SIZE + 5 * GUEST_PAGE_SIZE, FILL_SPARSE);
}

/* ZSTD_decompress() knows nothing of seek tables; neither does `zstd -d`. */
Test(pack, plain_zstd_gives_the_memory_file_again)
{
    make_packed(SIZE + GUEST_PAGE_SIZE, FILL_SPARSE, NULL);
    cleanup_blob struct blob file, memory;
    pack_rig_read(&file, rig.packed, SNAPSHOT_PACKED);
    pack_rig_read(&memory, rig.plain, SNAPSHOT_MEMORY);
    cleanup_free uint8_t *again = malloc(memory.size + 1);
    cr_assert_eq(ZSTD_decompress(again, memory.size + 1, file.data, file.size), memory.size);
    cr_assert_eq(memcmp(again, memory.data, memory.size), 0);
}

Test(pack, threads_and_levels_make_no_other_memory)
{
    make_packed(SIZE, FILL_SPARSE, &(struct pack_options){.threads = 8, .level = 19});
    cr_assert_eq(load(&(struct pack_options){.threads = 1}), 0, "%s", err.message);
    cr_assert(pack_rig_is_same(&rig));
    cr_assert_eq(load(&(struct pack_options){.threads = 8}), 0, "%s", err.message);
    cr_assert(pack_rig_is_same(&rig));
}

Test(pack, without_io_uring_memory_is_loaded_all_the_same)
{
    make_packed(SIZE, FILL_SPARSE, NULL);
    cr_assert_eq(load(&(struct pack_options){.no_uring = true}), 0, "%s", err.message);
    cr_assert(pack_rig_is_same(&rig));
}

Test(pack, pages_of_zeros_stay_untouched_by_a_load)
{
    make_packed(SIZE, FILL_SPARSE, NULL);
    for (unsigned i = 0; i < rig.other.region_count; i++)
        (void)madvise(rig.other.regions[i].host, rig.other.regions[i].size, MADV_NOHUGEPAGE);
    cr_assert_eq(load(NULL), 0, "%s", err.message);
    for (uint64_t page = 0; page < rig.map.pages; page++)
        cr_assert_eq(pack_rig_is_touched(&rig, page), page_runs_touch(&rig.map.data, page, 1),
                     "page %lu", (unsigned long)page);
}

Test(pack, disks_come_along_and_a_working_set_does_not)
{
    pack_rig_make(&rig, SIZE, FILL_SPARSE);
    pack_rig_write(rig.plain, "disk-0", "first", 5);
    pack_rig_write(rig.plain, "disk-12", "thirteenth", 10);
    pack_rig_write(rig.plain, SNAPSHOT_WORKING_SET, "pages", 5);
    cr_assert_eq(snapshot_pack(rig.plain_fd, rig.packed, NULL, &err), 0, "%s", err.message);
    cr_assert_eq(unpack(), 0, "%s", err.message);
    cr_assert(pack_rig_equal(rig.plain, rig.again, "disk-0"));
    cr_assert(pack_rig_equal(rig.plain, rig.again, "disk-12"));
    cr_assert_eq(pack_rig_count(rig.again), 5);
}

/* Links and copies within the kernel end where the file system does. */
Test(pack, disks_come_along_to_another_file_system)
{
    static char disk[300000] = "begin"; /* no whole block, with a hole */
    char there[64];
    cleanup_publish struct publish publish = PUBLISH_NONE;
    memcpy(disk + 200000, "middle", 6);
    pack_rig_make(&rig, SIZE, FILL_NOTHING);
    pack_rig_write(rig.plain, "disk-0", disk, sizeof(disk));
    setenv("TMPDIR", "/dev/shm", 1);
    cr_assert_eq(publish_begin_scratch(&publish, &err), 0, "%s", err.message);
    cr_assert_eq(publish_disks(&publish, rig.plain_fd, &err), 0, "%s", err.message);
    snprintf(there, sizeof(there), "/dev/shm/%s", publish.temporary);
    cr_assert(pack_rig_equal(rig.plain, there, "disk-0"));
    cr_assert_lt(pack_rig_blocks(there, "disk-0"), sizeof(disk) / 2 + 65536);
}

Test(pack, a_disk_that_is_a_link_is_refused)
{
    pack_rig_make(&rig, SIZE, FILL_NOTHING);
    cr_assert_eq(symlinkat("/etc/passwd", rig.plain_fd, "disk-0"), 0);
    cr_assert_lt(snapshot_pack(rig.plain_fd, rig.packed, NULL, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_LINK, "%s", err.message);
    cr_assert_eq(pack_rig_count(rig.base), 1, "nothing is left");
}

Test(pack, a_snapshot_can_be_packed_in_its_own_place)
{
    pack_rig_make(&rig, SIZE, FILL_SPARSE);
    cr_assert_eq(snapshot_pack(rig.plain_fd, rig.plain, NULL, &err), 0, "%s", err.message);
    cleanup_close int dir = pack_rig_open(rig.plain);
    cr_assert(packed_is(dir));
    cr_assert_eq(pack_rig_count(rig.base), 1);
    cr_assert_eq(packed_verify(dir, &rig.map, NULL, &err), 0, "%s", err.message);
}

Test(pack, a_packed_snapshot_says_that_it_has_no_plain_memory)
{
    make_packed(SIZE, FILL_SPARSE, NULL);
    cleanup_close int dir = pack_rig_open(rig.packed);
    cr_assert_lt(snapshot_pack(dir, rig.again, NULL, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_MISSING);
    cr_assert_lt(snapshot_unpack(rig.plain_fd, rig.again, NULL, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_MISSING);
    cr_assert_eq(pack_rig_count(rig.base), 2);
}

static uint64_t last_progress;

static void on_progress(void *ctx, uint64_t pages)
{
    (void)ctx;
    cr_assert_geq(pages, last_progress);
    last_progress = pages;
}

Test(pack, progress_grows_up_to_all_pages)
{
    const struct pack_options options = {.progress = on_progress};
    make_packed(SIZE, FILL_SPARSE, &options);
    cr_assert_eq(last_progress, rig.map.pages);
    last_progress = 0;
    cr_assert_eq(load(&options), 0);
    cr_assert_eq(last_progress, rig.map.pages);
}

/* ---- hostile files ------------------------------------------------------------------------ */

/* Whatever is wrong: a defined error, and nothing is published. */
static void check_refused(const char *what, size_t where)
{
    enum thaw_failure failure;
    cr_assert_lt(unpack(), 0, "%s %zu", what, where);
    failure = err.failure;
    cr_assert(failure == THAW_FAIL_SNAPSHOT || failure == THAW_FAIL_SNAPSHOT_SHORT, "%s %zu: %s",
              what, where, err.message);
    cr_assert_eq(pack_rig_count(rig.base), 2, "%s %zu", what, where);
}

static void replace(const struct blob *file)
{
    pack_rig_write(rig.packed, SNAPSHOT_PACKED, file->data, file->size);
}

Test(pack, a_file_cut_short_anywhere_is_refused)
{
    make_packed(SIZE, FILL_SPARSE, NULL);
    cleanup_blob struct blob file;
    pack_rig_read(&file, rig.packed, SNAPSHOT_PACKED);
    for (size_t size = 0; size < file.size; size += size < file.size - 64 ? 401 : 1) {
        struct blob part = {.data = file.data, .size = size};
        replace(&part);
        cr_assert_lt(load(NULL), 0);
        check_refused("cut at", size);
    }
}

Test(pack, bytes_behind_the_end_are_refused)
{
    make_packed(SIZE, FILL_SPARSE, NULL);
    cleanup_blob struct blob file;
    pack_rig_read(&file, rig.packed, SNAPSHOT_PACKED);
    cr_assert_not_null(blob_append(&file, "x", 1, &err));
    replace(&file);
    check_refused("appended", 0);
}

Test(pack, a_bit_that_flips_anywhere_is_refused_or_of_no_consequence)
{
    make_packed(SIZE, FILL_SPARSE, NULL);
    cleanup_blob struct blob file;
    pack_rig_read(&file, rig.packed, SNAPSHOT_PACKED);
    unsigned refused = 0;
    for (size_t at = 0; at < file.size; at += 223) {
        file.data[at] ^= 0x10;
        replace(&file);
        if (load(NULL) == 0)
            cr_assert(pack_rig_is_same(&rig), "byte %zu", at);
        else
            cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT, "byte %zu: %s", at, err.message);
        refused += err.code != 0;
        file.data[at] ^= 0x10;
    }
    cr_assert_gt(refused, 0);
}

/* What the tests below change: the table, as zstd documents it. */
struct table_view {
    struct blob file;
    uint8_t *entries, *footer;
};

static uint32_t get_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
}

static void open_table(struct table_view *view)
{
    make_packed(SIZE, FILL_SPARSE, NULL);
    pack_rig_read(&view->file, rig.packed, SNAPSHOT_PACKED);
    view->footer = view->file.data + view->file.size - 9;
    view->entries = view->footer - (size_t)12 * get_u32(view->footer);
    cr_assert_eq(get_u32(view->entries - 8), 0x184d2a5e);
    cr_assert_eq(get_u32(view->footer + 5), 0x8f92eab1);
}

static void check_table_refused(struct table_view *view, const char *what)
{
    replace(&view->file);
    cleanup_close int dir = pack_rig_open(rig.packed);
    err = (struct thaw_error){0};
    cr_assert_lt(packed_open(dir, &rig.map, &err), 0, "%s", what);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT, "%s: %s", what, err.message);
    check_refused(what, 0);
    blob_free(&view->file);
}

Test(pack, a_seek_table_of_another_number_of_frames_is_refused)
{
    struct table_view view;
    open_table(&view);
    put_u32(view.footer, get_u32(view.footer) + 1);
    check_table_refused(&view, "one more frame");
}

Test(pack, a_seek_table_of_very_many_frames_is_refused)
{
    struct table_view view;
    open_table(&view);
    put_u32(view.footer, UINT32_MAX);
    check_table_refused(&view, "very many frames");
}

Test(pack, a_seek_table_without_checksums_is_refused)
{
    struct table_view view;
    open_table(&view);
    view.footer[4] = 0;
    check_table_refused(&view, "no checksums");
}

Test(pack, a_frame_that_is_said_to_be_larger_than_the_file_is_refused)
{
    struct table_view view;
    open_table(&view);
    put_u32(view.entries, 0x7fffffff);
    check_table_refused(&view, "huge");
    cr_assert_not_null(strstr(err.message, "frame 0"), "%s", err.message);
}

Test(pack, frames_that_do_not_fill_the_file_are_refused)
{
    struct table_view view;
    open_table(&view);
    put_u32(view.entries + 12, get_u32(view.entries + 12) - 1);
    check_table_refused(&view, "a hole");
}

Test(pack, a_frame_that_is_said_to_hold_more_than_its_part_is_refused)
{
    struct table_view view;
    open_table(&view);
    put_u32(view.entries + 12 + 4, PACK_FRAME_SIZE + 1);
    check_table_refused(&view, "too much");
    cr_assert_not_null(strstr(err.message, "frame 1"), "%s", err.message);
}

Test(pack, boundaries_moved_between_two_frames_are_refused)
{
    struct table_view view;
    open_table(&view);
    put_u32(view.entries, get_u32(view.entries) + 1);
    put_u32(view.entries + 12, get_u32(view.entries + 12) - 1);
    replace(&view.file);
    check_refused("moved", 0);
    blob_free(&view.file);
}

/* A file like ours whose frame 0 is `frame`. */
static void replace_first_frame(const void *frame, size_t size)
{
    struct table_view view;
    open_table(&view);
    size_t old = get_u32(view.entries);
    put_u32(view.entries, (uint32_t)size);
    put_u32(view.entries + 8, get_u32((const uint8_t *)frame + size - 4));
    cleanup_blob struct blob changed = {0};
    cr_assert_not_null(blob_append(&changed, frame, size, &err));
    cr_assert_not_null(blob_append(&changed, view.file.data + old, view.file.size - old, &err));
    replace(&changed);
    blob_free(&view.file);
}

/* Compresses `size` bytes of zeros. */
static size_t compress_zeros(void *to, size_t room, size_t size, int checksum, int content_size)
{
    void *from = calloc(1, size);
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, checksum);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, content_size);
    size_t n = ZSTD_compress2(zstd, to, room, from, size);
    cr_assert(!ZSTD_isError(n));
    ZSTD_freeCCtx(zstd);
    free(from);
    return n;
}

static void check_first_frame_refused(const char *what)
{
    for (int no_uring = 0; no_uring < 2; no_uring++) {
        cr_assert_lt(load(&(struct pack_options){.no_uring = no_uring != 0}), 0, "%s", what);
        cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT, "%s", err.message);
        cr_assert_not_null(strstr(err.message, "frame 0"), "%s", err.message);
    }
    check_refused(what, 0);
}

Test(pack, a_frame_that_grows_to_more_than_the_memory_is_refused)
{
    cleanup_free uint8_t *bomb = malloc(PACK_FRAME_BOUND);
    size_t size = compress_zeros(bomb, PACK_FRAME_BOUND, 64 * MIB, 1, 1);
    replace_first_frame(bomb, size);
    check_first_frame_refused("bomb");
}

Test(pack, a_frame_that_does_not_say_its_size_is_refused)
{
    cleanup_free uint8_t *bomb = malloc(PACK_FRAME_BOUND);
    size_t size = compress_zeros(bomb, PACK_FRAME_BOUND, 64 * MIB, 1, 0);
    replace_first_frame(bomb, size);
    check_first_frame_refused("unknown size");
}

Test(pack, a_frame_without_a_checksum_is_refused)
{
    cleanup_free uint8_t *frame = malloc(PACK_FRAME_BOUND);
    size_t size = compress_zeros(frame, PACK_FRAME_BOUND, PACK_FRAME_SIZE, 0, 1);
    replace_first_frame(frame, size);
    check_first_frame_refused("no checksum");
}

Test(pack, two_frames_in_the_place_of_one_are_refused)
{
    cleanup_free uint8_t *frames = malloc(2 * PACK_FRAME_BOUND);
    size_t size = compress_zeros(frames, PACK_FRAME_BOUND, PACK_FRAME_SIZE, 1, 1);
    size += compress_zeros(frames + size, PACK_FRAME_BOUND, PACK_FRAME_SIZE, 1, 1);
    replace_first_frame(frames, size);
    check_first_frame_refused("two frames");
}

Test(pack, something_that_is_no_zstd_frame_is_refused)
{
    replace_first_frame("\x50\x2a\x4d\x18\x04\0\0\0skip", 12);
    check_first_frame_refused("skippable");
}

Test(pack, other_pages_in_a_whole_frame_are_found_when_unpacking)
{
    cleanup_free uint8_t *frame = malloc(PACK_FRAME_BOUND);
    size_t size = compress_zeros(frame, PACK_FRAME_BOUND, PACK_FRAME_SIZE, 1, 1);
    replace_first_frame(frame, size);
    check_refused("other pages", 0);
    cr_assert_lt(verify(), 0);
}

Test(pack, a_full_disk_is_an_input_output_error_and_leaves_nothing)
{
    pack_rig_make(&rig, SIZE, FILL_RANDOM);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        const struct rlimit limit = {MIB, MIB};
        setrlimit(RLIMIT_FSIZE, &limit);
        int rc = snapshot_pack(rig.plain_fd, rig.packed, NULL, &err);
        _exit(rc == -EFBIG && err.failure == THAW_FAIL_IO ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_eq(pack_rig_count(rig.base), 1);
}
