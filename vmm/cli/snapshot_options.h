/* SPDX-License-Identifier: Apache-2.0 */
/* The options that ask for a snapshot: `--snapshot-on-pre-exec` and so on, of run and of restore.
 */
#ifndef THAW_CLI_SNAPSHOT_OPTIONS_H
#define THAW_CLI_SNAPSHOT_OPTIONS_H

#include "snapshot/format.h"
#include "snapshot/trigger.h"
#include "vmm/base/error.h"

#include <getopt.h>

struct snapshot_options {
    struct snapshot_resources want;
    bool sync, anyway;
};

enum {
    OPT_SNAPSHOT_FIRST = 512,
    OPT_SNAPSHOT_OUT = OPT_SNAPSHOT_FIRST,
    OPT_SNAPSHOT_ON_PRE_EXEC,
    OPT_SNAPSHOT_ON_LISTENER,
    OPT_SNAPSHOT_AT_HEARTBEAT,
    OPT_SNAPSHOT_AFTER_MS,
    OPT_SNAPSHOT_QUIESCE_MS,
    OPT_SNAPSHOT_ANYWAY,
    OPT_SNAPSHOT_SYNC,
};

/* For a table of getopt_long(). */
#define SNAPSHOT_LONG_OPTIONS                                                                      \
    {"snapshot-out", required_argument, NULL, OPT_SNAPSHOT_OUT},                                   \
        {"snapshot-on-pre-exec", no_argument, NULL, OPT_SNAPSHOT_ON_PRE_EXEC},                     \
        {"snapshot-on-listener", no_argument, NULL, OPT_SNAPSHOT_ON_LISTENER},                     \
        {"snapshot-at-heartbeat", required_argument, NULL, OPT_SNAPSHOT_AT_HEARTBEAT},             \
        {"snapshot-after-ms", required_argument, NULL, OPT_SNAPSHOT_AFTER_MS},                     \
        {"snapshot-quiesce-ms", required_argument, NULL, OPT_SNAPSHOT_QUIESCE_MS},                 \
        {"snapshot-anyway", no_argument, NULL, OPT_SNAPSHOT_ANYWAY},                               \
    {                                                                                              \
        "sync", no_argument, NULL, OPT_SNAPSHOT_SYNC                                               \
    }

/* Takes one of them, with optarg. THAW_FAIL_USAGE. */
int snapshot_option_set(struct snapshot_options *options, int option, struct thaw_error *err);

/* Whether they make sense together. */
int snapshot_options_check(const struct snapshot_options *options, struct thaw_error *err);

static inline bool snapshot_takes_stdout(const struct snapshot_options *options)
{
    return snapshot_is_stream(options->want.out_path);
}

/* Their lines of `--help`. */
extern const char snapshot_options_help[];

#endif
