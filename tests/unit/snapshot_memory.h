/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: the memory of a snapshot in a directory of its own, every page known. */
#ifndef THAW_TESTS_SNAPSHOT_MEMORY_H
#define THAW_TESTS_SNAPSHOT_MEMORY_H

#include "snapshot/memory_file.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAKE_LOW_PAGES  3072u
#define FAKE_HIGH_PAGES 1024u
#define FAKE_PAGES      (FAKE_LOW_PAGES + FAKE_HIGH_PAGES)

struct fake_snapshot {
    char path[64];
    int dir_fd, memory_fd;
    struct snapshot_header header;
    struct memory_map map;
};

/* The runs of pages that are not zero. */
static const struct page_run fake_data[] = {
    {5, 90}, {200, 40}, {241, 1}, {1000, 300}, {3000, 72}, {3072, 28}, {4095, 1},
};
#define FAKE_DATA_RUNS (sizeof(fake_data) / sizeof(*fake_data))

/* What page `page` holds. */
static inline void fake_page(const struct fake_snapshot *fake, uint64_t page,
                             uint8_t bytes[GUEST_PAGE_SIZE])
{
    memset(bytes, 0, GUEST_PAGE_SIZE);
    if (!page_runs_touch(&fake->map.data, page, 1))
        return;
    for (uint32_t i = 0; i < GUEST_PAGE_SIZE; i += sizeof(i)) {
        uint32_t value = ((uint32_t)page * GUEST_PAGE_SIZE + i) * 2654435761u + 1;
        memcpy(bytes + i, &value, sizeof(value));
    }
}

static inline void fake_write_memory(const struct fake_snapshot *fake)
{
    uint8_t bytes[GUEST_PAGE_SIZE];
    cr_assert_eq(ftruncate(fake->memory_fd, FAKE_PAGES * (off_t)GUEST_PAGE_SIZE), 0);
    for (size_t i = 0; i < FAKE_DATA_RUNS; i++)
        for (uint64_t n = 0; n < fake_data[i].count; n++) {
            uint64_t page = fake_data[i].first + n;
            fake_page(fake, page, bytes);
            cr_assert_eq(
                pwrite(fake->memory_fd, bytes, sizeof(bytes), (off_t)(page * GUEST_PAGE_SIZE)),
                (ssize_t)sizeof(bytes));
        }
}

/* In a new directory in `where`. */
static inline void fake_snapshot_make(struct fake_snapshot *fake, const char *where)
{
    *fake = (struct fake_snapshot){
        .header = {.magic = SNAPSHOT_MAGIC, .major = 1, .checksum = 0x1234},
        .map = {.region_count = 2,
                .regions = {{.gpa = 0, .size = FAKE_LOW_PAGES * GUEST_PAGE_SIZE},
                            {.gpa = 1ull << 32, .size = FAKE_HIGH_PAGES * GUEST_PAGE_SIZE}},
                .pages = FAKE_PAGES},
    };
    fake->map.data =
        (struct page_runs){.items = (struct page_run *)fake_data, .count = FAKE_DATA_RUNS};
    (void)snprintf(fake->path, sizeof(fake->path), "%s/thaw-test-XXXXXX", where);
    cr_assert_not_null(mkdtemp(fake->path));
    fake->dir_fd = open(fake->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fake->memory_fd =
        openat(fake->dir_fd, SNAPSHOT_MEMORY, O_RDWR | O_CREAT | O_CLOEXEC | O_EXCL, 0600);
    cr_assert(fake->dir_fd >= 0 && fake->memory_fd >= 0);
    fake_write_memory(fake);
}

static inline void fake_snapshot_remove(struct fake_snapshot *fake)
{
    (void)unlinkat(fake->dir_fd, SNAPSHOT_MEMORY, 0);
    (void)unlinkat(fake->dir_fd, SNAPSHOT_WORKING_SET, 0);
    cr_expect_eq(rmdir(fake->path), 0, "no other file is left in the directory");
    close(fake->memory_fd);
    close(fake->dir_fd);
}

/* Guest memory for it, as a restore finds it. */
static inline struct guest_memory fake_guest_memory(const struct fake_snapshot *fake)
{
    struct guest_memory memory;
    struct thaw_error err;
    cr_assert_eq(guest_memory_create(&memory, fake->map.regions, fake->map.region_count, &err), 0);
    return memory;
}

/* The first page that is not as it was saved; FAKE_PAGES: none. */
static inline uint64_t fake_first_difference(const struct fake_snapshot *fake,
                                             const struct guest_memory *memory)
{
    uint8_t bytes[GUEST_PAGE_SIZE];
    uint64_t page = 0;
    for (; page < FAKE_PAGES; page++) {
        fake_page(fake, page, bytes);
        if (memcmp(page_address(memory, page, 1), bytes, sizeof(bytes)) != 0)
            break;
    }
    return page;
}

#endif
