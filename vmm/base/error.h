/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: every fallible function returns 0 or a negative errno and fills a struct thaw_error.
 *
 * Nothing below vmm/cli prints or exits; the command line prints one line, `thaw: what: why`.
 * Callers add context on the way up with thaw_context(). No function here allocates.
 */
#ifndef THAW_BASE_ERROR_H
#define THAW_BASE_ERROR_H

#include <stdarg.h>

/*
 * What went wrong, as a user or a script tells failures apart. The names (thaw_failure_name)
 * and the values are stable: they are printed, put into --json and used as exit codes.
 */
enum thaw_failure {
    THAW_FAIL_NONE = 0,
    THAW_FAIL_INTERNAL = 1,      /* "internal": a system call failed where none should */
    THAW_FAIL_USAGE = 2,         /* "usage": the command line is wrong */
    THAW_FAIL_KVM = 3,           /* "kvm-unavailable": /dev/kvm is missing, unreadable or too old */
    THAW_FAIL_HOST = 4,          /* "host-unsupported": this kind of host cannot run the guest */
    THAW_FAIL_KERNEL = 5,        /* "kernel-invalid": the kernel image is missing or unusable */
    THAW_FAIL_INITRAMFS = 6,     /* "initramfs-invalid": missing, or does not fit in memory */
    THAW_FAIL_BUNDLE = 7,        /* "bundle-invalid": no config.json, no root file system */
    THAW_FAIL_CONFIG = 8,        /* "config-invalid": config.json is malformed or asks too much */
    THAW_FAIL_MEMORY = 9,        /* "memory-invalid": zero, out of range, more than the host has */
    THAW_FAIL_IO = 10,           /* "io": a file could not be read or written */
    THAW_FAIL_TIMEOUT = 11,      /* "timeout": --timeout ran out */
    THAW_FAIL_INTERRUPTED = 12,  /* "interrupted": a signal ended thaw before the workload ran */
    THAW_FAIL_GUEST_INIT = 13,   /* "guest-init": init-oci could not prepare the workload */
    THAW_FAIL_GUEST_PANIC = 14,  /* "guest-panic": the guest kernel panicked */
    THAW_FAIL_GUEST_REBOOT = 15, /* "guest-reboot": the guest asked for a reset */
    THAW_FAIL_GUEST_SHUTDOWN = 16, /* "guest-shutdown": powered off with no workload status */
    THAW_FAIL_TRIPLE_FAULT = 17,   /* "guest-triple-fault" */
    THAW_FAIL_KVM_INTERNAL = 18,   /* "kvm-internal-error": KVM could not run the guest on */
    THAW_FAIL_IMAGE = 19,          /* "image": thaw-image failed or is not installed */

    /* Snapshots. 20 to 27: it was refused before anything ran. */
    THAW_FAIL_SNAPSHOT = 20,         /* "snapshot-invalid": damaged, or not a snapshot */
    THAW_FAIL_SNAPSHOT_ARCH = 21,    /* "snapshot-arch": of another architecture */
    THAW_FAIL_SNAPSHOT_VERSION = 22, /* "snapshot-version": of a newer format */
    THAW_FAIL_SNAPSHOT_CPU = 23,     /* "snapshot-cpu": needs CPU features that are not here */
    THAW_FAIL_SNAPSHOT_MISSING = 24, /* "snapshot-missing": one of its files is not there */
    THAW_FAIL_SNAPSHOT_SHORT = 25,   /* "snapshot-short": a file is shorter than it should be */
    THAW_FAIL_SNAPSHOT_LINK = 26,    /* "snapshot-link": a link or special file in its place */
    THAW_FAIL_SNAPSHOT_DISK = 27,    /* "snapshot-disk": a disk is not the one it was made with */

    /* Making them. */
    THAW_FAIL_NOT_READY = 28, /* "guest-not-ready": the trigger that was asked for never fired */
    THAW_FAIL_ENDED = 29,     /* "guest-ended": the guest was over before the trigger */
    THAW_FAIL_QUIESCE = 30,   /* "guest-not-quiet": the deadline passed with something in flight */
};

#define THAW_ERROR_MESSAGE_MAX 512

struct thaw_error {
    int code;                  /* positive errno; 0 while nothing failed */
    enum thaw_failure failure; /* THAW_FAIL_NONE while nothing failed */
    char message[THAW_ERROR_MESSAGE_MAX];
};

/* Fills `err` with "<what>: <strerror(code)>" and THAW_FAIL_INTERNAL; `code` is a positive
 * errno. Returns -code, so that callers can `return thaw_fail(err, errno, "KVM_CREATE_VM")`. */
__attribute__((format(printf, 3, 4))) int thaw_fail(struct thaw_error *err, int code,
                                                    const char *what, ...);

/* The same with THAW_FAIL_IO: a file or descriptor that the user named, or that was made for him.
 */
__attribute__((format(printf, 3, 4))) int thaw_fail_io(struct thaw_error *err, int code,
                                                       const char *what, ...);

/* The same with a failure of its own and the whole sentence given: `why` holds "what: why". */
__attribute__((format(printf, 4, 5))) int
thaw_fail_as(struct thaw_error *err, enum thaw_failure failure, int code, const char *why, ...);

/* Puts "<what>: " before the message. Returns the negative code, for `return thaw_context(...)`.
 */
__attribute__((format(printf, 2, 3))) int thaw_context(struct thaw_error *err, const char *what,
                                                       ...);

/* Replaces the failure kind where a caller knows better (a missing file is a missing kernel).
 * Returns the negative code. */
int thaw_reclassify(struct thaw_error *err, enum thaw_failure failure);

/* Negative code of a filled error; 0 of an empty one. */
int thaw_error_code(const struct thaw_error *err);

/* The stable name: "kernel-invalid" and so on; "none" for THAW_FAIL_NONE. Static storage. */
const char *thaw_failure_name(enum thaw_failure failure);

#endif
