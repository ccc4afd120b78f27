/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executes a restore plan over guest memory that nobody has touched yet:
 *
 *   memory_load_begin()      maps, and starts the reads
 *   memory_load_copy()       a thread copies the pages that the guest will write at once
 *     ... the VM, its interrupt chips and its vCPUs are made ...
 *   memory_load_wait()       every read is done and checked, every page copied
 *     ... KVM_RUN ...
 *   memory_load_populate()   a thread maps in what the guest will soon want
 *     ... the VM ends, its memory is destroyed ...
 *   memory_load_free()
 */
#ifndef THAW_SNAPSHOT_LOAD_H
#define THAW_SNAPSHOT_LOAD_H

#include "snapshot/plan.h"
#include "snapshot/workingset.h"

/* Where the pages are: what the plan was made from. */
struct memory_source {
    const struct memory_map *map;
    int memory_fd; /* as memory_file_open() gave it, or for packed memory packed_open() */
    const struct working_set *working_set; /* NULL: none */
    const struct page_runs *written;       /* see memory_load_copy(); NULL: none */
};

struct memory_load;

/*
 * Carries out everything of the plan that happens before the guest runs. `memory` has the map's
 * regions, as guest_memory_create() left them. The map and what `memory` describes are borrowed
 * until memory_load_wait() has returned, the source's descriptors until memory_load_free().
 * When it fails the guest's memory is in no defined state: destroy it.
 */
int memory_load_begin(struct memory_load **out, const struct guest_memory *memory,
                      const struct restore_plan *plan, const struct memory_source *source,
                      struct thaw_error *err);

/* Starts the thread that gives the guest its own copies of the pages in `written` of the source
 * (MADV_POPULATE_WRITE). Of no consequence like memory_load_populate(). A second call does nothing.
 * The guest may run meanwhile. */
void memory_load_copy(struct memory_load *load);
void memory_load_await_copy(struct memory_load *load);

/* What the loading did, for --explain and --json. */
struct memory_load_stats {
    uint64_t mmap_ns; /* making the mappings */
    uint64_t read_ns; /* from the first read to the last byte and its checksum, or unpacking */
    uint64_t read_bytes;
    unsigned requests; /* to the kernel */
    bool io_uring;
};

/* Waits until memory is as the plan wants it before KVM_RUN. Pages of the working set that are not
 * what was recorded are THAW_FAIL_SNAPSHOT. `stats` may be NULL. */
int memory_load_wait(struct memory_load *load, struct memory_load_stats *stats,
                     struct thaw_error *err);

/* Starts the thread that populates, when the plan has something for it. It is of no consequence:
 * where it cannot do its work the guest faults in those pages itself. */
void memory_load_populate(struct memory_load *load);

/* Ends that thread, at the latest after 2 MiB. Call it before guest memory is unmapped. */
void memory_load_stop_populate(struct memory_load *load);

/* Ends everything that still goes on. NULL is fine. */
void memory_load_free(struct memory_load *load);

static inline void cleanup_memory_load_fn(struct memory_load **load)
{
    memory_load_free(*load);
}
#define cleanup_memory_load cleanup(cleanup_memory_load_fn)

/* Looks whether the page cache holds `memory`: a few pages of the working set (NULL: of the data)
 * are asked for, none is read. Never fails: what cannot be seen counts as not probed. */
void memory_cache_observe(int memory_fd, const struct memory_map *map,
                          const struct page_runs *working_set, struct cache_observation *seen);

/*
 * After a SIGBUS at `address` (si_addr), or after KVM_RUN failed with EFAULT (`address` NULL):
 * writes a line ("thaw: memory: ... [name]\n", as failures are reported) to `line` that says which
 * page could not be read and whether the file was truncated. Returns its length; 0 when the address
 * is not guest memory that is mapped from the snapshot (then it was something else).
 * Async-signal-safe.
 */
size_t memory_load_describe_fault(const struct memory_load *load, const void *address, char *line,
                                  size_t size);

#endif
