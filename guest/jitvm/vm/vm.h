/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM, from inside: what the interpreter, the ops, the builtins and the compilers share.
 *
 * Fuel is counted in slices, so that the counter can live in a register: `slice` holds it only
 * while no code runs, or while a C function that code calls may look at it or run more code. When a
 * slice is used up, vm_refuel takes the next one from the reserve and looks for an interrupt.
 */
#ifndef JITVM_VM_VM_H
#define JITVM_VM_VM_H

#include <stdarg.h>
#include <stdatomic.h>

#include "guest/jitvm/value/array.h"
#include "guest/jitvm/value/hash.h"
#include "guest/jitvm/value/path.h"
#include "guest/jitvm/value/value.h"
#include "guest/jitvm/vm/code.h"

/* Result and arguments as compiled code takes them: jit/jit.h. */
struct jit_code;
struct jit_version;

/* One function of the chunk in this VM. Compiled code reads `entry`, `registers`. */
struct vm_function {
    struct code *code; /* NULL: not called yet */
    struct insn
        *start; /* what a call by the interpreter can go to at once; NULL: vm_enter decides */
    /* Compiled code for arguments in base[0..arity): the result is in base[0]. Charges fuel and
     * depth like a call of the interpreter; `vm->slice` and `vm->depth` are true before and after.
     * NULL: the interpreter runs it. */
    int (*entry)(struct jitvm *vm, struct jitvm_value *base);
    struct jit_code *jit; /* all that was compiled, NULL: nothing */
    int32_t countdown;    /* interpreted calls until the compiler is asked; negative: never */
    uint32_t index;       /* in the chunk */
    uint16_t arity, slots, registers;
    uint16_t result_kinds; /* 1 << kind of each result that the interpreter saw */
};

/* An activation of the interpreter. */
struct vm_frame {
    struct insn *return_ip;   /* in the caller; NULL: C code called */
    struct jitvm_value *base; /* the caller's */
    struct vm_function *function;
};

struct vm_io {
    jitvm_write_fn write;
    void *write_context;
    jitvm_read_fn read;
    void *read_context;
    char *out; /* what was printed and not yet written */
    size_t out_len;
    char *in; /* what was read and not yet asked for: [in_at, in_len) */
    size_t in_at, in_len, in_room;
    bool in_end;
};

struct jitvm {
    /* What compiled code and the interpreter touch most, first. */
    struct vm_function *functions;
    struct jitvm_value *literals;
    struct jitvm_value *globals;
    struct jitvm_value *stack_end; /* no activation reaches beyond */
    int64_t slice;                 /* fuel left of this slice */
    int64_t depth;                 /* calls that may still be nested */
    const void **links;            /* jit/: what compiled code calls; NULL: none */
    struct vm_frame *frame;        /* innermost activation of the interpreter */
    struct jitvm_value *top;       /* first free cell, while a C function that may call back runs */

    struct heap heap;
    uint64_t reserve; /* fuel beyond the slice; UINT64_MAX: no limit */
    atomic_bool interrupted;
    bool overflow_traps;
    bool running;

    struct jitvm_chunk *chunk;
    uint32_t literal_count;
    size_t literal_room;
    struct jitvm_native *natives; /* registered, by index; names owned */
    uint32_t native_count;
    size_t native_room;
    struct jitvm_extension *extensions; /* likewise */
    uint32_t extension_count;
    size_t extension_room;
    uint32_t *bindings;           /* of each name of the chunk: native, or UINT32_MAX */
    uint32_t *extension_bindings; /* of each extension of the chunk */

    struct jitvm_value *stack; /* mapped, not committed; zero: undef */
    size_t stack_bytes;
    struct vm_frame *frames;
    size_t frames_bytes;
    uint32_t max_depth;

    struct jitvm_error error; /* pending, while status is not 0 */
    struct jitvm_config config;
    struct jitvm_stats stats;
    struct vm_io io;
    struct jitvm_value args; /* of the program: an array */
    uint64_t rng[4];
    struct jit *jit;                /* jit/jit.h; NULL: none */
    const struct jit_version *loop; /* of VM_LOOP */
};

#define VM_SLICE 4096

/* ---- errors --------------------------------------------------------------------------------- */

/* The heap's or a path's refusal, as an error of the op: returns the status. */
int vm_raise_heap(struct jitvm *vm);
/* `what`: "push to"; `on`: what was there. */
int vm_raise_path(struct jitvm *vm, int status, const char *what, struct jitvm_value on);
/* A native or extension gave `rc`: the pending error's status, or HOST if it raised none. */
int vm_native_failed(struct jitvm *vm, const char *name, int rc);

/* Adds the activation to the pending error's backtrace and releases the cells of its window. */
void vm_unwind_frame(struct jitvm *vm, const struct vm_function *function, uint32_t insn,
                     struct jitvm_value *base);

/* ---- fuel and depth ------------------------------------------------------------------------- */

/* vm->slice went below 0 for a charge of one: takes the next slice, and pays. 0, FUEL or
 * INTERRUPTED (raised). */
int vm_refuel(struct jitvm *vm);
/* A charge of n, to vm->slice and what is behind it. */
int vm_charge(struct jitvm *vm, uint64_t n);

/* ---- running -------------------------------------------------------------------------------- */

/* The function's code, lowered if it is not yet; NULL: no memory, raised. */
struct code *vm_code(struct jitvm *vm, struct vm_function *function);

/* Before an activation of the interpreter whose arguments are in base[0..arity): lowers the
 * function and counts the call, either of which may give it compiled code; pays for the call;
 * clears the other slots. 1: the function has compiled code now, nothing was paid; 0: run it; < 0:
 * raised. */
int vm_enter(struct jitvm *vm, struct vm_function *function, struct jitvm_value *base);

/* The part of it that pays: fuel, then depth and stack. 0, FUEL, INTERRUPTED, DEPTH. */
int vm_pay_for_call(struct jitvm *vm, const struct vm_function *function,
                    const struct jitvm_value *base);

/* Runs a whole activation: arguments in base[0..arity), result in base[0]. Charges fuel and depth.
 * Takes compiled code when there is some. The arguments are consumed, also on failure. */
int vm_invoke(struct jitvm *vm, struct vm_function *function, struct jitvm_value *base);

/* Runs the rest of an activation that was charged already, from instruction `insn`, whose registers
 * are as the interpreter would have them: what compiled code does when it cannot go on. VM_LOOP: it
 * is not over, but goes on in the compiled code vm->loop, with its registers where they were. */
#define VM_LOOP 1
int vm_resume(struct jitvm *vm, struct vm_function *function, struct jitvm_value *base,
              uint32_t insn);

/* interp.c: the function that runs an op. */
insn_fn interp_handler(unsigned op);
/* Pushes the activation, which was paid for, and runs it from `ip` until it returns. interp_resume
 * may give VM_LOOP, like vm_resume. */
int interp_resume(struct jitvm *vm, struct vm_function *function, struct jitvm_value *base,
                  struct insn *ip);
int interp_run(struct jitvm *vm, struct vm_function *function, struct jitvm_value *base,
               struct insn *ip);

/* The callee of a CALLDYN whose window this is; the arguments are moved to where a CALL has them.
 * Its index + 1; 0: it was a native, and was called; < 0: raised. */
int vm_resolve_callee(struct jitvm *vm, struct jitvm_value *window, unsigned count);

/* ---- one op, as every tier does it when the case is not a simple one (ops.c) ---------------- */

/* Does what the instruction does, but for going to the next one. 0, or the status raised. `slots`:
 * of the function; registers from there on are operands, which the op uses up. vm->slice is true
 * before and after. NULL: for branches, calls of functions and returns. */
typedef int (*op_fn)(struct jitvm *vm, struct insn *ip, struct jitvm_value *base, unsigned slots);
op_fn op_slow(unsigned op);

/* Of a branch on a comparison or on truth, INCJLT too: is it taken? Uses up the operands; never
 * fails. */
bool op_branch(struct jitvm *vm, unsigned op, struct insn *ip, struct jitvm_value *base,
               unsigned slots);

/* As jitvm_apply, but takes the references of the arguments, also when it fails: who has the only
 * one of a container gives it away, and nothing is copied. */
int vm_apply_taking(struct jitvm *vm, struct jitvm_value callee, const struct jitvm_value *args,
                    unsigned count, struct jitvm_value *out);

/* Calls the native; the arguments, in args[0..count), are released; the result is in args[0]. */
int vm_call_native(struct jitvm *vm, uint32_t native, struct jitvm_value *args, unsigned count);

/* ---- cells ---------------------------------------------------------------------------------- */

/* Ends what the cell holds, if that is counted. */
static inline void cell_clear(struct jitvm *vm, struct jitvm_value *cell)
{
    if (value_on_heap(*cell)) {
        struct jitvm_object *object = cell->as.object;
        cell->kind = JITVM_UNDEF;
        object_release(&vm->heap, object);
    }
}

/* Puts a value there, whose reference it takes. */
static inline void cell_set(struct jitvm *vm, struct jitvm_value *cell, struct jitvm_value v)
{
    struct jitvm_value old = *cell;
    *cell = v;
    value_release(&vm->heap, old);
}

/* Moves the value out. */
static inline struct jitvm_value cell_take(struct jitvm_value *cell)
{
    struct jitvm_value v = *cell;
    cell->kind = JITVM_UNDEF;
    return v;
}

/* ---- I/O, random numbers (io.c, random.c) --------------------------------------------------- */

/* Buffered; flushed when a run ends, before reading, and when 8 KiB are there. IO is raised. */
int vm_write(struct jitvm *vm, const void *bytes, size_t len);
int vm_flush(struct jitvm *vm);
/* A line with its end, or what is left; *len 0 and NULL at the end of input. Valid until the next.
 */
int vm_read_line(struct jitvm *vm, const char **line, size_t *len);
/* All that is left of the input. Valid until the next read. */
int vm_read_all(struct jitvm *vm, const char **bytes, size_t *len);
/* To the descriptor of stderr, not buffered; what was printed goes out first. */
int vm_write_error(struct jitvm *vm, const void *bytes, size_t len);
void vm_io_free(struct jitvm *vm); /* the buffers; does not flush */
/* All of it, whatever signals come. 0, or -1 and errno. */
int io_write_all(int fd, const char *bytes, size_t len);
/* Next of 2^64. A generator that was never seeded is, with config.seed. */
uint64_t vm_random(struct jitvm *vm);
void vm_random_seed(struct jitvm *vm, uint64_t seed); /* 0: from the system */

/* ---- natives and extensions, by name (public.c) --------------------------------------------- */

#define VM_NO_NATIVE UINT32_MAX

/* All builtins, into a VM that has no natives yet. -1 without memory (not raised). */
int vm_register_builtins(struct jitvm *vm);
/* Index of the native or extension, or VM_NO_NATIVE. `name` ends with 0. */
uint32_t vm_find_native(const struct jitvm *vm, const char *name);
uint32_t vm_find_extension(const struct jitvm *vm, const char *name);
void vm_natives_free(struct jitvm *vm); /* natives and extensions, and their names */

/* ---- builtins_*.c ---------------------------------------------------------------------------- */

const struct jitvm_native *builtins_core(unsigned *count); /* type, len, error, time... */
const struct jitvm_native *builtins_io(unsigned *count);
const struct jitvm_native *builtins_strings(unsigned *count);
const struct jitvm_native *builtins_containers(unsigned *count);
const struct jitvm_native *builtins_math(unsigned *count);

#endif
