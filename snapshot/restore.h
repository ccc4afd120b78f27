/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a snapshot to a machine that is ready to run:
 *
 *   restore_open()    reads and checks everything but the pages themselves; then `meta` can be
 *                     looked at, and the plan shown
 *   restore_build()   memory, VM, devices, state, mailbox
 *   machine_start()
 *   restore_running() what goes on beside the guest
 *   restore_stop()    before the machine is destroyed
 *   restore_close()
 *
 * A snapshot is hostile input: it is refused before KVM has seen any of it. One thread.
 */
#ifndef THAW_SNAPSHOT_RESTORE_H
#define THAW_SNAPSHOT_RESTORE_H

#include "snapshot/load.h"
#include "snapshot/meta.h"
#include "snapshot/publish.h"
#include "snapshot/recorder.h"
#include "snapshot/stream.h"

/* A piece of the host's that is elsewhere than it was: "--disk root=/srv/root.img". */
struct relocation {
    const char *name, *path;
};

struct restore_config {
    const char *path; /* of the snapshot's directory; "-": a stream from stream_fd */
    int stream_fd;    /* borrowed */
    int end_fd;       /* of a stream: see stream_end_with(); borrowed */
    enum restore_mode mode;
    enum arch_clock clock;
    bool verify;      /* read every page and compare its checksum, before anything runs */
    bool hold;        /* leave the guest where it stands until restore_wake() */
    bool record;      /* take notes of the pages that the guest wants, see restore_record() */
    bool no_io_uring; /* read by threads, as where it is refused */
    bool explain;     /* the plan will be shown */

    unsigned disk_count;
    struct relocation disks[MACHINE_DISKS_MAX];
    struct net_config nets[MACHINE_NETS_MAX]; /* eth0...; tap NULL and fd -1: as it was */
    const char *vsock_path;                   /* NULL: as it was */

    struct ports_config ports; /* the standard streams */
    int console_fd;
    bool console_moves; /* see struct machine_config */
};

/* CLOCK_MONOTONIC at the end of each phase; 0: not reached. */
struct restore_times {
    uint64_t begun_ns, opened_ns, mapped_ns, created_ns, memory_ns, state_ns, devices_ns, ready_ns;
};

struct restore {
    struct restore_config config;
    int dir_fd, memory_fd, kvm_fd; /* -1 when there is none */
    struct publish disks;          /* where the disks of a stream go */
    struct stream_reader *stream;
    bool packed;
    struct snapshot_state state;
    struct arch_state_view view; /* of `state`; filled by restore_build() */
    struct snapshot_meta *meta;  /* NULL: not known (yet) */
    struct memory_map map;
    struct page_runs written; /* by its first steps; see written.h */
    bool has_working_set;
    struct working_set working_set;
    struct restore_plan plan;
    struct memory_load *load;
    struct recorder *recorder;
    struct machine_devices devices; /* what the machine is built with */
    struct restore_times times;
};

/* `restore` may be passed to restore_close() whatever the result. The failures are
 * THAW_FAIL_SNAPSHOT and its like; what is missing is named. */
int restore_open(struct restore *restore, const struct restore_config *config,
                 struct thaw_error *err);

/*
 * Builds the machine. `mailbox` is what this clone is told, when its init waits for that (meta:
 * has_mailbox); otherwise it is not looked at. Nothing runs yet. For `mailbox->hold`, see
 * capture_prepare_mailbox().
 */
int restore_build(struct restore *restore, const struct mailbox_content *mailbox,
                  struct machine **machine, struct thaw_error *err);

/* Of a restore with `hold`, and once: tells init, as restore_build() does otherwise. The guest
 * stands still for the moment. */
int restore_wake(struct restore *restore, struct machine *machine,
                 const struct mailbox_content *mailbox, struct thaw_error *err);

/* Reads every page, the working set and the disks' files, and compares their checksums. */
int restore_verify(struct restore *restore, void (*progress)(void *ctx, uint64_t pages), void *ctx,
                   struct thaw_error *err);

/* Of a restore with `record` whose guest does not run (any more): writes the working set into the
 * snapshot's directory. Before restore_stop(). */
struct record_report {
    uint64_t pages;   /* that the guest wanted and that are not zeros */
    bool approximate; /* from the page tables: no order, and some too many */
};
int restore_record(struct restore *restore, struct record_report *report, struct thaw_error *err);

void restore_running(struct restore *restore);
void restore_stop(struct restore *restore);
void restore_close(struct restore *restore);

#endif
