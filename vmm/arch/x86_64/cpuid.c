/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID: what KVM supports, with each vCPU's own APIC id and a topology of one package with one
 * thread per core. Leaf numbers as in the Intel SDM volume 2A (CPUID) and AMD's APM volume 3.
 */
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/arch.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/kvm.h"

#include <errno.h>

#define CPUID_ENTRIES_MAX 256u

struct arch_cpuid {
    struct kvm_cpuid2 *table; /* with room for CPUID_ENTRIES_MAX entries */
};

int arch_cpuid_create(int kvm_fd, struct arch_cpuid **out, struct thaw_error *err)
{
    struct kvm_cpuid2 *table =
        calloc(1, sizeof(*table) + CPUID_ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2));
    struct arch_cpuid *cpuid = calloc(1, sizeof(*cpuid));
    if (!table || !cpuid) {
        free(table);
        free(cpuid);
        return thaw_fail(err, ENOMEM, "CPUID table");
    }
    cpuid->table = table;

    table->nent = CPUID_ENTRIES_MAX;
    int rc = kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, table, err);
    if (rc < 0) {
        arch_cpuid_free(cpuid);
        return rc;
    }
    *out = cpuid;
    return 0;
}

void arch_cpuid_free(struct arch_cpuid *cpuid)
{
    if (!cpuid)
        return;
    free(cpuid->table);
    free(cpuid);
}

/* Bits needed to number `count` things: 0 for 1, 1 for 2, 2 for 3 and 4, ... */
static unsigned width(unsigned count)
{
    unsigned bits = 0;
    while ((1u << bits) < count)
        bits++;
    return bits;
}

static uint32_t replace(uint32_t word, unsigned shift, uint32_t mask, uint32_t value)
{
    return (word & ~(mask << shift)) | (value & mask) << shift;
}

/* Leaf 1: APIC id, number of logical processors, hypervisor bit, TSC deadline timer. */
static void patch_features(struct kvm_cpuid_entry2 *e, unsigned index, unsigned count)
{
    const uint32_t ecx_tsc_deadline = 1u << 24, ecx_hypervisor = 1u << 31, edx_htt = 1u << 28;

    e->ebx = replace(e->ebx, 24, 0xff, index);
    e->ebx = replace(e->ebx, 16, 0xff, count);
    /* KVM emulates the deadline timer wherever it has an in-kernel APIC, but does not offer it in
     * KVM_GET_SUPPORTED_CPUID (api.rst). With it the guest need not calibrate its APIC timer. */
    e->ecx |= ecx_tsc_deadline | ecx_hypervisor;
    e->edx = count > 1 ? e->edx | edx_htt : e->edx & ~edx_htt;
}

/* Leaf 4: caches. Each core has its own up to level 2; the package shares level 3. */
static void patch_caches(struct kvm_cpuid_entry2 *e, unsigned count)
{
    unsigned level = (e->eax >> 5) & 7;
    e->eax = replace(e->eax, 14, 0xfff, level >= 3 ? count - 1 : 0);
    e->eax = replace(e->eax, 26, 0x3f, count - 1);
}

/* Leaves 0xb and 0x1f: x2APIC id, threads per core (one), cores per package. */
static void patch_topology(struct kvm_cpuid_entry2 *e, unsigned index, unsigned count)
{
    const uint32_t type_smt = 1, type_core = 2;

    e->edx = index;
    e->ecx = e->index;
    if (e->index == 0) {
        e->eax = 0;
        e->ebx = 1;
        e->ecx |= type_smt << 8;
    } else if (e->index == 1) {
        e->eax = width(count);
        e->ebx = count;
        e->ecx |= type_core << 8;
    } else {
        e->eax = e->ebx = 0;
    }
}

void cpuid_patch(struct kvm_cpuid_entry2 *e, unsigned index, unsigned count)
{
    switch (e->function) {
    case 0x1:
        patch_features(e, index, count);
        break;
    case 0x4:
        patch_caches(e, count);
        break;
    case 0xb:
    case 0x1f:
        patch_topology(e, index, count);
        break;
    case 0x80000008: /* AMD: number of cores less one, and the width of their ids */
        e->ecx = replace(e->ecx, 0, 0xff, count - 1);
        e->ecx = replace(e->ecx, 12, 0xf, width(count));
        break;
    case 0x8000001d: /* AMD: caches, laid out like leaf 4 */
        patch_caches(e, count);
        e->eax &= ~(0x3fu << 26);
        break;
    case 0x8000001e: /* AMD: extended APIC id, core id, one thread per core, one node */
        e->eax = index;
        e->ebx = index;
        e->ecx = 0;
        break;
    default:
        break;
    }
}

/* PVM and some older kernels do not list leaf 0xb's second level; Linux needs both. */
static void ensure_topology_levels(struct kvm_cpuid2 *table)
{
    const uint32_t leaf = 0xb;
    bool seen[2] = {false, false};
    for (uint32_t i = 0; i < table->nent; i++)
        if (table->entries[i].function == leaf && table->entries[i].index < 2)
            seen[table->entries[i].index] = true;

    for (uint32_t level = 0; level < 2; level++)
        if (seen[0] != seen[1] && !seen[level] && table->nent < CPUID_ENTRIES_MAX)
            table->entries[table->nent++] = (struct kvm_cpuid_entry2){
                .function = leaf, .index = level, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX};
}

int cpuid_set(int vcpu_fd, struct arch_cpuid *cpuid, unsigned index, unsigned count,
              struct thaw_error *err)
{
    ensure_topology_levels(cpuid->table);
    for (uint32_t i = 0; i < cpuid->table->nent; i++)
        cpuid_patch(&cpuid->table->entries[i], index, count);
    return kvm_ioctl(vcpu_fd, KVM_SET_CPUID2, cpuid->table, err);
}

uint64_t cpuid_xcr0(const struct arch_cpuid *cpuid)
{
    const struct kvm_cpuid2 *table = cpuid->table;
    for (uint32_t i = 0; i < table->nent; i++)
        if (table->entries[i].function == 0xd && table->entries[i].index == 0)
            return (uint64_t)table->entries[i].edx << 32 | table->entries[i].eax;
    return 0;
}
