/* SPDX-License-Identifier: Apache-2.0 */
/* The restore plan: which pages get which strategy, by table; what holds of every plan. */
#include "snapshot/plan.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOW_PAGES  4096u
#define HIGH_PAGES 2048u
#define ALL_PAGES  (LOW_PAGES + HIGH_PAGES)

static struct thaw_error err;

static struct memory_map two_regions(const struct page_run *data, size_t count)
{
    return (struct memory_map){
        .region_count = 2,
        .regions = {{.gpa = 0, .size = LOW_PAGES * GUEST_PAGE_SIZE},
                    {.gpa = 1ull << 32, .size = HIGH_PAGES * GUEST_PAGE_SIZE}},
        .pages = ALL_PAGES,
        .data = {.items = (struct page_run *)data, .count = count},
    };
}

static const struct page_run data_runs[] = {
    {600, 100}, {800, 50}, {2000, 10}, {4090, 6}, {4096, 20}, {5000, 1},
};
static const struct page_run wanted_runs[] = {{810, 10}, {600, 20}, {4096, 4}};
static const struct page_run hole_runs[] = {{690, 115}, {900, 5}};
static const struct page_run touching_runs[] = {{4090, 6}, {4096, 20}};

#define MAPPED                                                                                     \
    "zero 0+600, map 600+250, zero 850+1150, map 2000+10, zero 2010+2080, map 4090+6, "            \
    "map 4096+20, zero 4116+884, map 5000+1, zero 5001+1143"
#define READ                                                                                       \
    "zero 0+600, read 600+20@10, map 620+190, read 810+10@0, map 820+30, zero 850+1150, "          \
    "map 2000+10, zero 2010+2080, map 4090+6, read 4096+4@30, map 4100+16, zero 4116+884, "        \
    "map 5000+1, zero 5001+1143"
#define EAGER                                                                                      \
    "zero 0+600, read 600+100@600, zero 700+100, read 800+50@800, zero 850+1150, "                 \
    "read 2000+10@2000, zero 2010+2080, read 4090+6@4090, read 4096+20@4096, zero 4116+884, "      \
    "read 5000+1@5000, zero 5001+1143"
#define PACKED                                                                                     \
    "zero 0+600, packed 600+250, zero 850+1150, packed 2000+10, zero 2010+2080, packed 4090+6, "   \
    "packed 4096+20, zero 4116+884, packed 5000+1, zero 5001+1143"

#define RUNS(array) .items = (struct page_run *)(array), .count = sizeof(array) / sizeof(*(array))

struct row {
    const char *name;
    enum restore_mode mode;
    bool packed;
    struct cache_observation cache;
    bool recorded;
    struct page_runs working_set;
    const char *steps;
    const char *populate;
};

static const struct row rows[] = {
    {"map maps, and reads nothing", RESTORE_MAP, .steps = MAPPED},
    {"map does not look at the working set", RESTORE_MAP, .recorded = true,
     .working_set = {RUNS(wanted_runs)}, .steps = MAPPED},
    {"map populates nothing, even when warm", RESTORE_MAP, .recorded = true, .cache = {16, 16},
     .working_set = {RUNS(wanted_runs)}, .steps = MAPPED},
    {"auto maps what is cold when no working set is known", RESTORE_AUTO, .cache = {16, 0},
     .steps = MAPPED},
    {"auto maps what is warm", RESTORE_AUTO, .cache = {16, 16}, .steps = MAPPED},
    {"auto populates a warm working set, in its order", RESTORE_AUTO, .cache = {16, 16},
     .recorded = true, .working_set = {RUNS(wanted_runs)}, .steps = MAPPED,
     .populate = "810+10, 600+20, 4096+4"},
    {"three quarters cached is warm", RESTORE_AUTO, .cache = {16, 12}, .recorded = true,
     .working_set = {RUNS(wanted_runs)}, .steps = MAPPED, .populate = "810+10, 600+20, 4096+4"},
    {"less than three quarters is cold", RESTORE_AUTO, .cache = {16, 11}, .recorded = true,
     .working_set = {RUNS(wanted_runs)}, .steps = READ},
    {"what could not be seen is cold", RESTORE_AUTO, .cache = {0, 0}, .recorded = true,
     .working_set = {RUNS(wanted_runs)}, .steps = READ},
    {"auto reads a cold working set and maps the rest", RESTORE_AUTO, .cache = {16, 0},
     .recorded = true, .working_set = {RUNS(wanted_runs)}, .steps = READ},
    {"prefetch reads although it is warm", RESTORE_PREFETCH, .cache = {16, 16}, .recorded = true,
     .working_set = {RUNS(wanted_runs)}, .steps = READ},
    {"an empty working set is one", RESTORE_AUTO, .cache = {16, 0}, .recorded = true,
     .steps = MAPPED},
    {"reads may cover holes, and pieces without data are not mapped", RESTORE_PREFETCH,
     .recorded = true, .working_set = {RUNS(hole_runs)},
     .steps = "zero 0+600, map 600+90, read 690+115@0, map 805+45, zero 850+50, read 900+5@115, "
              "zero 905+1095, map 2000+10, zero 2010+2080, map 4090+6, map 4096+20, "
              "zero 4116+884, map 5000+1, zero 5001+1143"},
    {"reads at a region's end and at the next one's start stay two", RESTORE_PREFETCH,
     .recorded = true, .working_set = {RUNS(touching_runs)},
     .steps = "zero 0+600, map 600+250, zero 850+1150, map 2000+10, zero 2010+2080, "
              "read 4090+6@0, read 4096+20@6, zero 4116+884, map 5000+1, zero 5001+1143"},
    {"eager reads all data from the memory file", RESTORE_EAGER, .steps = EAGER},
    {"eager does not look at the working set", RESTORE_EAGER, .recorded = true, .cache = {16, 16},
     .working_set = {RUNS(wanted_runs)}, .steps = EAGER},
    {"packed memory is unpacked", RESTORE_AUTO, .packed = true, .steps = PACKED},
    {"packed memory is unpacked when all is asked for", RESTORE_EAGER, .packed = true,
     .steps = PACKED},
};

static const char *describe_steps(const struct restore_plan *plan)
{
    static char text[4096];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < plan->count; i++) {
        const struct restore_step *step = &plan->steps[i];
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %" PRIu64 "+%" PRIu64,
                                 i > 0 ? ", " : "", restore_strategy_name(step->strategy),
                                 step->first, step->count);
        if (step->strategy == RESTORE_STEP_READ)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "@%" PRIu64, step->source);
    }
    return text;
}

static const char *describe_runs(const struct page_runs *runs)
{
    static char text[4096];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < runs->count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%" PRIu64 "+%" PRIu64,
                                 i > 0 ? ", " : "", runs->items[i].first, runs->items[i].count);
    return text;
}

/* Every page once, in its region; the totals are those of the steps. */
static void check_plan(const struct restore_plan *plan, const struct memory_map *map)
{
    uint64_t next = 0, read_pages = 0;
    size_t mappings = 0, reads = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const struct restore_step *step = &plan->steps[i];
        uint64_t low = step->region == 0 ? 0 : map->regions[0].size / GUEST_PAGE_SIZE;
        uint64_t high = low + map->regions[step->region].size / GUEST_PAGE_SIZE;
        cr_assert_eq(step->first, next);
        cr_assert(step->count > 0 && step->first >= low && step->first + step->count <= high);
        cr_assert(step->strategy != RESTORE_STEP_ZERO ||
                  !page_runs_touch(&map->data, step->first, step->count));
        cr_assert(step->strategy != RESTORE_STEP_MAP ||
                  page_runs_touch(&map->data, step->first, step->count));
        cr_assert(plan->why[step->strategy] != NULL, "each strategy has its reason");
        mappings += step->strategy == RESTORE_STEP_MAP;
        if (step->strategy == RESTORE_STEP_READ) {
            reads++;
            read_pages += step->count;
        }
        next += step->count;
    }
    cr_assert_eq(next, map->pages);
    cr_assert_eq(plan->mappings, mappings);
    cr_assert_eq(plan->reads, reads);
    cr_assert_eq(plan->read_bytes, read_pages * GUEST_PAGE_SIZE);
}

static struct plan_input input_of(const struct row *row, const struct memory_map *map)
{
    return (struct plan_input){
        .map = map,
        .working_set = row->recorded ? &row->working_set : NULL,
        .cache = row->cache,
        .packed = row->packed,
        .mode = row->mode,
        .io_uring = true,
    };
}

Test(snapshot_plan, each_page_gets_the_strategy_of_the_table)
{
    const struct memory_map map = two_regions(data_runs, 6);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct row *row = &rows[i];
        const struct plan_input input = input_of(row, &map);
        struct restore_plan plan;
        cr_assert_eq(restore_plan_make(&input, &plan, &err), 0, "%s: %s", row->name, err.message);
        cr_expect_str_eq(describe_steps(&plan), row->steps, "%s", row->name);
        cr_expect_str_eq(describe_runs(&plan.populate), row->populate ? row->populate : "", "%s",
                         row->name);
        check_plan(&plan, &map);
        restore_plan_free(&plan);
    }
}

Test(snapshot_plan, a_mode_that_the_snapshot_cannot_do_is_a_usage_error)
{
    const struct memory_map map = two_regions(data_runs, 6);
    const struct page_runs wanted = {RUNS(wanted_runs)};
    const struct plan_input bad[] = {
        {.map = &map, .packed = true, .mode = RESTORE_MAP},
        {.map = &map, .packed = true, .mode = RESTORE_PREFETCH, .working_set = &wanted},
        {.map = &map, .mode = RESTORE_PREFETCH},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct restore_plan plan;
        cr_assert_eq(restore_plan_make(&bad[i], &plan, &err), -EINVAL);
        cr_assert_eq(err.failure, THAW_FAIL_USAGE);
        cr_assert_null(plan.steps, "an empty plan after a failure");
    }
}

Test(snapshot_plan, memory_of_zeros_needs_no_mapping_at_all)
{
    const struct memory_map map = two_regions(NULL, 0);
    for (int mode = RESTORE_AUTO; mode <= RESTORE_EAGER; mode++) {
        const struct plan_input input = {.map = &map, .mode = (enum restore_mode)mode};
        struct restore_plan plan;
        cr_assert_eq(restore_plan_make(&input, &plan, &err), 0);
        cr_assert_str_eq(describe_steps(&plan), "zero 0+4096, zero 4096+2048");
        restore_plan_free(&plan);
    }
}

Test(snapshot_plan, a_hole_of_two_mebibytes_is_anonymous_and_one_page_less_is_not)
{
    const struct page_run runs[] = {
        {10, 10}, {20 + RESTORE_HOLE_PAGES, 10}, {30 + 2 * RESTORE_HOLE_PAGES - 1, 10}};
    const struct memory_map map = two_regions(runs, 3);
    const struct plan_input input = {.map = &map, .mode = RESTORE_MAP};
    struct restore_plan plan;
    cr_assert_eq(restore_plan_make(&input, &plan, &err), 0);
    cr_assert_str_eq(describe_steps(&plan), "zero 0+10, map 10+10, zero 20+512, map 532+531, "
                                            "zero 1063+3033, zero 4096+2048");
    restore_plan_free(&plan);
}

Test(snapshot_plan, memory_full_of_holes_gets_few_mappings_all_the_same)
{
    enum { RUNS_COUNT = 4000 };
    static struct page_run runs[RUNS_COUNT];
    for (size_t i = 0; i < RUNS_COUNT; i++)
        runs[i] = (struct page_run){i * 1024, 1 + i % 400};
    const struct memory_map map = {
        .region_count = 1,
        .regions = {{.size = RUNS_COUNT * 1024ull * GUEST_PAGE_SIZE}},
        .pages = RUNS_COUNT * 1024ull,
        .data = {.items = runs, .count = RUNS_COUNT},
    };
    const struct plan_input input = {.map = &map, .mode = RESTORE_MAP};
    struct restore_plan plan;
    cr_assert_eq(restore_plan_make(&input, &plan, &err), 0);
    check_plan(&plan, &map);
    cr_assert_leq(plan.mappings, RESTORE_MAPPINGS_MAX);
    cr_assert_geq(plan.mappings, 1);
    restore_plan_free(&plan);
}

/* Ascending runs with gaps of up to `gap` pages, none across the border of the regions. */
static size_t random_runs(struct page_run *runs, size_t max, unsigned gap)
{
    uint64_t at = (uint64_t)rand() % gap;
    size_t count = 0;
    while (count < max) {
        uint64_t pages = 1 + (uint64_t)rand() % 40;
        if (at + pages > ALL_PAGES)
            break;
        if (at >= LOW_PAGES || at + pages <= LOW_PAGES)
            runs[count++] = (struct page_run){at, pages};
        at += pages + 1 + (uint64_t)rand() % gap;
    }
    return count;
}

static void shuffle(struct page_run *runs, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)rand() % i;
        struct page_run run = runs[i - 1];
        runs[i - 1] = runs[other];
        runs[other] = run;
    }
}

/* What is read comes from where the file has it. */
static void check_sources(const struct restore_plan *plan, const struct page_run *wanted)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->steps[i].strategy != RESTORE_STEP_READ)
            continue;
        uint64_t source = 0;
        const struct page_run *run = wanted;
        for (; run->first != plan->steps[i].first; run++)
            source += run->count;
        cr_assert_eq(plan->steps[i].source, source);
        cr_assert_eq(plan->steps[i].count, run->count);
    }
}

Test(snapshot_plan, every_plan_has_every_page_once_and_no_data_is_lost)
{
    struct page_run data[512], wanted[512];
    srand(1);
    for (int round = 0; round < 300; round++) {
        const struct memory_map map =
            two_regions(data, random_runs(data, 512, 1 + (unsigned)rand() % 1200));
        struct page_runs set = {.items = wanted,
                                .count = random_runs(wanted, 512, 1 + (unsigned)rand() % 1200)};
        shuffle(wanted, set.count);
        const struct plan_input input = {
            .map = &map, .working_set = &set, .mode = RESTORE_PREFETCH};
        struct restore_plan plan;
        cr_assert_eq(restore_plan_make(&input, &plan, &err), 0);
        check_plan(&plan, &map);
        cr_assert_eq(plan.reads, set.count);
        check_sources(&plan, wanted);
        restore_plan_free(&plan);
    }
}

Test(snapshot_plan, its_text_has_a_line_for_each_region_and_strategy_and_the_totals)
{
    const struct memory_map map = two_regions(data_runs, 6);
    const struct page_runs wanted = {RUNS(wanted_runs)};
    const struct plan_input input = {.map = &map, .working_set = &wanted};
    struct restore_plan plan;
    cr_assert_eq(restore_plan_make(&input, &plan, &err), 0);
    char *text = restore_plan_text(&plan);
    cr_assert_str_eq(
        text,
        "plan      auto, page cache cold\n"
        "region 0  zero           3830 pages      15.0 MiB  only zeros: anonymous memory, no page "
        "cache\n"
        "region 0  map             236 pages       0.9 MiB  outside the working set: read when "
        "touched\n"
        "region 0  read             30 pages       0.1 MiB  working set, not in the page cache\n"
        "region 1  zero           2027 pages       7.9 MiB  only zeros: anonymous memory, no page "
        "cache\n"
        "region 1  map              17 pages       0.1 MiB  outside the working set: read when "
        "touched\n"
        "region 1  read              4 pages       0.0 MiB  working set, not in the page cache\n"
        "total     6 mappings, 3 reads, 0.1 MiB read from workingset by threads (io_uring is "
        "refused here)\n");
    free(text);
    restore_plan_free(&plan);
}

static json_int_t number(const json_t *object, const char *key)
{
    cr_assert(json_is_integer(json_object_get(object, key)), "%s", key);
    return json_integer_value(json_object_get(object, key));
}

Test(snapshot_plan, its_json_says_the_same)
{
    const struct memory_map map = two_regions(data_runs, 6);
    const struct page_runs wanted = {RUNS(wanted_runs)};
    const struct plan_input input = {.map = &map, .working_set = &wanted, .io_uring = true};
    struct restore_plan plan;
    cr_assert_eq(restore_plan_make(&input, &plan, &err), 0);
    json_t *json = restore_plan_json(&plan);
    cr_assert_not_null(json);
    const json_t *regions = json_object_get(json, "regions");
    cr_assert_eq(json_array_size(regions), 6);
    json_int_t pages = 0;
    for (size_t i = 0; i < json_array_size(regions); i++)
        pages += number(json_array_get(regions, i), "pages");
    cr_assert_eq(pages, ALL_PAGES);
    cr_assert_eq(number(json, "mappings"), 6);
    cr_assert_eq(number(json, "reads"), 3);
    cr_assert_eq(number(json, "read_bytes"), 34 * GUEST_PAGE_SIZE);
    cr_assert_eq(number(json, "populate_pages"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(json, "mode")), "auto");
    cr_assert_str_eq(json_string_value(json_object_get(json, "page_cache")), "cold");
    cr_assert_str_eq(json_string_value(json_object_get(json, "engine")), "io_uring");
    json_decref(json);
    restore_plan_free(&plan);
}

Test(snapshot_plan, modes_have_the_names_of_the_command_line)
{
    for (int i = RESTORE_AUTO; i <= RESTORE_PREFETCH; i++) {
        enum restore_mode mode;
        cr_assert(restore_mode_parse(restore_mode_name((enum restore_mode)i), &mode));
        cr_assert_eq((int)mode, i);
    }
    enum restore_mode mode;
    cr_assert_not(restore_mode_parse("lazy", &mode));
    cr_assert_not(restore_mode_parse("", &mode));
}
