/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/uring.h"
#include "vmm/base/clock.h"
#include "vmm/base/thread.h"

#include <errno.h>
#include <inttypes.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <xxhash.h>

/* Pages are rarely neighbours in this process, so this is 128 segments: most block devices take
 * that many in one request, and 1 MiB would be one whole request and a crumb. */
#define REQUEST_BYTES_MAX  (512u << 10)
#define REQUEST_PIECES_MAX 128u
#define QUEUE_DEPTH        32u
#define THREADS            4u
#define SECTOR_SIZE        512

struct request {
    int fd;
    bool done;
    unsigned piece_count;
    struct iovec *pieces;  /* where the bytes go */
    struct iovec *current; /* the first that is not full, shortened by... */
    size_t skip;           /* ...what it already has */
    uint64_t offset, length, filled;
};

struct reads {
    bool no_io_uring, started, joined;
    pthread_t thread;
    struct iovec *pieces;
    struct request *requests;
    size_t request_count;
    atomic_size_t next; /* request to begin */
    atomic_bool stop;   /* begin no more */
    atomic_flag failed; /* `err` is filled, or being filled, by the first that failed */
    struct thaw_error err;
    size_t hashed;      /* requests */
    XXH3_state_t *hash; /* NULL: no checksum */
    uint64_t begun_ns;
    struct reads_result result;
};

/* ---- the list ----------------------------------------------------------------------------- */

int read_list_add(struct read_list *list, const struct read_item *item, struct thaw_error *err)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 64;
        struct read_item *items = reallocarray(list->items, capacity, sizeof(*items));
        if (!items)
            return thaw_fail(err, ENOMEM, "list of reads");
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *item;
    return 0;
}

void read_list_free(struct read_list *list)
{
    free(list->items);
    *list = (struct read_list){0};
}

/* ---- requests ----------------------------------------------------------------------------- */

static bool continues(const struct request *request, const struct read_item *item)
{
    return request->fd == item->fd && request->offset + request->length == item->offset &&
           request->length < REQUEST_BYTES_MAX && request->piece_count < REQUEST_PIECES_MAX;
}

/* Cuts the item into pieces, each added to the last request or beginning a new one. */
static void add_item(struct reads *reads, struct read_item item, struct iovec **piece)
{
    while (item.length > 0) {
        struct request *last = reads->requests + reads->request_count;
        if (reads->request_count > 0 && continues(last - 1, &item))
            last--;
        else {
            *last = (struct request){
                .fd = item.fd, .offset = item.offset, .pieces = *piece, .current = *piece};
            reads->request_count++;
        }
        uint64_t room = REQUEST_BYTES_MAX - last->length;
        uint64_t length = item.length < room ? item.length : room;
        *(*piece)++ = (struct iovec){.iov_base = item.address, .iov_len = length};
        last->piece_count++;
        last->length += length;
        item.offset += length;
        item.address = (char *)item.address + length;
        item.length -= length;
    }
}

/* At most: what fills a request up, whole requests, and what is left. */
static size_t count_pieces(const struct read_list *list)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++)
        count += list->items[i].length / REQUEST_BYTES_MAX + 2;
    return count;
}

static int make_requests(struct reads *reads, const struct read_list *list, struct thaw_error *err)
{
    size_t pieces = count_pieces(list);
    reads->pieces = calloc(pieces, sizeof(*reads->pieces));
    reads->requests = calloc(pieces, sizeof(*reads->requests));
    if (!reads->pieces || !reads->requests)
        return thaw_fail(err, ENOMEM, "%zu reads", list->count);
    struct iovec *piece = reads->pieces;
    for (size_t i = 0; i < list->count; i++)
        add_item(reads, list->items[i], &piece);
    return 0;
}

/* After a short read: on with what is missing. A full piece gets its length back. */
static void advance(struct request *request, size_t bytes)
{
    request->filled += bytes;
    while (bytes > 0) {
        struct iovec *piece = request->current;
        size_t here = bytes < piece->iov_len ? bytes : piece->iov_len;
        piece->iov_base = (char *)piece->iov_base + here;
        piece->iov_len -= here;
        request->skip += here;
        bytes -= here;
        if (piece->iov_len > 0)
            return;
        piece->iov_base = (char *)piece->iov_base - request->skip;
        piece->iov_len = request->skip;
        request->skip = 0;
        request->current++;
    }
}

static int pieces_left(const struct request *request)
{
    return (int)(request->piece_count - (unsigned)(request->current - request->pieces));
}

/* The first failure is told. */
static void fail(struct reads *reads, const struct request *request, int error)
{
    atomic_store(&reads->stop, true);
    if (atomic_flag_test_and_set(&reads->failed))
        return;
    if (error == 0)
        thaw_fail_as(&reads->err, THAW_FAIL_SNAPSHOT_SHORT, EIO,
                     "read at %" PRIu64 ": the file ends early", request->offset + request->filled);
    else {
        thaw_fail(&reads->err, error, "read of %" PRIu64 " bytes at %" PRIu64,
                  request->length - request->filled, request->offset + request->filled);
        thaw_reclassify(&reads->err, THAW_FAIL_IO);
    }
}

/* Takes what a read returned; whether to go on with the request. */
static bool take_result(struct reads *reads, struct request *request, ssize_t result)
{
    if (result == -EINTR || result == -EAGAIN)
        return true;
    bool all = result > 0 && (uint64_t)result == request->length - request->filled;
    /* Less than whole sectors come only where a file ends. */
    if (!all && (result <= 0 || result % SECTOR_SIZE != 0)) {
        fail(reads, request, result < 0 ? (int)-result : 0);
        return false;
    }
    advance(request, (size_t)result);
    request->done = all;
    return !all;
}

static struct request *take_request(struct reads *reads)
{
    if (atomic_load(&reads->stop))
        return NULL;
    size_t next = atomic_fetch_add(&reads->next, 1);
    return next < reads->request_count ? &reads->requests[next] : NULL;
}

/* The checksum of what has come so far without a gap, while more is coming. */
static void hash_on(struct reads *reads)
{
    while (reads->hash && reads->hashed < reads->request_count &&
           reads->requests[reads->hashed].done) {
        const struct request *request = &reads->requests[reads->hashed++];
        for (unsigned i = 0; i < request->piece_count; i++)
            XXH3_64bits_update(reads->hash, request->pieces[i].iov_base,
                               request->pieces[i].iov_len);
    }
}

/* ---- io_uring ----------------------------------------------------------------------------- */

bool uring_is_allowed(void)
{
    /* Where it is allowed the kernel goes on to look at the parameters. */
    return syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == EFAULT;
}

static int make_ring(struct io_uring *ring, unsigned depth)
{
    /* Completions are handled when they are asked for, not in between (Linux 6.1). */
    int rc =
        io_uring_queue_init(depth, ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    return rc == -EINVAL ? io_uring_queue_init(depth, ring, 0) : rc;
}

static void queue_request(struct io_uring *ring, struct request *request)
{
    /* Never NULL: there are as many entries as requests in flight. */
    struct io_uring_sqe *entry = io_uring_get_sqe(ring);
    io_uring_prep_readv(entry, request->fd, request->current, (unsigned)pieces_left(request),
                        request->offset + request->filled);
    io_uring_sqe_set_data(entry, request);
}

/* Returns how many requests are over. */
static unsigned reap(struct reads *reads, struct io_uring *ring)
{
    unsigned over = 0;
    struct io_uring_cqe *completion;
    while (io_uring_peek_cqe(ring, &completion) == 0) {
        struct request *request = io_uring_cqe_get_data(completion);
        bool again = take_result(reads, request, completion->res);
        io_uring_cqe_seen(ring, completion);
        if (again)
            queue_request(ring, request);
        else
            over++;
    }
    return over;
}

static int submit(struct reads *reads, struct io_uring *ring)
{
    int rc = io_uring_submit_and_wait(ring, 1);
    if (rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY)
        return 0;
    atomic_store(&reads->stop, true);
    if (!atomic_flag_test_and_set(&reads->failed))
        thaw_fail(&reads->err, -rc, "io_uring_enter");
    return rc;
}

void uring_drain(struct io_uring *ring, unsigned queued)
{
    struct io_uring_cqe *completion;
    unsigned in_flight = queued - io_uring_sq_ready(ring);
    while (in_flight > 0)
        if (io_uring_wait_cqe(ring, &completion) == 0) {
            io_uring_cqe_seen(ring, completion);
            in_flight--;
        }
}

static void run_ring(struct reads *reads, struct io_uring *ring, unsigned depth)
{
    unsigned in_flight = 0;
    for (;;) {
        struct request *request;
        while (in_flight < depth && (request = take_request(reads))) {
            queue_request(ring, request);
            in_flight++;
        }
        if (in_flight == 0)
            return;
        if (submit(reads, ring) < 0) {
            uring_drain(ring, in_flight);
            return;
        }
        in_flight -= reap(reads, ring);
        hash_on(reads);
    }
}

/* False: io_uring is refused. */
static bool try_ring(struct reads *reads)
{
    struct io_uring ring;
    unsigned depth =
        reads->request_count < QUEUE_DEPTH ? (unsigned)reads->request_count : QUEUE_DEPTH;
    if (reads->no_io_uring || make_ring(&ring, depth) < 0)
        return false;
    run_ring(reads, &ring, depth);
    io_uring_queue_exit(&ring);
    reads->result.io_uring = true;
    return true;
}

/* ---- threads ------------------------------------------------------------------------------ */

static ssize_t read_some(const struct request *request)
{
    ssize_t result = preadv(request->fd, request->current, pieces_left(request),
                            (off_t)(request->offset + request->filled));
    return result < 0 ? -errno : result;
}

static void *read_requests(void *arg)
{
    struct reads *reads = arg;
    struct request *request;
    while ((request = take_request(reads)))
        while (take_result(reads, request, read_some(request)))
            continue;
    return NULL;
}

static void run_threads(struct reads *reads)
{
    pthread_t helpers[THREADS - 1];
    unsigned count = 0;
    while (count < THREADS - 1 && count + 1 < reads->request_count &&
           pthread_create(&helpers[count], NULL, read_requests, reads) == 0)
        count++;
    read_requests(reads);
    while (count > 0)
        pthread_join(helpers[--count], NULL);
}

/* ---- the thread that drives it ------------------------------------------------------------ */

static void *drive(void *arg)
{
    struct reads *reads = arg;
    pthread_setname_np(pthread_self(), "reads");
    if (!try_ring(reads))
        run_threads(reads);
    hash_on(reads);
    reads->result.nanoseconds = clock_monotonic_ns() - reads->begun_ns;
    return NULL;
}

static int start(struct reads *reads, struct thaw_error *err)
{
    int rc = thread_start(&reads->thread, NULL, drive, reads);
    if (rc < 0)
        return thaw_fail(err, -rc, "thread that reads");
    reads->started = true;
    return 0;
}

static int make_hash(struct reads *reads, struct thaw_error *err)
{
    reads->hash = XXH3_createState();
    if (!reads->hash)
        return thaw_fail(err, ENOMEM, "checksum");
    XXH3_64bits_reset(reads->hash);
    return 0;
}

int reads_begin(struct reads **out, const struct read_list *list,
                const struct reads_options *options, struct thaw_error *err)
{
    cleanup_reads struct reads *reads = calloc(1, sizeof(*reads));
    if (!reads)
        return thaw_fail(err, ENOMEM, "reads");
    reads->no_io_uring = options->no_io_uring;
    reads->begun_ns = clock_monotonic_ns();
    if (options->checksum && make_hash(reads, err) < 0)
        return thaw_error_code(err);
    if (list->count > 0 && (make_requests(reads, list, err) < 0 || start(reads, err) < 0))
        return thaw_error_code(err);
    *out = take(reads);
    return 0;
}

static void join(struct reads *reads)
{
    if (reads->started && !reads->joined)
        pthread_join(reads->thread, NULL);
    reads->joined = true;
}

static uint64_t bytes_read(const struct reads *reads)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < reads->request_count; i++)
        bytes += reads->requests[i].filled;
    return bytes;
}

int reads_wait(struct reads *reads, struct reads_result *result, struct thaw_error *err)
{
    join(reads);
    reads->result.bytes = bytes_read(reads);
    reads->result.requests = (unsigned)reads->request_count;
    reads->result.checksum = reads->hash ? XXH3_64bits_digest(reads->hash) : 0;
    *result = reads->result;
    if (reads->err.code != 0)
        *err = reads->err;
    return thaw_error_code(&reads->err);
}

void reads_free(struct reads *reads)
{
    if (!reads)
        return;
    atomic_store(&reads->stop, true);
    join(reads);
    XXH3_freeState(reads->hash);
    free(reads->pieces);
    free(reads->requests);
    free(reads);
}
