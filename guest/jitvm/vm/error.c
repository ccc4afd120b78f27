/* SPDX-License-Identifier: Apache-2.0 */
/* The pending error of a VM, and what it says of the activations that it ends. */
#include <stdarg.h>
#include <string.h>

#include "guest/jitvm/vm/vm.h"

int jitvm_raise(struct jitvm *vm, enum jitvm_status status, const char *format, ...)
{
    struct jitvm_error *error = &vm->error;
    error->status = status < 0 ? status : JITVM_ERR_HOST;
    error->line = error->column = error->depth = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return error->status;
}

int vm_raise_heap(struct jitvm *vm)
{
    return jitvm_raise(vm, JITVM_ERR_HEAP, "out of heap: %llu of %llu bytes are in use",
                       (unsigned long long)vm->heap.bytes, (unsigned long long)vm->heap.limit);
}

int vm_raise_path(struct jitvm *vm, int status, const char *what, struct jitvm_value on)
{
    if (status == JITVM_ERR_HEAP)
        return vm_raise_heap(vm);
    const char *kind = value_kind_name(on.kind);
    if (status == JITVM_ERR_VALUE)
        return jitvm_raise(vm, JITVM_ERR_VALUE, "cannot %s %s: the index is out of range", what,
                           kind);
    if (on.kind == JITVM_ARRAY || on.kind == JITVM_HASH)
        return jitvm_raise(vm, JITVM_ERR_TYPE, "cannot %s what is at that place", what);
    return jitvm_raise(vm, JITVM_ERR_TYPE, "cannot %s %s", what, kind);
}

int vm_native_failed(struct jitvm *vm, const char *name, int rc)
{
    if (vm->error.status == JITVM_OK)
        return jitvm_raise(vm, JITVM_ERR_HOST, "%s failed (%d)", name, rc);
    return vm->error.status;
}

static void add_frame(struct jitvm *vm, uint32_t function, uint32_t ip)
{
    struct jitvm_error *error = &vm->error;
    uint32_t line = chunk_line_at(vm->chunk, ip);
    if (error->depth == 0)
        error->line = line;
    if (error->depth < JITVM_BACKTRACE_MAX) {
        struct jitvm_frame *frame = &error->frames[error->depth];
        frame->ip = ip;
        frame->line = line;
        strncpy(frame->function, chunk_function_name(vm->chunk, function),
                sizeof frame->function - 1);
        frame->function[sizeof frame->function - 1] = 0;
    }
    error->depth++;
}

void vm_unwind_frame(struct jitvm *vm, const struct vm_function *function, uint32_t insn,
                     struct jitvm_value *base)
{
    add_frame(vm, function->index, function->code->ips[insn]);
    for (unsigned i = 0; i < function->code->registers; i++)
        cell_clear(vm, &base[i]);
}
