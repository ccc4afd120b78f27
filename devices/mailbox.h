/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's side of the mailbox (guest/include/thaw/mailbox.h): the window at
 * THAW_MAILBOX_GPA through which a guest learns who it is now, what time it is, fresh random
 * bits, and what to run.
 *
 * Write and clear only while no vCPU runs. The report is the guest's word and may change while
 * it is copied: good for timing, trusted for nothing.
 */
#ifndef THAW_DEVICES_MAILBOX_H
#define THAW_DEVICES_MAILBOX_H

#include "thaw/mailbox.h"
#include "vmm/base/memory.h"

#include <stdbool.h>
#include <stddef.h>

/* What the caller decides; all zeroes is a mailbox that only gives identity, time and entropy.
 * Everything is borrowed for the call. */
struct mailbox_content {
    bool hold;             /* send workload-pre-exec, then wait for the doorbell */
    bool listeners;        /* watch for listeners and say so */
    uint32_t heartbeat_ms; /* send heartbeats with this period, 1 to 60000; 0: none */

    /* The invocation: argv replaces process.args when it is given, env adds to process.env.
     * NULL-terminated, or NULL for none. Each env entry is "KEY=value". */
    const char *const *argv;
    const char *const *env;

    /* With has_stdin, these bytes are the workload's whole stdin; stdin_len may be 0. */
    bool has_stdin;
    const void *stdin_data;
    size_t stdin_len; /* at most THAW_MAILBOX_STDIN_MAX */

    const char *hostname; /* at most 64 bytes; NULL or empty: keep */
    uint8_t mac[6];       /* all zero: keep */
    uint8_t ipv4[4];
    uint8_t ipv4_prefix; /* 1 to 32; 0: no IPv4 settings */
    uint8_t ipv4_gateway[4];
};

/*
 * Fills the window: header and body, a new generation and 64 new bytes of entropy from
 * getrandom(2), the wall clock of this moment, the checksum; and zeroes the report, so that its
 * marks are of this run. What an earlier body left behind the new one is wiped.
 *
 * -E2BIG when stdin is over THAW_MAILBOX_STDIN_MAX, or argv, env and stdin together are over
 * THAW_MAILBOX_BODY_MAX; -EINVAL for an env entry without a key, a hostname over 64 bytes or a
 * prefix over 32 (THAW_FAIL_USAGE, the sentence names it). The window is unchanged then.
 */
int mailbox_write(const struct guest_memory *mem, const struct mailbox_content *content,
                  struct thaw_error *err);

/* Copies out what init has stored since mailbox_write(). */
int mailbox_read_report(const struct guest_memory *mem, struct thaw_mailbox_report *report,
                        struct thaw_error *err);

/* Zeroes the entropy. Call it before any capture: init has zeroed it after use, but a snapshot
 * must not depend on the guest for that. The checksum no longer fits afterwards: a guest that
 * looks again finds no mailbox until the next mailbox_write(). */
int mailbox_clear_entropy(const struct guest_memory *mem, struct thaw_error *err);

#endif
