/* SPDX-License-Identifier: Apache-2.0 */
/* What a run leaves to tell: when each thing happened, what it cost, how it ended. */
#ifndef THAW_CLI_RESULT_H
#define THAW_CLI_RESULT_H

#include "snapshot/restore.h"
#include "vmm/bundle/bundle.h"
#include "vmm/cli/session.h"

struct run_result {
    uint64_t started_ns;   /* CLOCK_MONOTONIC, when the verb began */
    uint64_t first_run_ns; /* when the vCPUs were let go; 0: never */
    struct session_result session;
    struct {
        unsigned long long io, mmio, other, interrupted;
    } exits;                          /* returns from KVM_RUN, all vCPUs */
    unsigned long long exits_to_exec; /* one more than a resume took up to execve; 0: not seen */
    uint64_t first_exit_ns;           /* the first return from KVM_RUN */
    uint64_t minor_faults, major_faults, system_ns; /* of all vCPUs, see struct vcpu */
    struct capture_report capture;                  /* when one was wanted */
    struct restore_times restore;                   /* all 0 of a boot */
    struct thaw_mailbox_report guest;               /* what init has stored in the mailbox */
    struct writer_report console;
    struct ports_report streams; /* all 0 without ports */
    unsigned device_count;
    struct device_result {
        const char *name;      /* static storage */
        const char *complaint; /* see virtio_complaint() */
        uint64_t kicks, interrupts;
    } devices[ARCH_VIRTIO_MAX];
};

/* Takes the figures from a machine whose guest has ended. */
void result_collect(struct run_result *result, struct machine *machine);

/* One line for people: where the snapshot is, what fired, how long it took. */
void result_print_capture(const struct capture_report *capture, const char *path);

/* `restore --timing`: the four numbers, and the phases of the first, on stderr. */
void result_print_timing(const struct run_result *result);

/* One line of JSON to stderr (stdout is the workload's). `bundle` may be NULL; `err` is empty
 * when the workload ran. The keys are documented in thaw(1) and stable. */
void result_print_json(const struct run_result *result, const struct bundle *bundle, int status,
                       const struct thaw_error *err);

#endif
