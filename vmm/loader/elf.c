/* SPDX-License-Identifier: Apache-2.0 */
/* ELF-64 executables, loaded at their physical addresses (System V ABI, chapters 4 and 5). */
#include "vmm/loader/image.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#ifdef __x86_64__
#define ELF_MACHINE_HERE EM_X86_64
#else
#define ELF_MACHINE_HERE EM_AARCH64
#endif

/* A vmlinux has about five. The bound keeps a hostile header from asking for gigabytes. */
#define PROGRAM_HEADERS_MAX 64u

bool elf_recognizes(const struct image_file *file)
{
    return memcmp(file->head, ELFMAG, SELFMAG) == 0;
}

static int check_header(const struct image_file *file, const Elf64_Ehdr *header,
                        struct thaw_error *err)
{
    if (file->size < sizeof(*header))
        return image_refuse(file, err, "truncated: shorter than an ELF header");
    if (header->e_ident[EI_CLASS] != ELFCLASS64)
        return image_refuse(file, err, "a 32-bit ELF; this host needs a 64-bit kernel");
    if (header->e_ident[EI_DATA] != ELFDATA2LSB)
        return image_refuse(file, err, "a big-endian ELF; this host needs a little-endian kernel");
    if (header->e_machine != ELF_MACHINE_HERE)
        return image_refuse(file, err, "for ELF machine %u; this host needs machine %u",
                            header->e_machine, ELF_MACHINE_HERE);
    if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
        return image_refuse(file, err, "ELF type %u is not an executable", header->e_type);
    if (header->e_phentsize != sizeof(Elf64_Phdr))
        return image_refuse(file, err, "program headers of %u bytes where %zu are expected",
                            header->e_phentsize, sizeof(Elf64_Phdr));
    if (header->e_phnum == 0 || header->e_phnum > PROGRAM_HEADERS_MAX)
        return image_refuse(file, err, "%u program headers; 1 to %u can be loaded", header->e_phnum,
                            PROGRAM_HEADERS_MAX);
    return 0;
}

static int read_program_headers(const struct image_file *file, const Elf64_Ehdr *header,
                                Elf64_Phdr *program, struct thaw_error *err)
{
    uint64_t size = header->e_phnum * sizeof(Elf64_Phdr);
    if (header->e_phoff > file->size || size > file->size - header->e_phoff)
        return image_refuse(file, err, "truncated: program headers lie beyond the end");
    if (file_pread_full(file->fd, program, size, header->e_phoff, err) < 0) {
        thaw_context(err, "kernel %s", file->path);
        return thaw_reclassify(err, THAW_FAIL_KERNEL);
    }
    return 0;
}

/* Guest RAM comes zeroed, so the part of a segment beyond its file size needs no clearing, only
 * room. */
static int load_segment(const struct image_file *file, const struct guest_memory *mem,
                        const Elf64_Phdr *p, struct thaw_error *err)
{
    if (p->p_filesz > p->p_memsz)
        return image_refuse(file, err, "a segment's file size exceeds its memory size");
    if (p->p_paddr < ARCH_KERNEL_MIN)
        return image_refuse(file, err, "a segment at 0x%llx lies below 1 MiB",
                            (unsigned long long)p->p_paddr);
    if (!guest_memory_at(mem, p->p_paddr, p->p_memsz))
        return image_refuse(file, err,
                            "a segment of %llu bytes at 0x%llx does not fit in memory; give the "
                            "guest more --memory",
                            (unsigned long long)p->p_memsz, (unsigned long long)p->p_paddr);
    return image_read(file, mem, p->p_offset, p->p_filesz, p->p_paddr, err);
}

static bool segment_holds(const Elf64_Phdr *p, uint64_t address)
{
    return p->p_type == PT_LOAD && address >= p->p_paddr && address - p->p_paddr < p->p_memsz;
}

int elf_load(const struct image_file *file, const struct guest_memory *mem,
             struct boot_image *image, struct thaw_error *err)
{
    Elf64_Ehdr header;
    memcpy(&header, file->head, sizeof(header));
    int rc = check_header(file, &header, err);
    if (rc < 0)
        return rc;

    Elf64_Phdr program[PROGRAM_HEADERS_MAX] = {0};
    rc = read_program_headers(file, &header, program, err);

    bool entry_is_loaded = false;
    uint64_t end = 0;
    for (unsigned i = 0; i < header.e_phnum && rc == 0; i++) {
        const Elf64_Phdr *p = &program[i];
        if (p->p_type != PT_LOAD || p->p_memsz == 0)
            continue;
        rc = load_segment(file, mem, p, err);
        entry_is_loaded |= segment_holds(p, header.e_entry);
        if (rc == 0 && p->p_paddr + p->p_memsz > end)
            end = p->p_paddr + p->p_memsz;
    }
    if (rc < 0)
        return rc;
    if (!entry_is_loaded)
        return image_refuse(file, err, "the entry point 0x%llx is in no loaded segment",
                            (unsigned long long)header.e_entry);

    image->entry = header.e_entry;
    image->end = end;
    image->setup_header_size = 0;
    return 0;
}
