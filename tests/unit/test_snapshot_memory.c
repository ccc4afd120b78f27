/* SPDX-License-Identifier: Apache-2.0 */
/* The memory file, its index and its map: exactly the pages that hold something, and nothing that
 * is not what was written gets by. */
#include "snapshot/memory_file.h"
#include "snapshot/memory_index.h"
#include "snapshot/memory_writer.h"
#include "vmm/arch/arch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <xxhash.h>

/* 32 MiB and a bit: the least that a map may describe. The border of the regions and the end of
 * memory are inside chunks. */
#define LOW_PAGES  5000u
#define HIGH_PAGES 3300u
#define PAGES      (LOW_PAGES + HIGH_PAGES)

static struct guest_memory memory;
static struct memory_map map;
static struct thaw_error err;
static char directory[] = "/tmp/thaw-memory-XXXXXX";
static int dir_fd = -1;

static void make(void)
{
    const struct guest_region regions[] = {
        {.gpa = 0, .size = (uint64_t)LOW_PAGES * GUEST_PAGE_SIZE},
        {.gpa = 1ull << 32, .size = (uint64_t)HIGH_PAGES * GUEST_PAGE_SIZE},
    };
    cr_assert_eq(guest_memory_create(&memory, regions, 2, &err), 0, "%s", err.message);
    /* Huge pages would make neighbours present, too. */
    for (unsigned i = 0; i < 2; i++)
        madvise(memory.regions[i].host, memory.regions[i].size, MADV_NOHUGEPAGE);
    cr_assert(mkdtemp(directory));
    dir_fd = snapshot_open_directory(directory, &err);
    cr_assert_geq(dir_fd, 0, "%s", err.message);
}

static void clean_up(void)
{
    memory_map_free(&map);
    guest_memory_destroy(&memory);
    unlinkat(dir_fd, SNAPSHOT_MEMORY, 0);
    unlinkat(dir_fd, SNAPSHOT_INDEX, 0);
    close(dir_fd);
    rmdir(directory);
}

TestSuite(snapshot_memory, .init = make, .fini = clean_up);

static uint8_t *page_at(uint64_t page)
{
    return page_address(&memory, page, 1);
}

static void fill(uint64_t first, uint64_t count)
{
    for (uint64_t page = first; page < first + count; page++)
        memset(page_at(page), (int)(page % 255) + 1, GUEST_PAGE_SIZE);
}

/* Pages here and there, among them those at every border. */
static void fill_some(void)
{
    static const struct page_run some[] = {
        {0, 2},    {7, 1},         {511, 2}, {1000, 100}, {2048, 512}, {LOW_PAGES - 1, 2},
        {6000, 1}, {PAGES - 1, 1},
    };
    for (size_t i = 0; i < sizeof(some) / sizeof(*some); i++)
        fill(some[i].first, some[i].count);
}

static bool is_data(uint64_t page)
{
    static const uint8_t zeros[GUEST_PAGE_SIZE];
    return memcmp(page_at(page), zeros, sizeof(zeros)) != 0;
}

static void expect_exact_runs(void)
{
    uint64_t page = 0;
    cr_assert(page_runs_are_sorted(&map.data, PAGES));
    for (size_t i = 0; i < map.data.count; i++) {
        const struct page_run *run = &map.data.items[i];
        cr_assert_not_null(page_address(&memory, run->first, run->count), "in one region");
        for (; page < run->first; page++)
            cr_assert_not(is_data(page), "page %lu was left out", page);
        for (; page < run->first + run->count; page++)
            cr_assert(is_data(page), "page %lu is all zeros", page);
    }
    for (; page < PAGES; page++)
        cr_assert_not(is_data(page), "page %lu was left out", page);
}

static void write_files(void)
{
    cr_assert_eq(memory_file_write(dir_fd, &memory, NULL, &map, &err), 0, "%s", err.message);
    cr_assert_eq(memory_file_index(dir_fd, &map, &err), 0, "%s", err.message);
}

static int try_open(void)
{
    err = (struct thaw_error){0};
    int fd = memory_file_open(dir_fd, &map, &err);
    cr_assert_eq(fd < 0 ? fd : 0, thaw_error_code(&err));
    return fd;
}

static int verify(void)
{
    cleanup_close int fd = try_open();
    cr_assert_geq(fd, 0, "%s", err.message);
    return memory_file_verify(dir_fd, fd, &map, NULL, NULL, &err);
}

static void expect_same_file(void)
{
    cleanup_close int fd = try_open();
    cr_assert_geq(fd, 0, "%s", err.message);
    for (uint64_t page = 0; page < PAGES; page++) {
        uint8_t found[GUEST_PAGE_SIZE];
        cr_assert_eq(pread(fd, found, sizeof(found), (off_t)(page * GUEST_PAGE_SIZE)),
                     GUEST_PAGE_SIZE);
        cr_assert_eq(memcmp(found, page_at(page), sizeof(found)), 0, "page %lu", page);
    }
}

/* Changes `size` bytes of a file of the snapshot. */
static void patch(const char *name, uint64_t offset, const void *bytes, size_t size)
{
    cleanup_close int fd = openat(dir_fd, name, O_WRONLY);
    cr_assert_eq(pwrite(fd, bytes, size, (off_t)offset), (ssize_t)size);
}

static void expect_nothing_left(void)
{
    cr_assert_lt(faccessat(dir_fd, SNAPSHOT_MEMORY, F_OK, 0), 0);
    cr_assert_lt(faccessat(dir_fd, SNAPSHOT_INDEX, F_OK, 0), 0);
    cr_assert_null(map.data.items);
}

/* ---- which pages -------------------------------------------------------------------------- */

Test(snapshot_memory, untouched_memory_has_no_data)
{
    cr_assert_eq(memory_scan(&memory, NULL, &map, &err), 0, "%s", err.message);
    cr_assert_eq(map.data.count, 0);
    cr_assert_eq(map.pages, PAGES);
    cr_assert_eq(map.region_count, 2);
}

Test(snapshot_memory, the_runs_are_exactly_the_pages_that_are_not_zero)
{
    fill_some();
    cr_assert_eq(memory_scan(&memory, NULL, &map, &err), 0);
    expect_exact_runs();
    cr_assert_eq(page_runs_pages(&map.data), 2 + 1 + 2 + 100 + 512 + 2 + 1 + 1);
}

Test(snapshot_memory, pages_that_were_zeroed_again_are_not_data)
{
    fill_some();
    memset(page_at(1000), 0, GUEST_PAGE_SIZE);
    memset(page_at(2100), 0, GUEST_PAGE_SIZE);
    cr_assert_eq(memory_scan(&memory, NULL, &map, &err), 0);
    expect_exact_runs();
}

Test(snapshot_memory, one_byte_anywhere_in_a_page_makes_it_data)
{
    _Alignas(16) uint8_t page[GUEST_PAGE_SIZE] = {0};
    cr_assert(arch_page_is_zero(page));
    for (unsigned i = 0; i < GUEST_PAGE_SIZE; i++) {
        page[i] = 1;
        cr_assert_not(arch_page_is_zero(page), "byte %u", i);
        page[i] = 0;
    }
}

Test(snapshot_memory, pages_of_a_file_mapping_count_where_they_are_backed)
{
    fill(4096, 300);
    write_files();
    memory_map_free(&map);
    cleanup_close int fd = openat(dir_fd, SNAPSHOT_MEMORY, O_RDONLY);
    void *low = mmap(memory.regions[0].host, memory.regions[0].size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_FIXED, fd, 0);
    cr_assert_eq(low, memory.regions[0].host);
    fill(10, 1);                               /* private now, not in the file */
    memset(page_at(4100), 0, GUEST_PAGE_SIZE); /* in the file, zero now */

    struct page_run runs[] = {{4000, 200}, {4200, 196}};
    const struct page_runs backed = {.items = runs, .count = 2};
    cr_assert_eq(memory_scan(&memory, &backed, &map, &err), 0, "%s", err.message);
    cr_assert_eq(page_runs_pages(&map.data), 1 + 300 - 1);
    expect_exact_runs();
}

static void refuse(int syscall, unsigned error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    cr_assert_eq(seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), syscall, 0), 0);
    cr_assert_eq(seccomp_load(filter), 0);
    seccomp_release(filter);
}

Test(snapshot_memory, without_pagemap_the_pages_are_the_same)
{
    struct rlimit before, none = {0};
    fill_some();
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none.rlim_max = before.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    cr_assert_lt(open("/proc/self/pagemap", O_RDONLY), 0);
    cr_assert_eq(memory_scan(&memory, NULL, &map, &err), 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    expect_exact_runs();
}

static void *no_thread(void *arg)
{
    return arg;
}

Test(snapshot_memory, one_thread_alone_finds_the_same)
{
    const struct scmp_arg_cmp thread = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);
    fill_some();
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    cr_assert_eq(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0), 0);
    cr_assert_eq(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAGAIN), SCMP_SYS(clone), 1, thread), 0);
    cr_assert_eq(seccomp_load(filter), 0);
    seccomp_release(filter);
    pthread_t none;
    cr_assert_eq(pthread_create(&none, NULL, no_thread, NULL), EAGAIN);
    cr_assert_eq(memory_scan(&memory, NULL, &map, &err), 0);
    expect_exact_runs();
}

/* Its entries are read a window at a time, each of which may begin within a run. */
Test(snapshot_memory, a_run_over_many_windows_is_one)
{
    fill(1, 3000);
    cr_assert_eq(memory_scan(&memory, NULL, &map, &err), 0);
    cr_assert_eq(map.data.count, 1);
    expect_exact_runs();
}

/* ---- the files ---------------------------------------------------------------------------- */

Test(snapshot_memory, what_is_written_is_the_memory)
{
    fill_some();
    write_files();
    expect_exact_runs();
    expect_same_file();
    cr_assert_eq(verify(), 0, "%s", err.message);
}

Test(snapshot_memory, only_pages_that_hold_something_take_room)
{
    fill_some();
    write_files();
    struct stat st;
    cr_assert_eq(fstatat(dir_fd, SNAPSHOT_MEMORY, &st, 0), 0);
    cr_assert_eq(st.st_size, (off_t)PAGES * GUEST_PAGE_SIZE);
    uint64_t pages = page_runs_pages(&map.data), taken = (uint64_t)st.st_blocks / 8;
    cr_assert_leq(taken, pages + pages / 100, "%lu pages for %lu", taken, pages);
    cr_assert_eq(st.st_mode & 0777, 0600);
}

Test(snapshot_memory, an_empty_memory_is_all_hole)
{
    write_files();
    struct stat st;
    cr_assert_eq(fstatat(dir_fd, SNAPSHOT_MEMORY, &st, 0), 0);
    cr_assert_eq(st.st_blocks, 0);
    cr_assert_eq(verify(), 0, "%s", err.message);
}

Test(snapshot_memory, a_full_memory_is_written_whole)
{
    fill(0, PAGES);
    write_files();
    cr_assert_eq(map.data.count, 2, "one run for each region");
    expect_same_file();
    cr_assert_eq(verify(), 0, "%s", err.message);
}

Test(snapshot_memory, a_host_that_refuses_io_uring_writes_the_same)
{
    refuse(SCMP_SYS(io_uring_setup), EPERM);
    fill_some();
    write_files();
    expect_same_file();
    cr_assert_eq(verify(), 0, "%s", err.message);
}

Test(snapshot_memory, the_files_of_equal_memory_are_equal)
{
    fill_some();
    write_files();
    uint64_t checksum = map.index_checksum;
    memory_map_free(&map);
    unlinkat(dir_fd, SNAPSHOT_MEMORY, 0);
    unlinkat(dir_fd, SNAPSHOT_INDEX, 0);
    write_files();
    cr_assert_eq(map.index_checksum, checksum);
}

Test(snapshot_memory, the_index_of_a_stream_is_that_of_the_file)
{
    cleanup_blob struct blob index = {0};
    cleanup_memory_map struct memory_map scanned = {0};
    fill_some();
    write_files();
    cr_assert_eq(memory_scan(&memory, NULL, &scanned, &err), 0, "%s", err.message);
    cr_assert_eq(memory_index_guest(&index, &memory, &scanned, &err), 0, "%s", err.message);
    cr_assert_eq(scanned.index_checksum, map.index_checksum);
    cr_assert_eq(memory_index_checksum(&index), map.index_checksum);
}

Test(snapshot_memory, files_that_are_there_already_are_left_alone)
{
    write_files();
    struct memory_map other;
    cr_assert_eq(memory_file_write(dir_fd, &memory, NULL, &other, &err), -EEXIST);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
    cr_assert_eq(memory_file_index(dir_fd, &map, &err), -EEXIST);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
    cr_assert_eq(verify(), 0, "%s", err.message);
}

/* ---- what has changed since --------------------------------------------------------------- */

/* Writes the file, changes pages of all kinds, and brings it up to date. */
static void change_some(void)
{
    fill_some();
    cr_assert_eq(memory_file_write(dir_fd, &memory, NULL, &map, &err), 0, "%s", err.message);
    struct page_run runs[] = {{0, 3},      {500, 700}, {LOW_PAGES - 2, 4},
                              {6000, 100}, {7000, 1},  {PAGES - 1, 1}};
    const struct page_runs changed = {.items = runs, .count = sizeof(runs) / sizeof(*runs)};
    for (size_t i = 0; i < changed.count; i++)
        for (uint64_t page = runs[i].first; page < runs[i].first + runs[i].count; page++)
            memset(page_at(page), page % 3 == 0 ? 0 : (int)(page % 250 + 1), GUEST_PAGE_SIZE);
    cr_assert_eq(memory_file_rewrite(dir_fd, &memory, &changed, &map, &err), 0, "%s", err.message);
    cr_assert_eq(memory_file_index(dir_fd, &map, &err), 0, "%s", err.message);
}

Test(snapshot_memory, what_has_changed_is_brought_up_to_date)
{
    change_some();
    expect_exact_runs();
    expect_same_file();
    cr_assert_eq(verify(), 0, "%s", err.message);
}

Test(snapshot_memory, pages_that_became_zeros_are_holes)
{
    fill(0, PAGES);
    cr_assert_eq(memory_file_write(dir_fd, &memory, NULL, &map, &err), 0, "%s", err.message);
    for (uint64_t page = 100; page < PAGES; page++)
        memset(page_at(page), 0, GUEST_PAGE_SIZE);
    struct page_run run = {100, PAGES - 100};
    const struct page_runs changed = {.items = &run, .count = 1};
    cr_assert_eq(memory_file_rewrite(dir_fd, &memory, &changed, &map, &err), 0, "%s", err.message);
    cr_assert_eq(memory_file_index(dir_fd, &map, &err), 0, "%s", err.message);
    struct stat st;
    cr_assert_eq(fstatat(dir_fd, SNAPSHOT_MEMORY, &st, 0), 0);
    cr_assert_eq(st.st_size, (off_t)PAGES * GUEST_PAGE_SIZE);
    cr_assert_leq(st.st_blocks / 8, 101);
    expect_exact_runs();
    expect_same_file();
}

Test(snapshot_memory, a_file_system_without_holes_gets_zeros)
{
    refuse(SCMP_SYS(fallocate), EOPNOTSUPP);
    change_some();
    expect_exact_runs();
    expect_same_file();
}

Test(snapshot_memory, nothing_that_changed_changes_nothing)
{
    fill_some();
    write_files();
    const struct page_runs none = {0};
    cr_assert_eq(memory_file_rewrite(dir_fd, &memory, &none, &map, &err), 0, "%s", err.message);
    expect_exact_runs();
    cr_assert_eq(verify(), 0, "%s", err.message);
}

/* ---- no room ------------------------------------------------------------------------------ */

static void limit_files(uint64_t bytes)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(snapshot_memory, a_memory_file_that_may_not_be_so_large_leaves_nothing)
{
    fill_some();
    limit_files((uint64_t)(PAGES - 1) * GUEST_PAGE_SIZE);
    cr_assert_eq(memory_file_write(dir_fd, &memory, NULL, &map, &err), -EFBIG);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
    cr_assert(strstr(err.message, "memory: "), "%s", err.message);
    expect_nothing_left();
}

static int write_pieces(bool ring, uint64_t size)
{
    cleanup_close int fd = openat(dir_fd, SNAPSHOT_MEMORY, O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct memory_writer writer;
    memory_writer_init(&writer, fd, ring);
    err = (struct thaw_error){0};
    for (uint64_t done = 0; err.code == 0 && done < LOW_PAGES * (uint64_t)GUEST_PAGE_SIZE;
         done += size)
        memory_writer_put(&writer, page_at(done / GUEST_PAGE_SIZE), size, done, &err);
    int rc = memory_writer_finish(&writer, &err);
    cr_assert_eq(writer.in_flight, 0);
    return rc;
}

static void expect_written(uint64_t size)
{
    cleanup_close int fd = openat(dir_fd, SNAPSHOT_MEMORY, O_RDONLY);
    cleanup_free uint8_t *found = malloc(size);
    cr_assert_eq(pread(fd, found, size, 0), (ssize_t)size);
    cr_assert_eq(memcmp(found, memory.regions[0].host, size), 0);
}

Test(snapshot_memory, a_write_that_stops_short_is_continued_until_it_fails)
{
    const uint64_t room = 700 * GUEST_PAGE_SIZE + 1234;
    fill(0, LOW_PAGES);
    limit_files(room);
    for (unsigned ring = 0; ring < 2; ring++) {
        cr_assert_eq(write_pieces(ring, 250ull * GUEST_PAGE_SIZE), -EFBIG, "%s", err.message);
        cr_assert_eq(err.failure, THAW_FAIL_IO);
        expect_written(room);
        cr_assert_eq(write_pieces(ring, GUEST_PAGE_SIZE), -EFBIG);
        expect_written(room);
    }
}

Test(snapshot_memory, more_writes_than_may_be_in_flight_are_all_done)
{
    fill(0, LOW_PAGES);
    cr_assert_eq(write_pieces(true, 100ull * GUEST_PAGE_SIZE), 0, "%s", err.message);
    expect_written((uint64_t)LOW_PAGES * GUEST_PAGE_SIZE);
}

Test(snapshot_memory, a_descriptor_that_cannot_be_written_is_a_failure_to_write)
{
    write_files();
    cleanup_close int fd = openat(dir_fd, SNAPSHOT_MEMORY, O_RDONLY);
    for (unsigned ring = 0; ring < 2; ring++) {
        struct memory_writer writer;
        memory_writer_init(&writer, fd, ring);
        err = (struct thaw_error){0};
        memory_writer_put(&writer, page_at(0), 1u << 20, 0, &err);
        cr_assert_eq(memory_writer_finish(&writer, &err), -EBADF);
        cr_assert_eq(err.failure, THAW_FAIL_IO);
    }
}

/* ---- opening and verifying ---------------------------------------------------------------- */

static enum thaw_failure open_fails(void)
{
    int fd = try_open();
    cr_assert_lt(fd, 0);
    return err.failure;
}

Test(snapshot_memory, a_memory_file_of_another_size_is_refused)
{
    write_files();
    cleanup_close int fd = openat(dir_fd, SNAPSHOT_MEMORY, O_WRONLY);
    cr_assert_eq(ftruncate(fd, (off_t)PAGES * GUEST_PAGE_SIZE - 1), 0);
    cr_assert_eq(open_fails(), THAW_FAIL_SNAPSHOT_SHORT);
    cr_assert_eq(ftruncate(fd, (off_t)PAGES * GUEST_PAGE_SIZE + 1), 0);
    cr_assert_eq(open_fails(), THAW_FAIL_SNAPSHOT);
}

Test(snapshot_memory, files_that_are_missing_or_links_are_refused)
{
    static const char *const names[] = {SNAPSHOT_MEMORY, SNAPSHOT_INDEX};
    write_files();
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(renameat(dir_fd, names[i], dir_fd, "real"), 0);
        cr_assert_eq(open_fails(), THAW_FAIL_SNAPSHOT_MISSING);
        cr_assert_eq(symlinkat("real", dir_fd, names[i]), 0);
        cr_assert_eq(open_fails(), THAW_FAIL_SNAPSHOT_LINK);
        cr_assert_eq(renameat(dir_fd, "real", dir_fd, names[i]), 0);
    }
    cr_assert_eq(verify(), 0);
}

Test(snapshot_memory, an_index_of_another_length_is_refused)
{
    write_files();
    struct stat st;
    cr_assert_eq(fstatat(dir_fd, SNAPSHOT_INDEX, &st, 0), 0);
    cleanup_close int fd = openat(dir_fd, SNAPSHOT_INDEX, O_WRONLY);
    cr_assert_eq(ftruncate(fd, st.st_size + 1), 0);
    cr_assert_eq(open_fails(), THAW_FAIL_SNAPSHOT);
    for (off_t size = st.st_size - 1; size >= 0; size--) {
        cr_assert_eq(ftruncate(fd, size), 0);
        cr_assert_eq(open_fails(), THAW_FAIL_SNAPSHOT_SHORT);
    }
}

Test(snapshot_memory, every_changed_byte_of_the_index_is_noticed)
{
    fill_some();
    write_files();
    cleanup_close int fd = openat(dir_fd, SNAPSHOT_INDEX, O_RDONLY);
    uint8_t byte;
    for (uint64_t at = 0; pread(fd, &byte, 1, (off_t)at) == 1; at++) {
        byte ^= 0x10;
        patch(SNAPSHOT_INDEX, at, &byte, 1);
        cr_assert_eq(open_fails(), THAW_FAIL_SNAPSHOT, "byte %lu", at);
        byte ^= 0x10;
        patch(SNAPSHOT_INDEX, at, &byte, 1);
    }
    cr_assert_eq(verify(), 0);
}

/* With the map's checksum put right. */
static enum thaw_failure open_with_index(uint64_t offset, uint64_t value, size_t size)
{
    uint8_t kept[8], bytes[4096];
    cleanup_close int fd = openat(dir_fd, SNAPSHOT_INDEX, O_RDWR);
    cr_assert_eq(pread(fd, kept, size, (off_t)offset), (ssize_t)size);
    cr_assert_eq(pwrite(fd, &value, size, (off_t)offset), (ssize_t)size);
    size_t whole = (size_t)pread(fd, bytes, sizeof(bytes), 0);
    uint64_t checksum = map.index_checksum;
    map.index_checksum = XXH3_64bits(bytes, whole);
    enum thaw_failure failure = open_fails();
    map.index_checksum = checksum;
    cr_assert_eq(pwrite(fd, kept, size, (off_t)offset), (ssize_t)size);
    return failure;
}

Test(snapshot_memory, an_index_whose_header_does_not_fit_the_map_is_refused)
{
    write_files();
    cr_assert_eq(open_with_index(0, 'X', 1), THAW_FAIL_SNAPSHOT, "magic");
    cr_assert_eq(open_with_index(8, 2, 4), THAW_FAIL_SNAPSHOT, "version");
    cr_assert_eq(open_with_index(12, 1, 4), THAW_FAIL_SNAPSHOT, "pages of a chunk");
    cr_assert_eq(open_with_index(16, PAGES + 1, 8), THAW_FAIL_SNAPSHOT, "pages");
    cr_assert_eq(open_with_index(24, UINT64_MAX, 8), THAW_FAIL_SNAPSHOT, "chunks");
    cr_assert_eq(verify(), 0);
}

static void expect_bad_chunk(uint64_t page)
{
    char name[32];
    snprintf(name, sizeof(name), "chunk %lu ", page / MEMORY_CHUNK_PAGES);
    err = (struct thaw_error){0};
    cr_assert_lt(verify(), 0, "page %lu", page);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
    cr_assert(strstr(err.message, name), "%s, not %s", err.message, name);
}

Test(snapshot_memory, verify_names_the_chunk_that_was_changed)
{
    static const uint64_t pages[] = {0, 1, 7, 512, 1050, 2048, 2559, LOW_PAGES, PAGES - 1};
    fill_some();
    write_files();
    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
        uint64_t at = pages[i] * GUEST_PAGE_SIZE + 4095;
        patch(SNAPSHOT_MEMORY, at, &(uint8_t){page_at(pages[i])[4095] ^ 1}, 1);
        expect_bad_chunk(pages[i]);
        patch(SNAPSHOT_MEMORY, at, &page_at(pages[i])[4095], 1);
    }
    cr_assert_eq(verify(), 0, "%s", err.message);
}

Test(snapshot_memory, verify_finds_data_where_a_hole_was)
{
    static const uint64_t pages[] = {2, 600, 3000, 4998, 5001, PAGES - 2};
    fill_some();
    write_files();
    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
        uint64_t at = pages[i] * GUEST_PAGE_SIZE + 4095;
        patch(SNAPSHOT_MEMORY, at, &(uint8_t){1}, 1);
        expect_bad_chunk(pages[i]);
        patch(SNAPSHOT_MEMORY, at, &(uint8_t){0}, 1);
        cr_assert_eq(verify(), 0, "zeros that are written are as good as a hole");
    }
}

Test(snapshot_memory, verify_finds_a_hole_where_data_was)
{
    fill_some();
    write_files();
    cleanup_close int fd = openat(dir_fd, SNAPSHOT_MEMORY, O_WRONLY);
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2048 * 4096, 512 * 4096) < 0) {
        static const uint8_t zeros[512 * 4096];
        patch(SNAPSHOT_MEMORY, 2048 * 4096, zeros, sizeof(zeros));
    }
    expect_bad_chunk(2048);
}

Test(snapshot_memory, verify_names_the_first_of_many_bad_chunks)
{
    fill(0, PAGES);
    write_files();
    for (uint64_t page = 5 * MEMORY_CHUNK_PAGES; page < PAGES; page += 100)
        patch(SNAPSHOT_MEMORY, page * GUEST_PAGE_SIZE, &(uint8_t){0}, 1);
    for (unsigned i = 0; i < 10; i++)
        expect_bad_chunk(5 * MEMORY_CHUNK_PAGES);
}

Test(snapshot_memory, two_pages_that_changed_places_are_noticed)
{
    fill(20, 1);
    write_files();
    patch(SNAPSHOT_MEMORY, 30 * GUEST_PAGE_SIZE, page_at(20), GUEST_PAGE_SIZE);
    static const uint8_t zeros[GUEST_PAGE_SIZE];
    patch(SNAPSHOT_MEMORY, 20 * GUEST_PAGE_SIZE, zeros, GUEST_PAGE_SIZE);
    expect_bad_chunk(20);
}

static void count_progress(void *ctx, uint64_t pages)
{
    uint64_t *last = ctx;
    cr_assert_leq(pages, PAGES);
    cr_assert_geq(pages, *last);
    *last = pages;
}

Test(snapshot_memory, verify_tells_how_far_it_is)
{
    uint64_t last = 0;
    fill_some();
    write_files();
    cleanup_close int fd = try_open();
    cr_assert_eq(memory_file_verify(dir_fd, fd, &map, count_progress, &last, &err), 0);
    cr_assert_eq(last, PAGES);
}

/* ---- the map ------------------------------------------------------------------------------ */

/* A map of an architecture's own layout, with runs on both sides of the gap where there is one. */
static struct memory_map lay_out(uint64_t size)
{
    struct memory_map made = {.pages = size / GUEST_PAGE_SIZE,
                              .index_checksum = 0x1234567890abcdef};
    made.region_count = arch_memory_layout(size, made.regions);
    uint64_t low = made.regions[0].size / GUEST_PAGE_SIZE;
    page_runs_add(&made.data, 0, 3, &err);
    page_runs_add(&made.data, 100, low - 100, &err);
    if (made.pages > low)
        page_runs_add_apart(&made.data, low, made.pages - low, &err);
    return made;
}

static int decode(struct memory_map *to, const uint8_t *bytes, size_t size)
{
    /* A copy that ends where the bytes end, so that a sanitizer sees what is read behind them. */
    cleanup_free uint8_t *copy = malloc(size > 0 ? size : 1);
    if (size > 0)
        memcpy(copy, bytes, size);
    err = (struct thaw_error){0};
    int rc = memory_map_decode(to, copy, size, &err);
    cr_assert(rc == 0 || (err.failure == THAW_FAIL_SNAPSHOT && !to->data.items), "%s", err.message);
    return rc;
}

static void expect_round_trip(uint64_t size)
{
    cleanup_memory_map struct memory_map made = lay_out(size), back = {0};
    cleanup_blob struct blob blob = {0};
    cr_assert_eq(memory_map_encode(&made, &blob, &err), 0);
    cr_assert_eq(decode(&back, blob.data, blob.size), 0, "%s", err.message);
    cr_assert(back.pages == made.pages && back.index_checksum == made.index_checksum);
    cr_assert_eq(back.region_count, made.region_count);
    cr_assert_eq(memcmp(back.regions, made.regions, sizeof(made.regions)), 0);
    cr_assert_eq(back.data.count, made.data.count);
    for (size_t i = 0; i < made.data.count; i++)
        cr_assert_eq(memcmp(&back.data.items[i], &made.data.items[i], sizeof(struct page_run)), 0);
}

Test(snapshot_memory, a_map_is_read_as_it_was_written)
{
    expect_round_trip(ARCH_MEMORY_MIN);
    expect_round_trip(128ull << 20);
    expect_round_trip(4ull << 30);
    expect_round_trip(ARCH_MEMORY_MAX);
}

static struct blob encoded(void)
{
    cleanup_memory_map struct memory_map made = lay_out(4ull << 30);
    struct blob blob = {0};
    cr_assert_eq(memory_map_encode(&made, &blob, &err), 0);
    return blob;
}

Test(snapshot_memory, a_map_of_any_other_length_is_refused)
{
    cleanup_blob struct blob blob = encoded();
    struct memory_map back;
    for (size_t size = 0; size < blob.size; size++)
        cr_assert_lt(decode(&back, blob.data, size), 0, "%zu bytes", size);
    cr_assert(blob_append(&blob, NULL, 8, &err));
    cr_assert_lt(decode(&back, blob.data, blob.size), 0);
}

Test(snapshot_memory, a_hostile_map_is_refused_field_by_field)
{
    static const struct {
        const char *what;
        size_t offset, size;
        uint64_t value;
    } fields[] = {
        {"no region", 0, 4, 0},
        {"one region too few", 0, 4, 1},
        {"one region too many", 0, 4, 3},
        {"many regions", 0, 4, UINT32_MAX},
        {"no pages", 8, 8, 0},
        {"fewer pages", 8, 8, (4ull << 18) - 1},
        {"more pages", 8, 8, (4ull << 18) + 1},
        {"pages that wrap around as bytes", 8, 8, (1ull << 52) + (4ull << 18)},
        {"all the pages there are", 8, 8, UINT64_MAX},
        {"fewer runs", 24, 8, 2},
        {"more runs", 24, 8, 4},
        {"runs that wrap around", 24, 8, (1ull << 61) + 3},
        {"all the runs there are", 24, 8, UINT64_MAX},
        {"low memory elsewhere", 32, 8, 4096},
        {"low memory of another size", 40, 8, 4096},
        {"high memory elsewhere", 48, 8, 0xc0000000},
        {"high memory of another size", 56, 8, UINT64_MAX},
        {"a run that overlaps the next", 68, 4, 101},
        {"an empty run", 68, 4, 0},
        {"a run behind the next", 64, 4, 200},
        {"a run over the border", 76, 4, 0xc0000 - 100 + 1},
        {"a run out of memory", 84, 4, 0x40001},
        {"a run without end", 84, 4, UINT32_MAX},
    };
    cleanup_blob struct blob blob = encoded();
    struct memory_map back;
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        uint64_t kept;
        uint8_t *at = blob.data + fields[i].offset;
        memcpy(&kept, at, fields[i].size);
        memcpy(at, &fields[i].value, fields[i].size);
        cr_assert_lt(decode(&back, blob.data, blob.size), 0, "%s", fields[i].what);
        memcpy(at, &kept, fields[i].size);
    }
    cr_assert_eq(decode(&back, blob.data, blob.size), 0, "%s", err.message);
    memory_map_free(&back);
}
