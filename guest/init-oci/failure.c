/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fail(struct failure *failure, int code, const char *what, ...)
{
    va_list args;
    va_start(args, what);
    int length = vsnprintf(failure->reason, sizeof(failure->reason), what, args);
    va_end(args);
    if (length >= 0 && (size_t)length < sizeof(failure->reason))
        snprintf(failure->reason + length, sizeof(failure->reason) - (size_t)length, ": %s",
                 strerror(code));
    return -code;
}

int fail_plainly(struct failure *failure, const char *why, ...)
{
    va_list args;
    va_start(args, why);
    vsnprintf(failure->reason, sizeof(failure->reason), why, args);
    va_end(args);
    return -EINVAL;
}

int fail_in(struct failure *failure, int rc, const char *where, ...)
{
    struct failure inner = *failure;
    va_list args;
    va_start(args, where);
    int length = vsnprintf(failure->reason, sizeof(failure->reason), where, args);
    va_end(args);
    if (length >= 0 && (size_t)length < sizeof(failure->reason))
        snprintf(failure->reason + length, sizeof(failure->reason) - (size_t)length, "%s",
                 inner.reason);
    return rc;
}
