/* SPDX-License-Identifier: Apache-2.0 */
/* Memory comes back the same by every strategy, on a disk and in memory, and stays one's own. */
#include "snapshot/load.h"
#include "snapshot/pack.h"
#include "snapshot/uring.h"
#include "tests/unit/pack_rig.h"
#include "tests/unit/snapshot_memory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

static const struct page_run wanted[] = {{1100, 20}, {5, 3}, {3072, 8}, {241, 1}, {1000, 4}};
#define WANTED ((struct page_runs){.items = (struct page_run *)wanted, .count = 5})

static struct fake_snapshot fake;
static struct working_set set;
static struct guest_memory memory;
static struct restore_plan plan;
static struct thaw_error err;

static void create(const char *where)
{
    err = (struct thaw_error){0};
    fake_snapshot_make(&fake, where);
    cr_assert_eq(working_set_write(fake.dir_fd, fake.memory_fd, &fake.header, &fake.map, &WANTED,
                                   false, &err),
                 0, "%s", err.message);
    cr_assert_eq(working_set_open(fake.dir_fd, &fake.header, &fake.map, &set, &err), 0, "%s",
                 err.message);
    memory = fake_guest_memory(&fake);
}

static void create_on_disk(void)
{
    create("/var/tmp");
}

static void destroy(void)
{
    guest_memory_destroy(&memory);
    restore_plan_free(&plan);
    working_set_close(&set);
    fake_snapshot_remove(&fake);
}

TestSuite(memory_load, .init = create_on_disk, .fini = destroy);

static void make_plan(enum restore_mode mode, bool warm, bool io_uring)
{
    const struct plan_input input = {
        .map = &fake.map,
        .working_set = &set.runs,
        .cache = {.probed = 4, .cached = warm ? 4 : 0},
        .mode = mode,
        .io_uring = io_uring,
    };
    restore_plan_free(&plan);
    cr_assert_eq(restore_plan_make(&input, &plan, &err), 0, "%s", err.message);
}

static struct memory_load *begin(const struct guest_memory *where)
{
    const struct memory_source source = {
        .map = &fake.map, .memory_fd = fake.memory_fd, .working_set = &set};
    struct memory_load *load = NULL;
    cr_assert_eq(memory_load_begin(&load, where, &plan, &source, &err), 0, "%s", err.message);
    return load;
}

static struct memory_load *load_all(const struct guest_memory *where)
{
    struct memory_load *load = begin(where);
    struct memory_load_stats stats;
    cr_assert_eq(memory_load_wait(load, &stats, &err), 0, "%s", err.message);
    cr_assert_eq(stats.read_bytes, plan.read_bytes);
    cr_assert_eq(stats.io_uring, plan.reads > 0 && plan.io_uring && uring_is_allowed());
    return load;
}

static void restore_every_way(void)
{
    for (unsigned i = 0; i < 16; i++) {
        struct guest_memory other = fake_guest_memory(&fake);
        make_plan((enum restore_mode)(i % 4), i / 4 % 2, i / 8);
        struct memory_load *load = load_all(&other);
        memory_load_populate(load);
        cr_assert_eq(fake_first_difference(&fake, &other), FAKE_PAGES, "mode %s, %s",
                     restore_mode_name(plan.mode), plan.warm ? "warm" : "cold");
        memory_load_free(load);
        guest_memory_destroy(&other);
    }
}

Test(memory_load, every_strategy_brings_back_every_page)
{
    restore_every_way();
}

static void create_in_memory(void)
{
    create("/dev/shm");
}

TestSuite(memory_load_tmpfs, .init = create_in_memory, .fini = destroy);

Test(memory_load_tmpfs, every_strategy_brings_back_every_page)
{
    restore_every_way();
}

Test(memory_load, clones_do_not_see_what_another_writes_nor_does_the_file)
{
    for (unsigned mode = RESTORE_AUTO; mode <= RESTORE_PREFETCH; mode++) {
        struct guest_memory a = fake_guest_memory(&fake), b = fake_guest_memory(&fake);
        make_plan((enum restore_mode)mode, false, true);
        struct memory_load *load_a = load_all(&a);
        for (uint64_t page = 0; page < FAKE_PAGES; page++)
            memset(page_address(&a, page, 1), 0xee, GUEST_PAGE_SIZE);
        struct memory_load *load_b = load_all(&b);
        cr_assert_eq(fake_first_difference(&fake, &b), FAKE_PAGES);
        cr_assert_eq(fake_first_difference(&fake, &a), 0);
        memory_load_free(load_a);
        memory_load_free(load_b);
        guest_memory_destroy(&a);
        guest_memory_destroy(&b);
    }
}

/* Bit 61 of /proc/self/pagemap: a page of a file, or shared; bit 63: present. */
static uint64_t pagemap(uint64_t page)
{
    cleanup_close int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t entry = 0;
    uintptr_t at = (uintptr_t)page_address(&memory, page, 1);
    cr_assert_eq(pread(fd, &entry, sizeof(entry), (off_t)(at / GUEST_PAGE_SIZE * 8)), 8);
    return entry;
}

static bool is_present(uint64_t page)
{
    return pagemap(page) >> 63;
}

static bool is_of_file(uint64_t page)
{
    return is_present(page) && (pagemap(page) >> 61 & 1);
}

Test(memory_load, only_the_working_set_is_there_before_the_guest_runs_and_it_is_anonymous)
{
    make_plan(RESTORE_PREFETCH, false, true);
    struct memory_load *load = load_all(&memory);
    for (size_t i = 0; i < 5; i++)
        for (uint64_t n = 0; n < wanted[i].count; n++)
            cr_assert(is_present(wanted[i].first + n) && !is_of_file(wanted[i].first + n));
    const uint64_t others[] = {4, 8, 1004, 1099, 1120, 3071, 3080};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        cr_assert_not(is_present(others[i]), "page %lu", (unsigned long)others[i]);
    memory_load_free(load);
}

Test(memory_load, pages_that_will_be_written_are_copied_before_the_guest_runs_and_no_others)
{
    struct page_runs written = {0};
    cr_assert_eq(page_runs_add(&written, 4, 2, &err), 0);
    cr_assert_eq(page_runs_add(&written, 1004, 1, &err), 0);
    make_plan(RESTORE_MAP, true, true);
    const struct memory_source source = {
        .map = &fake.map, .memory_fd = fake.memory_fd, .written = &written};
    struct memory_load *load;
    cr_assert_eq(memory_load_begin(&load, &memory, &plan, &source, &err), 0, "%s", err.message);
    cr_assert_not(is_present(4));
    memory_load_copy(load);
    memory_load_copy(load);
    cr_assert_eq(memory_load_wait(load, NULL, &err), 0);
    const uint64_t copied[] = {4, 5, 1004}, others[] = {3, 6, 1003, 1005};
    for (size_t i = 0; i < 3; i++)
        cr_assert(is_present(copied[i]) && !is_of_file(copied[i]));
    for (size_t i = 0; i < 4; i++)
        cr_assert_not(is_present(others[i]) && !is_of_file(others[i]));
    cr_assert_eq(fake_first_difference(&fake, &memory), FAKE_PAGES);
    memory_load_free(load);
    page_runs_free(&written);
}

Test(memory_load, a_warm_working_set_is_mapped_in_by_the_thread_and_nothing_before)
{
    make_plan(RESTORE_AUTO, true, true);
    struct memory_load *load = load_all(&memory);
    cr_assert_not(is_present(1100));
    memory_load_populate(load);
    for (size_t i = 0; i < 5; i++)
        for (int tries = 0; tries < 1000 && !is_present(wanted[i].first); tries++)
            usleep(1000);
    for (size_t i = 0; i < 5; i++)
        cr_assert(is_of_file(wanted[i].first), "shared with other clones");
    memory_load_stop_populate(load);
    memory_load_stop_populate(load); /* a second time is fine */
    memory_load_free(load);
}

Test(memory_load, populating_stops_when_it_is_told_to)
{
    make_plan(RESTORE_AUTO, true, true);
    for (int round = 0; round < 50; round++) {
        struct guest_memory other = fake_guest_memory(&fake);
        struct memory_load *load = load_all(&other);
        memory_load_populate(load);
        memory_load_free(load);
        guest_memory_destroy(&other);
    }
}

static void flip(off_t offset)
{
    cleanup_close int fd = openat(fake.dir_fd, SNAPSHOT_WORKING_SET, O_RDWR | O_CLOEXEC);
    uint8_t byte;
    cr_assert_eq(pread(fd, &byte, 1, offset), 1);
    byte ^= 16;
    cr_assert_eq(pwrite(fd, &byte, 1, offset), 1);
}

Test(memory_load, a_flip_in_the_working_sets_pages_is_refused_before_the_guest_runs)
{
    for (unsigned engine = 0; engine < 2; engine++) {
        struct guest_memory other = fake_guest_memory(&fake);
        make_plan(RESTORE_PREFETCH, false, engine == 0);
        flip((off_t)set.pages_offset + 17 * 4096 + 5);
        struct memory_load *load = begin(&other);
        cr_assert_lt(memory_load_wait(load, NULL, &err), 0);
        cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
        memory_load_free(load);
        guest_memory_destroy(&other);
        flip((off_t)set.pages_offset + 17 * 4096 + 5);
    }
}

Test(memory_load, a_working_set_that_was_cut_after_it_was_opened_is_refused)
{
    make_plan(RESTORE_PREFETCH, false, true);
    cleanup_close int fd = openat(fake.dir_fd, SNAPSHOT_WORKING_SET, O_RDWR | O_CLOEXEC);
    cr_assert_eq(ftruncate(fd, (off_t)set.pages_offset + 4096), 0);
    struct memory_load *load = begin(&memory);
    cr_assert_lt(memory_load_wait(load, NULL, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_SHORT);
    memory_load_free(load);
}

Test(memory_load, one_that_is_freed_without_a_wait_leaves_nothing_in_flight)
{
    make_plan(RESTORE_EAGER, false, true);
    memory_load_free(begin(&memory));
    memory_load_free(NULL);
}

static const char *fault_line(const struct memory_load *load, const void *address)
{
    static char line[256];
    size_t size = memory_load_describe_fault(load, address, line, sizeof(line) - 1);
    line[size] = '\0';
    return line;
}

Test(memory_load, a_fault_on_a_truncated_file_is_described_and_another_is_not_ours)
{
    make_plan(RESTORE_MAP, false, true);
    struct memory_load *load = load_all(&memory);
    const void *mapped = (char *)page_address(&memory, 3072, 1) + 77;
    const void *zero = page_address(&memory, 2000, 1);
    cr_assert_str_eq(fault_line(load, NULL), "", "the file is whole");
    cr_assert_str_eq(
        fault_line(load, mapped),
        "thaw: memory: page 3072 of the snapshot cannot be read: the disk fails [io]\n");
    cr_assert_eq(ftruncate(fake.memory_fd, 4096), 0);
    cr_assert_str_eq(fault_line(load, NULL),
                     "thaw: memory: the file was truncated while it was in use [snapshot-short]\n");
    cr_assert_str_eq(fault_line(load, mapped),
                     "thaw: memory: page 3072 of the snapshot cannot be read: the file was "
                     "truncated while it was in use [snapshot-short]\n");
    cr_assert_str_eq(fault_line(load, zero), "", "anonymous memory");
    cr_assert_str_eq(fault_line(load, &err), "", "no guest memory");
    char small[8];
    cr_assert_eq(memory_load_describe_fault(load, mapped, small, sizeof(small)), sizeof(small));
    memory_load_free(load);
}

Test(memory_load, a_file_that_is_not_mapped_is_no_reason_for_a_fault)
{
    make_plan(RESTORE_EAGER, false, true);
    struct memory_load *load = load_all(&memory);
    cr_assert_eq(ftruncate(fake.memory_fd, 4096), 0);
    cr_assert_str_eq(fault_line(load, NULL), "", "all of it was read long ago");
    memory_load_free(load);
}

Test(memory_load, the_page_cache_is_looked_at_without_changing_it)
{
    struct cache_observation seen;
    struct statfs fs;
    cr_assert_eq(fstatfs(fake.memory_fd, &fs), 0);
    uint8_t page[GUEST_PAGE_SIZE];
    for (uint64_t i = 0; i < FAKE_PAGES; i++)
        cr_assert_gt(pread(fake.memory_fd, page, sizeof(page), (off_t)(i * sizeof(page))), 0);
    memory_cache_observe(fake.memory_fd, &fake.map, NULL, &seen);
    cr_assert_gt(seen.probed, 0);
    cr_assert_eq(seen.cached, seen.probed);
    memory_cache_observe(fake.memory_fd, &fake.map, &set.runs, &seen);
    cr_assert_gt(seen.probed, 0);
    cr_assert_eq(seen.cached, seen.probed);
    if (fs.f_type == TMPFS_MAGIC)
        return; /* it is the page cache */
    cr_assert_eq(fsync(fake.memory_fd), 0);
    cr_assert_eq(posix_fadvise(fake.memory_fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    for (int look = 0; look < 3; look++) {
        memory_cache_observe(fake.memory_fd, &fake.map, &set.runs, &seen);
        cr_assert_eq(seen.cached, 0, "look %d", look);
    }
}

Test(memory_load, memory_of_zeros_has_nothing_to_probe)
{
    struct cache_observation seen;
    struct memory_map zeros = fake.map;
    zeros.data = (struct page_runs){0};
    memory_cache_observe(fake.memory_fd, &zeros, NULL, &seen);
    cr_assert_eq(seen.probed, 0);
    memory_cache_observe(-1, &fake.map, NULL, &seen);
    cr_assert_eq(seen.probed, 0, "nor what cannot be looked at");
}

/* ---- packed memory ------------------------------------------------------------------------ */

static struct memory_load *begin_packed(struct pack_rig *rig, int fd, bool io_uring)
{
    const struct plan_input input = {.map = &rig->map, .packed = true, .io_uring = io_uring};
    const struct memory_source source = {.map = &rig->map, .memory_fd = fd};
    cleanup_restore_plan struct restore_plan packed;
    struct memory_load *load = NULL;
    cr_assert_eq(restore_plan_make(&input, &packed, &err), 0);
    cr_assert_eq(memory_load_begin(&load, &rig->other, &packed, &source, &err), 0, "%s",
                 err.message);
    return load;
}

Test(memory_load_packed, memory_is_unpacked_while_something_else_is_done)
{
    struct pack_rig rig;
    pack_rig_make(&rig, 32u << 20, FILL_SPARSE);
    cr_assert_eq(snapshot_pack(rig.plain_fd, rig.packed, NULL, &err), 0, "%s", err.message);
    cleanup_close int dir = pack_rig_open(rig.packed);
    cleanup_close int fd = packed_open(dir, &rig.map, &err);
    for (unsigned i = 0; i < 2; i++) {
        pack_rig_clear(&rig);
        struct memory_load *load = begin_packed(&rig, fd, i == 0);
        struct memory_load_stats stats;
        cr_assert_eq(memory_load_wait(load, &stats, &err), 0, "%s", err.message);
        cr_assert(pack_rig_is_same(&rig));
        cr_assert_eq(stats.io_uring, i == 0 && uring_is_allowed());
        memory_load_free(load);
    }
    pack_rig_free(&rig);
}

Test(memory_load_packed, a_damaged_frame_is_refused_before_the_guest_runs)
{
    struct pack_rig rig;
    pack_rig_make(&rig, 32u << 20, FILL_TEXT);
    cr_assert_eq(snapshot_pack(rig.plain_fd, rig.packed, NULL, &err), 0, "%s", err.message);
    cleanup_close int dir = pack_rig_open(rig.packed);
    cleanup_close int fd = packed_open(dir, &rig.map, &err);
    cleanup_blob struct blob file = {0};
    pack_rig_read(&file, rig.packed, SNAPSHOT_PACKED);
    cleanup_close int writable = openat(dir, SNAPSHOT_PACKED, O_WRONLY | O_CLOEXEC);
    const uint8_t flipped = file.data[40] ^ 1;
    cr_assert_eq(pwrite(writable, &flipped, 1, 40), 1);
    struct memory_load *load = begin_packed(&rig, fd, true);
    cr_assert_lt(memory_load_wait(load, NULL, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
    memory_load_free(load);
    memory_load_free(begin_packed(&rig, fd, true)); /* also without a wait */
    pack_rig_free(&rig);
}
