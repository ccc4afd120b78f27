/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-pages MEMORY [OUT]: what of MEMORY's 4 KiB pages is not all zero, as JSON, and what
 * handling these at the speed of the machine takes: looking through all of MEMORY, copying the
 * pages within memory, and writing them to the new file OUT, a write for each run of them.
 * Milliseconds.
 */
#include "vmm/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096u

struct pages {
    const uint8_t *memory;
    size_t count, used_count;
    size_t *used; /* the numbers of those that are not zero */
};

static void check(int ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "bench-pages: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double ms_since(uint64_t from_ns)
{
    return (double)(clock_monotonic_ns() - from_ns) / 1e6;
}

static void map(struct pages *pages, const char *path)
{
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    check(fd >= 0 && fstat(fd, &stat) == 0 && stat.st_size >= PAGE, path);
    size_t size = (size_t)stat.st_size;
    /* Populated: it is the memory that is measured, not the faults. */
    pages->memory = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    check(pages->memory != MAP_FAILED, path);
    close(fd);
    pages->count = size / PAGE;
    pages->used = calloc(pages->count, sizeof(*pages->used));
    check(pages->used != NULL, path);
}

static void scan(struct pages *pages)
{
    static const uint8_t zero[PAGE];
    pages->used_count = 0;
    for (size_t i = 0; i < pages->count; i++)
        if (memcmp(pages->memory + i * PAGE, zero, PAGE) != 0)
            pages->used[pages->used_count++] = i;
}

static void copy(const struct pages *pages, uint8_t *to)
{
    for (size_t i = 0; i < pages->used_count; i++)
        memcpy(to + i * PAGE, pages->memory + pages->used[i] * PAGE, PAGE);
    __asm__ volatile("" : : "r"(to) : "memory"); /* or it would be left out: nobody reads it */
}

static void write_runs(const struct pages *pages, int fd)
{
    for (size_t i = 0, length; i < pages->used_count; i += length) {
        size_t first = pages->used[i];
        for (length = 1; i + length < pages->used_count; length++)
            if (pages->used[i + length] != first + length)
                break;
        ssize_t n = pwrite(fd, pages->memory + first * PAGE, length * PAGE, (off_t)(first * PAGE));
        check(n == (ssize_t)(length * PAGE), "write");
    }
}

static double time_copy(const struct pages *pages)
{
    size_t size = (pages->used_count + 1) * PAGE;
    uint8_t *to =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    check(to != MAP_FAILED, "memory");
    uint64_t begun = clock_monotonic_ns();
    copy(pages, to);
    double ms = ms_since(begun);
    munmap(to, size);
    return ms;
}

static double time_write(const struct pages *pages, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    check(fd >= 0, path);
    uint64_t begun = clock_monotonic_ns();
    write_runs(pages, fd);
    double ms = ms_since(begun);
    close(fd);
    return ms;
}

int main(int argc, char **argv)
{
    struct pages pages = {0};
    if (argc < 2 || argc > 3) {
        (void)fputs("usage: bench-pages MEMORY [OUT]\n", stderr);
        return 2;
    }
    map(&pages, argv[1]);
    uint64_t begun = clock_monotonic_ns();
    scan(&pages);
    printf("{\"pages\": %zu, \"nonzero\": %zu, \"scan_ms\": %.3f", pages.count, pages.used_count,
           ms_since(begun));
    if (argc == 3)
        printf(", \"copy_ms\": %.3f, \"write_ms\": %.3f", time_copy(&pages),
               time_write(&pages, argv[2]));
    (void)puts("}");
    return 0;
}
