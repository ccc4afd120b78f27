/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Reading a hole of this many pages along costs less than another request. */
#define EAGER_HOLE_PAGES 8u

struct planner {
    const struct plan_input *input;
    struct restore_plan *plan;
    struct restore_step *reads; /* of the working set, ascending */
    size_t read_count;
    enum restore_strategy elsewhere; /* for data that no read brings */
    uint64_t hole;                   /* pages; a shorter one goes with the data around it */
    unsigned region;
    size_t next; /* run of data that ends behind what is planned */
    struct thaw_error *err;
};

static const char *const mode_names[] = {
    [RESTORE_AUTO] = "auto",
    [RESTORE_MAP] = "map",
    [RESTORE_EAGER] = "eager",
    [RESTORE_PREFETCH] = "prefetch",
};

bool restore_mode_parse(const char *name, enum restore_mode *mode)
{
    for (unsigned i = 0; i < sizeof(mode_names) / sizeof(*mode_names); i++)
        if (strcmp(name, mode_names[i]) == 0) {
            *mode = (enum restore_mode)i;
            return true;
        }
    return false;
}

const char *restore_mode_name(enum restore_mode mode)
{
    return mode_names[mode];
}

const char *restore_strategy_name(enum restore_strategy strategy)
{
    static const char *const names[] = {
        [RESTORE_STEP_ZERO] = "zero",
        [RESTORE_STEP_MAP] = "map",
        [RESTORE_STEP_READ] = "read",
        [RESTORE_STEP_PACKED] = "packed",
    };
    return names[strategy];
}

/* ---- steps -------------------------------------------------------------------------------- */

static void count_step(struct restore_plan *plan, const struct restore_step *step)
{
    if (step->strategy == RESTORE_STEP_MAP)
        plan->mappings++;
    if (step->strategy == RESTORE_STEP_READ) {
        plan->reads++;
        plan->read_bytes += step->count * GUEST_PAGE_SIZE;
    }
}

static int add(struct planner *planner, const struct restore_step *step)
{
    struct restore_plan *plan = planner->plan;
    if (plan->count == plan->capacity) {
        size_t capacity = plan->capacity * 2 + 64;
        struct restore_step *steps = reallocarray(plan->steps, capacity, sizeof(*steps));
        if (!steps)
            return thaw_fail(planner->err, ENOMEM, "restore plan");
        plan->steps = steps;
        plan->capacity = capacity;
    }
    plan->steps[plan->count++] = *step;
    count_step(plan, step);
    return 0;
}

static int add_pages(struct planner *planner, enum restore_strategy strategy, uint64_t first,
                     uint64_t end)
{
    if (first == end)
        return 0;
    return add(planner, &(struct restore_step){
                            .strategy = strategy,
                            .region = planner->region,
                            .first = first,
                            .count = end - first,
                            .source = strategy == RESTORE_STEP_READ ? first : 0,
                        });
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t run_end(const struct page_run *run)
{
    return run->first + run->count;
}

/* The first data of [first, end) with what follows it after small holes; empty at `end`: none. */
static struct page_run next_extent(struct planner *planner, uint64_t first, uint64_t end)
{
    const struct page_runs *data = &planner->input->map->data;
    while (planner->next < data->count && run_end(&data->items[planner->next]) <= first)
        planner->next++;
    size_t i = planner->next;
    if (i == data->count || data->items[i].first >= end)
        return (struct page_run){.first = end};

    uint64_t start = max_u64(data->items[i].first, first), stop = run_end(&data->items[i]);
    for (i++; i < data->count && data->items[i].first < end; i++) {
        if (data->items[i].first - stop >= planner->hole)
            break;
        stop = run_end(&data->items[i]);
    }
    return (struct page_run){.first = start, .count = min_u64(stop, end) - start};
}

/* Plans [first, end), in which the working set has no page. */
static int fill(struct planner *planner, uint64_t first, uint64_t end)
{
    int rc = 0;
    while (rc == 0 && first < end) {
        struct page_run extent = next_extent(planner, first, end);
        rc = add_pages(planner, RESTORE_STEP_ZERO, first, extent.first);
        if (rc == 0)
            rc = add_pages(planner, planner->elsewhere, extent.first, run_end(&extent));
        first = run_end(&extent);
    }
    return rc;
}

static int plan_region(struct planner *planner, size_t *read, uint64_t first, uint64_t end)
{
    int rc = 0;
    for (; rc == 0 && *read < planner->read_count && planner->reads[*read].first < end; ++*read) {
        struct restore_step *step = &planner->reads[*read];
        step->region = planner->region;
        rc = fill(planner, first, step->first);
        if (rc == 0)
            rc = add(planner, step);
        first = step->first + step->count;
    }
    return rc == 0 ? fill(planner, first, end) : rc;
}

static void forget_steps(struct planner *planner)
{
    struct restore_plan *plan = planner->plan;
    plan->count = plan->mappings = plan->reads = 0;
    plan->read_bytes = 0;
    planner->next = 0;
}

static int plan_regions(struct planner *planner)
{
    const struct memory_map *map = planner->input->map;
    uint64_t first = 0;
    size_t read = 0;
    forget_steps(planner);
    for (unsigned i = 0; i < map->region_count; i++) {
        planner->region = i;
        uint64_t end = first + map->regions[i].size / GUEST_PAGE_SIZE;
        int rc = plan_region(planner, &read, first, end);
        if (rc < 0)
            return rc;
        first = end;
    }
    return 0;
}

/* Each mapping costs a system call and a search at each fault: with larger holes there are fewer,
 * at the latest when a whole region is one. */
static int plan_all(struct planner *planner)
{
    int rc = plan_regions(planner);
    while (rc == 0 && planner->plan->mappings > RESTORE_MAPPINGS_MAX) {
        planner->hole *= 2;
        rc = plan_regions(planner);
    }
    return rc;
}

/* ---- which strategy ----------------------------------------------------------------------- */

static bool is_warm(const struct cache_observation *seen)
{
    return seen->probed > 0 && seen->cached >= seen->probed - seen->probed / 4;
}

static int compare_steps(const void *a, const void *b)
{
    const struct restore_step *left = a, *right = b;
    return (left->first > right->first) - (left->first < right->first);
}

static int read_working_set(struct planner *planner)
{
    const struct page_runs *runs = planner->input->working_set;
    planner->reads = calloc(runs->count + 1, sizeof(*planner->reads));
    if (!planner->reads)
        return thaw_fail(planner->err, ENOMEM, "restore plan");
    uint64_t source = 0;
    for (size_t i = 0; i < runs->count; i++) {
        const struct page_run *run = &runs->items[i];
        planner->reads[i] = (struct restore_step){
            .strategy = RESTORE_STEP_READ,
            .first = run->first,
            .count = run->count,
            .source = source,
        };
        source += run->count;
    }
    planner->read_count = runs->count;
    planner->plan->from_working_set = true;
    qsort(planner->reads, planner->read_count, sizeof(*planner->reads), compare_steps);
    return 0;
}

static int populate_working_set(struct planner *planner)
{
    struct restore_plan *plan = planner->plan;
    const struct page_runs *runs = planner->input->working_set;
    for (size_t i = 0; i < runs->count; i++) {
        int rc = page_runs_add(&plan->populate, runs->items[i].first, runs->items[i].count,
                               planner->err);
        if (rc < 0)
            return rc;
    }
    plan->why_populate = "working set, mapped in beside the running guest";
    return 0;
}

static int choose_auto(struct planner *planner)
{
    struct restore_plan *plan = planner->plan;
    bool recorded = planner->input->working_set;
    const char **why = &plan->why[RESTORE_STEP_MAP];
    if (plan->warm) {
        *why = "in the page cache, shared with other clones";
        return recorded ? populate_working_set(planner) : 0;
    }
    if (!recorded) {
        *why = "not in the page cache, no working set recorded: read when touched";
        return 0;
    }
    *why = "outside the working set: read when touched";
    plan->why[RESTORE_STEP_READ] = "working set, not in the page cache";
    return read_working_set(planner);
}

static int choose_prefetch(struct planner *planner)
{
    planner->plan->why[RESTORE_STEP_MAP] = "outside the working set: read when touched";
    planner->plan->why[RESTORE_STEP_READ] = "working set, asked for";
    return read_working_set(planner);
}

static void choose_eager(struct planner *planner)
{
    planner->elsewhere = RESTORE_STEP_READ;
    planner->hole = EAGER_HOLE_PAGES;
    planner->plan->why[RESTORE_STEP_READ] = "all data, asked for";
}

static void choose_packed(struct planner *planner)
{
    planner->elsewhere = RESTORE_STEP_PACKED;
    planner->plan->why[RESTORE_STEP_PACKED] = "decompressed from " SNAPSHOT_PACKED;
}

static int choose(struct planner *planner)
{
    enum restore_mode mode = planner->input->mode;
    planner->plan->why[RESTORE_STEP_ZERO] = "only zeros: anonymous memory, no page cache";
    if (planner->input->packed)
        choose_packed(planner);
    else if (mode == RESTORE_EAGER)
        choose_eager(planner);
    else if (mode == RESTORE_PREFETCH)
        return choose_prefetch(planner);
    else if (mode == RESTORE_AUTO)
        return choose_auto(planner);
    else
        planner->plan->why[RESTORE_STEP_MAP] = "asked for: read when touched";
    return 0;
}

static int check_mode(const struct plan_input *input, struct thaw_error *err)
{
    bool map = input->mode == RESTORE_MAP, prefetch = input->mode == RESTORE_PREFETCH;
    if (input->packed && (map || prefetch))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--memory=%s: the snapshot's memory is packed (unpack it first)",
                            restore_mode_name(input->mode));
    if (prefetch && !input->working_set)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--memory=prefetch: the snapshot has no working set (thaw snapshot "
                            "record-workingset records one)");
    return 0;
}

int restore_plan_make(const struct plan_input *input, struct restore_plan *out,
                      struct thaw_error *err)
{
    *out = (struct restore_plan){
        .mode = input->mode,
        .warm = is_warm(&input->cache),
        .io_uring = input->io_uring,
        .region_count = input->map->region_count,
    };
    struct planner planner = {
        .input = input,
        .plan = out,
        .elsewhere = RESTORE_STEP_MAP,
        .hole = RESTORE_HOLE_PAGES,
        .err = err,
    };
    int rc = check_mode(input, err);
    if (rc == 0)
        rc = choose(&planner);
    if (rc == 0)
        rc = plan_all(&planner);
    free(planner.reads);
    if (rc < 0)
        restore_plan_free(out);
    return rc;
}

void restore_plan_free(struct restore_plan *plan)
{
    free(plan->steps);
    page_runs_free(&plan->populate);
    *plan = (struct restore_plan){0};
}

/* ---- showing it --------------------------------------------------------------------------- */

struct summary {
    uint64_t pages;
    size_t steps;
};

static struct summary summarise(const struct restore_plan *plan, unsigned region,
                                enum restore_strategy strategy)
{
    struct summary summary = {0};
    for (size_t i = 0; i < plan->count; i++)
        if (plan->steps[i].region == region && plan->steps[i].strategy == strategy) {
            summary.pages += plan->steps[i].count;
            summary.steps++;
        }
    return summary;
}

static double mib(uint64_t pages)
{
    return (double)pages * GUEST_PAGE_SIZE / (1 << 20);
}

static const char *cache_name(const struct restore_plan *plan)
{
    return plan->warm ? "warm" : "cold";
}

static const char *engine_name(const struct restore_plan *plan)
{
    if (plan->reads == 0)
        return "none";
    return plan->io_uring ? "io_uring" : "threads";
}

static void print_line(FILE *to, const char *where, const char *what, uint64_t pages,
                       const char *why)
{
    (void)fprintf(to, "%-9s %-9s %9" PRIu64 " pages %9.1f MiB  %s\n", where, what, pages,
                  mib(pages), why);
}

static void print_region(FILE *to, const struct restore_plan *plan, unsigned region)
{
    char where[24];
    (void)snprintf(where, sizeof(where), "region %u", region);
    for (unsigned i = 0; i < RESTORE_STRATEGIES; i++) {
        struct summary summary = summarise(plan, region, (enum restore_strategy)i);
        if (summary.steps > 0)
            print_line(to, where, restore_strategy_name((enum restore_strategy)i), summary.pages,
                       plan->why[i]);
    }
}

static void print_totals(FILE *to, const struct restore_plan *plan)
{
    (void)fprintf(to, "total     %zu mappings, %zu reads, %.1f MiB read", plan->mappings,
                  plan->reads, (double)plan->read_bytes / (1 << 20));
    if (plan->reads > 0)
        (void)fprintf(to, " from %s by %s",
                      plan->from_working_set ? SNAPSHOT_WORKING_SET : SNAPSHOT_MEMORY,
                      plan->io_uring ? "io_uring" : "threads (io_uring is refused here)");
    (void)fprintf(to, "\n");
}

char *restore_plan_text(const struct restore_plan *plan)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return NULL;
    (void)fprintf(to, "plan      %s, page cache %s\n", restore_mode_name(plan->mode),
                  cache_name(plan));
    for (unsigned i = 0; i < plan->region_count; i++)
        print_region(to, plan, i);
    if (plan->populate.count > 0)
        print_line(to, "beside", "populate", page_runs_pages(&plan->populate), plan->why_populate);
    print_totals(to, plan);
    if (fclose(to) == 0)
        return text;
    free(text);
    return NULL;
}

static json_t *regions_json(const struct restore_plan *plan)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < plan->region_count * RESTORE_STRATEGIES; i++) {
        enum restore_strategy strategy = (enum restore_strategy)(i % RESTORE_STRATEGIES);
        struct summary summary = summarise(plan, i / RESTORE_STRATEGIES, strategy);
        if (summary.steps == 0)
            continue;
        json_t *line = json_pack(
            "{s:i, s:s, s:I, s:I, s:I, s:s}", "region", (int)(i / RESTORE_STRATEGIES), "strategy",
            restore_strategy_name(strategy), "pages", (json_int_t)summary.pages, "bytes",
            (json_int_t)summary.pages * (json_int_t)GUEST_PAGE_SIZE, "steps",
            (json_int_t)summary.steps, "why", plan->why[strategy]);
        if (!line || json_array_append_new(list, line) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *restore_plan_json(const struct restore_plan *plan)
{
    /* json_pack() takes the list over, also when it fails. */
    return json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:s}", "mode",
                     restore_mode_name(plan->mode), "page_cache", cache_name(plan), "regions",
                     regions_json(plan), "populate_pages",
                     (json_int_t)page_runs_pages(&plan->populate), "mappings",
                     (json_int_t)plan->mappings, "reads", (json_int_t)plan->reads, "read_bytes",
                     (json_int_t)plan->read_bytes, "engine", engine_name(plan));
}
