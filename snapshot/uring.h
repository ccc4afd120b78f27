/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads from files into many places at once: io_uring with a deep queue, or a few threads with
 * preadv() where io_uring is refused (containers). A thread of its own drives it, so whoever
 * began it can do something else meanwhile.
 */
#ifndef THAW_SNAPSHOT_URING_H
#define THAW_SNAPSHOT_URING_H

#include "vmm/base/cleanup.h"
#include "vmm/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a file was opened with O_DIRECT, offset, address and length are multiples of 4096. */
struct read_item {
    int fd; /* borrowed until the reads are freed */
    uint64_t offset;
    void *address;
    uint64_t length; /* bytes, not 0 */
};

/* All zeros: empty. */
struct read_list {
    struct read_item *items;
    size_t count, capacity;
};

int read_list_add(struct read_list *list, const struct read_item *item, struct thaw_error *err);
void read_list_free(struct read_list *list);
#define cleanup_read_list cleanup(read_list_free)

struct reads_options {
    bool no_io_uring; /* threads, as if it were refused */
    bool checksum;    /* compute the XXH3-64 of all bytes, in the order of the list */
};

struct reads_result {
    uint64_t bytes;
    uint64_t checksum;    /* 0 when it was not asked for */
    unsigned requests;    /* what the kernel was asked for: neighbours in the file go together */
    bool io_uring;        /* it did the work */
    uint64_t nanoseconds; /* from begin to the last byte, and its checksum */
};

struct reads;

/*
 * Begins to read. Items that follow one another in one file become one request of up to 512 KiB, in
 * the list's order. The places must stay mapped and nobody else may touch them until
 * reads_wait() or reads_free() has returned. An empty list is fine and starts nothing.
 */
int reads_begin(struct reads **out, const struct read_list *list,
                const struct reads_options *options, struct thaw_error *err);

/* Waits for the end. Afterwards nothing is in flight, whatever it returns. A file that ends
 * early is THAW_FAIL_SNAPSHOT_SHORT, anything else THAW_FAIL_IO; the sentence names the offset. */
int reads_wait(struct reads *reads, struct reads_result *result, struct thaw_error *err);

/* Also without reads_wait(): what is in flight is awaited, the rest not begun. NULL is fine. */
void reads_free(struct reads *reads);

static inline void cleanup_reads_fn(struct reads **reads)
{
    reads_free(*reads);
}
#define cleanup_reads cleanup(cleanup_reads_fn)

/* Waits until nothing is in flight, and forgets what came back: before the ring goes whose requests
 * write to memory, or that memory. `queued`: requests that have not come back, whether the kernel
 * has heard of them or not. */
struct io_uring;
void uring_drain(struct io_uring *ring, unsigned queued);

/* Whether this process may use io_uring. Costs one system call that creates nothing. */
bool uring_is_allowed(void);

#endif
