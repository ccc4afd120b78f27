/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers, many at a time (api.rst, KVM_GET_MSRS and KVM_SET_MSRS).
 *
 * What is saved is what KVM's own list says (KVM_GET_MSR_INDEX_LIST), and the MTRRs, which are not
 * in it: a list of our own would drop what a newer KVM adds. Left out are the TSC and its deadline,
 * which have an order of their own, and registers whose write is a command and not a state.
 */
#ifndef THAW_ARCH_X86_64_MSR_H
#define THAW_ARCH_X86_64_MSR_H

#include "vmm/arch/arch.h"

#include <linux/kvm.h>
#include <stdbool.h>

#define MSR_COUNT_MAX 1024u

#define MSR_TSC          0x10u
#define MSR_TSC_DEADLINE 0x6e0u

/* Indices, laid out like struct kvm_msr_list. */
struct msr_list {
    uint32_t count;
    uint32_t indices[MSR_COUNT_MAX];
};

/* The registers to save on this host, in the order in which they can be set: those that others
 * depend on come first. */
int msr_list_get(int kvm_fd, struct msr_list *list, struct thaw_error *err);

/* Is `index` in the list? `*hint` is where to look first and is moved on, so that going through
 * indices in the list's own order costs one comparison each. Begin with 0. */
bool msr_list_has(const struct msr_list *list, uint32_t index, uint32_t *hint);

/* Reads the registers of `list` that this vCPU has into `entries` (room for MSR_COUNT_MAX) and
 * returns how many, or a negative errno. */
int msr_read(int vcpu_fd, const struct msr_list *list, struct kvm_msr_entry *entries,
             struct thaw_error *err);

/* Gives each of `count` registers the value that was just read from it, unless a write has effects
 * beyond that. Those that KVM refuses are taken out of `entries` and named in `state`. Returns how
 * many are left, or a negative errno. */
int msr_probe(int vcpu_fd, struct kvm_msr_entry *entries, uint32_t count, struct arch_state *state,
              struct thaw_error *err);

/*
 * A value for the TSC. KVM takes a write within a second of what it expects for an attempt to
 * synchronize vCPUs, and keeps its own value: right for all but the first vCPU, wrong for that one,
 * whose saved value would not arrive near the guest's boot or after a reset in place. Forced: a
 * value far away is written before, after which any other is taken literally.
 */
struct tsc_write {
    uint64_t value;
    bool forced;
};

/* Sets the TSC, then `count` registers. One that is refused, and that has not that value already,
 * is THAW_FAIL_SNAPSHOT_CPU by name. */
int msr_write(int vcpu_fd, const struct tsc_write *tsc, const struct kvm_msr_entry *entries,
              uint32_t count, struct thaw_error *err);

/* One register: 0, -ENOENT when KVM refuses it, or another negative errno. No message. */
int msr_get(int vcpu_fd, uint32_t index, uint64_t *value);
int msr_set(int vcpu_fd, uint32_t index, uint64_t value);

#endif
