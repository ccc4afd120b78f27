/* SPDX-License-Identifier: Apache-2.0 */
/* x86: memory layout, CPUID topology, MP table, boot parameters, the reset flag. */
#include "thaw/mailbox.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/mptable.h"

#include <asm/bootparam.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct guest_memory memory;
static struct thaw_error err;

static void set_up(void)
{
    struct guest_region region = {.gpa = 0, .size = 32ull << 20};
    cr_assert_eq(guest_memory_create(&memory, &region, 1, &err), 0);
}

static void tear_down(void)
{
    guest_memory_destroy(&memory);
}

TestSuite(x86_boot, .init = set_up, .fini = tear_down);

Test(x86_layout, memory_below_the_gap_is_one_region)
{
    struct guest_region r[GUEST_MEMORY_REGIONS_MAX];
    cr_assert_eq(arch_memory_layout(3ull << 30, r), 1);
    cr_assert_eq(r[0].gpa, 0);
    cr_assert_eq(r[0].size, 3ull << 30);
}

Test(x86_layout, memory_beyond_the_gap_goes_on_at_4_gib)
{
    struct guest_region r[GUEST_MEMORY_REGIONS_MAX];
    cr_assert_eq(arch_memory_layout(5ull << 30, r), 2);
    cr_assert_eq(r[0].size, LAYOUT_GAP_START);
    cr_assert_eq(r[1].gpa, 4ull << 30);
    cr_assert_eq(r[0].size + r[1].size, 5ull << 30);
}

static struct kvm_cpuid_entry2 patched(uint32_t function, uint32_t index, unsigned cpu,
                                       unsigned cpus, struct kvm_cpuid_entry2 entry)
{
    entry.function = function;
    entry.index = index;
    cpuid_patch(&entry, cpu, cpus);
    return entry;
}

Test(x86_cpuid, leaf_1_tells_each_vcpu_its_own_apic_id)
{
    struct kvm_cpuid_entry2 host = {.ebx = 0xaabbccdd, .edx = 0};
    struct kvm_cpuid_entry2 e = patched(1, 0, 3, 4, host);
    cr_assert_eq(e.ebx, 0x0304ccdd);
    cr_assert(e.edx & 1u << 28, "HTT: more than one logical processor");
    cr_assert(e.ecx & 1u << 31, "hypervisor present");
    cr_assert(e.ecx & 1u << 24, "TSC deadline timer");
}

Test(x86_cpuid, one_vcpu_is_not_hyperthreaded)
{
    struct kvm_cpuid_entry2 e = patched(1, 0, 0, 1, (struct kvm_cpuid_entry2){.edx = 1u << 28});
    cr_assert_eq(e.edx & 1u << 28, 0);
}

Test(x86_cpuid, leaf_b_describes_cores_without_threads)
{
    struct kvm_cpuid_entry2 smt = patched(0xb, 0, 5, 6, (struct kvm_cpuid_entry2){0});
    struct kvm_cpuid_entry2 core = patched(0xb, 1, 5, 6, (struct kvm_cpuid_entry2){0});
    cr_assert_eq(smt.eax, 0);
    cr_assert_eq(smt.ebx, 1);
    cr_assert_eq(smt.ecx, 1u << 8 | 0);
    cr_assert_eq(core.eax, 3, "six cores need three bits");
    cr_assert_eq(core.ebx, 6);
    cr_assert_eq(core.ecx, 2u << 8 | 1);
    cr_assert_eq(smt.edx, 5);
    cr_assert_eq(core.edx, 5);
}

Test(x86_cpuid, leaf_4_shares_only_the_last_level_cache)
{
    struct kvm_cpuid_entry2 l1 = patched(4, 0, 0, 4, (struct kvm_cpuid_entry2){.eax = 1u << 5});
    struct kvm_cpuid_entry2 l3 = patched(4, 3, 0, 4, (struct kvm_cpuid_entry2){.eax = 3u << 5});
    cr_assert_eq(l1.eax >> 14 & 0xfff, 0);
    cr_assert_eq(l3.eax >> 14 & 0xfff, 3);
    cr_assert_eq(l3.eax >> 26, 3);
}

Test(x86_cpuid, patching_for_the_next_vcpu_leaves_nothing_of_the_last)
{
    struct kvm_cpuid_entry2 e = patched(1, 0, 7, 8, (struct kvm_cpuid_entry2){.ebx = 0x12345678});
    cpuid_patch(&e, 0, 8);
    struct kvm_cpuid_entry2 fresh =
        patched(1, 0, 0, 8, (struct kvm_cpuid_entry2){.ebx = 0x12345678});
    cr_assert_eq(memcmp(&e, &fresh, sizeof(e)), 0);
}

static uint8_t sum(const uint8_t *bytes, size_t size)
{
    uint8_t total = 0;
    for (size_t i = 0; i < size; i++)
        total = (uint8_t)(total + bytes[i]);
    return total;
}

Test(x86_boot, the_mp_table_checks_out_for_every_number_of_vcpus)
{
    for (unsigned vcpus = 1; vcpus <= ARCH_VCPUS_MAX; vcpus++) {
        cr_assert_eq(mptable_write(&memory, vcpus, &err), 0);
        const uint8_t *floating = guest_memory_at(&memory, LAYOUT_EBDA, 16);
        cr_assert_arr_eq(floating, "_MP_", 4);
        cr_assert_eq(sum(floating, 16), 0);

        const uint8_t *header = floating + 16;
        uint16_t length, entries;
        memcpy(&length, header + 4, 2);
        memcpy(&entries, header + 34, 2);
        cr_assert_arr_eq(header, "PCMP", 4);
        cr_assert_eq(sum(header, length), 0);
        cr_assert_eq(entries, vcpus + 1 + 1 + 24 + 2);
        cr_assert_eq(length, 44 + 20 * vcpus + 8 * (1 + 1 + 24 + 2));
        cr_assert_leq(16u + length, LAYOUT_EBDA_SIZE);
        for (unsigned i = 0; i < vcpus; i++)
            cr_assert_eq(header[44 + 20 * i + 1], i, "APIC id");
    }
}

Test(x86_boot, the_e820_map_offers_neither_tables_nor_mailbox)
{
    struct boot_image image = {.initrd = 0x1800000, .initrd_size = 0x1234};
    cr_assert_eq(arch_boot_tables(&memory, &image, "quiet", 1, &err), 0);
    const struct boot_params *params =
        guest_memory_at(&memory, LAYOUT_BOOT_PARAMS, sizeof(*params));

    cr_assert_eq(params->hdr.header, 0x53726448);
    cr_assert_eq(params->hdr.ramdisk_image, 0x1800000);
    cr_assert_eq(params->hdr.ramdisk_size, 0x1234);
    cr_assert_str_eq(guest_memory_at(&memory, params->hdr.cmd_line_ptr, 6), "quiet");
    cr_assert_gt(params->e820_entries, 0);
    uint64_t ram = 0;
    for (unsigned i = 0; i < params->e820_entries; i++) {
        const struct boot_e820_entry *e = &params->e820_table[i];
        if (e->type != 1)
            continue;
        ram += e->size;
        cr_assert(e->addr + e->size <= LAYOUT_EBDA || e->addr >= LAYOUT_HIGH_RAM, "RAM at 0x%llx",
                  (unsigned long long)e->addr);
    }
    cr_assert_eq(ram, (32ull << 20) - LAYOUT_HIGH_RAM + LAYOUT_EBDA);
}

Test(x86_boot, a_command_line_of_2048_bytes_is_one_too_long)
{
    char text[ARCH_CMDLINE_MAX + 1];
    memset(text, 'a', sizeof(text));
    text[ARCH_CMDLINE_MAX] = '\0';
    cr_assert_eq(arch_boot_tables(&memory, &(struct boot_image){0}, text, 1, &err), -E2BIG);
    text[ARCH_CMDLINE_MAX - 1] = '\0';
    cr_assert_eq(arch_boot_tables(&memory, &(struct boot_image){0}, text, 1, &err), 0);
}

Test(x86_boot, only_a_warm_reset_flag_is_a_panic)
{
    cr_assert_not(arch_reset_was_panic(&memory));
    uint16_t warm = LAYOUT_RESET_FLAG_WARM;
    cr_assert_eq(guest_memory_write(&memory, LAYOUT_RESET_FLAG, &warm, 2), 0);
    cr_assert(arch_reset_was_panic(&memory));
}
