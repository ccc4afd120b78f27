/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void set(struct thaw_error *err, enum thaw_failure failure, int code)
{
    err->failure = failure;
    err->code = code > 0 ? code : EIO;
}

/* Adds ": <tail>" after the first `used` bytes; what does not fit is cut. */
static void append(struct thaw_error *err, int used, const char *tail)
{
    size_t at = used < 0 ? 0 : (size_t)used;
    if (at < sizeof(err->message) &&
        snprintf(err->message + at, sizeof(err->message) - at, ": %s", tail) < 0)
        err->message[at] = '\0';
}

int thaw_fail(struct thaw_error *err, int code, const char *what, ...)
{
    va_list args;
    va_start(args, what);
    int used = vsnprintf(err->message, sizeof(err->message), what, args);
    va_end(args);

    set(err, THAW_FAIL_INTERNAL, code);
    const char *description = strerrordesc_np(err->code);
    append(err, used, description ? description : "unknown error");
    return -err->code;
}

int thaw_fail_as(struct thaw_error *err, enum thaw_failure failure, int code, const char *why, ...)
{
    va_list args;
    va_start(args, why);
    vsnprintf(err->message, sizeof(err->message), why, args);
    va_end(args);

    set(err, failure, code);
    return -err->code;
}

int thaw_context(struct thaw_error *err, const char *what, ...)
{
    char tail[THAW_ERROR_MESSAGE_MAX];
    memcpy(tail, err->message, sizeof(tail));

    va_list args;
    va_start(args, what);
    int used = vsnprintf(err->message, sizeof(err->message), what, args);
    va_end(args);

    append(err, used, tail);
    return thaw_error_code(err);
}

int thaw_reclassify(struct thaw_error *err, enum thaw_failure failure)
{
    err->failure = failure;
    return thaw_error_code(err);
}

int thaw_error_code(const struct thaw_error *err)
{
    return -err->code;
}

const char *thaw_failure_name(enum thaw_failure failure)
{
    switch (failure) {
    case THAW_FAIL_NONE:
        return "none";
    case THAW_FAIL_INTERNAL:
        return "internal";
    case THAW_FAIL_USAGE:
        return "usage";
    case THAW_FAIL_KVM:
        return "kvm-unavailable";
    case THAW_FAIL_HOST:
        return "host-unsupported";
    case THAW_FAIL_KERNEL:
        return "kernel-invalid";
    case THAW_FAIL_INITRAMFS:
        return "initramfs-invalid";
    case THAW_FAIL_BUNDLE:
        return "bundle-invalid";
    case THAW_FAIL_CONFIG:
        return "config-invalid";
    case THAW_FAIL_MEMORY:
        return "memory-invalid";
    case THAW_FAIL_IO:
        return "io";
    case THAW_FAIL_TIMEOUT:
        return "timeout";
    case THAW_FAIL_INTERRUPTED:
        return "interrupted";
    case THAW_FAIL_GUEST_INIT:
        return "guest-init";
    case THAW_FAIL_GUEST_PANIC:
        return "guest-panic";
    case THAW_FAIL_GUEST_REBOOT:
        return "guest-reboot";
    case THAW_FAIL_GUEST_SHUTDOWN:
        return "guest-shutdown";
    case THAW_FAIL_TRIPLE_FAULT:
        return "guest-triple-fault";
    case THAW_FAIL_KVM_INTERNAL:
        return "kvm-internal-error";
    case THAW_FAIL_IMAGE:
        return "image";
    case THAW_FAIL_SNAPSHOT:
        return "snapshot-invalid";
    case THAW_FAIL_SNAPSHOT_ARCH:
        return "snapshot-arch";
    case THAW_FAIL_SNAPSHOT_VERSION:
        return "snapshot-version";
    case THAW_FAIL_SNAPSHOT_CPU:
        return "snapshot-cpu";
    case THAW_FAIL_SNAPSHOT_MISSING:
        return "snapshot-missing";
    case THAW_FAIL_SNAPSHOT_SHORT:
        return "snapshot-short";
    case THAW_FAIL_SNAPSHOT_LINK:
        return "snapshot-link";
    case THAW_FAIL_SNAPSHOT_DISK:
        return "snapshot-disk";
    case THAW_FAIL_NOT_READY:
        return "guest-not-ready";
    case THAW_FAIL_ENDED:
        return "guest-ended";
    case THAW_FAIL_QUIESCE:
        return "guest-not-quiet";
    }
    return "unknown";
}
