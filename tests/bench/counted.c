/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into build/thaw-counted, which is build/thaw with malloc, calloc, realloc, posix_memalign
 * and ioctl of every object, the C library's included, sent through here (ld --wrap). At the first
 * KVM_RUN it says on standard error what it took to get there, of all threads:
 * "counted ALLOCATIONS BYTES FAULTS", these minor and major.
 *
 * Not at the end, which is a race: whether a thread is gone by itself or has to be cancelled, for
 * which the unwinder allocates 55 KiB and makes 20 faults.
 */
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* The linker makes these names. NOLINTBEGIN(bugprone-reserved-identifier) */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
int __real_posix_memalign(void **block, size_t alignment, size_t size);
int __real_ioctl(int fd, unsigned long request, ...);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
int __wrap_posix_memalign(void **block, size_t alignment, size_t size);
int __wrap_ioctl(int fd, unsigned long request, ...);

static atomic_ulong calls, bytes;
static atomic_flag said = ATOMIC_FLAG_INIT;

static void note(size_t size)
{
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&bytes, size, memory_order_relaxed);
}

void *__wrap_malloc(size_t size)
{
    note(size);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    note(count * size);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    note(size);
    return __real_realloc(block, size);
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t size)
{
    note(size);
    return __real_posix_memalign(block, alignment, size);
}

static void say(void)
{
    struct rusage usage;
    char line[96];
    getrusage(RUSAGE_SELF, &usage);
    int length = snprintf(line, sizeof(line), "counted %lu %lu %ld\n", atomic_load(&calls),
                          atomic_load(&bytes), usage.ru_minflt + usage.ru_majflt);
    (void)!write(STDERR_FILENO, line, (size_t)length);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request == KVM_RUN && !atomic_flag_test_and_set(&said))
        say();
    return __real_ioctl(fd, request, argument);
}
/* NOLINTEND(bugprone-reserved-identifier) */
