/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-scale-touch FILE FROM PAGES STRIDE: maps FILE as a restore does, private and untouched, and
 * prints the milliseconds that it takes to read one word of each of PAGES pages, from byte FROM on
 * and STRIDE bytes apart, and how many page faults that was: {"ms":..,"faults":..}.
 */
#include "vmm/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGE 4096u

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench-scale-touch: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long faults(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) < 0)
        fail("getrusage");
    return usage.ru_minflt;
}

int main(int argc, char **argv)
{
    unsigned long from = argc == 5 ? strtoul(argv[2], NULL, 0) : 1;
    size_t stride = argc == 5 ? strtoul(argv[4], NULL, 0) : 1;
    size_t size = argc == 5 ? strtoul(argv[3], NULL, 0) * stride : 0;
    if (size == 0 || from % PAGE != 0 || stride % PAGE != 0) {
        (void)fputs("usage: bench-scale-touch FILE FROM PAGES STRIDE\n", stderr);
        return 2;
    }
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail(argv[1]);
    const char *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, (off_t)from);
    if (memory == MAP_FAILED)
        fail("mmap");
    long before = faults();
    uint64_t begun = clock_monotonic_ns(), sum = 0;
    for (size_t at = 0; at < size; at += stride)
        sum += *(const volatile uint32_t *)(memory + at);
    double ms = (double)(clock_monotonic_ns() - begun) / 1e6;
    (void)sum;
    printf("{\"ms\":%.4f,\"faults\":%ld}\n", ms, faults() - before);
    return 0;
}
