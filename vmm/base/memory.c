/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define HUGE_PAGE_SIZE (2ull << 20)

static bool region_is_valid(const struct guest_region *region)
{
    uint64_t end;
    return region->size != 0 && region->gpa % GUEST_PAGE_SIZE == 0 &&
           region->size % GUEST_PAGE_SIZE == 0 &&
           !__builtin_add_overflow(region->gpa, region->size, &end);
}

/* Only for valid regions: their ends do not overflow. */
static bool regions_overlap(const struct guest_region *a, const struct guest_region *b)
{
    return a->gpa < b->gpa + b->size && b->gpa < a->gpa + a->size;
}

static int check_layout(const struct guest_region *regions, unsigned count, struct thaw_error *err)
{
    if (count == 0 || count > GUEST_MEMORY_REGIONS_MAX)
        return thaw_fail_as(err, THAW_FAIL_MEMORY, EINVAL, "guest memory: %u regions", count);

    for (unsigned i = 0; i < count; i++) {
        if (!region_is_valid(&regions[i]))
            return thaw_fail_as(err, THAW_FAIL_MEMORY, EINVAL,
                                "guest memory: 0x%" PRIx64 " bytes at 0x%" PRIx64
                                ": not whole pages of the address space",
                                regions[i].size, regions[i].gpa);
        for (unsigned j = 0; j < i; j++)
            if (regions_overlap(&regions[i], &regions[j]))
                return thaw_fail_as(err, THAW_FAIL_MEMORY, EINVAL,
                                    "guest memory: regions overlap at 0x%" PRIx64, regions[i].gpa);
    }
    return 0;
}

/* Reserves `size` bytes of address space that start at a multiple of HUGE_PAGE_SIZE. */
static void *map_aligned(uint64_t size)
{
    /* MAP_NORESERVE: a guest may be larger than what it will ever touch, and under strict
     * accounting the kernel would refuse the part that is never used. */
    uint64_t slack = HUGE_PAGE_SIZE, with_slack;
    if (__builtin_add_overflow(size, slack, &with_slack)) {
        errno = ENOMEM;
        return NULL;
    }
    uint8_t *start = mmap(NULL, with_slack, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    uint64_t before = -(uintptr_t)start % HUGE_PAGE_SIZE;
    if (before > 0)
        munmap(start, before);
    munmap(start + before + size, slack - before); /* never empty: before is below slack */
    return start + before;
}

static int map_region(struct guest_region *region, struct thaw_error *err)
{
    region->host = map_aligned(region->size);
    if (!region->host) {
        thaw_fail(err, errno, "mmap of %" PRIu64 " MiB of guest memory", region->size >> 20);
        return thaw_reclassify(err, THAW_FAIL_MEMORY);
    }
    return 0;
}

int guest_memory_create(struct guest_memory *mem, const struct guest_region *regions,
                        unsigned count, struct thaw_error *err)
{
    *mem = (struct guest_memory){0};

    int rc = check_layout(regions, count, err);
    if (rc < 0)
        return rc;

    for (unsigned i = 0; i < count; i++) {
        struct guest_region region = {.gpa = regions[i].gpa, .size = regions[i].size};
        rc = map_region(&region, err);
        if (rc < 0) {
            guest_memory_destroy(mem);
            return rc;
        }
        mem->regions[mem->region_count++] = region;
    }
    return 0;
}

void guest_memory_prefer_huge(const struct guest_memory *mem)
{
    for (unsigned i = 0; i < mem->region_count; i++)
        (void)madvise(mem->regions[i].host, mem->regions[i].size, MADV_HUGEPAGE);
}

void guest_memory_destroy(struct guest_memory *mem)
{
    for (unsigned i = 0; i < mem->region_count; i++)
        munmap(mem->regions[i].host, mem->regions[i].size);
    *mem = (struct guest_memory){0};
}

static int set_memslots(const struct guest_memory *mem, int vm_fd, uint32_t flags,
                        struct thaw_error *err)
{
    for (unsigned slot = 0; slot < mem->region_count; slot++) {
        const struct guest_region *region = &mem->regions[slot];
        struct kvm_userspace_memory_region memslot = {
            .slot = slot,
            .flags = flags,
            .guest_phys_addr = region->gpa,
            .memory_size = region->size,
            .userspace_addr = (uintptr_t)region->host,
        };
        if (ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &memslot) < 0)
            return thaw_fail(err, errno,
                             "KVM_SET_USER_MEMORY_REGION of slot %u, 0x%" PRIx64
                             " bytes at 0x%" PRIx64,
                             slot, region->size, region->gpa);
    }
    return 0;
}

int guest_memory_register(const struct guest_memory *mem, int vm_fd, struct thaw_error *err)
{
    return set_memslots(mem, vm_fd, 0, err);
}

int guest_memory_log_writes(const struct guest_memory *mem, int vm_fd, bool on,
                            struct thaw_error *err)
{
    return set_memslots(mem, vm_fd, on ? KVM_MEM_LOG_DIRTY_PAGES : 0, err);
}

int guest_memory_get_written(const struct guest_memory *mem, int vm_fd, unsigned region,
                             uint64_t *bitmap, struct thaw_error *err)
{
    struct kvm_dirty_log log = {.slot = region, .dirty_bitmap = bitmap};
    if (region >= mem->region_count)
        return thaw_fail(err, EINVAL, "guest memory: region %u", region);
    return ioctl(vm_fd, KVM_GET_DIRTY_LOG, &log) < 0 ? thaw_fail(err, errno, "KVM_GET_DIRTY_LOG")
                                                     : 0;
}

uint64_t guest_memory_size(const struct guest_memory *mem)
{
    uint64_t size = 0;
    for (unsigned i = 0; i < mem->region_count; i++)
        size += mem->regions[i].size;
    return size;
}

void *guest_memory_at(const struct guest_memory *mem, uint64_t gpa, uint64_t len)
{
    for (unsigned i = 0; i < mem->region_count; i++) {
        const struct guest_region *region = &mem->regions[i];
        /* Differences, not sums: neither can wrap once the comparison before it holds. */
        if (gpa < region->gpa || gpa - region->gpa > region->size)
            continue;
        uint64_t offset = gpa - region->gpa;
        if (len <= region->size - offset)
            return (char *)region->host + offset;
    }
    return NULL;
}

int guest_memory_read(const struct guest_memory *mem, uint64_t gpa, void *to, uint64_t len)
{
    const void *from = guest_memory_at(mem, gpa, len);
    if (!from)
        return -EFAULT;
    if (len > 0)
        memcpy(to, from, len);
    return 0;
}

int guest_memory_write(const struct guest_memory *mem, uint64_t gpa, const void *from, uint64_t len)
{
    void *to = guest_memory_at(mem, gpa, len);
    if (!to)
        return -EFAULT;
    if (len > 0)
        memcpy(to, from, len);
    return 0;
}
