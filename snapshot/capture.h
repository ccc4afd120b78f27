/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking a snapshot of a running machine, once: capture_begin() before the guest boots, so that a
 * path that cannot be written is found at once; capture_due() whenever something was heard or time
 * has passed; capture_take() when it says so.
 */
#ifndef THAW_SNAPSHOT_CAPTURE_H
#define THAW_SNAPSHOT_CAPTURE_H

#include "snapshot/meta.h"
#include "snapshot/publish.h"
#include "snapshot/runs.h"

struct capture_config {
    struct snapshot_resources want;
    bool sync;                   /* the snapshot is on the disk when capture_take() returns */
    bool anyway;                 /* take it although the guest never got ready (wall clock) */
    int stream_fd;               /* where a stream (out_path "-") goes; borrowed */
    uint64_t started_ns;         /* CLOCK_MONOTONIC of the process's start */
    const char *kernel, *rootfs; /* paths of what it booted from; NULL: none */
    const struct machine_devices *devices; /* what the machine was made with; borrowed */
    const struct snapshot_meta *parent; /* of the snapshot that it was restored from; NULL: none */
    const struct page_runs *backed;     /* see memory_file_write(); NULL: none */
    const struct mailbox_content *mailbox; /* what init was told; borrowed; NULL: nothing */
    bool terminal;
    const char *const *entrypoint; /* see struct snapshot_meta */
    size_t entrypoint_count;
    /* See struct quiesce_config: also asked before the snapshot is published. */
    int (*interrupted)(void *ctx, struct thaw_error *err);
    void *ctx;
};

/* What came of it. */
struct capture_report {
    bool taken;
    enum snapshot_trigger trigger;
    enum snapshot_point point;
    struct snapshot_times times;
    unsigned pauses;       /* how often the guest was stopped to look */
    uint64_t memory_bytes; /* of the guest's RAM */
    uint64_t data_bytes;   /* of its pages that are not zeros */
    uint64_t write_ns;     /* from the end of the pause until it was published */
};

struct capture {
    struct capture_config config;
    struct publish publish;
    struct capture_report report;
};

/* `capture` may be passed to capture_end() whatever the result. */
int capture_begin(struct capture *capture, const struct capture_config *config,
                  struct thaw_error *err);
void capture_end(struct capture *capture);
#define cleanup_capture cleanup(capture_end)

/* What the mailbox has to ask the guest for, so that the triggers can fire. */
void capture_prepare_mailbox(const struct snapshot_resources *want,
                             struct mailbox_content *mailbox);

/* The trigger that fires now; SNAPSHOT_TRIGGER_NONE: not yet. */
enum snapshot_trigger capture_due(const struct capture *capture, const struct machine *machine,
                                  const struct guest_observation *seen);

/* CLOCK_MONOTONIC when to ask again even if nothing was heard; 0: no need. */
uint64_t capture_wakeup_ns(const struct capture *capture, const struct machine *machine);

/*
 * Quiesces the machine, writes the snapshot and publishes it. Afterwards the machine is stopped and
 * of no more use: see rehearsal.h. After a failure nothing is left where the snapshot should be.
 * THAW_FAIL_NOT_READY: the wall clock fired although something else was asked for. Otherwise the
 * failures of snapshot_quiesce() and of writing (THAW_FAIL_IO).
 */
int capture_take(struct capture *capture, struct machine *machine, enum snapshot_trigger trigger,
                 struct guest_observation *seen, struct thaw_error *err);

#endif
