/* SPDX-License-Identifier: Apache-2.0 */
/* Saving, checking and loading a machine's state: the order, and each trap on the way by its letter
 * in the list of what other monitors have stepped into. */
#include "tests/unit/fake_kvm.h"
#include "vmm/arch/x86_64/msr.h"
#include "vmm/arch/x86_64/state.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#define LVTT_DEADLINE 0x40000u
#define LVTT_MASKED   0x10000u

static struct fake_kvm kvm;
static struct arch_state state;
static struct thaw_error err;
static char text[1024];

static void set_up(void)
{
    fake_kvm_install(&kvm);
}

static void tear_down(void)
{
    arch_state_free(&state);
}

TestSuite(x86_state, .init = set_up, .fini = tear_down);

static void save(unsigned vcpus)
{
    struct arch_machine machine = fake_kvm_machine(vcpus);
    cr_assert_eq(arch_state_save(&machine, &state, &err), 0, "%s", err.message);
}

static int load_with(unsigned vcpus, enum arch_clock clock)
{
    struct arch_machine machine = fake_kvm_machine(vcpus);
    struct arch_state_view view = arch_state_view(&state);
    return arch_state_load(&machine, &view, clock, &err);
}

static void load(unsigned vcpus)
{
    cr_assert_eq(load_with(vcpus, ARCH_CLOCK_FROZEN), 0, "%s", err.message);
}

static int check(void)
{
    struct arch_state_view view = arch_state_view(&state);
    return arch_state_check(fake_kvm_machine(1).kvm_fd, &view, &err);
}

static struct x86_vcpu *saved_vcpu(unsigned index)
{
    return (struct x86_vcpu *)state.vcpu[index].data;
}

static struct x86_vm *saved_vm(void)
{
    return (struct x86_vm *)state.vm.data;
}

/* The state comes from somewhere else: the comparison of CPUID is not spared. */
static void from_another_host(void)
{
    saved_vm()->host = 0;
}

static bool has_msr(unsigned vcpu, uint32_t index)
{
    const struct x86_vcpu *v = saved_vcpu(vcpu);
    const struct kvm_msr_entry *msrs =
        (const struct kvm_msr_entry *)(state.vcpu[vcpu].data + sizeof(*v) + v->xsave_size);
    for (uint32_t i = 0; i < v->msr_count; i++)
        if (msrs[i].index == index)
            return true;
    return false;
}

static void arm_lvtt(unsigned vcpu, uint32_t lvtt)
{
    memcpy(kvm.vcpus[vcpu].lapic.regs + 0x320, &lvtt, sizeof(lvtt));
}

/* ---- the order ---------------------------------------------------------------------------- */

Test(x86_state, save_reads_the_mp_state_first_and_the_events_last)
{
    save(1);
    cr_assert_str_eq(fake_kvm_story(&kvm, 0, text, sizeof(text)),
                     "MP_STATE REGS SREGS XSAVE XCRS DEBUGREGS LAPIC CPUID2 TSC_KHZ get-TSC_OFFSET "
                     "get-MSRS get-MSRS get-MSRS set-MSRS VCPU_EVENTS");
    cr_assert_str_eq(fake_kvm_story(&kvm, -1, text, sizeof(text)),
                     "PIT2 CLOCK IRQCHIP IRQCHIP IRQCHIP");
}

Test(x86_state, load_sets_a_vcpu_in_the_order_of_what_depends_on_what_and_nothing_twice)
{
    save(1);
    fake_kvm_reset(&kvm);
    load(1);
    cr_assert_str_eq(fake_kvm_story(&kvm, 0, text, sizeof(text)),
                     "CPUID2 MP_STATE REGS SREGS XSAVE XCRS DEBUGREGS LAPIC set-MSRS set-MSRS "
                     "VCPU_EVENTS KVMCLOCK_CTRL");
    cr_assert_str_eq(fake_kvm_story(&kvm, -1, text, sizeof(text)),
                     "TSC_KHZ PIT2 CLOCK IRQCHIP IRQCHIP IRQCHIP");
}

static void assert_same_vcpu(const struct fake_vcpu *a, const struct fake_vcpu *b)
{
    cr_assert_arr_eq(&a->mp_state, &b->mp_state, sizeof(a->mp_state));
    cr_assert_arr_eq(&a->regs, &b->regs, sizeof(a->regs));
    cr_assert_arr_eq(&a->sregs, &b->sregs, sizeof(a->sregs));
    cr_assert_arr_eq(a->xsave, b->xsave, (size_t)kvm.xsave_size);
    cr_assert_arr_eq(&a->xcrs, &b->xcrs, sizeof(a->xcrs));
    cr_assert_arr_eq(&a->debugregs, &b->debugregs, sizeof(a->debugregs));
    cr_assert_arr_eq(&a->lapic, &b->lapic, sizeof(a->lapic));
    cr_assert_arr_eq(&a->events, &b->events, sizeof(a->events));
    cr_assert_arr_eq(a->msrs, b->msrs, kvm.msr_count * sizeof(a->msrs[0]));
    cr_assert_eq(a->cpuid.nent, b->cpuid.nent);
    cr_assert_arr_eq(a->cpuid.entries, b->cpuid.entries,
                     a->cpuid.nent * sizeof(a->cpuid.entries[0]));
}

Test(x86_state, every_byte_of_four_vcpus_and_of_the_vm_is_back_in_a_new_machine)
{
    static struct fake_kvm before;
    before = kvm;
    save(4);
    cr_assert_eq(check(), 0, "%s", err.message);
    fake_kvm_reset(&kvm);
    load(4);
    for (unsigned i = 0; i < 4; i++)
        assert_same_vcpu(&kvm.vcpus[i], &before.vcpus[i]);
    cr_assert_arr_eq(&kvm.pit, &before.pit, sizeof(kvm.pit));
    cr_assert_arr_eq(kvm.chips, before.chips, sizeof(kvm.chips));
    cr_assert_eq(kvm.clock.clock, before.clock.clock);
}

Test(x86_state, a_machine_that_has_run_is_put_back_whole)
{
    static struct fake_kvm before;
    save(2);
    before = kvm;
    for (unsigned i = 0; i < 2; i++) {
        struct fake_cpuid cpuid = kvm.vcpus[i].cpuid;
        memset(&kvm.vcpus[i], 0xee, sizeof(kvm.vcpus[i]));
        kvm.vcpus[i].cpuid = cpuid;
    }
    load(2);
    for (unsigned i = 0; i < 2; i++)
        assert_same_vcpu(&kvm.vcpus[i], &before.vcpus[i]);
}

Test(x86_state, an_xsave_area_beyond_one_page_goes_through_xsave2)
{
    kvm.xsave_size = 11008;
    save(1);
    fake_kvm_story(&kvm, 0, text, sizeof(text));
    cr_assert_not_null(strstr(text, " XSAVE2 "));
    static struct fake_vcpu before;
    before = kvm.vcpus[0];
    fake_kvm_reset(&kvm);
    load(1);
    cr_assert_arr_eq(kvm.vcpus[0].xsave, before.xsave, 11008);
}

Test(x86_state, more_msrs_than_kvm_takes_at_once_go_in_parts)
{
    for (uint32_t i = 0; i < 400; i++)
        fake_kvm_add_msr(&kvm, 0xc0020000u + i, 0);
    for (uint32_t i = 0; i < 400; i++)
        *fake_kvm_msr(&kvm, 0, 0xc0020000u + i) = 0x5000 + i;
    save(1);
    cr_assert_eq(check(), 0, "%s", err.message);
    fake_kvm_reset(&kvm);
    load(1);
    cr_assert_eq(fake_kvm_count(&kvm, KVM_SET_MSRS), 3, "two parts and the deadline");
    for (uint32_t i = 0; i < 400; i++)
        cr_assert_eq(*fake_kvm_msr(&kvm, 0, 0xc0020000u + i), 0x5000 + i);
}

Test(x86_state, an_msr_that_cannot_be_read_is_passed_over_and_the_next_ones_are_saved)
{
    kvm.msrs[0].unreadable = true;
    save(1);
    cr_assert(!has_msr(0, kvm.msrs[0].index));
    cr_assert(has_msr(0, kvm.msrs[1].index));
    cr_assert_eq(state.omitted_count, 0, "this vCPU does not have it: nothing is lost");
}

Test(x86_state, the_mtrrs_are_saved_although_kvm_does_not_list_them)
{
    save(1);
    cr_assert(has_msr(0, 0x2ff));
    cr_assert_eq(check(), 0, "%s", err.message);
}

Test(x86_state, an_msr_that_kvm_would_not_take_back_is_named_once_and_left_out)
{
    kvm.msrs[3].unwritable = true; /* 0x10a, as seen on a page-table based host */
    save(2);
    cr_assert_eq(state.omitted_count, 1);
    cr_assert_eq(state.omitted[0], 0x10a);
    cr_assert(!has_msr(0, 0x10a) && !has_msr(1, 0x10a));
    cr_assert(has_msr(1, 0x1a0), "the one after it stays");
}

Test(x86_state, the_probe_writes_no_register_of_kvm_itself)
{
    save(1);
    cr_assert_null(fake_kvm_last_write(&kvm, 0, 0x4b564d01), "KVM would write guest memory");
    cr_assert(has_msr(0, 0x4b564d01));
}

Test(x86_state, a_failing_call_is_named_with_its_vcpu)
{
    save(2);
    kvm.fail_request = KVM_SET_SREGS;
    kvm.fail_errno = EINVAL;
    cr_assert_eq(load_with(2, ARCH_CLOCK_FROZEN), -EINVAL);
    cr_assert_str_eq(err.message, "vcpu 0: KVM_SET_SREGS: Invalid argument");
}

Test(x86_state, a_machine_of_another_size_is_refused)
{
    save(2);
    cr_assert_eq(load_with(1, ARCH_CLOCK_FROZEN), -EINVAL);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
}

/* ---- the traps ---------------------------------------------------------------------------- */

Test(x86_state, trap_a_a_deadline_that_passed_before_its_interrupt_arrived_fires_after_the_restore)
{
    *fake_kvm_msr(&kvm, 0, MSR_TSC_DEADLINE) = 0;
    *fake_kvm_msr(&kvm, 0, MSR_TSC) = 777777;
    arm_lvtt(0, LVTT_DEADLINE | 0xec);
    save(1);
    fake_kvm_reset(&kvm);
    load(1);
    cr_assert_eq(*fake_kvm_msr(&kvm, 0, MSR_TSC_DEADLINE), 777777, "due now");
}

Test(x86_state, trap_a_a_masked_timer_or_one_of_another_mode_is_not_made_to_fire)
{
    *fake_kvm_msr(&kvm, 0, MSR_TSC_DEADLINE) = 0;
    *fake_kvm_msr(&kvm, 1, MSR_TSC_DEADLINE) = 0;
    arm_lvtt(0, LVTT_DEADLINE | LVTT_MASKED | 0xec);
    arm_lvtt(1, 0xec);
    save(2);
    cr_assert_eq(saved_vcpu(0)->tsc_deadline, 0);
    cr_assert_eq(saved_vcpu(1)->tsc_deadline, 0);
}

Test(x86_state, trap_b_the_deadline_is_set_after_every_tsc_in_a_batch_of_its_own)
{
    save(2);
    fake_kvm_reset(&kvm);
    load(2);
    unsigned last_tsc = fake_kvm_last_write(&kvm, 1, MSR_TSC)->call;
    for (unsigned i = 0; i < 2; i++) {
        const struct fake_msr_write *deadline = fake_kvm_last_write(&kvm, i, MSR_TSC_DEADLINE);
        cr_assert_gt(deadline->call, last_tsc);
        for (unsigned k = 0; k < kvm.write_count; k++)
            cr_assert(kvm.writes[k].call != deadline->call ||
                      kvm.writes[k].index == MSR_TSC_DEADLINE);
    }
}

Test(x86_state, trap_c_the_apic_is_set_before_the_first_msr)
{
    save(1);
    fake_kvm_reset(&kvm);
    load(1);
    fake_kvm_story(&kvm, 0, text, sizeof(text));
    cr_assert_lt(strstr(text, "LAPIC"), strstr(text, "set-MSRS"));
}

Test(x86_state, trap_d_the_guest_is_told_of_the_pause_on_restore_on_each_vcpu)
{
    save(3);
    cr_assert_eq(fake_kvm_count(&kvm, KVM_KVMCLOCK_CTRL), 0);
    fake_kvm_reset(&kvm);
    load(3);
    cr_assert_eq(fake_kvm_count(&kvm, KVM_KVMCLOCK_CTRL), 3);
}

Test(x86_state, trap_d_a_guest_without_kvmclock_is_restored_all_the_same)
{
    save(1);
    kvm.fail_request = KVM_KVMCLOCK_CTRL;
    kvm.fail_errno = EINVAL;
    load(1);
    kvm.fail_errno = EIO;
    cr_assert_eq(load_with(1, ARCH_CLOCK_FROZEN), -EIO, "any other failure is one");
}

Test(x86_state, trap_e_a_frozen_clock_is_set_without_the_flags_that_were_saved)
{
    save(1);
    cr_assert_neq(saved_vm()->clock.flags, 0);
    fake_kvm_reset(&kvm);
    load(1);
    cr_assert_eq(kvm.clock.flags, 0);
    cr_assert_eq(kvm.clock.clock, 123456789);
}

Test(x86_state, trap_e_a_realtime_clock_is_asked_for_and_every_tsc_advanced_with_it)
{
    save(2);
    uint64_t tsc = saved_vcpu(0)->tsc;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    saved_vm()->realtime = (uint64_t)(now.tv_sec - 10) * 1000000000ull + (uint64_t)now.tv_nsec;
    fake_kvm_reset(&kvm);
    cr_assert_eq(load_with(2, ARCH_CLOCK_REALTIME), 0, "%s", err.message);

    cr_assert_eq(kvm.clock.flags, KVM_CLOCK_REALTIME);
    cr_assert_eq(kvm.clock.realtime, saved_vm()->realtime);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t ahead = *fake_kvm_msr(&kvm, i, MSR_TSC) - tsc;
        cr_assert_geq(ahead, 20000000000ull, "10 s at 2 GHz");
        cr_assert_lt(ahead, 22000000000ull);
    }
}

Test(x86_state, trap_e_without_the_means_for_realtime_nothing_is_set)
{
    save(1);
    fake_kvm_reset(&kvm);
    kvm.adjust_clock = KVM_CLOCK_TSC_STABLE;
    cr_assert_eq(load_with(1, ARCH_CLOCK_REALTIME), -ENOTSUP);
    cr_assert_eq(err.failure, THAW_FAIL_HOST);
    cr_assert_str_eq(fake_kvm_story(&kvm, 0, text, sizeof(text)), "");
}

Test(x86_state, trap_f_tscs_are_in_step_by_their_offsets_not_by_when_they_were_read)
{
    for (unsigned i = 0; i < 3; i++)
        kvm.vcpus[i].tsc_offset = 5000;
    kvm.vcpus[2].tsc_offset = 4000; /* this one was behind */
    *fake_kvm_msr(&kvm, 1, MSR_TSC) = *fake_kvm_msr(&kvm, 0, MSR_TSC) + 300; /* read later */
    save(3);
    fake_kvm_reset(&kvm);
    kvm.vcpus[0].tsc_offset = 90000;
    load(3);
    cr_assert_eq(kvm.vcpus[0].tsc_offset, 90000, "KVM's own, from the value that was written");
    cr_assert_eq(kvm.vcpus[1].tsc_offset, 90000);
    cr_assert_eq(kvm.vcpus[2].tsc_offset, 89000);
}

Test(x86_state, trap_f_without_the_attribute_kvm_keeps_the_tscs_together)
{
    kvm.no_tsc_offset = true;
    save(2);
    fake_kvm_reset(&kvm);
    load(2);
    cr_assert_eq(*fake_kvm_msr(&kvm, 1, MSR_TSC), saved_vcpu(1)->tsc);
}

Test(x86_state, trap_f_the_first_tsc_is_forced_past_the_second_in_which_kvm_keeps_its_own)
{
    save(2);
    fake_kvm_reset(&kvm);
    load(2);
    cr_assert_eq(kvm.writes[0].index, MSR_TSC);
    cr_assert_gt(kvm.writes[0].value - saved_vcpu(0)->tsc, 100ull * 5000000000ull);
    cr_assert_eq(kvm.writes[1].index, MSR_TSC);
    cr_assert_eq(kvm.writes[1].value, saved_vcpu(0)->tsc);
    unsigned others = 0;
    for (unsigned i = 0; i < kvm.write_count; i++)
        others += kvm.writes[i].vcpu == 1 && kvm.writes[i].index == MSR_TSC;
    cr_assert_eq(others, 1, "the second is to fall in step with the first");
}

Test(x86_state, trap_g_a_host_clock_that_was_set_back_lets_no_guest_clock_run_backwards)
{
    save(1);
    saved_vm()->realtime = UINT64_MAX;
    fake_kvm_reset(&kvm);
    cr_assert_eq(load_with(1, ARCH_CLOCK_REALTIME), 0, "%s", err.message);
    cr_assert_eq(*fake_kvm_msr(&kvm, 0, MSR_TSC), saved_vcpu(0)->tsc);
    cr_assert_eq(kvm.clock.clock, 123456789);
}

Test(x86_state, trap_g_the_clock_is_read_and_set_after_every_tsc)
{
    save(2);
    fake_kvm_reset(&kvm);
    load(2);
    unsigned clock = 0;
    for (unsigned i = 0; i < kvm.call_count; i++)
        if (kvm.calls[i].request == KVM_SET_CLOCK)
            clock = i;
    cr_assert_gt(clock, fake_kvm_last_write(&kvm, 1, MSR_TSC)->call);
}

Test(x86_state, trap_h_an_xsave_area_of_another_size_is_refused)
{
    kvm.xsave_size = 11008;
    save(1);
    kvm.xsave_size = 4096;
    cr_assert_lt(check(), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_CPU);
    cr_assert_str_eq(err.message, "vcpu 0: an XSAVE area of 11008 bytes, where this host's KVM "
                                  "has 4096");
}

Test(x86_state, trap_i_everything_is_read_exactly_once)
{
    save(2);
    static const unsigned long reads[] = {KVM_GET_MP_STATE, KVM_GET_REGS,        KVM_GET_SREGS,
                                          KVM_GET_XSAVE,    KVM_GET_XCRS,        KVM_GET_DEBUGREGS,
                                          KVM_GET_LAPIC,    KVM_GET_VCPU_EVENTS, KVM_GET_CPUID2};
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++)
        cr_assert_eq(fake_kvm_count(&kvm, reads[i]), 2);
    cr_assert_eq(fake_kvm_count(&kvm, KVM_GET_CLOCK), 1);
    cr_assert_eq(fake_kvm_count(&kvm, KVM_GET_PIT2), 1);
    cr_assert_eq(fake_kvm_count(&kvm, KVM_GET_IRQCHIP), 3);
}

Test(x86_state, trap_j_commands_and_clocks_that_differ_by_nature_are_no_state)
{
    static const uint32_t commands[] = {0x830, 0x83f, 0x80b, 0x49, 0x10b, 0x40000020};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        fake_kvm_add_msr(&kvm, commands[i], 0);
    save(1);
    fake_kvm_reset(&kvm);
    load(1);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        cr_assert(!has_msr(0, commands[i]), "0x%x", commands[i]);
        cr_assert_null(fake_kvm_last_write(&kvm, 0, commands[i]));
    }
    cr_assert(!has_msr(0, MSR_TSC) && !has_msr(0, MSR_TSC_DEADLINE), "these have their own order");
}

Test(x86_state, trap_k_a_register_that_is_not_taken_ends_the_restore_by_name)
{
    save(1);
    fake_kvm_reset(&kvm);
    kvm.msrs[5].unwritable = true; /* 0x1a0 */
    cr_assert_lt(load_with(1, ARCH_CLOCK_FROZEN), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_CPU);
    cr_assert_str_eq(err.message, "vcpu 0: MSR 0x1a0: this host's KVM does not take 0x1005");
}

Test(x86_state, trap_k_a_register_that_nobody_may_write_and_that_is_right_already_is_no_failure)
{
    save(1);
    fake_kvm_reset(&kvm);
    kvm.msrs[5].unwritable = true;
    *fake_kvm_msr(&kvm, 0, 0x1a0) = 0x1005;
    load(1);
    cr_assert_eq(*fake_kvm_msr(&kvm, 0, 0x4b564d01), 0x1006, "the ones after it are set");
}

Test(x86_state, trap_k_a_deadline_that_is_not_taken_ends_the_restore)
{
    save(1);
    kvm.msrs[4].unwritable = true; /* 0x6e0 */
    cr_assert_lt(load_with(1, ARCH_CLOCK_FROZEN), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_CPU);
}

Test(x86_state, trap_l_completing_a_port_access_is_the_callers_no_vcpu_is_entered)
{
    save(2);
    load(2);
    cr_assert_eq(fake_kvm_count(&kvm, KVM_RUN), 0);
}

Test(x86_state, trap_m_a_machine_from_intel_is_refused_on_amd)
{
    save(1);
    from_another_host();
    struct kvm_cpuid_entry2 *vendor = fake_cpuid_leaf(&kvm.supported, 0, 0);
    memcpy(&vendor->ebx, "Auth", 4);
    memcpy(&vendor->edx, "enti", 4);
    memcpy(&vendor->ecx, "cAMD", 4);
    cr_assert_lt(check(), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_CPU);
    cr_assert_str_eq(err.message,
                     "cpuid 0: made on a processor by GenuineIntel, this one is by AuthenticAMD");
}

/* ---- what a life before has left in KVM --------------------------------------------------- */

Test(x86_state, pages_that_the_life_before_was_waiting_for_are_forgotten)
{
    const uint32_t async_faults = 0x4b564d02;
    fake_kvm_add_msr(&kvm, async_faults, 0);
    *fake_kvm_msr(&kvm, 0, async_faults) = 0x123449;
    save(1);
    kvm.write_count = 0;
    load(1);
    cr_assert_eq(kvm.writes[0].index, async_faults);
    cr_assert_eq(kvm.writes[0].value, 0, "off");
    cr_assert_eq(*fake_kvm_msr(&kvm, 0, async_faults), 0x123449, "and on again");
}

Test(x86_state, a_deadline_of_the_life_before_is_taken_back)
{
    *fake_kvm_msr(&kvm, 0, MSR_TSC_DEADLINE) = 0;
    save(1);
    *fake_kvm_msr(&kvm, 0, MSR_TSC_DEADLINE) = 424242;
    load(1);
    cr_assert_eq(*fake_kvm_msr(&kvm, 0, MSR_TSC_DEADLINE), 0);
}

/* ---- the TSC's rate ----------------------------------------------------------------------- */

Test(x86_state, a_tsc_within_250_ppm_is_left_as_it_is)
{
    save(1);
    kvm.tsc_khz = 2000499;
    kvm.tsc_control = true;
    load(1);
    cr_assert_eq(fake_kvm_count(&kvm, KVM_SET_TSC_KHZ), 0);
}

Test(x86_state, a_tsc_further_apart_is_scaled_on_every_vcpu_before_anything_is_set)
{
    save(2);
    fake_kvm_reset(&kvm);
    kvm.tsc_khz = 2100000;
    kvm.tsc_control = true;
    load(2);
    cr_assert_eq(kvm.tsc_khz, 2000000);
    cr_assert_eq(fake_kvm_count(&kvm, KVM_SET_TSC_KHZ), 2);
    cr_assert(strncmp(fake_kvm_story(&kvm, 1, text, sizeof(text)), "TSC_KHZ CPUID2", 14) == 0);
}

Test(x86_state, a_tsc_that_cannot_be_scaled_is_refused_before_anything_is_set)
{
    save(1);
    fake_kvm_reset(&kvm);
    kvm.tsc_khz = 2100000;
    cr_assert_lt(load_with(1, ARCH_CLOCK_FROZEN), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_CPU);
    cr_assert_str_eq(fake_kvm_story(&kvm, 0, text, sizeof(text)), "");
}

/* ---- guests that are hosts ---------------------------------------------------------------- */

Test(x86_state, a_guest_with_vmx_on_is_not_saved)
{
    kvm.nested_size = 16384;
    kvm.nested = (struct kvm_nested_state){.format = KVM_STATE_NESTED_FORMAT_VMX};
    kvm.nested.hdr.vmx.vmxon_pa = 0x1000;
    struct arch_machine machine = fake_kvm_machine(1);
    cr_assert_lt(arch_state_save(&machine, &state, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_HOST);
}

Test(x86_state, a_guest_inside_its_own_guest_is_not_saved)
{
    kvm.nested_size = 16384;
    kvm.nested_error = E2BIG;
    struct arch_machine machine = fake_kvm_machine(1);
    cr_assert_lt(arch_state_save(&machine, &state, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_HOST);
}

Test(x86_state, a_guest_that_became_a_host_since_is_taken_out_of_it_by_a_reset)
{
    kvm.nested_size = 16384;
    kvm.nested = (struct kvm_nested_state){.format = KVM_STATE_NESTED_FORMAT_VMX};
    kvm.nested.hdr.vmx.vmxon_pa = UINT64_MAX;
    fake_cpuid_leaf(&kvm.vcpus[0].cpuid, 1, 0)->ecx |= 1u << 5;
    save(1);
    kvm.nested.hdr.vmx.vmxon_pa = 0x1000;
    load(1);
    cr_assert_eq(kvm.nested.hdr.vmx.vmxon_pa, UINT64_MAX);
}

Test(x86_state, a_guest_that_is_not_offered_virtualization_costs_no_call_for_it)
{
    kvm.nested_size = 16384;
    kvm.nested = (struct kvm_nested_state){.format = KVM_STATE_NESTED_FORMAT_VMX};
    kvm.nested.hdr.vmx.vmxon_pa = UINT64_MAX;
    save(1);
    load(1);
    cr_assert_eq(fake_kvm_count(&kvm, KVM_SET_NESTED_STATE), 0);
}
