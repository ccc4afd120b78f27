/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The section `meta` of a snapshot, JSON text for people and programs: how it came about, and of
 * what the machine is made that a restore has to build again.
 */
#ifndef THAW_SNAPSHOT_META_H
#define THAW_SNAPSHOT_META_H

#include "devices/machine.h"
#include "snapshot/disks.h"
#include "snapshot/trigger.h"
#include "vmm/base/blob.h"

/* Where the guest stands, and so what wakes it. */
enum snapshot_point {
    SNAPSHOT_POINT_PRE_EXEC, /* init waits before execve: a restore brings its own invocation */
    SNAPSHOT_POINT_QUIESCED, /* init waits, the workload is frozen: a restore lets it go on */
    SNAPSHOT_POINT_RUNNING, /* at any instruction: a guest without init, or one that still booted */
};
const char *snapshot_point_name(enum snapshot_point point);

struct snapshot_net {
    char tap[32]; /* name of the interface; "": a descriptor, which a restore has to be given */
    uint8_t mac[6];
    uint16_t mtu;
};

#define SNAPSHOT_ENTRYPOINT_MAX 4096u /* bytes */

struct snapshot_file {
    char path[PATH_MAX];
    uint64_t size;
    char xxh3[33]; /* XXH3-128 in hexadecimal */
};

/* What init was told of eth0; prefix 0: nothing. */
struct snapshot_ipv4 {
    uint8_t address[4], prefix, gateway[4];
};

struct snapshot_times {
    double boot_ms;    /* process start to the first KVM_RUN */
    double trigger_ms; /* first KVM_RUN to the trigger */
    double quiesce_ms; /* the trigger to the guest at rest */
    double capture_ms; /* at rest to the last byte of memory and state written */
    double pause_ms;   /* the last part of it: its vCPUs stand still */
};

struct snapshot_meta {
    char version[32]; /* of thaw */
    char created[32]; /* UTC, ISO 8601 */
    char host[128];   /* kernel release and kind of KVM, for people */
    enum snapshot_trigger trigger;
    enum snapshot_point point;
    struct snapshot_times times;
    unsigned generation; /* 1: of a booted guest; 2: of a restored one... */

    uint64_t memory_size;
    unsigned vcpus;
    char init_version[CONTROL_VERSION_MAX + 1]; /* "": no hello was said */
    bool has_mailbox;
    bool terminal; /* the workload has a pty */
    /* Arguments that those of a restore are appended to: NUL-terminated, one after the other. */
    unsigned entrypoint_count;
    char entrypoint[SNAPSHOT_ENTRYPOINT_MAX];
    struct snapshot_file kernel, rootfs; /* what it booted from, for people; path "": nothing */

    unsigned disk_count, net_count;
    struct disk_record disks[MACHINE_DISKS_MAX];
    struct snapshot_net nets[MACHINE_NETS_MAX];
    struct snapshot_ipv4 ipv4;
    struct {
        bool present;
        char path[108];
        uint64_t cid;
    } vsock;
    struct {
        bool present;
        uint64_t bytes_per_second, burst;
    } rng;
    struct {
        bool present, reporting;
        uint32_t target_pages;
    } balloon;
    bool has_ports;

    unsigned omitted_count; /* MSRs that the host would not take back */
    uint32_t omitted[ARCH_OMITTED_MAX];
};

/* Sets the entrypoint. THAW_FAIL_USAGE when it is too long. */
int snapshot_meta_set_entrypoint(struct snapshot_meta *meta, const char *const *args, size_t count,
                                 struct thaw_error *err);

/* Fills size and hash of the file at `path`; what cannot be read is left out: it is of no use but
 * to people. NULL or "": nothing. */
void snapshot_file_describe(struct snapshot_file *file, const char *path);

/* As JSON text with a newline at its end. */
int snapshot_meta_encode(const struct snapshot_meta *meta, struct blob *text,
                         struct thaw_error *err);

/* Checks everything that a machine is built from. `*meta` is for snapshot_meta_free(); NULL on
 * failure. THAW_FAIL_SNAPSHOT: the sentence names the key. */
int snapshot_meta_decode(struct snapshot_meta **meta, const void *text, size_t size,
                         struct thaw_error *err);
/* NULL is allowed. */
void snapshot_meta_free(struct snapshot_meta *meta);

#endif
