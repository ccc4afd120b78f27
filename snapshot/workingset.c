/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/workingset.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <xxhash.h>

/* What a new file is called while an old one is in its place. */
#define COPY_BYTES  (1u << 20)
#define CHECKSUM_AT offsetof(struct working_set_header, checksum)

_Static_assert(sizeof(struct page_run) == 16, "runs are written as they are");

uint64_t working_set_id(const struct snapshot_header *state)
{
    return XXH3_64bits(state, sizeof(*state));
}

static uint32_t pages_offset(uint32_t run_count)
{
    uint64_t bytes = sizeof(struct working_set_header) + run_count * sizeof(struct page_run);
    return (uint32_t)((bytes + GUEST_PAGE_SIZE - 1) / GUEST_PAGE_SIZE * GUEST_PAGE_SIZE);
}

/* Of all before the pages, as if the header's field were 0. */
static uint64_t head_checksum(const void *head, size_t size)
{
    uint8_t copy[WORKING_SET_HEAD_MAX];
    memcpy(copy, head, size);
    memset(copy + CHECKSUM_AT, 0, sizeof(uint64_t));
    return XXH3_64bits(copy, size);
}

static uint64_t region_end(const struct memory_map *map, uint64_t page)
{
    return page_region_end(map->regions, map->region_count, page);
}

static void free_hash(XXH3_state_t **hash)
{
    XXH3_freeState(*hash);
}

static XXH3_state_t *new_hash(void)
{
    XXH3_state_t *hash = XXH3_createState();
    if (hash)
        XXH3_64bits_reset(hash);
    return hash;
}

/* ---- reading ------------------------------------------------------------------------------ */

static int refuse(struct thaw_error *err, const char *why)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, SNAPSHOT_WORKING_SET ": %s", why);
}

static int ends_early(struct thaw_error *err, uint64_t file_size)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_SHORT, EINVAL,
                        SNAPSHOT_WORKING_SET ": the file ends early, after %" PRIu64 " bytes",
                        file_size);
}

/* After this the header says what was written, and all before the pages is there. */
static int check_header(const struct working_set_header *header, const void *bytes,
                        uint64_t file_size, struct thaw_error *err)
{
    if (memcmp(header->magic, WORKING_SET_MAGIC, sizeof(header->magic)) != 0)
        return refuse(err, "not a working set");
    if (header->version != WORKING_SET_VERSION)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_VERSION, EINVAL,
                            SNAPSHOT_WORKING_SET ": of format %" PRIu32 ", not %u", header->version,
                            WORKING_SET_VERSION);
    if (header->run_count > WORKING_SET_RUNS_MAX ||
        header->pages_offset != pages_offset(header->run_count))
        return refuse(err, "a header that contradicts itself");
    if (file_size < header->pages_offset)
        return ends_early(err, file_size);
    if (head_checksum(bytes, header->pages_offset) != header->checksum)
        return refuse(err, "damaged (checksum)");
    if (header->flags & ~WORKING_SET_APPROXIMATE)
        return refuse(err, "unknown flags");
    return 0;
}

static int compare_runs(const void *a, const void *b)
{
    const struct page_run *left = a, *right = b;
    return (left->first > right->first) - (left->first < right->first);
}

static bool runs_are_apart(const struct page_runs *runs, uint64_t pages)
{
    struct page_run items[WORKING_SET_RUNS_MAX];
    const struct page_runs sorted = {.items = items, .count = runs->count};
    if (runs->count > 0)
        memcpy(items, runs->items, runs->count * sizeof(*items));
    qsort(items, runs->count, sizeof(*items), compare_runs);
    return page_runs_are_sorted(&sorted, pages);
}

static int check_runs(const struct page_runs *runs, const struct memory_map *map, uint64_t pages,
                      struct thaw_error *err)
{
    for (size_t i = 0; i < runs->count; i++) {
        const struct page_run *run = &runs->items[i];
        uint64_t end = region_end(map, run->first);
        if (run->count == 0 || run->first >= end || run->count > end - run->first)
            return refuse(err, "pages that are not in RAM");
    }
    if (!runs_are_apart(runs, map->pages))
        return refuse(err, "pages that are there twice");
    /* No overflow: none of them overlap. */
    return page_runs_pages(runs) == pages ? 0 : refuse(err, "runs and pages do not agree");
}

static int check_size(const struct working_set *set, uint64_t file_size, struct thaw_error *err)
{
    uint64_t size = set->pages_offset + set->pages * GUEST_PAGE_SIZE;
    if (file_size < size)
        return ends_early(err, file_size);
    return file_size == size ? 0 : refuse(err, "longer than its pages");
}

static int copy_runs(struct page_runs *runs, const void *bytes, uint32_t count,
                     struct thaw_error *err)
{
    runs->items = calloc(count + 1u, sizeof(*runs->items));
    if (!runs->items)
        return thaw_fail(err, ENOMEM, "working set");
    memcpy(runs->items, bytes, count * sizeof(*runs->items));
    runs->count = count;
    runs->capacity = count + 1u;
    return 0;
}

int working_set_parse(const void *bytes, uint64_t file_size, uint64_t id,
                      const struct memory_map *map, struct working_set *out, struct thaw_error *err)
{
    *out = (struct working_set){.fd = -1};
    cleanup_working_set struct working_set set = {.fd = -1};
    struct working_set_header header;
    if (file_size < sizeof(header))
        return ends_early(err, file_size);
    memcpy(&header, bytes, sizeof(header));
    if (check_header(&header, bytes, file_size, err) < 0)
        return thaw_error_code(err);
    if (header.snapshot != id)
        return refuse(err, "of another snapshot");

    set.pages = header.pages;
    set.pages_offset = header.pages_offset;
    set.pages_checksum = header.pages_checksum;
    set.approximate = header.flags & WORKING_SET_APPROXIMATE;
    if (copy_runs(&set.runs, (const uint8_t *)bytes + sizeof(header), header.run_count, err) < 0 ||
        check_runs(&set.runs, map, set.pages, err) < 0 || check_size(&set, file_size, err) < 0)
        return thaw_error_code(err);
    *out = set;
    set.runs = (struct page_runs){0};
    return 0;
}

int working_set_open(int dir_fd, const struct snapshot_header *state, const struct memory_map *map,
                     struct working_set *set, struct thaw_error *err)
{
    *set = (struct working_set){.fd = -1};
    uint64_t file_size;
    cleanup_close int fd = snapshot_open_file(dir_fd, SNAPSHOT_WORKING_SET, &file_size, err);
    if (fd < 0)
        return fd;
    uint8_t head[WORKING_SET_HEAD_MAX];
    size_t size = file_size < sizeof(head) ? (size_t)file_size : sizeof(head);
    if (file_pread_full(fd, head, size, 0, err) < 0)
        return thaw_context(err, SNAPSHOT_WORKING_SET);
    int rc = working_set_parse(head, file_size, working_set_id(state), map, set, err);
    if (rc == 0)
        set->fd = take_fd(&fd);
    return rc;
}

void working_set_close(struct working_set *set)
{
    if (set->fd >= 0)
        close(set->fd);
    page_runs_free(&set->runs);
    *set = (struct working_set){.fd = -1};
}

int working_set_verify(const struct working_set *set, struct thaw_error *err)
{
    cleanup_free uint8_t *buffer = malloc(COPY_BYTES);
    cleanup(free_hash) XXH3_state_t *hash = new_hash();
    if (!buffer || !hash)
        return thaw_fail(err, ENOMEM, "buffer");
    uint64_t left = set->pages * GUEST_PAGE_SIZE, offset = set->pages_offset;
    while (left > 0) {
        size_t size = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
        if (file_pread_full(set->fd, buffer, size, offset, err) < 0)
            return thaw_context(err, SNAPSHOT_WORKING_SET);
        XXH3_64bits_update(hash, buffer, size);
        offset += size;
        left -= size;
    }
    return XXH3_64bits_digest(hash) == set->pages_checksum
               ? 0
               : refuse(err, "the pages are damaged (checksum)");
}

/* ---- putting pages together --------------------------------------------------------------- */

struct ranked_run {
    uint64_t first, end; /* pages */
    size_t rank;         /* when its first page was wanted */
};

static int compare_first(const void *a, const void *b)
{
    const struct ranked_run *left = a, *right = b;
    return (left->first > right->first) - (left->first < right->first);
}

static int compare_rank(const void *a, const void *b)
{
    const struct ranked_run *left = a, *right = b;
    return (left->rank > right->rank) - (left->rank < right->rank);
}

/* Cut where a region ends: such neighbours are not neighbours in memory. */
static size_t rank_runs(const struct page_runs *order, const struct memory_map *map,
                        struct ranked_run *ranked)
{
    size_t count = 0;
    for (size_t i = 0; i < order->count; i++) {
        struct page_run run = order->items[i];
        while (run.count > 0) {
            uint64_t end = region_end(map, run.first);
            if (end == 0)
                break;
            uint64_t pages = run.count < end - run.first ? run.count : end - run.first;
            ranked[count] = (struct ranked_run){run.first, run.first + pages, count};
            count++;
            run.first += pages;
            run.count -= pages;
        }
    }
    qsort(ranked, count, sizeof(*ranked), compare_first);
    return count;
}

/* Joins what is at most `gap` pages apart, in place. Returns how many are left. */
static size_t join_runs(struct ranked_run *runs, size_t count, const struct memory_map *map,
                        uint64_t gap)
{
    size_t last = 0;
    for (size_t i = 1; i < count; i++) {
        struct ranked_run *before = &runs[last], *run = &runs[i];
        bool near = run->first <= before->end || run->first - before->end <= gap;
        if (near && run->first < region_end(map, before->first)) {
            before->end = run->end > before->end ? run->end : before->end;
            before->rank = run->rank < before->rank ? run->rank : before->rank;
        } else {
            runs[++last] = *run;
        }
    }
    return count > 0 ? last + 1 : 0;
}

int working_set_coalesce(const struct page_runs *order, const struct memory_map *map,
                         struct page_runs *runs, struct thaw_error *err)
{
    size_t most = order->count * GUEST_MEMORY_REGIONS_MAX;
    cleanup_free struct ranked_run *ranked = calloc(most + 1, sizeof(*ranked));
    if (!ranked)
        return thaw_fail(err, ENOMEM, "working set");
    size_t count = join_runs(ranked, rank_runs(order, map, ranked), map, 0);
    for (uint64_t gap = 1; count > WORKING_SET_RUNS_MAX; gap *= 2)
        count = join_runs(ranked, count, map, gap);
    qsort(ranked, count, sizeof(*ranked), compare_rank);

    /* Not page_runs_add(), which would join the end of one region with the start of the next. */
    struct page_run *items = calloc(count + 1, sizeof(*items));
    if (!items)
        return thaw_fail(err, ENOMEM, "working set");
    for (size_t i = 0; i < count; i++)
        items[i] = (struct page_run){ranked[i].first, ranked[i].end - ranked[i].first};
    *runs = (struct page_runs){.items = items, .count = count, .capacity = count + 1};
    return 0;
}

/* ---- writing ------------------------------------------------------------------------------ */

static int copy_pages(int to, int memory_fd, struct page_run run, uint8_t *buffer,
                      XXH3_state_t *hash, struct thaw_error *err)
{
    uint64_t offset = run.first * GUEST_PAGE_SIZE, left = run.count * GUEST_PAGE_SIZE;
    while (left > 0) {
        size_t size = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
        if (file_pread_full(memory_fd, buffer, size, offset, err) < 0)
            return thaw_context(err, SNAPSHOT_MEMORY);
        if (file_write_full(to, buffer, size, err) < 0)
            return thaw_context(err, SNAPSHOT_WORKING_SET);
        XXH3_64bits_update(hash, buffer, size);
        offset += size;
        left -= size;
    }
    return 0;
}

static int copy_all(int to, int memory_fd, const struct page_runs *runs, uint64_t *checksum,
                    struct thaw_error *err)
{
    cleanup_free uint8_t *buffer = malloc(COPY_BYTES);
    cleanup(free_hash) XXH3_state_t *hash = new_hash();
    if (!buffer || !hash)
        return thaw_fail(err, ENOMEM, "buffer");
    for (size_t i = 0; i < runs->count; i++)
        if (copy_pages(to, memory_fd, runs->items[i], buffer, hash, err) < 0)
            return thaw_error_code(err);
    *checksum = XXH3_64bits_digest(hash);
    return 0;
}

static int write_head(int fd, struct working_set_header *header, const struct page_runs *runs,
                      struct thaw_error *err)
{
    uint8_t head[WORKING_SET_HEAD_MAX] = {0};
    if (runs->count > 0)
        memcpy(head + sizeof(*header), runs->items, runs->count * sizeof(*runs->items));
    memcpy(head, header, sizeof(*header));
    header->checksum = head_checksum(head, header->pages_offset);
    memcpy(head, header, sizeof(*header));
    if (lseek(fd, 0, SEEK_SET) < 0 || file_write_full(fd, head, header->pages_offset, err) < 0)
        return thaw_context(err, SNAPSHOT_WORKING_SET);
    return 0;
}

static int write_file(int fd, int memory_fd, struct working_set_header *header,
                      const struct page_runs *runs, struct thaw_error *err)
{
    if (lseek(fd, header->pages_offset, SEEK_SET) < 0)
        return thaw_fail(err, errno, SNAPSHOT_WORKING_SET);
    int rc = copy_all(fd, memory_fd, runs, &header->pages_checksum, err);
    if (rc == 0)
        rc = write_head(fd, header, runs, err);
    /* Half a file after a power cut would make every restore fail. */
    if (rc == 0 && fdatasync(fd) < 0)
        rc = thaw_fail(err, errno, "fdatasync of " SNAPSHOT_WORKING_SET);
    return rc;
}

/* Under another name first, and alone: two recordings of one snapshot come one after the other. A
 * file without a name (O_TMPFILE) would be nicer; not every file system has them. */
static int write_beside(int dir_fd, int memory_fd, struct working_set_header *header,
                        const struct page_runs *runs, struct thaw_error *err)
{
    if (flock(dir_fd, LOCK_EX) < 0)
        return thaw_fail(err, errno, "flock of the snapshot");
    (void)unlinkat(dir_fd, SNAPSHOT_WORKING_SET_NEW, 0); /* of a writer that was killed */
    cleanup_close int fd = openat(dir_fd, SNAPSHOT_WORKING_SET_NEW,
                                  O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return thaw_fail(err, errno, SNAPSHOT_WORKING_SET);
    int rc = write_file(fd, memory_fd, header, runs, err);
    if (rc == 0 && renameat(dir_fd, SNAPSHOT_WORKING_SET_NEW, dir_fd, SNAPSHOT_WORKING_SET) < 0)
        rc = thaw_fail(err, errno, SNAPSHOT_WORKING_SET);
    if (rc < 0)
        (void)unlinkat(dir_fd, SNAPSHOT_WORKING_SET_NEW, 0);
    return rc;
}

int working_set_write(int dir_fd, int memory_fd, const struct snapshot_header *state,
                      const struct memory_map *map, const struct page_runs *order, bool approximate,
                      struct thaw_error *err)
{
    cleanup_page_runs struct page_runs runs = {0};
    if (working_set_coalesce(order, map, &runs, err) < 0)
        return thaw_error_code(err);
    struct working_set_header header = {
        .magic = WORKING_SET_MAGIC,
        .version = WORKING_SET_VERSION,
        .flags = approximate ? WORKING_SET_APPROXIMATE : 0,
        .snapshot = working_set_id(state),
        .run_count = (uint32_t)runs.count,
        .pages_offset = pages_offset((uint32_t)runs.count),
        .pages = page_runs_pages(&runs),
    };
    int rc = write_beside(dir_fd, memory_fd, &header, &runs, err);
    (void)flock(dir_fd, LOCK_UN);
    return rc < 0 ? thaw_reclassify(err, THAW_FAIL_IO) : 0;
}
