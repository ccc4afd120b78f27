/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executable memory.
 *
 * Address space is set aside without access and filled from its start, in steps of 8 KiB. To
 * publish, the steps that the code goes into are made anew elsewhere, readable and writable: what
 * the first of them holds already is copied, the code is put behind it. Then they are made
 * readable and executable, and moved over the old ones in one system call (mremap), which refuses
 * before it takes the old ones away. So no page is ever writable and executable, nothing that runs
 * is written to, code keeps its address, and after a failure what was there is there still.
 *
 * A shared mapping seen twice, once writable, would save the copy, but after a fork parent and
 * child would write to the same memory. This one is private: each goes on with its own.
 *
 * The step is a compromise: each is at most one mapping of its own to the kernel, of which a
 * process may have 65530, and each publishing copies half of one.
 */
#include "guest/jitvm/jit/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/jitvm/jitvm.h"

#define STEP      ((size_t)8 << 10)
#define ALIGN_MAX 4096

/* Between functions: on x86-64 int3, so that a jump gone astray stops. */
#define FILL 0xcc

struct jit_memory {
    uint8_t *start;
    size_t size; /* set aside, in whole steps */
    size_t used;
};

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) & ~(to - 1);
}

static void *map(size_t len, int access, int flags)
{
    void *at = mmap(NULL, len, access, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* Does the system let a page that was written be executed? */
static int probe(void)
{
    void *page = map(STEP, PROT_READ | PROT_WRITE, 0);
    if (!page)
        return JITVM_ERR_MEMORY;
    memset(page, FILL, 1);
    int rc = mprotect(page, STEP, PROT_READ | PROT_EXEC) < 0 ? JITVM_ERR_HOST : 0;
    munmap(page, STEP);
    return rc;
}

/* Executable for a moment, so that perf(1), which sees mappings being made but not being moved,
 * knows from now on that addresses there may be code. */
static uint8_t *set_aside(size_t size)
{
    uint8_t *start = map(size, PROT_READ | PROT_EXEC, 0);
    if (start && mprotect(start, size, PROT_NONE) < 0) {
        munmap(start, size);
        return NULL;
    }
    return start;
}

int jit_memory_new(size_t max, struct jit_memory **out)
{
    int rc = probe();
    if (rc < 0)
        return rc;
    if (!max || max > SIZE_MAX - STEP)
        return JITVM_ERR_MEMORY;
    struct jit_memory *memory = malloc(sizeof(*memory));
    if (!memory)
        return JITVM_ERR_MEMORY;
    size_t size = round_up(max, STEP);
    *memory = (struct jit_memory){.start = set_aside(size), .size = size};
    if (!memory->start) {
        free(memory);
        return JITVM_ERR_MEMORY;
    }
    *out = memory;
    return 0;
}

void jit_memory_free(struct jit_memory *memory)
{
    if (!memory)
        return;
    munmap(memory->start, memory->size);
    free(memory);
}

size_t jit_memory_used(const struct jit_memory *memory)
{
    return memory->used;
}

size_t jit_memory_committed(const struct jit_memory *memory)
{
    return round_up(memory->used, STEP);
}

/* Replaces [at, at + len) by the pages at `fresh`, made executable. */
static bool put_in_place(void *fresh, void *at, size_t len)
{
    return mprotect(fresh, len, PROT_READ | PROT_EXEC) == 0 &&
           mremap(fresh, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, at) != MAP_FAILED;
}

/* Puts the code at [at, at + len), beyond all that is used. */
static bool publish(struct jit_memory *memory, size_t at, const void *code, size_t len)
{
    size_t from = memory->used & ~(STEP - 1);
    size_t to = round_up(at + len, STEP);
    /* All of it is written now: one visit to the kernel instead of one for each page. */
    uint8_t *fresh = map(to - from, PROT_READ | PROT_WRITE, MAP_POPULATE);
    if (!fresh)
        return false;
    memcpy(fresh, memory->start + from, memory->used - from);
    memset(fresh + (memory->used - from), FILL, to - memory->used);
    memcpy(fresh + (at - from), code, len);
    if (put_in_place(fresh, memory->start + from, to - from))
        return true;
    munmap(fresh, to - from);
    return false;
}

const void *jit_memory_publish(struct jit_memory *memory, const void *code, size_t len,
                               size_t align)
{
    if (!len || !align || align > ALIGN_MAX || (align & (align - 1)))
        return NULL;
    size_t at = round_up(memory->used, align);
    if (at > memory->size || len > memory->size - at || !publish(memory, at, code, len))
        return NULL;
    memory->used = at + len;
    uint8_t *out = memory->start + at;
    /* Nothing to do on x86-64; other processors must be told. */
    __builtin___clear_cache((char *)out, (char *)out + len);
    return out;
}
