/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-scale-bandwidth FILE MIB: what the kernel and the memory allow at best for a capture of so
 * many MiB: the time to read one word of each page of memory that is filled, the time to read all
 * of it, and the time to write it to the new file FILE, 2 MiB at a time, which is the page cache's
 * bandwidth there. The file is removed. It is written twice and the second time counts: a virtual
 * machine's host may have to find the memory for the first one. What is measured right after it
 * finds as much memory ready. Prints {"scan_ms":..,"read_ms":..,"write_ms":..}.
 */
#include "vmm/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  4096u
#define CHUNK (2u << 20)

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench-scale-bandwidth: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* As a guest's memory is: huge pages where they can be had, one word of each page written. */
static char *fill(size_t size)
{
    char *memory =
        mmap(NULL, size + CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    memory += CHUNK - (uintptr_t)memory % CHUNK;
    (void)madvise(memory, size, MADV_HUGEPAGE);
    for (size_t at = 0; at < size; at += PAGE)
        memory[at] = 1;
    return memory;
}

static double ms_since(uint64_t begun_ns)
{
    return (double)(clock_monotonic_ns() - begun_ns) / 1e6;
}

/* Reads a word of every `step` bytes. */
static double time_reads(const char *memory, size_t size, size_t step)
{
    uint64_t begun = clock_monotonic_ns(), sum = 0;
    for (size_t at = 0; at < size; at += step)
        sum += *(const volatile uint64_t *)(memory + at);
    (void)sum;
    return ms_since(begun);
}

static double time_write(const char *path, const char *memory, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        fail(path);
    uint64_t begun = clock_monotonic_ns();
    for (size_t at = 0; at < size; at += CHUNK) {
        size_t length = size - at < CHUNK ? size - at : CHUNK;
        if (pwrite(fd, memory + at, length, (off_t)at) != (ssize_t)length)
            fail(path);
    }
    double ms = ms_since(begun);
    close(fd);
    unlink(path);
    return ms;
}

int main(int argc, char **argv)
{
    size_t size = argc == 3 ? strtoul(argv[2], NULL, 10) << 20 : 0;
    if (size == 0) {
        (void)fputs("usage: bench-scale-bandwidth FILE MIB\n", stderr);
        return 2;
    }
    char *memory = fill(size);
    double scan = time_reads(memory, size, PAGE);
    double read = time_reads(memory, size, sizeof(uint64_t));
    (void)time_write(argv[1], memory, size);
    double write = time_write(argv[1], memory, size);
    printf("{\"scan_ms\":%.4f,\"read_ms\":%.4f,\"write_ms\":%.4f}\n", scan, read, write);
    return 0;
}
