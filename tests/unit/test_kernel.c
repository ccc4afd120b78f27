/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel images, good and hostile. Each test writes a small file and loads it. */
#include "vmm/loader/kernel.h"

#include "vmm/base/cleanup.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define MEMORY (32ull << 20)

static struct guest_memory memory;
static struct thaw_error err;
static struct boot_image image;

static void set_up(void)
{
    struct guest_region region = {.gpa = 0, .size = MEMORY};
    err = (struct thaw_error){0};
    image = (struct boot_image){0};
    cr_assert_eq(guest_memory_create(&memory, &region, 1, &err), 0);
}

static void tear_down(void)
{
    guest_memory_destroy(&memory);
}

TestSuite(kernel, .init = set_up, .fini = tear_down);

/* Loads `size` bytes as if they were a kernel file. */
static int load(const void *bytes, size_t size)
{
    cleanup_close int fd = memfd_create("kernel", 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return kernel_load(path, &memory, &image, &err);
}

static void expect_refusal(int rc, const char *why)
{
    cr_assert_lt(rc, 0);
    cr_assert_eq(err.failure, THAW_FAIL_KERNEL, "it is a %s", thaw_failure_name(err.failure));
    cr_assert(strstr(err.message, why), "\"%s\" does not say \"%s\"", err.message, why);
}

/* A vmlinux of one segment: 16 bytes of code at 2 MiB, a page of memory. */
struct tiny_elf {
    Elf64_Ehdr header;
    Elf64_Phdr program;
    uint8_t code[16];
};

static struct tiny_elf tiny_elf(void)
{
    return (struct tiny_elf){
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                               EV_CURRENT},
                   .e_type = ET_EXEC,
                   .e_machine = EM_X86_64,
                   .e_version = EV_CURRENT,
                   .e_entry = 0x200004,
                   .e_phoff = offsetof(struct tiny_elf, program),
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 1},
        .program = {.p_type = PT_LOAD,
                    .p_offset = offsetof(struct tiny_elf, code),
                    .p_vaddr = 0xffffffff80200000,
                    .p_paddr = 0x200000,
                    .p_filesz = 16,
                    .p_memsz = 4096},
        .code = "sixteen bytes..",
    };
}

Test(kernel, an_elf_segment_lands_at_its_physical_address)
{
    struct tiny_elf elf = tiny_elf();
    cr_assert_eq(load(&elf, sizeof(elf)), 0, "%s", err.message);
    cr_assert_eq(image.entry, 0x200004);
    cr_assert_eq(image.end, 0x201000);
    cr_assert_eq(image.setup_header_size, 0);
    cr_assert_arr_eq(guest_memory_at(&memory, 0x200000, 16), elf.code, 16);
}

Test(kernel, every_truncation_of_an_elf_is_refused)
{
    struct tiny_elf elf = tiny_elf();
    for (size_t size = 0; size < sizeof(elf); size++) {
        cr_assert_lt(load(&elf, size), 0, "%zu bytes were taken", size);
        cr_assert_eq(err.failure, THAW_FAIL_KERNEL);
    }
}

Test(kernel, an_elf_with_any_byte_of_its_headers_flipped_never_faults)
{
    for (size_t at = 0; at < offsetof(struct tiny_elf, code); at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            struct tiny_elf elf = tiny_elf();
            ((uint8_t *)&elf)[at] ^= (uint8_t)(1u << bit);
            if (load(&elf, sizeof(elf)) == 0)
                cr_assert(guest_memory_at(&memory, image.entry, 1));
            else
                cr_assert_eq(err.failure, THAW_FAIL_KERNEL);
        }
}

Test(kernel, an_empty_file_is_refused)
{
    expect_refusal(load("", 0), "the file is empty");
}

Test(kernel, a_missing_file_is_refused)
{
    expect_refusal(kernel_load("/nowhere/vmlinux", &memory, &image, &err),
                   "/nowhere/vmlinux: No such file");
}

Test(kernel, a_directory_is_refused)
{
    expect_refusal(kernel_load("/", &memory, &image, &err), "not a regular file");
}

Test(kernel, text_is_neither_elf_nor_bzimage)
{
    expect_refusal(load("#!/bin/sh\n", 10), "neither an ELF vmlinux nor a bzImage");
}

Test(kernel, an_arm64_image_is_named)
{
    uint8_t bytes[128] = {0};
    memcpy(bytes + 56, "ARM\x64", 4);
    expect_refusal(load(bytes, sizeof(bytes)), "arm64 Image");
}

Test(kernel, an_elf_for_another_machine_is_refused)
{
    struct tiny_elf elf = tiny_elf();
    elf.header.e_machine = EM_AARCH64;
    expect_refusal(load(&elf, sizeof(elf)), "ELF machine 183");
}

Test(kernel, a_32_bit_elf_is_refused)
{
    struct tiny_elf elf = tiny_elf();
    elf.header.e_ident[EI_CLASS] = ELFCLASS32;
    expect_refusal(load(&elf, sizeof(elf)), "32-bit ELF");
}

Test(kernel, a_segment_whose_end_overflows_is_refused)
{
    struct tiny_elf elf = tiny_elf();
    elf.program.p_paddr = UINT64_MAX - 8;
    expect_refusal(load(&elf, sizeof(elf)), "does not fit in memory");
}

Test(kernel, a_segment_offset_that_overflows_is_refused)
{
    struct tiny_elf elf = tiny_elf();
    elf.program.p_offset = UINT64_MAX - 8;
    expect_refusal(load(&elf, sizeof(elf)), "truncated");
}

Test(kernel, a_segment_larger_than_memory_is_refused)
{
    struct tiny_elf elf = tiny_elf();
    elf.program.p_memsz = MEMORY;
    expect_refusal(load(&elf, sizeof(elf)), "more --memory");
}

Test(kernel, a_segment_over_the_boot_tables_is_refused)
{
    struct tiny_elf elf = tiny_elf();
    elf.program.p_paddr = 0x7000;
    expect_refusal(load(&elf, sizeof(elf)), "below 1 MiB");
}

Test(kernel, a_segment_with_more_file_than_memory_is_refused)
{
    struct tiny_elf elf = tiny_elf();
    elf.program.p_memsz = 8;
    expect_refusal(load(&elf, sizeof(elf)), "file size exceeds");
}

Test(kernel, an_entry_outside_of_every_segment_is_refused)
{
    struct tiny_elf elf = tiny_elf();
    elf.header.e_entry = 0x300000;
    expect_refusal(load(&elf, sizeof(elf)), "entry point");
}

Test(kernel, more_program_headers_than_the_bound_are_refused)
{
    struct tiny_elf elf = tiny_elf();
    elf.header.e_phnum = 65535;
    expect_refusal(load(&elf, sizeof(elf)), "65535 program headers");
}

/* A bzImage of one set-up sector and 4 KiB of "compressed kernel". */
#define BZ_CODE 4096u
#define BZ_SIZE (2u * 512u + BZ_CODE)

static void put(uint8_t *file, size_t offset, uint64_t value, size_t size)
{
    memcpy(file + offset, &value, size);
}

static void tiny_bzimage(uint8_t file[BZ_SIZE])
{
    memset(file, 0, BZ_SIZE);
    file[0x1f1] = 1;             /* setup_sects */
    put(file, 0x1fe, 0xaa55, 2); /* boot_flag */
    put(file, 0x200, 0x6aeb, 2); /* jump over a header that ends at 0x26c */
    memcpy(file + 0x202, "HdrS", 4);
    put(file, 0x206, 0x020f, 2);    /* version 2.15 */
    file[0x211] = 1;                /* loadflags: LOADED_HIGH */
    put(file, 0x236, 1, 2);         /* xloadflags: XLF_KERNEL_64 */
    put(file, 0x258, 0x1000000, 8); /* pref_address */
    put(file, 0x260, 0x200000, 4);  /* init_size */
    memset(file + 1024, 0xcc, BZ_CODE);
}

Test(kernel, a_bzimage_is_entered_at_its_64_bit_entry)
{
    uint8_t file[BZ_SIZE];
    tiny_bzimage(file);
    cr_assert_eq(load(file, sizeof(file)), 0, "%s", err.message);
    cr_assert_eq(image.entry, 0x1000200);
    cr_assert_eq(image.end, 0x1200000);
    cr_assert_eq(image.setup_header_size, 0x26c - 0x1f1);
    cr_assert_arr_eq(image.setup_header, file + 0x1f1, image.setup_header_size);
    cr_assert_eq(*(uint8_t *)guest_memory_at(&memory, 0x1000000 + BZ_CODE - 1, 1), 0xcc);
}

Test(kernel, a_bzimage_cut_before_its_kernel_is_refused)
{
    uint8_t file[BZ_SIZE];
    tiny_bzimage(file);
    for (size_t size = 0; size <= 1024; size++)
        cr_assert_lt(load(file, size), 0, "%zu bytes were taken", size);
}

Test(kernel, a_bzimage_with_any_bit_of_its_header_flipped_never_faults)
{
    for (size_t at = 0x1f1; at < 0x270; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            uint8_t file[BZ_SIZE];
            tiny_bzimage(file);
            file[at] ^= (uint8_t)(1u << bit);
            if (load(file, sizeof(file)) < 0)
                cr_assert_eq(err.failure, THAW_FAIL_KERNEL);
        }
}

Test(kernel, an_old_bzimage_is_refused)
{
    uint8_t file[BZ_SIZE];
    tiny_bzimage(file);
    put(file, 0x206, 0x0204, 2);
    expect_refusal(load(file, sizeof(file)), "boot protocol 2.04");
}

Test(kernel, a_32_bit_bzimage_is_refused)
{
    uint8_t file[BZ_SIZE];
    tiny_bzimage(file);
    put(file, 0x236, 0, 2);
    expect_refusal(load(file, sizeof(file)), "64-bit entry");
}

Test(kernel, a_bzimage_that_needs_more_room_than_there_is_is_refused)
{
    uint8_t file[BZ_SIZE];
    tiny_bzimage(file);
    put(file, 0x260, 0xffffffff, 4);
    expect_refusal(load(file, sizeof(file)), "to unpack itself");
}

Test(kernel, a_bzimage_whose_address_overflows_is_refused)
{
    uint8_t file[BZ_SIZE];
    tiny_bzimage(file);
    put(file, 0x258, UINT64_MAX - 100, 8);
    expect_refusal(load(file, sizeof(file)), "to unpack itself");
}
