/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-workingset [--directory DIR] [--memory MiB] [--set MiB] [--rounds N]
 *
 * What a cold restore's working set costs, on the disk that DIR is on, without a VM: a memory file,
 * a working set scattered over it as guests do it (some hundred clusters, in each some pages left
 * out, visited in no order), and in each round, with the page cache dropped before each:
 *
 *   disk     sequential O_DIRECT reads of as many bytes, 1 MiB at a time, as dd does it
 *   map      `memory` mapped, and the pages touched in their order
 *   read     the plan of --memory=prefetch up to memory_load_wait(), then the same touches
 *   threads  the same with preadv() threads instead of io_uring
 *
 * then, with a warm page cache, the mappings alone. Prints one JSON object: medians, and all
 * values in milliseconds.
 */
#include "snapshot/load.h"
#include "vmm/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#define CLUSTERS   400u
#define LEFT_OUT   6u /* one page of so many */
#define BURST_MAX  4u /* pages touched in a row */
#define ROUNDS_MAX 100u
#define MIB_PAGES  256u

struct bench {
    const char *directory;
    uint64_t memory_pages, set_pages;
    unsigned rounds;
    char path[256];
    int dir_fd, memory_fd;
    struct snapshot_header header;
    struct memory_map map;
    struct page_runs order;
    struct working_set set;
    struct thaw_error err;
};

static void check(const struct bench *bench, bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "bench-workingset: %s: %s\n", what,
                  bench->err.code != 0 ? bench->err.message : strerror(errno));
    exit(1);
}

/* xorshift: the same memory and working set in every run. */
static uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252ull;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* ---- the files ---------------------------------------------------------------------------- */

static void write_memory(struct bench *bench)
{
    static uint64_t buffer[MIB_PAGES * GUEST_PAGE_SIZE / sizeof(uint64_t)];
    for (uint64_t page = 0; page < bench->memory_pages; page += MIB_PAGES) {
        for (size_t i = 0; i < sizeof(buffer) / sizeof(*buffer); i++)
            buffer[i] = next_random() | 1;
        check(bench, write(bench->memory_fd, buffer, sizeof(buffer)) == (ssize_t)sizeof(buffer),
              "memory file");
    }
}

/* Each cluster in bursts, from both ends to the middle. */
static void add_cluster(struct bench *bench, uint64_t first, uint64_t end)
{
    while (first < end) {
        uint64_t burst = 1 + next_random() % BURST_MAX;
        burst = burst < end - first ? burst : end - first;
        bool front = next_random() % 2;
        uint64_t at = front ? first : end - burst;
        first += front ? burst : 0;
        end -= front ? 0 : burst;
        if (next_random() % LEFT_OUT != 0)
            check(bench, page_runs_add(&bench->order, at, burst, &bench->err) == 0, "order");
    }
}

static void choose_order(struct bench *bench)
{
    uint64_t stride = bench->memory_pages / CLUSTERS;
    uint64_t pages = bench->set_pages * LEFT_OUT / (LEFT_OUT - 1) / CLUSTERS;
    check(bench, pages > 0 && pages + BURST_MAX < stride, "--set: too small, or too large");
    for (uint64_t i = 0; i < CLUSTERS; i++) {
        uint64_t first = i * 237 % CLUSTERS * stride + next_random() % (stride - pages);
        add_cluster(bench, first, first + pages);
    }
}

static void make_files(struct bench *bench)
{
    static struct page_run all;
    (void)snprintf(bench->path, sizeof(bench->path), "%s/thaw-bench-XXXXXX", bench->directory);
    check(bench, mkdtemp(bench->path), bench->path);
    bench->dir_fd = open(bench->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bench->memory_fd =
        openat(bench->dir_fd, SNAPSHOT_MEMORY, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    check(bench, bench->dir_fd >= 0 && bench->memory_fd >= 0, bench->path);
    all.count = bench->memory_pages;
    bench->map = (struct memory_map){
        .region_count = 1,
        .regions = {{.size = bench->memory_pages * GUEST_PAGE_SIZE}},
        .pages = bench->memory_pages,
        .data = {.items = &all, .count = 1},
    };
    write_memory(bench);
    choose_order(bench);
    check(bench,
          working_set_write(bench->dir_fd, bench->memory_fd, &bench->header, &bench->map,
                            &bench->order, false, &bench->err) == 0 &&
              working_set_open(bench->dir_fd, &bench->header, &bench->map, &bench->set,
                               &bench->err) == 0,
          "working set");
    check(bench, fsync(bench->memory_fd) == 0, "fsync");
}

static void remove_files(const struct bench *bench)
{
    (void)unlinkat(bench->dir_fd, SNAPSHOT_MEMORY, 0);
    (void)unlinkat(bench->dir_fd, SNAPSHOT_WORKING_SET, 0);
    (void)rmdir(bench->path);
}

/* The whole cache where that is allowed, else that of the two files. */
static void drop_caches(const struct bench *bench)
{
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "3", 1) == 1) {
        close(fd);
        return;
    }
    if (fd >= 0)
        close(fd);
    (void)posix_fadvise(bench->memory_fd, 0, 0, POSIX_FADV_DONTNEED);
    (void)posix_fadvise(bench->set.fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* ---- what is measured --------------------------------------------------------------------- */

static double milliseconds(uint64_t begun)
{
    return (double)(clock_monotonic_ns() - begun) / 1e6;
}

static double read_disk(struct bench *bench)
{
    const size_t part = 1u << 20;
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", bench->set.fd);
    cleanup_close int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    void *buffer =
        mmap(NULL, part, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    check(bench, fd >= 0 && buffer != MAP_FAILED, "O_DIRECT");
    drop_caches(bench);
    uint64_t left = bench->set.pages * GUEST_PAGE_SIZE, begun = clock_monotonic_ns();
    for (uint64_t at = bench->set.pages_offset; left > 0; at += part) {
        size_t size = left < part ? (size_t)left : part;
        check(bench, pread(fd, buffer, size, (off_t)at) == (ssize_t)size, "read");
        left -= size;
    }
    double result = milliseconds(begun);
    munmap(buffer, part);
    return result;
}

static void touch_all(const struct bench *bench, const struct guest_memory *memory)
{
    for (size_t i = 0; i < bench->order.count; i++) {
        const struct page_run *run = &bench->order.items[i];
        const uint8_t *at = page_address(memory, run->first, run->count);
        for (uint64_t n = 0; n < run->count; n++)
            (void)*(const volatile uint8_t *)(at + n * GUEST_PAGE_SIZE);
    }
}

struct timing {
    double loaded, touched, mapped; /* milliseconds; `touched` from the beginning */
};

static struct timing restore(struct bench *bench, enum restore_mode mode, bool io_uring, bool touch)
{
    const struct plan_input input = {
        .map = &bench->map, .working_set = &bench->set.runs, .mode = mode, .io_uring = io_uring};
    const struct memory_source source = {
        .map = &bench->map, .memory_fd = bench->memory_fd, .working_set = &bench->set};
    struct guest_memory memory;
    check(bench,
          guest_memory_create(&memory, bench->map.regions, bench->map.region_count, &bench->err) ==
              0,
          "guest memory");
    struct timing timing = {0};
    uint64_t begun = clock_monotonic_ns();
    cleanup_restore_plan struct restore_plan plan;
    struct memory_load *load = NULL;
    struct memory_load_stats stats;
    check(bench,
          restore_plan_make(&input, &plan, &bench->err) == 0 &&
              memory_load_begin(&load, &memory, &plan, &source, &bench->err) == 0 &&
              memory_load_wait(load, &stats, &bench->err) == 0,
          "restore");
    timing.loaded = milliseconds(begun);
    timing.mapped = (double)stats.mmap_ns / 1e6;
    if (touch)
        touch_all(bench, &memory);
    timing.touched = milliseconds(begun);
    memory_load_free(load);
    guest_memory_destroy(&memory);
    return timing;
}

/* ---- the report --------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(const double *values, unsigned count)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, count * sizeof(*values));
    qsort(sorted, count, sizeof(*sorted), compare);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static void print_values(const char *name, const double *values, unsigned count)
{
    (void)printf(", \"%s\": {\"median\": %.3f, \"all\": [", name, median(values, count));
    for (unsigned i = 0; i < count; i++)
        (void)printf("%s%.3f", i > 0 ? ", " : "", values[i]);
    (void)printf("]}");
}

enum { DISK, MAP, READ_LOADED, READ, READ_MAPPED, THREADS, WARM, WARM_SET, SERIES };
static const char *const series_names[SERIES] = {
    "disk_ms",      "map_ms",     "read_loaded_ms", "read_ms",
    "read_mmap_ms", "threads_ms", "warm_map_ms",    "warm_read_plan_mmap_ms"};

static void run_round(struct bench *bench, double values[SERIES][ROUNDS_MAX], unsigned round)
{
    values[DISK][round] = read_disk(bench);
    drop_caches(bench);
    values[MAP][round] = restore(bench, RESTORE_MAP, true, true).touched;
    drop_caches(bench);
    struct timing timing = restore(bench, RESTORE_PREFETCH, true, true);
    values[READ_LOADED][round] = timing.loaded;
    values[READ][round] = timing.touched;
    values[READ_MAPPED][round] = timing.mapped;
    drop_caches(bench);
    values[THREADS][round] = restore(bench, RESTORE_PREFETCH, false, true).touched;
}

static void run_warm_round(struct bench *bench, double values[SERIES][ROUNDS_MAX], unsigned round)
{
    values[WARM][round] = restore(bench, RESTORE_MAP, true, false).loaded;
    values[WARM_SET][round] = restore(bench, RESTORE_PREFETCH, true, false).mapped;
}

static void report(const struct bench *bench, double values[SERIES][ROUNDS_MAX])
{
    double mib = (double)bench->set.pages / MIB_PAGES;
    double read = median(values[READ_LOADED], bench->rounds);
    (void)printf("{\"memory_mib\": %" PRIu64 ", \"set_mib\": %.1f, \"set_pages\": %" PRIu64
                 ", \"touched_pages\": %" PRIu64 ", \"runs\": %zu, \"rounds\": %u",
                 bench->memory_pages / MIB_PAGES, mib, bench->set.pages,
                 page_runs_pages(&bench->order), bench->set.runs.count, bench->rounds);
    for (unsigned i = 0; i < SERIES; i++)
        print_values(series_names[i], values[i], bench->rounds);
    (void)printf(", \"disk_mib_s\": %.0f, \"read_mib_s\": %.0f, \"of_disk\": %.2f"
                 ", \"faster_than_map\": %.2f}\n",
                 mib * 1000 / median(values[DISK], bench->rounds), mib * 1000 / read,
                 median(values[DISK], bench->rounds) / read,
                 median(values[MAP], bench->rounds) / median(values[READ], bench->rounds));
}

static void parse_options(struct bench *bench, int argc, char **argv)
{
    static const struct option options[] = {{"directory", required_argument, NULL, 'd'},
                                            {"memory", required_argument, NULL, 'm'},
                                            {"set", required_argument, NULL, 's'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (option == 'd')
            bench->directory = optarg;
        else if (option == 'm')
            bench->memory_pages = strtoull(optarg, NULL, 10) * MIB_PAGES;
        else if (option == 's')
            bench->set_pages = strtoull(optarg, NULL, 10) * MIB_PAGES;
        else if (option == 'r')
            bench->rounds = (unsigned)strtoul(optarg, NULL, 10);
        else
            exit(2);
    }
    check(bench, bench->rounds > 0 && bench->rounds <= ROUNDS_MAX, "--rounds");
}

int main(int argc, char **argv)
{
    static double values[SERIES][ROUNDS_MAX];
    struct bench bench = {.directory = "/var/tmp",
                          .memory_pages = 512 * MIB_PAGES,
                          .set_pages = 32 * MIB_PAGES,
                          .rounds = 7};
    parse_options(&bench, argc, argv);
    make_files(&bench);
    for (unsigned i = 0; i < bench.rounds; i++)
        run_round(&bench, values, i);
    for (unsigned i = 0; i < bench.rounds; i++)
        run_warm_round(&bench, values, i);
    report(&bench, values);
    remove_files(&bench);
    working_set_close(&bench.set);
    page_runs_free(&bench.order);
    return 0;
}
