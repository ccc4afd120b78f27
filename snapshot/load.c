/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/load.h"
#include "snapshot/pack.h"
#include "snapshot/uring.h"
#include "vmm/base/clock.h"
#include "vmm/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PROBES         16u
#define POPULATE_PAGES 512u /* at once: what stopping may have to wait for */

struct memory_load {
    struct guest_memory memory; /* the same places, not owned */
    int memory_fd;              /* borrowed */
    uint64_t memory_bytes;
    struct page_runs mapped;   /* sorted */
    struct page_runs populate; /* in the order of the plan */
    struct read_list list;
    struct reads *reads; /* NULL: none */
    int read_fd;         /* -1: none */
    bool checked;        /* what is read must have `checksum` */
    uint64_t checksum;
    uint64_t mmap_ns;

    bool unpacking, unpack_without_uring, unpacked_by_uring;
    pthread_t unpack_thread;
    const struct memory_map *map; /* borrowed while unpacking */
    uint64_t unpack_ns;
    struct thaw_error unpack_err;

    struct page_runs written;
    bool copying, copied;
    pthread_t copy_thread;

    bool populating;
    atomic_bool stop_populate;
    pthread_t populate_thread;
};

/* ---- mappings ----------------------------------------------------------------------------- */

static int map_step(struct memory_load *load, const struct restore_step *step,
                    struct thaw_error *err)
{
    void *at = page_address(&load->memory, step->first, step->count);
    if (!at)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL,
                            "memory: page %" PRIu64 " of the plan is not in RAM", step->first);
    if (mmap(at, step->count * GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, load->memory_fd,
             (off_t)(step->first * GUEST_PAGE_SIZE)) == MAP_FAILED)
        return thaw_fail(err, errno, "mmap of %" PRIu64 " pages of the snapshot's memory",
                         step->count);
    return page_runs_add(&load->mapped, step->first, step->count, err);
}

static int map_all(struct memory_load *load, const struct restore_plan *plan,
                   struct thaw_error *err)
{
    uint64_t begun = clock_monotonic_ns();
    for (size_t i = 0; i < plan->count; i++)
        if (plan->steps[i].strategy == RESTORE_STEP_MAP && map_step(load, &plan->steps[i], err) < 0)
            return thaw_error_code(err);
    load->mmap_ns = clock_monotonic_ns() - begun;
    return 0;
}

/* ---- reads -------------------------------------------------------------------------------- */

/* The same file, read past the page cache where the file system can do that. */
static int open_direct(int fd, struct thaw_error *err)
{
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (direct < 0)
        direct = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return direct >= 0 ? direct : thaw_fail(err, errno, "second descriptor of a file");
}

static int compare_offsets(const void *a, const void *b)
{
    const struct read_item *left = a, *right = b;
    return (left->offset > right->offset) - (left->offset < right->offset);
}

static int list_reads(struct memory_load *load, const struct restore_plan *plan, uint64_t base,
                      struct thaw_error *err)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct restore_step *step = &plan->steps[i];
        if (step->strategy != RESTORE_STEP_READ)
            continue;
        struct read_item item = {
            .fd = load->read_fd,
            .offset = base + step->source * GUEST_PAGE_SIZE,
            .address = page_address(&load->memory, step->first, step->count),
            .length = step->count * GUEST_PAGE_SIZE,
        };
        if (!item.address)
            return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL,
                                "memory: page %" PRIu64 " of the plan is not in RAM", step->first);
        if (read_list_add(&load->list, &item, err) < 0)
            return thaw_error_code(err);
    }
    /* In the order of the file, so that neighbours become one request. */
    qsort(load->list.items, load->list.count, sizeof(*load->list.items), compare_offsets);
    return 0;
}

static int start_reads(struct memory_load *load, const struct restore_plan *plan,
                       const struct memory_source *source, struct thaw_error *err)
{
    const struct working_set *set = plan->from_working_set ? source->working_set : NULL;
    if (plan->reads == 0)
        return 0;
    load->read_fd = open_direct(set ? set->fd : source->memory_fd, err);
    if (load->read_fd < 0 || list_reads(load, plan, set ? set->pages_offset : 0, err) < 0)
        return thaw_error_code(err);
    load->checked = set;
    load->checksum = set ? set->pages_checksum : 0;
    const struct reads_options options = {.no_io_uring = !plan->io_uring, .checksum = set};
    return reads_begin(&load->reads, &load->list, &options, err);
}

/* ---- packed memory ------------------------------------------------------------------------ */

static void *unpack(void *arg)
{
    struct memory_load *load = arg;
    pthread_setname_np(pthread_self(), "unpack");
    uint64_t begun = clock_monotonic_ns();
    const struct pack_options options = {.no_uring = load->unpack_without_uring};
    (void)packed_load(load->memory_fd, load->map, &load->memory, &options, &load->unpacked_by_uring,
                      &load->unpack_err);
    load->unpack_ns = clock_monotonic_ns() - begun;
    return NULL;
}

static int start_unpacking(struct memory_load *load, const struct restore_plan *plan,
                           struct thaw_error *err)
{
    if (!plan->why[RESTORE_STEP_PACKED])
        return 0;
    load->unpack_without_uring = !plan->io_uring;
    int rc = thread_start(&load->unpack_thread, NULL, unpack, load);
    if (rc < 0)
        return thaw_fail(err, -rc, "thread that unpacks");
    load->unpacking = true;
    return 0;
}

static void join_unpacking(struct memory_load *load)
{
    if (load->unpacking)
        pthread_join(load->unpack_thread, NULL);
    load->unpacking = false;
}

/* ---- begin and wait ----------------------------------------------------------------------- */

int memory_load_begin(struct memory_load **out, const struct guest_memory *memory,
                      const struct restore_plan *plan, const struct memory_source *source,
                      struct thaw_error *err)
{
    cleanup_memory_load struct memory_load *load = calloc(1, sizeof(*load));
    if (!load)
        return thaw_fail(err, ENOMEM, "memory of the snapshot");
    load->memory = *memory;
    load->memory_fd = source->memory_fd;
    load->memory_bytes = source->map->pages * GUEST_PAGE_SIZE;
    load->read_fd = -1;
    load->map = source->map;

    /* Mappings first: where the host gives huge pages unasked, a read into a range that is not cut
     * into its pieces yet would get, and clear, 2 MiB for each run. */
    if (map_all(load, plan, err) < 0 ||
        page_runs_append(&load->populate, &plan->populate, err) < 0 ||
        (source->written && page_runs_append(&load->written, source->written, err) < 0) ||
        start_reads(load, plan, source, err) < 0 || start_unpacking(load, plan, err) < 0)
        return thaw_error_code(err);
    *out = take(load);
    return 0;
}

/* ---- pages that will be written ----------------------------------------------------------- */

static void *copy_pages(void *arg)
{
    struct memory_load *load = arg;
    pthread_setname_np(pthread_self(), "copy");
    for (size_t i = 0; i < load->written.count; i++) {
        const struct page_run *run = &load->written.items[i];
        void *at = page_address(&load->memory, run->first, run->count);
        if (at)
            (void)madvise(at, run->count * GUEST_PAGE_SIZE, MADV_POPULATE_WRITE);
    }
    return NULL;
}

void memory_load_copy(struct memory_load *load)
{
    /* What is unpacked is the guest's own already. */
    if (load->copied || load->unpacking || load->written.count == 0)
        return;
    load->copying = thread_start(&load->copy_thread, NULL, copy_pages, load) == 0;
    load->copied = true;
}

void memory_load_await_copy(struct memory_load *load)
{
    if (load->copying)
        pthread_join(load->copy_thread, NULL);
    load->copying = false;
}

static int finish_reads(struct memory_load *load, struct reads_result *result,
                        struct thaw_error *err)
{
    if (!load->reads)
        return 0;
    const char *file = load->checked ? SNAPSHOT_WORKING_SET : SNAPSHOT_MEMORY;
    if (reads_wait(load->reads, result, err) < 0)
        return thaw_context(err, "%s", file);
    if (load->checked && result->checksum != load->checksum)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EBADMSG,
                            "%s: the pages are not those that were recorded (checksum)", file);
    return 0;
}

int memory_load_wait(struct memory_load *load, struct memory_load_stats *stats,
                     struct thaw_error *err)
{
    struct reads_result result = {0};
    join_unpacking(load);
    memory_load_await_copy(load);
    if (load->unpack_err.code != 0) {
        *err = load->unpack_err;
        return thaw_error_code(err);
    }
    int rc = finish_reads(load, &result, err);
    if (stats)
        *stats = (struct memory_load_stats){
            .mmap_ns = load->mmap_ns,
            .read_ns = load->unpack_ns + result.nanoseconds,
            .read_bytes = result.bytes,
            .requests = result.requests,
            .io_uring = result.io_uring || load->unpacked_by_uring,
        };
    return rc;
}

void memory_load_free(struct memory_load *load)
{
    if (!load)
        return;
    memory_load_stop_populate(load);
    memory_load_await_copy(load);
    join_unpacking(load);
    reads_free(load->reads);
    read_list_free(&load->list);
    page_runs_free(&load->mapped);
    page_runs_free(&load->populate);
    page_runs_free(&load->written);
    if (load->read_fd >= 0)
        close(load->read_fd);
    free(load);
}

/* ---- populating --------------------------------------------------------------------------- */

static void populate_run(struct memory_load *load, struct page_run run)
{
    while (run.count > 0 && !atomic_load(&load->stop_populate)) {
        uint64_t pages = run.count < POPULATE_PAGES ? run.count : POPULATE_PAGES;
        void *at = page_address(&load->memory, run.first, pages);
        if (at)
            (void)madvise(at, pages * GUEST_PAGE_SIZE, MADV_POPULATE_READ);
        run.first += pages;
        run.count -= pages;
    }
}

static void *populate(void *arg)
{
    struct memory_load *load = arg;
    pthread_setname_np(pthread_self(), "populate");
    for (size_t i = 0; i < load->populate.count; i++)
        populate_run(load, load->populate.items[i]);
    return NULL;
}

void memory_load_populate(struct memory_load *load)
{
    if (load->populating || load->populate.count == 0)
        return;
    load->populating = thread_start(&load->populate_thread, NULL, populate, load) == 0;
}

void memory_load_stop_populate(struct memory_load *load)
{
    atomic_store(&load->stop_populate, true);
    if (load->populating)
        pthread_join(load->populate_thread, NULL);
    load->populating = false;
}

/* ---- the page cache ----------------------------------------------------------------------- */

/* The n-th of PROBES pages, spread over the runs. */
static uint64_t probe_page(const struct page_runs *runs, unsigned n)
{
    const struct page_run *run = &runs->items[n * runs->count / PROBES];
    return run->first + n * run->count / PROBES;
}

/* mincore() and not preadv2(RWF_NOWAIT): the latter starts to read what is not there, and so would
 * find a cold file warm at the second look. */
void memory_cache_observe(int memory_fd, const struct memory_map *map,
                          const struct page_runs *working_set, struct cache_observation *seen)
{
    *seen = (struct cache_observation){0};
    const struct page_runs *runs = working_set ? working_set : &map->data;
    uint64_t bytes = map->pages * GUEST_PAGE_SIZE;
    char *view = mmap(NULL, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, memory_fd, 0);
    if (view == MAP_FAILED)
        return;
    for (unsigned n = 0; n < PROBES && runs->count > 0; n++) {
        uint64_t page = probe_page(runs, n);
        unsigned char cached;
        if (!page_runs_touch(&map->data, page, 1) ||
            mincore(view + page * GUEST_PAGE_SIZE, GUEST_PAGE_SIZE, &cached) < 0)
            continue;
        seen->probed++;
        seen->cached += cached & 1u;
    }
    munmap(view, bytes);
}

/* ---- faults ------------------------------------------------------------------------------- */

struct line {
    char *at;
    size_t used, size;
};

static void put(struct line *line, const char *text)
{
    for (; *text && line->used < line->size; text++)
        line->at[line->used++] = *text;
}

static void put_number(struct line *line, uint64_t number)
{
    char digits[24];
    size_t first = sizeof(digits) - 1;
    digits[first] = '\0';
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put(line, digits + first);
}

/* Whether `address` is in a page that is mapped from the file, and in which. */
static bool find_page(const struct memory_load *load, const void *address, uint64_t *page)
{
    return page_of_address(&load->memory, (uintptr_t)address, page) &&
           page_runs_touch(&load->mapped, *page, 1);
}

/* Of a file that is mapped: one that was read, or unpacked, may be of any length by now. */
static bool is_truncated(const struct memory_load *load)
{
    struct stat status;
    return load->mapped.count > 0 && fstat(load->memory_fd, &status) == 0 &&
           (uint64_t)status.st_size < load->memory_bytes;
}

size_t memory_load_describe_fault(const struct memory_load *load, const void *address, char *line,
                                  size_t size)
{
    struct line text = {.at = line, .size = size};
    uint64_t page = 0;
    bool truncated = is_truncated(load);
    if (address ? !find_page(load, address, &page) : !truncated)
        return 0;
    put(&text, "thaw: memory: ");
    if (address) {
        put(&text, "page ");
        put_number(&text, page);
        put(&text, " of the snapshot cannot be read: ");
    }
    put(&text, truncated ? "the file was truncated while it was in use [snapshot-short]\n"
                         : "the disk fails [io]\n");
    return text.used;
}
