/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sections cpuid, vcpu and vm: a machine of one or two vCPUs with other bytes in it, other
 * lengths, or nothing but bytes of the input, against a host that is always the same
 * (--wrap=ioctl). What is accepted lies inside its section.
 */
#include "tests/fuzz/fuzz.h"
#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/msr.h"
#include "vmm/arch/x86_64/state.h"

#include <stdarg.h>

#define KVM_FD 1000 /* nobody's */
#define VCPUS  2u
#define MSRS   4u
#define LEAVES 3u
#define SLACK  64u
#define ROOM   (sizeof(struct x86_vcpu) + sizeof(struct kvm_xsave) + 1024)

/* ---- the host ----------------------------------------------------------------------------- */

static const uint32_t host_msrs[MSRS] = {0x174, 0x175, 0x176, 0xc0000080};
static const struct kvm_cpuid_entry2 host_leaves[LEAVES] = {
    {.function = 0, .eax = 7, .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69},
    {.function = 1, .ecx = 0x00000201, .edx = 0x0789fbff},
    {.function = 7, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .ebx = 0x29},
};

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);

static int list_msrs(struct kvm_msr_list *list)
{
    require(list->nmsrs >= MSRS);
    list->nmsrs = MSRS;
    memcpy(list->indices, host_msrs, sizeof(host_msrs));
    return 0;
}

static int list_leaves(struct kvm_cpuid2 *table)
{
    require(table->nent >= LEAVES);
    table->nent = LEAVES;
    memcpy(table->entries, host_leaves, sizeof(host_leaves));
    return 0;
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
    if (fd != KVM_FD)
        return __real_ioctl(fd, request, argument);
    if (request == KVM_GET_MSR_INDEX_LIST)
        return list_msrs(argument);
    if (request == KVM_GET_SUPPORTED_CPUID)
        return list_leaves(argument);
    return 0; /* no extension */
}

/* ---- the state ---------------------------------------------------------------------------- */

/* What the sections lie in. */
struct owned {
    void *items[2 * VCPUS + 1];
    unsigned count;
};

/* One section, in memory of its own: of exactly its length when it is looked at. */
static struct arch_section section_of(struct owned *owned, struct fuzz_input *in, const void *usual,
                                      size_t size)
{
    uint8_t bytes[ROOM + SLACK] = {0};
    uint8_t how = fuzz_u8(in);
    memcpy(bytes, usual, size);
    if (how & 1)
        fuzz_corrupt(in, bytes, size < 64 ? size : 64); /* there the counts are */
    if (how & 2)
        fuzz_corrupt(in, bytes, size);
    if (how & 4)
        fuzz_bytes(in, bytes, size);
    if (how & 8)
        size = fuzz_u16(in) % (size + SLACK);
    uint8_t *data = malloc(size > 0 ? size : 1);
    require(data);
    memcpy(data, bytes, size);
    owned->items[owned->count++] = data;
    return (struct arch_section){.data = data, .size = size};
}

static struct arch_section make_cpuid(struct owned *owned, struct fuzz_input *in)
{
    uint8_t bytes[sizeof(struct kvm_cpuid2) + sizeof(host_leaves)];
    const struct kvm_cpuid2 head = {.nent = LEAVES};
    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + sizeof(head), host_leaves, sizeof(host_leaves));
    return section_of(owned, in, bytes, sizeof(bytes));
}

static struct arch_section make_vcpu(struct owned *owned, struct fuzz_input *in)
{
    static uint8_t bytes[sizeof(struct x86_vcpu) + sizeof(struct kvm_xsave) +
                         MSRS * sizeof(struct kvm_msr_entry)];
    const struct x86_vcpu state = {
        .version = X86_STATE_VERSION, .xsave_size = sizeof(struct kvm_xsave), .msr_count = MSRS};
    memcpy(bytes, &state, sizeof(state));
    for (unsigned i = 0; i < MSRS; i++) {
        const struct kvm_msr_entry msr = {.index = host_msrs[i]};
        memcpy(bytes + sizeof(bytes) - (MSRS - i) * sizeof(msr), &msr, sizeof(msr));
    }
    return section_of(owned, in, bytes, sizeof(bytes));
}

static struct arch_section make_vm(struct owned *owned, struct fuzz_input *in)
{
    struct x86_vm vm = {.version = X86_STATE_VERSION};
    for (uint32_t i = 0; i < X86_CHIPS; i++)
        vm.chips[i].chip_id = i;
    return section_of(owned, in, &vm, sizeof(vm));
}

/* ---- what was accepted -------------------------------------------------------------------- */

static bool is_inside(const struct arch_section *section, const void *part, size_t size)
{
    size_t offset = (size_t)((const uint8_t *)part - (const uint8_t *)section->data);
    return offset <= section->size && size <= section->size - offset;
}

static void check_accepted(const struct arch_state_view *bytes)
{
    struct x86_view view;
    struct thaw_error err = {0};
    require(x86_state_parse(bytes, &view, &err) == 0);
    for (unsigned i = 0; i < view.vcpu_count; i++) {
        const struct x86_vcpu_view *vcpu = &view.vcpus[i];
        const struct arch_section *section = &bytes->vcpu[i];
        require(is_inside(&bytes->cpuid[i], vcpu->cpuid->entries,
                          vcpu->cpuid->nent * sizeof(vcpu->cpuid->entries[0])));
        require(vcpu->state->xsave_size == sizeof(struct kvm_xsave));
        require(is_inside(section, vcpu->xsave, vcpu->state->xsave_size));
        require(is_inside(section, vcpu->msrs, vcpu->state->msr_count * sizeof(*vcpu->msrs)));
        require(!x86_is_amd(vcpu->cpuid));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    struct thaw_error err = {0};
    struct owned owned = {0};
    struct arch_state_view view = {.vcpu_count = 1 + fuzz_u8(&in) % VCPUS};
    for (unsigned i = 0; i < view.vcpu_count; i++) {
        view.cpuid[i] = make_cpuid(&owned, &in);
        view.vcpu[i] = make_vcpu(&owned, &in);
    }
    view.vm = make_vm(&owned, &in);
    if (arch_state_check(KVM_FD, &view, &err) == 0)
        check_accepted(&view);
    else
        require((err.failure == THAW_FAIL_SNAPSHOT || err.failure == THAW_FAIL_SNAPSHOT_CPU) &&
                err.message[0] != '\0');
    while (owned.count > 0)
        free(owned.items[--owned.count]);
    return 0;
}
