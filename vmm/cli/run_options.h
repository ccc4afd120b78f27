/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `thaw run`. */
#ifndef THAW_CLI_RUN_OPTIONS_H
#define THAW_CLI_RUN_OPTIONS_H

#include "devices/machine.h"
#include "vmm/bundle/bundle.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/snapshot_options.h"

/* Strings are those of argv and environ. */
struct run_options {
    const char *bundle, *kernel, *initrd, *cmdline_extra, *console, *warmup, *export_directory;
    uint64_t memory, cpus, timeout_ns;
    struct machine_devices devices;
    struct mailbox_content mailbox; /* for a bundle */
    struct snapshot_options snapshot;
    char **args;                                  /* what came after "--": the command line */
    size_t arg_count;                             /* 0: the bundle's own */
    struct bundle_disk mounts[MACHINE_DISKS_MAX]; /* those of the disks that have one */
    size_t mount_count;
    const char *env[CLI_ENV_MAX]; /* KEY=VALUE each */
    size_t env_count;
    char image[4096]; /* directory of the image that was named: `bundle`, then */
    bool json;
};

/* Fills `o`. 0: go on; 1: help was printed; negative: `err` is filled, THAW_FAIL_USAGE and its
 * like. Some words of argv are cut up, and belong to `o` from then on. */
int run_options_parse(struct run_options *o, int argc, char **argv, struct thaw_error *err);

#endif
