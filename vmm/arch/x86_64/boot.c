/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Linux finds in memory when it starts by the 64-bit boot protocol
 * (Documentation/x86/boot.rst and zero-page.rst): page tables that map the first 4 GiB onto
 * themselves, a GDT, the zero page with the e820 map, the command line, the processor table.
 */
#include "thaw/mailbox.h"
#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/mptable.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>

#define PTE_PRESENT (1ull << 0)
#define PTE_WRITE   (1ull << 1)
#define PTE_HUGE    (1ull << 7)

static int write_table(const struct guest_memory *mem, uint64_t gpa, const void *data, size_t size,
                       struct thaw_error *err)
{
    int rc = guest_memory_write(mem, gpa, data, size);
    return rc < 0 ? thaw_fail(err, -rc, "boot tables at 0x%llx", (unsigned long long)gpa) : 0;
}

static int write_page_tables(const struct guest_memory *mem, struct thaw_error *err)
{
    const uint64_t link = PTE_PRESENT | PTE_WRITE;
    uint64_t table[512] = {LAYOUT_PDPT | link};
    int rc = write_table(mem, LAYOUT_PML4, table, sizeof(table), err);

    for (uint64_t i = 0; i < 4; i++)
        table[i] = (LAYOUT_PD + i * GUEST_PAGE_SIZE) | link;
    if (rc == 0)
        rc = write_table(mem, LAYOUT_PDPT, table, sizeof(table), err);

    for (uint64_t page = 0; page < 4 && rc == 0; page++) {
        for (uint64_t i = 0; i < 512; i++)
            table[i] = (page << 30 | i << 21) | link | PTE_HUGE;
        rc = write_table(mem, LAYOUT_PD + page * GUEST_PAGE_SIZE, table, sizeof(table), err);
    }
    return rc;
}

static int write_gdt(const struct guest_memory *mem, struct thaw_error *err)
{
    static const uint64_t gdt[] = {
        0,
        0,
        0x00af9b000000ffff, /* 0x10: 64-bit code */
        0x00cf93000000ffff, /* 0x18: data */
        0x00008b0000000067, /* 0x20: task state, two entries wide */
        0,
    };
    return write_table(mem, LAYOUT_GDT, gdt, sizeof(gdt), err);
}

static void add_e820(struct boot_params *params, uint64_t from, uint64_t to, uint32_t type)
{
    if (from < to)
        params->e820_table[params->e820_entries++] =
            (struct boot_e820_entry){.addr = from, .size = to - from, .type = type};
}

/* The mailbox and everything else between the EBDA and 1 MiB is simply not offered. */
static void fill_e820(struct boot_params *params, const struct guest_memory *mem)
{
    const uint32_t type_ram = 1, type_reserved = 2;

    add_e820(params, 0, LAYOUT_EBDA, type_ram);
    add_e820(params, LAYOUT_EBDA, LAYOUT_EBDA + LAYOUT_EBDA_SIZE, type_reserved);
    add_e820(params, THAW_MAILBOX_GPA, THAW_MAILBOX_GPA + THAW_MAILBOX_SIZE, type_reserved);
    add_e820(params, LAYOUT_HIGH_RAM, mem->regions[0].size, type_ram);
    for (unsigned i = 1; i < mem->region_count; i++)
        add_e820(params, mem->regions[i].gpa, mem->regions[i].gpa + mem->regions[i].size, type_ram);
}

static int write_boot_params(const struct guest_memory *mem, const struct boot_image *image,
                             size_t cmdline_size, struct thaw_error *err)
{
    const uint8_t loader_undefined = 0xff;
    struct boot_params params = {0};

    _Static_assert(sizeof(image->setup_header) == sizeof(params.hdr), "boot.rst's setup header");
    if (image->setup_header_size > 0)
        memcpy(&params.hdr, image->setup_header, sizeof(params.hdr));
    params.hdr.boot_flag = 0xaa55;
    params.hdr.header = 0x53726448; /* "HdrS" */
    params.hdr.type_of_loader = loader_undefined;
    params.hdr.cmd_line_ptr = (uint32_t)LAYOUT_CMDLINE;
    params.hdr.cmdline_size = (uint32_t)cmdline_size;
    if (image->initrd_size > 0) {
        params.hdr.ramdisk_image = (uint32_t)image->initrd;
        params.hdr.ramdisk_size = (uint32_t)image->initrd_size;
    }
    fill_e820(&params, mem);
    return write_table(mem, LAYOUT_BOOT_PARAMS, &params, sizeof(params), err);
}

int arch_boot_tables(const struct guest_memory *mem, const struct boot_image *image,
                     const char *cmdline, unsigned vcpus, struct thaw_error *err)
{
    size_t size = strlen(cmdline) + 1;
    if (size > ARCH_CMDLINE_MAX)
        return thaw_fail_as(err, THAW_FAIL_USAGE, E2BIG,
                            "kernel command line: %zu bytes where Linux takes %u", size - 1,
                            ARCH_CMDLINE_MAX - 1);

    int rc = write_page_tables(mem, err);
    if (rc == 0)
        rc = write_gdt(mem, err);
    if (rc == 0)
        rc = write_boot_params(mem, image, size, err);
    if (rc == 0)
        rc = write_table(mem, LAYOUT_CMDLINE, cmdline, size, err);
    if (rc == 0)
        rc = mptable_write(mem, vcpus, err);
    return rc;
}
