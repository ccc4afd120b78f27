/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into build/thaw-counted, which is build/thaw with malloc, calloc, realloc and
 * posix_memalign of every object, the C library's included, sent through here (ld --wrap). At
 * exit() the last line on standard error says how many there were, and of how many bytes in all:
 * "allocations 123 45678".
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The linker makes these names. NOLINTBEGIN(bugprone-reserved-identifier) */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
int __real_posix_memalign(void **block, size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
int __wrap_posix_memalign(void **block, size_t alignment, size_t size);

static atomic_ulong calls, bytes;

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
/* NOLINTEND(bugprone-reserved-identifier) */

__attribute__((destructor)) static void say(void)
{
    char line[80];
    int length = snprintf(line, sizeof(line), "allocations %lu %lu\n", atomic_load(&calls),
                          atomic_load(&bytes));
    (void)!write(STDERR_FILENO, line, (size_t)length);
}
