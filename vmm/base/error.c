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

__attribute__((format(printf, 4, 0))) static int fail_with_errno(struct thaw_error *err,
                                                                 enum thaw_failure failure,
                                                                 int code, const char *what,
                                                                 va_list args)
{
    int used = vsnprintf(err->message, sizeof(err->message), what, args);
    set(err, failure, code);
    const char *description = strerrordesc_np(err->code);
    append(err, used, description ? description : "unknown error");
    return -err->code;
}

int thaw_fail(struct thaw_error *err, int code, const char *what, ...)
{
    va_list args;
    va_start(args, what);
    int rc = fail_with_errno(err, THAW_FAIL_INTERNAL, code, what, args);
    va_end(args);
    return rc;
}

int thaw_fail_io(struct thaw_error *err, int code, const char *what, ...)
{
    va_list args;
    va_start(args, what);
    int rc = fail_with_errno(err, THAW_FAIL_IO, code, what, args);
    va_end(args);
    return rc;
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
    static const char *const names[] = {
        [THAW_FAIL_NONE] = "none",
        [THAW_FAIL_INTERNAL] = "internal",
        [THAW_FAIL_USAGE] = "usage",
        [THAW_FAIL_KVM] = "kvm-unavailable",
        [THAW_FAIL_HOST] = "host-unsupported",
        [THAW_FAIL_KERNEL] = "kernel-invalid",
        [THAW_FAIL_INITRAMFS] = "initramfs-invalid",
        [THAW_FAIL_BUNDLE] = "bundle-invalid",
        [THAW_FAIL_CONFIG] = "config-invalid",
        [THAW_FAIL_MEMORY] = "memory-invalid",
        [THAW_FAIL_IO] = "io",
        [THAW_FAIL_TIMEOUT] = "timeout",
        [THAW_FAIL_INTERRUPTED] = "interrupted",
        [THAW_FAIL_GUEST_INIT] = "guest-init",
        [THAW_FAIL_GUEST_PANIC] = "guest-panic",
        [THAW_FAIL_GUEST_REBOOT] = "guest-reboot",
        [THAW_FAIL_GUEST_SHUTDOWN] = "guest-shutdown",
        [THAW_FAIL_TRIPLE_FAULT] = "guest-triple-fault",
        [THAW_FAIL_KVM_INTERNAL] = "kvm-internal-error",
        [THAW_FAIL_IMAGE] = "image",
        [THAW_FAIL_SNAPSHOT] = "snapshot-invalid",
        [THAW_FAIL_SNAPSHOT_ARCH] = "snapshot-arch",
        [THAW_FAIL_SNAPSHOT_VERSION] = "snapshot-version",
        [THAW_FAIL_SNAPSHOT_CPU] = "snapshot-cpu",
        [THAW_FAIL_SNAPSHOT_MISSING] = "snapshot-missing",
        [THAW_FAIL_SNAPSHOT_SHORT] = "snapshot-short",
        [THAW_FAIL_SNAPSHOT_LINK] = "snapshot-link",
        [THAW_FAIL_SNAPSHOT_DISK] = "snapshot-disk",
        [THAW_FAIL_NOT_READY] = "guest-not-ready",
        [THAW_FAIL_ENDED] = "guest-ended",
        [THAW_FAIL_QUIESCE] = "guest-not-quiet",
    };
    size_t i = (size_t)failure;
    return i < sizeof(names) / sizeof(names[0]) && names[i] ? names[i] : "unknown";
}
