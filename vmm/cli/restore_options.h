/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `thaw restore`. */
#ifndef THAW_CLI_RESTORE_OPTIONS_H
#define THAW_CLI_RESTORE_OPTIONS_H

#include "snapshot/restore.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/snapshot_options.h"

/* Strings are those of argv and environ. */
struct restore_options {
    struct restore_config config; /* its path, modes and relocations */
    const char *console, *input;  /* NULL: not given */
    struct mailbox_content mailbox;
    char **args;
    size_t arg_count;
    const char *env[CLI_ENV_MAX + 1]; /* NULL at the end */
    size_t env_count;
    struct snapshot_options snapshot;
    uint64_t timeout_ns;
    bool timing, json;
};

/* As run_options_parse(). `record`: the options are those of record-workingset. */
int restore_options_parse(struct restore_options *o, bool record, int argc, char **argv,
                          struct thaw_error *err);

#endif
