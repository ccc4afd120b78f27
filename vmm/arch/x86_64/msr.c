/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/arch/x86_64/msr.h"

#include "vmm/base/kvm.h"

#include <asm/kvm_para.h>
#include <errno.h>
#include <string.h>

/* KVM takes fewer than 256 in one call (MAX_IO_MSRS). */
#define BATCH_MAX 255u

#define TSC_FAR_AWAY (1ull << 42) /* ticks: many minutes, at any rate there is */

#define KVM_MSR_FIRST     0x4b564d00u
#define KVM_MSR_LAST      0x4b564dffu
#define X2APIC_FIRST      0x800u
#define X2APIC_LAST       0x8ffu
#define HYPERV_FIRST      0x40000000u
#define HYPERV_LAST       0x400001ffu
#define OLD_KVM_WALL      0x11u
#define OLD_KVM_TIME      0x12u
#define MTRR_VARIABLE     0x200u
#define MTRR_VARIABLE_END 0x210u

/* Laid out like struct kvm_msrs. */
struct batch {
    uint32_t count, padding;
    struct kvm_msr_entry entries[BATCH_MAX];
};

static const uint32_t fixed_mtrrs[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                       0x26b, 0x26c, 0x26d, 0x26e, 0x26f, 0x2ff};

/* What the guest may do with others depends on these: VMX lock, platform information (CPUID
 * faulting), ARCH_CAPABILITIES, PERF_CAPABILITIES. */
static const uint32_t first_msrs[] = {0x3a, 0xce, 0x10a, 0x345};

static bool is_one_of(uint32_t index, const uint32_t *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == index)
            return true;
    return false;
}
#define IS_ONE_OF(index, list) is_one_of(index, list, sizeof(list) / sizeof((list)[0]))

/* Commands: PRED_CMD, FLUSH_CMD, the x2APIC's EOI, interrupt command and self interrupt (its other
 * registers are in the LAPIC's page). Hyper-V's registers: no guest of ours is told of them. The
 * two of the TSC are set on their own. */
static bool is_no_state(uint32_t index)
{
    static const uint32_t others[] = {MSR_TSC, MSR_TSC_DEADLINE, 0x49, 0x10b};
    return (index >= X2APIC_FIRST && index <= X2APIC_LAST) ||
           (index >= HYPERV_FIRST && index <= HYPERV_LAST) || IS_ONE_OF(index, others);
}

/* Writing one of KVM's own registers makes it write guest memory or wake waiting tasks. It takes
 * back all of them. */
static bool is_paravirtual(uint32_t index)
{
    return (index >= KVM_MSR_FIRST && index <= KVM_MSR_LAST) || index == OLD_KVM_WALL ||
           index == OLD_KVM_TIME;
}

static void add(struct msr_list *list, uint32_t index)
{
    if (list->count < MSR_COUNT_MAX)
        list->indices[list->count++] = index;
}

static void add_mtrrs(struct msr_list *list)
{
    for (size_t i = 0; i < sizeof(fixed_mtrrs) / sizeof(fixed_mtrrs[0]); i++)
        add(list, fixed_mtrrs[i]);
    for (uint32_t index = MTRR_VARIABLE; index < MTRR_VARIABLE_END; index++)
        add(list, index);
}

static bool is_mtrr(uint32_t index)
{
    return (index >= MTRR_VARIABLE && index < MTRR_VARIABLE_END) || IS_ONE_OF(index, fixed_mtrrs);
}

int msr_list_get(int kvm_fd, struct msr_list *list, struct thaw_error *err)
{
    struct msr_list all = {.count = MSR_COUNT_MAX};
    int rc = kvm_ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &all, err);
    if (rc < 0)
        return rc;
    list->count = 0;
    for (uint32_t i = 0; i < all.count; i++)
        if (IS_ONE_OF(all.indices[i], first_msrs))
            add(list, all.indices[i]);
    for (uint32_t i = 0; i < all.count; i++)
        if (!IS_ONE_OF(all.indices[i], first_msrs) && !is_no_state(all.indices[i]) &&
            !is_mtrr(all.indices[i]))
            add(list, all.indices[i]);
    add_mtrrs(list);
    return 0;
}

bool msr_list_has(const struct msr_list *list, uint32_t index, uint32_t *hint)
{
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t at = (*hint + i) % list->count;
        if (list->indices[at] == index) {
            *hint = at + 1;
            return true;
        }
    }
    return false;
}

static uint32_t at_most(uint32_t count, uint32_t limit)
{
    return count < limit ? count : limit;
}

int msr_read(int vcpu_fd, const struct msr_list *list, struct kvm_msr_entry *entries,
             struct thaw_error *err)
{
    uint32_t found = 0;
    for (uint32_t at = 0; at < list->count;) {
        struct batch batch = {.count = at_most(list->count - at, BATCH_MAX)};
        for (uint32_t i = 0; i < batch.count; i++)
            batch.entries[i].index = list->indices[at + i];
        int rc = kvm_ioctl(vcpu_fd, KVM_GET_MSRS, &batch, err);
        if (rc < 0)
            return rc;
        uint32_t done = at_most((uint32_t)rc, batch.count);
        memcpy(entries + found, batch.entries, done * sizeof(*entries));
        found += done;
        /* A short count stops at an index that this vCPU does not have. */
        at += done + (done < batch.count);
    }
    return (int)found;
}

static void omit(struct arch_state *state, uint32_t index)
{
    if (state->omitted_count < ARCH_OMITTED_MAX &&
        !is_one_of(index, state->omitted, state->omitted_count))
        state->omitted[state->omitted_count++] = index;
}

/* Takes entry number `at` of `*count` out. */
static void take_out(struct kvm_msr_entry *entries, uint32_t *count, uint32_t at)
{
    memmove(entries + at, entries + at + 1, (*count - at - 1) * sizeof(*entries));
    (*count)--;
}

int msr_probe(int vcpu_fd, struct kvm_msr_entry *entries, uint32_t count, struct arch_state *state,
              struct thaw_error *err)
{
    for (uint32_t at = 0; at < count;) {
        struct batch batch = {0};
        uint32_t source[BATCH_MAX], next = at;
        for (; next < count && batch.count < BATCH_MAX; next++) {
            if (is_paravirtual(entries[next].index))
                continue;
            source[batch.count] = next;
            batch.entries[batch.count++] = entries[next];
        }
        int rc = batch.count ? kvm_ioctl(vcpu_fd, KVM_SET_MSRS, &batch, err) : 0;
        if (rc < 0)
            return rc;
        at = next;
        if ((uint32_t)rc < batch.count) {
            at = source[rc];
            omit(state, entries[at].index);
            take_out(entries, &count, at);
        }
    }
    return (int)count;
}

int msr_get(int vcpu_fd, uint32_t index, uint64_t *value)
{
    struct {
        uint32_t count, padding;
        struct kvm_msr_entry entry;
    } one = {.count = 1, .entry.index = index};
    int rc = ioctl(vcpu_fd, KVM_GET_MSRS, &one);
    if (rc < 0)
        return -errno;
    *value = one.entry.data;
    return rc == 1 ? 0 : -ENOENT;
}

int msr_set(int vcpu_fd, uint32_t index, uint64_t value)
{
    struct {
        uint32_t count, padding;
        struct kvm_msr_entry entry;
    } one = {.count = 1, .entry = {.index = index, .data = value}};
    int rc = ioctl(vcpu_fd, KVM_SET_MSRS, &one);
    if (rc < 0)
        return -errno;
    return rc == 1 ? 0 : -ENOENT;
}

/* Some hosts let nobody write a register whose value they have fixed. If that is the value which
 * is wanted, nothing is missing. */
static int refused(int vcpu_fd, const struct kvm_msr_entry *entry, struct thaw_error *err)
{
    uint64_t value = 0;
    if (msr_get(vcpu_fd, entry->index, &value) == 0 && value == entry->data)
        return 0;
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_CPU, EINVAL,
                        "MSR 0x%x: this host's KVM does not take 0x%llx", entry->index,
                        (unsigned long long)entry->data);
}

/* All of the batch, or the name of what was refused. */
static int write_batch(int vcpu_fd, struct batch *batch, struct thaw_error *err)
{
    for (;;) {
        int rc = kvm_ioctl(vcpu_fd, KVM_SET_MSRS, batch, err);
        if (rc < 0)
            return rc;
        uint32_t done = (uint32_t)rc;
        if (done >= batch->count)
            return 0;
        rc = refused(vcpu_fd, &batch->entries[done], err);
        batch->count -= done + 1;
        if (rc < 0 || batch->count == 0)
            return rc;
        memmove(batch->entries, batch->entries + done + 1,
                batch->count * sizeof(batch->entries[0]));
    }
}

static void put(struct batch *batch, uint32_t index, uint64_t value)
{
    batch->entries[batch->count++] = (struct kvm_msr_entry){.index = index, .data = value};
}

static bool uses_async_faults(const struct kvm_msr_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (entries[i].index == MSR_KVM_ASYNC_PF_EN && entries[i].data != 0)
            return true;
    return false;
}

int msr_write(int vcpu_fd, const struct tsc_write *tsc, const struct kvm_msr_entry *entries,
              uint32_t count, struct thaw_error *err)
{
    struct batch batch; /* not cleared: 4 KiB, on the way that a restore waits for */
    batch.count = batch.padding = 0;
    /* Pages that the life before was waiting for would be reported to this one. Off and on again:
     * they are forgotten, and who waited at the save is woken. */
    if (uses_async_faults(entries, count))
        put(&batch, MSR_KVM_ASYNC_PF_EN, 0);
    if (tsc->forced)
        put(&batch, MSR_TSC, tsc->value + TSC_FAR_AWAY);
    put(&batch, MSR_TSC, tsc->value);
    do {
        uint32_t part = at_most(count, BATCH_MAX - batch.count);
        memcpy(batch.entries + batch.count, entries, part * sizeof(*entries));
        batch.count += part;
        int rc = write_batch(vcpu_fd, &batch, err);
        if (rc < 0)
            return rc;
        entries += part;
        count -= part;
        batch.count = 0;
    } while (count > 0);
    return 0;
}
