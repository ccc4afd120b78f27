/* SPDX-License-Identifier: Apache-2.0 */
/* Many reads at once, by io_uring and by threads: the same bytes, requests and failures. */
#include "snapshot/uring.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define PAGE       4096u
#define FILE_PAGES 2048u
#define FILE_BYTES (FILE_PAGES * (size_t)PAGE)

static struct thaw_error err;
static uint8_t *content, *memory;
static int file_fd = -1, direct_fd = -1;

/* Where a file system is that takes O_DIRECT; elsewhere the tests read without. */
static void create(void)
{
    char path[] = "/var/tmp/thaw-test-reads-XXXXXX";
    err = (struct thaw_error){0};
    file_fd = mkstemp(path);
    cr_assert_geq(file_fd, 0);
    content = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < FILE_BYTES; i += sizeof(uint32_t)) {
        uint32_t value = (uint32_t)i * 2654435761u;
        memcpy(content + i, &value, sizeof(value));
    }
    cr_assert_eq(pwrite(file_fd, content, FILE_BYTES, 0), (ssize_t)FILE_BYTES);
    direct_fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (direct_fd < 0)
        direct_fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(direct_fd, 0);
    unlink(path);
}

static void destroy(void)
{
    munmap(content, FILE_BYTES);
    munmap(memory, FILE_BYTES);
    close(file_fd);
    close(direct_fd);
}

TestSuite(snapshot_reads, .init = create, .fini = destroy);

/* Pages of the file to pages of memory. */
static void add(struct read_list *list, int fd, size_t from, size_t to, size_t count)
{
    const struct read_item item = {
        .fd = fd, .offset = from * PAGE, .address = memory + to * PAGE, .length = count * PAGE};
    cr_assert_eq(read_list_add(list, &item, &err), 0);
}

static int run(const struct read_list *list, struct reads_options options,
               struct reads_result *result)
{
    struct reads *reads = NULL;
    cr_assert_eq(reads_begin(&reads, list, &options, &err), 0, "%s", err.message);
    int rc = reads_wait(reads, result, &err);
    reads_free(reads);
    return rc;
}

static void check(const struct read_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        cr_assert(memcmp(list->items[i].address, content + list->items[i].offset,
                         list->items[i].length) == 0,
                  "item %zu", i);
}

static void for_each_engine(void (*test)(int fd, bool no_io_uring))
{
    const int fds[] = {file_fd, direct_fd};
    for (unsigned i = 0; i < 4; i++) {
        memset(memory, 0, FILE_BYTES);
        err = (struct thaw_error){0};
        test(fds[i % 2], i / 2);
    }
}

static void scatter(int fd, bool no_io_uring)
{
    cleanup_read_list struct read_list list = {0};
    /* An odd factor visits each page of a power of two once. */
    for (size_t i = 0; i < FILE_PAGES; i++)
        add(&list, fd, i * 677 % FILE_PAGES, i, 1);
    struct reads_result result;
    cr_assert_eq(run(&list, (struct reads_options){.no_io_uring = no_io_uring}, &result), 0, "%s",
                 err.message);
    check(&list);
    cr_assert_eq(result.bytes, FILE_BYTES);
    cr_assert_eq(result.io_uring, !no_io_uring && uring_is_allowed());
}

Test(snapshot_reads, every_page_comes_to_its_place)
{
    for_each_engine(scatter);
}

static void gather(int fd, bool no_io_uring)
{
    cleanup_read_list struct read_list list = {0};
    /* 2, 1 and 5 pages, not in a row in memory: in the file they are neighbours. */
    size_t from = 0;
    for (size_t i = 0; from + 8 <= FILE_PAGES; i += 3, from += 8) {
        add(&list, fd, from, FILE_PAGES - from - 2, 2);
        add(&list, fd, from + 2, FILE_PAGES - from - 4, 1);
        add(&list, fd, from + 3, FILE_PAGES - from - 8, 4);
        add(&list, fd, from + 7, FILE_PAGES - from - 3, 1);
    }
    struct reads_result result;
    cr_assert_eq(run(&list, (struct reads_options){.no_io_uring = no_io_uring}, &result), 0);
    check(&list);
    cr_assert_eq(result.requests, FILE_BYTES >> 19, "512 KiB each");
}

Test(snapshot_reads, neighbours_in_the_file_are_read_together)
{
    for_each_engine(gather);
}

static void whole(int fd, bool no_io_uring)
{
    cleanup_read_list struct read_list list = {0};
    add(&list, fd, 3, 0, FILE_PAGES - 3);
    struct reads_result result;
    cr_assert_eq(run(&list, (struct reads_options){.no_io_uring = no_io_uring}, &result), 0);
    check(&list);
    cr_assert_eq(result.requests, 16, "cut into parts of 512 KiB");
}

Test(snapshot_reads, a_large_item_is_read_in_parts)
{
    for_each_engine(whole);
}

static void hash(int fd, bool no_io_uring)
{
    cleanup_read_list struct read_list list = {0};
    for (size_t i = 0; i < FILE_PAGES; i += 4)
        add(&list, fd, i, (i * 5 + 4) % FILE_PAGES, 4);
    struct reads_result result;
    const struct reads_options options = {.no_io_uring = no_io_uring, .checksum = true};
    cr_assert_eq(run(&list, options, &result), 0);
    cr_assert_eq(result.checksum, XXH3_64bits(content, FILE_BYTES));
}

Test(snapshot_reads, the_checksum_is_that_of_the_bytes_in_the_lists_order)
{
    for_each_engine(hash);
}

static void ends_early(int fd, bool no_io_uring)
{
    cleanup_read_list struct read_list list = {0};
    for (size_t i = 0; i < 64; i++)
        add(&list, fd, i * 2, i, 1);
    add(&list, fd, FILE_PAGES - 2, 100, 4);
    struct reads_result result;
    cr_assert_lt(run(&list, (struct reads_options){.no_io_uring = no_io_uring}, &result), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_SHORT);
    cr_assert_str_eq(err.message, "read at 8388608: the file ends early");
}

Test(snapshot_reads, a_file_that_ends_early_is_named_so)
{
    for_each_engine(ends_early);
}

static void ends_within_a_page(int fd, bool no_io_uring)
{
    cr_assert_eq(ftruncate(file_fd, FILE_BYTES - 100), 0);
    cleanup_read_list struct read_list list = {0};
    add(&list, fd, FILE_PAGES - 2, 100, 2);
    struct reads_result result;
    cr_assert_lt(run(&list, (struct reads_options){.no_io_uring = no_io_uring}, &result), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_SHORT);
}

Test(snapshot_reads, a_file_that_ends_within_a_page_is_named_so)
{
    for_each_engine(ends_within_a_page);
}

static void fails(int fd, bool no_io_uring)
{
    int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_read_list struct read_list list = {0};
    for (size_t i = 0; i < 64; i++)
        add(&list, fd, i * 2, i, 1);
    add(&list, directory, 7, 100, 4);
    struct reads_result result;
    cr_assert_eq(run(&list, (struct reads_options){.no_io_uring = no_io_uring}, &result), -EISDIR);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
    cr_assert_str_eq(err.message, "read of 16384 bytes at 28672: Is a directory");
    close(directory);
}

Test(snapshot_reads, a_read_that_fails_is_named_with_its_offset)
{
    for_each_engine(fails);
}

static void leave(int fd, bool no_io_uring)
{
    cleanup_read_list struct read_list list = {0};
    for (size_t i = 0; i < FILE_PAGES; i += 2)
        add(&list, fd, i, i, 1);
    const struct reads_options options = {.no_io_uring = no_io_uring};
    struct reads *reads = NULL;
    cr_assert_eq(reads_begin(&reads, &list, &options, &err), 0);
    reads_free(reads);
    /* Nothing may write there any more. */
    memset(memory, 0x5a, FILE_BYTES);
    usleep(1000);
    for (size_t i = 0; i < FILE_BYTES; i++)
        cr_assert_eq(memory[i], 0x5a);
}

Test(snapshot_reads, after_they_are_freed_nothing_is_in_flight)
{
    for_each_engine(leave);
}

/* The kernel takes what is queued, and whoever wanted to wait is told that this failed. */
static atomic_bool enter_fails;

int io_uring_submit_and_wait(struct io_uring *ring, unsigned wait_nr)
{
    int (*real)(struct io_uring * ring, unsigned wait_nr) =
        dlsym(RTLD_NEXT, "io_uring_submit_and_wait");
    if (!atomic_exchange(&enter_fails, false))
        return real(ring, wait_nr);
    return io_uring_submit(ring) < 0 ? -EIO : -ENOMEM;
}

struct late_writer {
    int fd;
    atomic_bool done;
};

static void *write_late(void *arg)
{
    struct late_writer *writer = arg;
    usleep(50000);
    atomic_store(&writer->done, true);
    cr_assert_eq(write(writer->fd, content, PAGE), PAGE);
    return NULL;
}

Test(snapshot_reads, after_a_ring_failed_nothing_is_in_flight)
{
    int pipes[2];
    cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
    cleanup_read_list struct read_list list = {0};
    add(&list, pipes[0], 0, 0, 1);
    struct late_writer writer = {.fd = pipes[1]};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, write_late, &writer), 0);
    atomic_store(&enter_fails, uring_is_allowed());
    struct reads_result result;
    int rc = run(&list, (struct reads_options){0}, &result);
    bool waited = atomic_load(&writer.done);
    pthread_join(thread, NULL);
    cr_assert(waited || !uring_is_allowed(), "the kernel was still going to write");
    cr_assert_eq(rc, uring_is_allowed() ? -ENOMEM : -ESPIPE, "%s", err.message);
    close(pipes[0]);
    close(pipes[1]);
}

Test(snapshot_reads, an_empty_list_is_done_at_once)
{
    struct read_list list = {0};
    struct reads_result result;
    const struct reads_options options = {.checksum = true};
    cr_assert_eq(run(&list, options, &result), 0);
    cr_assert_eq(result.bytes, 0);
    cr_assert_eq(result.requests, 0);
    cr_assert_eq(result.checksum, XXH3_64bits("", 0));
}

Test(snapshot_reads, a_file_in_memory_is_read_all_the_same)
{
    int fd = memfd_create("reads", MFD_CLOEXEC);
    cr_assert_eq(write(fd, content, FILE_BYTES), (ssize_t)FILE_BYTES);
    scatter(fd, false);
    scatter(fd, true);
    close(fd);
}
