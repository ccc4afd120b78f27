/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jitvm: an embedded bytecode VM. The public interface; docs/jitvm.md is the manual.
 *
 * A chunk is code: compiled from the .jv language, assembled from .jasm text, read from a .jvc file
 * or made by a frontend with the builder. Every chunk is verified when it is made, immutable from
 * then on, atomically counted, and may be shared by threads. A VM runs one chunk; it belongs to one
 * thread at a time, and only jitvm_interrupt may be called from another one or from a signal.
 *
 * Fallible functions return 0 or a negative enum jitvm_status and fill *err, which may be NULL.
 */
#ifndef JITVM_H
#define JITVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- values --------------------------------------------------------------------------------- */

/* Heap kinds come last: `kind >= JITVM_STR` is the test for a reference that is counted. */
enum jitvm_kind {
    JITVM_UNDEF = 0,
    JITVM_BOOL = 1,   /* as.i is 0 or 1 */
    JITVM_INT = 2,    /* as.i */
    JITVM_FLOAT = 3,  /* as.f; a NaN is always 0x7ff8000000000000 */
    JITVM_FUNC = 4,   /* a function of the chunk: as.i is its index */
    JITVM_NATIVE = 5, /* a builtin or host function: as.i is its index in the VM */
    JITVM_HANDLE = 6, /* a host's pointer, never looked into, never freed */
    JITVM_STR = 7,    /* immutable bytes */
    JITVM_ARRAY = 8,
    JITVM_HASH = 9,
};
#define JITVM_KINDS 10

struct jitvm_str;
struct jitvm_array;
struct jitvm_hash;

/* 16 bytes, numbers unboxed. `reserved` is always 0, so that values can be compared as bytes. */
struct jitvm_value {
    uint32_t kind; /* enum jitvm_kind */
    uint32_t reserved;
    union {
        int64_t i;
        double f;
        void *handle;
        struct jitvm_object *object;
        struct jitvm_str *str;
        struct jitvm_array *array;
        struct jitvm_hash *hash;
    } as;
};

/* ---- errors --------------------------------------------------------------------------------- */

/* Negative values are returned; the positive of one is the exit status of the program `jitvm`
 * plus 63 (see jitvm(1)), so they are stable. */
enum jitvm_status {
    JITVM_OK = 0,
    JITVM_ERR_TYPE = -1,        /* an operation on a kind that it does not take */
    JITVM_ERR_ARITY = -2,       /* called with another number of arguments */
    JITVM_ERR_UNDEFINED = -3,   /* no such function, builtin, extension */
    JITVM_ERR_VALUE = -4,       /* an argument out of its range */
    JITVM_ERR_OVERFLOW = -5,    /* integer overflow in a chunk that traps it */
    JITVM_ERR_FUEL = -6,        /* out of fuel */
    JITVM_ERR_HEAP = -7,        /* more heap than allowed */
    JITVM_ERR_DEPTH = -8,       /* calls nested deeper than allowed */
    JITVM_ERR_INTERRUPTED = -9, /* jitvm_interrupt */
    JITVM_ERR_HOST = -10,       /* a host function failed; its message says how */
    JITVM_ERR_SYNTAX = -11,     /* .jv or .jasm text is wrong: line and column say where */
    JITVM_ERR_INVALID = -12,    /* a chunk that the verifier refuses, a .jvc that is damaged */
    JITVM_ERR_LIMIT = -13,      /* a chunk larger than the format can hold */
    JITVM_ERR_IO = -14,         /* a file or stream failed */
    JITVM_ERR_MEMORY = -15,     /* the host has no memory left */
};

#define JITVM_MESSAGE_MAX   256
#define JITVM_BACKTRACE_MAX 16

/* One activation at the time of an error, innermost first. */
struct jitvm_frame {
    char function[48]; /* cut when longer */
    uint32_t ip;       /* index of the op in the chunk */
    uint32_t line;     /* 1-based; 0 when the chunk does not say */
};

struct jitvm_error {
    enum jitvm_status status;
    char message[JITVM_MESSAGE_MAX];
    uint32_t line, column; /* of source text; 1-based, 0 where not known */
    uint32_t depth;        /* activations there were; the first of them are in frames */
    struct jitvm_frame frames[JITVM_BACKTRACE_MAX];
};

/* "type", "arity", ...: stable, for scripts. Static storage. */
const char *jitvm_status_name(enum jitvm_status status);

/* ---- chunks --------------------------------------------------------------------------------- */

struct jitvm_chunk;

/* Each gives a verified chunk with one reference, or fails with SYNTAX, INVALID, LIMIT or MEMORY.
 * `name` is what errors and backtraces call the source; `text` need not end with a 0. */
int jitvm_compile(const char *name, const char *text, size_t len, struct jitvm_chunk **out,
                  struct jitvm_error *err);
int jitvm_assemble(const char *name, const char *text, size_t len, struct jitvm_chunk **out,
                   struct jitvm_error *err);
int jitvm_chunk_read(const void *bytes, size_t len, struct jitvm_chunk **out,
                     struct jitvm_error *err);

/* The .jvc form. The caller frees *bytes. The same chunk always gives the same bytes. */
int jitvm_chunk_write(const struct jitvm_chunk *chunk, void **bytes, size_t *len,
                      struct jitvm_error *err);

/* The .jasm form; assembling it gives the same chunk, with the same identity. */
int jitvm_disassemble(const struct jitvm_chunk *chunk, FILE *to, struct jitvm_error *err);

struct jitvm_chunk *jitvm_chunk_ref(struct jitvm_chunk *chunk);
void jitvm_chunk_unref(struct jitvm_chunk *chunk); /* NULL is ignored */

/* XXH3-128 of the canonical bytes and of the ABI: what caches are keyed by. Big-endian. */
void jitvm_chunk_identity(const struct jitvm_chunk *chunk, uint8_t out[16]);

/* ---- a VM ----------------------------------------------------------------------------------- */

struct jitvm;

struct jitvm_limits {
    uint64_t fuel;       /* one unit per back edge and call; UINT64_MAX: no limit */
    uint64_t heap_bytes; /* of strings, arrays and hashes alive at once */
    uint32_t depth;      /* nested calls; fewer, where functions have more than 64 variables and
                          * operands on average. One takes at most 512 bytes of the thread's own
                          * stack, one that a builtin makes (sort, map, ...) at most 1024 */
};
#define JITVM_FUEL_UNLIMITED UINT64_MAX
#define JITVM_HEAP_DEFAULT   (UINT64_C(1) << 30)
#define JITVM_DEPTH_DEFAULT  4000u
#define JITVM_DEPTH_MAX      1000000u

/* When code is compiled. The names and defaults are those of the system this realises. */
struct jitvm_trace_config {
    uint32_t trace_threshold; /* 50: passes of a loop before it is recorded */
    uint32_t block_threshold; /* 1: calls of a function before it is compiled; 0: at the first */
    uint32_t max_side_exits;  /* 50: of compiled code before it is thrown away */
    uint32_t max_inline_recursion; /* 4 */
    uint32_t max_trace_chain;      /* 4 */
    uint32_t max_trace_len;        /* 256 */
};

enum jitvm_jit {
    JITVM_JIT_OFF = 0,    /* the interpreter alone */
    JITVM_JIT_LINEAR = 1, /* functions of one basic block */
    JITVM_JIT_BLOCK = 2,  /* whole functions, and these */
};

enum jitvm_debug {
    JITVM_DEBUG_PERF = 1, /* write /tmp/perf-PID.map */
    JITVM_DEBUG_GDB = 2,  /* tell a debugger of compiled code (the GDB JIT interface) */
    JITVM_DUMP_CODE = 4,  /* the lowered code of each function, when the chunk is loaded */
    JITVM_DUMP_IR = 8,    /* kinds and registers, when one is compiled */
    JITVM_DUMP_ASM = 16,  /* machine code, likewise */
};

struct jitvm_config {
    struct jitvm_limits limits;
    struct jitvm_trace_config trace;
    enum jitvm_jit jit;
    unsigned debug; /* enum jitvm_debug, or'ed */
    FILE *dump;     /* where dumps go; NULL: stderr */
    uint64_t seed;  /* of rand(); 0: from the system */
};

/* Fills in the defaults, and JITVM_TRACE_THRESHOLD and JITVM_BLOCK_THRESHOLD from the environment:
 * fails with VALUE when one of them is set and no number. */
int jitvm_config_default(struct jitvm_config *config, struct jitvm_error *err);

int jitvm_new(const struct jitvm_config *config, struct jitvm **out, struct jitvm_error *err);
/* NULL is ignored. Strings, arrays and hashes of the VM that somebody still has are gone with it:
 * they are released, or copied out, before. */
void jitvm_free(struct jitvm *vm);

/* Between runs only. A new fuel limit starts a new count. A host function that calls
 * jitvm_set_limits sets fuel and heap; the depth stays as it is. */
void jitvm_set_limits(struct jitvm *vm, const struct jitvm_limits *limits);
void jitvm_set_config(struct jitvm *vm, const struct jitvm_trace_config *config);

/* Takes its own reference; binds the names of builtins, host functions and extension ops, and fails
 * with UNDEFINED when one is not there. At most once per VM; after a failure the VM has no chunk,
 * and may be given one. */
int jitvm_load(struct jitvm *vm, struct jitvm_chunk *chunk, struct jitvm_error *err);

/* Runs the chunk's top level, or a function of it by name. Arguments are borrowed; the result is
 * the caller's, to be given to jitvm_release; `out` may be NULL. After an error the VM holds no
 * activation and can be called again. */
int jitvm_run(struct jitvm *vm, struct jitvm_value *out, struct jitvm_error *err);
int jitvm_call(struct jitvm *vm, const char *function, const struct jitvm_value *args,
               unsigned count, struct jitvm_value *out, struct jitvm_error *err);

/* The run in progress, or the next one, fails with INTERRUPTED soon. From any thread or signal. */
void jitvm_interrupt(struct jitvm *vm);

/* Fuel left; UINT64_MAX without a limit. */
uint64_t jitvm_fuel_left(const struct jitvm *vm);

/* ---- host functions ------------------------------------------------------------------------- */

/* Arguments are borrowed. *out is undef when called; what is stored there becomes the VM's. A
 * failure is reported with jitvm_raise, whose result is returned. */
typedef int (*jitvm_native_fn)(struct jitvm *vm, void *context, const struct jitvm_value *args,
                               unsigned count, struct jitvm_value *out);

enum jitvm_native_flags {
    JITVM_PURE = 1,      /* depends on the arguments alone, and changes nothing */
    JITVM_NO_REENTER = 2 /* never calls back into the VM, and looks at no global of it */
};

#define JITVM_ANY_COUNT 255u

struct jitvm_native {
    const char *name; /* copied */
    jitvm_native_fn fn;
    void *context;              /* given to fn */
    uint8_t min_args, max_args; /* max JITVM_ANY_COUNT: any number of them */
    uint8_t flags;              /* enum jitvm_native_flags, or'ed */
    uint8_t result;             /* the only enum jitvm_kind it gives, or JITVM_KINDS: any */
};

/* Before jitvm_load. A name that is taken, by a builtin too, is replaced. */
int jitvm_register(struct jitvm *vm, const struct jitvm_native *native, struct jitvm_error *err);

/* Extension ops: `Extended name, arg` and `ExtendedWide name, arg`. Takes `pops` values, gives
 * `pushes` (0 or 1). A chunk that declares other numbers does not load. `args` are borrowed. */
typedef int (*jitvm_extension_fn)(struct jitvm *vm, void *context, uint64_t arg,
                                  const struct jitvm_value *args, struct jitvm_value *out);
struct jitvm_extension {
    const char *name; /* copied */
    jitvm_extension_fn fn;
    void *context;
    uint8_t pops, pushes;
};
int jitvm_register_extension(struct jitvm *vm, const struct jitvm_extension *extension,
                             struct jitvm_error *err);

/* Makes the call that is under way fail. Returns `status`, to be returned by the caller. */
int jitvm_raise(struct jitvm *vm, enum jitvm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Calls a function or native value from within a host function. `args` are borrowed. On failure
 * the error is pending in the VM: return it, or go on as if nothing was. */
int jitvm_apply(struct jitvm *vm, struct jitvm_value function, const struct jitvm_value *args,
                unsigned count, struct jitvm_value *out);

/* Where print() and friends write and readline() reads: the descriptors 1 and 0 by default. A write
 * returns 0 or -1; a read the number of bytes, 0 at the end, -1. What is printed is written when 8
 * KiB of it are there, before a read, when the run ends, and when the output is set: a host
 * function that writes there itself does the last first. */
typedef int (*jitvm_write_fn)(void *context, const void *bytes, size_t len);
typedef ptrdiff_t (*jitvm_read_fn)(void *context, void *bytes, size_t len);
void jitvm_set_output(struct jitvm *vm, jitvm_write_fn write, void *context);
void jitvm_set_input(struct jitvm *vm, jitvm_read_fn read, void *context);

/* What args() gives. Copied. */
int jitvm_set_args(struct jitvm *vm, unsigned count, const char *const *args,
                   struct jitvm_error *err);

/* ---- values, from outside ------------------------------------------------------------------- */

static inline struct jitvm_value jitvm_undef(void)
{
    return (struct jitvm_value){.kind = JITVM_UNDEF};
}

static inline struct jitvm_value jitvm_bool(bool b)
{
    return (struct jitvm_value){.kind = JITVM_BOOL, .as.i = b};
}

static inline struct jitvm_value jitvm_int(int64_t i)
{
    return (struct jitvm_value){.kind = JITVM_INT, .as.i = i};
}

/* Gives the one NaN there is for every NaN. */
struct jitvm_value jitvm_float(double f);
static inline struct jitvm_value jitvm_handle(void *handle)
{
    return (struct jitvm_value){.kind = JITVM_HANDLE, .as.handle = handle};
}

/* Counted references to a value: retain makes one more, release ends one. */
void jitvm_retain(struct jitvm_value value);
void jitvm_release(struct jitvm *vm, struct jitvm_value value);

/* Those that allocate fail with HEAP, and raise it. The result is the caller's. */
int jitvm_str(struct jitvm *vm, const void *bytes, size_t len, struct jitvm_value *out);
const char *jitvm_str_bytes(struct jitvm_value str, size_t *len); /* not ended with 0 */

/* An empty container; the caller's. */
int jitvm_array(struct jitvm *vm, struct jitvm_value *out);
int jitvm_hash(struct jitvm *vm, struct jitvm_value *out);

/* Take `value`, also when they fail. *array and *hash are changed in place, or copied first when
 * somebody else has a reference. */
int jitvm_array_push(struct jitvm *vm, struct jitvm_value *array, struct jitvm_value value);
int jitvm_hash_set(struct jitvm *vm, struct jitvm_value *hash, struct jitvm_value key,
                   struct jitvm_value value);

size_t jitvm_length(struct jitvm_value value); /* bytes, elements, entries; otherwise 0 */
/* Elements and entries, in order; the value is the caller's to release. Undef outside. */
struct jitvm_value jitvm_array_at(struct jitvm_value array, size_t index);
struct jitvm_value jitvm_hash_get(struct jitvm_value hash, struct jitvm_value key);

/* Coercions (docs/jitvm.md): what the ops do with a value of another kind. */
bool jitvm_truthy(struct jitvm_value value);
int64_t jitvm_to_int(struct jitvm_value value);
double jitvm_to_float(struct jitvm_value value);
int jitvm_to_str(struct jitvm *vm, struct jitvm_value value, struct jitvm_value *out);

/* ---- the builder, for frontends ------------------------------------------------------------- */

struct jitvm_builder;
struct jitvm_op;

int jitvm_builder_new(const char *source, struct jitvm_builder **out, struct jitvm_error *err);
void jitvm_builder_free(struct jitvm_builder *builder);
/* chunk/builder.h declares the rest: emitting ops, constants, functions, labels. */

/* ---- figures -------------------------------------------------------------------------------- */

struct jitvm_stats {
    uint64_t heap_bytes, heap_peak;                    /* now, and the most there were */
    uint64_t functions, ops, code_insns;               /* of the chunk; of its lowered form */
    uint64_t compiled_linear, compiled_block, refused; /* functions */
    uint64_t native_bytes;                             /* of machine code */
    uint64_t compile_ns_total, compile_ns_max;
    uint64_t entries, entry_misses, exits; /* of native code; guards at entry that failed; exits */
};
void jitvm_stats(const struct jitvm *vm, struct jitvm_stats *out);
/* Time per compiled function, in the order they were compiled: up to `max` of them into ns.
 * Returns how many there are. */
size_t jitvm_compile_times(const struct jitvm *vm, uint64_t *ns, size_t max);

#endif
