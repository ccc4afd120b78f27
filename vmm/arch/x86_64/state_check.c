/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Can this host take a saved machine? Vendor, CPUID features, MSRs, size of the XSAVE area. Values
 * are not looked at: a wrong one is the guest's own misfortune, and KVM checks what it must.
 */
#include "vmm/arch/x86_64/msr.h"
#include "vmm/arch/x86_64/state.h"
#include "vmm/base/kvm.h"

#include <asm/kvm_para.h>
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <xxhash.h>

uint32_t x86_xsave_size(int kvm_fd)
{
    int size = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
    return size > (int)sizeof(struct kvm_xsave) ? (uint32_t)size : sizeof(struct kvm_xsave);
}

uint64_t x86_host_id(int kvm_fd)
{
    /* No padding. The kernel's boot, and what another set of KVM's module parameters would change.
     */
    struct {
        char boot[40]; /* a UUID and a newline: 37 bytes */
        int capabilities[4];
        struct msr_list msrs;
    } host = {.msrs.count = MSR_COUNT_MAX};
    static const int capabilities[] = {KVM_CAP_XSAVE2, KVM_CAP_TSC_CONTROL, KVM_CAP_NESTED_STATE,
                                       KVM_CAP_X2APIC_API};

    cleanup_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, host.boot, sizeof(host.boot)) <= 0 ||
        ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &host.msrs) < 0)
        return 0;
    for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
        host.capabilities[i] = ioctl(kvm_fd, KVM_CHECK_EXTENSION, capabilities[i]);
    return XXH3_64bits(&host, sizeof(host));
}

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *table, uint32_t leaf,
                                           uint32_t index)
{
    for (uint32_t i = 0; i < table->nent; i++)
        if (table->entries[i].function == leaf && table->entries[i].index == index)
            return &table->entries[i];
    return NULL;
}

static bool same_vendor(const struct kvm_cpuid2 *a, const struct kvm_cpuid2 *b)
{
    const struct kvm_cpuid_entry2 *left = find(a, 0, 0), *right = find(b, 0, 0);
    return left && right && left->ebx == right->ebx && left->ecx == right->ecx &&
           left->edx == right->edx;
}

/* The vendor's name, as CPUID spells it: EBX, EDX, ECX. What is no text becomes a dot. */
static void vendor_name(const struct kvm_cpuid2 *table, char name[13])
{
    const struct kvm_cpuid_entry2 *leaf = find(table, 0, 0);
    const uint32_t words[3] = {leaf ? leaf->ebx : 0, leaf ? leaf->edx : 0, leaf ? leaf->ecx : 0};
    memcpy(name, words, sizeof(words));
    name[12] = '\0';
    for (int i = 0; i < 12; i++)
        if (name[i] < ' ' || name[i] > '~')
            name[i] = '.';
}

bool x86_is_amd(const struct kvm_cpuid2 *cpuid)
{
    char name[13];
    vendor_name(cpuid, name);
    return strcmp(name, "AuthenticAMD") == 0 || strcmp(name, "HygonGenuine") == 0;
}

bool x86_offers_virtualization(const struct kvm_cpuid2 *cpuid)
{
    const uint32_t vmx = 1u << 5, svm = 1u << 2;
    const struct kvm_cpuid_entry2 *basic = find(cpuid, 1, 0),
                                  *extended = find(cpuid, 0x80000001, 0);
    return (basic && basic->ecx & vmx) || (extended && extended->ecx & svm);
}

enum { EAX, EBX, ECX, EDX };
static const char *const register_names[] = {"EAX", "EBX", "ECX", "EDX"};

/* The words of feature bits, and which of the bits are not for the host to offer: those that thaw
 * sets itself, and those that follow the guest's own registers. */
static const struct feature_word {
    uint32_t leaf, index;
    int reg;
    uint32_t ignored;
} feature_words[] = {
    /* MONITOR (follows MISC_ENABLE), TSC deadline, OSXSAVE, hypervisor */
    {0x1, 0, ECX, 1u << 3 | 1u << 24 | 1u << 27 | 1u << 31},
    {0x1, 0, EDX, 1u << 9 | 1u << 28}, /* APIC (follows its base), HTT */
    {0x6, 0, EAX, 0},
    {0x7, 0, EBX, 0},
    {0x7, 0, ECX, 1u << 4}, /* OSPKE */
    {0x7, 0, EDX, 0},
    {0x7, 1, EAX, 0},
    {0x7, 1, EBX, 0},
    {0x7, 1, ECX, 0},
    {0x7, 1, EDX, 0},
    {0x7, 2, EDX, 0},
    {0xd, 0, EAX, 0}, /* XCR0 */
    {0xd, 0, EDX, 0},
    {0xd, 1, EAX, 0},
    {0xd, 1, ECX, 0}, /* XSS */
    {0xd, 1, EDX, 0},
    {KVM_CPUID_FEATURES, 0, EAX, 0}, /* KVM's own */
    {0x80000001, 0, ECX, 0},
    {0x80000001, 0, EDX, 1u << 9}, /* APIC */
    {0x80000007, 0, EDX, 0},
    {0x80000008, 0, EBX, 0},
    {0x8000000a, 0, EDX, 0}, /* SVM */
    {0x80000021, 0, EAX, 0},
    {0x80000022, 0, EAX, 0}, /* PMU */
};

static uint32_t register_of(const struct kvm_cpuid_entry2 *entry, int reg)
{
    const uint32_t registers[] = {entry->eax, entry->ebx, entry->ecx, entry->edx};
    return registers[reg];
}

static uint32_t read_word(const struct kvm_cpuid2 *table, const struct feature_word *word)
{
    const struct kvm_cpuid_entry2 *entry = find(table, word->leaf, word->index);
    return entry ? register_of(entry, word->reg) : 0;
}

struct host_cpuid {
    const struct kvm_cpuid2 *table; /* what KVM offers */
    enum kvm_host_kind kind;        /* KVM_HOST_NONE: not asked yet, it takes its time */
};

/* On a page-table based host a guest sees much of the processor's own CPUID, whatever KVM says that
 * it supports and whatever it was told with KVM_SET_CPUID2. */
static uint32_t leaked(struct host_cpuid *host, const struct feature_word *word)
{
    if (host->kind == KVM_HOST_NONE)
        host->kind = kvm_host_kind();
    struct kvm_cpuid_entry2 entry = {0};
    if (host->kind != KVM_HOST_PVM || word->leaf == KVM_CPUID_FEATURES ||
        !__get_cpuid_count(word->leaf, word->index, &entry.eax, &entry.ebx, &entry.ecx, &entry.edx))
        return 0;
    return register_of(&entry, word->reg);
}

static int compare_features(const struct kvm_cpuid2 *guest, struct host_cpuid *host,
                            struct thaw_error *err)
{
    if (!same_vendor(guest, host->table)) {
        char theirs[13], ours[13];
        vendor_name(guest, theirs);
        vendor_name(host->table, ours);
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_CPU, ENOTSUP,
                            "made on a processor by %s, this one is by %s", theirs, ours);
    }
    for (size_t i = 0; i < sizeof(feature_words) / sizeof(feature_words[0]); i++) {
        const struct feature_word *word = &feature_words[i];
        uint32_t missing = read_word(guest, word) & ~read_word(host->table, word) & ~word->ignored;
        if (missing != 0)
            missing &= ~leaked(host, word);
        if (missing != 0)
            return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_CPU, ENOTSUP,
                                "CPUID leaf 0x%x.%u %s: the guest has 0x%08x, which this host does "
                                "not offer",
                                word->leaf, word->index, register_names[word->reg], missing);
    }
    return 0;
}

int x86_cpuid_check(int kvm_fd, const struct x86_view *view, struct thaw_error *err)
{
    cleanup_free struct kvm_cpuid2 *table =
        calloc(1, sizeof(*table) + X86_CPUID_MAX * sizeof(table->entries[0]));
    if (!table)
        return thaw_fail(err, ENOMEM, "CPUID table");
    table->nent = X86_CPUID_MAX;
    int rc = kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, table, err);
    struct host_cpuid host = {.table = table};
    for (unsigned i = 0; i < view->vcpu_count && rc == 0; i++)
        if (compare_features(view->vcpus[i].cpuid, &host, err) < 0)
            return thaw_context(err, "cpuid %u", i);
    return rc;
}

static int check_msrs(const struct msr_list *list, const struct x86_vcpu_view *vcpu,
                      struct thaw_error *err)
{
    uint32_t hint = 0;
    for (uint32_t i = 0; i < vcpu->state->msr_count; i++)
        if (!msr_list_has(list, vcpu->msrs[i].index, &hint))
            return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_CPU, ENOTSUP,
                                "MSR 0x%x: this host's KVM does not have it", vcpu->msrs[i].index);
    return 0;
}

static int check_vcpu(const struct msr_list *list, uint32_t xsave_size,
                      const struct x86_vcpu_view *vcpu, struct thaw_error *err)
{
    if (vcpu->state->xsave_size != xsave_size)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_CPU, ENOTSUP,
                            "an XSAVE area of %u bytes, where this host's KVM has %u",
                            vcpu->state->xsave_size, xsave_size);
    return check_msrs(list, vcpu, err);
}

int arch_state_check(int kvm_fd, const struct arch_state_view *bytes, struct thaw_error *err)
{
    struct x86_view view;
    int rc = x86_state_parse(bytes, &view, err);
    if (rc < 0)
        return rc;

    struct msr_list list;
    rc = msr_list_get(kvm_fd, &list, err);
    if (rc < 0)
        return rc;
    uint32_t xsave_size = x86_xsave_size(kvm_fd);
    for (unsigned i = 0; i < view.vcpu_count; i++)
        if (check_vcpu(&list, xsave_size, &view.vcpus[i], err) < 0)
            return thaw_context(err, "vcpu %u", i);

    /* Where it was saved in the same boot of the same host, the answer is known. Who forges that
     * gets a guest whose CPUID promises too much. */
    uint64_t host = x86_host_id(kvm_fd);
    return host != 0 && host == view.vm->host ? 0 : x86_cpuid_check(kvm_fd, &view, err);
}
