/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest physical memory: the only place where a guest address becomes a pointer.
 *
 * RAM lies in at most two regions: low RAM from 0 up to the MMIO gap, and the rest from 4 GiB
 * (the layout is the architecture's). Each region is one anonymous private mapping and one KVM
 * memslot. Thread-safe after creation: nothing here changes until guest_memory_destroy().
 */
#ifndef THAW_BASE_MEMORY_H
#define THAW_BASE_MEMORY_H

#include "vmm/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define GUEST_PAGE_SIZE          4096u
#define GUEST_MEMORY_REGIONS_MAX 2

struct guest_region {
    uint64_t gpa;  /* guest physical start, a multiple of GUEST_PAGE_SIZE */
    uint64_t size; /* bytes, a multiple of GUEST_PAGE_SIZE, not 0 */
    void *host;    /* where this process sees it; filled by guest_memory_create() */
};

struct guest_memory {
    unsigned region_count;
    struct guest_region regions[GUEST_MEMORY_REGIONS_MAX];
};

/* Maps anonymous memory for `count` regions (their `host` is ignored). Pages come as zeros and
 * take no host memory until touched. On failure nothing is mapped. */
int guest_memory_create(struct guest_memory *mem, const struct guest_region *regions,
                        unsigned count, struct thaw_error *err);

/* For a guest that boots: it touches most of its first megabytes, and takes one fault for 2 MiB
 * instead of 512, here and in KVM's page tables. Not for a restored one, whose pages would be
 * copied by the 2 MiB. Where the host has no huge pages this does nothing. */
void guest_memory_prefer_huge(const struct guest_memory *mem);

/* Unmaps everything. Every pointer handed out before becomes invalid. */
void guest_memory_destroy(struct guest_memory *mem);

/* One KVM_SET_USER_MEMORY_REGION per region, slots numbered from 0. Call it before the interrupt
 * chips exist: afterwards each memslot waits for an RCU grace period of milliseconds. */
int guest_memory_register(const struct guest_memory *mem, int vm_fd, struct thaw_error *err);

/* Has KVM note from here on which pages the guest writes, or no longer (api.rst,
 * KVM_MEM_LOG_DIRTY_PAGES). For a registered memory whose vCPUs do not run. */
int guest_memory_log_writes(const struct guest_memory *mem, int vm_fd, bool on,
                            struct thaw_error *err);

/* The pages of region `region` that the guest, and not this process, has written since logging
 * began or this was last called: bit n of `bitmap`, which has a whole number of 64-bit words. */
int guest_memory_get_written(const struct guest_memory *mem, int vm_fd, unsigned region,
                             uint64_t *bitmap, struct thaw_error *err);

/* Bytes of RAM in all. */
uint64_t guest_memory_size(const struct guest_memory *mem);

/*
 * Returns a pointer to `len` bytes at guest physical `gpa`, or NULL when any part of
 * [gpa, gpa+len) is not RAM of one region. `len` may be 0. Overflow of gpa+len counts as not
 * RAM. The guest can change what it points to at any time: copy out once, then check the copy.
 */
void *guest_memory_at(const struct guest_memory *mem, uint64_t gpa, uint64_t len);

/* Copies between guest memory and a buffer. Return -EFAULT when the range is not RAM. */
int guest_memory_read(const struct guest_memory *mem, uint64_t gpa, void *to, uint64_t len);
int guest_memory_write(const struct guest_memory *mem, uint64_t gpa, const void *from,
                       uint64_t len);

#endif
