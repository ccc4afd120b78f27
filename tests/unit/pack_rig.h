/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot in a directory of its own, whose memory is known. */
#ifndef THAW_TEST_PACK_RIG_H
#define THAW_TEST_PACK_RIG_H

#include "snapshot/memory_file.h"
#include "vmm/base/memory.h"

struct pack_rig {
    char base[40], plain[64], packed[64], again[64]; /* only `plain` is there */
    struct guest_memory memory;                      /* what is in `plain` */
    struct guest_memory other;                       /* zeros of the same size */
    struct blob state, index;                        /* the files of `plain` */
    struct memory_map map;
    int plain_fd;
};

/* How much of the memory has data. */
enum pack_fill {
    FILL_NOTHING,
    FILL_SPARSE, /* a page here and there, text; frames of zeros between; the last page */
    FILL_TEXT,   /* every page, compressible */
    FILL_RANDOM, /* every page */
};

/* `size`: bytes of memory. Fails the test when it cannot. */
void pack_rig_make(struct pack_rig *rig, uint64_t size, enum pack_fill fill);
void pack_rig_free(struct pack_rig *rig);

/* Makes `other` zeros again, untouched. */
void pack_rig_clear(struct pack_rig *rig);

/* Whether the two memories are equal. */
bool pack_rig_is_same(const struct pack_rig *rig);

/* Whether a page of `other` takes memory of the host. */
bool pack_rig_is_touched(const struct pack_rig *rig, uint64_t page);

int pack_rig_open(const char *directory);
uint64_t pack_rig_size(const char *directory, const char *name);   /* UINT64_MAX: not there */
uint64_t pack_rig_blocks(const char *directory, const char *name); /* bytes on the disk */

/* A whole file; the blob is the caller's. */
void pack_rig_read(struct blob *blob, const char *directory, const char *name);
void pack_rig_write(const char *directory, const char *name, const void *data, size_t size);
bool pack_rig_equal(const char *one, const char *other, const char *name);

/* Names in a directory. */
unsigned pack_rig_count(const char *directory);

#endif
