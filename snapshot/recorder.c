/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/recorder.h"
#include "vmm/base/file.h"
#include "vmm/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGEMAP_THERE (3ull << 62) /* present, or swapped out (Documentation/.../pagemap.rst) */
#define PAGEMAP_BATCH 512u
#define FAULT_BATCH   16u

struct recorder {
    struct guest_memory memory; /* the same places, not owned */
    int memory_fd;              /* borrowed */
    const struct memory_map *map;
    int uffd, stop_fd; /* -1: approximate */
    bool started;
    pthread_t thread;
    uint8_t *given; /* bit per page: the guest has had it; the thread's */
    uint8_t page[GUEST_PAGE_SIZE];

    pthread_mutex_t lock; /* for all below */
    bool stopped;
    struct page_runs order;
    struct thaw_error err; /* the first failure */
};

/* ---- answering faults --------------------------------------------------------------------- */

static void log_page(struct recorder *recorder, uint64_t page)
{
    pthread_mutex_lock(&recorder->lock);
    if (!recorder->stopped && recorder->err.code == 0)
        page_runs_add(&recorder->order, page, 1, &recorder->err);
    pthread_mutex_unlock(&recorder->lock);
}

static void keep_error(struct recorder *recorder, const struct thaw_error *err)
{
    pthread_mutex_lock(&recorder->lock);
    if (recorder->err.code == 0)
        recorder->err = *err;
    pthread_mutex_unlock(&recorder->lock);
}

/* Of page `page` of RAM at `at`. EAGAIN: the mappings are being changed by another thread. */
static int copy_page(const struct recorder *recorder, uintptr_t at)
{
    struct uffdio_copy copy = {.dst = at, .src = (uintptr_t)recorder->page, .len = GUEST_PAGE_SIZE};
    int rc;
    do {
        copy.copy = 0;
        rc = ioctl(recorder->uffd, UFFDIO_COPY, &copy);
    } while (rc < 0 && errno == EAGAIN);
    return rc < 0 ? -errno : 0;
}

static int zero_page(const struct recorder *recorder, uintptr_t at)
{
    struct uffdio_zeropage zero = {.range = {.start = at, .len = GUEST_PAGE_SIZE}};
    int rc;
    do {
        zero.zeropage = 0;
        rc = ioctl(recorder->uffd, UFFDIO_ZEROPAGE, &zero);
    } while (rc < 0 && errno == EAGAIN);
    return rc < 0 ? -errno : 0;
}

static void wake(const struct recorder *recorder, uintptr_t at)
{
    struct uffdio_range range = {.start = at, .len = GUEST_PAGE_SIZE};
    (void)ioctl(recorder->uffd, UFFDIO_WAKE, &range);
}

/* The page cannot be had: whoever waits for it gets what touching a mapping of it gives. */
static void map_instead(const struct recorder *recorder, uint64_t page, uintptr_t at)
{
    (void)mmap((void *)at, // NOLINT(performance-no-int-to-ptr)
               GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
               recorder->memory_fd, (off_t)(page * GUEST_PAGE_SIZE));
    wake(recorder, at);
}

static bool take_given(struct recorder *recorder, uint64_t page)
{
    uint8_t bit = (uint8_t)(1u << page % 8);
    bool before = recorder->given[page / 8] & bit;
    recorder->given[page / 8] |= bit;
    return before;
}

/* What a guest gave back (balloon) and takes again is no page of the snapshot any more. */
static void answer(struct recorder *recorder, uint64_t page, uintptr_t at)
{
    struct thaw_error err = {0};
    int rc;
    if (take_given(recorder, page) || !page_runs_touch(&recorder->map->data, page, 1)) {
        rc = zero_page(recorder, at);
    } else if (file_pread_full(recorder->memory_fd, recorder->page, GUEST_PAGE_SIZE,
                               page * GUEST_PAGE_SIZE, &err) < 0) {
        thaw_context(&err, "memory: page %" PRIu64, page);
        keep_error(recorder, &err);
        map_instead(recorder, page, at);
        return;
    } else {
        log_page(recorder, page);
        rc = copy_page(recorder, at);
    }
    /* EEXIST: another thread's fault of this page has been answered meanwhile. */
    if (rc < 0)
        wake(recorder, at);
}

static void answer_all(struct recorder *recorder)
{
    struct uffd_msg faults[FAULT_BATCH];
    ssize_t size = read(recorder->uffd, faults, sizeof(faults));
    for (ssize_t i = 0; i < size / (ssize_t)sizeof(*faults); i++) {
        uintptr_t at = (uintptr_t)faults[i].arg.pagefault.address & ~(GUEST_PAGE_SIZE - 1ul);
        uint64_t page;
        if (faults[i].event == UFFD_EVENT_PAGEFAULT &&
            page_of_address(&recorder->memory, at, &page))
            answer(recorder, page, at);
    }
}

static void *answer_faults(void *arg)
{
    struct recorder *recorder = arg;
    struct pollfd fds[] = {{.fd = recorder->uffd, .events = POLLIN},
                           {.fd = recorder->stop_fd, .events = POLLIN}};
    pthread_setname_np(pthread_self(), "recorder");
    while (fds[1].revents == 0) {
        if (poll(fds, 2, -1) > 0 && fds[0].revents != 0)
            answer_all(recorder);
    }
    return NULL;
}

/* ---- beginning ---------------------------------------------------------------------------- */

/* A descriptor that also gets the kernel's faults (KVM's are that), or -1. */
static int open_userfaultfd(void)
{
    const int flags = O_CLOEXEC | O_NONBLOCK;
    cleanup_close int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    int fd = device >= 0 ? ioctl(device, USERFAULTFD_IOC_NEW, flags) : -1;
    return fd >= 0 ? fd : (int)syscall(SYS_userfaultfd, flags);
}

static bool watch_region(int uffd, const struct guest_region *region)
{
    struct uffdio_register watch = {
        .range = {.start = (uintptr_t)region->host, .len = region->size},
        .mode = UFFDIO_REGISTER_MODE_MISSING,
    };
    /* A huge page would bring, and hide, 511 others. */
    (void)madvise(region->host, region->size, MADV_NOHUGEPAGE);
    return ioctl(uffd, UFFDIO_REGISTER, &watch) == 0;
}

static bool watch(struct recorder *recorder)
{
    struct uffdio_api api = {.api = UFFD_API};
    cleanup_close int uffd = open_userfaultfd();
    if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) < 0)
        return false;
    for (unsigned i = 0; i < recorder->memory.region_count; i++)
        if (!watch_region(uffd, &recorder->memory.regions[i]))
            return false; /* closing the descriptor takes back what was registered */
    recorder->uffd = take_fd(&uffd);
    return true;
}

static int start(struct recorder *recorder, struct thaw_error *err)
{
    recorder->given = calloc(recorder->map->pages / 8 + 1, 1);
    recorder->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (!recorder->given || recorder->stop_fd < 0)
        return thaw_fail(err, errno, "recorder");
    int rc = thread_start(&recorder->thread, NULL, answer_faults, recorder);
    if (rc < 0)
        return thaw_fail(err, -rc, "thread that records");
    recorder->started = true;
    return 0;
}

static int map_regions(const struct recorder *recorder, struct thaw_error *err)
{
    uint64_t offset = 0;
    for (unsigned i = 0; i < recorder->memory.region_count; i++) {
        const struct guest_region *region = &recorder->memory.regions[i];
        if (mmap(region->host, region->size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, recorder->memory_fd,
                 (off_t)offset) == MAP_FAILED)
            return thaw_fail(err, errno, "mmap of the snapshot's memory");
        offset += region->size;
    }
    return 0;
}

int recorder_begin(struct recorder **out, const struct guest_memory *memory, int memory_fd,
                   const struct memory_map *map, bool approximate, struct thaw_error *err)
{
    cleanup_recorder struct recorder *recorder = calloc(1, sizeof(*recorder));
    if (!recorder)
        return thaw_fail(err, ENOMEM, "recorder");
    pthread_mutex_init(&recorder->lock, NULL);
    recorder->memory = *memory;
    recorder->memory_fd = memory_fd;
    recorder->map = map;
    recorder->uffd = recorder->stop_fd = -1;
    bool exact = !approximate && watch(recorder);
    int rc = exact ? start(recorder, err) : map_regions(recorder, err);
    if (rc < 0)
        return rc;
    *out = take(recorder);
    return 0;
}

/* ---- the page tables ---------------------------------------------------------------------- */

static int add_present(struct recorder *recorder, int pagemap, uint64_t first, uint64_t count,
                       struct thaw_error *err)
{
    uint64_t entries[PAGEMAP_BATCH];
    uintptr_t at = (uintptr_t)page_address(&recorder->memory, first, count);
    if (at == 0 || file_pread_full(pagemap, entries, count * sizeof(*entries),
                                   at / GUEST_PAGE_SIZE * sizeof(*entries), err) < 0)
        return at == 0 ? thaw_fail(err, EINVAL, "recorder: page %" PRIu64, first)
                       : thaw_context(err, "/proc/self/pagemap");
    for (uint64_t i = 0; i < count; i++)
        if ((entries[i] & PAGEMAP_THERE) && page_runs_add(&recorder->order, first + i, 1, err) < 0)
            return thaw_error_code(err);
    return 0;
}

/* The first pages of `run`: as many as are looked at together, in one region. */
static struct page_run first_part(const struct memory_map *map, struct page_run run)
{
    uint64_t end = run.first + PAGEMAP_BATCH;
    uint64_t region_end = page_region_end(map->regions, map->region_count, run.first);
    return page_run_clip(run, run.first, end < region_end ? end : region_end);
}

static int add_all_present(struct recorder *recorder, struct thaw_error *err)
{
    cleanup_close int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0)
        return thaw_fail(err, errno, "/proc/self/pagemap");
    const struct page_runs *data = &recorder->map->data;
    for (size_t i = 0; i < data->count; i++) {
        struct page_run run = data->items[i];
        while (run.count > 0) {
            uint64_t count = first_part(recorder->map, run).count;
            if (add_present(recorder, pagemap, run.first, count, err) < 0)
                return thaw_error_code(err);
            run.first += count;
            run.count -= count;
        }
    }
    return 0;
}

/* ---- the end ------------------------------------------------------------------------------ */

static int take_order(struct recorder *recorder, struct page_runs *order, struct thaw_error *err)
{
    recorder->stopped = true;
    if (recorder->err.code != 0) {
        *err = recorder->err;
        return thaw_error_code(err);
    }
    return page_runs_append(order, &recorder->order, err);
}

int recorder_stop(struct recorder *recorder, struct page_runs *order, bool *approximate,
                  struct thaw_error *err)
{
    *approximate = recorder->uffd < 0;
    pthread_mutex_lock(&recorder->lock);
    int rc = *approximate && !recorder->stopped ? add_all_present(recorder, err) : 0;
    if (rc == 0)
        rc = take_order(recorder, order, err);
    pthread_mutex_unlock(&recorder->lock);
    return rc;
}

static void stop_thread(const struct recorder *recorder)
{
    uint64_t one = 1;
    while (write(recorder->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
    pthread_join(recorder->thread, NULL);
}

void recorder_free(struct recorder *recorder)
{
    if (!recorder)
        return;
    if (recorder->started)
        stop_thread(recorder);
    if (recorder->uffd >= 0)
        close(recorder->uffd);
    if (recorder->stop_fd >= 0)
        close(recorder->stop_fd);
    pthread_mutex_destroy(&recorder->lock);
    page_runs_free(&recorder->order);
    free(recorder->given);
    free(recorder);
}
