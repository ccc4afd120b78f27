/* SPDX-License-Identifier: Apache-2.0 */
/* One child of `thaw bench`: this program, started, listened to, timed and reaped. */
#ifndef THAW_CLI_BENCH_RUN_H
#define THAW_CLI_BENCH_RUN_H

#include "vmm/cli/bench_report.h"

#include <signal.h>

struct bench_child_config {
    char *const *argv;   /* from "thaw" on, ends with NULL */
    int signal_fd;       /* a signalfd: what ends the bench, and the child with it */
    sigset_t child_mask; /* the signals that the child has blocked */
};

/* Of stderr at least this much is kept, from its end; a report is never as long. */
#define BENCH_TEXT_MAX (256u << 10)

/*
 * Runs it to its end with nothing on stdin, drains stdout, keeps stderr. `outcome->text` is in
 * `*text`, which the caller frees, whatever the result. THAW_FAIL_INTERRUPTED when a signal came:
 * then the child is gone all the same.
 */
int bench_child_run(const struct bench_child_config *config, struct bench_outcome *outcome,
                    char **text, struct thaw_error *err);

/* Reads a signal that waits in `signal_fd`, and makes an error of it. 0: there is none. */
int bench_check_signal(int signal_fd, struct thaw_error *err);

#endif
