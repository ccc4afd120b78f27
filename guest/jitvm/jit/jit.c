/* SPDX-License-Identifier: Apache-2.0 */
/* When functions are compiled, and what becomes of the code. */
#include "guest/jitvm/jit/jit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest/jitvm/jit/calls.h"
#include "guest/jitvm/jit/internal.h"
#include "guest/jitvm/jit/perf.h"
#include "guest/jitvm/value/grow.h"

/* ---- the life of it -------------------------------------------------------------------------- */

static int publish_stubs(struct jit *jit)
{
    uint32_t offsets[JIT_HELPERS];
    int rc = arch_stubs(&jit->assembler, offsets);
    if (rc < 0)
        return rc;
    const char *at =
        jit_memory_publish(jit->memory, jit->assembler.bytes, jit->assembler.len, ASM_ALIGN);
    if (!at)
        return JITVM_ERR_HOST;
    for (unsigned i = JIT_DO_EXIT; i < JIT_HELPERS; i++)
        jit->links[i] = at + offsets[i];
    return 0;
}

static int jit_fill(struct jit *jit, const struct jitvm *vm)
{
    int rc = jit_memory_new(JIT_MEMORY_MAX, &jit->memory);
    if (rc < 0)
        return rc;
    jit->links = calloc(JIT_HELPERS, sizeof *jit->links);
    if (!jit->links)
        return JITVM_ERR_MEMORY;
    helpers_fill(jit->links);
    jit->places = arch_places();
    asm_init(&jit->assembler, arch_features(), (vm->config.debug & JITVM_DUMP_ASM) != 0);
    return publish_stubs(jit);
}

/* Memory for code, and the code that all functions share, are made when the first function is to be
 * compiled: most programs that are over at once need neither. Where there is no room for code, or
 * none may be run, everything is interpreted. */
static bool jit_ready(struct jitvm *vm)
{
    struct jit *jit = vm->jit;
    if (!jit->memory && !jit->failed) {
        jit->failed = jit_fill(jit, vm) < 0;
        vm->links = jit->links;
    }
    return !jit->failed;
}

static void version_free(struct jit_version *version)
{
    if (!version)
        return;
    jit_gdb_remove(version->gdb);
    free(version->args);
    free(version->exits);
    free(version->restores);
    free(version);
}

static void code_destroy(struct jit_code *code)
{
    if (!code)
        return;
    free(code->args);
    free(code->slow);
    free(code);
}

void jit_free(struct jitvm *vm)
{
    struct jit *jit = vm->jit;
    if (!jit)
        return;
    for (uint32_t i = 0; vm->functions && vm->chunk && i < vm->chunk->function_count; i++) {
        code_destroy(vm->functions[i].jit);
        vm->functions[i].jit = NULL;
        vm->functions[i].entry = NULL;
    }
    for (uint32_t i = 0; i < jit->version_count; i++)
        version_free(jit->versions[i]);
    calls_free(jit);
    free(jit->versions);
    free(jit->times);
    asm_free(&jit->assembler);
    arena_free(&jit->arena);
    jit_memory_free(jit->memory);
    free(jit);
    vm->jit = NULL;
    vm->links = NULL;
}

int jit_new(struct jitvm *vm, struct jitvm_error *err)
{
    if (vm->config.jit == JITVM_JIT_OFF || !arch_places())
        return 0;
    vm->jit = calloc(1, sizeof *vm->jit);
    if (!vm->jit)
        return chunk_fail(err, JITVM_ERR_MEMORY, "no memory for compilers");
    return 0;
}

/* ---- when ------------------------------------------------------------------------------------ */

static bool one_block(const struct code *code)
{
    for (uint32_t i = 0; i < code->count; i++)
        if (code->ops[i] != CODE_DATA && code_is_branch(code->ops[i]))
            return false;
    return true;
}

int32_t jit_countdown(const struct jitvm *vm, const struct vm_function *function)
{
    if (!vm->jit || vm->jit->failed)
        return -1;
    /* The top level is run once, and what it calls has not been seen then. */
    if (one_block(function->code) && function->index != 0)
        return 0;
    if (vm->config.jit != JITVM_JIT_BLOCK)
        return -1;
    uint32_t threshold = vm->config.trace.block_threshold;
    return threshold > INT32_MAX ? INT32_MAX : (int32_t)threshold;
}

void jit_config_changed(struct jitvm *vm)
{
    for (uint32_t i = 0; vm->chunk && i < vm->chunk->function_count; i++) {
        struct vm_function *f = &vm->functions[i];
        if (!f->code || f->entry || (f->jit && f->jit->refused))
            continue;
        f->countdown = jit_countdown(vm, f);
        f->start = NULL;
    }
}

/* ---- one compilation ------------------------------------------------------------------------- */

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void note_time(struct jitvm *vm, uint64_t ns)
{
    struct jit *jit = vm->jit;
    vm->stats.compile_ns_total += ns;
    if (ns > vm->stats.compile_ns_max)
        vm->stats.compile_ns_max = ns;
    uint64_t *times = grow(jit->times, &jit->time_room, jit->time_count + 1, sizeof *times);
    if (!times)
        return;
    jit->times = times;
    jit->times[jit->time_count++] = ns;
}

size_t jit_compile_times(const struct jitvm *vm, uint64_t *ns, size_t max)
{
    size_t count = vm->jit->time_count < max ? vm->jit->time_count : max;
    if (count)
        memcpy(ns, vm->jit->times, count * sizeof *ns);
    return vm->jit->time_count;
}

static struct jit_version *version_new(struct jitvm *vm, struct jit_code *code, unsigned args_room)
{
    struct jit *jit = vm->jit;
    struct jit_version **versions =
        grow(jit->versions, &jit->version_room, (size_t)jit->version_count + 1, sizeof(void *));
    if (!versions)
        return NULL;
    jit->versions = versions;
    struct jit_version *version = calloc(1, sizeof *version);
    kind_set *args = calloc(args_room + 1u, sizeof *args);
    if (!version || !args) {
        free(version);
        free(args);
        return NULL;
    }
    version->args = args;
    version->code = code;
    version->number = jit->version_count;
    return version;
}

/* What is alive at a loop's head is of the kind that it is of now; what is not may be of any. */
static void loop_kinds(const struct flow *f, const struct jitvm_value *base, kind_set *kinds)
{
    const uint64_t *live = f->blocks[f->entry].live_in;
    for (uint32_t r = 0; r < f->registers; r++) {
        if (flow_alive(live, r))
            kinds[r] = (kind_set)(1u << base[r].kind);
        else
            kinds[r] = r < f->code->slots ? KINDS_ALL : 0;
    }
}

static int analyse(struct flow *f, const struct jit *jit, struct jit_version *version,
                   const struct jitvm_value *base)
{
    int rc = flow_build(f);
    if (rc == 0)
        rc = flow_liveness(f);
    if (rc < 0)
        return rc;
    if (version->is_loop) {
        f->entry = f->block_at[version->head];
        loop_kinds(f, base, version->args);
    }
    rc = flow_kinds(f);
    if (rc == 0)
        rc = flow_helpers(f);
    return rc == 0 ? flow_places(f, jit->places) : rc;
}

static void tell_debuggers(const struct jitvm *vm, struct jit_version *version)
{
    char name[96];
    snprintf(name, sizeof name, "jitvm:%.80s",
             chunk_function_name(vm->chunk, version->code->function->index));
    if (vm->config.debug & JITVM_DEBUG_PERF)
        (void)jit_perf_add(version->start, version->len, name);
    if (vm->config.debug & JITVM_DEBUG_GDB)
        version->gdb = jit_gdb_add(version->start, version->len, name);
}

static void dump(const struct jitvm *vm, const struct flow *f, const struct jit_version *version)
{
    FILE *to = vm->config.dump ? vm->config.dump : stderr;
    const char *name = chunk_function_name(vm->chunk, f->function->index);
    if (vm->config.debug & JITVM_DUMP_IR) {
        fprintf(to, "; kinds and places of %s, compilation %u\n", name,
                version->code->compilations + 1);
        flow_dump(f, to);
        exits_dump(version, to);
    }
    if (vm->config.debug & JITVM_DUMP_ASM) {
        fprintf(to, "; machine code of %s\n", name);
        (void)asm_dump(&vm->jit->assembler, 0, to);
    }
}

static int (*version_entry(const struct jit_version *version))(struct jitvm *, struct jitvm_value *)
{
    union {
        const char *at;
        int (*entry)(struct jitvm *vm, struct jitvm_value *base);
    } entry = {.at = version->start + version->boxed};
    return entry.entry;
}

/* What exits restore, in all versions of a VM: a few hundred entries for an exit, where there are
 * many variables. */
#define RESTORES_MAX (1u << 24)

static void trim(struct jit_version *version)
{
    size_t count = version->restore_count;
    struct jit_restore *restores = realloc(version->restores, (count + 1) * sizeof *restores);
    if (restores)
        version->restores = restores;
}

static int publish(struct jitvm *vm, struct jit_version *version)
{
    struct jit *jit = vm->jit;
    if (version->restore_count > RESTORES_MAX - jit->restores)
        return JITVM_ERR_LIMIT;
    trim(version);
    version->len = jit->assembler.len;
    version->start = jit_memory_publish(jit->memory, jit->assembler.bytes, version->len, ASM_ALIGN);
    if (!version->start)
        return JITVM_ERR_HOST;
    jit->restores += version->restore_count;
    vm->stats.native_bytes += version->len;
    return 0;
}

static void install(struct jitvm *vm, struct jit_version *version)
{
    struct jit_code *code = version->code;
    struct vm_function *function = code->function;
    if (version->is_loop) {
        code->loop_compilations++;
        version->next_loop = code->loops;
        code->loops = version;
        return;
    }
    if (!code->compilations++)
        *(code->linear ? &vm->stats.compiled_linear : &vm->stats.compiled_block) += 1;
    code->current = version;
    function->entry = version_entry(version);
    function->start = NULL;
    function->countdown = -1;
    calls_publish(vm, version);
}

static int compile_version(struct jitvm *vm, struct jit_code *code, struct jit_version *version,
                           const struct jitvm_value *base)
{
    struct flow f = {.vm = vm,
                     .arena = &vm->jit->arena,
                     .function = code->function,
                     .code = code->function->code,
                     .args = version->args,
                     .is_loop = version->is_loop,
                     .slow = code->slow,
                     .generic = code->generic};
    int rc = analyse(&f, vm->jit, version, base);
    if (rc == 0)
        rc = arch_compile(vm->jit, version, &f);
    version->result = f.result;
    if (rc == 0)
        rc = publish(vm, version);
    if (rc < 0)
        return rc;
    dump(vm, &f, version);
    tell_debuggers(vm, version);
    return 0;
}

/* Frees the version when it fails. */
static int make_version(struct jitvm *vm, struct jit_version *version,
                        const struct jitvm_value *base)
{
    uint64_t start = now();
    arena_reset(&vm->jit->arena);
    /* Its number is in the code: nobody else may take it meanwhile. */
    vm->jit->versions[vm->jit->version_count++] = version;
    int rc = compile_version(vm, version->code, version, base);
    if (rc < 0) {
        vm->jit->version_count--;
        version_free(version);
        return rc;
    }
    install(vm, version);
    note_time(vm, now() - start);
    return 0;
}

int jit_compile(struct jitvm *vm, struct jit_code *code)
{
    unsigned arity = code->function->arity;
    struct jit_version *version = version_new(vm, code, arity);
    if (!version)
        return JITVM_ERR_MEMORY;
    for (unsigned i = 0; i < arity; i++)
        version->args[i] = kinds_single(code->args[i]) ? code->args[i] : KINDS_ALL;
    int rc = make_version(vm, version, NULL);
    /* Trying again would be as long, and as much in vain. */
    code->refused |= rc < 0;
    return rc;
}

static struct jit_code *code_new(struct vm_function *function)
{
    struct jit_code *code = calloc(1, sizeof *code);
    kind_set *args = calloc(function->arity + 1u, sizeof *args);
    if (!code || !args) {
        free(code);
        free(args);
        return NULL;
    }
    code->function = function;
    code->args = args;
    code->linear = one_block(function->code);
    return code;
}

void jit_function_hot(struct jitvm *vm, struct vm_function *function,
                      const struct jitvm_value *base)
{
    if (!jit_ready(vm)) {
        function->countdown = -1;
        return;
    }
    if (!function->jit)
        function->jit = code_new(function);
    struct jit_code *code = function->jit;
    if (!code || function->entry || code->refused)
        return;
    for (unsigned i = 0; i < function->arity; i++)
        code->args[i] = (kind_set)(1u << base[i].kind);
    if (jit_compile(vm, code) == 0)
        return;
    function->countdown = -1;
    vm->stats.refused++;
}

/* ---- loops ----------------------------------------------------------------------------------- */

/* Loops of one function that are compiled: then it is left to the interpreter. */
#define LOOPS_MAX 8u

static bool loop_takes(const struct jit_version *loop, const struct jitvm_value *base)
{
    uint32_t registers = loop->code->function->code->registers;
    for (uint32_t r = 0; r < registers; r++)
        if (kinds_single(loop->args[r]) && loop->args[r] != 1u << base[r].kind)
            return false;
    return true;
}

static struct jit_version *find_loop(const struct jit_code *code, const struct jitvm_value *base,
                                     uint32_t insn)
{
    struct jit_version *loop = code->loops;
    while (loop && (loop->head != insn || !loop_takes(loop, base)))
        loop = loop->next_loop;
    return loop;
}

static struct jit_version *compile_loop(struct jitvm *vm, struct jit_code *code,
                                        const struct jitvm_value *base, uint32_t insn)
{
    if (code->loop_compilations >= LOOPS_MAX)
        return NULL;
    struct jit_version *version = version_new(vm, code, code->function->code->registers);
    if (!version)
        return NULL;
    version->is_loop = true;
    version->head = insn;
    if (make_version(vm, version, base) == 0)
        return version;
    code->loop_compilations = LOOPS_MAX;
    vm->stats.refused += !code->refused;
    code->refused = true;
    return NULL;
}

int jit_loop_run(struct jitvm *vm, const struct jit_version *loop, struct jitvm_value *base)
{
    return version_entry(loop)(vm, base);
}

const struct jit_version *jit_loop_hot(struct jitvm *vm, struct vm_function *function,
                                       const struct jitvm_value *base, uint32_t insn)
{
    if (vm->config.jit != JITVM_JIT_BLOCK || !jit_ready(vm))
        return NULL;
    if (!function->jit)
        function->jit = code_new(function);
    struct jit_code *code = function->jit;
    if (!code || code->refused)
        return NULL;
    code->passes += VM_SLICE;
    if (code->passes < vm->config.trace.trace_threshold)
        return NULL;
    struct jit_version *loop = find_loop(code, base, insn);
    return loop ? loop : compile_loop(vm, code, base, insn);
}
