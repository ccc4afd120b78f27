/* SPDX-License-Identifier: Apache-2.0 */
/* Calling functions: from the host, from natives, from compiled code. */
#include <string.h>

#include "guest/jitvm/jit/jit.h"
#include "guest/jitvm/vm/vm.h"

/* ---- an activation -------------------------------------------------------------------------- */

struct code *vm_code(struct jitvm *vm, struct vm_function *function)
{
    if (function->code)
        return function->code;
    struct jitvm_error err;
    if (code_lower(vm, function->index, &function->code, &err) < 0) {
        jitvm_raise(vm, err.status, "%s", err.message);
        return NULL;
    }
    vm->stats.code_insns += function->code->count;
    function->countdown = vm->jit ? jit_countdown(vm, function) : -1;
    return function->code;
}

/* Counts the call; asks for a compilation when there were enough. */
static void count_call(struct jitvm *vm, struct vm_function *function,
                       const struct jitvm_value *base)
{
    if (function->countdown >= 0 && function->countdown-- == 0)
        jit_function_hot(vm, function, base);
    if (function->countdown < 0 && !function->entry)
        function->start = function->code->insns;
}

static int too_deep(struct jitvm *vm)
{
    long long nested = (long long)vm->max_depth - vm->depth;
    if (vm->depth < 1)
        return jitvm_raise(vm, JITVM_ERR_DEPTH, "calls are nested too deeply: %lld of %u", nested,
                           vm->max_depth);
    return jitvm_raise(vm, JITVM_ERR_DEPTH,
                       "calls are nested too deeply: %lld of functions with many variables",
                       nested);
}

int vm_pay_for_call(struct jitvm *vm, const struct vm_function *function,
                    const struct jitvm_value *base)
{
    if (--vm->slice < 0) {
        int rc = vm_refuel(vm);
        if (rc < 0)
            return rc;
    }
    if (vm->depth < 1 || base + function->registers > vm->stack_end)
        return too_deep(vm);
    vm->depth--;
    return 0;
}

int vm_enter(struct jitvm *vm, struct vm_function *function, struct jitvm_value *base)
{
    if (!vm_code(vm, function))
        return vm->error.status;
    count_call(vm, function, base);
    if (function->entry)
        return 1;
    int rc = vm_pay_for_call(vm, function, base);
    if (rc < 0)
        return rc;
    for (unsigned i = function->arity; i < function->slots; i++)
        base[i] = jitvm_undef();
    return 0;
}

int vm_invoke(struct jitvm *vm, struct vm_function *function, struct jitvm_value *base)
{
    int rc = function->entry ? 1 : vm_enter(vm, function, base);
    if (rc == 1)
        rc = function->entry(vm, base);
    else if (rc == 0)
        rc = interp_run(vm, function, base, function->code->insns);
    if (rc < 0)
        for (unsigned i = 0; i < function->arity; i++)
            cell_clear(vm, &base[i]);
    return rc;
}

int vm_resume(struct jitvm *vm, struct vm_function *function, struct jitvm_value *base,
              uint32_t insn)
{
    return interp_resume(vm, function, base, &function->code->insns[insn]);
}

/* ---- natives and function values ------------------------------------------------------------ */

int vm_call_native(struct jitvm *vm, uint32_t index, struct jitvm_value *args, unsigned count)
{
    const struct jitvm_native *native = &vm->natives[index];
    struct jitvm_value *top = vm->top, out = jitvm_undef();
    vm->top = args + count;
    vm->error.status = JITVM_OK; /* one that a native did not pass on is forgotten */
    int rc = native->fn(vm, native->context, args, count, &out);
    vm->top = top;
    for (unsigned i = 0; i < count; i++)
        cell_clear(vm, &args[i]);
    if (rc < 0) {
        value_release(&vm->heap, out);
        return vm_native_failed(vm, native->name, rc);
    }
    cell_set(vm, &args[0], out);
    return 0;
}

static int wrong_count(struct jitvm *vm, const char *name, unsigned count)
{
    return jitvm_raise(vm, JITVM_ERR_ARITY, "%.80s does not take %u arguments", name, count);
}

/* May the value be called with so many arguments? 0, or raised. */
static int check_callee(struct jitvm *vm, struct jitvm_value callee, unsigned count)
{
    if (callee.kind == JITVM_FUNC) {
        /* A host may have it from another VM. */
        if (!vm->chunk || (uint64_t)callee.as.i >= vm->chunk->function_count)
            return jitvm_raise(vm, JITVM_ERR_UNDEFINED, "no such function in this VM");
        const struct vm_function *f = &vm->functions[callee.as.i];
        return f->arity == count ? 0
                                 : wrong_count(vm, chunk_function_name(vm->chunk, f->index), count);
    }
    if (callee.kind != JITVM_NATIVE)
        return jitvm_raise(vm, JITVM_ERR_TYPE, "cannot call %s", value_kind_name(callee.kind));
    if ((uint64_t)callee.as.i >= vm->native_count)
        return jitvm_raise(vm, JITVM_ERR_UNDEFINED, "no such host function in this VM");
    const struct jitvm_native *n = &vm->natives[callee.as.i];
    if (count < n->min_args || (n->max_args != JITVM_ANY_COUNT && count > n->max_args))
        return wrong_count(vm, n->name, count);
    return 0;
}

int vm_resolve_callee(struct jitvm *vm, struct jitvm_value *window, unsigned count)
{
    struct jitvm_value callee = window[0];
    int rc = check_callee(vm, callee, count);
    if (rc < 0)
        return rc;
    memmove(&window[0], &window[1], count * sizeof *window);
    window[count] = jitvm_undef();
    if (callee.kind == JITVM_FUNC)
        return (int)callee.as.i + 1;
    return vm_call_native(vm, (uint32_t)callee.as.i, window, count);
}

static int check_room(struct jitvm *vm, unsigned count)
{
    if ((size_t)(vm->stack_end - vm->top) > count)
        return 0;
    return jitvm_raise(vm, JITVM_ERR_DEPTH, "no stack left for the arguments of a call");
}

int vm_apply_taking(struct jitvm *vm, struct jitvm_value callee, const struct jitvm_value *args,
                    unsigned count, struct jitvm_value *out)
{
    struct jitvm_value *window = vm->top;
    int rc = check_callee(vm, callee, count);
    if (rc == 0)
        rc = check_room(vm, count);
    for (unsigned i = 0; i < count; i++) {
        if (rc < 0)
            value_release(&vm->heap, args[i]);
        else
            cell_set(vm, &window[i], args[i]);
    }
    *out = jitvm_undef();
    if (rc < 0)
        return rc;
    rc = callee.kind == JITVM_FUNC ? vm_invoke(vm, &vm->functions[callee.as.i], window)
                                   : vm_call_native(vm, (uint32_t)callee.as.i, window, count);
    if (rc == 0)
        *out = cell_take(&window[0]);
    return rc;
}

int jitvm_apply(struct jitvm *vm, struct jitvm_value callee, const struct jitvm_value *args,
                unsigned count, struct jitvm_value *out)
{
    for (unsigned i = 0; i < count; i++)
        value_retain(args[i]);
    return vm_apply_taking(vm, callee, args, count, out);
}

/* ---- from the host -------------------------------------------------------------------------- */

static int give_error(const struct jitvm *vm, int rc, struct jitvm_error *err)
{
    if (rc < 0 && err)
        *err = vm->error;
    return rc;
}

static int run_function(struct jitvm *vm, uint32_t function, const struct jitvm_value *args,
                        unsigned count, struct jitvm_value *out, struct jitvm_error *err)
{
    struct jitvm_value callee = {.kind = JITVM_FUNC, .as.i = function}, result;
    bool outermost = !vm->running;
    vm->running = true;
    vm->error.status = JITVM_OK;
    int rc = jitvm_apply(vm, callee, args, count, &result);
    vm->running = !outermost;
    /* What was printed before an error is printed all the same; the first error counts. */
    if (outermost) {
        struct jitvm_error first = vm->error;
        int flushed = vm_flush(vm);
        if (rc < 0)
            vm->error = first;
        else
            rc = flushed;
    }
    if (rc == 0 && out)
        *out = result;
    else
        value_release(&vm->heap, result);
    return give_error(vm, rc, err);
}

int jitvm_run(struct jitvm *vm, struct jitvm_value *out, struct jitvm_error *err)
{
    if (!vm->chunk)
        return chunk_fail(err, JITVM_ERR_INVALID, "the VM has no chunk");
    return run_function(vm, 0, NULL, 0, out, err);
}

int jitvm_call(struct jitvm *vm, const char *function, const struct jitvm_value *args,
               unsigned count, struct jitvm_value *out, struct jitvm_error *err)
{
    int64_t index = vm->chunk ? chunk_find_function(vm->chunk, function) : -1;
    if (index < 0)
        return chunk_fail(err, JITVM_ERR_UNDEFINED, "no such function: %.80s", function);
    return run_function(vm, (uint32_t)index, args, count, out, err);
}

/* ---- figures -------------------------------------------------------------------------------- */

void jitvm_stats(const struct jitvm *vm, struct jitvm_stats *out)
{
    *out = vm->stats;
    out->heap_bytes = vm->heap.bytes;
    out->heap_peak = vm->heap.peak;
    out->functions = vm->chunk ? vm->chunk->function_count : 0;
    out->ops = vm->chunk ? vm->chunk->op_count : 0;
}

size_t jitvm_compile_times(const struct jitvm *vm, uint64_t *ns, size_t max)
{
    return vm->jit ? jit_compile_times(vm, ns, max) : 0;
}
