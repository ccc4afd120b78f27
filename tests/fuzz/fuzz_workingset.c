/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file `workingset`: any file, any runs behind a header that is right, and the plan that is
 * made of what was accepted; any recorded order, put together to runs that a reader must accept.
 */
#define XXH_INLINE_ALL
#include "snapshot/plan.h"
#include "snapshot/workingset.h"
#include "tests/fuzz/fuzz.h"

#include <xxhash.h>

#define LOW_PAGES  3000u
#define HIGH_PAGES 1000u
#define ID         0x7468617721ull

static struct page_run data_runs[] = {{3, 10}, {600, 1400}, {2990, 10}, {3000, 7}, {3999, 1}};
static const struct memory_map map = {
    .region_count = 2,
    .regions = {{.size = LOW_PAGES * GUEST_PAGE_SIZE},
                {.gpa = 1ull << 32, .size = HIGH_PAGES * GUEST_PAGE_SIZE}},
    .pages = LOW_PAGES + HIGH_PAGES,
    .data = {.items = data_runs, .count = sizeof(data_runs) / sizeof(*data_runs)},
};

/* What load.c relies on without looking: in one region, and no page twice. */
static void check_runs(const struct page_runs *runs)
{
    static uint8_t seen[LOW_PAGES + HIGH_PAGES];
    memset(seen, 0, sizeof(seen));
    require(runs->count <= WORKING_SET_RUNS_MAX);
    for (size_t i = 0; i < runs->count; i++) {
        const struct page_run *run = &runs->items[i];
        require(run->count > 0 && run->count <= map.pages && run->first < map.pages);
        require(run->count <= (run->first < LOW_PAGES ? LOW_PAGES : map.pages) - run->first);
        for (uint64_t page = run->first; page < run->first + run->count; page++)
            require(!seen[page]++);
    }
}

static void check_plan(const struct page_runs *runs, enum restore_mode mode, unsigned cached)
{
    const struct plan_input input = {
        .map = &map, .working_set = runs, .mode = mode, .cache = {16, cached}};
    struct restore_plan plan;
    struct thaw_error err;
    uint64_t next = 0;
    require(restore_plan_make(&input, &plan, &err) == 0);
    for (size_t i = 0; i < plan.count; i++) {
        const struct restore_step *step = &plan.steps[i];
        require(step->first == next && step->count > 0);
        next += step->count;
        require(step->region == (step->first >= LOW_PAGES));
        require(step->first >= LOW_PAGES || next <= LOW_PAGES);
        require(step->strategy != RESTORE_STEP_ZERO ||
                !page_runs_touch(&map.data, step->first, step->count));
    }
    require(next == map.pages);
    require(plan.mappings <= RESTORE_MAPPINGS_MAX);
    restore_plan_free(&plan);
}

static int parse(const uint8_t *bytes, uint64_t file_size)
{
    struct working_set set;
    struct thaw_error err = {0};
    int rc = working_set_parse(bytes, file_size, ID, &map, &set, &err);
    require(rc == thaw_error_code(&err) && (rc == 0 || err.failure != THAW_FAIL_NONE));
    require(set.fd == -1 && (rc == 0 || set.runs.items == NULL));
    if (rc == 0) {
        require(file_size == set.pages_offset + set.pages * GUEST_PAGE_SIZE);
        require(set.pages == page_runs_pages(&set.runs));
        check_runs(&set.runs);
        check_plan(&set.runs, RESTORE_AUTO, 0);
        check_plan(&set.runs, RESTORE_AUTO, 16);
        check_plan(&set.runs, RESTORE_PREFETCH, 16);
    }
    working_set_close(&set);
    return rc;
}

/* A header that is right for `count` runs. */
static uint64_t mend(uint8_t head[WORKING_SET_HEAD_MAX], uint32_t count, uint64_t pages)
{
    struct working_set_header header = {
        .magic = WORKING_SET_MAGIC,
        .version = WORKING_SET_VERSION,
        .snapshot = ID,
        .run_count = count,
        .pages = pages,
    };
    header.pages_offset =
        (uint32_t)((sizeof(header) + count * sizeof(struct page_run) + 4095) / 4096 * 4096);
    memcpy(head, &header, sizeof(header));
    header.checksum = XXH3_64bits(head, header.pages_offset);
    memcpy(head, &header, sizeof(header));
    return header.pages_offset + pages * GUEST_PAGE_SIZE;
}

/* Small numbers, mostly: they meet each other and the ends of the regions. */
static struct page_run take_run(struct fuzz_input *in)
{
    uint8_t kind = fuzz_u8(in);
    uint64_t first = kind & 128 ? fuzz_u64(in) : fuzz_u16(in) % 4096u;
    uint64_t count = kind & 64 ? fuzz_u64(in) : kind % 64u;
    return (struct page_run){first, count};
}

static void forge(struct fuzz_input in)
{
    static uint8_t head[WORKING_SET_HEAD_MAX];
    uint64_t pages = 0;
    uint32_t count = 0;
    memset(head, 0, sizeof(head));
    uint8_t lie = fuzz_u8(&in);
    for (; fuzz_has(&in) && count < WORKING_SET_RUNS_MAX; count++) {
        struct page_run run = take_run(&in);
        memcpy(head + sizeof(struct working_set_header) + count * sizeof(run), &run, sizeof(run));
        pages += run.count;
    }
    pages += lie == 1;
    (void)parse(head, mend(head, count, pages));
}

static void record(struct fuzz_input in)
{
    static uint8_t head[WORKING_SET_HEAD_MAX];
    struct page_runs order = {0}, runs = {0};
    struct thaw_error err;
    while (fuzz_has(&in)) {
        uint64_t first = fuzz_u16(&in) % 4096u, count = 1 + fuzz_u8(&in) % 8u;
        require(page_runs_add(&order, first, count, &err) == 0);
    }
    require(working_set_coalesce(&order, &map, &runs, &err) == 0);
    check_runs(&runs);
    for (size_t i = 0; i < order.count; i++) {
        uint64_t page = order.items[i].first;
        bool there = page >= map.pages;
        for (size_t n = 0; n < runs.count; n++)
            there |= page - runs.items[n].first < runs.items[n].count;
        require(there);
    }
    memset(head, 0, sizeof(head));
    if (runs.count > 0)
        memcpy(head + sizeof(struct working_set_header), runs.items,
               runs.count * sizeof(*runs.items));
    require(parse(head, mend(head, (uint32_t)runs.count, page_runs_pages(&runs))) == 0);
    page_runs_free(&order);
    page_runs_free(&runs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t there = size < WORKING_SET_HEAD_MAX ? size : WORKING_SET_HEAD_MAX;
    uint8_t *copy = malloc(there > 0 ? there : 1); /* of this size, so that ASan sees its end */
    require(copy);
    if (there > 0)
        memcpy(copy, data, there);
    (void)parse(copy, size);
    free(copy);
    forge((struct fuzz_input){data, size});
    record((struct fuzz_input){data, size});
    return 0;
}
