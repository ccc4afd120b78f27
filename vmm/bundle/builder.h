/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of config.json, one function per part, each reading its properties and appending
 * records to the spec. Called by bundle_load() only, in the order in which they stand here.
 */
#ifndef THAW_BUNDLE_BUILDER_H
#define THAW_BUNDLE_BUILDER_H

#include "vmm/bundle/bundle.h"
#include "vmm/bundle/config.h"
#include "vmm/bundle/spec_writer.h"

struct bundle_builder {
    const char *dir; /* as the caller gave it */
    struct bundle_options options;
    struct bundle *bundle;   /* being filled */
    struct spec_writer spec; /* being written */
};

/* process: args, env, cwd, user, capabilities, limits, terminal. */
int build_process(struct bundle_builder *builder, const struct config_value *root,
                  struct thaw_error *err);

/* process.scheduler, ioPriority, oomScoreAdj: what concerns scheduling. `process` is given. */
int build_scheduling(struct bundle_builder *builder, const struct config_value *process,
                     struct thaw_error *err);

/* process.capabilities. */
int build_capabilities(struct bundle_builder *builder, const struct config_value *process,
                       struct thaw_error *err);

/* mounts, in order; bind mounts of host paths become packs of the bundle. */
int build_mounts(struct bundle_builder *builder, const struct config_value *root,
                 struct thaw_error *err);

/* Whether an EROFS file system begins in `fd`. */
bool has_erofs(int fd);

/* The disks of the options: THAW_FAIL_IO when one has no file system that the guest knows. */
int build_disks(struct bundle_builder *builder, struct thaw_error *err);

/* linux, except for what the functions below do. Works without a `linux` object, too. */
int build_linux(struct bundle_builder *builder, const struct config_value *root,
                struct thaw_error *err);

/* linux.namespaces, the id mappings and the time offsets that need them. */
int build_namespaces(struct bundle_builder *builder, const struct config_value *linux_,
                     struct thaw_error *err);

/* linux.devices. */
int build_devices(struct bundle_builder *builder, const struct config_value *linux_,
                  struct thaw_error *err);

/* linux.resources.devices as a program for the device controller; always leaves one. */
int build_device_filter(struct bundle_builder *builder, const struct config_value *resources,
                        struct thaw_error *err);

/* linux.resources as files of cgroup v2. */
int build_resources(struct bundle_builder *builder, const struct config_value *resources,
                    struct thaw_error *err);

/* linux.seccomp as a BPF program. */
int build_seccomp(struct bundle_builder *builder, const struct config_value *linux_,
                  struct thaw_error *err);

/* A mount propagation by name ("rslave") as MS_* flags; `value` is named when it is unknown. */
int build_propagation(const struct config_value *value, const char *name, uint64_t *flags,
                      struct thaw_error *err);

#endif
