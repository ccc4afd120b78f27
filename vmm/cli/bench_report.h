/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of `thaw bench` as numbers: what the bench has seen from outside, and the JSON object
 * that `thaw run --json` or `restore --json` leaves on stderr. That text is taken for what it is:
 * lines of a guest come before it, and whatever a key holds may be missing or of another type.
 * Pure.
 */
#ifndef THAW_CLI_BENCH_REPORT_H
#define THAW_CLI_BENCH_REPORT_H

#include "vmm/base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

enum bench_kind { BENCH_BOOT, BENCH_RESTORE, BENCH_CAPTURE };

enum bench_figure {
    /* Moments, ms after the spawn. */
    BENCH_MAIN,
    BENCH_KVM_RUN,
    BENCH_FIRST_EXIT,
    BENCH_HELLO,
    BENCH_PRE_EXEC,
    BENCH_EXEC,
    BENCH_FIRST_BYTE,      /* written by the monitor */
    BENCH_FIRST_BYTE_READ, /* read by the bench */
    BENCH_EXIT,
    BENCH_PUBLISHED, /* the snapshot is in its place */
    BENCH_END,       /* of the process */
    /* What a load is spent on, ms, in its order. REST is what none of the others has. */
    BENCH_LOAD_OPEN,
    BENCH_LOAD_MAP,
    BENCH_LOAD_VM,
    BENCH_LOAD_MEMORY,
    BENCH_LOAD_STATE,
    BENCH_LOAD_DEVICES,
    BENCH_LOAD_MAILBOX,
    BENCH_LOAD_REST,
    /* A capture: ms, bytes, bytes, 10^6 bytes a second. */
    BENCH_TRIGGER,
    BENCH_QUIESCE,
    BENCH_COPY,
    BENCH_PAUSE,
    BENCH_WRITE,
    BENCH_PAUSES,
    BENCH_MEMORY_BYTES,
    BENCH_DATA_BYTES,
    BENCH_DATA_RATE,
    /* Of the virtual CPUs' threads after a restore. */
    BENCH_VCPU_MINOR_FAULTS,
    BENCH_VCPU_MAJOR_FAULTS,
    BENCH_VCPU_KERNEL,
    BENCH_GUEST_INIT, /* ms of the guest's clock, from waking up to the workload's exec */
    /* Returns from KVM_RUN. */
    BENCH_EXITS_IO,
    BENCH_EXITS_MMIO,
    BENCH_EXITS_OTHER,
    BENCH_EXITS_INTERRUPTED,
    BENCH_EXITS_TO_EXEC,
    /* Of the whole process: faults, ms, bytes. */
    BENCH_MINOR_FAULTS,
    BENCH_MAJOR_FAULTS,
    BENCH_USER,
    BENCH_SYSTEM,
    BENCH_MAX_RSS,
    BENCH_FIGURES
};

/* What came of one run; a figure that it does not have is NAN. */
struct bench_run {
    double figure[BENCH_FIGURES];
    int status; /* the process's exit status */
};

/* What was seen from outside. */
struct bench_outcome {
    uint64_t spawn_ns, first_byte_ns, end_ns; /* CLOCK_MONOTONIC; first_byte_ns 0: there was none */
    int wait_status;                          /* as wait4() gives it */
    struct rusage usage;
    const char *text; /* of stderr, the last part when there was much; borrowed */
    size_t text_size;
};

/*
 * Makes numbers of it. A workload may end with any status; but when the process was killed, left no
 * report, had a failure of its own, or no guest ran (or, of a capture, nothing was captured), that
 * is the error: with the failure's own number when the report has one, and on one line whatever was
 * said.
 */
int bench_report_read(enum bench_kind kind, const struct bench_outcome *outcome,
                      struct bench_run *run, struct thaw_error *err);

#endif
