/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest is made of before there is one: kernel, command line, initramfs, workload. */
#ifndef THAW_CLI_GUEST_FILES_H
#define THAW_CLI_GUEST_FILES_H

#include "vmm/bundle/bundle.h"
#include "vmm/cli/run_options.h"

struct guest_files {
    struct bundle *bundle; /* NULL without --bundle */
    char rootfs[4096];     /* path of the packed root file system */
    char kernel[4096];
    char cmdline[ARCH_CMDLINE_MAX];
    struct initramfs initramfs;
};

/* Finds and loads what the options name. `files` is zeroed by the caller, who destroys
 * `files->bundle` whatever the result. */
int guest_files_collect(struct guest_files *files, const struct run_options *o,
                        struct thaw_error *err);

/* `--export`: writes `initramfs` and `cmdline` to a directory, for another monitor. */
int guest_files_export(const struct guest_files *files, const char *directory,
                       struct thaw_error *err);

#endif
