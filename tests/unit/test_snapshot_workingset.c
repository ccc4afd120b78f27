/* SPDX-License-Identifier: Apache-2.0 */
/* The file `workingset`: what is written comes back; what is damaged or hostile is refused. */
#include "snapshot/workingset.h"
#include "tests/unit/snapshot_memory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <xxhash.h>

#define OTHER_NAME SNAPSHOT_WORKING_SET ".other"

static struct fake_snapshot fake;
static struct thaw_error err;

static const struct page_run wanted[] = {{1100, 20}, {5, 3}, {3072, 8}, {241, 1}, {1000, 4}};
#define WANTED ((struct page_runs){.items = (struct page_run *)wanted, .count = 5})

static void create(void)
{
    err = (struct thaw_error){0};
    fake_snapshot_make(&fake, "/var/tmp");
}

static void destroy(void)
{
    fake_snapshot_remove(&fake);
}

TestSuite(working_set, .init = create, .fini = destroy);

static void write_set(const struct page_runs *order)
{
    cr_assert_eq(
        working_set_write(fake.dir_fd, fake.memory_fd, &fake.header, &fake.map, order, false, &err),
        0, "%s", err.message);
}

static int open_set(struct working_set *set)
{
    return working_set_open(fake.dir_fd, &fake.header, &fake.map, set, &err);
}

/* The start of the file that write_set() left. */
static uint64_t read_head(uint8_t head[WORKING_SET_HEAD_MAX])
{
    cleanup_close int fd = openat(fake.dir_fd, SNAPSHOT_WORKING_SET, O_RDONLY | O_CLOEXEC);
    struct stat status;
    cr_assert_eq(fstat(fd, &status), 0);
    cr_assert_gt(pread(fd, head, WORKING_SET_HEAD_MAX, 0), 0);
    return (uint64_t)status.st_size;
}

static int parse(const void *head, uint64_t size)
{
    struct working_set set;
    err = (struct thaw_error){0};
    int rc = working_set_parse(head, size, working_set_id(&fake.header), &fake.map, &set, &err);
    cr_assert_eq(rc, thaw_error_code(&err));
    cr_assert_eq(set.fd, -1);
    cr_assert(rc == 0 || set.runs.items == NULL, "nothing is left after a failure");
    working_set_close(&set);
    return rc;
}

Test(working_set, what_is_written_is_read_back_in_the_same_order)
{
    struct working_set set;
    write_set(&WANTED);
    cr_assert_eq(open_set(&set), 0, "%s", err.message);
    cr_assert_eq(set.runs.count, 5);
    cr_assert(memcmp(set.runs.items, wanted, sizeof(wanted)) == 0);
    cr_assert_eq(set.pages, 36);
    cr_assert_eq(set.pages_offset % GUEST_PAGE_SIZE, 0);
    cr_assert_not(set.approximate);
    uint64_t offset = set.pages_offset;
    for (size_t i = 0; i < 5; i++)
        for (uint64_t n = 0; n < wanted[i].count; n++, offset += GUEST_PAGE_SIZE) {
            uint8_t expected[GUEST_PAGE_SIZE], seen[GUEST_PAGE_SIZE];
            fake_page(&fake, wanted[i].first + n, expected);
            cr_assert_eq(pread(set.fd, seen, sizeof(seen), (off_t)offset), (ssize_t)sizeof(seen));
            cr_assert(memcmp(seen, expected, sizeof(seen)) == 0);
        }
    cr_assert_eq(working_set_verify(&set, &err), 0);
    working_set_close(&set);
}

Test(working_set, one_without_pages_is_one)
{
    struct working_set set;
    write_set(&(struct page_runs){0});
    cr_assert_eq(open_set(&set), 0, "%s", err.message);
    cr_assert_eq(set.runs.count, 0);
    cr_assert_eq(working_set_verify(&set, &err), 0);
    working_set_close(&set);
}

Test(working_set, an_approximate_one_says_so)
{
    struct working_set set;
    cr_assert_eq(working_set_write(fake.dir_fd, fake.memory_fd, &fake.header, &fake.map, &WANTED,
                                   true, &err),
                 0);
    cr_assert_eq(open_set(&set), 0);
    cr_assert(set.approximate);
    working_set_close(&set);
}

Test(working_set, a_second_recording_takes_the_place_of_the_first_and_leaves_no_other_file)
{
    struct working_set before, after;
    write_set(&WANTED);
    cr_assert_eq(open_set(&before), 0);
    write_set(&(struct page_runs){.items = (struct page_run *)wanted, .count = 2});
    cr_assert_eq(open_set(&after), 0);
    cr_assert_eq(after.runs.count, 2);
    cr_assert_eq(working_set_verify(&before, &err), 0, "who has the old one open still reads it");
    working_set_close(&before);
    working_set_close(&after);
}

Test(working_set, none_is_named_as_missing)
{
    struct working_set set;
    cr_assert_eq(open_set(&set), -ENOENT);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_MISSING);
}

Test(working_set, a_link_in_its_place_is_refused)
{
    struct working_set set;
    write_set(&WANTED);
    cr_assert_eq(renameat(fake.dir_fd, SNAPSHOT_WORKING_SET, fake.dir_fd, OTHER_NAME), 0);
    cr_assert_eq(symlinkat(OTHER_NAME, fake.dir_fd, SNAPSHOT_WORKING_SET), 0);
    cr_assert_lt(open_set(&set), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_LINK);
    cr_assert_eq(unlinkat(fake.dir_fd, OTHER_NAME, 0), 0);
}

Test(working_set, one_of_another_snapshot_is_refused)
{
    struct working_set set;
    write_set(&WANTED);
    fake.header.checksum++;
    cr_assert_lt(open_set(&set), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
    cr_assert_str_eq(err.message, "workingset: of another snapshot");
}

Test(working_set, every_flip_of_a_bit_before_the_pages_is_refused)
{
    uint8_t head[WORKING_SET_HEAD_MAX];
    write_set(&WANTED);
    uint64_t size = read_head(head);
    cr_assert_eq(parse(head, size), 0);
    for (size_t bit = 0; bit < GUEST_PAGE_SIZE * 8; bit++) {
        head[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_lt(parse(head, size), 0, "bit %zu", bit);
        cr_assert(err.failure == THAW_FAIL_SNAPSHOT || err.failure == THAW_FAIL_SNAPSHOT_SHORT ||
                  err.failure == THAW_FAIL_SNAPSHOT_VERSION);
        head[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(working_set, every_truncation_is_refused)
{
    uint8_t head[WORKING_SET_HEAD_MAX];
    write_set(&WANTED);
    uint64_t size = read_head(head);
    for (uint64_t length = 0; length < size; length++) {
        /* Of this size, so that reading behind it is seen. */
        uint64_t there = length < sizeof(head) ? length : sizeof(head);
        cleanup_free uint8_t *copy = malloc(there > 0 ? there : 1);
        memcpy(copy, head, there);
        cr_assert_lt(parse(copy, length), 0, "%lu bytes", (unsigned long)length);
        cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_SHORT);
    }
    cr_assert_lt(parse(head, size + 1), 0, "nor is one that is too long");
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
}

Test(working_set, a_file_that_was_cut_is_refused_when_it_is_opened)
{
    struct working_set set;
    write_set(&WANTED);
    cleanup_close int fd = openat(fake.dir_fd, SNAPSHOT_WORKING_SET, O_RDWR | O_CLOEXEC);
    cr_assert_eq(ftruncate(fd, 5000), 0);
    cr_assert_lt(open_set(&set), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_SHORT);
    cr_assert_eq(ftruncate(fd, 0), 0);
    cr_assert_lt(open_set(&set), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_SHORT);
}

Test(working_set, a_flip_in_its_pages_is_found_by_verify)
{
    struct working_set set;
    write_set(&WANTED);
    cleanup_close int fd = openat(fake.dir_fd, SNAPSHOT_WORKING_SET, O_RDWR | O_CLOEXEC);
    uint8_t byte;
    cr_assert_eq(pread(fd, &byte, 1, 9000), 1);
    byte ^= 4;
    cr_assert_eq(pwrite(fd, &byte, 1, 9000), 1);
    cr_assert_eq(open_set(&set), 0, "the pages are not read when it is opened");
    cr_assert_lt(working_set_verify(&set, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
    working_set_close(&set);
}

/* A head with right checksums around whatever the runs say. */
static uint64_t forge(uint8_t head[WORKING_SET_HEAD_MAX], const struct page_run *runs,
                      uint32_t count, uint64_t pages)
{
    uint64_t bytes = sizeof(struct working_set_header) + count * sizeof(*runs);
    struct working_set_header header = {
        .magic = WORKING_SET_MAGIC,
        .version = WORKING_SET_VERSION,
        .snapshot = working_set_id(&fake.header),
        .run_count = count,
        .pages_offset = (uint32_t)((bytes + 4095) / 4096 * 4096),
        .pages = pages,
    };
    memset(head, 0, WORKING_SET_HEAD_MAX);
    memcpy(head, &header, sizeof(header));
    memcpy(head + sizeof(header), runs, count * sizeof(*runs));
    header.checksum = XXH3_64bits(head, header.pages_offset);
    memcpy(head, &header, sizeof(header));
    return header.pages_offset + pages * GUEST_PAGE_SIZE;
}

struct forgery {
    const char *name;
    struct page_run runs[3];
    uint32_t count;
    uint64_t pages;
    const char *why; /* NULL: it is fine */
};

static const struct forgery forgeries[] = {
    {"runs in any order", {{100, 2}, {3, 1}, {4095, 1}}, 3, 4, NULL},
    {"runs that touch", {{100, 2}, {98, 2}}, 2, 4, NULL},
    {"an empty run", {{100, 0}}, 1, 0, "pages that are not in RAM"},
    {"a run behind RAM", {{4096, 1}}, 1, 1, "pages that are not in RAM"},
    {"a run that leaves RAM", {{4095, 2}}, 1, 2, "pages that are not in RAM"},
    {"a run from one region to the next", {{3071, 2}}, 1, 2, "pages that are not in RAM"},
    {"a run that overflows", {{100, UINT64_MAX}}, 1, 1, "pages that are not in RAM"},
    {"a run far away", {{UINT64_MAX, 1}}, 1, 1, "pages that are not in RAM"},
    {"the same run twice", {{100, 2}, {100, 2}}, 2, 4, "pages that are there twice"},
    {"overlapping runs", {{100, 4}, {7, 1}, {98, 3}}, 3, 8, "pages that are there twice"},
    {"fewer pages than in the runs", {{100, 4}}, 1, 3, "runs and pages do not agree"},
    {"more pages than in the runs", {{100, 4}}, 1, 5, "runs and pages do not agree"},
    {"pages that overflow the size", {{100, 4}}, 1, 1ull << 52, "runs and pages do not agree"},
};

Test(working_set, what_a_hostile_file_says_is_checked_though_its_checksum_is_right)
{
    uint8_t head[WORKING_SET_HEAD_MAX];
    for (size_t i = 0; i < sizeof(forgeries) / sizeof(*forgeries); i++) {
        const struct forgery *forgery = &forgeries[i];
        uint64_t size = forge(head, forgery->runs, forgery->count, forgery->pages);
        int rc = parse(head, size);
        cr_expect_eq(rc, forgery->why ? -EINVAL : 0, "%s: %s", forgery->name, err.message);
        if (forgery->why)
            cr_expect_str_eq(err.message + strlen("workingset: "), forgery->why, "%s",
                             forgery->name);
    }
}

Test(working_set, more_runs_than_there_may_be_are_refused)
{
    static struct page_run runs[WORKING_SET_RUNS_MAX];
    uint8_t head[WORKING_SET_HEAD_MAX];
    for (size_t i = 0; i < WORKING_SET_RUNS_MAX; i++)
        runs[i] = (struct page_run){i * 2, 1};
    uint64_t size = forge(head, runs, WORKING_SET_RUNS_MAX, WORKING_SET_RUNS_MAX);
    cr_assert_eq(parse(head, size), 0, "%s", err.message);
    struct working_set_header *header = (struct working_set_header *)head;
    header->run_count++;
    cr_assert_lt(parse(head, size), 0);
    cr_assert_str_eq(err.message, "workingset: a header that contradicts itself");
}

Test(working_set, a_newer_format_is_named)
{
    uint8_t head[WORKING_SET_HEAD_MAX];
    uint64_t size = forge(head, wanted, 5, 36);
    ((struct working_set_header *)head)->version++;
    cr_assert_lt(parse(head, size), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_VERSION);
}

/* ---- putting pages together --------------------------------------------------------------- */

struct grouping {
    const char *name;
    struct page_run order[6];
    size_t count;
    struct page_run runs[6];
    size_t run_count;
};

static const struct grouping groupings[] = {
    {"nothing", {{0}}, 0, {{0}}, 0},
    {"far apart they stay in order", {{100, 1}, {50, 2}}, 2, {{100, 1}, {50, 2}}, 2},
    {"neighbours are joined, where the first was wanted",
     {{100, 1}, {50, 1}, {99, 1}, {101, 2}, {7, 1}},
     5,
     {{99, 4}, {50, 1}, {7, 1}},
     3},
    {"a page wanted twice is there once",
     {{100, 2}, {50, 1}, {101, 2}, {50, 1}},
     4,
     {{100, 3}, {50, 1}},
     2},
    {"one run within another vanishes", {{100, 2}, {90, 30}}, 2, {{90, 30}}, 1},
    {"regions are not neighbours", {{3071, 2}, {3070, 1}}, 2, {{3070, 2}, {3072, 1}}, 2},
    {"what is not RAM is left out", {{4095, 3}, {9999, 1}}, 2, {{4095, 1}}, 1},
};

Test(working_set, pages_are_put_together_to_runs)
{
    for (size_t i = 0; i < sizeof(groupings) / sizeof(*groupings); i++) {
        const struct grouping *row = &groupings[i];
        const struct page_runs order = {.items = (struct page_run *)row->order,
                                        .count = row->count};
        cleanup_page_runs struct page_runs runs = {0};
        cr_assert_eq(working_set_coalesce(&order, &fake.map, &runs, &err), 0);
        cr_assert_eq(runs.count, row->run_count, "%s", row->name);
        cr_assert(memcmp(runs.items, row->runs, runs.count * sizeof(*runs.items)) == 0, "%s",
                  row->name);
    }
}

Test(working_set, more_than_512_runs_are_joined_across_the_smallest_gaps_that_do)
{
    cleanup_page_runs struct page_runs order = {0}, runs = {0};
    /* Gaps of 1 and of 3 pages, in turn: 680 runs, 340 when the small gaps are closed. */
    for (uint64_t i = 0; i < 340; i++) {
        cr_assert_eq(page_runs_add(&order, (339 - i) * 6 + 2, 1, &err), 0);
        cr_assert_eq(page_runs_add(&order, (339 - i) * 6, 1, &err), 0);
    }
    cr_assert_eq(working_set_coalesce(&order, &fake.map, &runs, &err), 0);
    cr_assert_eq(runs.count, 340);
    for (uint64_t i = 0; i < 340; i++) {
        cr_assert_eq(runs.items[i].first, (339 - i) * 6);
        cr_assert_eq(runs.items[i].count, 3);
    }
}

Test(working_set, pages_all_over_memory_still_become_few_runs)
{
    cleanup_page_runs struct page_runs order = {0}, runs = {0};
    for (uint64_t i = 0; i < FAKE_PAGES / 2; i++)
        cr_assert_eq(page_runs_add(&order, i * 1235 % (FAKE_PAGES / 2) * 2, 1, &err), 0);
    cr_assert_eq(working_set_coalesce(&order, &fake.map, &runs, &err), 0);
    cr_assert_leq(runs.count, WORKING_SET_RUNS_MAX);
    cr_assert_eq(runs.count, 2, "one for each region");
    write_set(&order);
    struct working_set set;
    cr_assert_eq(open_set(&set), 0, "%s", err.message);
    working_set_close(&set);
}
