/* SPDX-License-Identifier: Apache-2.0 */
/* The sections of a machine's state: finding the parts, with every length checked. */
#include "vmm/arch/x86_64/state.h"

#include "vmm/arch/x86_64/msr.h"

#include <errno.h>

static int bad(struct thaw_error *err, const char *section, unsigned index, const char *why)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EBADMSG, "%s %u: %s", section, index, why);
}

static bool misaligned(const struct arch_section *section)
{
    return (uintptr_t)section->data % sizeof(uint64_t) != 0;
}

static int parse_cpuid(const struct arch_section *section, unsigned index,
                       struct x86_vcpu_view *vcpu, struct thaw_error *err)
{
    struct cursor cursor = {.at = section->data, .left = section->size};
    vcpu->cpuid = cursor_take(&cursor, sizeof(*vcpu->cpuid));
    if (!vcpu->cpuid || misaligned(section))
        return bad(err, "cpuid", index, "too short, or not aligned");
    uint32_t count = vcpu->cpuid->nent;
    if (count == 0 || count > X86_CPUID_MAX)
        return bad(err, "cpuid", index, "none, or more than 256 entries");
    if (cursor.left != count * sizeof(struct kvm_cpuid_entry2))
        return bad(err, "cpuid", index, "its length does not fit its count");
    return 0;
}

static int parse_vcpu(const struct arch_section *section, unsigned index,
                      struct x86_vcpu_view *vcpu, struct thaw_error *err)
{
    struct cursor cursor = {.at = section->data, .left = section->size};
    vcpu->state = cursor_take(&cursor, sizeof(*vcpu->state));
    if (!vcpu->state || misaligned(section))
        return bad(err, "vcpu", index, "too short, or not aligned");
    if (vcpu->state->version != X86_STATE_VERSION)
        return bad(err, "vcpu", index, "its layout is of another version");

    uint32_t xsave = vcpu->state->xsave_size, msrs = vcpu->state->msr_count;
    if (xsave < sizeof(struct kvm_xsave) || xsave > X86_XSAVE_MAX || xsave % sizeof(uint64_t) != 0)
        return bad(err, "vcpu", index, "an XSAVE area of a size that no processor has");
    if (msrs > MSR_COUNT_MAX)
        return bad(err, "vcpu", index, "more MSRs than there are");
    vcpu->xsave = cursor_take(&cursor, xsave);
    vcpu->msrs = cursor_take(&cursor, msrs * sizeof(*vcpu->msrs));
    if (!vcpu->xsave || !vcpu->msrs || cursor.left != 0)
        return bad(err, "vcpu", index, "its length does not fit its counts");
    return 0;
}

static int parse_vm(const struct arch_section *section, const struct x86_vm **out,
                    struct thaw_error *err)
{
    const struct x86_vm *vm = section->data;
    if (!vm || section->size != sizeof(*vm) || misaligned(section))
        return bad(err, "vm", 0, "not of the right length, or not aligned");
    if (vm->version != X86_STATE_VERSION)
        return bad(err, "vm", 0, "its layout is of another version");
    for (uint32_t i = 0; i < X86_CHIPS; i++)
        if (vm->chips[i].chip_id != i)
            return bad(err, "vm", 0, "an interrupt chip that is none");
    *out = vm;
    return 0;
}

int x86_state_parse(const struct arch_state_view *bytes, struct x86_view *view,
                    struct thaw_error *err)
{
    if (bytes->vcpu_count == 0 || bytes->vcpu_count > ARCH_VCPUS_MAX)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EBADMSG, "vcpu: %u of them, not 1 to %u",
                            bytes->vcpu_count, ARCH_VCPUS_MAX);
    view->vcpu_count = bytes->vcpu_count;
    for (unsigned i = 0; i < bytes->vcpu_count; i++) {
        int rc = parse_cpuid(&bytes->cpuid[i], i, &view->vcpus[i], err);
        if (rc == 0)
            rc = parse_vcpu(&bytes->vcpu[i], i, &view->vcpus[i], err);
        if (rc < 0)
            return rc;
    }
    return parse_vm(&bytes->vm, &view->vm, err);
}

struct arch_state_view arch_state_view(const struct arch_state *state)
{
    struct arch_state_view view = {.vcpu_count = state->vcpu_count,
                                   .vm = {state->vm.data, state->vm.size}};
    for (unsigned i = 0; i < state->vcpu_count; i++) {
        view.cpuid[i] = (struct arch_section){state->cpuid[i].data, state->cpuid[i].size};
        view.vcpu[i] = (struct arch_section){state->vcpu[i].data, state->vcpu[i].size};
    }
    return view;
}

void arch_state_free(struct arch_state *state)
{
    for (unsigned i = 0; i < ARCH_VCPUS_MAX; i++) {
        blob_free(&state->cpuid[i]);
        blob_free(&state->vcpu[i]);
    }
    blob_free(&state->vm);
    *state = (struct arch_state){0};
}
