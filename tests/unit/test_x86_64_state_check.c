/* SPDX-License-Identifier: Apache-2.0 */
/* What of a saved machine is refused before any VM exists: hostile bytes, and other hosts'
 * features.
 */
#include "tests/unit/fake_kvm.h"
#include "vmm/arch/x86_64/msr.h"
#include "vmm/arch/x86_64/state.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct fake_kvm kvm;
static struct arch_state state;
static struct arch_state_view view;
static struct thaw_error err;

static void set_up(void)
{
    fake_kvm_install(&kvm);
    struct arch_machine machine = fake_kvm_machine(2);
    cr_assert_eq(arch_state_save(&machine, &state, &err), 0, "%s", err.message);
    view = arch_state_view(&state);
    kvm.call_count = 0;
}

static void tear_down(void)
{
    arch_state_free(&state);
}

TestSuite(x86_state_check, .init = set_up, .fini = tear_down);

static int check(void)
{
    return arch_state_check(fake_kvm_machine(1).kvm_fd, &view, &err);
}

static void assert_malformed(const char *section)
{
    err = (struct thaw_error){0};
    cr_assert_lt(check(), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT, "%s", err.message);
    cr_assert(strncmp(err.message, section, strlen(section)) == 0, "%s", err.message);
}

static void assert_other_cpu(const char *message)
{
    cr_assert_lt(check(), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_CPU);
    cr_assert_str_eq(err.message, message);
}

static struct x86_vcpu *vcpu(unsigned index)
{
    return (struct x86_vcpu *)state.vcpu[index].data;
}

static struct x86_vm *vm(void)
{
    return (struct x86_vm *)state.vm.data;
}

static struct kvm_msr_entry *msrs(unsigned index)
{
    return (struct kvm_msr_entry *)(state.vcpu[index].data + sizeof(struct x86_vcpu) +
                                    vcpu(index)->xsave_size);
}

static struct kvm_cpuid_entry2 *leaf(unsigned index, uint32_t function)
{
    struct kvm_cpuid2 *cpuid = (struct kvm_cpuid2 *)state.cpuid[index].data;
    for (uint32_t i = 0; i < cpuid->nent; i++)
        if (cpuid->entries[i].function == function)
            return &cpuid->entries[i];
    cr_assert_fail("no leaf 0x%x", function);
    return NULL;
}

/* The comparison of CPUID is spared where it was made in this very boot. */
static void from_another_host(void)
{
    vm()->host++;
}

/* ---- hostile bytes ------------------------------------------------------------------------ */

/* Exactly `size` bytes, so that a sanitizer sees the first one too many. */
static void *exact_copy(const void *bytes, size_t size)
{
    void *copy = malloc(size ? size : 1);
    cr_assert_not_null(copy);
    return memcpy(copy, bytes, size);
}

static void refuse_every_truncation(struct arch_section *section, const char *name)
{
    struct arch_section whole = *section;
    for (size_t size = 0; size < whole.size; size++) {
        void *copy = exact_copy(whole.data, size);
        *section = (struct arch_section){copy, size};
        assert_malformed(name);
        free(copy);
    }
    *section = whole;
    cr_assert_eq(check(), 0, "%s", err.message);
}

Test(x86_state_check, a_vcpu_section_is_refused_at_every_length_but_its_own)
{
    refuse_every_truncation(&view.vcpu[1], "vcpu 1: ");
}

Test(x86_state_check, a_cpuid_section_is_refused_at_every_length_but_its_own)
{
    refuse_every_truncation(&view.cpuid[1], "cpuid 1: ");
}

Test(x86_state_check, a_vm_section_is_refused_at_every_length_but_its_own)
{
    refuse_every_truncation(&view.vm, "vm 0: ");
}

static void refuse_a_byte_more(struct arch_section *section, const char *name)
{
    uint8_t *longer = malloc(section->size + 1);
    cr_assert_not_null(longer);
    memcpy(longer, section->data, section->size);
    longer[section->size] = 0;
    struct arch_section whole = *section;
    *section = (struct arch_section){longer, whole.size + 1};
    assert_malformed(name);
    *section = whole;
    free(longer);
}

Test(x86_state_check, a_byte_too_many_is_refused_in_every_section)
{
    refuse_a_byte_more(&view.vcpu[0], "vcpu 0: ");
    refuse_a_byte_more(&view.cpuid[0], "cpuid 0: ");
    refuse_a_byte_more(&view.vm, "vm 0: ");
}

Test(x86_state_check, counts_that_do_not_fit_or_would_overflow_are_refused)
{
    static const uint32_t counts[] = {0x10000000, 0x80000000, 0xffffffff, MSR_COUNT_MAX,
                                      MSR_COUNT_MAX + 1};
    uint32_t msr_count = vcpu(0)->msr_count, xsave = vcpu(0)->xsave_size;
    struct kvm_cpuid2 *cpuid = (struct kvm_cpuid2 *)state.cpuid[0].data;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        vcpu(0)->msr_count = counts[i];
        assert_malformed("vcpu 0: ");
        vcpu(0)->msr_count = msr_count;
        vcpu(0)->xsave_size = counts[i];
        assert_malformed("vcpu 0: ");
        vcpu(0)->xsave_size = xsave;
        uint32_t entries = cpuid->nent;
        cpuid->nent = counts[i];
        assert_malformed("cpuid 0: ");
        cpuid->nent = entries;
    }
    cpuid->nent = 0;
    assert_malformed("cpuid 0: ");
}

Test(x86_state_check, two_counts_that_are_wrong_together_are_refused)
{
    /* The sum is right: one MSR less, 16 bytes more of XSAVE. */
    vcpu(0)->msr_count--;
    vcpu(0)->xsave_size += sizeof(struct kvm_msr_entry);
    cr_assert_lt(check(), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_CPU, "KVM would read another size");
}

Test(x86_state_check, no_vcpus_and_too_many_are_refused)
{
    view.vcpu_count = 0;
    assert_malformed("vcpu: 0 of them");
    view.vcpu_count = ARCH_VCPUS_MAX + 1;
    assert_malformed("vcpu: 9 of them");
}

Test(x86_state_check, a_layout_of_another_version_is_refused)
{
    vcpu(0)->version = 2;
    assert_malformed("vcpu 0: ");
    vcpu(0)->version = X86_STATE_VERSION;
    vm()->version = 0;
    assert_malformed("vm 0: ");
}

Test(x86_state_check, bytes_that_are_not_aligned_are_refused)
{
    uint8_t *shifted = malloc(view.vm.size + 1);
    cr_assert_not_null(shifted);
    memcpy(shifted + 1, view.vm.data, view.vm.size);
    view.vm.data = shifted + 1;
    assert_malformed("vm 0: ");
    free(shifted);
}

Test(x86_state_check, an_interrupt_chip_that_kvm_has_not_is_refused)
{
    vm()->chips[2].chip_id = 7;
    assert_malformed("vm 0: ");
}

Test(x86_state_check, load_refuses_malformed_bytes_before_the_first_call)
{
    view.vcpu[1].size--;
    struct arch_machine machine = fake_kvm_machine(2);
    cr_assert_lt(arch_state_load(&machine, &view, ARCH_CLOCK_FROZEN, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
    cr_assert_eq(kvm.call_count, 0);
}

Test(x86_state_check, any_single_byte_may_be_wrong_and_the_answer_is_an_answer)
{
    uint8_t *bytes = state.vcpu[0].data;
    for (size_t i = 0; i < state.vcpu[0].size; i++) {
        kvm.call_count = 0;
        bytes[i] ^= 0xff;
        (void)check();
        bytes[i] ^= 0xff;
    }
    cr_assert_eq(check(), 0);
}

/* ---- registers ---------------------------------------------------------------------------- */

Test(x86_state_check, an_msr_that_this_host_has_not_is_refused_by_number)
{
    msrs(1)[2].index = 0xdead;
    assert_other_cpu("vcpu 1: MSR 0xdead: this host's KVM does not have it");
}

Test(x86_state_check, an_msr_whose_write_is_a_command_is_refused)
{
    fake_kvm_add_msr(&kvm, 0x830, 0);
    msrs(0)[0].index = 0x830;
    assert_other_cpu("vcpu 0: MSR 0x830: this host's KVM does not have it");
}

Test(x86_state_check, a_tsc_among_the_other_msrs_is_refused)
{
    msrs(0)[0].index = MSR_TSC_DEADLINE;
    assert_other_cpu("vcpu 0: MSR 0x6e0: this host's KVM does not have it");
}

/* ---- CPUID -------------------------------------------------------------------------------- */

Test(x86_state_check, where_it_was_saved_in_the_same_boot_the_slow_question_is_not_asked)
{
    cr_assert_neq(vm()->host, 0);
    cr_assert_eq(check(), 0);
    cr_assert_eq(fake_kvm_count(&kvm, KVM_GET_SUPPORTED_CPUID), 0);
    from_another_host();
    cr_assert_eq(check(), 0, "%s", err.message);
    cr_assert_eq(fake_kvm_count(&kvm, KVM_GET_SUPPORTED_CPUID), 1);
}

Test(x86_state_check, a_host_whose_kvm_was_loaded_anew_with_less_is_asked)
{
    kvm.tsc_control = !kvm.tsc_control;
    cr_assert_eq(check(), 0, "%s", err.message);
    cr_assert_eq(fake_kvm_count(&kvm, KVM_GET_SUPPORTED_CPUID), 1);
}

/* The bits are ones that no processor has: on a page-table based host the processor's own count as
 * offered. */
Test(x86_state_check, a_feature_that_is_not_here_is_refused_by_leaf_register_and_bits)
{
    from_another_host();
    leaf(1, 1)->ecx |= 1u << 16;
    assert_other_cpu("cpuid 1: CPUID leaf 0x1.0 ECX: the guest has 0x00010000, which this host "
                     "does not offer");
}

Test(x86_state_check, a_feature_in_each_word_that_is_compared_is_refused)
{
    static const struct {
        uint32_t leaf, index, reg, bit;
    } rows[] = {
        {0x1, 0, 2, 16},        {0x1, 0, 3, 10},        {0x6, 0, 0, 31},
        {0x7, 0, 2, 15},        {0x7, 1, 0, 1},         {0x7, 1, 1, 31},
        {0x7, 1, 2, 31},        {0x7, 1, 3, 31},        {0x7, 2, 3, 31},
        {0xd, 0, 0, 25},        {0xd, 0, 3, 1},         {0xd, 1, 0, 31},
        {0xd, 1, 2, 25},        {0xd, 1, 3, 1},         {0x40000001, 0, 0, 23},
        {0x80000001, 0, 2, 18}, {0x80000001, 0, 3, 10}, {0x80000007, 0, 3, 31},
        {0x80000008, 0, 1, 5},  {0x8000000a, 0, 3, 31}, {0x80000021, 0, 0, 4},
        {0x80000022, 0, 0, 31},
    };
    from_another_host();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct kvm_cpuid_entry2 own = {.function = rows[i].leaf, .index = rows[i].index};
        uint32_t *words[] = {&own.eax, &own.ebx, &own.ecx, &own.edx};
        *words[rows[i].reg] = 1u << rows[i].bit;

        struct kvm_cpuid_entry2 *entry = leaf(0, own.function == 1 ? 1 : 7);
        struct kvm_cpuid_entry2 before = *entry;
        *entry = own;
        kvm.call_count = 0;
        cr_assert_lt(check(), 0, "leaf 0x%x.%u word %u", own.function, own.index, rows[i].reg);
        cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_CPU, "%s", err.message);
        *entry = before;
    }
}

Test(x86_state_check, bits_that_thaw_sets_or_that_follow_the_guest_need_not_be_offered)
{
    from_another_host();
    /* MONITOR, TSC deadline, OSXSAVE; APIC, HTT; OSPKE; the APIC id */
    leaf(0, 1)->ecx |= 1u << 3 | 1u << 24 | 1u << 27;
    leaf(0, 1)->edx |= 1u << 9 | 1u << 28;
    leaf(0, 7)->ecx |= 1u << 4;
    leaf(0, 1)->ebx = 0xff000000;
    cr_assert_eq(check(), 0, "%s", err.message);
}

Test(x86_state_check, a_guest_that_uses_less_than_the_host_has_is_welcome)
{
    from_another_host();
    leaf(0, 7)->ebx = 0;
    leaf(1, 7)->ebx = 0;
    cr_assert_eq(check(), 0, "%s", err.message);
}

Test(x86_state_check, a_vendor_that_is_no_text_is_told_as_dots)
{
    from_another_host();
    struct kvm_cpuid_entry2 *vendor = leaf(0, 0);
    vendor->ebx = vendor->ecx = vendor->edx = 0x0a0a1b00;
    assert_other_cpu("cpuid 0: made on a processor by ............, this one is by GenuineIntel");
}
