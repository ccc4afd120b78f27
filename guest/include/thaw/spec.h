/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload spec: an OCI config.json after the host has parsed, validated and flattened it.
 * The guest needs no JSON parser: the file /thaw.spec in the initramfs is this header and then
 * records, each starting at a multiple of 8 bytes, padded with zero bytes.
 *
 * Order matters where OCI says so (mounts, env). Strings are NUL-terminated and the NUL is
 * counted in the record's length; where a record holds several strings they follow each other.
 * A reader skips a record whose tag it does not know unless THAW_SPEC_CRITICAL is set in the
 * tag: then it refuses the spec. All tags below are critical except ANNOTATION.
 */
#ifndef THAW_SPEC_H
#define THAW_SPEC_H

#include <stdint.h>

#define THAW_SPEC_PATH        "/thaw.spec"          /* in the initramfs */
#define THAW_SPEC_ROOTFS      "/rootfs"             /* root.path, unpacked in the initramfs */
#define THAW_SPEC_BINDS       "/binds"              /* /binds/<n>: packed sources of bind mounts */
#define THAW_SPEC_DISKS       "/binds/disks"        /* /binds/disks/<serial>: mounted disks */
#define THAW_SPEC_ROOT_SERIAL "root"                /* of the disk with a root file system image */
#define THAW_SPEC_MAGIC       0x4345505357414854ull /* "THAWSPEC" */
#define THAW_SPEC_VERSION     1u
#define THAW_SPEC_SIZE_MAX    (1u << 20)

struct thaw_spec_header {
    uint64_t magic;
    uint32_t version;
    uint32_t length;   /* of the whole file, this header included; at most THAW_SPEC_SIZE_MAX */
    uint64_t checksum; /* XXH3-64 of everything after this header */
    uint64_t reserved;
};

struct thaw_spec_record {
    uint32_t tag;    /* enum thaw_spec_tag */
    uint32_t length; /* of the payload, padding not counted */
};

#define THAW_SPEC_CRITICAL 0x80000000u
#define THAW_SPEC_TAG(n)   (THAW_SPEC_CRITICAL | (n))

enum thaw_spec_tag {
    /* process */
    THAW_SPEC_ARG = THAW_SPEC_TAG(1),  /* string, one record per argument, at least one */
    THAW_SPEC_ENV = THAW_SPEC_TAG(2),  /* string KEY=value, one record each */
    THAW_SPEC_CWD = THAW_SPEC_TAG(3),  /* string, absolute */
    THAW_SPEC_USER = THAW_SPEC_TAG(4), /* struct thaw_spec_user, then u32 additional gids */
    THAW_SPEC_CAPABILITIES =
        THAW_SPEC_TAG(5),                /* struct thaw_spec_capabilities; absent: none at all */
    THAW_SPEC_RLIMIT = THAW_SPEC_TAG(6), /* struct thaw_spec_rlimit, one record each */
    THAW_SPEC_NO_NEW_PRIVS = THAW_SPEC_TAG(7),  /* empty */
    THAW_SPEC_OOM_SCORE_ADJ = THAW_SPEC_TAG(8), /* i32 */
    THAW_SPEC_TERMINAL = THAW_SPEC_TAG(9),      /* struct thaw_spec_terminal */
    THAW_SPEC_SECCOMP =
        THAW_SPEC_TAG(10), /* u32 SECCOMP_FILTER_FLAG_*, u32 0, then struct sock_filter[] */
    THAW_SPEC_SCHEDULER = THAW_SPEC_TAG(11),   /* struct thaw_spec_scheduler */
    THAW_SPEC_IOPRIORITY = THAW_SPEC_TAG(12),  /* i32 value for ioprio_set(2) */
    THAW_SPEC_PERSONALITY = THAW_SPEC_TAG(13), /* u32 for personality(2) */
    /* root, identity, mounts */
    THAW_SPEC_ROOT_READONLY = THAW_SPEC_TAG(20), /* empty */
    THAW_SPEC_ROOT_PROPAGATION = THAW_SPEC_TAG(
        21), /* u32 MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE with MS_REC or not */
    THAW_SPEC_HOSTNAME = THAW_SPEC_TAG(22),   /* string */
    THAW_SPEC_DOMAINNAME = THAW_SPEC_TAG(23), /* string */
    THAW_SPEC_MOUNT =
        THAW_SPEC_TAG(24), /* struct thaw_spec_mount, then source, destination, type, data */
    THAW_SPEC_MASKED_PATH = THAW_SPEC_TAG(25),   /* string, absolute */
    THAW_SPEC_READONLY_PATH = THAW_SPEC_TAG(26), /* string, absolute */
    THAW_SPEC_DEVICE = THAW_SPEC_TAG(27),        /* struct thaw_spec_device, then path */
    /* serial number of a block device, type of its file system: that is the root, and read-only;
     * writes go to a tmpfs over it unless ROOT_READONLY. Absent: THAW_SPEC_ROOTFS */
    THAW_SPEC_ROOT_DEVICE = THAW_SPEC_TAG(28),
    /* struct thaw_spec_disk, serial number of a block device, type of its file system: mounted
     * below THAW_SPEC_DISKS, the source of a bind mount with THAW_SPEC_MOUNT_PACKED */
    THAW_SPEC_DISK = THAW_SPEC_TAG(29),
    /* kernel settings */
    THAW_SPEC_NAMESPACES = THAW_SPEC_TAG(40), /* u64 CLONE_NEW* flags; never CLONE_NEWNET */
    THAW_SPEC_UID_MAP = THAW_SPEC_TAG(41),    /* struct thaw_spec_id_map, one record each */
    THAW_SPEC_GID_MAP = THAW_SPEC_TAG(42),
    THAW_SPEC_SYSCTL = THAW_SPEC_TAG(43), /* key (dots or slashes as given), value */
    THAW_SPEC_CGROUP_FILE =
        THAW_SPEC_TAG(44), /* file name in the workload's cgroup, value to write */
    THAW_SPEC_CGROUP_PATH =
        THAW_SPEC_TAG(45), /* string, absolute below the cgroup root; absent: /workload */
    THAW_SPEC_DEVICE_FILTER =
        THAW_SPEC_TAG(46), /* struct bpf_insn[]: a BPF_PROG_TYPE_CGROUP_DEVICE program */
    THAW_SPEC_TIME_OFFSET =
        THAW_SPEC_TAG(47), /* i64 clock id, i64 seconds, i64 nanoseconds (CLONE_NEWTIME) */
    /* the bake */
    THAW_SPEC_WARMUP = THAW_SPEC_TAG(60), /* string: run by /bin/sh -c in the root file system */
    THAW_SPEC_ANNOTATION = 61,            /* key, value */
};

#define THAW_SPEC_NO_UMASK 0xffffffffu

struct thaw_spec_user {
    uint32_t uid, gid;
    uint32_t umask; /* THAW_SPEC_NO_UMASK: leave 0022 */
    uint32_t additional_gid_count;
};

struct thaw_spec_capabilities {
    uint64_t bounding, effective, inheritable, permitted, ambient; /* bit n is capability n */
};

struct thaw_spec_rlimit {
    uint32_t resource, reserved; /* RLIMIT_* */
    uint64_t soft, hard;         /* RLIM_INFINITY is ~0 */
};

struct thaw_spec_terminal {
    uint16_t rows, cols; /* 0: not given */
};

struct thaw_spec_scheduler { /* as struct sched_attr, kernel's Documentation/scheduler */
    uint32_t policy;
    int32_t nice;
    uint32_t priority;
    uint32_t reserved;
    uint64_t flags, runtime, deadline, period;
};

enum thaw_spec_mount_flags {
    THAW_SPEC_MOUNT_TMPCOPYUP = 1u << 0, /* copy what is at the destination into the new tmpfs */
    THAW_SPEC_MOUNT_PACKED =
        1u << 1, /* source is below THAW_SPEC_BINDS in the initramfs, not in the root */
    THAW_SPEC_MOUNT_RECURSIVE_RO = 1u << 2,
};

struct thaw_spec_disk {
    uint64_t flags; /* MS_RDONLY or 0 */
};

struct thaw_spec_mount {
    uint64_t flags;       /* MS_* for the mount itself */
    uint64_t propagation; /* MS_SHARED and friends with MS_REC or not; 0: none asked */
    uint32_t extra;       /* enum thaw_spec_mount_flags */
    uint32_t reserved;
};

struct thaw_spec_device {
    uint32_t mode; /* S_IFCHR, S_IFBLK or S_IFIFO and the permission bits */
    uint32_t uid, gid;
    uint32_t major, minor;
    uint32_t reserved;
};

struct thaw_spec_id_map {
    uint32_t container_id, host_id, size, reserved;
};

#endif
