/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One chunk in a VM per tier, run side by side: after every call all that can be seen from outside
 * must be the same. The interpreter is the first and says what is right.
 *
 * Not bound to a test framework: the fuzz target uses it too.
 */
#ifndef TESTS_JITVM_RUN_RIG_H
#define TESTS_JITVM_RUN_RIG_H

#include "guest/jitvm/chunk/builder.h"
#include "guest/jitvm/vm/vm.h"

/* The interpreter; functions of one basic block; whole functions at their first call; at their
 * second. */
#define RUN_TIERS 4
const char *run_tier_name(unsigned tier);

/* What a call gave, and how the VM was left. */
struct run_seen {
    int rc;
    struct jitvm_error err;
    struct jitvm_value value; /* owned; undef after an error */
    uint64_t fuel, heap;      /* left; in use, `value` too */
    size_t written;           /* bytes, since the rig was made */
};

struct run_vm {
    struct jitvm *vm;
    char *out; /* all that was written */
    size_t out_len, out_room;
    struct run_seen seen; /* of the last call */
};

struct run_rig {
    struct jitvm_chunk *chunk;
    struct run_vm vms[RUN_TIERS];
    bool is_pair;    /* of chunks: what they need of fuel and heap is their own business */
    char said[1024]; /* the first difference that was found; empty: none */
};

/* Called for each VM before the chunk is loaded: to register what the chunk needs. May be NULL. */
typedef int (*run_prepare_fn)(struct jitvm *vm);

/* Takes the chunk's reference. False: what failed is in `said`; free it all the same. */
bool run_rig_init(struct run_rig *rig, struct jitvm_chunk *chunk, const struct jitvm_limits *limits,
                  run_prepare_fn prepare);
/* Two chunks that must do the same, each in the interpreter and in the highest tier: VMs 0 and 1
 * have the first, 2 and 3 the second. Takes both references; what they
 * need of fuel and heap may differ. */
bool run_rig_init_pair(struct run_rig *rig, struct jitvm_chunk *first, struct jitvm_chunk *second,
                       const struct jitvm_limits *limits);
void run_rig_free(struct run_rig *rig);

/* Calls the function (NULL: the top level) in every VM, with args[tier * count + i] as argument i
 * of the VM `tier`. False when the outcomes differ, `said` then says how. What they gave stays in
 * `seen` until the next call or run_rig_free. */
bool run_rig_call(struct run_rig *rig, const char *function, const struct jitvm_value *args,
                  unsigned count);

/* Are the globals the same? */
bool run_rig_globals(struct run_rig *rig);

void run_rig_set_limits(struct run_rig *rig, const struct jitvm_limits *limits);

/* How often compiled code was entered, in the VM of the tier. */
uint64_t run_rig_entries(const struct run_rig *rig, unsigned tier);

/* No limits that a test meets by accident. */
extern const struct jitvm_limits run_no_limits;

#endif
