/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a guest's memory comes back: one strategy for every page, decided before anything is mapped
 * or read, from what the snapshot holds and what the host has cached. Pure: no system calls, so
 * that a plan can be shown (--explain) and tested without a restore. load.h executes it.
 */
#ifndef THAW_SNAPSHOT_PLAN_H
#define THAW_SNAPSHOT_PLAN_H

#include "snapshot/memory_file.h"

#include <jansson.h>

enum restore_mode {
    RESTORE_AUTO,     /* what the page cache and the snapshot suggest */
    RESTORE_MAP,      /* the file mapped, every page on demand */
    RESTORE_EAGER,    /* all data read before the guest runs: for measuring */
    RESTORE_PREFETCH, /* the working set read before the guest runs, cached or not */
};

/* "auto", "map", "eager", "prefetch"; false: none of them. */
bool restore_mode_parse(const char *name, enum restore_mode *mode);
const char *restore_mode_name(enum restore_mode mode);

enum restore_strategy {
    RESTORE_STEP_ZERO,   /* left as it is: anonymous memory that nobody has touched */
    RESTORE_STEP_MAP,    /* MAP_PRIVATE of the file `memory`: data, and small holes between */
    RESTORE_STEP_READ,   /* into anonymous memory, before the guest runs */
    RESTORE_STEP_PACKED, /* decompressed from memory.zst, before the guest runs */
};
#define RESTORE_STRATEGIES 4u

/* "zero", "map", "read", "packed". */
const char *restore_strategy_name(enum restore_strategy strategy);

/* A hole of the file at least this long is anonymous memory, a shorter one is mapped with the data
 * around it. Longer where the file is so full of holes that there were more than
 * RESTORE_MAPPINGS_MAX mappings. */
#define RESTORE_HOLE_PAGES   512u
#define RESTORE_MAPPINGS_MAX 1024u

/* What was seen in the page cache: of `probed` pages of `memory`, `cached` were there. */
struct cache_observation {
    unsigned probed, cached;
};

struct plan_input {
    const struct memory_map *map;
    const struct page_runs *working_set; /* in access order, as working_set_open() checked them;
                                            NULL: none was recorded */
    struct cache_observation cache;
    bool packed; /* there is memory.zst instead of `memory` */
    enum restore_mode mode;
    bool io_uring; /* false: pread threads do the reading */
};

/* Pages [first, first+count) of one region. */
struct restore_step {
    enum restore_strategy strategy;
    unsigned region;
    uint64_t first, count;
    uint64_t source; /* READ: page of the file that is read: of the working set's pages, or (eager)
                        of `memory` */
};

struct restore_plan {
    enum restore_mode mode;
    bool warm;             /* the page cache holds what was probed */
    bool from_working_set; /* READ reads the file `workingset`, else `memory` */
    bool io_uring;
    unsigned region_count;
    struct restore_step *steps; /* ascending; together every page of RAM once */
    size_t count, capacity;
    struct page_runs populate; /* mapped, and wanted soon: MADV_POPULATE_READ beside KVM_RUN, in
                                  this order */
    const char *why[RESTORE_STRATEGIES]; /* static text; NULL: no such step */
    const char *why_populate;
    size_t mappings, reads; /* MAP and READ steps */
    uint64_t read_bytes;
};

/*
 * Makes the plan; `out` need not be initialised and is empty on failure. THAW_FAIL_USAGE: a mode
 * that this snapshot cannot do (map or prefetch of packed memory, prefetch without a working set).
 */
int restore_plan_make(const struct plan_input *input, struct restore_plan *out,
                      struct thaw_error *err);
void restore_plan_free(struct restore_plan *plan);
#define cleanup_restore_plan cleanup(restore_plan_free)

/* What --explain shows: a line per region and strategy (pages, MiB, why), then the totals. The
 * text ends with a newline and belongs to the caller; NULL: no memory. */
char *restore_plan_text(const struct restore_plan *plan);

/* The same for --json: {"mode", "page_cache", "regions": [{"region", "strategy", "pages", "bytes",
 * "steps", "why"}], "populate_pages", "mappings", "reads", "read_bytes", "engine"}. A new
 * reference; NULL: no memory. */
json_t *restore_plan_json(const struct restore_plan *plan);

#endif
