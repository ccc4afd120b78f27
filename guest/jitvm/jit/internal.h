/* SPDX-License-Identifier: Apache-2.0 */
/* The compilers, from inside: versions of functions, exits, links, helpers. */
#ifndef JITVM_JIT_INTERNAL_H
#define JITVM_JIT_INTERNAL_H

#include "guest/jitvm/jit/asm.h"
#include "guest/jitvm/jit/block.h"
#include "guest/jitvm/jit/gdb.h"
#include "guest/jitvm/jit/jit.h"
#include "guest/jitvm/jit/memory.h"

/* What a typed body gives; in rax and rdx. */
struct jit_result {
    uint64_t payload;
    uint64_t kind; /* enum jitvm_kind, or JIT_FAILED: an error is pending */
};
#define JIT_FAILED 255u
/* Of JIT_EXIT_RUN only: the activation is not over, its registers are in their cells, and the
 * payload is the typed entry that it goes on at. */
#define JIT_GOES_ON 254u

/* The first slots of the table that code calls through: C functions and the pieces of machine code
 * that they are reached by. */
enum jit_helper {
    JIT_OP,         /* status (vm, base, version, insn): as op_slow does it */
    JIT_BRANCH,     /* taken (vm, base, version, insn) */
    JIT_CALL,       /* status (vm, base, version, insn): CALLDYN */
    JIT_ERROR,      /* (vm, base, version, insn): unwinds the activation */
    JIT_ENTRY_MISS, /* status (vm, base, version) */
    JIT_EXIT_SAVE,  /* exit (vm, base, version, exit, registers) */
    JIT_EXIT_RUN,   /* result (vm, base, version, exit) */
    JIT_BOX_ARGS,   /* link (vm, base, link, registers) */
    JIT_INVOKE,     /* result (vm, base, link) */
    JIT_REFUEL,     /* status (vm) */
    JIT_RELEASE,    /* (vm, cell) */
    JIT_PAY,        /* status (vm, base, version): fuel and depth of an activation */
    JIT_POW,        /* double (double, double) */
    JIT_FMOD,
    JIT_FLOAT_TO_INT, /* int64_t (double) */
    /* machine code */
    JIT_DO_EXIT,
    JIT_DO_OP,
    JIT_DO_REFUEL,
    JIT_DO_RELEASE,
    JIT_DO_PAY,
    JIT_DO_ADAPT,
    JIT_DO_FLOAT_TO_INT,
    JIT_DO_BRANCH,
    JIT_HELPERS
};

/* How a register is made whole for the interpreter. */
struct jit_restore {
    uint16_t reg;
    uint8_t kind;
    int8_t place; /* gpr, 16 + xmm, -1: the payload is in the cell; -2: undef */
};

struct jit_exit {
    uint32_t insn;         /* where the interpreter goes on */
    uint32_t first, count; /* of restores */
    uint32_t taken;
    uint32_t at; /* the instruction that it belongs to */
    bool unseen; /* which had never run when this was compiled */
};

/* One compilation of a function. */
struct jit_version {
    struct jit_code *code;
    uint32_t number; /* in jit.versions */
    kind_set *args;  /* by argument; of a loop: by register */
    uint32_t head;   /* of a loop: its first instruction, which it is entered at */
    bool is_loop;
    struct jit_version *next_loop; /* of the same function */
    uint32_t exits_taken;
    bool given_up; /* there were too many of them */
    kind_set result;
    struct jit_exit *exits;
    uint32_t exit_count;
    size_t exit_room;
    struct jit_restore *restores;
    uint32_t restore_count;
    size_t restore_room;
    const char *start;
    size_t len;
    uint32_t boxed, typed; /* offsets of the entries */
    struct jit_gdb *gdb;
};

/* Everything compiled of one function. */
struct jit_code {
    struct vm_function *function;
    struct jit_version *current;
    struct jit_version *loops; /* entered in the middle */
    uint8_t *slow;             /* by instruction: guessing did not pay */
    kind_set *args;            /* by argument: what it is compiled for */
    uint32_t exits, misses, compilations, loop_compilations;
    uint64_t passes; /* of loops, that the interpreter made, about */
    bool generic, linear, refused;
};

struct jit_link {
    uint32_t function;
    kind_set *args; /* as many as its arity */
};

struct jit {
    struct jit_memory *memory;
    struct assembler assembler;
    struct arena arena;
    const void **links; /* vm->links: helpers, then one for each of `link` */
    struct jit_link *link;
    uint32_t link_count, link_room;
    struct jit_version **versions;
    uint32_t version_count;
    size_t version_room;
    uint32_t restores; /* of all versions */
    uint64_t *times;
    size_t time_count, time_room;
    const struct places *places;
    bool failed; /* no memory for code, or none may be executed */
};

/* ---- what an architecture gives -------------------------------------------------------------- */

/* NULL: there is none for this processor. */
const struct places *arch_places(void);
uint32_t arch_features(void);
/* Emits the pieces that helpers JIT_DO_EXIT... are, an offset for each from there on. */
int arch_stubs(struct assembler *a, uint32_t offsets[JIT_HELPERS]);
/* Emits the function, its exits and its entries; version->boxed, typed are filled in. */
int arch_compile(struct jit *jit, struct jit_version *version, struct flow *f);

/* ---- exits.c --------------------------------------------------------------------------------- */

/* Adds an exit that goes on at `insn`; its number, or UINT32_MAX without memory. Then its restores,
 * at once. */
uint32_t exits_add(struct jit_version *version, uint32_t insn, uint32_t at);
int exits_restore(struct jit_version *version, struct jit_restore restore);
void exits_dump(const struct jit_version *version, FILE *to);
/* An exit is taken: is it time for another compilation? What the interpreter saw after those before
 * is in the profile. */
void exits_count(struct jitvm *vm, struct jit_version *version, struct jit_exit *exit);

/* ---- helpers.c ------------------------------------------------------------------------------- */

void helpers_fill(const void **links);

/* Where the trampolines save machine registers. */
struct jit_registers {
    uint64_t ints[16];
    struct {
        double low, high; /* all of it: a boxed value may be on its way */
    } floats[16];
};

/* ---- jit.c ----------------------------------------------------------------------------------- */

/* Compiles for the kinds in code->args; 0, or why not. */
int jit_compile(struct jitvm *vm, struct jit_code *code);

#endif
