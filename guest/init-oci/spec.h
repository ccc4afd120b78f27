/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload spec (guest/include/thaw/spec.h) as init uses it: parsed, checked, with every
 * list in the order of its records.
 *
 * Pure: no system call but allocation, so that the host's unit tests run it too. The file is
 * treated as hostile: every length and count is checked here and nowhere else.
 */
#ifndef THAW_INIT_SPEC_H
#define THAW_INIT_SPEC_H

#include "thaw/spec.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `items` is followed by a NULL, as execve(2) wants it. */
struct spec_strings {
    const char **items;
    size_t count;
};

struct spec_disk {
    struct thaw_spec_disk info;
    const char *serial, *type; /* neither is empty; the serial is a file name */
};

struct spec_mount {
    struct thaw_spec_mount info;
    const char *source, *destination, *type, *data; /* never NULL; may be empty */
};

struct spec_device {
    struct thaw_spec_device info;
    const char *path;
};

struct spec_setting {
    const char *key, *value;
};

struct spec_time_offset {
    int64_t clock; /* CLOCK_MONOTONIC or CLOCK_BOOTTIME */
    int64_t seconds, nanoseconds;
};

#define SPEC_LIST(type)                                                                            \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t count;                                                                              \
    }

struct spec {
    struct spec_strings args; /* at least one */
    struct spec_strings env;
    const char *cwd; /* absolute; "/" when the file names none */
    struct thaw_spec_user user;
    const uint32_t *additional_gids;            /* user.additional_gid_count of them */
    struct thaw_spec_capabilities capabilities; /* all zero: none */
    SPEC_LIST(struct thaw_spec_rlimit) rlimits;
    bool no_new_privs;
    bool has_oom_score_adj, has_terminal, has_scheduler, has_io_priority, has_personality;
    int32_t oom_score_adj;
    struct thaw_spec_terminal terminal;
    struct thaw_spec_scheduler scheduler;
    int32_t io_priority;
    uint32_t personality;
    uint32_t seccomp_flags;
    SPEC_LIST(const struct sock_filter) seccomp; /* count 0: no filter */

    bool root_readonly;
    const char *root_serial; /* of the disk with the root file system; NULL: THAW_SPEC_ROOTFS */
    const char *root_type;   /* of its file system; NULL when there is none */
    SPEC_LIST(struct spec_disk) disks;
    uint32_t root_propagation; /* 0: not given */
    const char *hostname;      /* NULL: not given */
    const char *domainname;    /* NULL: not given */
    SPEC_LIST(struct spec_mount) mounts;
    struct spec_strings masked_paths, readonly_paths;
    SPEC_LIST(struct spec_device) devices;

    uint64_t namespaces; /* CLONE_NEW*; always with CLONE_NEWNS, never with CLONE_NEWNET */
    SPEC_LIST(struct thaw_spec_id_map) uid_maps;
    SPEC_LIST(struct thaw_spec_id_map) gid_maps;
    SPEC_LIST(struct spec_setting) sysctls;
    SPEC_LIST(struct spec_setting) cgroup_files;    /* key: a plain file name */
    const char *cgroup_path;                        /* "/workload" when the file names none */
    SPEC_LIST(const struct bpf_insn) device_filter; /* count 0: no filter */
    SPEC_LIST(struct spec_time_offset) time_offsets;
    const char *warmup; /* NULL: none */
};

/* Why and where a spec was refused. `why` has static storage. */
struct spec_problem {
    const char *why;
    uint32_t tag;  /* of the record at `offset`, 0 for the header */
    size_t offset; /* in bytes from the start of the file */
};

/*
 * Parses `size` bytes at `data`, which is a whole file, aligned to 8 bytes, and stays unchanged
 * for as long as `spec` is used: strings and filters point into it.
 *
 * Returns 0, or a negative errno with `problem` filled: -EINVAL for a file that is damaged or
 * asks for something this version does not know, -ENOMEM. After a failure `spec` is empty; after
 * success the caller ends with spec_free().
 */
int spec_parse(const void *data, size_t size, struct spec *spec, struct spec_problem *problem);

/* Frees the lists. A zeroed spec is allowed. */
void spec_free(struct spec *spec);

/* The kernel's view of a user or group id of the workload: itself, or what the maps say when the
 * workload has a user namespace. Returns (uint32_t)-1 for an id that is not mapped. */
uint32_t spec_host_uid(const struct spec *spec, uint32_t uid);
uint32_t spec_host_gid(const struct spec *spec, uint32_t gid);

#endif
