/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The GDB JIT interface: a list of object files in memory, and a function that the debugger has a
 * breakpoint in and that is called when the list has changed. Each function is an ELF file of its
 * own, with one symbol and a .text that is somewhere else (NOBITS at the address of the code).
 *
 * The debugger finds the list and the function by their names, so they have to be global: the one
 * exception to "no global state" here. The lock makes them safe for VMs in several threads.
 */
#include "guest/jitvm/jit/gdb.h"

#include <elf.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the debugger knows: names and layout are its, see "JIT Interface" in its manual ---- */

enum jit_action { JIT_NOACTION = 0, JIT_REGISTER_FN = 1, JIT_UNREGISTER_FN = 2 };

struct jit_code_entry {
    struct jit_code_entry *next, *prev;
    const char *symfile_addr;
    uint64_t symfile_size;
};

struct jit_descriptor {
    uint32_t version; /* 1 */
    uint32_t action;  /* enum jit_action */
    struct jit_code_entry *relevant;
    struct jit_code_entry *first;
};

/* Weak: a program may contain another compiler that has them too, and then they are shared. */
extern struct jit_descriptor __jit_debug_descriptor;
__attribute__((weak)) struct jit_descriptor __jit_debug_descriptor = {.version = 1};

void __jit_debug_register_code(void);
__attribute__((weak, noinline)) void __jit_debug_register_code(void)
{
    /* Keeps the calls: the function looks as if it did nothing. */
    __asm__ volatile("" ::: "memory");
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the file -------------------------------------------------------------------------------- */

enum section { SECTION_NULL, SECTION_TEXT, SECTION_SYMTAB, SECTION_STRTAB, SECTIONS };

static const char section_names[] = "\0.text\0.symtab\0.strtab";
enum { NAME_TEXT = 1, NAME_SYMTAB = 7, NAME_STRTAB = 15, NAME_FUNCTION = sizeof(section_names) };

struct image {
    Elf64_Ehdr header;
    Elf64_Shdr sections[SECTIONS];
    Elf64_Sym symbols[2];
    char strings[]; /* section_names, then the function's */
};

struct jit_gdb {
    struct jit_code_entry entry;
    struct image image;
};

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#error "which machine?"
#endif

static Elf64_Ehdr header(void)
{
    return (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_REL,
        .e_machine = MACHINE,
        .e_version = EV_CURRENT,
        .e_shoff = offsetof(struct image, sections),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = SECTIONS,
        .e_shstrndx = SECTION_STRTAB,
    };
}

static void fill_sections(struct image *image, uint64_t address, size_t len, size_t strings)
{
    image->sections[SECTION_TEXT] = (Elf64_Shdr){.sh_name = NAME_TEXT,
                                                 .sh_type = SHT_NOBITS,
                                                 .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                                                 .sh_addr = address,
                                                 .sh_size = len,
                                                 .sh_addralign = 16};
    /* sh_info: the first symbol that is not local. */
    image->sections[SECTION_SYMTAB] = (Elf64_Shdr){.sh_name = NAME_SYMTAB,
                                                   .sh_type = SHT_SYMTAB,
                                                   .sh_offset = offsetof(struct image, symbols),
                                                   .sh_size = sizeof(image->symbols),
                                                   .sh_link = SECTION_STRTAB,
                                                   .sh_info = 1,
                                                   .sh_addralign = 8,
                                                   .sh_entsize = sizeof(Elf64_Sym)};
    image->sections[SECTION_STRTAB] = (Elf64_Shdr){.sh_name = NAME_STRTAB,
                                                   .sh_type = SHT_STRTAB,
                                                   .sh_offset = offsetof(struct image, strings),
                                                   .sh_size = strings,
                                                   .sh_addralign = 1};
}

static void fill_image(struct image *image, uint64_t address, size_t len, const char *name)
{
    size_t name_size = strlen(name) + 1;
    image->header = header();
    fill_sections(image, address, len, NAME_FUNCTION + name_size);
    /* Of a relocatable file: the value counts from the section's start. */
    image->symbols[1] = (Elf64_Sym){.st_name = NAME_FUNCTION,
                                    .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                                    .st_shndx = SECTION_TEXT,
                                    .st_size = len};
    memcpy(image->strings, section_names, sizeof(section_names));
    memcpy(image->strings + NAME_FUNCTION, name, name_size);
}

/* ---- the list -------------------------------------------------------------------------------- */

/* With the lock held. */
static void tell(enum jit_action action, struct jit_code_entry *entry)
{
    __jit_debug_descriptor.action = action;
    __jit_debug_descriptor.relevant = entry;
    __jit_debug_register_code();
    __jit_debug_descriptor.action = JIT_NOACTION;
    __jit_debug_descriptor.relevant = NULL;
}

static void link_entry(struct jit_code_entry *entry)
{
    entry->next = __jit_debug_descriptor.first;
    if (entry->next)
        entry->next->prev = entry;
    __jit_debug_descriptor.first = entry;
}

static void unlink_entry(struct jit_code_entry *entry)
{
    if (entry->prev)
        entry->prev->next = entry->next;
    else
        __jit_debug_descriptor.first = entry->next;
    if (entry->next)
        entry->next->prev = entry->prev;
}

struct jit_gdb *jit_gdb_add(const void *code, size_t len, const char *name)
{
    size_t strings = NAME_FUNCTION + strlen(name) + 1;
    struct jit_gdb *gdb = calloc(1, sizeof(*gdb) + strings);
    if (!gdb)
        return NULL;
    fill_image(&gdb->image, (uint64_t)(uintptr_t)code, len, name);
    gdb->entry.symfile_addr = (const char *)&gdb->image;
    gdb->entry.symfile_size = offsetof(struct image, strings) + strings;
    pthread_mutex_lock(&lock);
    link_entry(&gdb->entry);
    tell(JIT_REGISTER_FN, &gdb->entry);
    pthread_mutex_unlock(&lock);
    return gdb;
}

void jit_gdb_remove(struct jit_gdb *gdb)
{
    if (!gdb)
        return;
    pthread_mutex_lock(&lock);
    unlink_entry(&gdb->entry);
    tell(JIT_UNREGISTER_FN, &gdb->entry);
    pthread_mutex_unlock(&lock);
    free(gdb);
}
