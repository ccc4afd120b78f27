/* SPDX-License-Identifier: Apache-2.0 */
/* Errors outside a run: status and message. What a run adds to them is the VM's. */
#include <stdarg.h>
#include <string.h>

#include "guest/jitvm/chunk/chunk.h"

int chunk_fail(struct jitvm_error *err, enum jitvm_status status, const char *format, ...)
{
    if (!err)
        return status;

    memset(err, 0, sizeof(*err));
    err->status = status;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    return status;
}

const char *jitvm_status_name(enum jitvm_status status)
{
    static const char *const names[] = {
        "ok",    "type",        "arity", "undefined", "value",   "overflow", "fuel", "heap",
        "depth", "interrupted", "host",  "syntax",    "invalid", "limit",    "io",   "memory"};
    int index = -(int)status;
    if (index < 0 || (size_t)index >= sizeof(names) / sizeof(names[0]))
        return "unknown";
    return names[index];
}
