/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device controller of cgroup v2 is an eBPF program (BPF_PROG_TYPE_CGROUP_DEVICE) that is
 * asked about every open and mknod of a device: 1 allows it. This generates one from a list of
 * rules.
 */
#ifndef THAW_BUNDLE_DEVICE_FILTER_H
#define THAW_BUNDLE_DEVICE_FILTER_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_ANY UINT32_MAX

/* An access asks for some bits of BPF_DEVCG_ACC_*. For each bit the last rule that covers the
 * device and the bit decides; an access is allowed when all its bits are. */
struct device_rule {
    uint32_t type;  /* BPF_DEVCG_DEV_CHAR, BPF_DEVCG_DEV_BLOCK, or DEVICE_ANY */
    uint32_t major; /* or DEVICE_ANY */
    uint32_t minor_first, minor_last;
    uint32_t access; /* BPF_DEVCG_ACC_*, not 0 */
    bool allow;
};

/* Most instructions that `rule_count` rules can take. */
size_t device_filter_size_max(size_t rule_count);

/* Writes the program to `program`, which has room for device_filter_size_max(), and returns its
 * length in instructions. `allow_rest` is what happens to an access that no rule covers. Majors
 * and minors must fit in an int32_t unless they are DEVICE_ANY. */
size_t device_filter_generate(const struct device_rule *rules, size_t rule_count, bool allow_rest,
                              struct bpf_insn *program);

#endif
