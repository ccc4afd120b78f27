/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pack_rig.h"

#include "snapshot/publish.h"
#include "vmm/arch/arch.h"
#include "vmm/base/file.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static void fill_page(uint8_t *page, enum pack_fill fill)
{
    for (unsigned i = 0; i < GUEST_PAGE_SIZE; i += 8) {
        uint64_t value = next_random();
        if (fill != FILL_RANDOM)
            value = 0x6161616161616161u + value % 4 * 0x0101;
        memcpy(page + i, &value, sizeof(value));
    }
}

static bool has_data(uint64_t page, uint64_t pages, enum pack_fill fill)
{
    if (fill == FILL_SPARSE)
        return page == 0 || page + 1 == pages || (page >= 64 * 5 && page < 64 * 6) ||
               (page < 64 * 32 && page / 64 % 3 == 1 && page % 5 < 2);
    return fill != FILL_NOTHING;
}

static void fill_memory(const struct guest_memory *memory, enum pack_fill fill)
{
    uint64_t pages = guest_memory_size(memory) / GUEST_PAGE_SIZE;
    random_state = 88172645463325252u;
    for (uint64_t page = 0; page < pages; page++)
        if (has_data(page, pages, fill))
            fill_page(page_address(memory, page, 1), fill);
}

static void write_state(struct pack_rig *rig)
{
    struct thaw_error err = {0};
    struct snapshot_writer *writer = calloc(1, sizeof(*writer));
    struct blob map = {0};
    cr_assert_eq(memory_map_encode(&rig->map, &map, &err), 0, "%s", err.message);
    cr_assert_eq(snapshot_writer_add(writer, SNAPSHOT_MEMORY_MAP, 0, map.data, map.size, &err), 0);
    cr_assert_eq(snapshot_writer_add(writer, SNAPSHOT_META, 0, "{}", 2, &err), 0);
    cr_assert_eq(snapshot_writer_finish(writer, &rig->state, &err), 0, "%s", err.message);
    pack_rig_write(rig->plain, SNAPSHOT_STATE, rig->state.data, rig->state.size);
    snapshot_writer_free(writer);
    blob_free(&map);
    free(writer);
}

void pack_rig_make(struct pack_rig *rig, uint64_t size, enum pack_fill fill)
{
    struct guest_region regions[GUEST_MEMORY_REGIONS_MAX];
    struct thaw_error err = {0};
    unsigned count = arch_memory_layout(size, regions);
    *rig = (struct pack_rig){.base = "/tmp/thaw-pack-XXXXXX"};
    cr_assert_not_null(mkdtemp(rig->base));
    snprintf(rig->plain, sizeof(rig->plain), "%s/plain", rig->base);
    snprintf(rig->packed, sizeof(rig->packed), "%s/packed", rig->base);
    snprintf(rig->again, sizeof(rig->again), "%s/again", rig->base);
    cr_assert_eq(mkdir(rig->plain, 0700), 0);
    rig->plain_fd = pack_rig_open(rig->plain);
    cr_assert_eq(guest_memory_create(&rig->memory, regions, count, &err), 0);
    cr_assert_eq(guest_memory_create(&rig->other, regions, count, &err), 0);
    fill_memory(&rig->memory, fill);
    cr_assert_eq(memory_file_write(rig->plain_fd, &rig->memory, NULL, &rig->map, &err), 0, "%s",
                 err.message);
    cr_assert_eq(memory_file_index(rig->plain_fd, &rig->map, &err), 0, "%s", err.message);
    write_state(rig);
    pack_rig_read(&rig->index, rig->plain, SNAPSHOT_INDEX);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void pack_rig_free(struct pack_rig *rig)
{
    guest_memory_destroy(&rig->memory);
    guest_memory_destroy(&rig->other);
    memory_map_free(&rig->map);
    blob_free(&rig->state);
    blob_free(&rig->index);
    close(rig->plain_fd);
    nftw(rig->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void pack_rig_clear(struct pack_rig *rig)
{
    for (unsigned i = 0; i < rig->other.region_count; i++)
        cr_assert_eq(madvise(rig->other.regions[i].host, rig->other.regions[i].size, MADV_DONTNEED),
                     0);
}

bool pack_rig_is_same(const struct pack_rig *rig)
{
    for (unsigned i = 0; i < rig->memory.region_count; i++)
        if (memcmp(rig->memory.regions[i].host, rig->other.regions[i].host,
                   rig->memory.regions[i].size) != 0)
            return false;
    return true;
}

bool pack_rig_is_touched(const struct pack_rig *rig, uint64_t page)
{
    uint64_t entry;
    uintptr_t address = (uintptr_t)page_address(&rig->other, page, 1);
    cleanup_close int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(pread(fd, &entry, sizeof(entry), (off_t)(address / GUEST_PAGE_SIZE * 8)),
                 (ssize_t)sizeof(entry));
    return entry >> 62 != 0; /* present or swapped out */
}

int pack_rig_open(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(fd, 0, "%s", directory);
    return fd;
}

static int get_status(const char *directory, const char *name, struct stat *st)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return lstat(path, st);
}

uint64_t pack_rig_size(const char *directory, const char *name)
{
    struct stat st;
    return get_status(directory, name, &st) < 0 ? UINT64_MAX : (uint64_t)st.st_size;
}

uint64_t pack_rig_blocks(const char *directory, const char *name)
{
    struct stat st;
    return get_status(directory, name, &st) < 0 ? UINT64_MAX : (uint64_t)st.st_blocks * 512;
}

void pack_rig_read(struct blob *blob, const char *directory, const char *name)
{
    char path[128];
    struct thaw_error err = {0};
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    char *data;
    *blob = (struct blob){0};
    cr_assert_eq(file_read_all(path, SIZE_MAX / 2, THAW_FAIL_IO, &data, &blob->size, &err), 0, "%s",
                 err.message);
    blob->data = (uint8_t *)data;
    blob->capacity = blob->size;
}

void pack_rig_write(const char *directory, const char *name, const void *data, size_t size)
{
    char path[128];
    struct thaw_error err = {0};
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0, "%s", path);
    cr_assert_eq(file_write_full(fd, data, size, &err), 0);
}

bool pack_rig_equal(const char *one, const char *other, const char *name)
{
    cleanup_blob struct blob a, b;
    pack_rig_read(&a, one, name);
    pack_rig_read(&b, other, name);
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static int count_one(void *ctx, int dir_fd, const char *name)
{
    (void)dir_fd, (void)name;
    ++*(unsigned *)ctx;
    return 0;
}

unsigned pack_rig_count(const char *directory)
{
    unsigned count = 0;
    cleanup_close int fd = pack_rig_open(directory);
    cr_assert_eq(publish_each_file(fd, count_one, &count), 0);
    return count;
}
