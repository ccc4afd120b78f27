/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a VM: made, given a chunk, freed. */
#include "guest/jitvm/vm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/jitvm/jit/jit.h"
#include "guest/jitvm/vm/literals.h"

/* Cells of the stack per call that may be nested: most need far fewer, and what is not touched
 * costs nothing. */
#define STACK_CELLS_PER_CALL 64
#define STACK_CELLS_MIN      65536

/* ---- configuration -------------------------------------------------------------------------- */

/* The whole of the variable must be a number of 32 bits. */
static int threshold_from(const char *name, uint32_t *out, struct jitvm_error *err)
{
    const char *text = getenv(name);
    int64_t i;
    if (!text)
        return 0;
    if (!number_parse_int(text, strlen(text), &i) || i < 0 || i > UINT32_MAX)
        return chunk_fail(err, JITVM_ERR_VALUE, "%s: \"%.40s\" is no number from 0 to %u", name,
                          text, UINT32_MAX);
    *out = (uint32_t)i;
    return 0;
}

int jitvm_config_default(struct jitvm_config *config, struct jitvm_error *err)
{
    *config = (struct jitvm_config){
        .limits = {JITVM_FUEL_UNLIMITED, JITVM_HEAP_DEFAULT, JITVM_DEPTH_DEFAULT},
        .trace = {.trace_threshold = 50,
                  .block_threshold = 1,
                  .max_side_exits = 50,
                  .max_inline_recursion = 4,
                  .max_trace_chain = 4,
                  .max_trace_len = 256},
        .jit = JITVM_JIT_BLOCK,
    };
    int rc = threshold_from("JITVM_TRACE_THRESHOLD", &config->trace.trace_threshold, err);
    if (rc < 0)
        return rc;
    return threshold_from("JITVM_BLOCK_THRESHOLD", &config->trace.block_threshold, err);
}

/* ---- stacks --------------------------------------------------------------------------------- */

static void *map_stack(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void unmap_stacks(struct jitvm *vm)
{
    if (vm->stack)
        munmap(vm->stack, vm->stack_bytes);
    if (vm->frames)
        munmap(vm->frames, vm->frames_bytes);
    vm->stack = NULL;
    vm->frames = NULL;
}

static int map_stacks(struct jitvm *vm, uint32_t depth)
{
    size_t cells = (size_t)depth * STACK_CELLS_PER_CALL;
    if (cells < STACK_CELLS_MIN)
        cells = STACK_CELLS_MIN;
    vm->stack_bytes = cells * sizeof *vm->stack;
    vm->frames_bytes = ((size_t)depth + 4) * sizeof *vm->frames;
    vm->stack = map_stack(vm->stack_bytes);
    vm->frames = map_stack(vm->frames_bytes);
    if (!vm->stack || !vm->frames) {
        unmap_stacks(vm);
        return -1;
    }
    vm->stack_end = vm->stack + cells;
    vm->top = vm->stack;
    vm->frame = vm->frames;
    vm->max_depth = depth;
    vm->depth = depth;
    return 0;
}

/* ---- limits --------------------------------------------------------------------------------- */

static void set_fuel(struct jitvm *vm, uint64_t fuel)
{
    vm->reserve = fuel;
    vm->slice = 0;
}

static uint32_t depth_within(uint32_t depth)
{
    return depth > JITVM_DEPTH_MAX ? JITVM_DEPTH_MAX : depth;
}

void jitvm_set_limits(struct jitvm *vm, const struct jitvm_limits *limits)
{
    vm->config.limits = *limits;
    vm->heap.limit = limits->heap_bytes;
    set_fuel(vm, limits->fuel);
    uint32_t depth = depth_within(limits->depth);
    if (depth == vm->max_depth || vm->running)
        return;
    struct jitvm before = *vm;
    if (map_stacks(vm, depth) < 0) {
        /* The old ones serve a smaller depth as well; a larger one is not to be had. */
        vm->stack = before.stack, vm->stack_bytes = before.stack_bytes;
        vm->frames = before.frames, vm->frames_bytes = before.frames_bytes;
        if (depth < vm->max_depth)
            vm->depth = vm->max_depth = depth;
        return;
    }
    unmap_stacks(&before);
}

void jitvm_set_config(struct jitvm *vm, const struct jitvm_trace_config *config)
{
    vm->config.trace = *config;
    if (vm->jit)
        jit_config_changed(vm);
}

uint64_t jitvm_fuel_left(const struct jitvm *vm)
{
    return vm->reserve == JITVM_FUEL_UNLIMITED ? vm->reserve : vm->reserve + (uint64_t)vm->slice;
}

void jitvm_interrupt(struct jitvm *vm)
{
    atomic_store_explicit(&vm->interrupted, true, memory_order_relaxed);
}

/* Gives the slice what it may have of the reserve, up to one of the usual size. */
static void next_slice(struct jitvm *vm)
{
    uint64_t n = vm->reserve < VM_SLICE ? vm->reserve : VM_SLICE;
    if (vm->reserve != JITVM_FUEL_UNLIMITED)
        vm->reserve -= n;
    vm->slice += (int64_t)n;
}

static int look_for_interrupt(struct jitvm *vm)
{
    if (!atomic_exchange_explicit(&vm->interrupted, false, memory_order_relaxed))
        return 0;
    return jitvm_raise(vm, JITVM_ERR_INTERRUPTED, "interrupted");
}

int vm_refuel(struct jitvm *vm)
{
    int rc = look_for_interrupt(vm);
    if (rc < 0) {
        vm->slice++; /* not paid */
        return rc;
    }
    next_slice(vm);
    if (vm->slice >= 0)
        return 0;
    vm->slice = 0;
    return jitvm_raise(vm, JITVM_ERR_FUEL, "out of fuel");
}

int vm_charge(struct jitvm *vm, uint64_t n)
{
    uint64_t slice = (uint64_t)vm->slice;
    if (n <= slice) {
        vm->slice -= (int64_t)n;
        return 0;
    }
    /* A whole loop comes by here alone, as often as it takes a slice. */
    int rc = look_for_interrupt(vm);
    if (rc < 0)
        return rc;
    bool limited = vm->reserve != JITVM_FUEL_UNLIMITED;
    vm->slice = 0;
    if (limited && n - slice > vm->reserve) {
        vm->reserve = 0;
        return jitvm_raise(vm, JITVM_ERR_FUEL, "out of fuel");
    }
    if (limited)
        vm->reserve -= n - slice;
    next_slice(vm);
    return 0;
}

/* ---- made and freed ------------------------------------------------------------------------- */

static int vm_prepare(struct jitvm *vm, struct jitvm_error *err)
{
    if (map_stacks(vm, depth_within(vm->config.limits.depth)) < 0)
        return chunk_fail(err, JITVM_ERR_MEMORY, "no address space for %u nested calls",
                          vm->config.limits.depth);
    heap_init(&vm->heap, vm->config.limits.heap_bytes);
    set_fuel(vm, vm->config.limits.fuel);
    vm_random_seed(vm, vm->config.seed);
    jitvm_set_output(vm, NULL, NULL);
    jitvm_set_input(vm, NULL, NULL);
    return vm_register_builtins(vm) < 0 ? chunk_fail(err, JITVM_ERR_MEMORY, "no memory for a VM")
                                        : 0;
}

int jitvm_new(const struct jitvm_config *config, struct jitvm **out, struct jitvm_error *err)
{
    struct jitvm *vm = calloc(1, sizeof *vm);
    if (!vm)
        return chunk_fail(err, JITVM_ERR_MEMORY, "no memory for a VM");
    vm->config = *config;
    int rc = vm_prepare(vm, err);
    if (rc < 0) {
        jitvm_free(vm);
        return rc;
    }
    *out = vm;
    return 0;
}

/* All that jitvm_load made. */
static void unload(struct jitvm *vm)
{
    if (vm->jit)
        jit_free(vm);
    for (uint32_t i = 0; vm->globals && i < vm->chunk->name_count; i++)
        value_release(&vm->heap, vm->globals[i]);
    for (uint32_t i = 0; vm->functions && i < vm->chunk->function_count; i++)
        code_free(vm->functions[i].code);
    free(vm->functions);
    free(vm->globals);
    free(vm->bindings);
    free(vm->extension_bindings);
    vm->functions = NULL;
    vm->globals = NULL;
    vm->bindings = vm->extension_bindings = NULL;
    literals_free(vm);
    jitvm_chunk_unref(vm->chunk);
    vm->chunk = NULL;
}

void jitvm_free(struct jitvm *vm)
{
    if (!vm)
        return;
    unload(vm);
    value_release(&vm->heap, vm->args);
    vm_natives_free(vm);
    vm_io_free(vm);
    unmap_stacks(vm);
    heap_fini(&vm->heap);
    free(vm);
}

/* ---- a chunk -------------------------------------------------------------------------------- */

static bool takes(const struct jitvm_native *native, unsigned count)
{
    return count >= native->min_args &&
           (native->max_args == JITVM_ANY_COUNT || count <= native->max_args);
}

static int fail_at(const struct jitvm_chunk *chunk, uint32_t ip, enum jitvm_status status,
                   struct jitvm_error *err, const char *what, const char *name)
{
    uint32_t line = chunk_line_at(chunk, ip);
    int rc = chunk_fail(err, status, "%s %.80s", what, name);
    if (err)
        err->line = line;
    return rc;
}

/* Finds what each call of a builtin means. */
static int bind_natives(struct jitvm *vm, struct jitvm_error *err)
{
    const struct jitvm_chunk *chunk = vm->chunk;
    for (uint32_t ip = 0; ip < chunk->op_count; ip++) {
        const struct jitvm_op *op = &chunk->ops[ip];
        if (op->code != OP_CallBuiltin)
            continue;
        const char *name = chunk_name(chunk, op->b);
        uint32_t *binding = &vm->bindings[op->b];
        if (*binding == VM_NO_NATIVE)
            *binding = vm_find_native(vm, name);
        if (*binding == VM_NO_NATIVE)
            return fail_at(chunk, ip, JITVM_ERR_UNDEFINED, err, "no such function:", name);
        if (!takes(&vm->natives[*binding], op->a))
            return fail_at(chunk, ip, JITVM_ERR_ARITY, err, "wrong number of arguments for", name);
    }
    return 0;
}

static int bind_extensions(struct jitvm *vm, struct jitvm_error *err)
{
    const struct jitvm_chunk *chunk = vm->chunk;
    for (uint32_t i = 0; i < chunk->extension_count; i++) {
        const struct chunk_extension *want = &chunk->extensions[i];
        const char *name = chunk_name(chunk, want->name);
        uint32_t found = vm_find_extension(vm, name);
        if (found == VM_NO_NATIVE)
            return chunk_fail(err, JITVM_ERR_UNDEFINED, "no such extension op: %.80s", name);
        const struct jitvm_extension *have = &vm->extensions[found];
        if (have->pops != want->pops || have->pushes != want->pushes)
            return chunk_fail(err, JITVM_ERR_ARITY,
                              "extension op %.80s has another stack effect here", name);
        vm->extension_bindings[i] = found;
    }
    return 0;
}

static int alloc_tables(struct jitvm *vm, struct jitvm_error *err)
{
    const struct jitvm_chunk *chunk = vm->chunk;
    size_t names = (size_t)chunk->name_count + 1;
    vm->functions = calloc(chunk->function_count, sizeof *vm->functions);
    vm->globals = calloc(names, sizeof *vm->globals);
    vm->bindings = malloc(names * sizeof *vm->bindings);
    vm->extension_bindings =
        calloc((size_t)chunk->extension_count + 1, sizeof *vm->extension_bindings);
    if (!vm->functions || !vm->globals || !vm->bindings || !vm->extension_bindings)
        return chunk_fail(err, JITVM_ERR_MEMORY, "no memory to load a chunk");
    memset(vm->bindings, 0xff, names * sizeof *vm->bindings);
    for (uint32_t i = 0; i < chunk->function_count; i++) {
        const struct chunk_function *f = &chunk->functions[i];
        vm->functions[i] = (struct vm_function){
            .index = i,
            .arity = f->arity,
            .slots = f->slots,
            .registers = (uint16_t)(f->slots + f->max_stack + 2),
        };
    }
    return 0;
}

/* All of it lowered and shown at once. */
static int dump_code(struct jitvm *vm, struct jitvm_error *err)
{
    FILE *to = vm->config.dump ? vm->config.dump : stderr;
    for (uint32_t i = 0; i < vm->chunk->function_count; i++) {
        struct code *code = vm_code(vm, &vm->functions[i]);
        if (!code)
            return chunk_fail(err, JITVM_ERR_MEMORY, "no memory to lower a function");
        code_dump(vm, i, code, to);
    }
    return 0;
}

static int load(struct jitvm *vm, struct jitvm_error *err)
{
    int rc = alloc_tables(vm, err);
    if (rc == 0)
        rc = bind_natives(vm, err);
    if (rc == 0)
        rc = bind_extensions(vm, err);
    if (rc == 0)
        rc = jit_new(vm, err);
    if (rc == 0 && vm->config.debug & JITVM_DUMP_CODE)
        rc = dump_code(vm, err);
    return rc;
}

int jitvm_load(struct jitvm *vm, struct jitvm_chunk *chunk, struct jitvm_error *err)
{
    if (vm->chunk)
        return chunk_fail(err, JITVM_ERR_INVALID, "the VM has a chunk already");
    vm->chunk = jitvm_chunk_ref(chunk);
    vm->overflow_traps = chunk->flags & CHUNK_TRAP_OVERFLOW;
    int rc = load(vm, err);
    if (rc < 0)
        unload(vm);
    return rc;
}
